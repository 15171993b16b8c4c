"""The rows of a run as its folder has them: read line by line, damage set aside.

A file of answers may be larger than the memory: of each line only what a sitting needs
is kept. Lines are moved as bytes, so that what was not damaged stays what it was.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from igaku import writing
from igaku.ask.folder import Row, is_file
from igaku.words import OUTCOMES

DEEPEST = 100  # brackets within brackets: a parser's own limit is its caller's stack
LONGEST = 2**27  # bytes of a line: no reply is that long
CHUNK = 2**20  # bytes that are read at once
TORN = "torn, or not JSON"
NO_ANSWER = "not an answer (no problem_id and outcome)"
IMPOSSIBLE = "not an answer (its {} cannot be)"
REPEATED = "a question answered on an earlier line"
# What a sitting needs of a row; the rest stays on disk.
TEXTS = (
    "problem_id", "section", "outcome", "cause", "prompt_sha256", "served_model",
    "reply_id", "asked_at",
)  # fmt: skip
NUMBERS = ("seconds", "attempts")
INDEX = (*TEXTS, *NUMBERS, "answer", "correct")

_NULL = msgspec.Raw(b"null")
_NO_BRACKET = bytes({*range(256)} - {*b"[]{}"})
_NO_OPENING = bytes({*range(256)} - {*b"[{\n"})


@dataclass(frozen=True)
class Survey:
    """What a file of rows holds: its sound rows, and where each other line starts.

    A row has the fields of `INDEX`, `silent` (no body came) and `at`, its own start in
    bytes; `bad` has a fault by the start of a line, `numbers` its number from 1.
    """

    rows: list[Row]
    bad: dict[int, str]
    numbers: dict[int, int]


def read_rows(path: Path, more: Collection[str] = ()) -> list[Row]:
    """The sound rows of a file by their `INDEX`, with `more` fields as they stand.

    What is damaged is left out, here and by every other reader, for one reason each.
    """
    return firsts(survey(path, more).rows)


def firsts(rows: Iterable[Row], damage: Collection[int] = ()) -> list[Row]:
    """The rows that stand: none that starts where damage is, and no second answer.

    The first stands: it is what every table made before the second came was made of,
    and which of two is the better one is not for their content to decide.
    """
    stand: dict[str, Row] = {}
    for row in rows:
        if row["at"] not in damage:
            stand.setdefault(row["problem_id"], row)
    return list(stand.values())


def survey(path: Path, more: Collection[str] = ()) -> Survey:
    """Look through a file of rows, a line at a time."""
    names = dict.fromkeys([*INDEX, "raw", *more])
    shape = msgspec.defstruct("Line", [(n, msgspec.Raw, _NULL) for n in names])
    read = msgspec.json.Decoder(shape).decode
    found = Survey([], {}, {})
    if not is_file(path):
        return found
    with path.open("rb") as file:
        for number, (start, line) in enumerate(_lines(file), 1):
            row = _row(line, read, more) if len(line) < LONGEST else TORN
            found.numbers[start] = number
            if isinstance(row, str):
                found.bad[start] = row
            elif row is not None:
                found.rows.append(row | {"at": start})
    return found


def _row(
    line: bytes, read: Callable[[bytes], Any], more: Collection[str]
) -> Row | str | None:
    """The row of a line, the fault of one that is none, None of a blank one."""
    if not line.strip():
        return None
    try:
        check_text(line)
        if is_deep(line):
            return TORN
        parts = read(line)
        told = {n: msgspec.json.decode(getattr(parts, n)) for n in (*INDEX, *more)}
        told["silent"] = bytes(parts.raw) == b"null"
    except (ValueError, RecursionError):
        parsed = strictly(line)  # half a surrogate pair, an infinity
        if not isinstance(parsed, dict):
            return TORN if parsed is None else NO_ANSWER
        told = parsed | {"silent": parsed.get("raw") is None}
    return fault_of(told) or brief(told, more)


def brief(row: Mapping[str, Any], more: Collection[str] = ()) -> Row:
    """A row without what only its file needs to hold; of a wrong type is unknown."""
    texts = {n: v if isinstance(v := row.get(n), str) else None for n in TEXTS}
    numbers = {n: v if type(v := row.get(n)) in (int, float) else 0 for n in NUMBERS}
    answer = row.get("answer")
    return texts | numbers | {
        "answer": answer if isinstance(answer, list) else None,
        "correct": row["correct"],
        "silent": row.get("silent", row.get("raw") is None),
        **{name: row.get(name) for name in more},
    }  # fmt: skip


def fault_of(told: Any) -> str | None:
    """Why a line's value is no answer; None where it may be one.

    >>> fault_of({"problem_id": "116A1", "outcome": "answered", "correct": "yes"})
    'not an answer (its correct cannot be)'
    """
    named = ("problem_id", "outcome")
    if not isinstance(told, dict) or not all(
        told.get(n) and isinstance(told[n], str) for n in named
    ):
        return NO_ANSWER
    if told["outcome"] not in OUTCOMES:
        return IMPOSSIBLE.format("outcome")
    if not isinstance(told.get("correct"), bool | None):
        return IMPOSSIBLE.format("correct")
    answer = told.get("answer")
    letters = answer if isinstance(answer, list | tuple) else [answer or ""]
    is_told = all(isinstance(letter, str) for letter in letters)
    return None if is_told else IMPOSSIBLE.format("answer")


def strictly(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, with or without a mark; None where none is."""
    try:
        if is_deep(data):
            return None
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return msgspec.json.decode(data)  # knows no marks, infinities, half pairs
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def is_deep(data: bytes) -> bool:
    """Whether brackets nest deeper in a JSON text than any row or manifest needs.

    >>> is_deep(b"[" * 100 + b"]" * 100), is_deep(b"[" * 101 + b"]" * 101)
    (False, True)
    """
    if data.count(b"{") + data.count(b"[") <= DEEPEST:
        return False
    parts = data.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
    bare = b"".join(parts[::2]).translate(None, _NO_BRACKET)  # strings left out
    steps = (1 if each in b"[{" else -1 for each in bare)
    return max(accumulate(steps), default=0) > DEEPEST


