"""Bodies as servers send them: streams nobody asked for, pieces, tool calls."""

import json
from dataclasses import replace

import pytest
from stand_in import Answer, StandIn

from igaku.params.settings import Settings
from igaku.reading.reply import read_reply
from igaku.server.client import complete, connect, is_retryable, request_body
from igaku.server.fingerprint import context_length, is_idle, of_reply
from igaku.server.parts import parts_of, unknown_fields

MISSING = {"type": "missing", "loc": ["body", "seed"], "msg": "Field required"}
EXTRA = {"type": "value_error.extra", "loc": ["body", "top_k"], "msg": "not permitted"}
USAGE = {"prompt_tokens": 700, "completion_tokens": 9}


def completion(text="d", **message):
    said = {"role": "assistant", "content": text} | message
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    return {"model": "m", "choices": [choice], "usage": USAGE}


def delta(finish=None, **said):
    return {
        "model": "m",
        "choices": [{"index": 0, "delta": said, "finish_reason": finish}],
    }


WHOLE = json.dumps(completion(), ensure_ascii=False)
STREAM = [
    delta(role="assistant", content=""),
    delta(reasoning_content="b か"),
    delta(content="答え: "),
    delta(content="d", finish="stop"),
    {"model": "m", "choices": [], "usage": USAGE},
]
NATIVE = [
    {"model": "m", "message": {"role": "assistant", "thinking": "b か"}, "done": False},
    {"model": "m", "message": {"content": "答え: d"}, "done": False},
    {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "stop"}
    | {"prompt_eval_count": 700, "eval_count": 9},
]


def events(chunks):
    return "".join(f"data: {json.dumps(c, ensure_ascii=False)}\n\n" for c in chunks)


def asked(text, kind="application/json", status=200, sent=None):
    """The reply of a stand-in that sends these bytes, whatever it is asked."""
    answer = Answer(status=status, body=text.encode(), headers={"Content-Type": kind})
    with (
        StandIn(lambda *_: answer) as server,
        connect(server.base_url) as client,
    ):
        return complete(client, sent or {"model": "m", "messages": []})


@pytest.mark.parametrize(
    "kind", ["application/json", "text/event-stream", "text/plain"]
)
@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"\n\n  {WHOLE}",
        f"\ufeff{WHOLE}",
        f"{WHOLE}\n\ndata: [DONE]\n\n",
        f": PROCESSING\n\n: PROCESSING\n\ndata: {WHOLE}\n\n",
        f"event: message\nid: 1\ndata: {WHOLE}\n\ndata: [DONE]\n\n",
        f"\r\n: ping\r\ndata: {WHOLE}\r\n\r\n",
        f"data: ping\n\ndata: still at work\n\ndata: {WHOLE}\n\n",
        f'{{"data": {WHOLE}}}',
    ],
)
def test_a_whole_completion_however_it_is_wrapped(text, kind):
    parts = asked(text, kind)
    assert (parts.content, parts.error) == ("d", None)
    assert (parts.prompt_tokens, parts.completion_tokens) == (700, 9)


@pytest.mark.parametrize(
    "text",
    [
        events(STREAM) + "data: [DONE]\n\n",
        ": ping\n\n" + events(STREAM),
        "\n".join(json.dumps(line) for line in NATIVE) + "\n",
    ],
)
def test_a_stream_nobody_asked_for_is_put_together(text):
    parts = asked(text, "text/event-stream")
    assert (parts.content, parts.reasoning) == ("答え: d", "b か")
    assert (parts.finish_reason, parts.completion_tokens) == ("stop", 9)
    assert parts.raw == text and parts_of(parts.raw) == parts


def lines(*chunks):
    return "\n".join(json.dumps(chunk, ensure_ascii=False) for chunk in chunks)


def retold(*texts):
    """Events that hold a message each, the last of them with its reason to end."""
    ends = [None] * (len(texts) - 1) + ["stop"]
    for text, end in zip(texts, ends, strict=True):
        message = {"role": "assistant", "content": text}
        yield {"choices": [{"index": 0, "message": message, "finish_reason": end}]}


def thinking(text):
    return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]


