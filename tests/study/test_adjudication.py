"""What a human decides of replies, and the replies that are put before one."""

import csv
import io
import json

import pandas as pd
import pytest

import igaku
from igaku.ask.plan import planned
from igaku.exam.questions import load_exam
from igaku.reading.readings import READER
from igaku.study.doubtful import write_doubtful
from igaku.study.evidence import wrong_grades
from igaku.study.families import open_study
from igaku.study.overview import runs
from igaku.study.runs import load_run, load_runs


@pytest.fixture(scope="module")
def questions():
    listed = load_exam("calibration")
    choice = [q for q in listed if q.kind == "choice" and q.answer == ("d",)][:3]
    return [*choice, next(q for q in listed if q.kind == "numeric")]


def row(question, answer="b", permissive="b", content=None, marks=(), **changes):
    """A line as today's reader writes it."""
    said = [answer] if answer else None
    return {
        "problem_id": question.problem_id,
        "section": question.section,
        "outcome": "answered" if answer else "unparsable",
        "answer": said,
        "correct": said == list(question.answer),
        "content": content or f"答え: {answer}",
        "finish_reason": "stop",
        "raw": {"choices": []},
        "rule": "cue",
        "span": [4, 5],
        "second": None,
        "permissive": [permissive] if permissive else None,
        "marks": list(marks),
        "reader": READER,
    } | changes


@pytest.fixture
def place(tmp_path, questions):
    """A run of four: read alike, read differently, with an unknown mark, and digits."""
    one, two, three, four = questions
    rows = [
        row(one),
        row(two, None, "d", content="=d\nかもしれない"),
        row(three, "d", "d", marks=["<|odd|>"]),
        row(four, "".join(four.answer), "".join(four.answer)),
    ]
    folder = tmp_path / "run"
    folder.mkdir()
    lines = [json.dumps(each, ensure_ascii=False) + "\n" for each in rows]
    (folder / "answers.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = {"model": "m", "slug": "m", "exam": "calibration", "max_tokens": 99}
    about = {"settings": settings, "questions": [planned(q) for q in questions]}
    (folder / "manifest.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def decide(place, *lines, head="problem_id,answer,outcome,by,note", encoding="utf-8"):
    text = "\r\n".join([head, *lines]) + "\r\n"
    (place / "adjudicated.csv").write_bytes(text.encode(encoding))
    return load_run(place)


def decided(run, question):
    rows = run.rows.set_index("problem_id")
    return rows.loc[question.problem_id]


# --- decisions ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
@pytest.mark.parametrize("cell", ["d", "D", "ｄ", " d "])
def test_a_decision_outweighs_the_readers(place, questions, encoding, cell):
    name = questions[0].problem_id
    run = decide(place, f"{name},{cell},,林,読める", encoding=encoding)
    found = decided(run, questions[0])
    assert (found["outcome"], found["answer"]) == ("answered", ("d",))
    assert found["correct"] and found["adjudicated"] and run.notes == ()
    assert found["strict"] == ("b",) and not found["strict_correct"]
    assert found["content"] == "答え: b"
    assert run.rows["adjudicated"].sum() == 1


@pytest.mark.parametrize("outcome", ["refused", "unparsable", "truncated", "empty"])
def test_a_reply_may_be_found_to_hold_no_answer(place, questions, outcome):
    run = decide(place, f"{questions[2].problem_id},,{outcome},h,")
    found = decided(run, questions[2])
    assert (found["outcome"], found["answer"]) == (outcome, None)
    assert not found["correct"] and found["strict_correct"]


def test_two_letters_where_one_was_asked_are_too_many(place, questions):
    run = decide(place, f'{questions[0].problem_id},"a, d",,h,')
    assert decided(run, questions[0])["outcome"] == "wrong_cardinality"
    assert decided(run, questions[0])["answer"] == ("a", "d")


def test_digits_stay_text(place, questions):
    run = decide(place, f"{questions[3].problem_id},0012,,h,")
    assert decided(run, questions[3])["answer"] == ("0012",)
    assert not decided(run, questions[3])["correct"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_spreadsheets_separate_otherwise(place, questions, delimiter):
    head = delimiter.join(["problem_id", "answer", "by"])
    line = delimiter.join([questions[0].problem_id, "d", "h"])
    assert decided(decide(place, line, head=head), questions[0])["correct"]


def test_a_line_that_decides_nothing_is_open(place, questions):
    run = decide(place, f"{questions[0].problem_id},,,,", ",,,,")
    assert not run.rows["adjudicated"].any() and run.notes == ()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("999Z9,d,,h,", "999Z9 is no question of this run"),
        (",d,,h,", "a line without problem_id"),
        ("{0},z,,h,", "has no choice 'z'"),
        ("{0},?,,h,", "has no choice"),
        ("{0},,maybe,h,", "has the outcome 'maybe'"),
        ("{0},,answered,h,", "has the outcome 'answered'"),
        ("{0},,api_error,h,", "has the outcome 'api_error'"),
        ("{0},d,refused,h,", "both an answer and the outcome"),
        ("{3},a,,h,", "asks for digits"),
        ("{1},c,,h,", "is decided otherwise on an earlier line"),
    ],
)
def test_a_bad_line_is_one_sentence_and_the_rest_counts(place, questions, line, said):
    names = [question.problem_id for question in questions]
    run = decide(place, f"{names[1]},d,,h,", line.format(*names))
    (note,) = run.notes
    assert note.startswith("run/adjudicated.csv, line 3: ") and said in note
    assert run.rows["adjudicated"].sum() == 1
    assert decided(run, questions[1])["answer"] == ("d",)


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"\x81"])
def test_a_file_that_is_no_table_decides_nothing(place, data):
    (place / "adjudicated.csv").write_bytes(data)
    run = load_run(place)
    assert not run.rows["adjudicated"].any()
    assert len(run.notes) == 1 and "run/adjudicated.csv" in run.notes[0]


