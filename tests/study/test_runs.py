import hashlib
import json
import math
import re
import subprocess
import sys
import warnings

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from no_files import NO_FILES
from runs import planned, replied, sit

import igaku
import igaku.study
from igaku.errors import IgakuError
from igaku.reading.readings import READER
from igaku.study import answers, scoring
from igaku.study.answers import COLUMNS
from igaku.study.audits import unread
from igaku.study.families import open_study
from igaku.study.runs import find_runs, load_runs, unmeasured

GOLD = {"900A1": ["a"], "900A2": ["b", "c"], "900B1": ["12"]}


def answer(problem_id="900A1", **changes):
    row = {
        "problem_id": problem_id,
        "section": problem_id[3],
        "outcome": "answered",
        "answer": ["a"],
        "correct": True,
        "content": "答え: a",
        "reasoning": "まず a",
        "finish_reason": "stop",
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "reasoning_tokens": 40,
        "reasoning_tokens_estimated": False,
        "seconds": 1.5,
        "tokens_per_second": 33.3,
        "served_model": "m",
        "attempts": 1,
        "prompt_sha256": "0012",
        "error": None,
        "raw": {"choices": []},
        "asked_at": "2026-02-07T10:00:00+00:00",
    }
    return row | changes


def manifest(**changes):
    questions = [
        {"problem_id": name, "section": name[3], "gold": gold, "points": 1}
        for name, gold in GOLD.items()
    ]
    settings = {"model": "m", "slug": "m", "exam": "calibration", "max_tokens": 50}
    return {
        "settings": settings,
        "card": {"label": "Emm"},
        "questions": questions,
    } | changes


@pytest.fixture
def write(tmp_path):
    def _write(lines, run="one", about=None):
        folder = tmp_path / run
        folder.mkdir(exist_ok=True)
        shown = [
            line
            if isinstance(line, bytes)
            else json.dumps(line, ensure_ascii=False).encode()
            for line in lines
        ]
        (folder / "answers.jsonl").write_bytes(b"".join(line + b"\n" for line in shown))
        if about is not None:
            (folder / "manifest.json").write_text(json.dumps(about), encoding="utf-8")
        return tmp_path

    return _write


def test_a_row_per_question_with_every_column_typed(write):
    rows = load_runs(write([answer(), answer("900B1")], about=manifest()))
    assert list(rows.columns) == list(COLUMNS)
    assert rows["problem_id"].tolist() == ["900A1", "900B1"]
    assert {str(rows[c].dtype) for c in ("prompt_tokens", "attempts", "points")} == {
        "Int64"
    }
    assert {str(rows[c].dtype) for c in ("correct", "text_only")} == {"boolean"}
    assert str(rows["seconds"].dtype) == "Float64"
    assert str(rows["asked_at"].dtype).endswith("UTC]")
    assert rows.loc[0, ["model", "label", "exam", "origin"]].tolist() == [
        "m",
        "Emm",
        "calibration",
        "measured",
    ]
    assert rows["gold"].tolist() == [("a",), ("12",)]
    assert rows["max_tokens"].tolist() == [50, 50]


def test_a_budget_that_is_not_known_is_missing(write):
    about = manifest(settings={"model": "m", "max_tokens": "many"})
    rows = load_runs(write([answer()], about=about))
    assert str(rows["max_tokens"].dtype) == "Int64" and rows["max_tokens"].isna().all()


def test_digits_stay_text(write):
    line = answer("900B1", answer=["0012"], content="0012", served_model="2018")
    row = load_runs(write([line], about=manifest())).iloc[0]
    assert (row["answer"], row["content"]) == (("0012",), "0012")
    assert (row["served_model"], row["prompt_sha256"]) == ("2018", "0012")


def test_unknown_is_missing_and_never_zero(write):
    line = answer(completion_tokens=None, seconds=None, correct=None, answer=None)
    rows = load_runs(write([line], about=manifest()))
    assert rows[["completion_tokens", "seconds", "correct"]].isna().all(axis=None)
    assert rows.loc[0, "answer"] is None
    assert pd.isna(rows["completion_tokens"].sum(min_count=1))


def test_a_value_of_another_type_is_missing(write):
    odd = answer(completion_tokens="many", seconds=math.inf, attempts=True)
    rows = load_runs(write([odd], about=manifest()))
    assert rows[["completion_tokens", "seconds", "attempts"]].isna().all(axis=None)
    assert len(rows) == 1


