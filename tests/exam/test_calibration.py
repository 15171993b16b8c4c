"""The calibration exam: the same every time, shaped like the real one, and solvable."""

import hashlib
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from igaku.exam.calibration import (
    LARGE,
    MEASUREMENTS,
    SECTIONS,
    SMALL,
    Problem,
    calibration_records,
)
from igaku.exam.questions import load_exam, load_examples
from train.dialogue import EFFORTS, reasoning

KINDS = ("kth", "top", "number")
EXAM_SHA256 = "220c4b17fc00fa55"
VALUES = st.lists(st.integers(10, 99), min_size=5, max_size=6, unique=True).map(tuple)


def problems():
    return st.builds(
        Problem,
        kind=st.sampled_from(KINDS),
        values=VALUES,
        direction=st.sampled_from((SMALL, LARGE)),
        steps=st.integers(1, 3),
        measurement=st.sampled_from(MEASUREMENTS),
    )


def test_one_seed_makes_one_exam_byte_for_byte():
    text = json.dumps(calibration_records(), ensure_ascii=False, sort_keys=True)
    assert text == json.dumps(calibration_records(), ensure_ascii=False, sort_keys=True)
    assert text != json.dumps(calibration_records(1), ensure_ascii=False)
    # The exam that the shipped weights were measured on: another one is another exam.
    assert hashlib.sha256(text.encode()).hexdigest().startswith(EXAM_SHA256)


def test_it_has_the_shape_of_the_real_exam():
    questions = load_exam("calibration")
    assert Counter(q.section for q in questions) == SECTIONS
    assert {len(q.answer) for q in questions} == {1, 2, 3}
    assert {q.kind for q in questions} == {"choice", "numeric"}
    assert {len(q.choices) for q in questions} == {0, 5, 6}
    assert len({q.problem_id for q in questions}) == 400
    assert len(load_examples("calibration", 3)) == 3


def test_follow_ups_need_the_case_of_their_head():
    released = {q.problem_id: q for q in load_exam("calibration")}
    joined = load_exam("calibration", serial_context="joined")
    follow_ups = [q for q in joined if q.context]
    assert follow_ups
    for question in follow_ups:
        head = released[question.stem]
        assert question.context in head.text
        assert released[question.problem_id].context is None


def test_difficulty_is_known_for_every_question():
    steps = Counter(about["steps"] for _, about in calibration_records())
    assert set(steps) >= {1, 2, 3, 4}


@given(problems())
def test_the_worked_solution_ends_in_the_answer(problem):
    last = reasoning(problem, "low").split(";")[-1]
    if problem.kind == "number":
        assert problem.answer == [last.split(":")[1][:-1]]
    else:
        picked = {step[-1] for step in reasoning(problem, "low").split(";")}
        assert set(problem.answer) <= picked
        assert last[-1] in problem.answer


@given(problems())
def test_more_effort_takes_a_longer_chain(problem):
    lengths = [len(reasoning(problem, effort)) for effort in EFFORTS]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[1] < lengths[2]


@given(problems())
def test_the_gold_answer_is_the_ranking_that_sorting_gives(problem):
    ordered = sorted(problem.values, reverse=problem.direction == LARGE)
    picked = ordered if problem.kind == "top" else ordered[problem.steps - 1 :]
    wanted = picked[: problem.steps if problem.kind == "top" else 1]
    if problem.kind == "number":
        assert problem.answer == [str(wanted[0])]
    else:
        letters = sorted("abcdef"[problem.values.index(value)] for value in wanted)
        assert problem.answer == letters


@pytest.mark.parametrize("effort", EFFORTS)
def test_the_docstrings_example_is_right(effort):
    problem = Problem("kth", (27, 58, 35, 86, 14), SMALL, 2, MEASUREMENTS[0])
    assert reasoning(problem, effort).endswith("2:27a")
