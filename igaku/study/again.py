"""Replies that an earlier reader read, understood anew from the servers' own bodies.

`answers.jsonl` is never touched. What today's reader finds is kept beside it in one
small file, whose key is a hash of the answers, of the manifest and of the reader: when
one of these is another, the file counts as none. Adjudications come on top of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import starmap
from pathlib import Path
from typing import Any

import msgspec

from igaku import writing
from igaku.ask import folder as files
from igaku.errors import IgakuError
from igaku.exam.choices import released, shown
from igaku.exam.igakuqa import kept_folder
from igaku.exam.questions import Question, load_exam
from igaku.reading.readings import READER, Reading
from igaku.study.answers import body_as, cleaned

KEPT = ".reading.jsonl"
# Rows that no reading changes: nothing was asked, or not of this model.
UNREAD = ("wrong_model", "not_run")
AS_SENT = (
    "content", "reasoning", "finish_reason", "prompt_tokens", "completion_tokens",
    "reasoning_tokens", "reasoning_tokens_estimated",
)  # fmt: skip
GRADE = ("outcome", "answer", "correct")
# Nothing but letters: one reading serves all questions with as many choices, those
# apart that have a choice so short that it may be a letter itself.
TERSE = re.compile(r"(?:答え: ?)?([a-h](?:, ?[a-h])*)")
SHORT = 3  # characters


@dataclass(frozen=True)
class Sat:
    """How a run was asked, as far as its replies are read by it."""

    folder: Path
    exam: str | None
    settings: Mapping[str, Any]
    planned: Mapping[str, Mapping[str, Any]]  # the manifest's questions, by problem_id
    budget: int | None
    window: int | None  # tokens that prompt and reply may fill together
    is_recorded: bool

    def order(self, name: str) -> str | None:
        """The order in which a question's choices were shown; None: as released."""
        told = (self.planned.get(name) or {}).get("shown_as")
        return told if isinstance(told, str) else None


@dataclass
class Exams:
    """The exams that the runs of one load sat, each read once, and never fetched."""

    known: dict[Any, dict[str, Question] | None] = field(default_factory=dict)
    terse: dict[Any, Reading] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)  # exams a note was written of

    def of(self, sat: Sat) -> dict[str, Question] | None:
        """The questions of a run by problem_id; None where their files are not here."""
        told = sat.settings
        asked = {"language": told.get("language") or "ja"}
        asked["serial_context"] = told.get("serial_context") or "as_released"
        key = (sat.exam, str(told.get("data_dir")), *map(str, asked.values()))
        if key not in self.known:
            self.known[key] = None
            with suppress(IgakuError, OSError, TypeError):
                place = kept_folder(told.get("data_dir"))  # which is never fetched into
                listed = load_exam(sat.exam or "", data_dir=place, **asked)
                self.known[key] = {each.problem_id: each for each in listed}
        return self.known[key]

    def lacking_note(self, sat: Sat) -> list[str]:
        """The sentence on an exam whose files are not here, once for each exam."""
        if str(sat.exam) in self.lacking:
            return []
        self.lacking.add(str(sat.exam))
        return [
            f"{sat.folder.name}/{files.ANSWERS} was read by an earlier reader, and "
            f"exam {sat.exam} is not on this machine to read it again: it is shown as "
            "it was read. Call igaku.load_exam once, or set IGAKU_DATA, then load "
            "again."
        ]

    def question(self, sat: Sat, name: str) -> Question | None:
        """One question of a run, with the gold that the run's own manifest has."""
        found = (self.of(sat) or {}).get(name)
        told = sat.planned.get(name) or {}
        if found is None or not told.get("gold"):
            return found
        gold = tuple(told["gold"])
        ways = tuple(map(tuple, told.get("accepted") or [gold]))
        return replace(found, answer=gold, accepted=ways)


def read_again(
    answers: Sequence[Any], sat: Sat, exams: Exams
) -> tuple[set[str], list[str]]:
    """Put today's reading into answers that an earlier reader read.

    The questions are returned whose outcome, answer or grade is another than it was,
    and a sentence where the exam's files are not here to read by.
    """
    old = [a for a in answers if (a.reader or 0) < READER and a.outcome not in UNREAD]
    if sat.is_recorded or not old:
        return set(), []
    questions = exams.of(sat)
    if questions is None:
        said = {(a.content, a.outcome, a.answer, sat.order(a.problem_id)) for a in old}
        return set(), [] if all(starmap(_is_bare, said)) else exams.lacking_note(sat)
    more = (each for each in old if not _is_terse(each, sat, questions, exams.terse))
    left = [each for each in more if _is_sound(each, sat)]
    found = (_kept(sat) or _found_anew(sat, left, exams)) if left else {}
    for answer in left:
        for name, value in found.get(answer.problem_id, {}).items():
            if hasattr(answer, name):
                setattr(answer, name, cleaned(name, value))
    return {name for name, told in found.items() if told.keys() & set(GRADE)}, []


