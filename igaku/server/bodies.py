"""Bodies: whatever a server sends for one reply, put together to the object it says.

JSON, with or without an event stream's end behind it, an event stream, lines of JSON:
told apart by their form, as servers get the content type wrong.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from igaku.redaction import cleaned

BROKE_OFF = "the stream broke off before the reply ended"

BLANK = "\ufeff \t\r\n"
NO_BLANK = re.compile(f"[^{BLANK}]")
# What frames the data of an event stream, and what llama.cpp sends for an error.
# Data in words, such as "ping", says nothing of a reply.
FRAME = re.compile(
    r"^(?:data:[ \t]*(?:(?!(?:true|false|null)\b)[A-Za-z].*$)?"
    r"|(?:event|id|retry)?:.*$)",
    re.MULTILINE,
)
FAULT = re.compile(r"^error:[ \t]*(\{.*\})[ \t]*$", re.MULTILINE)
DONE = "[DONE]"
DECODER = json.JSONDecoder(strict=False)
# Read from a deep stack, Python's decoder gives up at some hundreds of levels: what one
# caller can read another could not. Replies have about ten.
DEEPEST = 100
OPENING, CLOSING = ("{", "["), ("}", "]")
NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)

# What a stream sends in pieces; of every other field the last word counts.
PIECES = ("content", "message", "response", "thinking")
LABELS = ("role", "type", "id", "index", "name")

Event = dict[str, Any]


def said_in(body: object) -> tuple[object, Event | None]:
    r"""A body as it is kept, and the one object that it says, both without secrets.

    What is kept says the same again: a body that is one object is kept as that, any
    other as its text. Of a body that says no object None is said.

    >>> said_in(b': wait\n\ndata: {"model": "m"}\n\ndata: [DONE]\n\n')[1]
    {'model': 'm'}
    """
    kept, told = _said_in(body)
    known, safe = cleaned(told), cleaned(kept)
    # A stream may tell a secret in pieces, which only add up in what it says.
    return (known if known != told and safe == kept else safe), known


def _said_in(body: object) -> tuple[object, Event | None]:
    if isinstance(body, (bytes, bytearray)):
        came = bytes(body)
        try:
            body = came.decode(json.detect_encoding(came))
        except UnicodeDecodeError:
            return came.decode(errors="backslashreplace"), None
    if not isinstance(body, str):
        return body, _whole(_objects([body]))
    try:
        text = body.strip(BLANK)
        value = None if _is_deep(text) else json.loads(text)
    except ValueError:
        value = None
    if value is None:
        values, is_ended = _values(body)
        return body, _whole(_objects(values), is_ended)
    return value if isinstance(value, dict) else body, _whole(_objects([value]))


def _is_deep(text: str, place: int = 0) -> bool:
    """Whether the JSON value at a place is nested deeper than any reply is."""
    if text[place : place + 1] not in OPENING:
        return False
    depth = 0
    for token in NESTING.finditer(text, place):
        mark = text[token.start()]
        depth += (mark in OPENING) - (mark in CLOSING)
        if depth > DEEPEST or not depth:
            break
    return depth > DEEPEST


def _values(text: str) -> tuple[list[object], bool]:
    """Every JSON value of a text, until one breaks off; whether [DONE] was seen."""
    text = text.lstrip(BLANK).replace("\r\n", "\n").replace("\r", "\n")
    text = FRAME.sub("", FAULT.sub(r'{"error": \1}', text))
    values, place, is_ended = list[object](), 0, False
    while found := NO_BLANK.search(text, place):
        place = found.start()
        if text.startswith(DONE, place):
            place, is_ended = place + len(DONE), True
            continue
        if _is_deep(text, place):
            break
        try:
            value, place = DECODER.raw_decode(text, place)
        except ValueError:
            break
        values.append(value)
    return values, is_ended


def _objects(values: Iterable[object]) -> list[Event]:
    """The objects among some values; a list of objects is a stream as well."""
    lists = (value if isinstance(value, list) else [value] for value in values)
    return [each for some in lists for each in some if isinstance(each, dict)]


def _whole(events: Sequence[Event], is_ended: bool = False) -> Event | None:
    """The one object that the events of a body make up."""
    if not events:
        return None
    if len(events) == 1 and not _is_piece(events[0]):
        return events[0]
    told = [event for event in map(_inner, events) if not _is_step(event)]
    columns = _columns(told)
    choices = _objects(columns.pop("choices", []))
    whole: Event = {
        name: _joined(values) if name in PIECES else values[-1]
        for name, values in columns.items()
    }
    if choices:
        whole["choices"] = _chosen(choices)
    complaint = whole.get("error")
    if isinstance(whole.get("message"), str):
        complaint = complaint or whole["message"]
    is_ended = is_ended or any(map(_ends, told)) or any(map(_is_last, choices))
    complaint = complaint or (None if is_ended else BROKE_OFF)
    return whole | {"error": complaint} if complaint else whole


def _is_piece(event: Event) -> bool:
    """Whether an object is one of several that make up a reply."""
    choices = _objects([event.get("choices")])
    is_delta = any("delta" in c and not c.get("message") for c in choices)
    is_open = event.get("done") is False
    is_open = is_open or (event.get("stop") is False and not choices)
    return is_delta or is_open or _is_step(event) or _inner(event) is not event


def _inner(event: Event) -> Event:
    """The whole reply that an event may hold, else the event."""
    for name in ("response", "result", "data"):
        inner = event.get(name)
        if isinstance(inner, dict) and any(
            isinstance(inner.get(told), list) for told in ("output", "choices")
        ):
            return inner
    return event


def _is_step(event: Event) -> bool:
    """Whether an event tells of the way to a reply that a later one holds whole."""
    is_named = re.fullmatch(r"\w+(?:\.\w+)+", str(event.get("type"))) is not None
    return is_named and not (event.get("error") or event.get("choices"))


def _ends(event: Event) -> bool:
    """Whether an event is the last of its reply, or holds it whole."""
    return event.get("done") is True or event.get("stop") is True or "output" in event


def _is_last(choice: Event) -> bool:
    """Whether one choice of an event ends its reply, or holds it whole."""
    is_whole = choice.get("message") and choice.get("delta") is None
    return bool(is_whole) or choice.get("finish_reason") not in (None, "", "null")


def _chosen(choices: Sequence[Event]) -> list[Event]:
    """The choices that pieces of choices make up, by their index."""
    groups: dict[object, list[Event]] = defaultdict(list)
    for choice in choices:
        groups[str(choice.get("index") or 0)].append(choice)
    return [_choice(group) for group in groups.values()]


def _choice(pieces: Sequence[Event]) -> Event:
    """One choice out of its pieces: deltas add up, a message repeats what was said."""
    columns = _columns(pieces)
    added = _joined(columns.pop("delta", []))
    retold = [p.get("message") for p in pieces if p.get("delta") is None]
    text = {"text": _joined(columns["text"])} if "text" in columns else {}
    whole = {name: values[-1] for name, values in columns.items()} | text
    message = _joined([added, *retold], is_retold=True)
    return whole | {"message": message} if message else whole


def _columns(events: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """All that some events tell under each name, in their order."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for event in events:
        for name, value in event.items():
            if not _is_untold(value):
                columns[name].append(value)
    return columns


def _joined(pieces: Sequence[Any], is_retold: bool = False) -> Any:
    """What the pieces of one field make up.

    Pieces add up; where they are retold, one that begins with the last replaces it.
    """
    pieces = [piece for piece in pieces if not _is_untold(piece)]
    if all(isinstance(piece, str) for piece in pieces):
        whole = is_retold and all(b.startswith(a) for a, b in pairwise(pieces))
        return pieces[-1] if whole and pieces else "".join(pieces)
    if all(isinstance(piece, dict) for piece in pieces):
        return {
            name: v[-1] if name in LABELS else _joined(v, is_retold)
            for name, v in _columns(pieces).items()
        }
    if any(isinstance(piece, list) for piece in pieces) and not is_retold:
        lists = [piece if isinstance(piece, list) else [piece] for piece in pieces]
        return [part for each in lists for part in each]
    return pieces[-1]


def _is_untold(value: object) -> bool:
    return value is None or value in ("", {})
