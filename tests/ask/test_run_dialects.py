"""Whole runs on servers with ways of their own: strict ones, streams, late windows."""

import json

import pytest
from stand_in import Answer, StandIn

import igaku
from igaku.ask import preflight, run
from igaku.ask.shape import read_manifest
from igaku.errors import IgakuError
from igaku.exam.questions import Question
from igaku.params.settings import settings_from


def question(number):
    row = {"problem_id": f"116A{number}", "problem_text": f"質問{number}"}
    row |= {"choices": list("アイウエオ"), "answer": ["c"], "points": "1"}
    return Question.from_record(row)


QUESTIONS = [question(number) for number in range(1, 4)]


@pytest.fixture
def settings(tmp_path):
    def set_for(server, **given):
        given = {"model": "stand-in", "exam": "calibration", "shots": 0} | given
        return settings_from(
            base_url=server.base_url, outputs_dir=tmp_path, run="r", **given
        )

    return set_for


def rows_of(place):
    text = (place / "answers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def strict(asked, number):
    """A server that takes what the protocol knows, and says 422 to all else."""
    known = ("model", "messages", "max_tokens", "temperature", "top_p")
    extra = [name for name in asked if name not in known]
    wrong = [
        {"type": "extra_forbidden", "loc": ["body", name], "input": asked[name]}
        | {"msg": "Extra inputs are not permitted"}
        for name in extra
    ]
    return Answer(status=422, body={"detail": wrong}) if wrong else Answer()


def test_a_strict_server_is_told_from_a_broken_one_and_the_way_out_works(settings):
    fields = (
        *("top_k", "min_p", "repeat_penalty", "repetition_penalty"),
        *("presence_penalty", "frequency_penalty"),
    )
    with StandIn(strict) as server:
        with pytest.raises(IgakuError, match="does not take top_k") as refused:
            preflight.check(settings(server), QUESTIONS)
        told = str(refused.value)
        assert all(f"{name}: null" in told for name in fields)
        assert len(server.asked) == 1, "what is refused for good is asked once"
        apart = settings(server, extra_body=dict.fromkeys(fields))
        assert preflight.check(apart, QUESTIONS)
        rows = rows_of(run.run_exam(apart, QUESTIONS, progress=False))
    assert [row["outcome"] for row in rows] == ["answered"] * 3


def test_a_run_on_a_server_that_streams_unasked_is_kept_whole(settings):
    def streaming(asked, number):
        said = ({"reasoning": "b か"}, {"content": "答え: "}, {"content": "c"}, {})
        chunks = [{"index": 0, "delta": d, "finish_reason": None} for d in said]
        chunks[-1]["finish_reason"] = "stop"
        events = [f"data: {json.dumps({'choices': [c]})}\n\n" for c in chunks]
        return Answer(body=": hello\n\n".join(events).encode())

    with StandIn(streaming) as server:
        rows = rows_of(run.run_exam(settings(server), QUESTIONS, progress=False))
    assert {row["outcome"] for row in rows} == {"answered"}
    assert {row["reasoning"] for row in rows} == {"b か"}
    assert all(row["correct"] and row["raw"].startswith("data: ") for row in rows)


def ollama(server):
    """Make a stand-in tell like Ollama, which loads a model with its first question."""
    running = {"models": []}
    server.facts |= {"/api/version": {"version": "0.12"}, "/api/ps": running}

    def behave(asked, number):
        running["models"] = [{"name": "stand-in", "context_length": 300}]
        tokens = {"prompt_tokens": 100, "completion_tokens": 200}
        return Answer(content="", finish_reason="length", **tokens)

    server.behave = behave
    return server


def test_the_window_is_known_once_the_model_is_loaded(settings):
    with ollama(StandIn()) as server:
        kept = settings(server, max_tokens=200, stop_when_broken=False)
        rows = rows_of(run.run_exam(kept, QUESTIONS, progress=False))
    assert [row["cause"] for row in rows[1:]] == ["window", "window"]


def test_the_check_looks_for_the_window_after_its_question(settings):
    with ollama(StandIn()) as server, pytest.raises(IgakuError, match="context of 300"):
        preflight.check(settings(server, max_tokens=1024), QUESTIONS)


def test_what_ollama_holds_is_read_after_the_first_reply_and_compared(settings):
    """It may hold an older model of that name, in a context of its own choice."""
    with ollama(StandIn()) as server:
        running, behave = server.facts["/api/ps"]["models"], server.behave

        def held(asked, number):
            said = behave(asked, number)
            server.facts["/api/ps"]["models"][0]["digest"] = "sha256:old"
            return said

        assert running == []
        server.behave = held
        pulled = {"name": "stand-in", "digest": "sha256:new", "size": 10}
        server.facts["/api/tags"] = {"models": [pulled]}
        given = {"context_length": 8192, "stop_when_broken": False}
        place = run.run_exam(settings(server, **given), QUESTIONS, progress=False)
    loaded = read_manifest(place)["sessions"][0]["loaded"]
    assert loaded["differing"] == [
        {"what": "context_length", "asked": 8192, "got": 300},
        {"what": "digest", "asked": "sha256:new", "got": "sha256:old"},
    ]
    found = igaku.audit(place.parent).set_index("kind").loc["other_than_asked"]
    assert "digest: asked sha256:new, found sha256:old" in " ".join(
        found["text"].split()
    )