def has_deep(data: bytes) -> bool:
    """Whether any line among many is deep; they are looked through together first."""
    opened = data.translate(None, _NO_OPENING).split(b"\n")
    most = max(map(len, opened))
    return most > DEEPEST and any(map(is_deep, data.split(b"\n")))


def check_text(data: bytes) -> None:
    """Raise where bytes are no UTF-8: a decoder does not look into what it skips."""
    if not data.isascii():
        pieces = (data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
        deque(codecs.iterdecode(pieces, "utf-8"), maxlen=0)


# --- lines ----------------------------------------------------------------------------


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with its start; one too long to be a row in parts.

    Lines end by their newline alone: a reply may hold any other line break.
    """
    start = 0
    while line := file.readline(LONGEST):
        yield start, line
        start += len(line)


def mend(path: Path) -> None:
    """Complete a last line that only lacks its newline, and cut a torn one off."""
    if not is_file(path) or not (size := path.stat().st_size):
        return
    with writing.guarded(path), path.open("rb+") as file:
        end = _end_of_lines(file, size)
        file.seek(end)
        tail = file.read(LONGEST) if size - end <= LONGEST else b""
        if isinstance(strictly(tail), dict):
            file.write(b"\n")
        elif end < size:
            file.truncate(end)


def _end_of_lines(file: BinaryIO, size: int) -> int:
    """Where the last newline of a file ends: 0 where there is none."""
    for end in range(size, 0, -CHUNK):
        file.seek(max(end - CHUNK, 0))
        found = file.read(min(end, CHUNK)).rfind(b"\n")
        if found >= 0:
            return max(end - CHUNK, 0) + found + 1
    return 0


def bad_name(path: Path) -> str:
    """The file beside that takes the damaged lines of one: answers.bad.jsonl."""
    return f"{path.stem}.bad{path.suffix}"


def set_aside(path: Path, moved: Mapping[int, str]) -> None:
    """Move the lines that start there to the files named, all as they stand.

    A kill between the two steps doubles no line: what is there is not added again.
    """
    if not moved:
        return
    with writing.guarded(path), path.open("rb") as source:
        for name in dict.fromkeys(moved.values()):
            starts = [start for start in moved if moved[start] == name]
            _add(path.with_name(name), source, starts)
        source.seek(0)
        kept = (line for start, line in _lines(source) if start not in moved)
        writing.put(path, kept)


def _add(path: Path, source: BinaryIO, starts: Iterable[int]) -> None:
    """Add lines of a file to another that does not have them."""
    known = set[bytes]()
    if is_file(path):
        with path.open("rb+") as file:
            file.truncate(_end_of_lines(file, path.stat().st_size))
            file.seek(0)
            known = {hashlib.sha256(line).digest() for _, line in _lines(file)}
    with writing.appender(path) as file:
        for start in starts:
            source.seek(start)
            line = source.readline(LONGEST)
            if hashlib.sha256(line).digest() not in known:
                writing.add(file, line)


def numbered(numbers: list[int], shown: int = 5) -> str:
    """Some lines by their numbers.

    >>> numbered([3]), numbered([1, 2, 3, 4, 5, 6])
    ('line 3', 'lines 1, 2, 3, 4, 5 and 1 more')
    """
    listed = ", ".join(map(str, numbers[:shown]))
    more = len(numbers) - shown
    tail = f" and {more} more" if more > 0 else ""
    return f"line{'s' if len(numbers) > 1 else ''} {listed}{tail}"
