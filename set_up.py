"""Builds this checkout's own Python environment in `.venv`, and only when it must.

It runs before anything is installed: standard library only, and a syntax that an old
Python can still read, so that such a Python ends in a sentence and not in a traceback.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON, STAMP, LOG = VENV / "bin" / "python", VENV / "igaku.json", VENV / "set-up.log"
PIP = (PYTHON, "-m", "pip", "install", "--no-input", "--no-deps")
OLDEST, NEWEST = (3, 11), (3, 14)

# The lock is installed in these parts, each entry in the first that names it.
SNAKEMAKE = "what Snakemake needs"
PARTS = {
    "the engine mlx": ("mlx", "mlx-cpu", "mlx-metal", "mlx-lm"),
    "the engine llama.cpp": ("xllamacpp",),
    SNAKEMAKE: ("connection-pool", "immutables"),
    "the locked packages": (),
}
SOURCE_ONLY = "connection-pool"  # the lock's own setuptools builds it
# An engine of the lab that cannot be had is left out: what shows that it works, and
# what it needs.
ENGINES = {
    "the engine mlx": (
        "import mlx.core",
        "Linux with glibc 2.35 or newer, or macOS 14 or newer on Apple silicon",
    ),
    "the engine llama.cpp": (
        "import xllamacpp",
        "Linux with glibc on x86-64 or arm64, or macOS 13 or newer",
    ),
}
NO_BUILD = "No matching distribution found"
STAGES = 2 + len(PARTS)
# What is said at every start and is of no use here: that the messages of a kernel are
# not encrypted, which listens on this machine alone; and JupyterLab's news.
QUIET = {
    "etc/ipython/ipython_kernel_config.py": (
        "import logging\n\n"
        'logging.getLogger("IPKernelApp").addFilter(\n'
        '    lambda told: "TCP without encryption" not in str(told.msg)\n'
        ")\n"
    ),
    "etc/jupyter/labconfig/page_config.json": json.dumps(
        {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    ),
}


def main() -> str | int:
    """Make `.venv` match the lock; what the script ends with."""
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        return (
            f"igaku: this is Python {version[0]}.{version[1]} and one of 3.{OLDEST[1]} "
            f"to 3.{NEWEST[1]} is needed: name it, as in "
            f"`make PYTHON=python3.{NEWEST[1]} run`"
        )
    try:
        with (ROOT / ".venv.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two makes at once take turns
            bring_up_to_date()
    except OSError as problem:
        return f"igaku: {problem.strerror}: {problem.filename}; mend it"
    except KeyboardInterrupt:
        return "\nigaku: interrupted; the next make starts over"
    return 0


def bring_up_to_date() -> None:
    """Build whatever the stamp in `.venv` does not vouch for."""
    digests = {
        name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        for name in ("requirements.lock", "pyproject.toml")
    }
    python = f"{platform.python_version()} {platform.machine()}"
    # A moved environment still points to where it was.
    wanted = {**digests, "python": python, "place": str(VENV)}
    try:
        found = json.loads(STAMP.read_text()) if PYTHON.exists() else {}
    except (OSError, ValueError):
        found = {}
    if found == wanted:
        return
    if {**found, "pyproject.toml": ""} != {**wanted, "pyproject.toml": ""}:
        make_venv()
        for number, name in enumerate(reversed(PARTS), 2):
            install(number, name)
        kernel = ("--sys-prefix", "--name", "python3", "--display-name", "igaku")
        if run("", PYTHON, "-m", "ipykernel", "install", *kernel)[0]:
            fail("the Jupyter kernel could not be registered")
    for name, text in QUIET.items():
        (VENV / name).parent.mkdir(parents=True, exist_ok=True)
        (VENV / name).write_text(text)
    here = ("--no-build-isolation", "--editable", ROOT)
    if run(f"{STAGES} of {STAGES}: igaku itself", *PIP, *here)[0]:
        fail("igaku itself could not be installed")
    STAMP.write_text(json.dumps(wanted, indent=1))


def make_venv() -> None:
    """An empty environment, in place of an unfinished or outdated one of ours."""
    is_ours = STAMP.exists() and not VENV.is_symlink()
    if VENV.exists() and not is_ours and any(VENV.iterdir()):
        fail(".venv was not made by this Makefile: move it away and run make again")
    print("igaku: setting up .venv, once; this takes a few minutes", file=sys.stderr)
    VENV.mkdir(exist_ok=True)
    STAMP.write_text("{}")  # the folder is ours, whatever ends this now
    for old in {*VENV.iterdir()} - {STAMP}:
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    command = (sys.executable, "-m", "venv", str(VENV))
    if run(f"1 of {STAGES}: an empty environment", *command)[0] or not PYTHON.exists():
        fail(
            "python3 could not make a virtual environment: install its venv module (on "
            "Debian and Ubuntu the package python3-venv) and run make again"
        )


def install(number: int, name: str) -> None:
    """Install one part of the lock, which is complete: nothing is resolved."""
    lines = split_lock((ROOT / "requirements.lock").read_text())[name]
    part = VENV / "part.txt"
    part.write_text("\n".join(lines) + "\n")
    wheels = ["--require-hashes", "--only-binary", ":all:"]
    if name == SNAKEMAKE:
        if sys.version_info >= (3, 14):  # immutables has no wheel for it
            print(
                f"igaku: {number} of {STAGES}: {name} is left out on Python 3.14: "
                "`make sweep` works without it, a cluster needs Python 3.13",
                file=sys.stderr,
            )
            return
        wheels += ["--no-build-isolation", "--no-binary", SOURCE_ONLY]
    packages = sum(line[:1] not in ("", " ", "#") for line in lines)
    status, output = run(
        f"{number} of {STAGES}: {name}", *PIP, *wheels, "-r", part, of=packages
    )
    if status and not (name in ENGINES and NO_BUILD in output):
        fail(f"{name} could not be installed: check the network and the disk")
    # The markers in the lock can pass over all of an engine.
    if name in ENGINES and (status or run("", PYTHON, "-c", ENGINES[name][0])[0]):
        libc = " ".join(platform.libc_ver()).strip() or platform.system()
        here = f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else libc
        print(
            f"igaku: {name} is left out, and its models with it: it needs "
            f"{ENGINES[name][1]}; this is {platform.machine()}, {here}",
            file=sys.stderr,
        )


def split_lock(text: str) -> dict[str, list[str]]:
    """The lines of the lock by the part they belong to."""
    owner = {name: part for part, names in PARTS.items() for name in names}
    lines: dict[str, list[str]] = {part: [] for part in PARTS}
    part = "the locked packages"
    for line in text.splitlines():
        if line and line[0] not in " #":
            part = owner.get(line.split("==")[0], "the locked packages")
        lines[part].append(line)
    return lines


def run(stage: str, *command: object, of: int = 0) -> tuple[int, str]:
    """Run a command into the log, showing how far it is; its status and its output."""
    begun, before, output = time.monotonic(), installed(), ""
    is_seen = sys.stderr.isatty()
    pace = 1 if is_seen else 15  # a log keeps every line
    with LOG.open("a+") as log:
        start = log.tell()
        process = subprocess.Popen(
            [*map(str, command)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while process.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(pace)
                log.seek(start)
                output = log.read()
                done = progress(output, of, installed() - before)
                told = f"{stage}{done}, {time.monotonic() - begun:.0f} s"
                is_last = process.returncode is not None
                if stage:
                    # One line of a terminal, kept up to date; in a log each is a line.
                    end = "\n" if is_last or not is_seen else ""
                    print(
                        "\r\033[K" * is_seen + told,
                        end=end,
                        file=sys.stderr,
                        flush=True,
                    )
        finally:
            process.kill()
    return process.returncode, output


def installed() -> int:
    """How many packages are in the environment."""
    return len(list(VENV.glob("lib/python*/site-packages/*.dist-info")))


def progress(output: str, of: int, there: int) -> str:
    """How many packages pip has fetched, then installed, of those meant for here."""
    ignored, fetched = (
        len(re.findall(rf"^{word} ", output, re.MULTILINE))
        for word in ("Ignoring", "Collecting")
    )
    done = f"{there} installed" if there else f"{fetched} fetched"
    return f", {done} of {of - ignored}" if of else ""


def fail(why: str) -> None:
    """End in a sentence, after the last lines of the log."""
    if LOG.exists():
        print("\n".join(LOG.read_text().splitlines()[-12:]), file=sys.stderr)
    sys.exit(f"igaku: {why}")


if __name__ == "__main__":
    sys.exit(main())
