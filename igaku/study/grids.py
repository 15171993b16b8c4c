"""Runs and variants question by question: what was asked, right, lost and answered."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from igaku.study.audits import wrong_runs
from igaku.study.families import Study
from igaku.study.pooling import Family
from igaku.study.runs import Run
from igaku.study.scoring import blank, is_lost


class Grid(NamedTuple):
    """Runs in rows and questions in columns: what was asked, right, lost and answered.

    `answer` holds one number for one answer, or for one text that holds no answer; a
    blank reply, and a question that was not asked, is like no other. `cluster` numbers
    the vignettes, a question outside of one being a cluster of its own.
    """

    questions: tuple[str, ...]
    asked: np.ndarray
    right: np.ndarray
    lost: np.ndarray
    answer: np.ndarray
    cluster: np.ndarray


class Askings(NamedTuple):
    """Variants in rows and questions in columns: how often asked, how often right.

    `first` holds the first asking of each, `exam` each question's exam.
    """

    first: Grid
    asked: np.ndarray
    right: np.ndarray
    exam: np.ndarray


def grid_of(runs: Sequence[Run], questions: Set[str] | None = None) -> Grid:
    """The replies of several runs, question by question, in exam order."""
    order: dict[str, None] = {}
    for run in runs:
        for rows in (run.rows if run.plan is None else run.plan, run.rows):
            order |= dict.fromkeys(rows["problem_id"].tolist())
    met = set().union(*(run.rows["problem_id"].tolist() for run in runs))
    kept = met & (questions or met)
    names = pd.Index([name for name in order if name in kept], dtype="str")
    shape = (len(runs), len(names))
    asked, right, lost = (np.zeros(shape, dtype=bool) for _ in range(3))
    answer = np.repeat(-1 - np.arange(len(runs), dtype=np.int32)[:, None], shape[1], 1)
    codes: dict[Any, int] = {}
    stems: dict[str, str] = {}
    for row, run in enumerate(runs):
        rows, where = run.rows, names.get_indexer(pd.Index(run.rows["problem_id"]))
        here, where = where >= 0, where[where >= 0]
        asked[row, where] = True
        right[row, where] = rows["correct"].fillna(False).to_numpy(bool)[here]
        lost[row, where] = is_lost(rows).to_numpy()[here]
        said = (codes.setdefault(k, len(codes)) if k else -1 - row for k in _said(rows))
        answer[row, where] = np.fromiter(said, np.int32, len(here))[here]
        told = rows["stem"].dropna()
        stems |= zip(rows.loc[told.index, "problem_id"], told, strict=True)
    vignettes = pd.Index([stems.get(name, name) for name in names], dtype="str")
    cluster, _ = vignettes.factorize()
    return Grid(tuple(names), asked, right, lost, answer, cluster)


def _said(rows: pd.DataFrame) -> list[Any]:
    """What each reply says: its answer, else its text, else None where it is blank."""
    told = rows["answer"].tolist()
    if without := [i for i, each in enumerate(told) if not isinstance(each, tuple)]:
        rows = rows[["blank", "outcome", "reply_sha256"]].iloc[without]
        is_silent = blank(rows) | (rows["outcome"] == "api_error")
        texts = rows["reply_sha256"].mask(is_silent, None)
        for i, text in zip(without, texts.tolist(), strict=True):
            told[i] = text if isinstance(text, str) else None
    return told


def askings_of(
    study: Study, family: Family, questions: Set[str] | None = None
) -> Askings:
    """The sittings of each variant of a family, exam by exam, in the order they began.

    Those that are shown to be wrong are left out, unless a variant has no others.
    """
    known = study.once(_askings)
    key = (family.kind, family.exam, family.runs, frozenset(questions or ()))
    if key not in known:
        known[key] = _pooled(study, family, questions)
    return known[key]


def _askings(study: Study) -> dict[Any, Askings]:
    return {}


def _pooled(study: Study, family: Family, questions: Set[str] | None) -> Askings:
    wrong, parts = wrong_runs(study), []
    askings = {}
    for name in family.runs:
        own = family.askings.get(name, (name,))
        askings[name] = [each for each in own if each not in wrong] or [name]
    runs = [
        (row, study.run(n)) for row, own in enumerate(askings.values()) for n in own
    ]
    for exam in dict.fromkeys(run.exam for _, run in runs):
        here = [(row, run) for row, run in runs if run.exam == exam]
        rows = np.array([row for row, _ in here])
        grid = grid_of([run for _, run in here], questions)
        of = np.equal.outer(np.arange(len(askings)), rows)
        counts = (of @ grid.asked.astype(int), of @ grid.right.astype(int))
        first = np.where(of.any(axis=1), of.argmax(axis=1), -1)
        where = np.full(len(grid.questions), str(exam))
        parts.append(Askings(_rows_of(grid, first), *counts, where))
    return _side_by_side(parts)


def sound_variants(study: Study, family: Family) -> list[str]:
    """The variants of a family of which an asking is not shown to be wrong."""
    wrong = wrong_runs(study).keys()
    return [n for n in family.runs if {*family.askings.get(n, (n,))} - wrong]


def _rows_of(grid: Grid, rows: np.ndarray) -> Grid:
    """The rows of a grid in this order; −1 was never asked anything."""
    absent = (rows < 0)[:, None]
    asked, right, lost = (
        ~absent & part[rows] for part in (grid.asked, grid.right, grid.lost)
    )
    nobody = -1 - len(grid.asked) - np.arange(len(rows))[:, None]
    answer = np.where(absent, nobody, grid.answer[rows])
    return Grid(grid.questions, asked, right, lost, answer, grid.cluster)


def _side_by_side(parts: list[Askings]) -> Askings:
    """The questions of several exams in one table."""
    cluster, met = [], 0
    for part in parts:
        cluster.append(part.first.cluster + met)
        met += len(part.first.questions)
    tables = zip(*((*p.first[1:5], p.asked, p.right) for p in parts), strict=True)
    *grid, asked, right = (np.concatenate(each, axis=1) for each in tables)
    names = tuple(name for part in parts for name in part.first.questions)
    joined = Grid._make([names, *grid, np.concatenate(cluster)])
    return Askings(joined, asked, right, np.concatenate([part.exam for part in parts]))
