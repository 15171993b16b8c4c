"""Controlled comparisons: one factor changed, the others fixed, on the same questions.

A design crosses models with reasoning efforts, token budgets, or both. Its runs share
exam, questions and every other setting, so that a pair of them that parts in one factor
has one reason to part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from igaku.statistics import holm, mcnemar, paired_difference, proportion
from igaku.study.audits import wrong_runs
from igaku.study.families import Source, Study, condition, study_in
from igaku.study.grids import grid_of
from igaku.study.runs import Run
from igaku.study.scoring import correct, is_lost
from igaku.words import HELD_FIXED

FACTORS = ("model", "effort", "budget")
DEFAULT = "default"  # the effort of a run that was told none
EFFORTS = (DEFAULT, "none", "minimal", "low", "medium", "high", "xhigh")
CROSSED = (
    "run", "exam", *FACTORS, "label", "n", "lost", "lost_share", "low", "high", "right",
    "median", "longest", "color", "marker",
)  # fmt: skip
CONTRASTS = (
    "exam", "factor", "fixed", "a", "b", "n", "lost_a", "lost_b", "difference", "low",
    "high", "pvalue", "adjusted", "right_a", "right_b", "right_difference", "right_low",
    "right_high", "run_a", "run_b",
)  # fmt: skip
ANSWERS = (
    "exam", "factor", "contrasts", "shown", "n", "difference", "low", "high", "least",
    "most", "fixed", "a", "b", "lost_a", "lost_b", "right_a", "right_b",
)  # fmt: skip


class Cell(NamedTuple):
    """One run of a design: which model, under which effort, with which budget."""

    run: Run
    model: str
    effort: str
    budget: int


def crossed(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run of a design that crosses models with efforts or budgets.

    `run exam model effort budget label`: the condition ("default": no effort was told)
    and the model's label. `n lost lost_share low high`: replies, how many were lost to
    whatever cause, their share with Wilson's 95 % interval. `right`: of all n. `median
    longest`: completion tokens, those of a cut reply being the budget. `color marker`:
    the model's in every figure.

    >>> igaku.study.crossed("outputs")[["effort", "budget", "lost"]]  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    rows = [_row(cell, study.lang) for cells in _designs(study) for cell in cells]
    frame = pd.DataFrame(rows, columns=list(CROSSED))
    return frame.astype(dict.fromkeys(("median", "longest"), float))


def contrasts(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per simple contrast of a design: one factor changed, the others fixed.

    `factor`: model, effort or budget, changed from `a` to `b`; `fixed`: what the others
    are. `n`: questions that both runs were asked. `lost_a lost_b`: how many each lost,
    `difference low high`: b − a as a fraction with Tango's 95 % interval, each for
    itself; `pvalue adjusted`: McNemar's mid-p, and by Holm over the factor's contrasts.
    `right_a right_b right_difference right_low right_high`: the same of right answers.
    `run_a run_b`: the runs.

    >>> igaku.study.contrasts("outputs").query("factor == 'effort'")  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    rows = [row for cells in _designs(study) for row in _contrasts(cells, study.lang)]
    frame = pd.DataFrame(rows, columns=list(CONTRASTS))
    for _, part in frame.groupby(["exam", "factor"]):
        frame.loc[part.index, "adjusted"] = holm(part["pvalue"].to_numpy(float))
    numbers = [n for n in CONTRASTS if n.endswith(("difference", "low", "high"))]
    return frame.astype(dict.fromkeys([*numbers, "pvalue", "adjusted"], float))


def answers(found: pd.DataFrame, level: float) -> pd.DataFrame:
    """What `contrasts` say of each factor: a row, with its widest contrast in it.

    `contrasts shown`: how many there are, and in how many a difference of the lost
    replies is shown (Holm, at the two-sided `level`). `n fixed a b lost_a lost_b
    difference low high right_a right_b`: the widest. `least most`: the outermost limits
    of all of them, between which every single one lies.
    """
    rows = []
    for (exam, factor), part in found.groupby(["exam", "factor"], sort=False):
        widest = part.loc[part["difference"].abs().idxmax()]
        shown = int((part["adjusted"] < level).sum())
        told = {"exam": exam, "factor": factor, "contrasts": len(part), "shown": shown}
        limits = {"least": part["low"].min(), "most": part["high"].max()}
        rows.append({**widest, **told, **limits})
    return pd.DataFrame(rows, columns=list(ANSWERS))


# --- which runs are a design ----------------------------------------------------------


def _designs(study: Study) -> list[list[Cell]]:
    """The cells of each design, as ordered by model, effort and budget."""
    return study.once(_found)


def _found(study: Study) -> list[list[Cell]]:
    groups: dict[Any, dict[tuple[str, str, int], Cell]] = {}
    # A copy stays: that two quantizations reply alike may be the finding.
    wrong = {name for name, first in wrong_runs(study).items() if first is None}
    for run in study.variants:
        cell = None if run.name in wrong else _cell(run)
        if cell:
            cells = groups.setdefault(_held(run), {})
            place = cell[1:]
            if place not in cells or run.asked > cells[place].run.asked:
                cells[place] = cell
    return [_ordered([*cells.values()]) for cells in groups.values() if _is_one(cells)]


def _cell(run: Run) -> Cell | None:
    """A run's place in a design; None where its effort or budget is not on record."""
    if run.origin == "recorded" or run.budget is None or not run.asked:
        return None
    effort = run.settings.get("reasoning_effort") or DEFAULT
    model = run.settings.get("slug") or run.model or run.name
    return Cell(run, str(model), str(effort), run.budget)


