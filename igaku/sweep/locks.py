"""The locks of a sweep: a file's own, so that they outlive the process that took them.

papermill is handed the descriptor of each: a run stays under way, and its server busy,
when the sweep is killed and papermill works on.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from igaku import paths
from igaku.params.fields import LAB
from igaku.sweep.file import server_of

JOB_LOCK = ".job.lock"


def lane_lock(endpoint: str) -> Path | None:
    """The file whose lock a run holds for as long as it keeps a server busy.

    It lies in the cache, as two sweeps may have two output folders. The lab has none:
    each of its runs starts an engine of its own.
    """
    if endpoint == LAB:
        return None
    server = server_of(endpoint)
    if server.startswith("localhost:"):  # a cache may be shared by several machines
        server = f"{platform.node()} {server}"
    name = hashlib.sha256(server.encode()).hexdigest()[:16]
    return paths.cache_dir() / "lanes" / f"{name}.lock"


@contextmanager
def held(path: Path, told: str, wait: Callable[[], object]) -> Iterator[int]:
    """A lock for the time of a `with`, and what is told of its holder: its descriptor.

    `wait` is called for as long as another has it. The system frees it once every
    process that was given the descriptor is gone, killed or not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        while not _has_locked(file):
            wait()
        file.truncate(0)
        file.write(told)
        file.flush()
        yield file.fileno()


def _has_locked(file: IO[str]) -> bool:
    """Whether the lock of a file could be had at once."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refused:
        # A disk without locks is for run.ipynb to refuse, in a sentence.
        return not isinstance(refused, BlockingIOError)
    return True
