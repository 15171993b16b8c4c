"""The wire: each reply is read from a connection that was opened for it alone.

On a kept connection nothing but its turn ties a reply to its request. Whatever answers
twice, with the same words or others, would be one behind from then on, and no look at
the connection shows that while the second answer is still under way.
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx2

from igaku.errors import IgakuError, ServerUnreachable

# A token with twenty alternatives takes 2 kB, so 8 MiB hold a probe's 4,096 of them.
LARGEST_BODY = 16 * 2**20
LARGEST_HEAD = 2**16
PIECE = 2**16  # bytes
PORTS = {"http": 80, "https": 443}
HEAD_END = re.compile(rb"\r?\n\r?\n")
OF_THE_WAY = (b"content-encoding", b"transfer-encoding", b"content-length")
# Asked for packed, a reply of a few kilobytes would only take longer.
OURS = ((b"accept-encoding", b"identity"), (b"connection", b"close"))

Pairs = list[tuple[bytes, bytes]]


class Line:
    """One connection, and the bytes that were read from it and not yet understood."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.held = sock, bytearray()
        self.until = math.inf  # when the whole reply must be in

    def speaks_first(self) -> bool:
        """Whether bytes are there that nobody asked for."""
        self.sock.settimeout(0)
        with suppress(OSError):
            return bool(self.sock.recv(1))
        return False

    def exchange(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read its whole response."""
        patience = _patience(request)["read"]
        self.sock.settimeout(patience)
        self.until = time.monotonic() + (math.inf if patience is None else patience)
        try:
            # A server that refuses early may close before it has read all of it.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.sock.sendall(_written(request))
            return self._response()
        except TimeoutError as late:
            raise httpx2.ReadTimeout(str(late)) from late
        except (OSError, ValueError) as broken:
            raise httpx2.RemoteProtocolError(str(broken)) from broken

    def _response(self) -> httpx2.Response:
        status, headers = self._head()
        while status < 200:  # the server is at work, and says so
            status, headers = self._head()
        body = b""
        length = _told(headers, b"content-length")
        if b"chunked" in _told(headers, b"transfer-encoding"):
            body = self._chunks()
        elif status not in (204, 304):
            body = self._taken(_bounded(int(length))) if length else self._rest()
        return _whole(status, headers, body)

    def _head(self) -> tuple[int, Pairs]:
        while not (end := HEAD_END.search(self.held)):
            if len(self.held) > LARGEST_HEAD:
                raise ValueError("the head of the reply has no end")
            self._more("hung up without a reply")
        first, *lines = self._first(end.end()).rstrip().splitlines()
        version, _, status = first.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not status[:3].isdigit():
            raise ValueError(f"it speaks no HTTP: {first[:60]!r}")
        pairs = [line.partition(b":")[::2] for line in lines]
        return int(status[:3]), [(name, said.strip()) for name, said in pairs]

    def _chunks(self) -> bytes:
        whole = bytearray()
        while size := int(self._line().partition(b";")[0], 16):
            _bounded(size + len(whole))
            whole += self._taken(size)
            self._line()
        while self._line():  # what trails the last chunk
            pass
        return bytes(whole)

    def _line(self) -> bytes:
        while (end := self.held.find(b"\n")) < 0:
            if len(self.held) > LARGEST_HEAD:
                raise ValueError("a line of the reply has no end")
            self._more()
        return self._first(end + 1).rstrip()

    def _taken(self, size: int) -> bytes:
        if size < 0:
            raise ValueError(f"a length of {size}")
        while len(self.held) < size:
            self._more()
        return self._first(size)

    def _rest(self) -> bytes:
        with suppress(EOFError):
            while True:
                self._more()
                _bounded(len(self.held))
        return self._first(len(self.held))

    def _first(self, size: int) -> bytes:
        taken = bytes(self.held[:size])
        del self.held[:size]
        return taken

    def _more(self, otherwise: str = "broke off its reply") -> None:
        piece = self.sock.recv(PIECE)
        # One that drips would else keep a question for as long as it likes.
        if time.monotonic() > self.until:
            raise TimeoutError("the reply took longer in all")
        if not piece:
            raise Ended(otherwise)
        self.held += piece


class Ended(EOFError, ValueError):
    """The server closed the connection."""


class Wire(httpx2.BaseTransport):
    """The way to one server: a new connection for each request."""

    def __init__(self, base_url: str) -> None:
        self.home = httpx2.URL(base_url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, read to its end."""
        _refuse_elsewhere(self.home, request.url)
        line = self._new(request)
        with closing(line.sock):
            return line.exchange(request)

    def _new(self, request: httpx2.Request) -> Line:
        url, patience = request.url, _patience(request)["connect"]
        try:
            sock = socket.create_connection((url.host, _port(url)), patience)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if url.scheme == "https":
                sock = _certificates().wrap_socket(sock, server_hostname=url.host)
        except TimeoutError as late:
            raise httpx2.ConnectTimeout(str(late)) from late
        except (OSError, UnicodeError) as broken:
            raise httpx2.ConnectError(str(broken)) from broken
        line = Line(sock)
        if line.speaks_first():
            sock.close()
            raise httpx2.RemoteProtocolError("it speaks before it is asked")
        return line


def transport(base_url: str, is_here: bool = False) -> httpx2.BaseTransport:
    """The way to a server: straight, or through the proxy that the environment names.

    A proxy for the outer world must not be asked for a server on this machine.
    """
    url = httpx2.URL(base_url)
    known = {} if is_here or proxy_bypass(url.host) else getproxies()
    proxy = known.get(url.scheme) or known.get("all")
    if proxy is None:
        return Wire(base_url)
    return Proxied(base_url, proxy if "://" in proxy else f"http://{proxy}")


class Proxied(httpx2.HTTPTransport):
    """The way through a proxy: a new connection for each request, and the same bounds.

    What waits on a connection to a proxy cannot be seen.
    """

    def __init__(self, base_url: str, proxy: str) -> None:
        super().__init__(proxy=proxy, limits=httpx2.Limits(max_keepalive_connections=0))
        self.home = httpx2.URL(base_url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, read to its end."""
        _refuse_elsewhere(self.home, request.url)
        request.headers["accept-encoding"] = "identity"
        response = super().handle_request(request)
        whole = bytearray()
        with closing(response):
            for piece in response.iter_raw():
                whole += piece
                _bounded(len(whole))
        return _whole(response.status_code, response.headers.raw, bytes(whole))


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: a server on this machine answers in less time."""
    return httpx2.create_ssl_context()


def _patience(request: httpx2.Request) -> Mapping[str, Any]:
    return request.extensions.get("timeout") or {"connect": None, "read": None}


def _port(url: httpx2.URL) -> int:
    return url.port or PORTS[url.scheme]


def _written(request: httpx2.Request) -> bytes:
    pairs = [p for p in request.headers.raw if p[0].lower() not in dict(OURS)]
    lines = [b"%s: %s\r\n" % pair for pair in (*pairs, *OURS)]
    first = b"%s %s HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)
    return b"".join([first, *lines, b"\r\n", request.read()])


def _told(headers: Pairs, name: bytes) -> bytes:
    return b", ".join(said for each, said in headers if each.lower() == name).lower()


def _bounded(size: int) -> int:
    """A number of bytes that a reply may have; more raises."""
    if size > LARGEST_BODY:
        raise ServerUnreachable(
            f"the server sent a reply of more than {LARGEST_BODY // 2**20} MiB, which "
            "no reply to a question needs: see what it sends, and ask for fewer log "
            "probabilities where `extra_body` asks for any."
        )
    return size


def _whole(status: int, headers: Pairs, body: bytes) -> httpx2.Response:
    """A response whose body is as it is meant, without a word of how it came."""
    body = _unpacked(body, _told(headers, b"content-encoding"))
    kept = [pair for pair in headers if pair[0].lower() not in OF_THE_WAY]
    return httpx2.Response(status, headers=kept, content=body)


def _unpacked(body: bytes, coding: bytes) -> bytes:
    """A body as it was before a server packed it, though nobody asked for that."""
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        return body
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        whole = unpack.decompress(body, LARGEST_BODY + 1)
    except zlib.error:  # read as it is, as rubbish
        return body
    _bounded(len(whole))
    return whole


def _refuse_elsewhere(home: httpx2.URL, url: httpx2.URL) -> None:
    """Refuse a redirect to a server other than the one that was set."""
    if url.host == home.host and url.scheme in PORTS:
        ports = _port(home), _port(url)
        # From http to https of one server the port changes as well.
        if ports[0] == ports[1] or ports == (PORTS["http"], PORTS["https"]):
            return
    raise IgakuError(
        f"{home} sends its requests on to {url}, another server, which was asked "
        "nothing: set `base_url` to that one if it is the one you mean."
    )
