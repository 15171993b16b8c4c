"""Walls: the times at which blank replies pile up, one for each budget and speed.

A cap of the length ends replies at one time as long as the speed is one. That a wall is
the budget is inferred from timing, never counted.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from igaku.study.families import Source, study_in
from igaku.study.scoring import blank

NEAR = 1.05  # times a wall's own time: replies within this factor stand at it
FEWEST = 5
SHARE = 0.2  # of a run's blank replies, below which a pile is none

WALLS = ("run", "max_tokens", "seconds", "replies", "blank", "tokens_per_second")


def walls(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per wall: a time at which many blank replies of a run ended.

    `run max_tokens`: the run and its token budget. `seconds`: the median time of the
    `replies` blank ones within 5 % of it, of `blank` in all. `tokens_per_second`: the
    speed at which the wall would be the budget: inferred, not counted.

    >>> igaku.walls("outputs")  # doctest: +SKIP
    """
    rows = []
    for run in study_in(outputs_dir).runs:
        silent = blank(run.rows)
        for pile in piles(run.rows.loc[silent, "seconds"]):
            middle, n = float(pile.median()), int(silent.sum())
            speed = run.budget / middle if run.budget else None
            rows.append((run.name, run.budget, middle, len(pile), n, speed))
    frame = pd.DataFrame(rows, columns=list(WALLS))
    whole = dict.fromkeys(("max_tokens", "replies", "blank"), "Int64")
    return frame.astype(whole | {"seconds": float, "tokens_per_second": float})


def piles(seconds: pd.Series) -> list[pd.Series]:
    """Times in piles, each within a factor of its median, from the shortest on.

    >>> import pandas as pd
    >>> times = pd.Series([7.5, 7.6, 7.6, 7.7, 7.8, 1.0, 15.2])
    >>> [pile.tolist() for pile in piles(times)]
    [[7.5, 7.6, 7.6, 7.7, 7.8]]
    """
    left = seconds.dropna().astype(float).sort_values()
    fewest, found = max(FEWEST, SHARE * len(left)), []
    while len(left) >= fewest:
        times = left.to_numpy()
        first = np.searchsorted(times, times / NEAR, "left")
        last = np.searchsorted(times, times * NEAR, "right")
        most = int((last - first).argmax())
        most_alike = left.iloc[first[most] : last[most]]
        middle = float(most_alike.median())
        pile = most_alike[most_alike.between(middle / NEAR, middle * NEAR)]
        if len(pile) < fewest:
            break
        found.append(pile)
        left = left.drop(pile.index)
    return sorted(found, key=lambda pile: float(pile.median()))
