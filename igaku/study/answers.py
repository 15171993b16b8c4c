"""`answers.jsonl` as a typed table: one row per question, what is unknown missing.

A line that is strictly what a run writes is decoded straight into its types, and what
is not asked for is never built. Any other line is read with care instead: a value of
another type is missing, and a line that is no answer is left out and named.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import pandas as pd

from igaku.ask.folder import is_file
from igaku.ask.plan import FOREIGN, OTHER_WORDS
from igaku.ask.rows import (
    LONGEST,
    REPEATED,
    TORN,
    check_text,
    fault_of,
    has_deep,
    numbered,
    strictly,
)
from igaku.reading.readings import READER
from igaku.words import CAUSES, OUTCOMES

# The columns of the table, the type each is stored as, and what it holds: first,
# which run a row is from; then the fields of answers.jsonl as they stand; then
# what the manifest knows of the question and of the run.
COLUMNS = {
    "run": "text",  # name of the run's folder
    "model": "text",  # the model that was asked for
    "label": "text",  # the model's display name, unique among the runs
    "origin": "text",  # measured | recorded | published | lab
    "exam": "text",  # year of the exam, or calibration
    "problem_id": "text",  # e.g. 116A1
    "section": "text",  # A-F
    "outcome": "text",  # what became of the question; igaku.words.OUTCOMES
    "answer": "letters",  # tuple of letters or of one digit string; None: none
    "correct": "truth",  # missing where the reply could not be graded
    "content": "text",  # the reply's final text, whole
    "reasoning": "text",  # the reply's reasoning, whole
    "blank": "truth",  # the server replied, and the text of it is blank
    "reply_sha256": "text",  # hash of the reply's final text
    "finish_reason": "text",  # why the server stopped, in its own word
    "prompt_tokens": "whole",  # tokens of the prompt
    "completion_tokens": "whole",  # tokens of reasoning and answer together
    "reasoning_tokens": "whole",  # tokens of the reasoning
    "reasoning_tokens_estimated": "truth",  # estimated here, not counted there
    "cached_tokens": "whole",  # of the prompt, that the server had computed before
    "seconds": "number",  # from request to reply
    "tokens_per_second": "number",  # the server's figure for the reply
    "served_model": "text",  # the model the server says it used
    "reply_id": "text",  # the server's own name of the reply
    "attempts": "whole",  # requests it took
    "prompt_sha256": "text",  # hash of the messages sent
    "error": "text",  # what went wrong, in words
    "raw": "any",  # the server's body, whole
    "asked_at": "moment",  # when the question was asked, in UTC
    "cause": "text",  # of a lost reply, why: budget, window, looping, output, api …
    "rule": "text",  # what kind of statement the answer was read from
    "span": "place",  # where it stands in the content, as Python slices it
    "second": "letters",  # the next best statement's, where it says something else
    "permissive": "letters",  # the answer as the permissive reader has it
    "marks": "texts",  # what stayed unknown in the text
    "reader": "whole",  # version of the reader that read the reply
    "strict": "letters",  # the answer as the strict reader has it
    "strict_correct": "truth",  # whether that is right
    "permissive_correct": "truth",  # whether the permissive reader's is
    "doubtful": "truth",  # the readers differ, or unknown marks remain
    "adjudicated": "truth",  # a human decided; outcome, answer and correct follow
    "reread": "truth",  # today's reader grades it otherwise than it was when asked
    "gold": "letters",  # the answer that counts as right
    "points": "whole",  # points of the question; 0 is struck from scoring
    "kind": "text",  # choice | numeric
    "text_only": "truth",  # false: the question needs an image
    "stem": "text",  # problem_id of the head of its vignette
    "category": "text",  # speciality
    "kinki": "letters",  # 禁忌 choices: choosing one can fail an examinee
    "human_accuracy": "number",  # examinees who got it right, in percent
    "shown_as": "text",  # original letters in the order shown; missing: as released
    "max_tokens": "whole",  # token budget of a reply, where it is known
}
FROM_RUN = ("run", "model", "label", "origin", "exam", "max_tokens")
DERIVED = (
    "blank", "reply_sha256", "strict", "strict_correct", "permissive_correct",
    "doubtful", "adjudicated", "reread",
)  # fmt: skip
FROM_PLAN = (
    "gold", "points", "kind", "text_only", "stem", "category", "kinki",
    "human_accuracy", "shown_as",
)  # fmt: skip
TEXTS = ("content", "reasoning")
WORD = 64  # characters; shorter texts come back in every run: one copy serves all
BATCH = 2**23  # bytes; the run of an exam seldom has more, and is read at once
BEYOND = 2**53  # no float tells every whole number from here on

Shape = TypeVar("Shape")

_TEXT = pd.StringDtype(na_value=np.nan)  # as "str" is, without looking it up
_OUTCOME: Any = Literal[OUTCOMES]
_NAME: Any = Annotated[str, msgspec.Meta(min_length=1)]
_EXACT = msgspec.Meta(gt=-BEYOND, lt=BEYOND)
_STRICT: dict[str, Any] = {
    "text": str | None,
    "moment": str | None,
    "letters": tuple[str, ...] | None,
    "texts": tuple[str, ...] | None,
    "place": tuple[int, int] | None,
    "truth": bool | None,
    "whole": Annotated[int, _EXACT] | None,
    "number": Annotated[float, _EXACT] | None,
    "any": Any,
}


def columns_of(raw: bool, texts: bool) -> list[str]:
    """The columns of a table with or without the servers' bodies and the texts."""
    left_out = (() if raw else ("raw",)) + (() if texts else TEXTS)
    return [name for name in COLUMNS if name not in left_out]