def _held(run: Run) -> tuple[Any, ...]:
    """What the runs of one design share: exam, questions, all but effort and budget."""
    rows = run.rows if run.plan is None else run.plan
    factors = ("reasoning_effort", "max_tokens")
    fixed = [repr(condition(run)[name]) for name in HELD_FIXED if name not in factors]
    return (str(run.exam), frozenset(rows["problem_id"]), *fixed)


def _is_one(cells: Any) -> bool:
    """Whether some model was asked under more than one effort or budget."""
    return len({model for model, *_ in cells}) < len(cells)


def _ordered(cells: list[Cell]) -> list[Cell]:
    models = list(dict.fromkeys(cell.model for cell in cells))

    def place(cell: Cell) -> tuple[int, int, int]:
        known = cell.effort in EFFORTS
        effort = EFFORTS.index(cell.effort) if known else len(EFFORTS)
        return models.index(cell.model), effort, cell.budget

    return sorted(cells, key=place)


# --- as rows --------------------------------------------------------------------------


def _label(cell: Cell, lang: str) -> str:
    card = cell.run.card
    return str(card.get(f"label_{lang}") or card.get("label") or cell.model)


def _row(cell: Cell, lang: str) -> dict[str, Any]:
    rows, card = cell.run.rows, cell.run.card
    n, lost = len(rows), int(is_lost(rows).sum())
    share = proportion(lost, n)
    tokens = rows["completion_tokens"].dropna().astype(float)
    return {
        "run": cell.run.name, "exam": str(cell.run.exam), "model": cell.model,
        "effort": cell.effort, "budget": cell.budget, "label": _label(cell, lang),
        "n": n, "lost": lost, "lost_share": share.estimate, "low": share.low,
        "high": share.high, "right": correct(rows), "median": tokens.median(),
        "longest": tokens.max(), "color": card.get("color"),
        "marker": card.get("marker"),
    }  # fmt: skip


def _contrasts(cells: Sequence[Cell], lang: str) -> Iterator[dict[str, Any]]:
    for place, factor in enumerate(FACTORS, 1):
        for a, b in combinations(cells, 2):
            parts = [i for i in (1, 2, 3) if a[i] != b[i]]
            if parts == [place]:
                yield _contrast(factor, a, b, lang)


def _contrast(factor: str, a: Cell, b: Cell, lang: str) -> dict[str, Any]:
    levels = [
        {"model": _label(cell, lang), "effort": cell.effort, "budget": str(cell.budget)}
        for cell in (a, b)
    ]
    grid = grid_of([a.run, b.run])
    both = grid.asked.all(axis=0)
    lost, right = _paired(grid.lost[:, both]), _paired(grid.right[:, both])
    return {
        "exam": str(a.run.exam), "factor": factor,
        "fixed": tuple(levels[0][name] for name in FACTORS if name != factor),
        "a": levels[0][factor], "b": levels[1][factor], "n": int(both.sum()),
        "lost_a": lost["a"], "lost_b": lost["b"], "difference": lost["difference"],
        "low": lost["low"], "high": lost["high"], "pvalue": lost["pvalue"],
        "adjusted": np.nan,
        **{f"right_{n}": right[n] for n in ("a", "b", "difference", "low", "high")},
        "run_a": a.run.name, "run_b": b.run.name,
    }  # fmt: skip


def _paired(seen: np.ndarray) -> dict[str, Any]:
    """How often something is so in two runs, and b − a with interval and mid-p."""
    a, b = seen
    counts = [int(part.sum()) for part in (a & b, ~a & b, a & ~b, ~a & ~b)]
    told: dict[str, Any] = {"a": int(a.sum()), "b": int(b.sum())}
    if not len(a):
        return told | dict.fromkeys(("difference", "low", "high"), np.nan) | {"pvalue": 1.0}
    found = paired_difference(*counts)
    low, high = found.tango
    told |= {"difference": found.estimate, "low": low, "high": high}
    return told | {"pvalue": mcnemar(counts[1], counts[2]).midp}
