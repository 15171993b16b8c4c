"""Paired statistics for two models that answered the same questions.

A paired table has four counts: `both` right, right in `only_a`, right in `only_b`,
`neither`. A is the reference, B the candidate; differences are A − B, as fractions, so
a positive difference means that B is worse. The test is McNemar's mid-p (Fagerland,
Lydersen & Laake 2013, BMC Med Res Methodol 13:91), the interval Tango's score interval
(1998, Stat Med 17:891), with Newcombe's method 10 (1998, Stat Med 17:2635) beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.optimize import brentq
from scipy.stats import binom, binomtest, norm

from igaku.errors import IgakuError

Interval = tuple[float, float]


@dataclass(frozen=True)
class Proportion:
    """A share with its Wilson interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class McNemar:
    """p-values of the hypothesis that flips go either way equally often."""

    midp: float
    exact: float


@dataclass(frozen=True)
class PairedDifference:
    """The difference A − B of two paired shares, with both its intervals."""

    estimate: float
    tango: Interval
    newcombe: Interval


@dataclass(frozen=True)
class CochranQ:
    """Cochran's Q statistic, its degrees of freedom and its chi-squared p-value."""

    statistic: float | None
    df: int
    pvalue: float


def proportion(k: int, n: int, confidence: float = 0.95) -> Proportion:
    """The share k/n with its Wilson score interval; n = 0 knows nothing: 0 to 1.

    >>> p = proportion(15, 148)
    >>> round(p.low, 4), round(p.high, 4)
    (0.0624, 0.1605)
    """
    _counts(k, n - k)
    _confidence(confidence)
    if n == 0:
        return Proportion(math.nan, 0.0, 1.0)
    limits = binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Proportion(k / n, float(limits.low), float(limits.high))


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """Mid-p and exact McNemar p from the two discordant counts; 1 when there are none.

    mid-p = exact p − the probability of the observed split; at a tie, 1 − half of it.

    >>> round(mcnemar(1, 7).midp, 4), round(mcnemar(1, 7).exact, 4)
    (0.0391, 0.0703)
    >>> mcnemar(0, 0)
    McNemar(midp=1.0, exact=1.0)
    """
    _counts(only_a, only_b)
    flips = only_a + only_b
    if flips == 0:
        return McNemar(1.0, 1.0)
    fewer = min(only_a, only_b)
    point = float(binom.pmf(fewer, flips, 0.5))
    exact = min(1.0, 2 * float(binom.cdf(fewer, flips, 0.5)))
    midp = 1 - point / 2 if only_a == only_b else exact - point
    return McNemar(midp, exact)


def paired_difference(
    both: int, only_a: int, only_b: int, neither: int, confidence: float = 0.95
) -> PairedDifference:
    """The difference of two paired shares with Tango's and Newcombe's intervals.

    >>> d = paired_difference(59, 6, 16, 80)
    >>> [round(x, 4) for x in (*d.tango, *d.newcombe)]
    [-0.124, -0.0054, -0.1186, -0.0046]
    """
    n = _counts(both, only_a, only_b, neither)
    _confidence(confidence)
    if n == 0:
        raise IgakuError("A paired difference needs at least one shared question.")
    z = float(norm.ppf(0.5 + confidence / 2))
    return PairedDifference(
        estimate=(only_a - only_b) / n,
        tango=_tango(only_a, only_b, n, z),
        newcombe=_newcombe(both, only_a, only_b, neither, z),
    )


def noninferiority(
    both: int, only_a: int, only_b: int, neither: int, margin: float
) -> float:
    """One-sided p of H0: B is worse than A by `margin` or more (Tango's score test).

    >>> round(noninferiority(274, 12, 10, 104, 0.025), 3)
    0.054
    """
    n = _counts(both, only_a, only_b, neither)
    _margin(margin)
    return float(norm.cdf(_tango_z(only_a, only_b, n, margin)))


def equivalence(
    both: int, only_a: int, only_b: int, neither: int, margin: float
) -> float:
    """The p of two one-sided tests (TOST) that A and B differ by less than `margin`."""
    worse = noninferiority(both, only_a, only_b, neither, margin)
    better = noninferiority(both, only_b, only_a, neither, margin)
    return max(worse, better)


