"""Results recorded elsewhere: what of them a run keeps, and which files are refused."""

import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import igaku
from igaku.ask.asker import Attempt, _row
from igaku.ask.plan import Item, planned
from igaku.cli import app
from igaku.errors import IgakuError
from igaku.reading.answer import Graded
from igaku.reading.reply import Reply
from igaku.study import recorded, scoring
from igaku.study.designs import condition, unlike
from igaku.study.runs import find_runs, load_run
from igaku.study.runs import status as status_of
from igaku.words import OUTCOMES

# What the recorded files say: correct, asked, blank, API errors; then the status, the
# budget they were asked with, and how many replies have the recorder's full length.
VARIANTS = {
    "openai-8bit": (286, 400, 0, 0, "OK", 1024, 1),
    "openai-mxfp4-gguf": (284, 400, 0, 0, "OK", 1024, 2),
    "mlx-community-mxfp4-q8": (284, 400, 0, 0, "OK", 1024, 2),
    "mlx-community-mxfp4-q4": (17, 125, 87, 5, "BROKEN", 1024, 0),
    "inferenceillusionist-4bit": (7, 75, 58, 0, "BROKEN", 1024, 0),
    "safeguard-mxfp4": (27, 75, 39, 6, "BROKEN", 1024, 0),
    "safeguard-mxfp4-mt4096": (262, 400, 30, 1, "OK", 4096, 1),
}
# Questions right, and their points, by the rule of IgakuQA's own scorer.
REFERENCES = {
    "gpt3-2022": (163, 217),
    "chatgpt-2022": (230, 287),
    "translate_chatgpt-en-2022": (258, 327),
    "gpt4-2022": (314, 392),
    "student-majority-2022": (384, 482),
    "gpt3-2018": (161, 209),
    "chatgpt-2018": (208, 266),
    "translate_chatgpt-en-2018": (221, 281),
    "gpt4-2018": (302, 382),
    "student-majority-2018": (374, 472),
}


@pytest.fixture(scope="session")
def exam_dir(shared):
    return shared / "data" / "igakuqa"