OUTPUT = [
    {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "b か"}]},
    {"type": "message", "content": [{"type": "output_text", "text": "答え: d"}]},
]
STREAMS = {
    "deltas of two choices": events(
        [
            delta(content="答え: "),
            {"choices": [{"index": 1, "delta": {"content": "b"}}]},
            delta(content="d", finish="stop", reasoning="b か"),
        ]
    ),
    "thought in parts, then text": events(
        [
            *(delta(content=thinking(piece)) for piece in ("b ", "か")),
            delta(content="答え"),
            delta(content=": d", finish="stop"),
        ]
    ),
    "both names for one thought": events(
        [delta(reasoning=piece, reasoning_content=piece) for piece in ("b ", "か")]
        + [delta(content="答え: d", finish="stop")]
    ),
    "no finish reason, but an end": events([delta(content="答え: d", reasoning="b か")])
    + "data: [DONE]\n\n",
    "Ollama's other path": lines(
        {"model": "m", "response": "", "thinking": "b か", "done": False},
        {"model": "m", "response": "答え: d", "done": False},
        {"model": "m", "response": "", "done": True, "done_reason": "stop"},
    ),
    "the Responses interface": events(
        [
            {"type": "response.created", "response": {"output": [], "model": "m"}},
            {"type": "response.output_text.delta", "delta": "答え"},
            {"type": "response.output_text.done", "text": "答え: d"},
            {"type": "response.completed", "response": {"output": OUTPUT}},
        ]
    ),
    "LM Studio's own interface": events(
        [
            {"type": "chat.start", "model_instance_id": "m"},
            {"type": "reasoning.delta", "content": "b か"},
            {"type": "message.delta", "content": "答え: d"},
            {"type": "chat.end", "result": {"output": OUTPUT}},
        ]
    ),
    "a list of chunks": json.dumps(STREAM),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_streams_of_many_servers(name):
    parts = asked(STREAMS[name])
    assert (parts.content, parts.reasoning, parts.error) == ("答え: d", "b か", None)
    assert parts_of(parts.raw) == parts


@pytest.mark.parametrize(
    "chunks",
    [
        retold("答", "答え: ", "答え: d"),  # each event repeats what was said
        retold("答え", ": ", "d"),  # each event goes on
        [delta(content="答え"), delta(content=": d"), *retold("答え: d")],
    ],
)
def test_messages_in_events_are_retold_or_go_on(chunks):
    assert asked(events(chunks)).content == "答え: d"


def test_a_stream_tells_of_the_weights_like_one_body():
    told = {"model_info": {"quant": "8bit", "format": "mlx"}, "stats": {}}
    parts = parts_of(events([*STREAM[:-1], STREAM[-1] | told]))
    assert of_reply(parts.raw).quantization == "8bit"


@pytest.mark.parametrize("text", [events(STREAM[:-1]), lines(*NATIVE)])
def test_a_stream_that_breaks_off_is_never_graded(text):
    said = len(text) - text[::-1].index("d"[::-1])
    whole = parts_of(text)
    for end in range(text.index("{") + 1, len(text)):
        parts = parts_of(text[:end])
        assert parts.error or parts.content == whole.content, text[:end]
        assert parts_of(parts.raw) == parts
    torn = parts_of(text[: said // 2])
    assert "broke off" in torn.error
    assert is_retryable(torn)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ({"error": {"message": "engine died"}}, "engine died"),
        ({"type": "error", "error": {"message": "Overloaded"}}, "Overloaded"),
        ({"message": "no room"}, "no room"),
        (delta(finish="error"), "the server stopped: error"),
    ],
)
def test_an_error_inside_a_stream_is_an_error(end, why):
    text = events([delta(content="答え: b"), end])
    assert asked(text, "text/event-stream").error == why


def test_llama_cpps_error_line_is_an_error():
    text = events([delta(content="答え: b")]) + 'error: {"message": "boom"}\n\n'
    assert asked(text, "text/event-stream").error == "boom"


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "data: [DONE]\n\n", ": PROCESSING\n\n", "404 no", "{{{"]
)
def test_a_body_without_an_object_is_an_error_with_its_text(text):
    parts = asked(text)
    assert text.strip() in parts.error
    assert parts_of(parts.raw) == parts


def test_the_choice_of_index_0_counts():
    one, two = completion("b")["choices"][0], completion("d")["choices"][0]
    assert parts_of({"choices": [one | {"index": 1}, two]}).content == "d"
    assert parts_of({"choices": [one | {"index": 3}]}).content == "b"
    told = [one | {"index": "1"}, two | {"index": "0"}]
    assert parts_of({"choices": told}).content == "d"


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        *(
            ("STOP", "stop"),
            ("EOS", "stop"),
            ("Length", "length"),
            ("LENGTH", "length"),
        ),
        *(("MAX_TOKENS", "length"), ("max_output_tokens", "length")),
        *(("TOOL_CALLS", "tool_calls"), ("repetition", "repetition")),
        *(("Repetition_Detected", "repetition"), ("eos_token", "stop")),
        *(("FinishReason.STOP", "stop"), ("COMPLETE", "stop"), ("null", None)),
        *(({"type": "length"}, "length"), ("refusal", "refusal")),
        *(("MALFORMED_FUNCTION_CALL", "tool_calls"), ("pause_turn", "tool_calls")),
    ],
)
def test_reasons_in_any_case(told, meant):
    body = completion()
    body["choices"][0]["finish_reason"] = told
    assert parts_of(body).finish_reason == meant


