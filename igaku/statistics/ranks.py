"""Two groups compared by rank: which comes first, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEXT = 1e-9  # to 0 and 1, which are limits of themselves


@dataclass(frozen=True)
class Precedence:
    """The chance that a value of one group comes before one of another; ties half.

    0.5 is no connection. `low high` are Newcombe's limits, which hold their width where
    the groups part wholly; `pvalue` is Mann and Whitney's, two-sided; `n others` are
    the sizes. All but the sizes are nan where a group is empty.
    """

    estimate: float
    low: float
    high: float
    pvalue: float
    n: int
    others: int


def precedence(
    values: Sequence[float] | np.ndarray,
    others: Sequence[float] | np.ndarray,
    confidence: float = 0.95,
) -> Precedence:
    """How often a value comes before one of the others, with its interval.

    >>> told = precedence([1, 2, 3], [4, 5, 6, 7])
    >>> told.estimate, round(told.low, 2), told.high
    (1.0, 0.54, 1.0)
    """
    from scipy.stats import mannwhitneyu, norm

    a, b = np.asarray(values, dtype=float), np.asarray(others, dtype=float)
    if not len(a) or not len(b):
        return Precedence(math.nan, math.nan, math.nan, math.nan, len(a), len(b))
    test = mannwhitneyu(b, a)  # its U counts the pairs in which b is larger
    share = float(test.statistic) / (len(a) * len(b))
    low, high = _limits(share, len(a), len(b), float(norm.ppf((1 + confidence) / 2)))
    return Precedence(share, low, high, float(test.pvalue), len(a), len(b))


def _limits(share: float, n: int, m: int, z: float) -> tuple[float, float]:
    """Newcombe's method 5 (2006): where the share is z errors of that limit away."""
    from scipy.optimize import brentq

    def beyond(limit: float) -> float:
        spread = (1 - limit) / (2 - limit) + limit / (1 + limit)
        variance = limit * (1 - limit) * (1 + ((n + m) / 2 - 1) * spread) / (n * m)
        return float((share - limit) ** 2 - z * z * variance)

    low = 0.0 if share == 0 else float(brentq(beyond, 0, min(share, 1 - NEXT)))
    high = 1.0 if share == 1 else float(brentq(beyond, max(share, NEXT), 1))
    return low, high
