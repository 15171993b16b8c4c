"""Replies that an earlier version read, read again from the servers' own bodies."""

import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

from igaku.ask.plan import planned
from igaku.exam.questions import load_exam
from igaku.reading import answer
from igaku.reading.readings import READER
from igaku.study import again, answers
from igaku.study.evidence import wrong_grades
from igaku.study.families import open_study
from igaku.study.runs import find_runs, load_run, load_runs

BUDGET = 100


@pytest.fixture(scope="module")
def questions():
    listed = load_exam("calibration")
    return [q for q in listed if q.kind == "choice" and q.answer == ("d",)][:4]


def body(text, finish="stop", tokens=10, **message):
    said = {"role": "assistant", "content": text} | message
    choice = {"index": 0, "message": said, "finish_reason": finish}
    counts = {"prompt_tokens": 30, "completion_tokens": tokens}
    return {"choices": [choice], "usage": counts}


def old_row(question, text, content=None, letter="d", **changes):
    """A line as version fe0f26e wrote it: no cause, no rule, no reader."""
    return {
        "problem_id": question.problem_id,
        "section": question.section,
        "outcome": "answered",
        "answer": [letter],
        "correct": letter in question.answer,
        "content": text if content is None else content,
        "reasoning": "",
        "finish_reason": "stop",
        "prompt_tokens": 30,
        "completion_tokens": 10,
        "reasoning_tokens": None,
        "reasoning_tokens_estimated": False,
        "served_model": "m",
        "attempts": 1,
        "prompt_sha256": "00",
        "error": None,
        "raw": body(text),
        "asked_at": "2026-02-07T10:00:00+00:00",
    } | changes


