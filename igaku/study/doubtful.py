"""Doubtful replies: what the readers do not agree on, for a human to decide.

Whoever decides must not know what counts as right: neither the gold nor a grade is
shown here, and no run's score.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from igaku.exam.choices import shown
from igaku.exam.questions import Question
from igaku.study.adjudication import DECISION, Decision, decisions, lines_of
from igaku.study.again import Exams
from igaku.study.families import Source, named, study_in
from igaku.study.runs import Run, sat
from igaku.study.tables import guarded, put_table

DOUBTFUL = "doubtful"
UNDECIDED = Decision(None, None, None, None)
FRAME = (
    "run", "label", "problem_id", "section", "question", "choices", "content", "answer",
    "permissive", "second", "rule", "marks", "outcome", "adjudicated", "decided", "by",
    "note",
)  # fmt: skip
# What a person reads of a reply, and what is left empty for the decision.
SHEET = (
    "problem_id", "section", "question", "choices", "content", "strict", "permissive",
    "second", "rule", "marks", "found", *DECISION,
)  # fmt: skip


def doubtful(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per reply that the readers disagree on, or that holds unknown marks.

    Those that a human decided stand among them, marked so. `run label problem_id
    section question choices content`: whose reply to what. `answer permissive`: as the
    strict and as the permissive reader has it; `second`: the next best statement's;
    `rule`: the kind of statement the strict one is read from; `marks`: what stayed
    unknown in the text; `outcome`: what became of the question. `adjudicated decided by
    note`: whether a human decided, what, who, and why.

    Where a run showed the choices in another order, "a = c." is the choice that the
    reply calls a and the exam c: what is read, and what is decided, is c. The gold is
    left out, so that whoever decides is blind to it. `question` and
    `choices` are missing where the exam's files are not on this machine.

    >>> igaku.doubtful("outputs")[["run", "answer", "permissive"]]  # doctest: +SKIP
    """
    study, exams = study_in(outputs_dir), Exams()
    rows = [
        row
        | named(study, run)
        | {"answer": row["strict"], "decided": told.answer or told.outcome}
        | {"by": told.by, "note": told.note}
        for run in study.runs
        for row, told in _doubts(run, exams)
    ]
    return pd.DataFrame(rows, columns=list(FRAME)).astype({"adjudicated": bool})


def write_doubtful(outputs_dir: Source = None) -> list[Path]:
    """Write each run's doubtful replies as `doubtful.csv` beside it; the files written.

    Its last columns (answer, outcome, by, note) hold what is decided already and are
    empty else: fill them in and save the file as `adjudicated.csv`. What somebody has
    filled in is left as it is.
    """
    exams, written = Exams(), []
    for run in study_in(outputs_dir).runs:
        rows = [
            row | {"found": row["outcome"]} | told._asdict()
            for row, told in _doubts(run, exams)
        ]
        if rows and not _is_filled_in(run.folder / f"{DOUBTFUL}.csv", rows):
            frame = pd.DataFrame(rows, columns=list(SHEET))
            written.append(put_table(run.folder, DOUBTFUL, frame))
    return written


def _doubts(run: Run, exams: Exams) -> Iterator[tuple[dict[str, Any], Decision]]:
    """The doubtful replies of a run, and what a human decided of each."""
    rows = run.rows[run.rows["doubtful"] | run.rows["adjudicated"]]
    if rows.empty:
        return
    at, known = sat(run), frozenset(run.rows["problem_id"])
    told, _ = decisions(at, known, exams)
    for row in rows.to_dict("records"):
        name, about = row["problem_id"], {str(key): row[key] for key in row}
        asked = _asked(exams.question(at, name), at.order(name))
        yield about | asked, told.get(name, UNDECIDED)


def _asked(question: Question | None, order: str | None) -> dict[str, str | None]:
    """The words of a question; a choice shown under another letter says which."""
    if question is None:
        return {"question": None, "choices": None}
    seen = shown(question, order)
    own = [f" = {letter}" for letter in order or ""] or [""] * len(seen.labels)
    choices = zip(seen.labels, own, seen.choices, strict=True)
    listed = "\n".join(f"{label}{mark}. {text}" for label, mark, text in choices)
    return {"question": question.prompt_text, "choices": listed}


def _is_filled_in(path: Path, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether a sheet holds anything of a person's that these rows do not."""
    known = {row["problem_id"]: _cells(row) for row in rows}
    try:
        filled = {cells["problem_id"]: _cells(cells) for _, cells in lines_of(path)}
    except FileNotFoundError:
        return False
    except (OSError, ValueError, csv.Error):
        return True
    return any(any(c) and known.get(name) != c for name, c in filled.items())


def _cells(row: Mapping[str, Any]) -> list[str]:
    """The cells of a decision, as a sheet holds them."""
    return [str(guarded(row[name] or "")) for name in DECISION]