def test_a_changed_decision_counts_at_the_next_load(place, questions):
    name = questions[0].problem_id
    assert decided(decide(place, f"{name},d,,h,"), questions[0])["correct"]
    assert not decided(decide(place, f"{name},c,,h,"), questions[0])["correct"]
    (place / "adjudicated.csv").unlink()
    assert decided(load_run(place), questions[0])["answer"] == ("b",)


def test_a_decision_is_no_wrong_grade(place, questions):
    name = questions[0].problem_id
    decide(place, f"{name},d,,h,")
    assert list(wrong_grades(open_study(place.parent))) == []


def test_the_score_under_each_reader(place, questions):
    decide(place, f"{questions[0].problem_id},d,,h,")
    (run,) = runs(place.parent).to_dict("records")
    assert (run["doubtful"], run["adjudicated"]) == (2, 1)
    assert (run["right"], run["right_strict"], run["right_permissive"]) == (3, 2, 3)
    assert run["accuracy"] == 0.75


# --- doubtful replies -----------------------------------------------------------------


def test_what_the_readers_differ_on_is_put_before_a_human(place, questions):
    frame = igaku.doubtful(place.parent)
    assert frame["problem_id"].tolist() == [q.problem_id for q in questions[1:3]]
    first, second = frame.to_dict("records")
    assert (first["answer"], first["permissive"]) == (None, ("d",))
    assert (second["answer"], second["marks"]) == (("d",), ("<|odd|>",))
    assert first["question"] == questions[1].prompt_text
    assert first["choices"].startswith(f"a. {questions[1].choices[0]}\nb. ")
    assert first["content"] == "=d\nかもしれない"
    assert not frame["adjudicated"].any()


def test_whoever_decides_is_blind_to_the_gold(place):
    frame = igaku.doubtful(place.parent)
    assert not {"gold", "correct", "accuracy", "strict_correct"} & {*frame.columns}
    (path,) = write_doubtful(place.parent)
    assert "gold" not in path.read_text("utf-8")


def test_what_was_decided_stands_among_them(place, questions):
    decide(place, f"{questions[0].problem_id},d,,林,読める")
    frame = igaku.doubtful(place.parent).set_index("problem_id")
    found = frame.loc[questions[0].problem_id]
    assert found["adjudicated"] and found["decided"] == ("d",)
    assert (found["answer"], found["by"], found["note"]) == (("b",), "林", "読める")
    assert frame["adjudicated"].sum() == 1 and len(frame) == 3


def test_without_doubts_there_is_a_frame_of_nothing(tmp_path, place):
    (place / "answers.jsonl").write_text("")
    assert igaku.doubtful(place.parent).empty
    assert write_doubtful(place.parent) == []


def sheet(path):
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def test_a_sheet_is_filled_in_and_saved_as_the_decisions(place, questions):
    (path,) = write_doubtful(place.parent)
    assert path == place / "doubtful.csv"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    lines = sheet(path)
    assert [line["strict"] for line in lines] == ["", "d"]
    assert all(line[name] == "" for line in lines
               for name in ("answer", "outcome", "by", "note"))  # fmt: skip
    assert lines[0]["content"].startswith("'=d")  # no formula
    lines[0] |= {"answer": "d", "by": "林", "note": "=1+1"}
    text = io.StringIO()
    table = csv.DictWriter(text, lines[0].keys())
    table.writeheader()
    table.writerows(lines)
    (place / "adjudicated.csv").write_text(text.getvalue(), encoding="utf-8-sig")
    assert decided(load_run(place), questions[1])["correct"]
    write_doubtful(place.parent)  # nothing was filled in there: it is written anew
    assert [line["answer"] for line in sheet(path)] == ["d", ""]
    assert sheet(path)[0]["note"] == "'=1+1"
    before = path.read_bytes()
    write_doubtful(place.parent)
    assert path.read_bytes() == before


@pytest.mark.parametrize("cell", ["c", "nonsense"])
def test_a_sheet_that_was_filled_in_is_never_written_over(place, cell):
    (path,) = write_doubtful(place.parent)
    text = path.read_text("utf-8-sig")
    path.write_text(text.rstrip("\n")[:-3] + f"{cell},,h,\n", encoding="utf-8")
    before = path.read_bytes()
    assert write_doubtful(place.parent) == []
    assert path.read_bytes() == before


def test_a_sheet_that_cannot_be_read_is_left(place):
    (place / "doubtful.csv").write_bytes(b"\x81")
    assert write_doubtful(place.parent) == []
    assert (place / "doubtful.csv").read_bytes() == b"\x81"


def test_igaku_never_writes_the_decisions(place, questions):
    decide(place, f"{questions[0].problem_id},d,,h,")
    before = (place / "adjudicated.csv").read_bytes()
    load_runs(place.parent), igaku.doubtful(place.parent), write_doubtful(place.parent)
    assert (place / "adjudicated.csv").read_bytes() == before
    assert isinstance(igaku.doubtful(place.parent), pd.DataFrame)
