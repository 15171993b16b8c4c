"""The whole way on the lab's two real engines: asked over HTTP, read, graded, kept."""

import dataclasses
import json

import pytest

from igaku.ask import run
from igaku.ask.manifest import environment_frame
from igaku.ask.prompt import load_prompt, messages
from igaku.lab.engines import missing_engine
from igaku.lab.serve import serving
from igaku.params.settings import settings_from
from igaku.reading.answer import outcome_of
from igaku.reading.reply import understood
from igaku.server.client import complete, connect, request_body, server_facts
from igaku.server.fingerprint import served_as
from igaku.server.parts import parts_of
from igaku.study.runs import load_run

ENGINES = {"lab-gguf-mxfp4": "llama.cpp", "lab-mxfp4-q4": "mlx_lm"}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, tmp_path_factory):
    if reason := missing_engine(request.param):
        pytest.skip(f"{request.param} cannot be served here: {reason}")
    outputs = tmp_path_factory.mktemp(request.param)
    with serving(request.param) as server:
        settings = settings_from(
            model=request.param, limit=6, outputs_dir=str(outputs), run="lab"
        )
        yield dataclasses.replace(settings, base_url=server.base_url)


def ask(settings, question, **changed):
    settings = dataclasses.replace(settings, **changed)
    body = request_body(settings, messages(load_prompt(), question))
    return understood(complete(connect(settings.base_url), body))


def test_a_reply_is_read_alike_from_either_dialect(engine):
    question = run.questions_of(engine)[0]
    reply = ask(engine, question)
    assert reply.error is None
    assert reply.finish_reason == "stop"
    assert "<|" not in reply.content + reply.reasoning
    assert ";" in reply.reasoning or ":" in reply.reasoning
    assert 0 < reply.reasoning_tokens < reply.completion_tokens
    assert reply.reasoning_tokens_estimated
    assert reply.prompt_tokens > 50
    assert isinstance(reply.raw, dict)
    facts = server_facts(engine.base_url, engine.model)
    assert served_as(engine.model, reply.served_model, facts)
    graded = outcome_of(reply, question, engine.max_tokens)
    assert (graded.outcome, graded.correct) == ("answered", True)


def test_a_stream_is_read_like_one_body(engine):
    question = run.questions_of(engine)[0]
    body = request_body(engine, messages(load_prompt(), question))
    stream = {"stream": True, "stream_options": {"include_usage": True}}
    with connect(engine.base_url) as client:
        one, many = complete(client, body), complete(client, body | stream)
    assert isinstance(many.raw, str) and parts_of(many.raw) == many
    for name in ("content", "reasoning", "finish_reason", "completion_tokens"):
        assert getattr(many, name) == getattr(one, name), name


def test_a_small_budget_cuts_the_reasoning_and_is_named_so(engine):
    question = run.questions_of(engine)[0]
    reply = ask(engine, question, max_tokens=12)
    assert reply.finish_reason == "length"
    graded = outcome_of(reply, question, 12)
    assert (graded.outcome, graded.answer) == ("truncated", None)


def test_the_effort_asked_for_is_the_effort_that_answers(engine):
    question = run.questions_of(engine)[0]
    lengths = [
        ask(engine, question, reasoning_effort=e, max_tokens=256).completion_tokens
        for e in ("low", "medium", "high")
    ]
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize("reused", [None, True])
def test_llama_cpp_computes_each_prompt_anew_unless_told(engine, tmp_path, reused):
    if ENGINES[engine.model] != "llama.cpp":
        pytest.skip("only llama.cpp takes cache_prompt")
    extra = {} if reused is None else {"cache_prompt": reused}
    told = dataclasses.replace(engine, outputs_dir=tmp_path, extra_body=extra)
    folder = run.run_exam(told, run.questions_of(engine), progress=False)
    rows = load_run(folder).rows
    assert (rows["cached_tokens"].iloc[1:] > 0).all() == bool(reused)
    assert bool(rows["cached_tokens"].sum()) == bool(reused)
    found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert found["sampling"]["sent"]["cache_prompt"] is bool(reused)
    shown = environment_frame(found).set_index("what")["value"]
    assert shown["slots"] == found["server_before"]["/props"]["total_slots"]


def test_a_finished_run_is_whole_and_sends_nothing_more(engine):
    questions = run.questions_of(engine)
    assert run.check(engine, questions)
    folder = run.run_exam(engine, questions, progress=False)
    text = (folder / "answers.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["problem_id"] for row in rows] == [q.problem_id for q in questions]
    assert {row["outcome"] for row in rows} == {"answered"}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["status"], manifest["origin"]) == ("OK", "lab")
    unreachable = dataclasses.replace(engine, base_url="http://127.0.0.1:9/v1")
    assert run.run_exam(unreachable, questions, progress=False) == folder
    assert (folder / "answers.jsonl").read_text(encoding="utf-8") == text
