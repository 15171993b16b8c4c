"""`lms`, the program that steers an LM Studio on this machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from igaku.server.client import LOOPBACK

BRIEF = 30.0  # seconds for whatever loads nothing
FIELDS = {"context_length": "contextLength", "parallel": "parallel"}
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def program_of(base_url: str) -> str | None:
    """The `lms` program, where it steers the very server at this address."""
    address = urlsplit(base_url)
    if address.hostname not in LOOPBACK:
        return None
    # LM Studio puts it there, and on the PATH only when told to.
    own = Path.home() / ".lmstudio" / "bin" / "lms"
    program = shutil.which("lms") or shutil.which(str(own))
    if program is None:
        return None
    # The address may be a tunnel to another machine, whose models it cannot load.
    status = _json(program, "server", "status", "--json", "--quiet")
    if isinstance(status, dict) and "running" in status:
        is_here = status["running"] and status.get("port") in (None, address.port)
        return program if is_here else None
    return program


def told_of(program: str, instance: str) -> dict[str, Any] | None:
    """The settings of an instance in the words of `lms`, None where it knows none."""
    rows = _json(program, "ps", "--json")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("identifier") == instance:
            told = {name: row.get(key) for name, key in FIELDS.items()}
            return {name: value for name, value in told.items() if value is not None}
    return None


def _json(program: str, *words: str) -> Any:
    """What `lms` prints as JSON, None where it prints something else."""
    try:
        return json.loads(ran(program, BRIEF, *words)[0])
    except (ValueError, RecursionError):
        return None


def ran(program: str, patience: float, *words: str) -> tuple[str, str | None]:
    """What `lms` prints, and what it has against a command, None where it obeyed."""
    try:
        done = subprocess.run(
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as broken:
        return "", str(broken)
    if done.returncode == 0:
        return done.stdout, None
    lines = re.split(r"[\r\n]+", COLOURS.sub("", done.stdout + "\n" + done.stderr))
    # Before its error it draws a bar of progress, line over line.
    said = [line.strip() for line in lines if line.strip()]
    return done.stdout, " ".join(said[-4:]) or f"lms ended with {done.returncode}"
