"""Walls: the times at which blank replies pile up, one for each budget and speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from igaku.study.families import Study

NEAR = 1.05  # times a wall's own time: replies within this factor stand at it
FEWEST = 5
SHARE = 0.2  # of a run's blank replies, below which a pile is none

WALLS = ("run", "max_tokens", "seconds", "replies", "blank", "tokens_per_second")


def walls_frame(study: Study) -> pd.DataFrame:
    """One row a wall; see `igaku.walls`."""
    import pandas as pd

    rows = []
    for run in study.runs:
        blank = run.rows["blank"].fillna(False).astype(bool)
        seconds = run.rows.loc[blank, "seconds"].dropna().astype(float)
        for found in piles(seconds):
            middle = float(found.median())
            speed = run.budget / middle if run.budget else None
            rows.append(
                (run.name, run.budget, middle, len(found), int(blank.sum()), speed)
            )
    return pd.DataFrame(rows, columns=list(WALLS))


def piles(seconds: pd.Series) -> list[pd.Series]:
    """Times in piles, each within a factor of its middle, the largest pile first."""
    fewest, left, found = max(FEWEST, SHARE * len(seconds)), seconds, []
    while len(left) >= fewest:
        near = [left[(left >= t / NEAR) & (left <= t * NEAR)] for t in left]
        most = max(near, key=len)
        if len(most) < fewest:
            break
        found.append(most)
        left = left.drop(most.index)
    return sorted(found, key=lambda pile: float(pile.median()))
