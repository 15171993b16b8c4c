"""The lab's servers: an engine in a process of its own, for as long as it is wanted.

>>> with serving("lab-mxfp4-q4") as server:  # doctest: +SKIP
...     ask(server.base_url, model=server.model)
"""

from __future__ import annotations

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

import httpx2

from igaku.errors import IgakuError
from igaku.lab.engines import missing_engine
from igaku.lab.recipes import find_recipe
from igaku.lab.variants import quantize
from igaku.paths import PACKAGE

HOST = "127.0.0.1"
READY_SECONDS, STOP_SECONDS = 120.0, 5.0
LOADING = 503  # llama.cpp's answer while it loads its model


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, the model's name there, and its process."""

    base_url: str
    model: str
    folder: Path
    pid: int
    port: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False, compare=False)


def serve_forever(slug: str, port: int | None = None) -> None:
    """Serve in the foreground until Ctrl-C; `igaku serve` is this."""
    with serving(slug, port=port) as server:
        try:
            print(
                f"{server.model} answers at {server.base_url} as process {server.pid}; "
                f"Ctrl-C ends it.",
                flush=True,
            )
            server.process.wait()
        except KeyboardInterrupt:
            print(f"{server.model} is no longer served.", flush=True)
            return
        raise _failure(server, "'s server ended by itself")


@contextmanager
def serving(
    slug: str, checkpoint: str | Path | None = None, port: int | None = None
) -> Iterator[Server]:
    """A server that has answered once, for the time of a `with`, or of this process.

    `slug` names a recipe, with or without "lab-"; the model is the embedded one unless
    a checkpoint is given. Without `port` a free one is taken.
    """
    engine = find_recipe(slug).engine
    if reason := missing_engine(slug):
        raise IgakuError(f"{slug} cannot be served here: {reason}.")
    folder = quantize(slug, checkpoint)
    port = _free_port(port)
    arguments = [engine, str(folder), slug, HOST, str(port), str(os.getpid())]
    with (
        tempfile.TemporaryDirectory(prefix="igaku-lab-") as place,
        (Path(place) / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "igaku.lab.engine", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # an interrupt is for this process to handle
        ) as process,
    ):
        url = f"http://{HOST}:{port}/v1"
        server = Server(url, slug, folder, process.pid, port, Path(log.name), process)
        try:
            _await_ready(server)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()


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
    body = {"model": server.model, "prompt": "1", "max_tokens": 1, "temperature": 0}
    deadline = time.monotonic() + READY_SECONDS
    # The server is on this machine: its address goes past any proxy.
    with httpx2.Client(trust_env=False, timeout=READY_SECONDS) as client:
        while True:
            with suppress(httpx2.TransportError):  # nobody listens yet
                reply = client.post(f"{server.base_url}/completions", json=body)
                if reply.is_success:
                    return
                if reply.status_code != LOADING:
                    said = " ".join(reply.text.split())
                    raise _failure(server, f" started and cannot answer ({said})")
            if server.process.poll() is not None:
                raise _failure(server, " did not start")
            if time.monotonic() > deadline:
                late = f" was not ready after {READY_SECONDS:.0f} seconds"
                raise _failure(server, late)
            time.sleep(0.05)


def _failure(server: Server, told: str) -> IgakuError:
    """What befell a server, with the last lines that it printed."""
    lines = server.log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = " / ".join([line.strip() for line in lines if line.strip()][-6:])
    return IgakuError(f"{server.model}{told}: {said or 'it printed nothing'}")


def _free_port(wanted: int | None) -> int:
    """The port that is wanted, once it is known to be free, or any free one."""
    with socket.socket() as listener:
        # As the engines do: a port that only lingers from a closed server is free.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, wanted or 0))
        except (OSError, OverflowError) as taken:
            reason = taken.strerror if isinstance(taken, OSError) else "no such port"
            raise IgakuError(
                f"port {wanted} of {HOST} cannot be had ({reason}): choose another "
                f"port, or none for a free one."
            ) from taken
        return int(listener.getsockname()[1])