@pytest.mark.parametrize(
    "reason",
    [
        *("error", "ERROR", "abort", "Aborted", "cancelled", "canceled", "failed"),
        *("content_filter", "SAFETY", "network_error", "timeout", "user_cancel"),
        *("insufficient_system_resource", "FinishReason.ABORT", "modelUnloaded"),
    ],
)
def test_a_piece_of_a_reply_is_an_error(reason):
    body = completion("答え: b だと")
    body["choices"][0]["finish_reason"] = reason
    assert reason in parts_of(body).error


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning": "b か"},
        {"reasoning_text": "b か"},
        {"thoughts": ["b か"]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "b か"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "b か"}]},
        {"inner_thought": {"text": "b か"}},
        {"analysis": "b か"},
        {"provider_specific_fields": {"reasoning_content": "b か"}},
        {"reasoning": "b か", "thinking_blocks": thinking("b か")},
    ],
)
def test_thought_under_any_name_is_reasoning(message):
    parts = parts_of(completion("d", **message))
    assert (parts.content, parts.reasoning) == ("d", "b か")


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "答え: b でもお答えできません"},
        {"content": "", "refusal": "I can't help with that."},
        {"content": [{"type": "refusal", "refusal": "I can't help with that."}]},
    ],
)
def test_a_refusal_in_a_field_of_its_own_is_told(message):
    assert parts_of({"choices": [{"message": message}]}).finish_reason == "refusal"
    whole = {"content": "d", "refusal": None}
    assert parts_of({"choices": [{"message": whole}]}).finish_reason is None


@pytest.mark.parametrize("told", ["1024", 1024, 1024.0])
def test_tokens_are_counted_in_words_too(told):
    body = completion("d") | {"usage": {"completion_tokens": told}}
    assert parts_of(body).completion_tokens == 1024


@pytest.mark.parametrize("kind", ["think", "thinking", "thought", "reasoning_text"])
def test_thought_as_a_part_is_reasoning(kind):
    content = [
        {"type": "text", "text": "血液培養と比べる。"},
        {"type": kind, kind: "b か"},
        {"type": "text", "text": "答え: d"},
    ]
    parts = parts_of(completion(content))
    assert parts.content == "血液培養と比べる。\n答え: d"
    assert parts.reasoning == "b か"


@pytest.mark.parametrize(
    "part",
    [
        {"text": "b か", "thought": True},
        {"type": "text", "channel": "analysis", "text": "b か"},
        [{"type": "reasoning", "reasoning": [{"text": "b か"}]}],
        {"thinking": "b か"},
    ],
)
def test_thought_in_any_part_is_reasoning(part):
    parts = parts_of(completion([part, [{"type": "text", "text": "答え: d"}]]))
    assert (parts.content, parts.reasoning) == ("答え: d", "b か")


def test_what_is_named_like_thought_and_is_none():
    told = {"reasoning_tokens": 4, "reasoning_effort": "low", "thought_signature": "x"}
    told |= {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    assert parts_of(completion("d", **told)).reasoning == ""


@pytest.mark.parametrize(
    ("content", "said", "thought"),
    [
        ({"answer": "d"}, '{"answer": "d"}', ""),
        ([{"answer": "d"}], '{"answer": "d"}', ""),
        ({"text": "それは", "answer": "d"}, '{"text": "それは", "answer": "d"}', ""),
        ({"reasoning": "b か", "answer": "d"}, '{"answer": "d"}', "b か"),
        ({"type": "text", "text": "d"}, "d", ""),
        (["答え: ", "d"], "答え: d", ""),
        (120, "120", ""),
        ([], "", ""),
        ({}, "", ""),
        (False, "", ""),
    ],
)
def test_content_that_is_no_text_was_said_all_the_same(content, said, thought):
    parts = read_reply(completion(content))
    assert (parts.content, parts.reasoning) == (said, thought)


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"type": "function", "function": {"name": "python"}}]},
        {"function_call": {"name": "python", "arguments": "{}"}},
        {"content": [{"type": "tool_use", "name": "python", "input": {}}]},
    ],
)
def test_a_tool_call_instead_of_an_answer_is_named(message):
    parts = parts_of(completion(None, **message))
    assert (parts.tool, parts.content, parts.error) == ("python", "", None)
    assert parts_of(completion("d", tool_calls=[])).tool is None


@pytest.mark.parametrize(
    "call",
    [
        {"type": "function_call", "name": "python", "arguments": "{}"},
        {"type": "tool_call", "tool": "python", "arguments": {}},
        {"type": "invalid_tool_call", "metadata": {"tool_name": "python"}},
    ],
)
def test_a_tool_call_among_the_items_of_an_output_is_named(call):
    parts = parts_of({"output": [{"type": "reasoning", "content": "b か"}, call]})
    assert (parts.tool, parts.content, parts.reasoning) == ("python", "", "b か")


