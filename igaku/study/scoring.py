"""Scores of a run: the 75 % line, and the counts behind it.

A question that was not asked is never counted as a wrong answer, and what could not be
counted is missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from igaku.exam.igakuqa import SECTIONS
from igaku.study.runs import Run, status
from igaku.words import CAUSES, PASS_MARK

if TYPE_CHECKING:
    import pandas as pd


def verdict(run: Run) -> str | None:
    """PASS or FAIL at the 75 % line; None unless the whole exam was sat.

    A part of the exam, an unfinished or broken run and the lab's exam get no verdict.
    """
    if run.is_lab or not (run.is_whole_exam and run.is_complete):
        return None
    if status(run).name != "OK":
        return None
    return "PASS" if correct(run.rows) >= PASS_MARK * run.asked else "FAIL"


def points_short(run: Run) -> int:
    """Questions missing to the 75 % line of the questions asked; 0 when reached.

    >>> 0.75 * 400 - 286
    14.0
    """
    return max(0, pass_line(run.asked) - correct(run.rows))


def pass_line(n: int) -> int:
    """How many right answers of n reach the pass mark.

    >>> pass_line(400), pass_line(75)
    (300, 57)
    """
    return math.ceil(PASS_MARK * n)


def blank(rows: pd.DataFrame) -> pd.Series:
    """Which replies are 空回答: the server answered, and the text of it is blank."""
    return rows["blank"].fillna(False).astype(bool)


def is_lost(rows: pd.DataFrame) -> pd.Series:
    """Which replies are lost: cut, empty or failed."""
    return rows["outcome"].isin(list(CAUSES))


def correct(rows: pd.DataFrame) -> int:
    """The number of right answers; a reply that could not be graded is not one."""
    return int(rows["correct"].fillna(False).sum())


def interval(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share k/n; (0, 1) for n = 0.

    >>> tuple(round(limit, 3) for limit in interval(286, 400))
    (0.669, 0.757)
    """
    from igaku.statistics import proportion

    found = proportion(k, n)
    return found.low, found.high


def with_share(counts: pd.DataFrame, of: str) -> pd.DataFrame:
    """Counts with the share that is right, and its 95 % limits; missing for n = 0."""
    import pandas as pd

    none, pairs = (None, None, None), zip(counts["right"], counts[of], strict=True)
    shares = [(k / n, *interval(int(k), int(n))) if n else none for k, n in pairs]
    names, told = ["accuracy", "low", "high"], counts.copy()
    told[names] = pd.DataFrame(shares, counts.index, names, dtype=float)
    return told


def section_counts(run: Run) -> pd.DataFrame:
    """Per section A-F: questions planned and asked; right, blank and failed replies.

    `planned` is missing where no manifest tells it; `asked` is then all that is known.
    """
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