@pytest.mark.parametrize("odd", [{"correct": "yes"}, {"answer": 5}, {"outcome": "zzz"}])
def test_a_value_that_cannot_be_is_not_believed(odd, write):
    (name,) = odd
    with pytest.warns(UserWarning, match=f"line 2: not an answer .its {name} cannot"):
        rows = load_runs(write([answer(), answer("900B1", **odd)], about=manifest()))
    assert rows["problem_id"].tolist() == ["900A1"]


def test_a_number_that_cannot_be_held_exactly_is_missing(write):
    fits = answer(completion_tokens=2**53 - 1, prompt_tokens=3.0, seconds=0)
    beyond = answer(
        "900B1", completion_tokens=2**53, prompt_tokens=2.5, seconds=10**400
    )
    rows = load_runs(write([fits, beyond], about=manifest()))
    columns = ["completion_tokens", "prompt_tokens", "seconds"]
    assert rows.loc[0, columns].tolist() == [2**53 - 1, 3, 0.0]
    assert rows.loc[1, columns].isna().all()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b'{"problem_id": "900A2", "outc', "torn"),
        (b"\xff\xfe", "torn"),
        (b"[" * 100_000, "torn"),
        (b"[1, 2]", "not an answer"),
        (b'{"id": "chatcmpl-x"}', "not an answer"),
        (json.dumps(answer("116A9")).encode(), "not of this run"),
        (json.dumps(answer(correct=False)).encode(), "earlier line"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_is_read(write, bad, said):
    folder = write([answer(), bad, answer("900B1")], about=manifest())
    with pytest.warns(UserWarning, match=rf"one/answers.jsonl, line 2: .*{said}"):
        rows = load_runs(folder)
    assert rows["problem_id"].tolist() == ["900A1", "900B1"]
    assert rows["correct"].tolist() == [True, True]


def test_bytes_that_are_no_text_are_named_also_where_nothing_reads_them(write):
    torn = json.dumps(answer("900A2")).encode().replace(b'"choices"', b'"\xff"')
    folder = write([answer(), torn, answer("900B1")], about=manifest())
    for whole in (True, False):
        with pytest.warns(UserWarning, match=r"line 2: torn"):
            rows = load_runs(folder, raw=whole, texts=whole)
        assert rows["problem_id"].tolist() == ["900A1", "900B1"]


def test_a_line_is_one_answer(write):
    two, half = b"%s %s", json.dumps(answer("900B1")).encode()
    first, second = (json.dumps(answer(name)).encode() for name in ("900A1", "900A2"))
    folder = write([two % (first, second), half[:9], half[9:]], about=manifest())
    with pytest.warns(UserWarning, match=r"lines 1, 2, 3: torn"):
        assert load_runs(folder).empty


def test_one_odd_line_changes_no_other(write):
    lines = [answer(), answer("900A2", answer="b", seconds=2, served_model=None)]
    strict = load_runs(write(lines, "strict", manifest()))
    odd = answer("900B1", attempts=1.0, answer="12", content=7, asked_at=True)
    rows = load_runs(write([*lines, odd], "strict", manifest()))
    pd.testing.assert_frame_equal(rows.iloc[:2], strict)
    last = rows.iloc[2]
    assert (last["attempts"], last["answer"], last["content"]) == (1, ("12",), "7")
    assert pd.isna(last["asked_at"])


def test_many_bad_lines_are_one_sentence(write):
    run = find_runs(write([b"{"] * 9, about=manifest()))[0]
    assert len(run.notes) == 1
    assert "lines 1, 2, 3, 4, 5 and 4 more" in run.notes[0]


@pytest.mark.parametrize("about", [None, b"{", b"[]", b"\xff"])
def test_a_run_without_a_readable_manifest_still_loads(write, about):
    folder = write([answer()])
    if about is not None:
        (folder / "one" / "manifest.json").write_bytes(about)
    with pytest.warns(UserWarning, match="one/manifest.json"):
        rows = load_runs(folder)
    assert rows.loc[0, "label"] == "one"
    assert rows.loc[0, "gold"] is None


def test_a_reply_may_hold_line_separators_and_half_a_surrogate_pair(write):
    torn = json.dumps(answer("900B1", content="\ud83d")).encode()
    folder = write([answer(content="a\u2028b\x85c"), torn], about=manifest())
    rows = load_runs(folder)
    assert rows.loc[0, "content"] == "a\u2028b\x85c"
    assert rows.loc[1, "content"].encode() == b"?"


def test_two_runs_with_one_label_are_told_apart(write):
    write([answer()], "one", manifest())
    folder = write([answer()], "two", manifest())
    told = ["Emm (one)", "Emm (two)"]
    assert [run.label for run in find_runs(folder)] == told
    assert load_runs(folder)["label"].tolist() == told


def test_an_empty_folder_is_a_warning_and_a_missing_one_an_error(tmp_path):
    with pytest.warns(UserWarning, match="holds no runs"):
        rows = load_runs(tmp_path)
    assert list(rows.columns) == list(COLUMNS)
    assert rows.empty
    with pytest.raises(IgakuError, match="nowhere"):
        load_runs(tmp_path / "nowhere")


def test_an_empty_answers_file_is_a_run_without_rows(write):
    run = find_runs(write([], about=manifest()))[0]
    assert (run.asked, run.planned, run.is_complete) == (0, 3, False)


def test_bodies_may_be_left_out(write):
    rows = load_runs(write([answer()], about=manifest()), raw=False)
    assert "raw" not in rows
    whole = load_runs(write([answer()], about=manifest()))
    assert whole.loc[0, "raw"] == {"choices": []}


def test_texts_may_be_left_out_and_what_they_show_stays(write):
    lines = [
        answer(content="答え: a"),
        answer("900A2", content=" \n\u3000", reasoning=None),
        answer("900B1", outcome="api_error", content=None, reasoning=None),
    ]
    folder = write(lines, about=manifest())
    whole = load_runs(folder)
    lean = load_runs(folder, texts=False)
    pd.testing.assert_frame_equal(whole.drop(columns=["content", "reasoning"]), lean)
    assert lean["blank"].tolist() == [False, True, False]
    expected = hashlib.sha256("答え: a".encode()).hexdigest()
    assert lean.loc[0, "reply_sha256"] == expected
    (run,) = find_runs(folder, texts=False)
    assert list(run.rows.columns) == [c for c in lean.columns if c != "raw"]
    assert scoring.blank(run.rows).tolist() == [False, True, False]


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("raw", [True, False])
def test_a_long_file_is_read_in_batches_as_it_is_at_once(
    write, monkeypatch, texts, raw
):
    long = "So a. " * 2000
    lines = [
        answer(content=long, raw={"id": "r1"}),
        b'{"torn',
        answer("900A2", content=" " * 9000, reasoning=long),
        answer(content="a second answer"),
        b"",
        answer("900Z9"),
        answer("900B1", outcome="api_error", content=None, raw=None),
    ]
    folder = write(lines, about=manifest())
    at_once = find_runs(folder, raw, texts)[0]
    monkeypatch.setattr(answers, "BATCH", 100)
    batched = find_runs(folder, raw, texts)[0]
    pd.testing.assert_frame_equal(at_once.rows, batched.rows)
    assert at_once.notes == batched.notes and len(batched.notes) == 3
    assert batched.rows.loc[0, "reply_id"] == "r1"


PEAK = """
import resource, sys
from igaku.study.runs import load_run
rows = load_run(sys.argv[1], texts=False).rows
print(len(rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_a_long_file_takes_little_memory_without_its_texts(write):
    def peak(run, size):
        text = "so, " * (size // 12)
        lines = [answer(f"900A{n}", content=text, reasoning=text, raw={"text": text},
                        reader=READER)
                 for n in range(200)]  # fmt: skip
        command = [sys.executable, "-c", PEAK, str(write(lines, run) / run)]
        told = subprocess.run(command, capture_output=True, check=True).stdout
        rows, memory = map(int, told.split())
        assert rows == 200
        return memory * (1 if sys.platform == "darwin" else 1024)

    assert peak("long", 500_000) - peak("short", 600) < 60e6  # of a file of 100 MB


def test_replies_of_one_text_have_one_hash(write):
    write([answer(content="a"), answer("900A2", content="b")], "one", manifest())
    folder = write([answer(content="a"), answer("900A2", content="a")], "two")
    with pytest.warns(UserWarning, match="two/manifest.json"):
        hashes = load_runs(folder, texts=False)["reply_sha256"].tolist()
    assert hashes[0] == hashes[2] == hashes[3] != hashes[1]


def test_each_run_keeps_its_own_questions(write):
    other = manifest()
    other["questions"] = [dict(q, gold=["e"]) for q in other["questions"][:2]]
    write([answer("900B1"), answer()], "one", manifest())
    write([answer("900A2"), answer()], "three", other)
    one, three, two = find_runs(write([answer()], "two", manifest()))
    # In exam order, whatever order the replies came in.
    assert one.rows["problem_id"].tolist() == ["900A1", "900B1"]
    assert one.rows["gold"].tolist() == [("a",), ("12",)]
    assert three.rows["gold"].tolist() == [("e",), ("e",)]
    assert two.rows["gold"].tolist() == [("a",)]
    assert (one.planned, three.planned, two.planned) == (3, 2, 3)


def test_a_changed_table_changes_no_other_run(write):
    write([answer()], "one", manifest())
    one, two = find_runs(write([answer()], "two", manifest()))
    one.rows.loc[0, "section"] = "Z"
    one.plan.loc[0, "section"] = "Z"
    assert two.rows.loc[0, "section"] == "A"
    assert two.plan.loc[0, "section"] == "A"


def test_lab_runs_say_so(write):
    about = manifest()
    about["settings"]["base_url"] = "lab"
    assert find_runs(write([answer()], about=about))[0].is_lab


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=3),
    st.just("\ud83d"),
    st.just("2026-02-07T10:00:00.5+00:00"),
    st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 9)), max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(answer())), VALUES))
def test_a_strict_line_reads_as_it_would_with_care(changes):
    line = json.dumps(answer() | changes).encode()
    shape = answers._shape(answers.columns_of(raw=True, texts=True))
    (strict,) = answers._strictly(line + b"\n", shape) or [None]
    if strict is None:
        return
    ((_, careful),) = answers._carefully(line, shape)
    for name in shape.__struct_fields__:
        read, kind = [], answers.COLUMNS[name]
        for each in (strict, careful):
            read.append(pd.Series(answers.typed([getattr(each, name)], kind)))
        pd.testing.assert_series_equal(*read)


# --- which weights answered -----------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"status": "verified"}, "verified"),
        ({"status": "unverified"}, "unverified"),
        ({"status": "wrong_model"}, "wrong_model"),
        ({"status": "something new"}, "unverified"),
        (["odd"], "unverified"),
        (None, "unverified"),
    ],
)
def test_weights_are_verified_only_where_the_manifest_says_so(tmp_path, told, known):
    assert sit(tmp_path, [True], identity=told).identity == known


def test_one_reply_of_another_model_outweighs_the_listing(tmp_path):
    rows = [replied(q) for q in planned(3)]
    rows[2] |= {"outcome": "wrong_model"}
    run = sit(tmp_path, None, rows=rows, identity={"status": "verified"})
    assert run.identity == "wrong_model"


def test_only_jobs_that_failed_without_an_answer_are_unmeasured(tmp_path):
    sit(tmp_path, [True], "done")
    for name, text in {
        "done": '{"state": "failed"}',
        "gone": '{"state": "failed", "why": "It is not there.", "run": "x"}',
        "busy": '{"state": "running"}',
        "torn": '{"state": ',
    }.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "job.json").write_text(text)
    (job,) = unmeasured(tmp_path)
    assert job["run"] == "gone" and job["why"] == "It is not there."


# --- a folder that cannot be read, beside others --------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize("put", NO_FILES)
def test_a_run_that_cannot_be_read_hides_no_other(tmp_path, put):
    for name in ("bad", "good"):
        sit(tmp_path, [True, False], name)
    (tmp_path / "bad" / "answers.jsonl").unlink()
    put(tmp_path / "bad" / "answers.jsonl")
    said = r"^bad/answers.jsonl is a \w+ where a file belongs: move it away"
    with pytest.warns(UserWarning, match=said) as told:
        replies = load_runs(tmp_path)
    assert len(told) == 1 and set(replies["run"]) == {"good"}
    with pytest.warns(UserWarning, match=said):
        study = open_study(tmp_path)
    assert igaku.runs(study)["run"].tolist() == ["good"]
    (alarm,) = unread(study)
    assert alarm.runs == ("bad",) and re.match(said, alarm.facts["note"])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("put", NO_FILES)
@pytest.mark.parametrize("name", ["manifest.json", "probe.jsonl", "job.json",
                                  ".reading.jsonl", "adjudicated.csv"])  # fmt: skip
def test_what_is_no_file_beside_the_replies_leaves_them_shown(tmp_path, put, name):
    for run in ("bad", "good"):
        sit(tmp_path, None, run, rows=[replied(q, reader=None) for q in planned(2)])
    (tmp_path / "bad" / name).unlink(missing_ok=True)
    put(tmp_path / "bad" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = open_study(tmp_path)
        igaku.study.survival(study)
    assert [run.asked for run in study.runs] == [2, 2]
    assert unmeasured(tmp_path) == []
    notes = " ".join(study.run("bad").notes)
    assert (f"bad/{name} is a" in notes) == (name in ("manifest.json", "probe.jsonl"))
