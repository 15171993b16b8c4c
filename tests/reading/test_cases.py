"""Replies and bodies that users report, beside the checkout where there are any."""

import json
from pathlib import Path

import pytest
from stand_in import Answer, StandIn

from igaku.exam.questions import Question
from igaku.reading.answer import extract_answer, outcome_of
from igaku.reading.reply import read_reply, understood
from igaku.server.client import complete, connect

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"


def cases(kind):
    lines = [
        json.loads(line)
        for path in sorted(CASES.glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    told = [case for case in lines if case["kind"] == kind]
    return [pytest.param(case, id=case["id"]) for case in told]


def over_http(told):
    """The parts of a body that a stand-in sends as it is told to."""
    headers = {"Content-Type": told["content_type"]}
    answer = Answer(
        status=told["status"], body=told["body_text"].encode(), headers=headers
    )
    with (
        StandIn(lambda *_: answer) as server,
        connect(server.base_url) as client,
    ):
        return complete(client, {"model": "m", "messages": []})


@pytest.mark.parametrize("case", cases("extract_answer"))
def test_the_answer_is_what_a_human_reads(case):
    question = Question.from_record(case["question"])
    answer = extract_answer(case["input"], question)
    assert (list(answer) if answer else None) == case["expected"], case["why"]


@pytest.mark.parametrize("case", [*cases("reply"), *cases("http")])
def test_the_outcome_is_what_a_human_says(case):
    told, expected = case["input"], case["expected"]
    is_body = case["kind"] == "reply"
    parts = read_reply(told["body"], told["status"]) if is_body else over_http(told)
    question = Question.from_record(case["question"])
    graded = outcome_of(parts, question, told["max_tokens"])
    if "outcome" in expected:
        assert graded.outcome == expected["outcome"], case["why"]
    if "answer" in expected:
        answer = list(graded.answer) if graded.answer else None
        assert answer == expected["answer"], case["why"]
    assert graded.outcome in expected.get("outcome_in", [graded.outcome])
    assert graded.outcome != expected.get("outcome_not")
    assert expected.get("reasoning_has", "") in understood(parts).reasoning
    if "cause_is_not" in expected:
        assert graded.cause not in (None, expected["cause_is_not"])
