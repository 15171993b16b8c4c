"""The folder of a run: its JSON Lines files, its manifest, and the lock on all of them.

A process may be killed between any two bytes it writes. A line is therefore written by
one call, a torn last line is cut off before anything is added, and what is rewritten
takes the place of the old file in one step.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from igaku.errors import IgakuError

ANSWERS = "answers.jsonl"
ERRORS = "errors.jsonl"  # failures that were asked again later
BAD = "answers.bad.jsonl"  # lines that are no answers, set aside
PROBE = "probe.jsonl"  # a few lost questions asked again with a larger budget
EFFORT = "effort.jsonl"  # two questions at two efforts: does it reach the model?
MANIFEST = "manifest.json"
LOCK = ".lock"

KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)  # fmt: skip

Row = dict[str, Any]
Manifest = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run's folder, until this one ends or dies."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_file(folder / LOCK)
        file = (folder / LOCK).open("a+")
    except OSError as refused:
        raise IgakuError(
            f"{folder} cannot be written ({refused.strerror}): choose another "
            "`outputs_dir`."
        ) from refused
    with file:
        try:
            # The system frees it even when the process is killed.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            file.seek(0)
            raise IgakuError(
                f"{folder} is being written by process {file.read().strip() or '?'}: "
                "wait until it ends, or choose another `run`."
            ) from taken
        except OSError as unable:
            raise IgakuError(
                f"{folder} is on a disk that cannot lock files ({unable.strerror}): "
                "choose an `outputs_dir` on a disk of this machine."
            ) from unable
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Journal:
    """A file of rows that only grows, a whole line at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        self._turn = threading.Lock()
        self._file = path.open("ab", buffering=0)
        self._name = f"{path.parent.name}/{path.name}"

    def append(self, row: Mapping[str, Any]) -> bool:
        """Write one row; False when the journal was closed before its turn came."""
        line = encoded(row)
        with self._turn:
            if self._file.closed:
                return False
            try:
                cut = self._file.write(line) < len(line)
                trouble = "the disk is full" if cut else None
            except OSError as refused:
                trouble = str(refused.strerror)
            if trouble:  # nothing may follow a torn line
                self._file.close()
        if trouble:
            raise IgakuError(
                f"{self._name} cannot be written ({trouble}): make room, then run "
                "again; what was answered is kept."
            )
        return True

    def close(self) -> None:
        """End the file; a reply that comes in later is not written any more."""
        with self._turn:
            self._file.close()


def encoded(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, in a server's own body
        return json.dumps(row).encode() + b"\n"


def rewrite(path: Path, rows: Iterable[Row]) -> None:
    """Put these rows in the place of those that a file holds."""
    replace(path, b"".join(map(encoded, rows)))


def replace(path: Path, data: bytes) -> None:
    """Write a file so that it is the old one or the new one, never a part."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of the old one once it is whole."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        yield file
    draft.replace(path)


def is_file(path: Path) -> bool:
    """Whether a file is there; what is none and stands in its place is refused.

    A pipe would be waited for without end, and a device read without one.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as refused:
        told = f"{path.parent.name}/{path.name} cannot be read ({refused.strerror})"
        raise IgakuError(f"{told}: see to its rights.") from refused
    if stat.S_ISREG(mode):
        return True
    kind = next((kind for is_one, kind in KINDS if is_one(mode)), "no file")
    raise IgakuError(
        f"{path.parent.name}/{path.name} is {kind} where a file belongs: move it away."
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the old one, its many questions a line each."""
    rest = {name: value for name, value in manifest.items() if name != "questions"}
    head = json.dumps(rest, ensure_ascii=False, indent=1, default=str)
    lines = [json.dumps(q, ensure_ascii=False) for q in manifest["questions"]]
    text = head[:-2] + ',\n "questions": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    replace(folder / MANIFEST, text.encode("utf-8", "replace"))


def now() -> str:
    """The moment in UTC, as the files of a run write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
