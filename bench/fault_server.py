"""A stand-in that fails: raw sockets on loopback, and a log of who asked what.

Its reply is a pure function of the question's text; which fault a request meets is one
of (seed, question, attempt). A second port plays another host: nobody should ask it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from faults import KINDS, LIES, MODEL, Asked, Behind, Dealer, honest, http, plain

LINGER = struct.pack("ii", 1, 0)  # closing tears the connection
DEAF = 0.05  # seconds
SLOWEST = 0.06  # seconds before a reply: a kill meets several under way
LISTED = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
TORN = (
    ConnectionError,
    asyncio.CancelledError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
)


@dataclass(frozen=True)
class Request:
    """What came over a connection, as far as it matters here."""

    method: str
    path: str
    key: str
    text: str | None  # the question; None where nothing is asked


@dataclass(frozen=True)
class Sent:
    """What was sent whole, and may be mixed up with a later reply."""

    body: bytes


@dataclass
class Log:
    """What the server saw: it alone knows whether a victim had asked anything."""

    asked: Counter[str] = field(default_factory=Counter)  # by the key that was sent
    faults: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0  # requests at the other host
    keys_elsewhere: int = 0  # of them, with the key
    attempts: Counter[str] = field(default_factory=Counter)
    earlier: bytes = b"{}"


class FaultServer:
    """Two ports, of which one answers as its dealer says."""

    def __init__(self, dealer: Dealer) -> None:
        self.dealer, self.log = dealer, Log()
        self._loop = asyncio.new_event_loop()
        self._home: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = self.other = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def deal(self, dealer: Dealer) -> None:
        """Begin anew: other faults, and every question at its first attempt."""
        self.dealer = dealer
        self.log.attempts = Counter()

    async def listen(self) -> None:
        self._home = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._home.sockets[0].getsockname()[1]
        if not self.other:
            self._away = await asyncio.start_server(self._poison, "127.0.0.1", 0)
            self.other = self._away.sockets[0].getsockname()[1]

    async def _deaf(self) -> None:
        """Refuse connections for a moment, as a server that starts again does."""
        home, self._home = self._home, None
        if home is None:
            return
        home.close()
        while self._home is None:
            await asyncio.sleep(DEAF)
            with suppress(OSError):  # a connection of somebody's has the port by chance
                await self.listen()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        behind = b""
        try:
            while request := await read_request(reader):
                writer.write(behind)
                behind = b""
                for step in self._steps(request):
                    if isinstance(step, Behind):
                        behind = step.late
                    elif isinstance(step, Sent):
                        self.log.earlier = (
                            step.body if request.text else self.log.earlier
                        )
                    elif not await self._step(step, writer):
                        return
        except TORN:
            pass
        finally:
            writer.close()

    async def _step(self, step: object, writer: asyncio.StreamWriter) -> bool:
        """Do one step of a fault; whether the connection goes on."""
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        elif step == "half":
            writer.write_eof()
        elif step == "deaf":
            task = self._loop.create_task(self._deaf())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif step == "reset":
            away = writer.get_extra_info("socket")
            away.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
            writer.transport.abort()
            return False
        return step != "close"

    def _steps(self, request: Request) -> list[Any]:
        log, name = self.log, request.text or request.path.partition("?")[0]
        if request.text is not None:
            log.asked[request.key] += 1
        elif "/models" not in request.path or "/api/" in request.path:
            return [http(b'{"error": "Not Found"}', 404)]
        log.attempts[name] += 1
        told = LISTED if request.text is None else honest(name, sum(log.asked.values()))
        elsewhere = f"http://127.0.0.1:{self.other}{request.path}"
        asked = Asked(told, log.earlier, elsewhere, request.key, request.path)
        # A redirect at home leads to an honest reply, and a loop to itself.
        fault = self.dealer.fault(name, log.attempts[name])
        if fault in LIES and request.text is None:
            fault = None
        if "?again" in request.path:
            fault = None
        elif "?loop" in request.path:
            fault = "redirect loop"
        if fault:
            log.faults[fault] += 1
        whole = asked.body()
        steps = KINDS[fault](asked) if fault else [http(whole), Sent(whole)]
        return steps if request.text is None else [random.random() * SLOWEST, *steps]

    async def _poison(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Another host: it answers, and nothing it says may be kept."""
        try:
            while request := await read_request(reader):
                self.log.elsewhere += 1
                self.log.keys_elsewhere += bool(request.key)
                writer.write(http(plain(honest("elsewhere", 0))))
        except TORN:
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, *_ = head.split(" ")
    length = re.search(r"(?im)^content-length: *(\d+)", head)
    body = await reader.readexactly(int(length[1])) if length else b""
    key = re.search(r"(?im)^authorization: *bearer +(\S+)", head)
    is_question = method == "POST" and body[:1] == b"{"
    text = json.loads(body)["messages"][-1]["content"] if is_question else None
    return Request(method, urlsplit(path)._replace(fragment="").geturl(),
                   key[1] if key else "", text)  # fmt: skip


@contextmanager
def serving(dealer: Dealer) -> Iterator[FaultServer]:
    """A fault server in a thread of its own, for the time of a `with`."""
    server = FaultServer(dealer)
    loop, is_up = server._loop, threading.Event()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.listen())
        is_up.set()
        loop.run_forever()
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    is_up.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        worker.join(10)