def test_a_tool_call_in_a_stream_is_named():
    first = {"index": 0, "function": {"name": "python", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    text = events([delta(tool_calls=[first]), delta("tool_calls", tool_calls=[more])])
    assert asked(text).tool == "python"


def test_other_interfaces_whole_replies():
    parts = [*thinking("b か"), {"type": "text", "text": "d"}]
    for body, finish in (
        ({"content": parts, "stop_reason": "max_tokens"}, "length"),
        ({"message": {"content": parts}, "finish_reason": "COMPLETE"}, "stop"),
        ({"response": "d", "thinking": "b か", "done_reason": "stop"}, "stop"),
    ):
        said = parts_of(body)
        assert (said.content, said.reasoning, said.error) == ("d", "b か", None)
        assert said.finish_reason == finish


@pytest.mark.parametrize(
    ("status", "body", "names"),
    [
        (
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", n],
                        "msg": "not permitted",
                    }
                    for n in ("top_k", "min_p")
                ]
            },
            ["top_k", "min_p"],
        ),
        (
            400,
            {"error": {"message": "Unrecognized request argument supplied: top_k"}},
            ["top_k"],
        ),
        (400, {"error": {"message": "Unknown name 'min_p': no such field"}}, ["min_p"]),
        (400, {"error": "extra fields: top_k, min_p"}, ["top_k", "min_p"]),
        (400, {"error": {"message": "Unknown parameter: 'min_p'."}}, ["min_p"]),
        (400, {"error": "Unsupported generation controls: seed"}, ["seed"]),
        (
            400,
            {
                "object": "error",
                "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), "
                "'msg': 'Extra inputs are not permitted', 'input': 0}]",
            },
            ["top_k"],
        ),
        (
            400,
            {
                "error": {
                    "message": "property 'top_k' is unsupported, did you mean 'seed'?"
                }
            },
            ["top_k"],
        ),
        (
            422,
            "Failed to deserialize the JSON body: unknown field `min_p`, expected one "
            "of `model`, `messages`, `seed`",
            ["min_p"],
        ),
        (422, {"detail": [MISSING, EXTRA]}, ["top_k"]),
        (400, {"error": {"message": "model 'm' does not support images"}}, []),
        (400, {"error": {"message": "context length exceeded"}}, []),
        (500, {"error": {"message": "unknown parameter: top_k"}}, []),
    ],
)
def test_a_strict_servers_refusal_names_the_fields(status, body, names):
    sent = {"model": "m", "messages": [], "top_k": 0, "min_p": 0.0, "seed": 1}
    parts = asked(json.dumps(body), status=status, sent=sent)
    assert unknown_fields(parts, sent) == names
    nulls = ", ".join(f"{name}: null" for name in names)
    assert (f"`extra_body: {{{nulls}}}` leaves it out" in parts.error) is bool(names)
    assert not is_retryable(parts) or status == 500


def test_the_way_out_of_a_strict_servers_refusal_works():
    """Each field that is refused is gone from the next request."""
    local = Settings(model="m", base_url="http://127.0.0.1:1/v1")
    refused = json.dumps({"detail": [{"msg": "top_k: Extra inputs are not permitted"}]})
    parts = asked(refused, status=422, sent=request_body(local, []))
    assert "`extra_body: {top_k: null}`" in parts.error
    body = request_body(replace(local, extra_body={"top_k": None}), [])
    assert "top_k" not in body and "min_p" in body


def test_a_budget_whose_name_is_refused_goes_by_its_other_name():
    local = Settings(model="m", base_url="http://127.0.0.1:1/v1", max_tokens=256)
    other = replace(local, extra_body={"max_tokens": None})
    body = request_body(other, [])
    assert (body.get("max_tokens"), body["max_completion_tokens"]) == (None, 256)
    hosted = replace(other, extra_body={"max_completion_tokens": None})
    hosted = replace(hosted, base_url="https://api.openai.com/v1")
    body = request_body(hosted, [])
    assert (body["max_tokens"], body.get("max_completion_tokens")) == (256, None)


def test_ollama_tells_its_window_of_what_is_in_memory():
    running = {"models": [{"name": "gpt-oss:20b", "context_length": 4096}]}
    assert context_length({"/api/ps": running}, "gpt-oss:20b") == 4096
    assert context_length({"/api/ps": running}, "other") is None
    assert is_idle({"/api/ps": running}, "other")
    assert not is_idle({"/api/ps": running}, "gpt-oss:20b")
    assert not is_idle({"/v1/models": {"data": []}}, "gpt-oss:20b")
