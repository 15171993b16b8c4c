"""The folder of a run: its JSON Lines files, its manifest, and the lock on all of them.

A process may be killed between any two bytes it writes. A line is therefore written by
one call, a torn last line is cut off before anything is added, and what is rewritten
takes the place of the old file in one step.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from igaku import writing
from igaku.errors import IgakuError, meant

ANSWERS = "answers.jsonl"
ERRORS = "errors.jsonl"  # failures that were asked again later
PROBE = "probe.jsonl"  # a few lost questions asked again with a larger budget
EFFORT = "effort.jsonl"  # two questions at two efforts: does it reach the model?
WARM = "warm.jsonl"  # the first questions of a sitting asked again at its end
MANIFEST = "manifest.json"
LOCK = ".lock"
LOOKS = (0.01, 0.05, 0.2)  # seconds to wait for one who only looks at the lock

KINDS = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}

Row = dict[str, Any]
Manifest = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run's folder, until this one ends or dies."""
    with writing.guarded(folder):
        writing.folder(folder)
        is_file(folder / LOCK)
        file = (folder / LOCK).open("ab+", buffering=0)
    with file:
        try:
            _lock(file)
        except BlockingIOError as taken:
            file.seek(0)
            told = file.read().decode("utf-8", "replace").strip()
            raise IgakuError(
                f"{folder} is being written by process {told or '?'}: "
                "wait until it ends, or choose another `run`."
            ) from taken
        except OSError as unable:
            raise IgakuError(
                f"{folder} is on a disk that cannot lock files ({unable.strerror}): "
                "choose an `outputs_dir` on a disk of this machine."
            ) from unable
        with suppress(OSError):  # on a full disk the lock holds without its owner
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        yield


def _lock(file: IO[bytes]) -> None:
    """Take the lock of a file, which the system frees even when the process is killed.

    Whoever looks by `holder_of` whether it is taken has it for a moment.
    """
    for pause in LOOKS:
        with suppress(BlockingIOError):
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(pause)
    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def run_folder(outputs_dir: Path, run: str) -> Path:
    """The folder of a run that is there; another name is asked about."""
    folder = outputs_dir / run
    if is_file(folder / ANSWERS):
        return folder
    near = meant(run, [path.parent.name for path in outputs_dir.glob(f"*/{ANSWERS}")])
    hint = near or f"name one of the folders there that hold an {ANSWERS}."
    raise IgakuError(f"There is no run {run} in {outputs_dir}: {hint}")


def holder(folder: Path) -> str | None:
    """The process that is asking in a run's folder now; None where none is.

    What a killed process left behind holds nothing.
    """
    told = None if unfit(folder / LOCK) else holder_of(folder / LOCK)
    return told if told is None else told.strip() or "?"


def holder_of(path: Path) -> str | None:
    """What a lock's file tells of the live process that holds it, None for none."""
    with suppress(OSError), path.open("rb") as file:  # or the disk has no locks
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().decode("utf-8", "replace")
    return None


class Journal:
    """A file of rows that only grows, a whole line at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        self._turn, self._path = threading.Lock(), path
        self._file = writing.appender(path)

    def append(self, row: Mapping[str, Any]) -> bool:
        """Write one row; False when the journal was closed before its turn came."""
        line = writing.as_line(row)
        with self._turn, writing.guarded(self._path):
            if self._file.closed:
                return False
            try:
                writing.add(self._file, line)
            except OSError:
                self._file.close()  # nothing may follow a torn line
                raise
        return True

    def close(self) -> None:
        """End the file; a reply that comes in later is not written any more."""
        with self._turn:
            self._file.close()


def rewrite(path: Path, rows: Iterable[Row]) -> None:
    """Put these rows in the place of those that a file holds."""
    writing.put(path, b"".join(map(writing.as_line, rows)))


def is_file(path: Path) -> bool:
    """Whether a file is there; what is none and stands in its place is refused.

    A pipe would be waited for without end, and a device read without one.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as refused:
        raise IgakuError(_unreadable(path, refused)) from refused
    if stat.S_ISREG(mode):
        return True
    kind = KINDS.get(stat.S_IFMT(mode), "device")
    name = f"{path.parent.name}/{path.name}"
    raise IgakuError(f"{name} is a {kind} where a file belongs: move it away.")


def unfit(path: Path) -> str | None:
    """Why what is there cannot be read, in a sentence; None of a file, and of nothing.

    >>> unfit(Path("/dev"))
    '/dev is a folder where a file belongs: move it away.'
    """
    try:
        if is_file(path):
            path.open("rb").close()
    except IgakuError as refused:
        return str(refused)
    except OSError as refused:
        return _unreadable(path, refused)
    return None


def _unreadable(path: Path, refused: OSError) -> str:
    told = f"{path.parent.name}/{path.name} cannot be read ({refused.strerror})"
    return f"{told}: see to its rights."


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the old one, its many questions a line each."""
    rest = {name: value for name, value in manifest.items() if name != "questions"}
    head = writing.as_json(rest, indent=1)
    lines = map(writing.as_json, manifest["questions"])
    text = head[:-2] + ',\n "questions": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    writing.put(folder / MANIFEST, text.encode("utf-8", "replace"))


def now() -> str:
    """The moment in UTC, as the files of a run write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
