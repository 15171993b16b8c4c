"""Paired statistics for two models that answered the same questions.

A paired table has four counts: `both` right, right in `only_a`, right in `only_b`,
`neither`. A is the reference, B the candidate; differences are A − B, as fractions, so
a positive difference means that B is worse. The test is McNemar's mid-p (Fagerland,
Lydersen & Laake 2013, BMC Med Res Methodol 13:91), the interval Tango's score interval
(1998, Stat Med 17:891), with Newcombe's method 10 (1998, Stat Med 17:2635) beside it.

Counts are whole numbers, or arrays with one for each pair; so are the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

from igaku.errors import IgakuError

Numbers = Any  # one number, or an array with one for each pair
Interval = tuple[Numbers, Numbers]

HALVINGS = 60  # of an interval no wider than 2: limits to 15 digits
UNLIKELY = 1e-12  # numbers of flips that are rarer than this add nothing to a power
# scipy, which takes longer to load than a run to be read, is left to what compares two.
quantile = NormalDist().inv_cdf


@dataclass(frozen=True)
class Proportion:
    """A share with its Wilson interval."""

    estimate: Numbers
    low: Numbers
    high: Numbers


@dataclass(frozen=True)
class McNemar:
    """p-values of the hypothesis that flips go either way equally often."""

    midp: Numbers
    exact: Numbers


@dataclass(frozen=True)
class PairedDifference:
    """The difference A − B of two paired shares, with both its intervals."""

    estimate: Numbers
    tango: Interval
    newcombe: Interval


@dataclass(frozen=True)
class ClusteredError:
    """Standard errors of a mean paired difference, with and without its clusters.

    `robust` is Miller's clustered error, `corrected` the same with the factor
    G / (G − 1) for few clusters; `low` and `high` are the normal 95 % limits of the
    mean by the corrected error. All but the mean and the number of clusters are nan
    where there is one question, or one cluster, only.
    """

    mean: Numbers
    clusters: Numbers
    naive: Numbers
    robust: Numbers
    corrected: Numbers
    low: Numbers
    high: Numbers


def proportion(k: Numbers, n: Numbers, confidence: float = 0.95) -> Proportion:
    """The share k/n with its Wilson score interval; n = 0 knows nothing: 0 to 1.

    >>> p = proportion(15, 148)
    >>> round(p.low, 4), round(p.high, 4)
    (0.0624, 0.1605)
    """
    right, wrong = _counted(k, np.subtract(n, k))
    _fraction("confidence", confidence)
    n = right + wrong
    none, of = n == 0, np.maximum(n, 1)
    low, high = _wilson(right, of, confidence)
    found = np.where(none, np.nan, right / of), np.where(none, 0.0, low)
    return Proportion(*_plain(*found, np.where(none, 1.0, high)))


def mcnemar(only_a: Numbers, only_b: Numbers) -> McNemar:
    """Mid-p and exact McNemar p from the two discordant counts; 1 when there are none.

    mid-p = exact p − the probability of the observed split; at a tie, 1 − half of it.

    >>> round(mcnemar(1, 7).midp, 4), round(mcnemar(1, 7).exact, 4)
    (0.0391, 0.0703)
    >>> mcnemar(0, 0)
    McNemar(midp=1.0, exact=1.0)
    """
    from scipy.stats import binom

    b, c = _counted(only_a, only_b)
    fewer, flips = np.minimum(b, c), b + c
    point = binom.pmf(fewer, flips, 0.5)
    exact = np.minimum(1.0, 2 * binom.cdf(fewer, flips, 0.5))
    midp = np.where(b == c, 1 - point / 2, exact - point)
    none = flips == 0
    return McNemar(*_plain(np.where(none, 1.0, midp), np.where(none, 1.0, exact)))


def paired_difference(
    both: Numbers,
    only_a: Numbers,
    only_b: Numbers,
    neither: Numbers,
    confidence: float = 0.95,
) -> PairedDifference:
    """The difference of two paired shares with Tango's and Newcombe's intervals.

    >>> d = paired_difference(59, 6, 16, 80)
    >>> [round(x, 4) for x in (*d.tango, *d.newcombe)]
    [-0.124, -0.0054, -0.1186, -0.0046]
    """
    a, b, c, d = _tables(both, only_a, only_b, neither)
    _fraction("confidence", confidence)
    n = a + b + c + d
    z = quantile(0.5 + confidence / 2)
    newcombe = _newcombe(a, b, c, d, confidence)
    e, low, high, *other = _plain((b - c) / n, *_tango(b, c, n, z), *newcombe)
    return PairedDifference(e, (low, high), (other[0], other[1]))


def noninferiority(
    both: Numbers, only_a: Numbers, only_b: Numbers, neither: Numbers, margin: float
) -> Numbers:
    """One-sided p of H0: B is worse than A by `margin` or more (Tango's score test).

    >>> round(noninferiority(274, 12, 10, 104, 0.025), 3)
    0.054
    """
    from scipy.special import ndtr

    a, b, c, d = _tables(both, only_a, only_b, neither)
    _fraction("margin", margin)
    return _plain(ndtr(_tango_z(b, c, a + b + c + d, margin)))[0]


def equivalence(
    both: Numbers, only_a: Numbers, only_b: Numbers, neither: Numbers, margin: float
) -> Numbers:
    """The p of two one-sided tests (TOST) that A and B differ by less than `margin`."""
    worse = noninferiority(both, only_a, only_b, neither, margin)
    better = noninferiority(both, only_b, only_a, neither, margin)
    return _plain(np.maximum(worse, better))[0]


def holm(pvalues: Sequence[float] | np.ndarray) -> list[float]:
    """P-values adjusted for one family by Holm (1979, Scand J Stat 6:65), in order.

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(pvalues, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted[np.argsort(order)]]


def clustered_error(
    differences: Sequence[float] | np.ndarray, clusters: Sequence[Any] | np.ndarray
) -> ClusteredError:
    """Standard errors of a mean difference whose questions come in clusters.

    With the deviations d of n questions from their mean, and their total D in each of G
    clusters: naive² = Σd² / n(n−1), robust² = naive² + Σ(D² − Σd²) / n² (Miller 2024,
    arXiv 2411.00640: the products of different questions of a cluster are added), and
    corrected² = G/(G−1) ΣD² / n². Clusters of one question each give the naive error.

    >>> error = clustered_error([1, 1, 0, -1], ["a", "a", "b", "c"])
    >>> round(error.naive, 4), round(error.robust, 4), round(error.corrected, 4)
    (0.4787, 0.5472, 0.6027)
    """
    values = np.asarray(differences, dtype=float)
    if not len(values) or len(values) != len(clusters):
        raise IgakuError(
            f"A clustered error needs one cluster for each difference, and some; got "
            f"{len(values)} and {len(clusters)}."
        )
    _, group = np.unique(np.asarray(clusters), return_inverse=True)
    sums, sizes = np.bincount(group, values), np.bincount(group)
    products = (sums @ sums, sums @ sizes, sizes @ sizes)
    n, total, squares = len(values), values.sum(), values @ values
    return clustered_sums(n, total, squares, len(sizes), products)


def clustered_sums(
    n: Numbers, total: Numbers, squares: Numbers, clusters: Numbers, products: Numbers
) -> ClusteredError:
    """`clustered_error` from sums, for many pairs at once.

    Of n differences v: `total` Σv and `squares` Σv²; of clusters of m questions with
    the sum s: `products` Σs², Σsm and Σm².

    >>> round(clustered_sums(4, 1, 3, 3, (5, 3, 6)).corrected, 4)  # the example above
    0.6027
    """
    between, crossed, sizes = products
    n, clusters = np.asarray(n, dtype=float), np.asarray(clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        spread = np.maximum(squares - n * mean**2, 0.0)
        deviation = np.maximum(between - 2 * mean * crossed + mean**2 * sizes, 0.0)
        naive = np.sqrt(spread / (n * (n - 1)))
        robust = np.sqrt(np.maximum(naive**2 + (deviation - spread) / n**2, 0.0))
        corrected = np.sqrt(clusters / (clusters - 1) * deviation) / n
    robust, corrected = (
        np.where(clusters > 1, error, np.nan) for error in (robust, corrected)
    )
    reach = quantile(0.975) * corrected
    errors = _plain(mean, naive, robust, corrected, mean - reach, mean + reach)
    told = int(clusters) if clusters.ndim == 0 else clusters
    return ClusteredError(errors[0], told, *errors[1:])


def detectable_difference(
    n: int, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true difference that n questions show with this power.

    Inverts Connor's sample size (1987, Biometrics 43:207) for the share of flips
    `discordance`; nan when even all flips one way would not be seen.

    >>> round(detectable_difference(400, 0.055), 4)
    0.0328
    """
    from scipy.optimize import brentq

    if discordance <= 0 or _connor(discordance, discordance, power, alpha) > n:
        return math.nan
    told = (discordance, power, alpha)
    return float(brentq(lambda d: _connor(d, *told) - n, 1e-9, discordance))


def required_questions(
    difference: float, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> int:
    """How many questions show a true `difference` with this power (Connor 1987).

    >>> required_questions(0.005, 0.055)
    17266
    """
    return math.ceil(_connor(difference, discordance, power, alpha))


def flip_budget(net: int, n: int, margin: float, alpha: float = 0.025) -> int | None:
    """The most flips with which "B is not worse by `margin`" would still be shown.

    `net` = only_a − only_b is held fixed, and flips are added in pairs that cancel; the
    test is Tango's, one-sided. None: not shown even with the fewest flips there can be.

    >>> flip_budget(2, 400, 0.025), flip_budget(2, 400, 0.05), flip_budget(2, 400, 0.01)
    (12, 80, None)
    """
    if abs(net) > n or n < 1:
        raise IgakuError(f"A net difference of {net} needs more than {n} questions.")
    flips = np.arange(abs(net), n + 1, 2)
    only_a = (flips + net) // 2
    p = noninferiority(n - flips, only_a, flips - only_a, 0 * flips, margin)
    fails = np.flatnonzero(p >= alpha)
    shown = len(flips) if not len(fails) else int(fails[0])
    return int(flips[shown - 1]) if shown else None


def mcnemar_power(
    n: int, discordance: float, difference: float, alpha: float = 0.05
) -> float:
    """The chance that the mid-p test notices a true `difference`, exactly.

    Flips are binomial with the share `discordance`, and go against B with the share
    (discordance + difference) / (2 discordance); all splits are enumerated.

    >>> round(mcnemar_power(400, 0.055, 0.005), 3)
    0.064
    """
    _, _, midp, weight = _splits(n, discordance, difference)
    return float(weight[midp < alpha].sum())


def noninferiority_power(
    n: int,
    discordance: float,
    margin: float,
    difference: float = 0.0,
    alpha: float = 0.025,
) -> float:
    """The chance to show that B is not worse by `margin`, exactly; see `mcnemar_power`.

    >>> round(noninferiority_power(400, 0.055, 0.025), 3)
    0.525
    """
    flips, against, _, weight = _splits(n, discordance, difference)
    p = noninferiority(n - flips, against, flips - against, 0 * flips, margin)
    return float(weight[p < alpha].sum())


def _splits(n: int, discordance: float, difference: float) -> tuple[np.ndarray, ...]:
    """Every number of flips, every split of it, its mid-p, and how probable it is."""
    from scipy.stats import binom

    _discordant(-discordance, difference, discordance)
    flips, against, midp, share = _flips(n, discordance)
    tilt = (discordance + difference) / (2 * discordance)
    return flips, against, midp, share * binom.pmf(against, flips, tilt)


@lru_cache(maxsize=8)  # they are those of every difference on a curve
def _flips(n: int, discordance: float) -> tuple[np.ndarray, ...]:
    """The same, but how probable a number of flips alone is."""
    from scipy.stats import binom

    share = binom.pmf(range(n + 1), n, discordance)
    numbers = np.flatnonzero(share > UNLIKELY)
    flips = np.repeat(numbers, numbers + 1)
    against = np.concatenate([np.arange(number + 1) for number in numbers])
    return flips, against, mcnemar(against, flips - against).midp, share[flips]


def _connor(difference: float, discordance: float, power: float, alpha: float) -> float:
    _discordant(1e-12, difference, discordance)
    z_alpha, z_power = quantile(1 - alpha / 2), quantile(power)
    rest = math.sqrt(discordance - difference**2)
    return (z_alpha * math.sqrt(discordance) + z_power * rest) ** 2 / difference**2


def _tango_z(b: np.ndarray, c: np.ndarray, n: np.ndarray, delta: Numbers) -> np.ndarray:
    """Tango's score statistic for the difference `delta` (his equations 4–6)."""
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    root = np.sqrt(np.maximum(0.0, linear**2 - 8 * n * constant))
    q = (root - linear) / (4 * n)
    variance = n * (2 * q + delta * (1 - delta))
    distance = b - c - n * delta
    is_flat = variance <= 1e-12
    far = np.where(np.abs(distance) > 1e-9, np.copysign(np.inf, distance), 0.0)
    return np.where(is_flat, far, distance / np.sqrt(np.where(is_flat, 1.0, variance)))


def _tango(b: np.ndarray, c: np.ndarray, n: np.ndarray, z: float) -> Interval:
    """Where the statistic is z and −z; it falls as delta rises, so halving finds both.

    The end of the scale, −1 or 1, where it is not reached inside. The limits depend on
    b, c and n alone, which many pairs share: each table is solved once.
    """
    tables = np.stack([v.ravel() for v in np.broadcast_arrays(b, c, n)])
    told, place = np.unique(tables, axis=1, return_inverse=True)
    estimate, end = (told[0] - told[1]) / told[2], np.ones(told.shape[1])
    low = _halved(told, -end, estimate, z)[1]
    high = _halved(told, estimate, end, -z)[0]
    return low[place].reshape(n.shape), high[place].reshape(n.shape)


def _halved(told: np.ndarray, low: Numbers, high: Numbers, target: float) -> Interval:
    """The two floats between which Tango's statistic is `target`."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        is_above = _tango_z(told[0], told[1], told[2], middle) > target
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return low, high


def _newcombe(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray, confidence: float
) -> Interval:
    """Newcombe's method 10: Wilson's limits of both margins, and their correlation.

    A positive correlation is corrected for continuity.
    """
    n, reach = a + b + c + d, []
    for k in (a + b, a + c):
        low, high = _wilson(k, n, confidence)
        reach += [k / n - low, high - k / n]
    down_a, up_a, down_b, up_b = reach
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    product = a * d - b * c
    product = np.where(product > 0, np.maximum(product - n / 2, 0), product)
    phi = np.where(margins == 0, 0, product / np.sqrt(np.maximum(margins, 1)))
    lower = down_a**2 - 2 * phi * down_a * up_b + up_b**2
    upper = up_a**2 - 2 * phi * up_a * down_b + down_b**2
    lower, upper = (np.sqrt(np.maximum(0.0, square)) for square in (lower, upper))
    return (b - c) / n - lower, (b - c) / n + upper


def _wilson(k: Numbers, n: Numbers, confidence: float) -> Interval:
    """Where a share is z of its own errors away from k/n (Wilson 1927, JASA 22:209)."""
    z = quantile((1 + confidence) / 2)
    square, share = z**2, k / n
    middle = share + square / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + square / (4 * n**2))
    low, high = ((middle + x) / (1 + square / n) for x in (-reach, reach))
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)  # without a trace


def _tables(*counts: Numbers) -> list[np.ndarray]:
    """The four counts of paired tables, none of which is empty."""
    if np.any(sum(arrays := _counted(*counts)) == 0):
        raise IgakuError("A paired difference needs at least one shared question.")
    return arrays


def _counted(*counts: Numbers) -> list[np.ndarray]:
    """Counts as arrays of floats, which do not overflow when they are multiplied."""
    arrays = [np.asarray(count, dtype=float) for count in counts]
    if any(np.any(a < 0) or np.any(a != np.floor(a)) for a in arrays):
        raise IgakuError(f"Counts must be whole and not negative; got {counts}.")
    return arrays


def _plain(*values: np.ndarray) -> list[Numbers]:
    """Numbers for what is a single one, arrays as they are."""
    return [float(v) if np.ndim(v) == 0 else np.asarray(v) for v in values]


def _discordant(least: float, difference: float, discordance: float) -> None:
    if not 0 < discordance <= 1 or not least <= difference <= discordance:
        raise IgakuError(
            f"A difference of {difference} needs a share of flips between it and 1; "
            f"got {discordance}."
        )


def _fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise IgakuError(f"A {name} is a fraction such as 0.025; got {value}.")
