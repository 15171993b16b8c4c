"""A stand-in server: it behaves as a test tells it to, which no real engine can.

It speaks just enough of the OpenAI protocol, counts what it was asked, and can refuse,
fail, cut a reply, answer as another model, hang up or keep silent.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the stand-in does with one request."""

    content: str | None = "c"
    reasoning: str = "hm"
    finish_reason: str = "stop"
    completion_tokens: int | None = 7
    prompt_tokens: int | None = 100
    model: str | None = None  # None: the model that was asked for
    status: int = 200
    body: Any = None  # instead of a chat completion
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang_up: bool = False
    copy_after: float | None = None  # seconds after which the response is sent again

    def told(self, asked: dict[str, Any]) -> bytes:
        """The body as it is sent."""
        if self.body is not None:
            return self.body if isinstance(self.body, bytes) else _json(self.body)
        message = {"role": "assistant", "content": self.content}
        choice = {"index": 0, "finish_reason": self.finish_reason}
        usage = {"prompt_tokens": self.prompt_tokens}
        usage |= {"completion_tokens": self.completion_tokens}
        return _json(
            {
                "object": "chat.completion",
                "model": self.model or asked["model"],
                "choices": [choice | {"message": message | self._thought()}],
                "usage": {name: n for name, n in usage.items() if n is not None},
            }
        )

    def _thought(self) -> dict[str, str]:
        return {"reasoning": self.reasoning} if self.reasoning else {}


def cut(asked: dict[str, Any], **more: Any) -> Answer:
    """A reply that the budget ended before it said anything."""
    tokens = asked["max_tokens"]
    told = {"content": "", "finish_reason": "length", "completion_tokens": tokens}
    return Answer(**told | more)


Behaviour = Callable[[dict[str, Any], int], Answer]


class StandIn:
    """The server, for the time of a `with`; `behave` gets a body and its number."""

    def __init__(self, behave: Behaviour | None = None, models: Any = ("stand-in",)):
        self.behave = behave or (lambda asked, number: Answer())
        self.models = models
        self.facts: dict[str, Any] = {}  # more paths it answers, each with a body
        self.asked: list[dict[str, Any]] = []
        self.looked_up: list[str] = []
        self.pause = 0.0  # seconds before it says anything of itself
        self._turn = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def questions(self) -> Counter[str]:
        """How often each question was asked, by the text of it."""
        with self._turn:
            return Counter(body["messages"][-1]["content"] for body in self.asked)

    def note(self, body: dict[str, Any]) -> int:
        """Remember a request; its number, from 1."""
        with self._turn:
            self.asked.append(body)
            return len(self.asked)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *about: Any) -> None:
        """Say what went wrong, but not that an asker was stopped while it waited.

        Said a little later, it would stand in the output of another test.
        """
        if not isinstance(sys.exception(), BrokenPipeError | ConnectionResetError):
            super().handle_error(*about)


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each reply's body waits 40 ms

        def do_GET(self) -> None:
            stand_in.looked_up.append(self.path)
            time.sleep(stand_in.pause)
            if self.path in stand_in.facts:
                self._send(200, _json(stand_in.facts[self.path]))
            elif self.path == "/v1/models" and stand_in.models is not None:
                listed = [{"id": name, "object": "model"} for name in stand_in.models]
                self._send(200, _json({"object": "list", "data": listed}))
            else:
                self._send(404, b'{"error": "Not Found"}')

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.endswith("/chat/completions"):
                self._send(404, b'{"error": "Not Found"}')
                return
            asked = json.loads(sent)
            answer = stand_in.behave(asked, stand_in.note(asked))
            time.sleep(answer.delay)
            if answer.hang_up:
                self.close_connection = True
                return
            self._send(answer.status, answer.told(asked), answer.headers)
            if answer.copy_after is not None:
                time.sleep(answer.copy_after)
                self._send(answer.status, answer.told(asked), answer.headers)

        def _send(
            self, status: int, body: bytes, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            usual = {"Content-Type": "application/json"}
            for name, value in (usual | (headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