# --- replies of nothing but letters ---------------------------------------------------


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message with the fields that hold no second text."""

    content: str
    role: str | None = None
    reasoning: msgspec.Raw = msgspec.Raw(b"null")
    reasoning_content: msgspec.Raw = msgspec.Raw(b"null")
    refusal: None = None
    annotations: Any = None
    audio: None = None
    function_call: None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class _Body(msgspec.Struct):
    choices: list[_Choice]
    error: None = None


def _is_bare(
    content: str | None, outcome: str, answer: Any, order: str | None = None
) -> bool:
    """Whether a text is nothing but letters, and was read as these."""
    stated = TERSE.fullmatch(content or "")
    if stated is None or outcome != "answered":
        return False
    return released(tuple(sorted({*stated[1]} - {",", " "})), order) == answer


def _is_sound(answer: Any, sat: Sat) -> bool:
    """Whether an earlier reader can have written a row: its grade follows its answer.

    A row that it cannot have written is evidence of something else, for the audits.
    """
    told, order = sat.planned.get(answer.problem_id) or {}, sat.order(answer.problem_id)
    stated = TERSE.fullmatch(answer.content or "")
    is_other = stated and not _is_bare(answer.content, "answered", answer.answer, order)
    if answer.outcome != "answered" or not answer.answer:
        return not answer.correct
    ways = told.get("accepted") or [told.get("gold")]
    is_right = list(answer.answer) in ways
    return not is_other and (ways == [None] or bool(answer.correct) == is_right)


def _is_terse(
    answer: Any,
    sat: Sat,
    questions: Mapping[str, Question],
    known: dict[Any, Reading],
) -> bool:
    """Whether a reply is its letters and was read as these; if so, by which rule."""
    # Its patterns take a while to compile, and few studies need them.
    from igaku.reading.answer import reading_of

    order = sat.order(answer.problem_id)
    is_bare = _is_bare(answer.content, answer.outcome, answer.answer, order)
    question = questions.get(answer.problem_id)
    if not is_bare or question is None or _is_at_budget(answer, sat):
        return is_bare and question is None
    if question.kind == "numeric" or not _says_only(answer):
        return False
    question = shown(question, order)
    choices = question.choices
    shape: Any = choices if min(map(len, choices)) < SHORT else len(choices)
    key = (answer.content, shape, len(question.answer))
    if key not in known:
        known[key] = reading_of(answer.content, question)
    reading = known[key]
    if released(reading.answer, order) != answer.answer:
        return False
    answer.rule, answer.span = reading.rule, reading.span
    answer.second, answer.permissive = released(reading.second, order), answer.answer
    answer.marks, answer.reader = (), READER
    return True


def _is_at_budget(answer: Any, sat: Sat) -> bool:
    used = answer.completion_tokens
    near = used is not None and sat.budget is not None and used >= sat.budget - 1
    return near or answer.finish_reason not in ("stop", None)


def _says_only(answer: Any) -> bool:
    """Whether the server's body holds this text, whole, and no other."""
    raw = answer.raw
    if raw is None or (isinstance(raw, msgspec.Raw) and bytes(raw) == b"null"):
        return True
    body = body_as(_Body, raw)
    choices = body.choices if body else ()
    said = [c.message.content for c in choices if c.finish_reason == "stop"]
    return said == [answer.content]


# --- replies that are read --------------------------------------------------------


def _found_anew(
    sat: Sat, left: Sequence[Any], exams: Exams
) -> dict[str, dict[str, Any]]:
    """What today's reader finds otherwise in these replies, and a file of it."""
    found = {}
    for answer in left:
        if question := exams.question(sat, answer.problem_id):
            raw = answer.raw
            body = _parsed(raw) if isinstance(raw, msgspec.Raw) else raw
            found[answer.problem_id] = {
                name: value
                for name, value in understood_anew(body, question, sat).items()
                if cleaned(name, value) != getattr(answer, name, NotImplemented)
            }
    _keep(sat, found)
    return found


def _parsed(data: Any) -> Any:
    """The value of a JSON text, also of one that is not strict."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError):  # half a surrogate pair, an infinity
        return json.loads(bytes(data))


def understood_anew(body: Any, question: Question, sat: Sat) -> dict[str, Any]:
    """The fields of a row as today's reader would write them; none without a reply."""
    from igaku.ask.asker import as_read, error_of
    from igaku.reading.answer import outcome_of
    from igaku.reading.reply import read_reply

    reply = read_reply(body)
    is_body = isinstance(body, dict | str)
    if not is_body or (reply.error and not (reply.content or reply.reasoning)):
        return {}  # a failure, or a body that is not on record
    order = sat.order(question.problem_id)
    asked = shown(question, order)
    graded = outcome_of(reply, asked, sat.budget, window=sat.window)
    failed = graded.outcome == "api_error"
    return {name: getattr(reply, name) for name in AS_SENT} | {
        "outcome": graded.outcome,
        "answer": released(graded.answer, order),
        "correct": None if failed else graded.correct,
        "error": error_of(reply, graded),
        **as_read(asked, reply, graded, order),
    }


# --- kept beside the answers ----------------------------------------------------------


def _key(sat: Sat) -> str:
    """A hash of all that a reading depends on."""
    told = hashlib.sha256(str(READER).encode())
    for name in (files.ANSWERS, files.MANIFEST):
        if files.unfit(sat.folder / name):
            continue
        with suppress(OSError), (sat.folder / name).open("rb") as file:
            told.update(hashlib.file_digest(file, "sha256").digest())
    return told.hexdigest()


def _kept(sat: Sat) -> dict[str, dict[str, Any]] | None:
    """What is kept of this very reading; None where nothing whole is."""
    if files.unfit(sat.folder / KEPT):
        return None
    try:
        data = (sat.folder / KEPT).read_bytes()
        head, *rows = msgspec.json.Decoder(dict[str, Any]).decode_lines(data)
        if head == {"key": _key(sat), "rows": len(rows)}:
            return {row.pop("problem_id"): row for row in rows}
    except (OSError, ValueError, KeyError, RecursionError):
        pass
    return None


def _keep(sat: Sat, found: Mapping[str, Mapping[str, Any]]) -> None:
    rows = [{"problem_id": name, **told} for name, told in found.items()]
    lines = [{"key": _key(sat), "rows": len(rows)}, *rows]
    # A folder that cannot be written is read again each time.
    with suppress(writing.Unwritable, msgspec.MsgspecError, UnicodeEncodeError):
        writing.put(sat.folder / KEPT, msgspec.json.Encoder().encode_lines(lines))
