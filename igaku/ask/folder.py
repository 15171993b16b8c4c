"""The folder of a run: its JSON Lines files, its manifest, and the lock on all of them.

A process may be killed between any two bytes it writes. A line is therefore written by
one call, a torn last line is cut off before anything is added, and what is rewritten
takes the place of the old file in one step.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from igaku import writing
from igaku.errors import IgakuError

ANSWERS = "answers.jsonl"
ERRORS = "errors.jsonl"  # failures that were asked again later
PROBE = "probe.jsonl"  # a few lost questions asked again with a larger budget
EFFORT = "effort.jsonl"  # two questions at two efforts: does it reach the model?
WARM = "warm.jsonl"  # the first questions of a sitting asked again at its end
MANIFEST = "manifest.json"
LOCK = ".lock"

Row = dict[str, Any]
Manifest = dict[str, Any]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run's folder, until this one ends or dies."""
    with writing.guarded(folder):
        writing.folder(folder)
        file = (folder / LOCK).open("ab+", buffering=0)
    with file:
        try:
            # The system frees it even when the process is killed.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def holder(folder: Path) -> str | None:
    """The process that is asking in a run's folder now; None where none is.

    What a killed process left behind holds nothing.
    """
    try:
        with (folder / LOCK).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode("utf-8", "replace").strip() or "?"
    except OSError:
        return None
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
                if self._file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._file.close()  # nothing may follow a torn line
                raise
        return True

    def close(self) -> None:
        """End the file; a reply that comes in later is not written any more."""
        with self._turn:
            self._file.close()


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, without a last line that is still torn."""
    data = path.read_bytes() if path.is_file() else b""
    rows: dict[str, Row] = {}
    for number, line in enumerate(_lines(data[: _whole(data)]), 1):
        row = _parsed(line) or {}
        is_named = all(isinstance(row.get(n), str) for n in ("problem_id", "outcome"))
        if not (is_named and {"prompt_sha256", "correct"} <= row.keys()):
            raise IgakuError(
                f"{path}, line {number} is not a row of answers: delete that line, and "
                "its question is asked again."
            )
        if row["problem_id"] in rows:
            raise IgakuError(
                f"{path}, line {number} is a second answer to {row['problem_id']}: "
                "delete one of the two lines."
            )
        rows[row["problem_id"]] = row
    return list(rows.values())


def mend(path: Path) -> None:
    """Complete a last line that only lacks its newline, and cut a torn one off."""
    data = path.read_bytes() if path.is_file() else b""
    whole = _whole(data)
    with writing.guarded(path):
        if whole < len(data):
            os.truncate(path, whole)
        elif data and not data.endswith(b"\n"):
            with writing.appender(path) as file:
                file.write(b"\n")


def _whole(data: bytes) -> int:
    """The length of a file without its last line, where that one is torn."""
    end = data.rfind(b"\n") + 1
    return end if _parsed(data[end:]) is None else len(data)


def _lines(data: bytes) -> Iterator[bytes]:
    """Lines by their newline alone: a reply may hold any other line break."""
    return (line for line in data.split(b"\n") if line.strip())


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def set_aside(
    folder: Path, rows: Iterable[Row], is_kept: Callable[[Row], bool]
) -> list[Row]:
    """Move the other rows from the answers to the errors; the rows that are kept."""
    errors = folder / ERRORS
    old = errors.read_bytes() if errors.is_file() else b""
    old = old[: old.rfind(b"\n") + 1]
    known = set(_lines(old))  # a kill between the two steps must not double a line
    kept, moved = [], []
    for row in rows:
        if is_kept(row):
            kept.append(row)
        elif (line := writing.as_line(row))[:-1] not in known:
            moved.append(line)
    writing.put(errors, old + b"".join(moved))
    rewrite(folder / ANSWERS, kept)
    return kept


def rewrite(path: Path, rows: Iterable[Row]) -> None:
    """Put these rows in the place of those that a file holds."""
    writing.put(path, b"".join(map(writing.as_line, rows)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in the place of the old one, its many questions a line each."""
    rest = {name: value for name, value in manifest.items() if name != "questions"}
    head = writing.as_json(rest, indent=1)
    lines = map(writing.as_json, manifest["questions"])
    text = head[:-2] + ',\n "questions": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"
    writing.put(folder / MANIFEST, text.encode("utf-8", "replace"))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run's folder; empty where there is none to read."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def now() -> str:
    """The moment in UTC, as the files of a run write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