def read_answers(
    path: Path, plan: Mapping[str, Any], columns: Sequence[str]
) -> tuple[list[Any], list[str]]:
    """The readable answers of a file, and a sentence per kind of line left out.

    An answer has the fields among the `columns`, and its text, as attributes. Those to
    other questions than a `plan` has, if it has any, are left out.
    """
    shape = _shape(columns)
    answers: dict[str, Any] = {}
    left_out: dict[str, list[int]] = {}
    before = 0  # lines
    for data in _batches(path):
        strict = _strictly(data, shape)
        for line, answer in enumerate(strict) if strict else _carefully(data, shape):
            if fault := _fault_in(answer, plan, answers):
                left_out.setdefault(fault, []).append(before + line + 1)
                continue
            _name(answer)
            if "raw" not in columns and (answer.reader or 0) >= READER:
                answer.raw = None  # only what an earlier reader read is read again
            answers[answer.problem_id] = answer
        before += len(strict) or data.count(b"\n")
    complaints = [
        f"{path.parent.name}/{path.name}, {numbered(numbers)}: {fault}; left out, "
        "the rest is read."
        for fault, numbers in left_out.items()
    ]
    return list(answers.values()), complaints


def _fault_in(
    answer: Any, plan: Mapping[str, Any], answers: Container[str]
) -> str | None:
    """Why an answer is left out, beside those that are read already; else None."""
    if isinstance(answer, str):
        return answer
    name = answer.problem_id
    if plan and name not in plan:
        return FOREIGN
    words = plan[name].get("prompt_sha256") if plan else None
    if words is not None:
        if answer.prompt_sha256 != words:
            return OTHER_WORDS
        answer.prompt_sha256 = words  # one object for all who were asked it
    return REPEATED if name in answers else None


class Readings(NamedTuple):
    """What a table says of how its answers were read, beside the answers themselves."""

    ways: Mapping[str, Sequence[tuple[str, ...]]]  # what counts as right
    strict: Mapping[str, tuple[Any, Any]]  # of the adjudicated: answer and grade
    reread: AbstractSet[str]  # graded otherwise than when they were asked