@pytest.fixture(scope="session")
def outputs(shared, exam_dir, tmp_path_factory):
    """Everything that was recorded, imported once."""
    folder = tmp_path_factory.mktemp("outputs")
    sources = [shared / "data" / "recorded", exam_dir / "baseline_results"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # whole files have nothing to warn of
        imported = recorded.import_folder(sources, folder, data_dir=exam_dir)
    assert [run.trouble for run in imported] == [None] * 17
    return folder


@pytest.fixture(scope="session")
def runs(outputs):
    return {run.name: run for run in find_runs(outputs, raw=True)}


@pytest.fixture
def take(tmp_path, exam_dir):
    """Import files of these contents: of JSON where they are, else of JSON Lines."""

    def _take(files, slug="mine", **options):
        paths = []
        for name, content in files.items():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(as_bytes(content))
        options = {"data_dir": exam_dir} | options
        folder = igaku.import_recorded(paths, tmp_path / "out", slug, **options)
        return load_run(folder, raw=True)

    return _take


def as_bytes(content):
    if isinstance(content, bytes):
        return content
    if isinstance(content, dict):
        return json.dumps(content).encode()
    return b"".join(json.dumps(record).encode() + b"\n" for record in content)


def record(problem="116A1", prediction="c", **changes):
    told = {"problem_id": problem, "prediction": prediction, "response": prediction}
    return told | {"correct": True, "time": 1.5} | changes


def of_model(*records, model="some/model", **changes):
    told = {"timestamp": "2026-02-07T23:50:05", "model": model, "summary": []}
    told |= {"details": {"baseline": list(records)}, "prompts": {"baseline": "選べ。"}}
    return told | changes


def only(run):
    """The one row of a run, as answers.jsonl holds it."""
    (line,) = (run.folder / "answers.jsonl").read_bytes().splitlines()
    return json.loads(line)


# --- the recorded runs ----------------------------------------------------------------


@pytest.mark.parametrize("slug", VARIANTS)
def test_the_variants_are_as_they_were_recorded(slug, runs):
    run = runs[f"{slug}-recorded"]
    right, asked, blank, errors, status, budget, _ = VARIANTS[slug]
    counts = scoring.section_counts(run).sum()
    assert counts[["right", "asked"]].tolist() == [right, asked]
    assert counts[["blank", "api_error"]].tolist() == [blank, errors]
    assert (counts["planned"], status_of(run).name) == (400, status)
    assert (run.origin, run.exam, run.budget) == ("recorded", "2022", budget)
    assert run.settings["slug"] == slug.removesuffix("-mt4096")
    assert run.card["origin"] == "seed" and run.published["source"]


def test_sections_are_the_recorded_ones_where_the_printed_table_does_not_add_up(runs):
    counts = scoring.section_counts(runs["openai-8bit-recorded"])["right"]
    assert counts[list("ABCDEF")].tolist() == [56, 38, 46, 59, 36, 51]
    q4 = scoring.section_counts(runs["mlx-community-mxfp4-q4-recorded"])
    assert q4.loc[["A", "B"], "blank"].tolist() == [60, 27]
    assert q4.loc[["A", "B"], "api_error"].tolist() == [2, 3]


@pytest.mark.parametrize("name", REFERENCES)
def test_the_references_score_as_igakuqas_own_scorer_says(name, runs):
    run = runs[name]
    right = run.rows[run.rows["correct"].fillna(False)]
    assert (len(right), right["points"].sum()) == REFERENCES[name]
    assert run.asked == run.manifest["graded_here"] == 400
    assert (run.card["origin"], run.budget) == ("reference", None)


def test_references_are_named_in_both_languages(runs):
    card = runs["student-majority-2022"].card
    assert (card["label"], card["label_en"]) == ("学生多数決", "Student majority")
    assert runs["translate_chatgpt-en-2022"].settings["language"] == "en"
    assert runs["gpt4-2018"].settings["language"] == "ja"


def test_the_two_runs_that_are_one_stay_so(runs):
    pair = ("openai-mxfp4-gguf-recorded", "mlx-community-mxfp4-q8-recorded")
    first, second = (runs[name] for name in pair)
    assert first.rows["content"].tolist() == second.rows["content"].tolist()
    assert first.model != second.model
    assert {*first.rows["served_model"], *second.rows["served_model"]} == {
        "openai/gpt-oss-20b"
    }


def test_every_reply_is_kept_whole(shared, runs):
    run = runs["safeguard-mxfp4-mt4096-recorded"]
    kept = dict(zip(run.rows["problem_id"], run.rows["raw"], strict=True))
    for path in (shared / "data/recorded").glob("prompt_comparison*.json"):
        for told in json.loads(path.read_bytes())["details"]["baseline"]:
            assert kept[told["problem_id"]] == told


def test_the_cause_of_a_blank_reply_is_not_made_up(runs):
    for name in VARIANTS:
        run = runs[f"{name}-recorded"]
        assert "truncated" not in set(run.rows["outcome"])
        if VARIANTS[name][4] == "BROKEN":
            assert str(status_of(run)) == "BROKEN (output)"


def test_unknown_is_missing_never_nought(runs):
    rows = runs["openai-8bit-recorded"].rows
    unknown = ["finish_reason", "prompt_tokens", "completion_tokens", "attempts"]
    unknown += ["reasoning", "reasoning_tokens", "reasoning_tokens_estimated"]
    unknown += ["tokens_per_second", "prompt_sha256", "asked_at"]
    assert rows[unknown].isna().all(axis=None)
    assert rows["seconds"].between(0.1, 60).all()
    failed = runs["safeguard-mxfp4-recorded"].rows.query("outcome == 'api_error'")
    silent = ["correct", "answer", "content", "seconds"]
    assert failed[silent].isna().all(axis=None)
    assert set(failed["error"]) == {"API error: 'choices'"}


def test_what_our_reader_grades_otherwise_is_listed_and_not_changed(runs):
    told = runs["inferenceillusionist-4bit-recorded"].manifest["regraded"]
    found = {"recorded": False, "reread": True, "answer": ["d"]}
    assert told == [{"problem_id": "116A4"} | found]
    rows = runs["inferenceillusionist-4bit-recorded"].rows.set_index("problem_id")
    assert rows.loc["116A4", "answer"] == ("a", "d", "e")
    assert not rows.loc["116A4", "correct"]
    assert runs["openai-8bit-recorded"].manifest["regraded"] == []


def test_igakuqas_scorer_strips_no_space_and_gives_116A71_to_all(runs):
    told = {r["problem_id"]: r for r in runs["gpt4-2022"].manifest["regraded"]}
    assert told["116A13"]["reread"] and told["116A13"]["answer"] == ["b", "e"]
    assert told["116A71"]["recorded"] and not told["116A71"]["reread"]
    blank = runs["student-majority-2022"].rows.set_index("problem_id").loc["116A71"]
    assert (blank["outcome"], blank["correct"]) == ("empty", True)


def test_112B30_accepts_a_and_d(take):
    for letter, right in [("a", True), ("d", True), ("b", False)]:
        lines = [{"problem_id": "112B30", "prediction": letter}]
        run = take({f"{letter}.jsonl": lines}, letter, year=2018)
        assert only(run)["correct"] is right


def test_clipped_texts_are_counted(runs):
    for name, (*_, clipped) in VARIANTS.items():
        told = runs[f"{name}-recorded"].manifest["clipped"]
        reasoning = 399 if name.endswith("mt4096") else None
        assert told == {"response": clipped, "reasoning": reasoning}


def test_a_longer_text_shows_that_nothing_was_clipped(take):
    texts = {"116A1": "x" * 200, "116A2": "x" * 201}
    lines = [record(name, "c", response=text) for name, text in texts.items()]
    assert take({"a.jsonl": lines}).manifest["clipped"]["response"] == 0


# --- one record -----------------------------------------------------------------------


def test_rows_and_questions_have_the_keys_of_a_measured_run(take, exam_dir):
    run = take({"a.json": of_model(record())})
    question = igaku.load_exam(2022, data_dir=exam_dir)[0]
    item, attempt = Item(question, [], ""), Attempt(Reply(), 1.0, again=False)
    measured = _row(item, attempt, Graded("empty"), 1, "")
    assert list(only(run)) == list(measured)
    assert run.manifest["questions"][0] == planned(question)


@dataclass(frozen=True)
class Told:
    """A record and what is to become of it: outcome, answer, grade."""

    record: dict
    outcome: str
    answer: list | None
    correct: bool | None


ONE = {
    "answered": Told(record(), "answered", ["c"], True),
    "letters in any order": Told(
        record(prediction="d, a", correct=False), "wrong_cardinality", ["a", "d"], False
    ),
    "a letter that is none of the question's": Told(
        record(prediction="z", correct=False), "unparsable", None, False
    ),
    "blank": Told(record(prediction="", correct=False), "empty", None, False),
    "spaces are blank": Told(
        record(prediction="", response=" \n", correct=False), "empty", None, False
    ),
    "failed": Told(
        {"problem_id": "116A1", "prediction": "ERROR", "correct": False},
        "api_error", None, None,
    ),
    "refused": Told(
        record(prediction="申し訳あり", response="申し訳ありません。", correct=False),
        "refused", None, False,
    ),
    "right, however it was said": Told(
        record(prediction="c", response="画像がありませんので、わかりません。"),
        "answered", ["c"], True,
    ),
    "a number": Told(
        record("116B50", "2.1", correct=False), "answered", ["21"], False
    ),
    "not graded there": Told(
        {"problem_id": "116A1", "prediction": "c"}, "answered", ["c"], True
    ),
    "nor its text kept": Told(
        {"problem_id": "116A1", "prediction": "b"}, "answered", ["b"], False
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE)
def test_a_record_becomes_a_row(case, take):
    told = ONE[case]
    row = only(take({"a.jsonl": [told.record]}))
    found = (row["outcome"], row["answer"], row["correct"])
    assert found == (told.outcome, told.answer, told.correct)
    assert row["raw"] == told.record


texts = st.text(max_size=30) | st.sampled_from(["c", "a, b", "ERROR", "", "ｃ", "2.1"])


@given(
    prediction=texts,
    response=st.none() | texts,
    correct=st.sampled_from([True, False, None]),
    time=st.none() | st.floats() | st.integers() | st.text(max_size=2),
)
def test_no_record_is_regraded_or_counted_twice(prediction, response, correct, time):
    row = {"problem_id": "116A1", "problem_text": "どれか。", "answer": ["c"]}
    question = igaku.Question.from_record(row | {"choices": list("vwxyz")})
    told = {"problem_id": "116A1", "prediction": prediction, "response": response}
    told |= {"correct": correct, "time": time}
    taken = recorded.Recording(Path("a.jsonl"), "", [told])
    row = recorded._reading(told, taken, question, is_clipped=False).row
    failed = prediction == "ERROR"
    assert (row["outcome"] == "api_error") is (row["correct"] is None) is failed
    assert row["outcome"] in OUTCOMES
    if not failed:
        assert (row["outcome"] == "empty") is (not row["content"].strip())
        if correct is not None:
            assert row["correct"] is correct
    assert row["seconds"] is None or row["seconds"] >= 0
    assert set(row["answer"] or ()) <= set("abcde")


# --- settings, card, prompt -----------------------------------------------------------


def test_the_slug_of_params_brings_its_card(take):
    run = take({"a.json": of_model(record())}, "openai-8bit")
    assert (run.name, run.label) == ("openai-8bit", "openai @8bit")
    assert run.settings["model"] == "openai/gpt-oss-20b@8bit"
    assert run.settings["max_tokens"] is None  # no name says how a.json was asked


def test_the_name_of_the_file_decides_where_the_slug_is_free(take):
    run = take({"gpt-oss-20b-gguf_2022_A.json": of_model(record())}, "again")
    assert (run.name, run.label, run.budget) == ("again", "openai @8bit", 1024)
    assert run.settings["shots"] == 2


def test_an_unknown_model_is_called_by_its_slug(take):
    run = take({"a.json": of_model(record())}, "mine")
    assert (run.label, run.model, run.budget) == ("mine", "some/model", None)


def test_the_system_prompt_is_kept(take):
    run = take({"a.json": of_model(record())})
    told = [run.manifest[name] for name in ("system_prompt", "recorded_model")]
    assert told == ["選べ。", "some/model"]
    assert re.fullmatch("[0-9a-f]{64}", run.manifest["system_prompt_sha256"])


def test_the_prompt_is_where_comparisons_look_for_it(take):
    first = take({"a.json": of_model(record())})
    assert condition(first)["prompt"] == "baseline"
    assert condition(take({"b.jsonl": [record()]}, "b"))["prompt"] is None
    details = {"strict": [record()]}
    told = of_model(details=details, prompts={"strict": "一字。"})
    other = take({"a.json": told}, "other", prompt="strict")
    assert unlike(first, other) == ["prompt"]


def test_a_folder_of_the_version_before_tells_its_prompt_and_may_be_imported_again(
    take,
):
    run = take({"a.json": of_model(record())})
    path = run.folder / "manifest.json"
    new = path.read_bytes()
    told = json.loads(new)
    told["prompt"] = told["settings"].pop("prompt")
    path.write_text(json.dumps(told), encoding="utf-8")
    assert condition(load_run(run.folder))["prompt"] == "baseline"
    take({"a.json": of_model(record())})
    assert path.read_bytes() == new
    told["prompt"] = "strict"
    path.write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(IgakuError, match="something other"):
        take({"a.json": of_model(record())})


def test_the_answers_to_another_prompt(take):
    details = {"baseline": [record()], "strict": [record(prediction="b")]}
    told = of_model(details=details, prompts={"baseline": "選べ。", "strict": "一字。"})
    run = take({"a.json": told}, prompt="strict")
    assert only(run)["answer"] == ["b"]
    assert run.manifest["system_prompt"] == "一字。"
    with pytest.raises(IgakuError, match="'baseline', 'strict'"):
        take({"a.json": told}, "other", prompt="lax")


def test_a_file_that_stopped_is_unfinished(take):
    lines = [record(f"116A{n}") for n in range(1, 31)]
    run = take({"a.json": of_model(*lines)})
    assert (run.asked, run.planned, str(status_of(run))) == (30, 400, "INCOMPLETE")


# --- files that are no run ------------------------------------------------------------

OTHER_PROMPT = {"prompts": {"baseline": "別。"}}
REFUSED = {
    "no file": ({}, "No files"),
    "twice in a file": ({"a.jsonl": [record(), record()]}, "116A1 is answered twice"),
    "twice in two": (
        {"a.json": of_model(record()), "b.json": of_model(record())},
        "answered twice, in .*a.json and in .*b.json",
    ),
    "two models": (
        {
            "a.json": of_model(record()),
            "b.json": of_model(record("116A2"), model="other"),
        },
        "models differ .some/model and other.",
    ),
    "two runs by name": (
        {
            "x_2022_A.json": of_model(record()),
            "y_2022_B.json": of_model(record("116B1")),
        },
        "file names differ .x and y.",
    ),
    "two systems": (
        {"116-A_x.jsonl": [record()], "116-B_y.jsonl": [record("116B1")]},
        "file names differ .x and y.",
    ),
    "two prompts": (
        {
            "a.json": of_model(record()),
            "b.json": of_model(record("116A2"), **OTHER_PROMPT),
        },
        "system prompts differ",
    ),
    "two exams": (
        {"a.jsonl": [record()], "b.jsonl": [record("112A1")]},
        "b.jsonl answers '112A1', which is no question of exam 2022",
    ),
    "no such question": ({"a.jsonl": [record("116A76")]}, "'116A76'"),
    "torn": ({"a.json": as_bytes(of_model(record()))[:-9]}, "a.json is torn"),
    "nothing": ({"a.json": b""}, "a.json is torn"),
    "no text": ({"a.json": b"\xff\xfe\xfa"}, "a.json is torn"),
    "a foreign list": ({"a.json": b"[1, 2]"}, "holds no recorded results"),
    "a foreign object": ({"a.json": {"model": "x"}}, "holds no recorded results"),
    "foreign lines": ({"a.jsonl": [{"text": "x"}]}, "holds no recorded results"),
    "empty lines": ({"a.jsonl": b"\n\n"}, "holds no recorded results"),
    "no details": ({"a.json": of_model()}, "holds no recorded results"),
    "a record torn": (
        {"a.json": of_model(record(), {"problem_id": "116A2"})}, "Record 2 of"
    ),
    "a number for text": ({"a.json": of_model(record(response=3))}, "Record 1 of"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_one_run_is_a_sentence_and_leaves_nothing(case, take, tmp_path):
    files, words = REFUSED[case]
    with pytest.raises(IgakuError, match=words) as refused:
        take(files)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_missing_file_and_a_folder_are_sentences(tmp_path, exam_dir):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(IgakuError, match="cannot be read"):
            igaku.import_recorded([path], tmp_path / "out", "x", data_dir=exam_dir)


def test_one_name_twice_is_refused(tmp_path, exam_dir):
    paths = [tmp_path / folder / "a.jsonl" for folder in "xy"]
    for path, problem in zip(paths, ("116A1", "116A2"), strict=True):
        path.parent.mkdir()
        path.write_bytes(as_bytes([record(problem)]))
    with pytest.raises(IgakuError, match=r"a\.jsonl is given 2 times"):
        igaku.import_recorded(paths, tmp_path / "out", "x", data_dir=exam_dir)


@pytest.mark.parametrize("slug", ["", "../up", "a/b"])
def test_a_slug_is_the_name_of_a_folder(slug, take):
    with pytest.raises(IgakuError, match="slug"):
        take({"a.jsonl": [record()]}, slug)


def test_torn_lines_are_left_out_and_named(take):
    torn = as_bytes([record()]) + b'{"problem_id": "116A2", "predic\n[]\n\n'
    with pytest.warns(UserWarning, match=r"a\.jsonl, lines 2, 3: .*left out"):
        run = take({"a.jsonl": torn + as_bytes([record("116A3")])})
    assert run.rows["problem_id"].tolist() == ["116A1", "116A3"]
    (note,) = run.manifest["notes"]
    assert "lines 2, 3" in note
    assert status_of(run).name == "INCOMPLETE"


# --- the folder -----------------------------------------------------------------------


def bytes_of(folder):
    return [(folder / name).read_bytes() for name in ("answers.jsonl", "manifest.json")]


def test_the_same_import_again_leaves_the_same_bytes(take):
    files = {"a.json": of_model(record(), record("116A2"))}
    folder = take(files).folder
    before = bytes_of(folder)
    take(files)
    assert bytes_of(folder) == before


def test_an_import_that_was_killed_is_made_whole(take):
    files = {"a.json": of_model(record(), record("116A2"))}
    folder = take(files).folder
    whole = bytes_of(folder)
    (folder / "answers.jsonl").unlink()
    take(files)
    assert bytes_of(folder) == whole


@pytest.mark.parametrize(
    "files",
    [
        {"a.json": of_model(record(prediction="b"))},
        {"b.json": of_model(record())},
        {"a.json": of_model(record()), "b.json": of_model(record("116A2"))},
    ],
)
def test_other_files_are_refused_and_nothing_is_lost(files, take):
    folder = take({"a.json": of_model(record())}).folder
    before = bytes_of(folder)
    with pytest.raises(IgakuError, match="give another slug"):
        take(files)
    assert bytes_of(folder) == before


def test_the_answers_to_another_prompt_are_another_run(take):
    told = of_model(details={"baseline": [record()], "strict": [record()]})
    take({"a.json": told})
    with pytest.raises(IgakuError, match="give another slug"):
        take({"a.json": told}, prompt="strict")


def test_a_run_or_any_other_folder_is_refused(take, tmp_path):
    folder = tmp_path / "out" / "mine"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(IgakuError, match="give another slug"):
        take({"a.json": of_model(record())})
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    (folder / "notes.txt").unlink()
    assert take({"a.json": of_model(record())}).asked == 1


def test_a_run_goes_on_only_where_it_was_asked(take):
    manifest = take({"a.json": of_model(record())}, "openai-8bit").manifest
    assert "condition" not in manifest  # by which igaku.manifest knows an import


def test_the_order_of_files_is_all_the_same(take, shared, tmp_path, exam_dir):
    files = sorted((shared / "data/recorded").glob("gpt-oss-20b-mlx-q4_2022_?.json"))
    written = [
        bytes_of(igaku.import_recorded(order, tmp_path / place, "q4", 2022, exam_dir))
        for place, order in [("one", files), ("two", files[::-1])]
    ]
    assert written[0] == written[1]


# --- igaku import ---------------------------------------------------------------------


def igaku_import(*words):
    return CliRunner().invoke(app, ["import", *map(str, words)])


def test_the_command_groups_a_folder_by_name(shared, exam_dir, tmp_path):
    source = shared / "data" / "recorded"
    done = igaku_import(source, "--outputs", tmp_path, "--data", exam_dir)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 7
    assert "mxfp4-q4-recorded: 17/125 correct, 87 blank, 5 API errors" in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{slug}-recorded" for slug in VARIANTS}


def test_the_command_goes_on_past_a_group_that_fails(exam_dir, tmp_path):
    (tmp_path / "a_2022_A.json").write_bytes(b"{")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "My Model_2022_A.json").write_bytes(
        as_bytes(of_model(record()))
    )
    (tmp_path / "notes.json").write_text("{}")  # no name of results
    out = tmp_path / "out"
    done = igaku_import(tmp_path, "--outputs", out, "--data", exam_dir)
    assert done.exit_code != 0
    assert "my-model-recorded: 1/1 correct" in done.stdout
    assert "a-recorded: " in done.stderr and "torn" in done.stderr
    assert "a-recorded" in str(done.exception)
    assert [path.name for path in out.iterdir()] == ["my-model-recorded"]


def test_the_command_takes_one_name_for_all(exam_dir, tmp_path):
    for section in "AB":
        file = tmp_path / f"part-{section}.json"
        file.write_bytes(as_bytes(of_model(record(f"116{section}1"))))
    files = sorted(tmp_path.glob("*.json"))
    options = ["--slug", "mine", "--outputs", tmp_path / "out", "--data", exam_dir]
    assert igaku_import(*files, *options).exit_code == 0
    assert load_run(tmp_path / "out" / "mine").asked == 2


def test_the_year_is_the_names_else_the_options(exam_dir, tmp_path):
    (tmp_path / "112-A_x.jsonl").write_bytes(as_bytes([record("112A1")]))
    (tmp_path / "y.jsonl").write_bytes(as_bytes([record("112A2")]))
    options = ["--outputs", tmp_path / "out", "--data", exam_dir]
    assert igaku_import(tmp_path / "112-A_x.jsonl", *options).exit_code == 0
    assert igaku_import(tmp_path / "y.jsonl", *options, "--year", 2018).exit_code == 0
    found = {run.name: run.exam for run in find_runs(tmp_path / "out")}
    assert found == {"x-2018-recorded": "2018", "y-2018-recorded": "2018"}


def test_a_path_that_is_not_there_or_holds_nothing_is_a_sentence(tmp_path):
    for path, words in [(tmp_path / "x", "no file or folder"), (tmp_path, "no recor")]:
        with pytest.raises(IgakuError, match=words):
            recorded.import_folder([path], tmp_path / "out")


# --- several prompts, one rule --------------------------------------------------------


def of_prompts(**records):
    return of_model() | {"details": {name: list(r) for name, r in records.items()}}


@pytest.fixture
def brought(tmp_path, exam_dir):
    """What becomes of a folder with a file of these prompts' records."""

    def _brought(told, name="mine_2022_A.json", **options):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(json.dumps(told))
        out = tmp_path / "out"
        options = {"data_dir": exam_dir} | options
        made = recorded.import_folder([tmp_path / "in"], out, **options)
        return {run.run: run for run in made}, out

    return _brought


def test_each_prompt_is_a_run_of_its_own(brought):
    told = of_prompts(
        baseline=[record()], strict=[record(prediction="b", correct=False)]
    )
    made, out = brought(told)
    assert list(made) == ["mine-recorded", "mine-recorded-strict"]
    frame = igaku.runs(out).set_index("run")
    assert frame["right"].to_dict() == {"mine-recorded": 1, "mine-recorded-strict": 0}
    assert list(frame["label"]) == ["some/model", "some/model (strict)"]
    pairs = igaku.pairs(out)
    assert set(pairs["family"]) <= {"settings"}  # two prompts are no repeat
    alarms = igaku.audit(out).set_index("kind")
    assert alarms.loc["other_settings", "facts"]["setting"] == "prompt"


def test_one_prompt_is_taken_by_its_name(brought):
    told = of_prompts(
        baseline=[record()], strict=[record(prediction="b", correct=False)]
    )
    made, out = brought(told, prompt="strict")
    assert list(made) == ["mine-recorded"]
    assert load_run(out / "mine-recorded").settings["prompt"] == "strict"
    made, _ = brought(told, prompt="loud")
    assert "'baseline', 'strict'" in made["mine-recorded"].trouble


def test_an_only_prompt_needs_no_name(brought, take):
    told = of_prompts(strict=[record()])
    made, _ = brought(told)
    assert list(made) == ["mine-recorded"] and made["mine-recorded"].folder
    assert take({"a.json": told}).settings["prompt"] == "strict"


@pytest.mark.parametrize("correct", [True, False])
def test_right_and_wrong_are_judged_by_one_rule(take, correct):
    text = "この情報だけでは何とも言い難い症例である。"
    lines = [
        record("116A1", "c", response=text, correct=correct),
        record("116A2", "?", response=text, correct=correct),
    ]
    run = take({"a.jsonl": lines}, f"run{correct}")
    assert run.rows["outcome"].tolist() == ["answered", "unparsable"]
    assert run.rows["correct"].tolist() == [correct, correct]


def test_only_whole_texts_are_read_again(take):
    clipped = "答え: b。" + "あ" * 200
    lines = [
        record("116A1", "c", response=clipped[:200]),
        record("116A2", "c", response="答え: b", correct=True),
        {"problem_id": "116A3", "prediction": "c", "correct": True},
    ]
    run = take({"a.jsonl": lines})
    assert [told["problem_id"] for told in run.manifest["regraded"]] == ["116A2"]
    assert run.manifest["read_again"] == 1


def test_a_prompt_without_answers_is_no_run(brought):
    made, _ = brought(of_prompts(baseline=[record()], strict=[]))
    assert list(made) == ["mine-recorded"] and made["mine-recorded"].folder


def test_prompts_in_files_of_their_own_do_not_mix(tmp_path, exam_dir):
    for section, name in [("A", "baseline"), ("B", "format_strict")]:
        told = of_prompts(**{name: [record(f"116{section}1")]})
        (tmp_path / f"mine_2022_{section}.json").write_bytes(as_bytes(told))
    done = igaku_import(tmp_path, "--outputs", tmp_path / "out", "--data", exam_dir)
    assert done.exit_code == 0
    runs = {run.name: run for run in find_runs(tmp_path / "out")}
    assert list(runs) == ["mine-recorded", "mine-recorded-format_strict"]
    assert [run.asked for run in runs.values()] == [1, 1]
    with pytest.raises(IgakuError, match="has no answers to the prompt 'baseline'"):
        files = tmp_path.glob("*.json")
        igaku.import_recorded(files, tmp_path / "out", "x", data_dir=exam_dir)


def test_lines_that_name_no_prompt_go_with_the_default_ones(tmp_path, exam_dir):
    told = of_prompts(baseline=[record()], strict=[record()])
    (tmp_path / "mine_2022_A.json").write_bytes(as_bytes(told))
    (tmp_path / "mine_2022_B.jsonl").write_bytes(as_bytes([record("116B1")]))
    made = recorded.import_folder([tmp_path], tmp_path / "out", data_dir=exam_dir)
    asked = {run.run: load_run(run.folder).asked for run in made}
    assert asked == {"mine-recorded": 2, "mine-recorded-strict": 1}


def test_prompts_whose_names_are_alike_are_two_runs(brought):
    told = of_prompts(Lax=[record()], lax=[record()], 厳密=[record()])
    made, out = brought(told)
    assert [run.trouble for run in made.values()] == [None] * 3
    found = {run.name: run.settings["prompt"] for run in find_runs(out)}
    assert found == {
        "mine-recorded-lax": "Lax",
        "mine-recorded-lax-2": "lax",
        "mine-recorded-2": "厳密",
    }


def test_the_command_takes_one_prompt(exam_dir, tmp_path):
    told = of_prompts(baseline=[record()], strict=[record()])
    (tmp_path / "mine_2022_A.json").write_bytes(as_bytes(told))
    options = ["--outputs", tmp_path / "out", "--data", exam_dir, "--prompt"]
    assert igaku_import(tmp_path, *options, "strict").exit_code == 0
    (run,) = find_runs(tmp_path / "out")
    assert (run.name, run.settings["prompt"]) == ("mine-recorded", "strict")
    done = igaku_import(tmp_path, *options, "loud")
    assert done.exit_code != 0
    assert "'baseline', 'strict'" in done.stderr


def test_a_card_says_which_prompt_and_publishes_nothing_for_another(brought):
    told = of_prompts(baseline=[record()], strict=[record()])
    _, out = brought(told, "gpt-oss-20b-gguf_2022_A.json")
    plain, strict = (
        load_run(out / f"openai-8bit-recorded{x}") for x in ("", "-strict")
    )
    assert (plain.label, strict.label) == ("openai @8bit", "openai @8bit (strict)")
    assert plain.published["source"] and "source" not in strict.published
    assert strict.budget == 1024


def test_one_name_for_two_wordings_is_an_alarm(tmp_path, exam_dir):
    for name, words in [("x", "選べ。"), ("y", "選べ。"), ("z", "考えて選べ。")]:
        told = of_model(record(), prompts={"baseline": words}, model=name)
        (tmp_path / f"{name}_2022_A.json").write_bytes(as_bytes(told))
    recorded.import_folder([tmp_path], tmp_path / "out", data_dir=exam_dir)
    alarms = igaku.audit(tmp_path / "out").set_index("kind")
    assert alarms.loc["other_wording", "runs"] == ("z-recorded",)


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize(
    ("prediction", "answer"),
    [("C", ["c"]), ("a、c", ["a", "c"]), ("ca", ["a", "c"]), ("c a", ["a", "c"])],
)
def test_recorded_letters_are_read_however_they_are_listed(
    take, prediction, answer, correct
):
    run = take({"a.jsonl": [record(prediction=prediction, correct=correct)]})
    assert only(run)["answer"] == answer
    assert only(run)["correct"] is correct


@pytest.mark.parametrize(("prediction", "digits"), [("2.1 g/日", "21"), (".4", "04")])
def test_recorded_numbers_are_the_digits_of_their_boxes(take, prediction, digits):
    response = "四捨五入による。"
    run = take({"a.jsonl": [record("116B50", prediction, response=response)]})
    assert (only(run)["outcome"], only(run)["answer"]) == ("answered", [digits])


def test_a_text_that_its_recorder_cut_is_not_read_again(take):
    long = ("答え: b。" + "あ" * 300)[:200]
    texts = [long, "答え: b。" + "あ" * 90 + "...", "答え: b。という…", "答え: b。"]
    lines = [record(f"116A{n}", "c", response=t) for n, t in enumerate(texts, 1)]
    manifest = take({"a.jsonl": lines}).manifest
    assert [told["problem_id"] for told in manifest["regraded"]] == ["116A4"]
    assert (manifest["read_again"], manifest["not_read_again"]) == (1, 3)


def test_whether_texts_were_cut_is_told_by_all_files_of_a_run(take):
    text = ("答え: b。" + "あ" * 300)[:200]
    files = {
        "a.jsonl": [record(response=text)],
        "b.jsonl": [record("116B1", response="あ" * 300, correct=False)],
    }
    assert [t["problem_id"] for t in take(files).manifest["regraded"]] == ["116A1"]


def test_errors_are_neither_read_again_nor_not(take):
    lines = [record(), {"problem_id": "116A2", "prediction": "ERROR"}]
    manifest = take({"a.jsonl": lines}).manifest
    assert (manifest["read_again"], manifest["not_read_again"]) == (1, 0)
