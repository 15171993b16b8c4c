"""The wire: each reply is read from a connection that was opened for it alone.

On a kept connection nothing but its turn ties a reply to its request. Whatever answers
twice, with the same words or others, would be one behind from then on, and no look at
the connection shows that while the second answer is still under way. A library's client
with a connection for each request does the same at about twice the CPU.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
import zlib
from contextlib import closing, suppress
from functools import cache
from urllib.request import getproxies, proxy_bypass

import httpx2

from igaku.errors import IgakuError, ServerUnreachable

# A token with twenty alternatives takes 2 kB, so 8 MiB hold a probe's 4,096 of them.
LARGEST_BODY = 16 * 2**20
LARGEST_HEAD = 2**16
PIECE = 2**16  # bytes
PORTS = {"http": 80, "https": 443}
OF_THE_WAY = ("content-encoding", "transfer-encoding", "content-length")
# Asked for packed, a reply of a few kilobytes would only take longer.
OURS = ((b"accept-encoding", b"identity"), (b"connection", b"close"))


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


class Wire(httpx2.BaseTransport):
    """The way to one server: a new connection for each request."""

    def __init__(self, base_url: str) -> None:
        self.home = httpx2.URL(base_url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The response to a request, read to its end."""
        _refuse_elsewhere(self.home, request.url)
        patience = request.extensions["timeout"]
        with closing(_connected(request.url, patience["connect"])) as sock:
            return _exchanged(sock, request, patience["read"])


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
        return _whole(response.status_code, response.headers, bytes(whole))


def _connected(url: httpx2.URL, patience: float) -> socket.socket:
    try:
        sock = socket.create_connection((url.host, _port(url)), patience)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if url.scheme == "https":
            sock = _certificates().wrap_socket(sock, server_hostname=url.host)
    except TimeoutError as late:
        raise httpx2.ConnectTimeout(str(late)) from late
    except (OSError, UnicodeError) as broken:
        raise httpx2.ConnectError(str(broken)) from broken
    return sock


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: a server on this machine answers in less time."""
    return httpx2.create_ssl_context()


def _port(url: httpx2.URL) -> int:
    return url.port or PORTS[url.scheme]


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


def _exchanged(
    sock: socket.socket, request: httpx2.Request, patience: float
) -> httpx2.Response:
    """Send a request and read its whole response."""
    if _speaks_first(sock):
        raise httpx2.RemoteProtocolError("it speaks before it is asked")
    sock.settimeout(patience)
    reply = io.BufferedReader(Reply(sock, time.monotonic() + patience), PIECE)
    try:
        # A server that refuses early may close before it has read all of it.
        with suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(_written(request))
        return _response(reply)
    except TimeoutError as late:
        raise httpx2.ReadTimeout(str(late)) from late
    except (OSError, ValueError) as broken:
        raise httpx2.RemoteProtocolError(str(broken)) from broken


def _speaks_first(sock: socket.socket) -> bool:
    """Whether bytes are there that nobody asked for."""
    sock.settimeout(0)
    with suppress(OSError):
        return bool(sock.recv(1))
    return False


def _written(request: httpx2.Request) -> bytes:
    pairs = [p for p in request.headers.raw if p[0].lower() not in dict(OURS)]
    lines = [b"%s: %s\r\n" % pair for pair in (*pairs, *OURS)]
    first = b"%s %s HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path)
    return b"".join([first, *lines, b"\r\n", request.read()])


# --- reading --------------------------------------------------------------------------


class Reply(io.RawIOBase):
    """The bytes of one reply, until the moment when it must be in as a whole."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock, self.until = sock, until

    def readable(self) -> bool:
        """True: it is there to be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what has come, and say how much that is."""
        size = self.sock.recv_into(buffer)
        # One that drips would else keep a question for as long as it likes.
        if time.monotonic() > self.until:
            raise TimeoutError("the reply took longer in all")
        return size


def _response(reply: io.BufferedIOBase) -> httpx2.Response:
    status, headers = _head(reply)
    while status < 200:  # the server is at work, and says so
        status, headers = _head(reply)
    length = headers.get("content-length")
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = _chunks(reply)
    elif status in (204, 304):
        body = b""
    elif length:
        body = _taken(reply, int(length))
    else:
        body = reply.read(LARGEST_BODY + 1)
        _bounded(len(body))
    return _whole(status, headers, body)


def _whole(status: int, headers: httpx2.Headers, body: bytes) -> httpx2.Response:
    """A response whose body is as it is meant, without a word of how it came."""
    coding, *_ = (headers.pop(name, "") for name in OF_THE_WAY)
    body = _unpacked(body, coding.lower())
    return httpx2.Response(status, headers=headers, content=body)


def _head(reply: io.BufferedIOBase) -> tuple[int, httpx2.Headers]:
    first = _line(reply, "hung up without a reply")
    version, _, status = first.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not status[:3].isdigit():
        raise ValueError(f"it speaks no HTTP: {first[:60]!r}")
    pairs, size = list[tuple[bytes, bytes]](), 0
    while line := _line(reply):
        size += len(line)
        if size > LARGEST_HEAD:
            raise ValueError("the head of the reply has no end")
        name, _, said = line.partition(b":")
        pairs.append((name, said.strip()))
    return int(status[:3]), httpx2.Headers(pairs)


def _line(reply: io.BufferedIOBase, otherwise: str = "broke off its reply") -> bytes:
    line = reply.readline(LARGEST_HEAD)
    if len(line) == LARGEST_HEAD:
        raise ValueError("a line of the reply has no end")
    if not line.endswith(b"\n"):
        raise ValueError(otherwise)
    return line.rstrip()


def _chunks(reply: io.BufferedIOBase) -> bytes:
    whole = bytearray()
    while size := int(_line(reply).partition(b";")[0], 16):
        whole += _taken(reply, size, len(whole))
        _line(reply)
    while _line(reply):  # what trails the last chunk
        pass
    return bytes(whole)


def _taken(reply: io.BufferedIOBase, size: int, before: int = 0) -> bytes:
    if size < 0:
        raise ValueError(f"a length of {size}")
    _bounded(before + size)
    taken = reply.read(size)
    if len(taken) < size:
        raise ValueError("broke off its reply")
    return taken


def _unpacked(body: bytes, coding: str) -> bytes:
    """A body as it was before a server packed it, though nobody asked for that."""
    if coding not in ("gzip", "x-gzip", "deflate"):
        return body
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        whole = unpack.decompress(body, LARGEST_BODY + 1)
    except zlib.error:  # read as it is, as rubbish
        return body
    _bounded(len(whole))
    return whole


def _bounded(size: int) -> None:
    """Refuse a number of bytes that no reply has."""
    if size > LARGEST_BODY:
        raise ServerUnreachable(
            f"the server sent a reply of more than {LARGEST_BODY // 2**20} MiB, which "
            "no reply to a question needs: see what it sends, and ask for fewer log "
            "probabilities where `extra_body` asks for any."
        )