@pytest.fixture
def sat(tmp_path, questions):
    """A folder of one run with these rows."""

    def write(rows, name="old", exam="calibration", **about):
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (place / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
        settings = {"model": "m", "slug": name, "exam": exam, "max_tokens": BUDGET}
        told = {"settings": settings, "questions": [planned(q) for q in questions]}
        text = json.dumps(told | about, ensure_ascii=False)
        (place / "manifest.json").write_text(text, encoding="utf-8")
        return place

    return write


THOUGHT = "<seed:think>\nb looks right.\n</seed:think>\n答え: d"


def test_thought_that_was_read_as_the_answer_is_thought(sat, questions):
    place = sat([old_row(questions[0], THOUGHT, letter="b")])
    before = (place / "answers.jsonl").read_bytes()
    row = load_runs(place.parent).iloc[0]
    assert (row["outcome"], row["answer"], row["correct"]) == ("answered", ("d",), True)
    assert row["content"].strip() == "答え: d" and "b looks right" in row["reasoning"]
    start, end = row["span"]
    assert "d" in row["content"][start:end] and row["rule"]
    assert (row["reader"], row["reread"]) == (READER, True)
    assert row["raw"] == body(THOUGHT)
    assert (place / "answers.jsonl").read_bytes() == before


def test_without_texts_the_same_is_read(sat, questions):
    place = sat([old_row(questions[0], THOUGHT, letter="b")])
    lean = load_runs(place.parent, raw=False, texts=False)
    whole = load_runs(place.parent, raw=False)  # from what the first load kept
    assert whole.loc[0, "reasoning"].strip() == "b looks right."
    assert lean.to_dict("records") == whole[lean.columns].to_dict("records")


def test_what_todays_reader_has_read_is_not_read_again(sat, questions, monkeypatch):
    monkeypatch.setattr(answer, "outcome_of", lambda *_: pytest.fail("was read"))
    told = {"reader": READER, "rule": "cue", "permissive": ["b"], "marks": []}
    place = sat([old_row(questions[0], THOUGHT, letter="b", **told)])
    row = load_runs(place.parent).iloc[0]
    assert (row["answer"], row["rule"], row["reread"]) == (("b",), "cue", False)
    assert not (place / again.KEPT).exists()


@pytest.mark.parametrize("text", ["d", "答え: d", "答え:d"])
def test_a_reply_of_nothing_but_its_letter_stays_and_gets_its_rule(
    sat, questions, monkeypatch, text
):
    monkeypatch.setattr(answer, "outcome_of", lambda *_: pytest.fail("was read"))
    place = sat([old_row(q, text) for q in questions])
    rows = load_runs(place.parent, raw=False)
    assert rows["answer"].tolist() == [("d",)] * 4
    assert rows["rule"].notna().all() and set(rows["marks"]) == {()}
    assert rows["permissive"].tolist() == rows["answer"].tolist()
    assert not rows["reread"].any() and not (place / again.KEPT).exists()


def test_a_letter_that_is_not_all_the_server_sent_is_read_again(sat, questions):
    sent = "<seed:think>d?</seed:think>b"
    place = sat([old_row(questions[0], sent, content="d")])
    assert load_runs(place.parent).loc[0, "answer"] == ("b",)


def test_a_letter_at_the_budget_is_read_again(sat, questions):
    cut = {"raw": body("d", "length", BUDGET), "finish_reason": "length"}
    place = sat([old_row(questions[0], "d", completion_tokens=BUDGET, **cut)])
    assert load_runs(place.parent).loc[0, "reader"] == READER
    assert (place / again.KEPT).exists()


# --- what stays -----------------------------------------------------------------------


def test_a_failure_stays_one_and_a_reply_that_was_called_one_is_read(sat, questions):
    none = {"answer": None, "correct": None, "outcome": "api_error", "content": None}
    failed = none | {"error": "out of memory", "raw": {"error": "out of memory"}}
    wrapped = none | {"error": "HTTP 200", "raw": body("答え: d")}
    first, second = (old_row(question, "") for question in questions[:2])
    place = sat([first | failed, second | wrapped])
    rows = load_runs(place.parent)
    assert rows["outcome"].tolist() == ["api_error", "answered"]
    assert rows.loc[0, "error"] == "out of memory" and rows["correct"].isna()[0]
    assert bool(rows.loc[1, "correct"]) and rows["cause"].tolist()[0] == "api"


def test_another_models_reply_stays_out(sat, questions):
    other = {"outcome": "wrong_model", "correct": None}
    place = sat([old_row(questions[0], "答え: d") | other | {"answer": None}])
    row = load_runs(place.parent).iloc[0]
    assert row["outcome"] == "wrong_model" and row["answer"] is None


def test_recorded_answers_are_not_read_here(sat, questions):
    place = sat([old_row(questions[0], THOUGHT, letter="b")], origin="recorded")
    row = load_runs(place.parent).iloc[0]
    assert row["answer"] == ("b",) and not row["doubtful"]


def test_a_row_without_a_body_stays(sat, questions):
    place = sat([old_row(questions[0], THOUGHT, letter="b", raw=None)])
    row = load_runs(place.parent).iloc[0]
    assert row["answer"] == ("b",) and row["permissive"] is None


def test_the_gold_is_the_runs_own(sat, questions):
    about = [planned(q) | {"gold": ["b"], "accepted": [["b"]]} for q in questions]
    old = old_row(questions[0], THOUGHT, letter="b", correct=True)
    place = sat([old], questions=about)
    row = load_runs(place.parent).iloc[0]
    assert row["answer"] == ("d",) and not row["correct"]


@pytest.mark.parametrize(
    ("text", "spoilt"),
    [
        ("d", {"correct": False}),
        ("d", {"answer": ["b"], "correct": False}),
        ("d", {"answer": ["b"], "correct": True}),
        ("答えは d です。", {"correct": False}),
        ("答えは d です。", {"answer": ["b"], "correct": True}),
        ("答えは d です。", {"outcome": "refused", "answer": None, "correct": True}),
    ],
)
def test_a_row_that_no_reader_wrote_is_left_to_the_audits(sat, questions, text, spoilt):
    place = sat([old_row(q, text) | spoilt for q in questions])
    assert not load_runs(place.parent)["reread"].any()
    (alarm,) = wrong_grades(open_study(place.parent))
    assert len(alarm.facts["questions"]) == len(questions)


def test_without_the_exams_files_one_sentence_says_so(sat, questions, monkeypatch):
    monkeypatch.setenv("IGAKU_CACHE", "/nowhere")
    monkeypatch.delenv("IGAKU_DATA", raising=False)
    monkeypatch.setattr("igaku.exam.igakuqa.fetch_exam", lambda *_: pytest.fail("net"))
    row = old_row(questions[0], THOUGHT, letter="b")
    place = sat([row], "one", exam=2022)
    sat([row], "two", exam=2022)
    with pytest.warns(UserWarning, match="exam 2022 is not on this machine") as told:
        rows = load_runs(place.parent)
    assert len(told) == 1
    assert rows["answer"].tolist() == [("b",)] * 2


# --- what is kept beside the answers --------------------------------------------------


def test_the_second_load_reads_nothing_anew(sat, questions, monkeypatch):
    place = sat([old_row(q, THOUGHT, letter="b") for q in questions])
    first = load_runs(place.parent)
    monkeypatch.setattr(answer, "outcome_of", lambda *_: pytest.fail("was read"))
    second = load_runs(place.parent)
    assert first.astype(str).equals(second.astype(str))


@pytest.mark.parametrize("changed", ["answers", "manifest", "reader"])
def test_what_is_kept_of_anything_else_counts_as_none(
    sat, questions, monkeypatch, changed
):
    place = sat([old_row(questions[0], THOUGHT, letter="b")])
    load_run(place)
    kept = (place / again.KEPT).read_bytes()
    if changed == "reader":
        monkeypatch.setattr(again, "READER", READER + 1)
    else:
        path = place / f"{changed}.json{'l' if changed == 'answers' else ''}"
        path.write_bytes(path.read_bytes().replace(b'"m"', b'"n"'))
    assert load_run(place).rows.loc[0, "answer"] == ("d",)
    assert (place / again.KEPT).read_bytes() != kept


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]\n", b'{"key": 1}\n{"a": 1}\n'])
def test_a_damaged_file_is_read_over(sat, questions, damage):
    place = sat([old_row(questions[0], THOUGHT, letter="b")])
    load_run(place)
    (place / again.KEPT).write_bytes(damage)
    assert load_run(place).rows.loc[0, "answer"] == ("d",)


