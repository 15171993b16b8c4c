"""What a server can do to one request: each fault by its name, as steps of bytes.

A step is bytes to send, seconds to wait, or a word: "close", "reset" (the connection is
torn), "half" (nothing more is sent, what comes is read), "deaf" (the port is closed for
a moment), or Behind: bytes that go before the next reply on this connection.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

MODEL = "stand-in"
LONG = 4.0  # seconds of silence: longer than a victim's `timeout`
MEGABYTE = 2**20


@dataclass(frozen=True)
class Behind:
    """Bytes that are sent before the next reply on the same connection."""

    late: bytes


Step = bytes | float | str | Behind


@dataclass(frozen=True)
class Asked:
    """One request as a fault sees it: the honest reply, and what it may be mixed up
    with: an earlier reply of this server, another server, the key that was sent."""

    told: dict[str, Any]
    earlier: bytes = b"{}"
    elsewhere: str = ""
    key: str = ""
    path: str = "/"

    def body(self, **changes: Any) -> bytes:
        """The honest body with some of its fields changed; ... takes one out."""
        told = self.told | changes
        return plain({name: v for name, v in told.items() if v is not ...})

    def message(self, **changes: Any) -> bytes:
        """The honest body with its message changed, and `finish_reason`."""
        choice = dict(self.told["choices"][0]) if "choices" in self.told else {}
        end = {k: changes.pop(k) for k in ("finish_reason",) if k in changes}
        choice["message"] = choice.get("message", {}) | changes
        return self.body(choices=[choice | end])


def plain(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def honest(text: str, number: int) -> dict[str, Any]:
    """The reply to a question: a pure function of its text, but for its id."""
    mark = hashlib.md5(text.encode()).hexdigest()
    letter = "abcde"[int(mark, 16) % 5]
    thought = f"所見 {mark} を検討する。" * (1 + int(mark[:2], 16) // 16)
    message = {"role": "assistant", "content": f"{mark} と考える🩺。\n\n答え: {letter}"}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": message | {"reasoning_content": thought},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 40},
    }


def http(body: bytes, status: object = 200, *lines: str, length: object = ...) -> bytes:
    """A whole response; `length` is what it says of its body's, None for nothing."""
    length = len(body) if length is ... else length
    head = [f"HTTP/1.1 {status} OK", *lines]
    if not any(line.lower().startswith("content-type") for line in lines):
        head.append("Content-Type: application/json")
    head += [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(body: bytes, size: str | None = None, end: bytes = b"0\r\n\r\n") -> bytes:
    told = size or f"{len(body):x}"
    head = http(b"", 200, "Transfer-Encoding: chunked", length=None)
    return head + told.encode() + b"\r\n" + body + b"\r\n" + end


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def stream(asked: Asked, *, whole: bool) -> bytes:
    """The honest reply as an event stream, in pieces; without its end if not whole."""
    choice = asked.told.get("choices", [{}])[0]
    message = choice.get("message", {})
    about = {name: asked.told.get(name) for name in ("id", "model")}
    deltas = [{n: message[n]} for n in ("reasoning_content", "content") if n in message]
    events = [about | {"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [*events, about | last] if whole else events[:1]
    data = b"".join(b"data: " + plain(event) + b"\n\n" for event in events)
    data += b"data: [DONE]\n\n" if whole else b""
    return http(data, 200, "Content-Type: text/event-stream")


def drip(data: bytes, pieces: int = 8) -> list[Step]:
    size = max(1, len(data) // pieces)
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    return [step for part in parts for step in (part, 0.01)]


@cache
def bomb(megabytes: int) -> bytes:
    """Spaces, a thousand times smaller than they are."""
    press = zlib.compressobj(9, wbits=31)
    parts = [press.compress(b" " * MEGABYTE) for _ in range(megabytes)]
    return b"".join(parts) + press.flush()


def deep(levels: int = 100_000) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def page(text: str) -> bytes:
    return f"<!doctype html><title>{text}</title><p>{text}</p>".encode()


def json_error(status: int, *lines: str, text: str = "it failed") -> list[Step]:
    return [http(plain({"error": {"message": text}}), status, *lines)]


def redirect(status: int, where: str) -> list[Step]:
    return [http(b"", status, f"Location: {where}")]


Kind = Callable[[Asked], list[Step]]
ZIP = "Content-Encoding: gzip"

# What breaks a reply so that it can be seen: the table must come out the same.
BROKEN: dict[str, Kind] = {
    "deaf port": lambda a: ["deaf", "reset"],
    "reset": lambda a: ["reset"],
    "closed": lambda a: ["close"],
    "half-closed": lambda a: ["half", 0.2, "close"],
    "reset in the head": lambda a: [half(http(b"")), 0.01, "reset"],
    "reset in the body": lambda a: [http(a.body())[:-40], 0.01, "reset"],
    "body cut": lambda a: [http(a.body())[:-40], "close"],
    "chunks cut": lambda a: [chunked(a.body(), end=b""), "close"],
    "silent": lambda a: [LONG, "close"],
    "stalled": lambda a: [http(a.body())[:-40], LONG, "close"],
    "length too short": lambda a: [http(a.body(), length=len(a.body()) - 30)],
    "length too long": lambda a: [http(a.body(), length=len(a.body()) + 9), "close"],
    "length negative": lambda a: [http(a.body(), length=-5), "close"],
    "length in words": lambda a: [http(a.body(), length="many"), "close"],
    "two lengths": lambda a: [http(a.body(), 200, "Content-Length: 12"), "close"],
    "chunk size no number": lambda a: [chunked(a.body(), "zz"), "close"],
    "chunk size too small": lambda a: [chunked(a.body(), "10"), "close"],
    "chunk size huge": lambda a: [chunked(a.body(), "ffffffffffff"), "close"],
    "no HTTP": lambda a: [b"\x16\x03\x01 hello\r\n\r\n", "close"],
    "HTTP 9": lambda a: [http(a.body()).replace(b"HTTP/1.1", b"HTTP/9.9"), "close"],
    "status no number": lambda a: [http(a.body(), "abc"), "close"],
    "endless head": lambda a: [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, "close"],
    "101": lambda a: [http(b"", 101, "Upgrade: other", "Connection: Upgrade"), "close"],
    "204": lambda a: [http(b"", 204, length=None)],
    "205": lambda a: [http(b"", 205)],
    "206 of a part": lambda a: [http(half(a.body()), 206)],
    "304": lambda a: [http(b"", 304, length=None)],
    "redirect as GET": lambda a: redirect(302, a.path),
    "redirect loop": lambda a: redirect(307, a.path + "?loop"),
    "redirect elsewhere 307": lambda a: redirect(307, a.elsewhere),
    "redirect elsewhere 308": lambda a: redirect(308, a.elsewhere),
    "redirect to nothing": lambda a: redirect(307, "http://[::1"),
    "redirect to a file": lambda a: redirect(307, "file:///etc/hostname"),
    "400": lambda a: json_error(400),
    "401 with the key": lambda a: json_error(401, text=f"Incorrect key: {a.key}"),
    "403 page": lambda a: [http(page("no entry"), 403, "Content-Type: text/html")],
    "404": lambda a: json_error(404),
    "408": lambda a: json_error(408),
    "409": lambda a: json_error(409),
    "413": lambda a: json_error(413),
    "422 of a field": lambda a: json_error(422, text="seed: extra inputs forbidden"),
    "425": lambda a: json_error(425),
    "429": lambda a: json_error(429),
    "429 after 0": lambda a: json_error(429, "Retry-After: 0"),
    "429 after .02": lambda a: json_error(429, "Retry-After: 0.02"),
    "429 after -1": lambda a: json_error(429, "Retry-After: -1"),
    "429 after nan": lambda a: json_error(429, "Retry-After: nan"),
    "429 after a date": lambda a: json_error(
        429, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"
    ),
    "429 after a day": lambda a: json_error(429, "Retry-After: 86400"),
    "500": lambda a: json_error(500),
    "500 empty": lambda a: [http(b"", 500)],
    "502 page": lambda a: [http(page("bad gateway"), 502, "Content-Type: text/html")],
    "503 loading": lambda a: json_error(503, text="model is loading"),
    "504": lambda a: json_error(504),
    "529": lambda a: json_error(529, text="overloaded"),
    "999": lambda a: json_error(999),
    "empty body": lambda a: [http(b"")],
    "a page": lambda a: [http(page("sign in to the network"))],
    "stream cut": lambda a: [stream(a, whole=False)],
    "a list": lambda a: [http(b"[]")],
    "a number": lambda a: [http(b"7")],
    "null": lambda a: [http(b"null")],
    "a string": lambda a: [http(b'"ok"')],
    "an empty object": lambda a: [http(b"{}")],
    "JSON cut": lambda a: [http(half(a.body()))],
    "no UTF-8": lambda a: [http(a.body().replace("考".encode(), b"\xff\xc3\x28"))],
    "nested deep": lambda a: [http(deep())],
    "no gzip": lambda a: [http(a.body(), 200, ZIP)],
    "gzip cut": lambda a: [http(half(gzip.compress(a.body())), 200, ZIP)],
    "unknown encoding": lambda a: [http(b"\x1b\x07" * 40, 200, "Content-Encoding: br")],
    "error with 200": lambda a: [http(plain({"error": {"message": "try again"}}))],
    "error text with 200": lambda a: [http(plain({"error": "no models loaded"}))],
    "unknown error with 200": lambda a: [http(plain({"error": "mystery"}))],
    "stopped by the server": lambda a: [http(a.message(finish_reason="abort"))],
    "no choices": lambda a: [http(a.body(choices=...))],
    "empty choices": lambda a: [http(a.body(choices=[]))],
    "choices no list": lambda a: [http(a.body(choices="b"))],
    "wrong model": lambda a: [http(a.body(model="another/model-70b"))],
}
# Replies too many, or too early: what they spoil is the question after them.
SHIFTED: dict[str, Kind] = {
    "doubled": lambda a: [http(a.body()) * 2],
    "tripled": lambda a: [http(a.body()) * 3],
    "doubled a little later": lambda a: [http(a.body()), 0.02, http(a.body())],
    "doubled much later": lambda a: [http(a.body()), 0.3, http(a.body())],
    "doubled into the next": lambda a: [http(a.body()), Behind(http(a.body()))],
    "an old reply follows": lambda a: [http(a.body()), 0.005, http(a.earlier)],
    "408 follows": lambda a: [http(a.body()), 0.01, *json_error(408), "close"],
    "blanks follow": lambda a: [http(a.body()) + b"\r\n\r\n"],
    "rubbish follows": lambda a: [http(a.body()), 0.01, b"\0\xff\r\n" * 9],
}
# Odd, and whole all the same: the reply counts as it is.
DIALECTS: dict[str, Kind] = {
    "slow drip": lambda a: drip(http(a.body())),
    "chunked": lambda a: [chunked(a.body())],
    "no length, closed": lambda a: [http(a.body(), length=None), "close"],
    "asks to close": lambda a: [http(a.body(), 200, "Connection: close"), "close"],
    "HTTP 1.0": lambda a: [http(a.body()).replace(b"/1.1", b"/1.0", 1), "close"],
    "100 first": lambda a: [b"HTTP/1.1 100 Continue\r\n\r\n" + http(a.body())],
    "103 first": lambda a: [
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        0.01,
        http(a.body()),
    ],
    "many 102": lambda a: [
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20 + http(a.body()),
    ],
    "redirect at home": lambda a: redirect(307, a.path + "?again"),
    "gzip": lambda a: [http(gzip.compress(a.body()), 200, ZIP)],
    "deflate": lambda a: [
        http(zlib.compress(a.body()), 200, "Content-Encoding: deflate")
    ],
    "BOM": lambda a: [http(b"\xef\xbb\xbf" + a.body())],
    "plain text": lambda a: [http(a.body(), 200, "Content-Type: text/plain")],
    "event stream": lambda a: [stream(a, whole=True)],
    "in ASCII": lambda a: [http(json.dumps(a.told).encode())],
    "NaN": lambda a: [http(a.body(usage={"prompt_tokens": float("nan")}))],
    "infinite": lambda a: [http(a.body(timing=float("inf")))],
    "no usage": lambda a: [http(a.body(usage=...))],
    "usage negative": lambda a: [http(a.body(usage={"completion_tokens": -4}))],
    "usage in words": lambda a: [http(a.body(usage="few"))],
    "usage of 400 digits": lambda a: [http(a.body(usage={"prompt_tokens": 10**400}))],
    "no id": lambda a: [http(a.body(id=...))],
    "id null": lambda a: [http(a.body(id=None))],
    "id a number": lambda a: [http(a.body(id=7))],
    "no model": lambda a: [http(a.body(model=...))],
    "model null": lambda a: [http(a.body(model=None))],
    "the key in a field": lambda a: [http(a.body(debug={"auth": a.key}))],
    "nested beside": lambda a: [http(a.body(extra=json.loads(deep(200))))],
    "padded": lambda a: [http(a.body(padding=" " * MEGABYTE))],
}
# Rare, as each costs seconds: bodies that nobody should hold in memory.
HEAVY: dict[str, Kind] = {
    "huge": lambda a: [http(a.body(padding=" " * (96 * MEGABYTE))), "close"],
    "gzip bomb": lambda a: [http(bomb(400), 200, ZIP), "close"],
    "gzip bomb in gzip": lambda a: [
        http(gzip.compress(bomb(400)), 200, ZIP + ", gzip"),
        "close",
    ],
}
# Wrong, and nothing in the reply shows it: they are only told of, see torture.py.
LIES: dict[str, Kind] = {
    "content null": lambda a: [http(a.message(content=None))],
    "message null": lambda a: [http(a.body(choices=[{"message": None}]))],
    "empty text": lambda a: [http(a.message(content="", reasoning_content=""))],
    "an old reply by its id": lambda a: [http(a.earlier)],
    "another's text": lambda a: [
        http(a.body(choices=json.loads(a.earlier or b"{}").get("choices", [])))
    ],
    "text cut, said to be whole": lambda a: [http(a.message(content="答え"))],
    "text cut by the budget": lambda a: [http(a.message(finish_reason="length"))],
    "half characters": lambda a: [http(a.message(content="��\n答え: b"))],
    "two objects in a body": lambda a: [http(a.body() + b"\n" + a.earlier)],
    "a tool called": lambda a: [
        http(a.message(content=None, tool_calls=[{"function": {"name": "look"}}]))
    ],
    "the key in the text": lambda a: [http(a.message(content=f"{a.key}\n答え: b"))],
}
KINDS = BROKEN | SHIFTED | DIALECTS | HEAVY | LIES


@dataclass(frozen=True)
class Dealer:
    """Which fault a request meets: a pure function of seed, question and attempt."""

    seed: str
    rate: float
    kinds: tuple[str, ...] = field(default=(*BROKEN, *SHIFTED, *DIALECTS))
    heavy: float = 0.004  # of the faults

    def fault(self, question: str, attempt: int) -> str | None:
        """The name of the fault, None for an honest reply."""
        lot = random.Random(f"{self.seed}/{question}/{attempt}")
        if lot.random() >= self.rate:
            return None
        heavy = lot.random() < self.heavy
        return lot.choice(tuple(HEAVY) if heavy else self.kinds)
