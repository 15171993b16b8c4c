"""Controlled comparisons: one factor changed, the others fixed, on the same questions.

A design crosses models with reasoning efforts, token budgets, or both. Its runs share
exam, questions and every other setting, so that a pair of them that parts in one factor
has one reason to part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from igaku.statistics import holm, mcnemar, paired_difference, proportion
from igaku.study.audits import wrong_runs
from igaku.study.designs import EFFORTS, FACTORS, Cell, designs, sitting_of
from igaku.study.families import Source, Study, card_label, study_in
from igaku.study.grids import grid_of
from igaku.study.scoring import correct, is_lost

CROSSED = (
    "design", "run", "exam", *FACTORS, "label", "n", "lost", "lost_share", "low",
    "high", "right", "median", "longest", "color", "marker",
)  # fmt: skip
CONTRASTS = (
    "design", "exam", "factor", "fixed", "a", "b", "n", "lost_a", "lost_b",
    "difference", "low", "high", "pvalue", "adjusted", "right_a", "right_b",
    "right_difference", "right_low", "right_high", "right_pvalue", "right_adjusted",
    "run_a", "run_b",
)  # fmt: skip
DECIDED = (
    "design", "exam", "factor", "a", "b", "measure", "contrasts", "shown", "n", "fixed",
    "before", "after", "difference", "low", "high", "least", "most", "right_before",
    "right_after",
)  # fmt: skip
MEASURES = {"lost": "", "right": "right_"}  # and the columns that are of it


def crossed(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run of a design that crosses models with efforts or budgets.

    `design`: its number, the largest being 1. `run exam model effort budget label`: the
    condition ("default": no effort was told) and the model's label. `n lost lost_share
    low high`: replies, how many were lost to whatever cause, their share with Wilson's
    95 % interval. `right`: of all n. `median longest`: completion tokens, those of a
    cut reply being the budget. `color marker`: the model's in every figure.

    >>> igaku.study.crossed("outputs")[["effort", "budget", "lost"]]  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    rows = [
        {"design": number, **_row(cell, study.lang)}
        for number, cells in enumerate(study.once(_designs), 1)
        for cell in cells
    ]
    frame = pd.DataFrame(rows, columns=list(CROSSED))
    return frame.astype(dict.fromkeys(("median", "longest"), float))


def contrasts(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per simple contrast of a design: one factor changed, the others fixed.

    `design exam`: see `crossed`. `factor`: model, effort or budget, changed from `a` to
    `b`; `fixed`: what the others are. `n`: questions that both runs were asked. `lost_a
    lost_b`: how many each lost; `difference low high`: b − a as a fraction with Tango's
    95 % interval, each for itself; `pvalue adjusted`: McNemar's mid-p, and by Holm over
    all contrasts of the factor. `right_a right_b right_difference right_low right_high
    right_pvalue right_adjusted`: the same of right answers. `run_a run_b`: the runs.

    >>> igaku.study.contrasts("outputs").query("factor == 'effort'")  # doctest: +SKIP
    """
    return study_in(outputs_dir).once(_contrasted).copy()


def _contrasted(study: Study) -> pd.DataFrame:
    rows = [
        {"design": number, **row}
        for number, cells in enumerate(study.once(_designs), 1)
        for row in _contrasts(cells, study.lang)
    ]
    frame = pd.DataFrame(rows, columns=list(CONTRASTS))
    for prefix in MEASURES.values():
        p = frame[f"{prefix}pvalue"].astype(float)
        alike = p.groupby([frame["design"], frame["factor"]])
        frame[f"{prefix}adjusted"] = alike.transform(lambda part: holm(part.to_numpy()))
    ends = ("difference", "low", "high", "pvalue", "adjusted")
    return frame.astype({n: float for n in CONTRASTS if n.endswith(ends)})


