"""Replies of every dialect, the client over HTTP, and what servers say they serve."""

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from igaku.errors import ServerUnreachable
from igaku.params.settings import Settings
from igaku.reading.reply import Reply, read_reply, understood
from igaku.reading.turns import turn_of
from igaku.server.client import (
    SAMPLER,
    complete,
    connect,
    is_retryable,
    request_body,
    server_facts,
)
from igaku.server.fingerprint import (
    context_length,
    fingerprint,
    listed_models,
    served_as,
)

BODIES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "bodies").glob("*.json"))
}


@pytest.mark.parametrize("name", BODIES)
def test_every_dialect_reads_alike(name):
    recorded = BODIES[name]
    reply = read_reply(recorded["body"], recorded["status"])
    read = {field: getattr(reply, field) for field in recorded["reply"]}
    assert read == recorded["reply"], recorded["about"]
    assert reply.status == recorded["status"]


def test_the_body_is_kept_whole():
    body = BODIES["lm_studio_v0"]["body"]
    assert read_reply(body).raw == body
    assert read_reply("Not Found", 404).raw == "Not Found"
    assert read_reply(json.dumps(body)).raw == body


@pytest.mark.parametrize(
    ("text", "final", "thought"),
    [
        ("c", "c", ""),
        (" c\n", " c\n", ""),
        ("a < b", "a < b", ""),
        ("", "", ""),
        ("<|channel|>final<|message|>c", "c", ""),
        ("<|channel|>final <|constrain|>json<|message|>c<|return|>", "c", ""),
        (
            "<|channel|>>analysis<|message|>hm<|end|><|channel|>final<|message|>c",
            "c",
            "hm",
        ),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant", "", "hm"),
        ("<|channel|>analysis<|message|>hm<|end|>c", "c", "hm"),
        ("<|channel|>analysis<|message|>hm<|channel|>final<|message|>c", "c", "hm"),
        ("<|channel|>final c<|return|>", "c", ""),
        ("<|channel|>analysis hm", "", "hm"),
        ("<|message|>c<|return|>", "c", ""),
        ("analysis<|message|>hm<|end|><|start|>assistant<|message|>c", "c", "hm"),
        ("<|start|>assistant<|message|>c<|return|>", "c", ""),
        ("c<|end|>", "c", ""),
        ("c<|return|>", "c", ""),
        (
            "<|channel|>commentary<|message|>ok<|end|><|start|>assistant"
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
            "<|channel|>final<|message|>b<|end|><|start|>assistant"
            "<|channel|>final<|message|>c<|return|>",
            "c",
            "ok\nhm",
        ),
        ("<|start|>", "", ""),
        ("<|channel|>", "", ""),
        ("analysisIs it c?assistantfinalc", "c", "Is it c?"),
        ("analysis of variance", "analysis of variance", ""),
        ("<think>hm</think>c", "c", "hm"),
        ("<think>one</think>b<think>two</think>c", "bc", "one\ntwo"),
        ("<thinking>hm</thinking>\nc", "c", "hm"),
        ("hm</think>c", "c", "hm"),
        ("<think>hm", "", "hm"),
        ("c<think>", "c", ""),
        ("I think c", "I think c", ""),
    ],
)
def test_reasoning_left_in_the_text(text, final, thought):
    turn = turn_of(text)
    assert (turn.said, turn.thought) == (final, thought)


# --- what is sent -----------------------------------------------------------------

LOCAL = Settings(model="lab/model", base_url="http://127.0.0.1:1234/v1")


def settings(**changes: Any) -> Settings:
    return Settings(**{"model": "lab/model", "base_url": LOCAL.base_url} | changes)


def test_what_is_sent():
    chat = [{"role": "user", "content": "q"}]
    assert request_body(LOCAL, chat) == {
        "model": "lab/model",
        "messages": chat,
        "max_tokens": 1024,
        "temperature": 0.0,
        "top_p": 1.0,
        **SAMPLER,
    }
    assert request_body(LOCAL, chat, max_tokens=4096)["max_tokens"] == 4096
    assert request_body(settings(seed=0), chat)["seed"] == 0