def rows_of(
    answers: Sequence[Any],
    run: Mapping[str, Any],
    facts: pd.DataFrame | None,
    columns: Sequence[str],
    readings: Readings | None = None,
) -> pd.DataFrame:
    """Answers as rows, with what the run knows and the plan's `facts` of each."""
    derived = _derived(answers, readings or Readings({}, {}, frozenset()))
    found = {}
    for name in columns:
        kind = COLUMNS[name]
        if facts is not None and name in ("problem_id", *FROM_PLAN):
            found[name] = facts[name]  # one copy for many runs, until one is changed
        elif name in FROM_PLAN or name in FROM_RUN:
            known = cleaned(name, run.get(name))
            found[name] = typed([known], kind).repeat(len(answers))
        elif name in derived:
            found[name] = typed(derived[name], kind)
        else:
            found[name] = typed(list(map(attrgetter(name), answers)), kind)
    return pd.DataFrame(found, index=range(len(answers)), copy=False)


def _derived(answers: Sequence[Any], readings: Readings) -> dict[str, list[Any]]:
    """What the rows say that no field of an answer does."""
    texts = [answer.content or "" for answer in answers]
    hashes = {text: hashlib.sha256(text.encode()).hexdigest() for text in {*texts}}
    told, names = readings.strict, [answer.problem_id for answer in answers]
    strict = [answer.answer for answer in answers]
    correct = [answer.correct for answer in answers]
    for place, name in enumerate(names if told else ()):
        if name in told:
            strict[place], correct[place] = told[name]
    doubtful, permissive = _doubts(answers, strict, correct, readings.ways)
    return {
        "reply_sha256": [hashes[text] for text in texts],
        "blank": [
            a.outcome != "api_error" and not text.strip()
            for a, text in zip(answers, texts, strict=True)
        ],
        "cause": [a.cause or CAUSES.get(a.outcome) for a in answers],
        "strict": strict,
        "strict_correct": correct,
        "permissive_correct": permissive,
        "doubtful": doubtful,
        "adjudicated": [name in told for name in names],
        "reread": [name in readings.reread for name in names],
    }


def _doubts(
    answers: Sequence[Any],
    strict: list[Any],
    correct: list[bool | None],
    ways: Mapping[str, Sequence[tuple[str, ...]]],
) -> tuple[list[bool], list[bool | None]]:
    """Whether each reply is doubtful, and whether the permissive reader is right."""
    doubtful, right = [False] * len(answers), list[bool | None]([None] * len(answers))
    for place, a in enumerate(answers):
        if a.reader is not None:
            is_other = a.permissive != strict[place]
            doubtful[place] = is_other or bool(a.marks)
            accepted = ways.get(a.problem_id, ()) if is_other else ()
            right[place] = a.permissive in accepted if is_other else correct[place]
    return doubtful, right


