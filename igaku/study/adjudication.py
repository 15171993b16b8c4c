"""Adjudication: what a human decided of replies, in `adjudicated.csv` beside a run.

The file is a person's: igaku reads it, counts what it decides and never writes it. A
decision outweighs every reader; the reply and the server's body stay as they are.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

from igaku.study.again import Exams, Sat
from igaku.words import CAUSES, NO_REPLY, OUTCOMES

ADJUDICATED = "adjudicated.csv"
DECISION = ("answer", "outcome", "by", "note")
# What a person may find a reply to be, beside the answer it states.
FINDINGS = tuple(
    o for o in OUTCOMES if o not in ("answered", "wrong_cardinality", *NO_REPLY)
)
MOST = 8  # choices of a question that is not here to be counted


class Decision(NamedTuple):
    """What a human decided of one reply: the answer it states, or what else it is."""

    answer: tuple[str, ...] | None
    outcome: str | None
    by: str | None
    note: str | None


def adjudicate(
    answers: Sequence[Any],
    sat: Sat,
    ways: Mapping[str, Sequence[tuple[str, ...]]],
    exams: Exams,
) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """Put a human's decisions into a run's answers.

    What the strict reader had of each (answer and grade) is returned by problem_id,
    and a sentence for each decision that cannot be used.
    """
    if not (sat.folder / ADJUDICATED).is_file():
        return {}, []  # as most runs: nothing is to be looked for
    known = {answer.problem_id: answer for answer in answers}
    decided, faults = decisions(sat, known, exams)
    strict = {name: (known[name].answer, known[name].correct) for name in decided}
    for name, told in decided.items():
        answer, accepted = known[name], ways.get(name)
        answer.answer, answer.cause = told.answer, CAUSES.get(told.outcome or "")
        answer.outcome, answer.correct = told.outcome, False
        if told.answer is not None:  # which is graded by the gold as any other
            fits = not accepted or len(told.answer) in {len(way) for way in accepted}
            answer.outcome = "answered" if fits else "wrong_cardinality"
            answer.correct = told.answer in accepted if accepted else None
    return strict, faults


# --- the file -------------------------------------------------------------------------


def decisions(
    sat: Sat, known: Container[str], exams: Exams
) -> tuple[dict[str, Decision], list[str]]:
    """What a run's file decides, by problem_id, and a sentence per line left out."""
    path = sat.folder / ADJUDICATED
    named = f"{sat.folder.name}/{ADJUDICATED}"
    try:
        lines = list(lines_of(path))
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, csv.Error) as fault:
        return {}, [f"{named} decides nothing: {fault}."]
    decided: dict[str, Decision] = {}
    faults: list[str] = []
    for number, cells in lines:
        name = cells["problem_id"]
        if not (cells["answer"] or cells["outcome"]):
            continue  # not decided yet
        try:
            told = _decision(cells, sat, known, exams)
            if decided.setdefault(name, told)[:2] != told[:2]:
                raise ValueError(f"{name} is decided otherwise on an earlier line")
        except ValueError as why:
            faults.append(f"{named}, line {number}: {why}; left out, the rest counts.")
    return decided, faults


def _decision(
    cells: Mapping[str, str], sat: Sat, known: Container[str], exams: Exams
) -> Decision:
    """A line's decision; a ValueError says what is wrong with it."""
    name, outcome = cells["problem_id"], cells["outcome"].lower()
    if name not in known:
        name = name or "a line without problem_id"
        raise ValueError(f"{name} is no question of this run")
    if cells["answer"]:
        if outcome not in ("", "answered", "wrong_cardinality"):
            both = f"{name} has both an answer and the outcome {outcome!r}"
            raise ValueError(f"{both}: give one")
        answer = _answer(cells["answer"], name, sat, exams)
        return Decision(answer, None, cells["by"], cells["note"])
    if outcome not in FINDINGS:
        allowed = f"give an answer, or {', '.join(FINDINGS)}"
        raise ValueError(f"{name} has the outcome {outcome!r}: {allowed}")
    return Decision(None, outcome, cells["by"], cells["note"])


def _answer(text: str, name: str, sat: Sat, exams: Exams) -> tuple[str, ...]:
    """The letters or digits of a cell; a ValueError where they are none."""
    question = exams.question(sat, name)
    told = sat.planned.get(name) or {}
    kind = question.kind if question else told.get("kind", "choice")
    plain = unicodedata.normalize("NFKC", text).lower()
    if kind == "numeric":
        if not re.fullmatch(r"[0-9.,\s]+", plain):
            raise ValueError(f"{name} asks for digits, not {text!r}")
        return ("".join(re.findall("[0-9]", plain)),)
    letters = {*re.sub(r"[\s,、・;/]+", "", plain)}
    labels = question.labels if question else tuple(ascii_lowercase[:MOST])
    if not letters or letters - {*labels}:
        allowed = f"give letters of {labels[0]}-{labels[-1]}"
        raise ValueError(f"{name} has no choice {text!r}: {allowed}")
    return tuple(sorted(letters))


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a table as spreadsheets save it, by number, every cell a text."""
    text = _text(path.read_bytes())
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = {str(name).strip().lower(): name for name in table.fieldnames or ()}
    if "problem_id" not in names or not {"answer", "outcome"} & names.keys():
        raise ValueError(
            "its first line must name the columns problem_id, answer or outcome, by "
            "and note"
        )
    wanted = ("problem_id", *DECISION)
    for row in table:
        cells = {name: str(row.get(names.get(name)) or "").strip() for name in wanted}
        if any(cells.values()):
            yield table.line_num, cells


def _text(data: bytes) -> str:
    """The text of a file in UTF-8, else in the encoding of a Japanese spreadsheet."""
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("it is no text in UTF-8: save it as CSV UTF-8")
