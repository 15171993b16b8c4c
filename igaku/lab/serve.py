"""The lab's servers: an engine in a process of its own, for as long as it is wanted.

>>> with serving("lab-mxfp4-q4") as server:  # doctest: +SKIP
...     ask(server.base_url, model=server.model)
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.lab.recipes import find_recipe
from igaku.lab.variants import quantize
from igaku.paths import PACKAGE

HOST = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::", "")  # what a server may listen on and nobody can call
READY_SECONDS = 120.0
POLL_SECONDS = 0.05
STOP_SECONDS = 5.0
LOG_LINES = 6
LOADING = http.client.SERVICE_UNAVAILABLE  # llama.cpp's while it loads its model


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, the model's name there, and its process."""

    base_url: str
    model: str
    engine: str
    folder: Path
    pid: int
    host: str
    port: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)


@contextmanager
def serving(
    slug: str,
    checkpoint: str | Path | None = None,
    port: int | None = None,
    host: str = HOST,
) -> Iterator[Server]:
    """A server of the variant that `slug` names, for the time of a `with`."""
    server = start_server(slug, checkpoint, port, host)
    try:
        yield server
    finally:
        stop_server(server)


def serve_forever(
    slug: str,
    port: int | None = None,
    host: str = HOST,
    checkpoint: str | Path | None = None,
) -> None:
    """Serve in the foreground until Ctrl-C; `igaku serve` is this."""
    with serving(slug, checkpoint, port, host) as server, suppress(KeyboardInterrupt):
        print(
            f"{server.model} answers at {server.base_url} as process {server.pid}; "
            f"Ctrl-C ends it.",
            flush=True,
        )
        server.process.wait()
        raise IgakuError(
            f"{server.model}'s server ended by itself: {_tail(server.log)}"
        )


def start_server(
    slug: str,
    checkpoint: str | Path | None = None,
    port: int | None = None,
    host: str = HOST,
) -> Server:
    """A server that has answered once. It ends by `stop_server`, or with this process.

    `slug` names a recipe, with or without "lab-"; the model is the embedded one unless
    a checkpoint is given. Without `port` a free one is taken.
    """
    recipe = find_recipe(slug)
    if reason := missing_engine(slug):
        raise IgakuError(f"{slug} cannot be served here: {reason}.")
    folder = quantize(recipe, checkpoint)
    if port is not None:
        _check_free(host, port)
        return _started(slug, recipe.engine, folder, host, port)
    for _ in range(3):  # another program may take the free port first
        chosen = _free_port(host)
        try:
            return _started(slug, recipe.engine, folder, host, chosen)
        except IgakuError:
            with suppress(OSError), _listen(host, chosen):  # it was free all along
                raise
    raise IgakuError("no port stayed free for the server: name one that is.")


def stop_server(server: Server) -> None:
    """End a server and wait until it has gone."""
    process = server.process
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
    server.log.unlink(missing_ok=True)


def _started(slug: str, engine: str, folder: Path, host: str, port: int) -> Server:
    descriptor, log = tempfile.mkstemp(prefix="igaku-lab-", suffix=".log")
    arguments = [engine, str(folder), slug, host, str(port), str(os.getpid())]
    with os.fdopen(descriptor, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "igaku.lab.engine", *arguments],
            stdin=subprocess.PIPE,  # its end tells the child that this process is gone
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # an interrupt is for this process to handle
        )
    called = HOST if host in EVERYWHERE else host
    url = f"http://{f'[{called}]' if ':' in called else called}:{port}/v1"
    server = Server(
        url, slug, engine, folder, process.pid, called, port, Path(log), process
    )
    try:
        _await_ready(server)
    except BaseException:
        stop_server(server)
        raise
    return server


def _environment() -> dict[str, str]:
    """The child's variables: no network, this very package, the same sums anywhere."""
    added = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if platform.system() == "Linux":
        # MLX fuses operations with g++ where there is one and rounds otherwise there.
        added["MLX_DISABLE_COMPILE"] = "1"
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    added["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return {**os.environ, **added}


def _await_ready(server: Server) -> None:
    """Wait until the server has made one token."""
    deadline = time.monotonic() + READY_SECONDS
    while (reply := _one_token(server)) is None or reply[0] == LOADING:
        if server.process.poll() is not None:
            raise IgakuError(f"{server.model} did not start: {_tail(server.log)}")
        if time.monotonic() > deadline:
            raise IgakuError(
                f"{server.model} was not ready after {READY_SECONDS:.0f} seconds: "
                f"{_tail(server.log)}"
            )
        time.sleep(POLL_SECONDS)
    status, answer = reply
    if status != http.client.OK:
        raise IgakuError(
            f"{server.model} started and cannot answer ({' '.join(answer.split())}): "
            f"{_tail(server.log)}"
        )


def _one_token(server: Server) -> tuple[int, str] | None:
    """Status and answer of the smallest request; None while nobody listens.

    It goes past any proxy: the server is on this machine.
    """
    body = {"model": server.model, "prompt": "1", "max_tokens": 1, "temperature": 0}
    head = {"Content-Type": "application/json"}
    line = http.client.HTTPConnection(server.host, server.port, timeout=READY_SECONDS)
    try:
        line.request("POST", "/v1/completions", json.dumps(body), head)
        answer = line.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        line.close()


def _tail(log: Path) -> str:
    """The last lines the server printed, in one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()][-LOG_LINES:]
    return " / ".join(said) or "it printed nothing"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    # As the engines do: a port that only lingers from a closed server is free.
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _free_port(host: str) -> int:
    with _listen(host, 0) as listener:
        return int(listener.getsockname()[1])


def _check_free(host: str, port: int) -> None:
    try:
        _listen(host, port).close()
    except (OSError, OverflowError) as taken:
        reason = taken.strerror if isinstance(taken, OSError) else "no such port"
        raise IgakuError(
            f"port {port} of {host} cannot be had ({reason}): choose another port, or "
            f"none for a free one."
        ) from taken
