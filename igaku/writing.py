"""The one place through which igaku writes: whole files, whole lines, no secrets.

Whatever the disk has against it is one sentence that names the file, says what is kept
and how to go on.
"""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from igaku.errors import IgakuError
from igaku.paths import cache_dir
from igaku.redaction import cleaned, redacted

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PART = 1 << 16  # bytes


class Unwritable(IgakuError):
    """A file could not be written; what stood on the disk before is still there."""


def refused(path: Path, trouble: OSError) -> Unwritable:
    """The sentence for what the system has against writing a file."""
    if trouble.errno == errno.EISDIR:  # it may be a draft's
        path = Path(trouble.filename2 or trouble.filename or path)
    why, way = _reason(path, trouble)
    return Unwritable(
        f"{path} cannot be written ({why}): {way}; what was written before is kept."
    )


def _reason(path: Path, trouble: OSError) -> tuple[str, str]:
    """Why a file cannot be written, and the way on."""
    if trouble.errno in FULL:
        return _fullness(path, trouble), "make room, then run again"
    is_cached = cache_dir() in (path, *path.parents)
    way = f"choose another {'IGAKU_CACHE' if is_cached else '`outputs_dir`'}"
    if trouble.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        kind = "folder" if trouble.errno == errno.EISDIR else "file"
        return f"a {kind} is in its place", f"move that away, or {way}"
    why = {
        errno.EROFS: "the disk is read-only",
        errno.EACCES: "you may not write there",
        errno.EPERM: "you may not write there",
        errno.ENAMETOOLONG: "the name is too long",
    }
    told = why.get(trouble.errno or 0, trouble.strerror or str(trouble))
    return told, way


def _fullness(path: Path, trouble: OSError) -> str:
    """What there is too much of: bytes, files, or what one user may have."""
    if trouble.errno == errno.EFBIG:
        return "files may not grow larger here"
    if trouble.errno == errno.EDQUOT:
        return "your share of the disk is full"
    with suppress(OSError):
        there = next(each for each in (path, *path.parents) if each.exists())
        disk = os.statvfs(there)
        if disk.f_files and not disk.f_favail:
            return "the disk can hold no more files: it has no inode left"
    return "the disk is full"


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Writing to a path: what the system has against it becomes the sentence."""
    try:
        yield
    except OSError as trouble:
        raise refused(path, trouble) from trouble


def folder(path: Path) -> Path:
    """A folder that is there, with those above it."""
    with guarded(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def put(path: Path, data: str | bytes | Iterable[bytes]) -> None:
    """Write a file so that it is the old one or the new one, never a part.

    A text loses its secrets; bytes, in pieces or not, are pictures, or lines that have
    lost theirs.
    """
    if isinstance(data, str):
        data = redacted(data).encode("utf-8", "replace")
    draft = path.with_name(f".{path.name}.draft")
    with guarded(path):
        try:
            folder(path.parent)
            with draft.open("wb") as file:
                file.writelines([data] if isinstance(data, bytes) else data)
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise


def create(path: Path, text: str) -> None:
    """Write a text as a file that is not there yet, whole or not at all."""
    with guarded(path):
        folder(path.parent)
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(redacted(text))
                file.flush()
            except OSError:
                path.unlink()
                raise


def appender(path: Path) -> IO[bytes]:
    """A file that is open to be added to, each write at once on its way to the disk."""
    with guarded(path):
        return path.open("ab", buffering=0)


def add(file: IO[bytes], data: bytes) -> None:
    """Add bytes to an open file: all of them, else an OSError."""
    if file.write(data) < len(data):  # the disk took a part, and no error says so
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def reserved(place: Path, size: int) -> Iterator[IO[bytes]]:
    """Bytes of a disk, and a file's place on it, held back until they are closed.

    They have no name, so a kill leaves nothing: the room is for the last word on what
    filled the disk.
    """
    with guarded(place), tempfile.TemporaryFile(dir=place, buffering=0) as room:
        for _ in range(0, size, PART):
            add(room, bytes(PART))
        yield room


def as_json(value: Any, indent: int | None = None) -> str:
    """A value as strict JSON without secrets; what is no number is its name, a text.

    >>> as_json({"loss": float("nan"), "name": "n"})
    '{"loss": "NaN", "name": "n"}'
    """
    try:
        text = _dumped(value, indent)
        if redacted(text) == text:  # as almost always: nothing has to be gone through
            return text
    except ValueError:
        pass
    return _dumped(_strict(cleaned(value)), indent)


def as_line(row: Mapping[str, Any]) -> bytes:
    """A row as one line of strict JSON without secrets."""
    # Half a surrogate pair, from a server's own body, stays what it is in JSON.
    return as_json(row).encode("utf-8", "backslashreplace") + b"\n"


def _dumped(value: Any, indent: int | None) -> str:
    return json.dumps(
        value, ensure_ascii=False, allow_nan=False, indent=indent, default=str
    )


def _strict(value: Any) -> Any:
    """The same with a text for every number that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    if isinstance(value, dict):
        return {_strict(name): _strict(each) for name, each in value.items()}
    return [_strict(each) for each in value] if isinstance(value, list) else value