def plan_frame(plan: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The questions of a run as its manifest lists them, in columns of their types."""
    columns = {
        name: typed([cleaned(name, q.get(name)) for q in plan.values()], COLUMNS[name])
        for name in ("problem_id", "section", *FROM_PLAN)
    }
    return pd.DataFrame(columns)


# --- lines ----------------------------------------------------------------------------


def _batches(path: Path) -> Iterator[bytes]:
    """A file's bytes in pieces that end where a line does."""
    if not is_file(path):
        return
    with path.open("rb") as file:
        while data := file.read(BATCH):
            yield data if data.endswith(b"\n") else data + file.readline(LONGEST)


def _strictly(data: bytes, shape: type[msgspec.Struct]) -> list[Any]:
    """The answers of a file in which every line is strictly one; else none at all."""
    try:
        check_text(data)
        if has_deep(data):
            return []
        answers = msgspec.json.Decoder(shape).decode_lines(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []
    # The decoder would also take two answers that share a line.
    return answers if len(answers) == data.count(b"\n") else []


def _shape(columns: Sequence[str]) -> type[msgspec.Struct]:
    """What a strict line is decoded into: the fields among the columns, typed."""
    told = {*FROM_RUN, *FROM_PLAN, *DERIVED, "problem_id", "outcome"}
    names = dict.fromkeys([*columns, "content", "raw"])
    kinds = {name: _STRICT[COLUMNS[name]] for name in names}
    # What is not asked for is kept as it stands, to be read again from it.
    kinds |= {} if "raw" in columns else {"raw": msgspec.Raw}
    fields = [(name, kind, None) for name, kind in kinds.items()]
    optional = [field for field in fields if field[0] not in told]
    needed = [("problem_id", _NAME), ("outcome", _OUTCOME)]
    return msgspec.defstruct("Answer", [*needed, *optional], gc=False)


def _carefully(data: bytes, shape: type[msgspec.Struct]) -> Iterator[tuple[int, Any]]:
    """The lines of a piece by their places: an answer, or why a line is none."""
    names = shape.__struct_fields__
    # As bytes: text would also be split at U+2028 inside a reply.
    for place, line in enumerate(data.split(b"\n")):
        if line.strip():
            told = strictly(line)
            fault = TORN if told is None else fault_of(told)
            yield place, fault or shape(**{n: cleaned(n, told.get(n)) for n in names})


def body_as(shape: type[Shape], raw: Any) -> Shape | None:
    """A server's body, parsed or not, as far as a shape has it; None of any other."""
    with suppress(msgspec.MsgspecError, ValueError):
        is_packed = isinstance(raw, msgspec.Raw)
        convert = msgspec.json.decode if is_packed else msgspec.convert
        return convert(raw, type=shape)
    return None


class _Body(msgspec.Struct, gc=False):
    """A server's body, as far as it names itself."""

    id: Any = None


def _name(answer: Any) -> None:
    """Give an answer whose line has it in the body alone the server's name of it."""
    if getattr(answer, "reply_id", "") is None and answer.raw:
        body = body_as(_Body, answer.raw)
        if body and isinstance(body.id, str):
            answer.reply_id = body.id.encode("utf-8", "replace").decode()


# --- values of any type, made those of a column ---------------------------------------


def cleaned(column: str, value: Any) -> Any:
    """A value as a column holds it, whatever a file has for it; None: it cannot.

    >>> cleaned("answer", ["a", "c"]), cleaned("answer", "a"), cleaned("answer", [])
    (('a', 'c'), ('a',), None)
    >>> cleaned("attempts", 3.0), cleaned("attempts", 2**53), cleaned("attempts", True)
    (3, None, None)
    """
    kind = COLUMNS[column]
    if kind in ("text", "moment") and value is not None:
        is_text = isinstance(value, str)
        text = value if is_text else json.dumps(value, ensure_ascii=False)
        # Text that every encoder takes: a reply may hold half a surrogate pair.
        return text.encode("utf-8", "replace").decode()
    if kind == "letters":
        value = (value,) if isinstance(value, str) else value or None
    if kind == "whole" and isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return msgspec.convert(value, _STRICT[kind])
    except msgspec.ValidationError:
        return None


def typed(values: list[Any], kind: str) -> Any:
    """Values of a column's type, None where missing, as the array it is stored as."""
    one = None if kind == "any" else values[0] if values else None
    if len(values) > 1 and values.count(one) == len(values):
        return typed([one], kind).repeat(len(values))
    if kind == "text":
        words = {*values}
        if 2 * len(words) <= len(values):  # what is said often, as one object
            known = {v: sys.intern(v) for v in words if v and len(v) <= WORD}
            values = list(map(known.get, values, values))
        return pd.array(values, dtype=_TEXT)
    if kind == "moment":
        texts = pd.Series(values, dtype=_TEXT)
        return pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601").array
    if kind in ("letters", "texts", "place", "any"):
        if kind != "any":  # one copy serves all; no letters are none, no marks are
            same: dict[Any, Any] = {} if kind == "texts" else {(): None}
            values = [same.setdefault(value, value) for value in values]
        return pd.Series(values, dtype="object").array
    figures = np.array(values, dtype=float)  # None becomes a nan, and no value is one
    missing = np.isnan(figures)
    figures[missing] = 0
    if kind == "truth":
        return pd.arrays.BooleanArray(figures.astype(bool), missing)
    if kind == "whole":
        return pd.arrays.IntegerArray(figures.astype("int64"), missing)
    return pd.arrays.FloatingArray(figures, missing)
