"""A long file of answers in batches, of which what no table shows stays on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from igaku.ask.folder import is_file
from igaku.ask.rows import LONGEST, strictly

BATCH = 2**23  # bytes; the run of an exam seldom has more, and is read at once
SHOWN = 4096  # characters of a text that is hashed and not shown

Shape = TypeVar("Shape")


class Place(NamedTuple):
    """Where the line of an answer stands, in place of the body that it holds."""

    path: Path
    start: int
    size: int

    def line(self) -> dict[str, Any]:
        """The whole line, as it was written; nothing where it is there no more."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            told = strictly(file.read(self.size))
        return told if isinstance(told, dict) else {}


class Cut(str):
    """The beginning of a long text, with the hash of all of it."""

    sha256: str

    @classmethod
    def of(cls, text: str) -> Cut:
        """A text cut short; it is blank or nothing but letters only if all of it is.

        >>> cut = Cut.of("So b. " * 10_000)
        >>> len(cut), cut.sha256 == sha256_of("So b. " * 10_000)
        (4097, True)
        """
        begun = cls(text.strip()[:SHOWN] + "…" if text.strip() else " ")
        begun.sha256 = sha256_of(text)
        return begun


def sha256_of(text: str) -> str:
    """The hash of a text, also of one that was cut."""
    if isinstance(text, Cut):
        return text.sha256
    return hashlib.sha256(text.encode()).hexdigest()


def batches(path: Path) -> Iterator[tuple[bytes, list[Place]]]:
    """A file's bytes in pieces that end where a line does.

    Each with the places of its lines, where the file is long; with none else.
    """
    if not is_file(path):
        return
    is_long, start = path.stat().st_size > BATCH, 0
    with path.open("rb") as file:
        while data := file.read(BATCH):
            if not data.endswith(b"\n"):
                data += file.readline(LONGEST)
            yield data, _places(path, start, data) if is_long else []
            start += len(data)


def _places(path: Path, start: int, data: bytes) -> list[Place]:
    sizes = [len(line) for line in data.split(b"\n")]
    starts = accumulate((size + 1 for size in sizes), initial=start)
    return [Place(path, at, size) for at, size in zip(starts, sizes, strict=False)]


def lightened(answer: Any, place: Place, columns: Collection[str]) -> Any:
    """An answer without the body and the end of a text that no column shows."""
    if "raw" not in columns:
        answer.raw = None if is_null(answer.raw) else place
    if "content" not in columns and len(answer.content or "") > SHOWN:
        answer.content = Cut.of(answer.content)
    return answer


def is_null(raw: Any) -> bool:
    """Whether a body is none, parsed or not."""
    return raw is None or (isinstance(raw, msgspec.Raw) and bytes(raw) == b"null")


def body_as(shape: type[Shape], raw: Any) -> Shape | None:
    """A server's body, parsed or not, as far as a shape has it; None of any other."""
    with suppress(msgspec.MsgspecError, ValueError):
        is_packed = isinstance(raw, msgspec.Raw)
        convert = msgspec.json.decode if is_packed else msgspec.convert
        return convert(raw, type=shape)
    return None


def parsed(data: Any) -> Any:
    """The value of a JSON text, also of one that is not strict."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError):  # half a surrogate pair, an infinity
        return json.loads(bytes(data))


class _Body(msgspec.Struct, gc=False):
    """A server's body, as far as it names itself."""

    id: Any = None


def name(answers: Iterable[Any]) -> None:
    """Give answers whose lines have it in the body alone the server's name of them."""
    for answer in answers:
        if getattr(answer, "reply_id", "") is None and answer.raw:
            body = body_as(_Body, answer.raw)
            if body and isinstance(body.id, str):
                answer.reply_id = body.id.encode("utf-8", "replace").decode()
