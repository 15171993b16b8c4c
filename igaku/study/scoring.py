"""Scores of the runs: the 75 % line, the counts behind it, and what others printed.

A question that was not asked is never counted as a wrong answer, and what could not be
counted is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from igaku.exam.igakuqa import SECTIONS
from igaku.statistics import proportion
from igaku.study.families import Source, named, stacked, study_in
from igaku.study.runs import Run, status
from igaku.words import CAUSES, PASS_MARK

SECTION = (
    "run", "label", "section", "planned", "asked", "right", "accuracy", "low", "high",
    "blank", "api_error",
)  # fmt: skip
MEASURES = ("correct", "accuracy", "blank", "api_errors")
PUBLISHED = ("run", "section", "measure", "published", "counted", "agrees")


def verdict(run: Run) -> str | None:
    """PASS or FAIL at the 75 % line; None unless the whole exam was sat.

    A part of the exam, an unfinished or broken run and the lab's exam get no verdict.
    """
    is_sat = run.is_whole_exam and run.is_complete and not run.is_lab
    if not is_sat or status(run).name != "OK":
        return None
    return "FAIL" if points_short(run) else "PASS"


def points_short(run: Run) -> int:
    """Questions missing to the 75 % line of the questions asked; 0 when reached.

    >>> 0.75 * 400 - 286
    14.0
    """
    return max(0, math.ceil(PASS_MARK * run.asked) - correct(run.rows))


def blank(rows: pd.DataFrame) -> pd.Series:
    """Which replies are 空回答: the server answered, and the text of it is blank."""
    return rows["blank"].fillna(False).astype(bool)


def is_lost(rows: pd.DataFrame) -> pd.Series:
    """Which replies are lost: cut, empty or failed."""
    return rows["outcome"].isin(list(CAUSES))


def correct(rows: pd.DataFrame) -> int:
    """The number of right answers; a reply that could not be graded is not one."""
    return int(rows["correct"].fillna(False).sum())


def with_share(counts: pd.DataFrame, of: str) -> pd.DataFrame:
    """Counts with the share that is right, and Wilson's 95 % limits.

    They are missing where nothing was counted.

    >>> import pandas as pd
    >>> told = with_share(pd.DataFrame({"right": [286], "n": [400]}), "n")
    >>> told[["accuracy", "low", "high"]].round(3).values.tolist()
    [[0.715, 0.669, 0.757]]
    """
    n = counts[of].to_numpy(float)
    found = proportion(counts["right"].to_numpy(float), n)
    shares = {"accuracy": found.estimate, "low": found.low, "high": found.high}
    return counts.assign(
        **{name: np.where(n > 0, share, np.nan) for name, share in shares.items()}
    )


def sections(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run and section A-F, also where nothing was asked.

    `run label section`; `planned asked right blank api_error`: questions (`planned` is
    missing where no manifest tells it). `accuracy low high`: right/asked with Wilson's
    95 % interval (fractions, missing where nothing was asked).
    """
    study = study_in(outputs_dir)
    counts = [(run, section_counts(run).reset_index()) for run in study.runs]
    parts = [
        with_share(each, "asked").assign(**named(study, run)) for run, each in counts
    ]
    return stacked(parts, SECTION)


def section_counts(run: Run) -> pd.DataFrame:
    """Per section A-F: questions planned and asked; right, blank and failed replies."""
    marks = run.rows[["section"]].assign(
        asked=1,
        right=run.rows["correct"].fillna(False).astype(int),
        blank=blank(run.rows).astype(int),
        api_error=(run.rows["outcome"] == "api_error").astype(int),
    )
    counts = marks.groupby("section").sum().reindex(list(SECTIONS), fill_value=0)
    planned = None
    if run.plan is not None:
        planned = run.plan["section"].value_counts().reindex(counts.index, fill_value=0)
    counts.insert(0, "planned", planned)
    return counts.astype("Int64")


# --- what others printed --------------------------------------------------------------


def published(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per figure printed elsewhere of a run, beside the one counted here.

    `run section measure`: A-F or total; correct, accuracy (percent), blank, api_errors.
    `published`: as printed, "60+" included; `counted`; `agrees`: missing where the
    section was not asked whole, or was asked with another budget.
    """
    rows = [row for run in study_in(outputs_dir).runs for row in _published(run)]
    frame = pd.DataFrame(rows, columns=list(PUBLISHED))
    return frame.astype({"agrees": "boolean", "counted": "Float64"})


def budget_published(run: Run) -> int | None:
    """The budget of which figures were published; None where the run's is no other."""
    told = re.search(r"max_tokens\s*=\s*(\d+)", str(run.published.get("condition")))
    if told is None or run.budget in (None, int(told[1])):
        return None
    return int(told[1])


def _published(run: Run) -> Iterator[tuple[Any, ...]]:
    """The printed figures of a run; "60+" is held to be 60."""
    figures = {**run.published["sections"], "total": run.published}
    if not any(set(MEASURES) & set(told) for told in figures.values()):
        return
    is_budget = budget_published(run) is None
    counts = section_counts(run)
    counts.loc["total"] = counts.sum(skipna=False)
    counts["accuracy"] = 100 * counts["right"] / counts["asked"]
    counts = counts.rename(columns={"right": "correct", "api_error": "api_errors"})
    for section, told in figures.items():
        row = counts.loc[section]
        is_whole = run.plan is not None and 0 < row["asked"] == row["planned"]
        for measure in MEASURES:
            if number := re.match(r"\d+(\.\d+)?", str(told.get(measure))):
                figure = row[measure] if row["asked"] else None
                is_like = figure is not None and abs(figure - float(number[0])) < 0.0501
                agrees = is_like if is_whole and is_budget else None
                yield run.name, section, measure, told[measure], figure, agrees
