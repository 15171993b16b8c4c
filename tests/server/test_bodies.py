"""Bodies as servers send them: streams nobody asked for, pieces, tool calls."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from igaku.reading.reply import read_reply
from igaku.server.client import complete, connect, context_length
from igaku.server.parts import parts_of
from igaku.server.refusals import unknown_fields

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


@pytest.fixture
def asked():
    """The reply of a stand-in that sends these bytes, whatever it is asked."""
    servers = []

    def ask(text, kind="application/json", status=200, sent=None):
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        serve = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serve.start()
        with connect(f"http://127.0.0.1:{server.server_port}/v1") as client:
            return complete(client, sent or {"model": "m", "messages": []})

    yield ask
    for server in servers:
        server.shutdown()
        server.server_close()


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
    ],
)
def test_a_whole_completion_however_it_is_wrapped(asked, text, kind):
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
def test_a_stream_nobody_asked_for_is_put_together(asked, text):
    parts = asked(text, "text/event-stream")
    assert (parts.content, parts.reasoning) == ("答え: d", "b か")
    assert (parts.finish_reason, parts.completion_tokens) == ("stop", 9)
    assert parts.raw == text and parts_of(parts.raw) == parts


def test_an_error_inside_a_stream_is_an_error(asked):
    text = events([delta(content="答え: b"), {"error": {"message": "engine died"}}])
    assert asked(text, "text/event-stream").error == "engine died"


def test_the_choice_of_index_0_counts():
    one, two = completion("b")["choices"][0], completion("d")["choices"][0]
    assert parts_of({"choices": [one | {"index": 1}, two]}).content == "d"
    assert parts_of({"choices": [one | {"index": 3}]}).content == "b"


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
    ],
)
def test_reasons_in_any_case(told, meant):
    body = completion()
    body["choices"][0]["finish_reason"] = told
    assert parts_of(body).finish_reason == meant


@pytest.mark.parametrize(
    "reason", ["error", "ERROR", "abort", "Aborted", "cancelled", "canceled", "failed"]
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
    ],
)
def test_thought_under_any_name_is_reasoning(message):
    parts = parts_of(completion("d", **message))
    assert (parts.content, parts.reasoning) == ("d", "b か")


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


def test_content_that_is_an_object_was_said():
    assert read_reply(completion({"answer": "d"})).content == '{"answer": "d"}'


@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [{"type": "function", "function": {"name": "python"}}]},
        {"function_call": {"name": "python", "arguments": "{}"}},
    ],
)
def test_a_tool_call_instead_of_an_answer_is_named(message):
    parts = parts_of(completion(None, **message))
    assert (parts.tool, parts.content, parts.error) == ("python", "", None)


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
        (400, {"error": {"message": "context length exceeded"}}, []),
        (500, {"error": {"message": "unknown parameter: top_k"}}, []),
    ],
)
def test_a_strict_servers_refusal_names_the_fields(asked, status, body, names):
    sent = {"model": "m", "messages": [], "top_k": 0, "min_p": 0.0, "seed": 1}
    parts = asked(json.dumps(body), status=status, sent=sent)
    assert unknown_fields(parts, sent) == names
    assert all(f"{name}: null" in parts.error for name in names)


def test_ollama_tells_its_window_of_what_is_in_memory():
    running = {"models": [{"name": "gpt-oss:20b", "context_length": 4096}]}
    assert context_length({"/api/ps": running}, "gpt-oss:20b") == 4096
    assert context_length({"/api/ps": running}, "other") is None