def test_a_long_file_is_read_again_from_where_its_lines_stand(
    sat, questions, monkeypatch
):
    said = "Long. " * 1000 + "\n答え: d"
    replies = [THOUGHT, "答え: d", said, ""]
    rows = [old_row(q, t, letter="d" if t == "答え: d" else "b")
            for q, t in zip(questions, replies, strict=True)]  # fmt: skip
    place = sat(rows)
    whole = load_run(place, texts=False).rows
    kept = (place / again.KEPT).read_bytes()
    (place / again.KEPT).unlink()
    monkeypatch.setattr(answers, "BATCH", 100)
    pd.testing.assert_frame_equal(load_run(place, texts=False).rows, whole)
    assert whole["answer"].tolist()[:3] == [("d",)] * 3
    assert len((place / again.KEPT).read_bytes()) <= len(kept)
    assert load_run(place).rows["content"].tolist()[2] == said


def test_a_cut_file_is_read_over(sat, questions):
    place = sat([old_row(q, THOUGHT, letter="b") for q in questions])
    load_run(place)
    kept = (place / again.KEPT).read_bytes()
    for end in (len(kept) // 2, kept[:-1].rfind(b"\n") + 1):
        (place / again.KEPT).write_bytes(kept[:end])
        assert load_run(place).rows["answer"].tolist() == [("d",)] * 4
        assert (place / again.KEPT).read_bytes() == kept


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    sat, questions, monkeypatch
):
    def refuse(*_):
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "replace", refuse)
    place = sat([old_row(questions[0], THOUGHT, letter="b")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_run(place).rows.loc[0, "answer"] == ("d",)
    assert not (place / again.KEPT).exists()


def test_the_runs_count_what_is_read_otherwise(sat, questions):
    from igaku.study.overview import runs

    place = sat([old_row(q, THOUGHT, letter="b") for q in questions[:2]])
    (run,) = runs(place.parent).to_dict("records")
    counts = ["asked", "right", "right_strict", "right_permissive", "reread"]
    assert [run[name] for name in counts] == [2] * 5
    assert find_runs(place.parent)[0].notes == ()


def test_a_reply_that_filled_the_servers_window_is_told_from_one_cut_by_its_budget(
    sat, questions
):
    cut = {"outcome": "truncated", "correct": False, "finish_reason": "length"}
    raw = body("まず a と b を", "length", BUDGET)
    old = old_row(questions[0], "まず a と b を", raw=raw, **cut) | {"answer": None}
    window = {"/props": {"default_generation_settings": {"n_ctx": 30 + BUDGET}}}
    place = sat([old], server_before=window)
    assert load_run(place).rows.loc[0, "cause"] == "window"
    assert load_run(sat([old], server_before=None)).rows.loc[0, "cause"] == "budget"
