"""Processes that the tests start: where they find their packages, what they said."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# This checkout, and what the tests keep out of those processes.
PYTHONPATH = os.pathsep.join(map(str, (ROOT, Path(__file__).parent / "lean")))
IGAKU = [sys.executable, "-m", "igaku.cli"]


def environment(**more):
    """What a process is told that a user would start in this checkout."""
    told = os.environ | {"PYTHONPATH": PYTHONPATH, "JUPYTER_PREFER_ENV_PATH": "1"}
    # A kernel that believes itself tested keeps no copy of what it was started with.
    return {n: v for n, v in (told | more).items() if n != "PYTEST_CURRENT_TEST"}


def executed(*words, cwd=ROOT, **more):
    """A command that ended well: what it said on stdout, and on stderr."""
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=environment(**more), capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
