"""A reply belongs to its request: each has its own connection; and their bounds."""

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from igaku.errors import IgakuError, ServerUnreachable
from igaku.server.client import complete, connect
from igaku.server.parts import parts_of
from igaku.server.wire import LARGEST_BODY


class Raw:
    """A server of bare sockets: `behave` gets a question, its number, and a `send`."""

    def __init__(self, behave):
        self.behave, self.asked, self.lines = behave, [], 0
        self.turn = threading.Lock()

    def serve(self, listening):
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            self.lines += 1
            threading.Thread(target=self.talk, args=(line,), daemon=True).start()

    def talk(self, line):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reading = line.makefile("rb")
        while question := self.heard(reading):
            with self.turn:
                self.asked.append(question)
                number = len(self.asked)
            try:
                if self.behave(question, number, line.sendall) is False:
                    break
            except OSError:
                break
        reading.close()
        line.close()

    @staticmethod
    def heard(reading):
        try:
            length = 0
            while (row := reading.readline()) not in (b"\r\n", b""):
                if row.lower().startswith(b"content-length:"):
                    length = int(row.split(b":")[1])
            body = json.loads(reading.read(length)) if length else None
        except (OSError, ValueError):
            return None
        return body and body["messages"][0]["content"]


@contextmanager
def raw(behave):
    server = Raw(behave)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        server.base_url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        threading.Thread(target=server.serve, args=(listening,), daemon=True).start()
        yield server
        # A thread in accept() would keep the port open.
        listening.shutdown(socket.SHUT_RDWR)


def said(content, told=None):
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return {"id": content, "model": "m", "choices": [choice]} | (told or {})


def framed(body, head=b""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (head, len(body)) + body


def chunked(body):
    body = json.dumps(body).encode()
    pieces = [body[i : i + 40] for i in range(0, len(body), 40)]
    told = b"".join(b"%x;of=it\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + told + b"0\r\nTrailing: yes\r\n\r\n"


def to_all(server, concurrency=1, n=40, pause=0.0):
    """What came back for each of n questions."""
    names = [f"q{i}" for i in range(n)]
    with (
        connect(server.base_url, timeout=10) as client,
        ThreadPoolExecutor(concurrency) as pool,
    ):

        def ask(name):
            time.sleep(pause)
            chat = [{"role": "user", "content": name}]
            return complete(client, {"model": "m", "messages": chat})

        return dict(zip(names, pool.map(ask, names), strict=True))


def contents(replies):
    return {name: reply.content for name, reply in replies.items()}


def doubling(latency, lag, at=5, wrap=framed):
    """A server that sends one response twice, the second time `lag` seconds later."""

    def behave(question, number, send):
        time.sleep(latency)
        out = wrap(said(question))
        if number != at:
            send(out)
        elif lag is None:
            send(out + out)
        else:
            send(out)
            time.sleep(lag)
            send(out)

    return behave


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("latency", [0, 0.05])
@pytest.mark.parametrize("lag", [None, 0, 0.001, 0.02, 0.08])
def test_a_doubled_response_is_nobodys_reply(lag, latency, concurrency):
    with raw(doubling(latency, lag)) as server:
        got = contents(to_all(server, concurrency, 20))
    assert got == {name: name for name in got}


@pytest.mark.parametrize("lag", [None, 0.02])
def test_a_doubled_response_in_chunks(lag):
    with raw(doubling(0, lag, wrap=chunked)) as server:
        got = contents(to_all(server))
    assert got == {name: name for name in got}


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_second_answer_in_other_words_is_nobodys_reply(concurrency):
    def behave(question, number, send):
        time.sleep(0.02)
        send(framed(said(question)))
        if number == 5:  # nothing shows that it belongs to the question before
            time.sleep(0.01)
            send(framed(said(f"{question} again")))

    with raw(behave) as server:
        got = contents(to_all(server, concurrency))
    assert got == {name: name for name in got}


@pytest.mark.parametrize("pause", [0.02, 2.0])
def test_a_copy_that_comes_while_a_later_reply_is_awaited(pause):
    first = []

    def behave(question, number, send):
        out = framed(said(question))
        first.append((send, out))
        if number == 5:
            with suppress(OSError):
                time.sleep(0.02)
                first[3][0](first[3][1])
            time.sleep(pause)
        send(out)

    with raw(behave) as server:
        got = contents(to_all(server, n=10))
    assert got == {name: name for name in got}


@pytest.mark.parametrize("wrap", [framed, chunked])
def test_every_request_has_a_connection_of_its_own(wrap):
    with raw(lambda q, n, send: send(wrap(said(q)))) as server:
        to_all(server, concurrency=4)
    assert server.lines == len(server.asked) == 40


@pytest.mark.parametrize("told", [{"id": "x"}, {"id": None}])
def test_a_server_whose_replies_are_all_alike_is_asked_once_each(told):
    began = time.perf_counter()
    with raw(lambda q, n, send: send(framed(said("c", told)))) as server:
        got = contents(to_all(server))
    assert set(got.values()) == {"c"} and len(server.asked) == 40
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("lag", [0.001, 0.02, 0.08])
def test_a_doubled_response_without_an_id_is_nobodys_reply(lag, concurrency):
    nameless = lambda body: framed(body | {"id": None})  # noqa: E731
    with raw(doubling(0.02, lag, wrap=nameless)) as server:
        got = contents(to_all(server, concurrency, 20))
    assert got == {name: name for name in got}


def test_a_connection_that_its_server_closes_is_no_fault():
    def behave(question, number, send):
        head = b"Connection: close\r\n" if number % 2 else b""
        send(framed(said(question), head))
        return number % 4 != 0  # closed without a word of it

    with raw(behave) as server:
        got = to_all(server, pause=0.02)
    assert contents(got) == {name: name for name in got}


def test_a_body_without_a_length_ends_with_its_connection():
    def behave(question, number, send):
        send(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(said(question)).encode())
        return False

    with raw(behave) as server:
        got = contents(to_all(server, n=4))
    assert got == {name: name for name in got}


def test_a_server_at_work_may_say_so_first():
    early = b"HTTP/1.1 102 Processing\r\n\r\n"
    with raw(lambda q, n, send: send(early + framed(said(q)))) as server:
        assert contents(to_all(server, n=3)) == {"q0": "q0", "q1": "q1", "q2": "q2"}


@pytest.mark.parametrize(
    "out",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 7\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"x" * 100_000,
        b"",
    ],
)
def test_a_response_that_is_none_is_a_broken_connection(out):
    def behave(question, number, send):
        send(out)
        return False

    with raw(behave) as server, pytest.raises(ServerUnreachable, match="base_url"):
        to_all(server, n=1)


# --- bounds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "out",
    [
        framed(b" " * (LARGEST_BODY + 1)),
        framed(gzip.compress(b" " * 100 * 2**20), b"Content-Encoding: gzip\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (LARGEST_BODY + 1),
    ],
    ids=["padded", "packed", "announced", "chunk", "endless"],
)
def test_a_body_without_measure_is_refused_in_a_sentence(out):
    with (
        raw(lambda q, n, send: send(out)) as server,
        pytest.raises(ServerUnreachable, match="more than 16 MiB"),
    ):
        to_all(server, n=1)


def test_a_reply_that_drips_is_waited_for_as_long_as_for_any_other():
    def drips(question, number, send):
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            send(b" ")
            time.sleep(0.05)

    with raw(drips) as server, connect(server.base_url, 0.4) as client:
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="no reply in time"):
            complete(client, {"model": "m", "messages": [{"content": "q"}]})
        assert time.monotonic() - began < 3