def test_effort_is_sent_where_each_server_looks_for_it():
    local = request_body(settings(reasoning_effort="low"), [])
    assert local["reasoning_effort"] == "low"
    assert local["chat_template_kwargs"] == {"reasoning_effort": "low"}
    openai = settings(reasoning_effort="low", base_url="https://api.openai.com/v1")
    body = request_body(openai, [])
    assert body["reasoning_effort"] == "low"
    assert "chat_template_kwargs" not in body
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 1024
    router = settings(reasoning_effort="low", base_url="https://openrouter.ai/api/v1")
    body = request_body(router, [])
    assert body["reasoning"] == {"effort": "low"}
    assert "reasoning_effort" not in body


def test_extra_body_has_the_last_word():
    extra = {"top_k": 0, "temperature": None, "chat_template_kwargs": {"date": "x"}}
    body = request_body(settings(reasoning_effort="low", extra_body=extra), [])
    assert body["top_k"] == 0
    assert "temperature" not in body
    assert body["chat_template_kwargs"] == {"reasoning_effort": "low", "date": "x"}


# --- a server that says what it is told to ----------------------------------------


@dataclass
class Told:
    """What a made-up server answers to each path, and what it was asked."""

    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    asked: list[tuple[str, Any, Any]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Told

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = json.loads(body) if body else None
        self.told.asked.append((self.path, self.headers, asked))
        status, answer = self.told.answers.get(self.path, (404, "Not Found"))
        if status == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        plain = isinstance(answer, str)
        data = answer.encode() if plain else json.dumps(answer).encode()
        kind = "text/plain" if plain and status != 299 else "application/json"
        self.send_response(200 if status == 299 else status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def listening():
    told = Told()
    handler = type("Told", (Handler,), {"told": told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def told(listening):
    listening.answers.clear()
    listening.asked.clear()
    return listening


@pytest.fixture(scope="module")
def client(listening):
    with connect(listening.url, timeout=20) as client:
        yield client


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    "name", [name for name, b in BODIES.items() if b["body"] is not None]
)
def test_every_dialect_over_http(name, told, client):
    recorded = BODIES[name]
    told.answers[CHAT] = (recorded["status"], recorded["body"])
    reply = complete(client, {"model": "m", "messages": []})
    assert understood(reply) == read_reply(recorded["body"], recorded["status"])
    assert len(told.asked) == 1, "the client must leave retrying to the run"


def test_only_llama_cpp_is_told_not_to_reuse_prompts():
    llama_cpp = {"/props": {"default_generation_settings": {"n_ctx": 4096}}}
    assert request_body(LOCAL, [], facts=llama_cpp)["cache_prompt"] is False
    for facts in (None, {}, {"/props": {"role": "router"}}, {"/v1/models": {}}):
        assert "cache_prompt" not in request_body(LOCAL, [], facts=facts)
    fast = settings(extra_body={"cache_prompt": True})
    assert request_body(fast, [], facts=llama_cpp)["cache_prompt"] is True
    silent = settings(extra_body={"cache_prompt": None})
    assert "cache_prompt" not in request_body(silent, [], facts=llama_cpp)


def test_the_request_arrives_as_it_was_written(told, monkeypatch):
    monkeypatch.setenv("IGAKU_API_KEY", "secret")
    told.answers[CHAT] = (200, BODIES["vllm"]["body"])
    body = request_body(settings(reasoning_effort="low", extra_body={"min_p": 0}), [])
    with connect(told.url) as client:
        complete(client, body)
    _, headers, asked = told.asked[0]
    assert asked == body
    assert headers["Authorization"] == "Bearer secret"


def test_a_proxy_is_not_asked_for_a_local_server(told, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    told.answers[CHAT] = (200, BODIES["vllm"]["body"])
    with connect(told.url) as client:
        assert complete(client, {}).content == "c"


@pytest.mark.parametrize(
    ("environment", "url", "key"),
    [
        ({}, "http://x/v1", "not-needed"),
        ({"LM_API_TOKEN": "lm"}, "http://x/v1", "lm"),
        ({"OPENAI_API_KEY": "oa", "LM_API_TOKEN": "lm"}, "https://x/v1", "oa"),
        ({"OPENAI_API_KEY": "oa"}, "http://x/v1", "not-needed"),
        ({"IGAKU_API_KEY": "ig", "OPENAI_API_KEY": "oa"}, "https://x/v1", "ig"),
        ({"IGAKU_API_KEY": "ig", "LM_API_TOKEN": "lm"}, "https://x/v1", "ig"),
        ({"IGAKU_API_KEY": "ig", "LM_API_TOKEN": "lm"}, "http://x/v1", "lm"),
        ({"IGAKU_API_KEY": "ig", "OPENAI_API_KEY": "oa"}, "http://x/v1", "ig"),
    ],
)
def test_the_key(environment, url, key, monkeypatch):
    for name in ("IGAKU_API_KEY", "OPENAI_API_KEY", "LM_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert connect(url).api_key == key


def test_json_that_breaks_off_is_an_error_with_its_text(told, client):
    told.answers[CHAT] = (299, '{"choices": [{"message"')
    reply = complete(client, {})
    assert reply.error == 'HTTP 200: {"choices": [{"message"'
    assert reply.raw == '{"choices": [{"message"'


def test_a_server_that_is_down():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with connect(url) as client, pytest.raises(ServerUnreachable, match="base_url"):
        complete(client, {})
    assert server_facts(url, "m") == {}


def test_a_connection_that_breaks_off(told, client):
    told.answers[CHAT] = (0, "")
    with pytest.raises(ServerUnreachable):
        complete(client, {})


def test_a_server_that_takes_too_long():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with (
            connect(url, timeout=0.2) as client,
            pytest.raises(ServerUnreachable, match="`timeout`"),
        ):
            complete(client, {})


# --- asking again -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("lm_studio_v1", False),
        ("lm_studio_v1_cut", False),
        ("lm_studio_v0_unloaded", True),
        ("mlx_lm_cut", False),
        ("llama_cpp_loading", True),
        ("llama_cpp_context", False),
        ("mlx_lm_not_found", False),
        ("ollama_error", False),
        ("vllm_harmony_error", True),
        ("openai_error", False),
        ("error_string_200", False),
        ("error_context_200", False),
        ("error_none_loaded", True),
        ("error_crash", True),
        ("error_detail", True),
        ("no_choices", True),
        ("html", True),
    ],
)
def test_what_is_asked_again(name, again):
    recorded = BODIES[name]
    assert is_retryable(read_reply(recorded["body"], recorded["status"])) is again


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        ("Rate limit reached", 429, True),
        ("slow down", 429, True),
        ("The model is loading", 400, True),
        ('Failed to load model "x". Error: Operation canceled.', 400, True),
        ("Context size has been exceeded.", 500, False),
        (
            "Trying to keep the first 5000 tokens when context the overflows.",
            400,
            False,
        ),
        ("maximum context length is 4096 tokens", 400, False),
        ("Incorrect API key provided", 401, False),
        ("'response_format.type' must be 'json_schema' or 'text'", 400, False),
    ],
)
def test_which_errors_are_worth_asking_again(error, status, again):
    assert is_retryable(Reply(error=error, status=status)) is again


# --- what the server serves -------------------------------------------------------

LM_STUDIO = {
    "models": [
        {
            "type": "llm",
            "key": "openai/gpt-oss-20b",
            "variants": ["openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b@mxfp4"],
            "selected_variant": "openai/gpt-oss-20b@8bit",
            "quantization": {"name": "8bit", "bits_per_weight": 8},
            "loaded_instances": [
                {"id": "openai/gpt-oss-20b", "config": {"context_length": 8192}}
            ],
            "max_context_length": 131072,
        },
        {
            "type": "llm",
            "key": "mlx-community/gpt-oss-20b-mxfp4-q4",
            "loaded_instances": [{"id": "renamed", "config": {"context_length": 4096}}],
        },
        {"type": "embedding", "key": "nomic", "loaded_instances": []},
    ]
}


def test_lm_studio_says_what_it_serves(told):
    listed = {"object": "list", "data": [{"id": "openai/gpt-oss-20b"}]}
    told.answers |= {
        "/v1/models": (200, listed),
        "/api/v1/models": (200, LM_STUDIO),
        "/props": (200, {"error": "Unexpected endpoint or method. (GET /props)"}),
        "/api/version": (200, "<html></html>"),
    }
    facts = server_facts(told.url, "openai/gpt-oss-20b@8bit")
    assert facts == {"/v1/models": listed, "/api/v1/models": LM_STUDIO}
    assert "openai/gpt-oss-20b@mxfp4" in listed_models(facts)
    assert context_length(facts, "openai/gpt-oss-20b@8bit") == 8192
    assert context_length(facts, "renamed") == 4096
    assert context_length(facts, "unheard/of") is None


def test_llama_cpp_says_what_it_serves(told):
    told.answers |= {
        "/v1/models": (200, {"data": [{"id": "/models/gpt-oss-20b-mxfp4.gguf"}]}),
        "/props": (200, {"default_generation_settings": {"n_ctx": 4096}}),
    }
    facts = server_facts(told.url, "gpt-oss-20b-mxfp4")
    assert set(facts) == {"/v1/models", "/props"}
    assert context_length(facts, "gpt-oss-20b-mxfp4") == 4096


def test_ollama_says_what_it_serves(told):
    shown = {"details": {"quantization_level": "MXFP4"}, "capabilities": ["thinking"]}
    told.answers |= {
        "/v1/models": (200, {"data": [{"id": "gpt-oss:20b"}]}),
        "/api/version": (200, {"version": "0.12.0"}),
        "/api/show": (200, shown),
    }
    running = {"models": [{"name": "gpt-oss:20b", "context_length": 4096}]}
    told.answers["/api/ps"] = (200, json.dumps(running))  # sent as plain text
    facts = server_facts(told.url, "gpt-oss:20b")
    assert facts["/api/ps"] == running
    assert fingerprint(facts, "gpt-oss:20b").context_length == 4096
    assert facts["/api/show"] == shown
    assert ("/api/show", {"model": "gpt-oss:20b"}) in [
        (path, asked) for path, _, asked in told.asked
    ]


@pytest.mark.parametrize(
    ("requested", "served", "same"),
    [
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b", True),
        ("openai/gpt-oss-20b", "OpenAI/GPT-OSS-20B", True),
        ("openai/gpt-oss-20b", "openai/gpt-oss-20b:2", True),
        ("openai/gpt-oss-20b", "gpt-oss-20b", True),
        ("gpt-oss-20b", "openai/gpt-oss-20b", True),
        ("mlx-community/gpt-oss-20b", "openai/gpt-oss-20b", False),
        ("openai/gpt-oss-20b", "openai/gpt-oss-120b", False),
        ("mlx-community/gpt-oss-20b-mxfp4-q4", "openai/gpt-oss-20b", False),
        ("openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b@8bit", True),
        ("openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b@mxfp4", False),
        ("openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b", True),
        ("gpt-oss-20b-mxfp4", "/models/gpt-oss-20b-MXFP4.gguf", True),
        ("gpt-oss-20b-mxfp4", r"C:\models\gpt-oss-20b-mxfp4.gguf", True),
        ("gpt-oss-20b-mxfp4", "/models/qwen3-14b.gguf", False),
        ("gpt-oss", "gpt-oss:latest", True),
        ("gpt-oss:20b", "gpt-oss:120b", False),
        ("gpt-5-mini", "gpt-5-mini-2025-08-07", True),
        ("gpt-5", "gpt-5-mini", False),
        ("openai/gpt-oss-20b:free", "openai/gpt-oss-20b", True),
        ("default_model", "anything", True),
        ("openai/gpt-oss-20b", None, True),
        ("openai/gpt-oss-20b", "", True),
    ],
)
def test_names_of_one_model(requested, served, same):
    assert served_as(requested, served) is same


@pytest.mark.parametrize(
    ("requested", "served", "same"),
    [
        ("openai/gpt-oss-20b@8bit", "openai/gpt-oss-20b", True),
        ("openai/gpt-oss-20b@mxfp4", "openai/gpt-oss-20b", True),  # no name tells
        ("mlx-community/gpt-oss-20b-mxfp4-q4", "renamed", True),
        ("openai/gpt-oss-20b", "renamed", False),
        ("renamed", "renamed", True),
    ],
)
def test_an_instances_own_name_settles_the_variant(requested, served, same):
    assert served_as(requested, served, {"/api/v1/models": LM_STUDIO}) is same


def test_odd_listings_do_no_harm():
    odd = {"/v1/models": {"data": "x"}, "/api/v1/models": {"models": [1, {"id": 2}]}}
    assert listed_models(odd) == []
    assert context_length(odd, "m") is None
    assert served_as("m", "m", odd)
    assert not served_as("m", "n", odd)