def cochran_q(matrix: Sequence[Sequence[int]]) -> CochranQ:
    """Cochran's Q of k paired 0/1 columns (rows: questions); p = 1 when no row varies.

    Q = (k−1) (k ΣC² − T²) / (kT − ΣR²) with column sums C, row sums R and total T
    (Cochran 1950, Biometrika 37:256).
    """
    import numpy as np
    from scipy.stats import chi2

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
        return CochranQ(None, k - 1, 1.0)
    q = float((k - 1) * (k * (columns**2).sum() - total**2) / spread)
    return CochranQ(q, k - 1, float(chi2.sf(q, k - 1)))


def detectable_difference(
    n: int, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true difference that n questions show with this power.

    Inverts Connor's sample size (1987, Biometrics 43:207) for the share of flips
    `discordance`; nan when even all flips one way would not be seen.

    >>> round(detectable_difference(400, 0.055), 4)
    0.0328
    """
    if discordance <= 0 or _connor(discordance, discordance, power, alpha) > n:
        return math.nan

    def excess(difference: float) -> float:
        return _connor(difference, discordance, power, alpha) - n

    return float(brentq(excess, 1e-9, discordance))


def required_questions(
    difference: float, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many questions show a true `difference` with this power (Connor 1987).

    >>> required_questions(0.005, 0.055)
    17266
    """
    return math.ceil(_connor(difference, discordance, power, alpha))


def _connor(difference: float, discordance: float, power: float, alpha: float) -> float:
    if not 0 < difference <= discordance <= 1:
        raise IgakuError(
            f"A difference of {difference} needs a share of flips between it and 1; "
            f"got {discordance}."
        )
    z_alpha, z_power = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    rest = math.sqrt(discordance - difference**2)
    return (z_alpha * math.sqrt(discordance) + z_power * rest) ** 2 / difference**2


def _tango_z(only_a: int, only_b: int, n: int, delta: float) -> float:
    """Tango's score statistic for the difference `delta` (his equations 4–6)."""
    b, c = only_a, only_b
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = math.sqrt(max(0.0, linear**2 - 8 * n * constant))
    q = (root - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    distance = b - c - n * delta
    if variance <= 1e-12:
        return math.copysign(math.inf, distance) if abs(distance) > 1e-9 else 0.0
    return distance / math.sqrt(variance)


def _tango(only_a: int, only_b: int, n: int, z: float) -> Interval:
    estimate = (only_a - only_b) / n

    def limit(end: float, target: float) -> float:
        def gap(delta: float) -> float:
            return _tango_z(only_a, only_b, n, delta) - target

        return _root(gap, estimate, end)

    return limit(-1.0, z), limit(1.0, -z)


def _root(gap: Callable[[float], float], start: float, end: float) -> float:
    """The zero of `gap` between start and end; end itself when there is none inside."""
    inside = end * (1 - 1e-12)
    if start == end or gap(start) * gap(inside) > 0:
        return end
    return float(brentq(gap, start, inside, xtol=1e-13))


def _newcombe(both: int, only_a: int, only_b: int, neither: int, z: float) -> Interval:
    n = both + only_a + only_b + neither
    confidence = 2 * float(norm.cdf(z)) - 1
    a = proportion(both + only_a, n, confidence)
    b = proportion(both + only_b, n, confidence)
    phi = _newcombe_phi(both, only_a, only_b, neither)
    down_a, up_a = a.estimate - a.low, a.high - a.estimate
    down_b, up_b = b.estimate - b.low, b.high - b.estimate
    lower = math.sqrt(max(0.0, down_a**2 - 2 * phi * down_a * up_b + up_b**2))
    upper = math.sqrt(max(0.0, up_a**2 - 2 * phi * up_a * down_b + down_b**2))
    difference = (only_a - only_b) / n
    return difference - lower, difference + upper


def _newcombe_phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """The correlation with method 10's continuity correction of a positive one."""
    margins = (both + only_a) * (only_b + neither) * (both + only_b)
    margins *= only_a + neither
    if margins == 0:
        return 0.0
    n = both + only_a + only_b + neither
    product = both * neither - only_a * only_b
    if product > 0:
        product = max(product - n / 2, 0)  # type: ignore[assignment]
    return product / math.sqrt(margins)


def _counts(*counts: Any) -> int:
    if any(count < 0 or count != int(count) for count in counts):
        raise IgakuError(f"Counts must be whole and not negative; got {counts}.")
    return int(sum(counts))


def _confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise IgakuError(
            f"A confidence is a fraction between 0 and 1, such as 0.95; "
            f"got {confidence}."
        )


def _margin(margin: float) -> None:
    if not 0 < margin < 1:
        raise IgakuError(
            f"A margin is a fraction between 0 and 1, such as 0.025; got {margin}."
        )