def test_a_long_reply_and_a_packed_one_are_read():
    long = said("あ" * 2**20)
    packed = gzip.compress(json.dumps(long).encode())
    head = b"Content-Encoding: gzip\r\n"
    with raw(lambda q, n, send: send(framed(packed, head))) as server:
        assert to_all(server, n=1)["q0"].content == "あ" * 2**20


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "text",
    [
        nested(100_000),
        nested(950),
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        f"data: {nested(950)}\n\ndata: {nested(950)}\n\n",
        json.dumps(said("c")) + nested(5000),
        '"' + '\\"' * 200_000,
    ],
)
def test_a_body_nested_without_end_reads_alike_from_any_stack(text):
    def from_depth(frames):
        return from_depth(frames - 1) if frames else parts_of(text.encode())

    began = time.perf_counter()
    assert from_depth(0) == from_depth(700)
    assert from_depth(0).raw == text
    assert time.perf_counter() - began < 2


def test_brackets_inside_a_text_are_no_nesting():
    body = said("[{" * 5000 + '"\\' + "[" * 500)
    assert (
        parts_of(json.dumps(body).encode()).content
        == body["choices"][0]["message"]["content"]
    )
    deep = said("c", {"logprobs": json.loads("[" * 90 + "]" * 90)})
    assert parts_of(json.dumps(deep).encode()).error is None


# --- redirects --------------------------------------------------------------------


def test_a_redirect_to_another_server_is_not_followed():
    with raw(lambda q, n, send: send(framed(said("stranger")))) as stranger:
        there = f"{stranger.base_url}/chat/completions"
        out = b"HTTP/1.1 307 On\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        with (
            raw(lambda q, n, send: send(out % there.encode())) as server,
            pytest.raises(IgakuError) as refused,
        ):
            to_all(server, n=1)
        assert not stranger.asked and stranger.lines == 0
    assert server.base_url in str(refused.value) and there in str(refused.value)
    assert not isinstance(refused.value, ServerUnreachable)  # no matter of patience


@pytest.mark.parametrize("there", ["file:///etc/hostname", "ftp://127.0.0.1/v1"])
def test_a_redirect_to_what_is_no_server_is_refused_in_a_sentence(there):
    out = f"HTTP/1.1 307 On\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n"
    with (
        raw(lambda q, n, send: send(out.encode())) as server,
        pytest.raises(IgakuError) as refused,
    ):
        to_all(server, n=1)
    assert there.partition(":")[0] + "://" in str(refused.value)


def test_a_redirect_within_a_server_is_followed():
    def behave(question, number, send):
        on = b"HTTP/1.1 307 On\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
        send(on if number == 1 else framed(said(question)))

    with raw(behave) as server:
        assert to_all(server, n=1)["q0"].content == "q0"


def test_a_proxy_of_the_environment_is_asked_and_bounded(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with raw(doubling(0, None)) as proxy:
        host = proxy.base_url.removesuffix("/v1")
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, host)
        proxied = type("Far", (), {"base_url": "http://far.invalid/v1"})
        got = contents(to_all(proxied, n=10))
        assert got == {name: name for name in got}
        proxy.behave = lambda q, n, send: send(framed(b" " * (LARGEST_BODY + 1)))
        with pytest.raises(ServerUnreachable, match="more than 16 MiB"):
            to_all(proxied, n=1)
