"""Builds this checkout's own Python environment in `.venv`, and only when it must.

It runs before anything is installed: standard library only, and a syntax that an old
Python can still read, so that such a Python ends in a sentence and not in a traceback.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "igaku.json"
LOG = VENV / "set-up.log"
PYTHON = VENV / "bin" / "python"

OLDEST, NEWEST = (3, 11), (3, 13)

# Where an engine of the lab cannot be had, it is left out and not the whole set-up.
ENGINES = {
    "mlx": ("mlx", "mlx-cpu", "mlx-metal", "mlx-lm"),
    "llama.cpp": ("xllamacpp",),
}
MODULES = {"mlx": "mlx.core", "llama.cpp": "xllamacpp"}
NEEDS = {
    "mlx": "Linux with glibc 2.35 or newer, or macOS 14 or newer on Apple silicon",
    "llama.cpp": "Linux with glibc on x86-64 or arm64, or macOS 13 or newer",
}
# Snakemake needs one package that is published as source alone: the lock's setuptools
# builds it, once the rest is there.
SOURCE = ("connection-pool",)
NO_BUILD = "No matching distribution found"


class SetUpError(Exception):
    """A reason why no environment can be built, and what to do about it."""


def main() -> int:
    """Make `.venv` match the lock; the exit status of the script."""
    try:
        check_python(sys.version_info[:2])
        with (ROOT / ".venv.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two makes at once take turns
            bring_up_to_date()
    except SetUpError as problem:
        say(str(problem))
        return 1
    except OSError as problem:
        say(f"{problem.strerror}: {problem.filename}; set right and run make again")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next make starts over")
        return 130
    return 0


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that the locked packages are not built for."""
    if not OLDEST <= version <= NEWEST:
        oldest, newest, this = (f"{v[0]}.{v[1]}" for v in (OLDEST, NEWEST, version))
        raise SetUpError(
            f"this is Python {this} and one of {oldest} to {newest} is needed: "
            f"name it, as in `make PYTHON=python{newest} run`"
        )


def bring_up_to_date() -> None:
    """Build whatever the stamp in `.venv` does not vouch for."""
    wanted, found = fingerprint(), read_stamp()
    if found == wanted:
        return
    if {**found, "project": ""} != {**wanted, "project": ""}:
        make_venv()
        install_lock()
        register_kernel()
    install_project()
    write_stamp(wanted)


def fingerprint() -> dict[str, str]:
    """What an environment depends on: when one of them changes, it is out of date."""
    return {
        "lock": digest("requirements.lock"),
        "project": digest("pyproject.toml"),
        "python": f"{platform.python_version()} {platform.machine()}",
        "place": str(VENV),  # a moved environment still points to where it was
    }


def digest(name: str) -> str:
    """The SHA-256 of a file of this checkout."""
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def read_stamp() -> dict[str, str]:
    """The fingerprint of the finished environment; empty when there is none."""
    try:
        found = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and PYTHON.exists() else {}


def write_stamp(content: dict[str, str]) -> None:
    """Leave the stamp; without a fingerprint it says only that the folder is ours."""
    STAMP.write_text(json.dumps(content, indent=1) + "\n")


def make_venv() -> None:
    """An empty environment, in place of an unfinished or outdated one of ours."""
    if VENV.exists() and not STAMP.exists() and any(VENV.iterdir()):
        raise SetUpError(
            ".venv was not made by this Makefile and is left alone: "
            "move it away and run make again"
        )
    say("setting up .venv, once; this takes a few minutes")
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir(exist_ok=True)
    write_stamp({})
    if run(sys.executable, "-m", "venv", str(VENV))[0] or not has_pip():
        raise SetUpError(
            "python3 could not make a virtual environment: install its venv module "
            "(on Debian and Ubuntu the package python3-venv) and run make again"
        )


def has_pip() -> bool:
    """Whether pip came with the environment, which Debian's bare python3 lacks."""
    return run(str(PYTHON), "-m", "pip", "--version")[0] == 0


def install_lock() -> None:
    """Install the locked packages, each engine by itself."""
    parts = split_lock((ROOT / "requirements.lock").read_text())
    source = parts.pop("source")
    built = ("--no-build-isolation", "--no-binary", ",".join(SOURCE))
    if install_part(parts.pop(""))[0] or install_part(source, *built)[0]:
        fail("the locked packages could not be installed")
    for engine, lines in parts.items():
        status, output = install_part(lines)
        if status and NO_BUILD not in output:
            fail(f"{engine} could not be installed")
        if status or not is_importable(engine):
            say(left_out(engine))


def split_lock(text: str) -> dict[str, list[str]]:
    """The lock's lines by engine; the key "" holds what every machine needs.

    Another, "source", holds what of that has to be built.
    """
    groups = {**ENGINES, "source": SOURCE}
    owner = {name: group for group, names in groups.items() for name in names}
    parts: dict[str, list[str]] = {"": [], "source": []}
    part = parts[""]
    for line in text.splitlines():
        if line and line[0] not in " #":
            part = parts.setdefault(owner.get(line.split("==")[0], ""), [])
        part.append(line)
    return parts


def install_part(lines: list[str], *options: str) -> tuple[int, str]:
    """Install some entries of the lock, which is complete: nothing is resolved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("\n".join(lines) + "\n")
        wheels = ("--only-binary", ":all:", *options)
        return pip("--no-deps", "--require-hashes", *wheels, "-r", str(path))


def install_project() -> None:
    """Install igaku itself in place, with the setuptools of the lock."""
    if pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))[0]:
        fail("igaku itself could not be installed")


def register_kernel() -> None:
    """Name this environment's Python as the kernel `python3` inside it."""
    options = ("--sys-prefix", "--name", "python3", "--display-name", "igaku")
    if run(str(PYTHON), "-m", "ipykernel", "install", *options)[0]:
        fail("the Jupyter kernel could not be registered")


def is_importable(engine: str) -> bool:
    """Whether an engine is there: the lock's markers can pass over all of it."""
    return run(str(PYTHON), "-c", f"import {MODULES[engine]}")[0] == 0


def left_out(engine: str) -> str:
    """The sentence that says which engine is missing on this machine, and why."""
    libc = " ".join(platform.libc_ver()).strip()
    here = f"macOS {platform.mac_ver()[0]}" if sys.platform == "darwin" else libc
    return (
        f"{engine} is left out, and its models with it: it needs {NEEDS[engine]}; "
        f"this is {platform.machine()}, {here or platform.system()}"
    )


def pip(*options: str) -> tuple[int, str]:
    """Run the environment's pip, with the index that the machine is set up for."""
    return run(str(PYTHON), "-m", "pip", "install", "--no-input", *options)


def run(*command: str) -> tuple[int, str]:
    """Run a command into the log, counting pip's packages; its status and output."""
    output, count = [], 0
    with LOG.open("a") as log:
        log.write(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in process.stdout or ():
            log.write(line)
            output.append(line)
            if line.startswith("Collecting "):
                count += 1
                show(f"{count} packages")
    show("")
    return process.wait(), "".join(output)


def show(state: str) -> None:
    """Keep one line of a terminal up to date; a log gets no such lines."""
    if sys.stderr.isatty():
        print(f"\r\033[K{state}", end="", file=sys.stderr, flush=True)


def fail(what: str) -> None:
    """Stop, with the last lines of the log for the reason."""
    sys.stderr.write("".join(LOG.read_text().splitlines(keepends=True)[-12:]))
    raise SetUpError(
        f"{what}: see the lines above, check the network and the disk, and run make "
        "again"
    )


def say(sentence: str) -> None:
    """Tell the user one thing."""
    print(f"igaku: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