def decided(outputs_dir: Source = None) -> pd.DataFrame:
    """What the contrasts of a design say of each change, the others' levels together.

    `design exam factor a b`: the change; `measure`: lost or right. `contrasts shown`:
    in how many conditions it was made, and in how many of them a difference is shown
    (Holm, at the study's level). `n fixed before after difference low high`: the widest
    of them. `least most`: the outermost limits of all of them. `right_before
    right_after`: right answers in the condition of the widest.

    >>> igaku.study.decided("outputs").query("measure == 'lost'")  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    keys = ["design", "exam", "factor", "a", "b"]
    rows = [
        dict(zip(keys, key, strict=True)) | _widest(part, measure, study.level)
        for key, part in contrasts(study).groupby(keys, sort=False)
        for measure in MEASURES
    ]
    return pd.DataFrame(rows, columns=list(DECIDED))


def _widest(part: pd.DataFrame, measure: str, level: float) -> dict[str, Any]:
    """The widest contrast of a change, how many show one, and the outermost limits."""
    prefix = MEASURES[measure]
    widest = part.iloc[int(part[f"{prefix}difference"].abs().to_numpy().argmax())]
    ends = ("difference", "low", "high")
    return {
        "measure": measure, "contrasts": len(part), "n": int(widest["n"]),
        "shown": int((part[f"{prefix}adjusted"] < level).sum()),
        "fixed": widest["fixed"], "before": int(widest[f"{measure}_a"]),
        "after": int(widest[f"{measure}_b"]),
        **{name: widest[f"{prefix}{name}"] for name in ends},
        "right_before": int(widest["right_a"]), "right_after": int(widest["right_b"]),
        "least": part[f"{prefix}low"].min(), "most": part[f"{prefix}high"].max(),
    }  # fmt: skip


# --- which runs are a design ----------------------------------------------------------


def _designs(study: Study) -> list[list[Cell]]:
    """The cells of each design, in the order of models, efforts and budgets."""
    # A copy stays: that two quantizations reply alike may be the finding.
    wrong = {name for name, first in wrong_runs(study).items() if first is None}
    sound = [sitting_of(run, {}) for run in study.variants if run.name not in wrong]
    return sorted(map(_ordered, designs(sound)), key=len, reverse=True)


def _ordered(cells: Sequence[Cell]) -> list[Cell]:
    """One run a cell, the one with most replies, the lowest levels first."""
    models = list(dict.fromkeys(cell.model for cell in cells))
    most: dict[Any, Cell] = {}
    for cell in sorted(cells, key=lambda cell: -cell.run.asked):
        most.setdefault(cell[:3], cell)
    places = {effort: place for place, effort in enumerate(EFFORTS)}
    return sorted(
        most.values(),
        key=lambda cell: (
            models.index(cell.model), places.get(cell.effort, len(places)), cell.budget,
        ),
    )  # fmt: skip


# --- as rows --------------------------------------------------------------------------


def _label(cell: Cell, lang: str) -> str:
    return card_label(cell.run, lang) or cell.model


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
    for place, factor in enumerate(FACTORS):
        for a, b in combinations(cells, 2):
            parts = [i for i in range(len(FACTORS)) if a[i] != b[i]]
            if parts == [place]:
                yield _contrast(factor, a, b, lang)


def _contrast(factor: str, a: Cell, b: Cell, lang: str) -> dict[str, Any]:
    levels = [
        {"model": _label(cell, lang), "effort": cell.effort, "budget": str(cell.budget)}
        for cell in (a, b)
    ]
    grid = grid_of([a.run, b.run])
    both = grid.asked.all(axis=0)
    return {
        "exam": str(a.run.exam), "factor": factor,
        "fixed": tuple(levels[0][name] for name in FACTORS if name != factor),
        "a": levels[0][factor], "b": levels[1][factor], "n": int(both.sum()),
        "run_a": a.run.name, "run_b": b.run.name,
        **_paired("lost", *grid.lost[:, both]),
        **_paired("right", *grid.right[:, both]),
    }  # fmt: skip


def _paired(measure: str, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """How often something is so in two runs, and b − a with interval and mid-p."""
    told: dict[str, Any] = {f"{measure}_a": int(a.sum()), f"{measure}_b": int(b.sum())}
    difference, low, high, pvalue = np.nan, np.nan, np.nan, 1.0
    if len(a):
        counts = [int(part.sum()) for part in (a & b, ~a & b, a & ~b, ~a & ~b)]
        found = paired_difference(*counts)
        difference, (low, high) = found.estimate, found.tango
        pvalue = mcnemar(counts[1], counts[2]).midp
    tested = {"difference": difference, "low": low, "high": high, "pvalue": pvalue}
    return told | {f"{MEASURES[measure]}{name}": x for name, x in tested.items()}
