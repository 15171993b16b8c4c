"""A kernel whose libraries are imported already: pandas, seaborn and scipy.

Jupyter starts this file as it starts any kernel. One process for the whole suite has
imported the libraries; it forks, and the fork is IPython's own kernel in the folder,
environment and limits that were asked for. What asked hands signals on to the kernel,
ends when the kernel ends, and the kernel ends when it does.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

SUITE = int(os.environ["IGAKU_SUITE"])  # the process of the tests
NAME = f"igaku-{SUITE}-{zlib.crc32(sys.executable.encode())}"
PLACE = str(Path(tempfile.gettempdir(), NAME))
LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
LIBRARIES = ("matplotlib.pyplot", "pandas", "scipy.stats", "seaborn")
LIBRARIES += ("ipykernel.kernelapp", "ipykernel.ipkernel")
PATIENCE = 60  # seconds to import the libraries in


# --- what Jupyter starts --------------------------------------------------------------


def ask() -> None:
    """Have a kernel forked, and stand for it before the one who started this."""
    parent, fork = os.getppid(), connected()
    asked = {
        "argv": sys.argv,
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
    }
    asked["limits"] = [resource.getrlimit(limit) for limit in LIMITS]
    socket.send_fds(fork, [b"."], [0, 1, 2])
    fork.sendall(json.dumps(asked).encode() + b"\n")
    kernel = int(fork.recv(20))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(kernel, number))
    while os.getppid() == parent:
        if select.select([fork], [], [], 1)[0]:
            os._exit(int(fork.recv(20) or 1))


def connected() -> socket.socket:
    """A connection to the process that forks, which is started where there is none."""
    end, started = time.monotonic() + PATIENCE, False
    while time.monotonic() < end:
        fork = socket.socket(socket.AF_UNIX)
        try:
            fork.connect(PLACE)
        except OSError:
            fork.close()
        else:
            return fork
        if not started:
            nothing = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            command = [sys.executable, __file__, "serve"]
            subprocess.run(command, cwd="/", check=True, **nothing)
            started = True
        time.sleep(0.05)
    raise TimeoutError(f"Nothing answers at {PLACE}.")


# --- what forks -----------------------------------------------------------------------


def serve() -> None:
    """Fork kernels until the suite has ended."""
    os.setsid()
    if os.fork():  # so that no test that ends all it started ends this
        os._exit(0)
    door = socket.socket(socket.AF_UNIX)
    door.bind(PLACE)  # another that began at the same moment ends here
    door.listen()
    imported()
    kernels: dict[socket.socket, int] = {}
    while is_there(SUITE):
        for heard in select.select([door, *kernels], [], [], 0.2)[0]:
            if heard is door:
                asker, _ = door.accept()
                kernels[asker] = forked(asker, [door, *kernels])
            else:  # who asked for it has ended
                os.kill(kernels[heard], signal.SIGKILL)
        for asker, kernel in [*kernels.items()]:
            ended, status = os.waitpid(kernel, os.WNOHANG)
            if ended:
                with suppress(OSError):  # who asked for it is gone
                    asker.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                asker.close()
                del kernels[asker]
    Path(PLACE).unlink()


def is_there(process: int) -> bool:
    """Whether that process has not ended yet."""
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return True
    return False


def imported() -> None:
    """Import what the notebooks do, and what a kernel needs itself."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in LIBRARIES:
        import_module(name)
    gc.freeze()  # else each kernel's collector walks them, and so copies their pages


def forked(asker: socket.socket, ours: list[socket.socket]) -> int:
    """The process that became the kernel which was asked for."""
    _, (*files,), _, _ = socket.recv_fds(asker, 1, 3)
    with asker.makefile("rb") as lines:
        asked = json.loads(lines.readline())
    if kernel := os.fork():
        asker.sendall(str(kernel).encode())
        for file in files:
            os.close(file)
        return kernel
    for each in [asker, *ours]:
        each.close()
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    be(asked)
    os._exit(0)


def be(asked: dict) -> None:
    """Run IPython's kernel as it was asked for."""
    from ipykernel import kernelapp

    for limit, both in zip(LIMITS, asked["limits"], strict=True):
        resource.setrlimit(limit, both)
    os.chdir(asked["folder"])
    # In place of this file's folder and of the packages of whoever came first.
    first = 1 + len(packages(os.environ))
    sys.path[:first] = packages(asked["environment"])
    os.environ.clear()
    os.environ.update(asked["environment"], JPY_PARENT_PID=str(os.getppid()))
    sys.argv = ["ipykernel_launcher", *asked["argv"][1:]]
    try:
        kernelapp.launch_new_instance()
    except SystemExit as ended:
        sys.stdout.flush()
        os._exit(int(ended.code or 0))


def packages(environment: Mapping[str, str]) -> list[str]:
    """The folders of PYTHONPATH."""
    return [*filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else ask()
