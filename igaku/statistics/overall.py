"""Cochran's Q: whether any of several models differs, on the questions they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from igaku.errors import IgakuError

MOVES = 500_000  # sums met on the way to an exact p: less than half a second


@dataclass(frozen=True)
class CochranQ:
    """Cochran's Q statistic, its degrees of freedom and its p-values.

    `pvalue` is that of chi-squared, too small where few questions part the models;
    `exact` is that of all permutations, None where there are too many to count.
    """

    statistic: float | None
    df: int
    pvalue: float
    exact: float | None


def cochran_q(matrix: Sequence[Sequence[int]] | np.ndarray) -> CochranQ:
    """Cochran's Q of k paired 0/1 columns (rows: questions); p = 1 when no row varies.

    Q = (k−1) (k ΣC² − T²) / (kT − ΣR²) with column sums C, row sums R and total T
    (Cochran 1950, Biometrika 37:256). Its exact p permutes the models within each
    question.

    >>> q = cochran_q([(1, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1)])
    >>> round(q.statistic, 2), round(q.pvalue, 3), round(q.exact, 3)
    (4.67, 0.097, 0.222)
    """
    from scipy.special import chdtrc

    table = np.asarray(matrix, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isin(table, (0, 1)).all():
        raise IgakuError(
            "Cochran's Q needs questions in rows, two models or more in columns, and "
            "1 for right or 0 for not."
        )
    k = table.shape[1]
    rows, columns, total = table.sum(1), table.sum(0), table.sum()
    spread = k * total - (rows**2).sum()
    if spread == 0:
        return CochranQ(None, k - 1, 1.0, 1.0)
    q = float((k - 1) * (k * (columns**2).sum() - total**2) / spread)
    return CochranQ(q, k - 1, float(chdtrc(k - 1, q)), _exact(table.astype(int)))


def _exact(table: np.ndarray) -> float | None:
    """The share of all permutations whose column sums lie as far apart, or farther.

    Question by question, over the column sums that can occur; their order does not
    count. None where more than `MOVES` of them would have to be looked at.
    """
    k, rows = table.shape[1], table.sum(1)
    varies = (rows > 0) & (rows < k)
    base = int(varies.sum()) + 1
    if base**k > 2**62:  # no whole number could name every sum
        return None
    sums, moves = np.zeros((1, k), dtype=int), 0
    chance: np.ndarray = np.ones(1)
    for right in np.sort(rows[varies]):
        # Every way in which so many of the models can be the ones that are right.
        steps = np.eye(k, dtype=int)[[*combinations(range(k), int(right))]].sum(1)
        if (moves := moves + len(sums) * len(steps)) > MOVES:
            return None
        new = np.sort((sums[:, None] + steps).reshape(-1, k), axis=1)
        codes = new @ base ** np.arange(k)
        _, first, place = np.unique(codes, return_index=True, return_inverse=True)
        chance = np.bincount(place, np.repeat(chance / len(steps), len(steps)))
        sums = new[first]
    seen = (table[varies].sum(0) ** 2).sum()
    return min(1.0, float(chance[(sums**2).sum(1) >= seen].sum()))
