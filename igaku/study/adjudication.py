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
    for name, decision in decided.items():
        _decide(known[name], decision, ways.get(name))
    return strict, faults


def _decide(
    answer: Any, told: Decision, ways: Sequence[tuple[str, ...]] | None
) -> None:
    """One answer as a human read it, and graded by the gold as any other."""
    answer.answer, answer.cause = told.answer, CAUSES.get(told.outcome or "")
    if told.answer is None:
        answer.outcome, answer.correct = told.outcome, False
        return
    fits = not ways or len(told.answer) in {len(way) for way in ways}
    answer.outcome = "answered" if fits else "wrong_cardinality"
    answer.correct = told.answer in ways if ways else None


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
        told = _decision(cells, sat, known, exams)
        if isinstance(told, Decision) and decided.get(name, told)[:2] != told[:2]:
            told = f"{name} is decided otherwise on an earlier line"
        if isinstance(told, str):
            faults.append(f"{named}, line {number}: {told}; left out, the rest counts.")
        else:
            decided.setdefault(name, told)
    return decided, faults


def _decision(
    cells: Mapping[str, str], sat: Sat, known: Container[str], exams: Exams
) -> Decision | str:
    """A line's decision, or what is wrong with it."""
    name, outcome = cells["problem_id"], cells["outcome"].lower()
    if name not in known:
        return f"{name or 'a line without problem_id'} is no question of this run"
    if not cells["answer"]:
        if outcome not in FINDINGS:
            allowed = ", ".join(FINDINGS)
            return f"{name} has the outcome {outcome!r}: give an answer, or {allowed}"
        return Decision(None, outcome, cells["by"], cells["note"])
    if outcome not in ("", "answered", "wrong_cardinality"):
        return f"{name} has both an answer and the outcome {outcome!r}: give one"
    answer = _answer(cells["answer"], name, sat, exams)
    if isinstance(answer, str):
        return answer
    return Decision(answer, None, cells["by"], cells["note"])


def _answer(text: str, name: str, sat: Sat, exams: Exams) -> tuple[str, ...] | str:
    """The letters or digits of a cell, or why they are none of the question's."""
    question = exams.question(sat, name)
    told = sat.planned.get(name) or {}
    kind = question.kind if question else told.get("kind", "choice")
    plain = unicodedata.normalize("NFKC", text).lower()
    if kind == "numeric":
        digits = "".join(re.findall("[0-9]", plain))
        is_number = re.fullmatch(r"[0-9.,\s]+", plain)
        return (digits,) if is_number else f"{name} asks for digits, not {text!r}"
    letters = re.sub(r"[\s,、・;/]+", "", plain)
    labels = question.labels if question else tuple(ascii_lowercase[:MOST])
    if not letters or set(letters) - {*labels}:
        return (
            f"{name} has no choice {text!r}: give letters of {labels[0]}-{labels[-1]}"
        )
    return tuple(sorted({*letters}))


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
