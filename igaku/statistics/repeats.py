"""Variants that were asked the same questions several times.

A question's flips between two variants are noise, which asking again averages out, and
what is systematic, which it does not: with the chance p of a right answer, an asking of
A and one of B part on the share E[pA(1−pB) + pB(1−pA)] of questions, which is the noise
E[pA(1−pA)] + E[pB(1−pB)] and the systematic E[(pA−pB)²]. As in `paired`, A is the
reference and differences are A − B.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError
from igaku.statistics.paired import Numbers, proportion, quantile

RESAMPLES = 2000
SEED = 2022  # of the resampling: the same replies have the same limits
Floats = Sequence[float] | np.ndarray
Strata = Sequence[Any] | np.ndarray | None  # the exam of each question


class Limits(NamedTuple):
    """An estimate with the limits of its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class MeanDifference:
    """The mean difference A − B of the questions' shares of right askings.

    `low` and `high` are its 95 % limits; all but the estimate are nan where no
    question's difference deviates from another's.
    """

    estimate: float
    error: float
    low: float
    high: float
    pvalue: float
    not_worse_p: float
    equivalent_p: float


@dataclass(frozen=True)
class FlipParts:
    """Shares of questions on which an asking of A and one of B part, and of what.

    `noise`: what one variant's askings do among themselves; nan where a variant was
    asked once. `systematic`: the rest, which noise can make negative;
    `systematic_share`: what part of the flips it is.
    """

    flips: Limits
    noise: Limits
    systematic: Limits
    systematic_share: Limits


def mean_difference(
    right_a: Floats,
    askings_a: Floats,
    right_b: Floats,
    askings_b: Floats,
    margin: float,
    strata: Strata = None,
) -> MeanDifference:
    """Paired t tests of the questions' shares of right askings, stratified by exam.

    A question's deviation is from the mean of its exam, and each question weighs the
    same. To the squares are added half a step each way (Agresti & Min 2005, Stat Med
    24:729, where a step is a flip), and every p and limit is the more cautious of t's
    and of Hall's for a skewed mean (1992, J R Stat Soc B 54:221): a loss that few
    questions bear would otherwise pass as none too often. `not_worse_p` is of H0: B is
    worse by `margin` or more, `equivalent_p` of both sides.

    >>> found = mean_difference([2, 1, 1, 0], [2] * 4, [2, 0, 1, 1], [2] * 4, 0.25)
    >>> round(found.estimate, 3), round(found.error, 4), round(found.pvalue, 3)
    (0.0, 0.27, 1.0)
    """
    d = np.divide(right_a, askings_a) - np.divide(right_b, askings_b)
    left, df = _deviations(d, strata)
    estimate = float(d.mean())
    if df < 1 or not left.any():
        return MeanDifference(estimate, *[math.nan] * 6)
    spread = math.sqrt(float(left @ left) / df)
    step = float(np.mean(1 / np.asarray(askings_a) + 1 / np.asarray(askings_b)) / 2)
    error = math.sqrt(spread**2 / len(d) + step / len(d) ** 2)
    skew = float(np.mean(left**3)) / spread**3 / math.sqrt(len(d))
    low, high = (estimate - error * x for x in _reach(skew, df))
    below, above = (_tails((estimate + m) / error, skew, df) for m in (-margin, margin))
    return MeanDifference(
        estimate, error, low, high,
        min(1.0, 2 * min(_tails(estimate / error, skew, df))),
        below[0], max(below[0], above[1]),
    )  # fmt: skip


def _deviations(values: np.ndarray, strata: Strata) -> tuple[np.ndarray, int]:
    """How far each value is from the mean of its stratum, and degrees of freedom."""
    labels = np.zeros(len(values)) if strata is None else strata
    _, group = np.unique(labels, return_inverse=True)
    sizes = np.bincount(group)
    left = values - (np.bincount(group, values) / sizes)[group]
    return left, len(values) - len(sizes)


def _tails(distance: float, skew: float, df: int) -> tuple[float, float]:
    """The p below and above a distance in standard errors, the more cautious of two."""
    from scipy.special import stdtr

    bent = _bent(distance, skew)
    below, above = max(distance, bent), min(distance, bent)
    return float(stdtr(df, below)), float(stdtr(df, -above))


def _bent(distance: float, skew: float) -> float:
    """Hall's transformation of a studentized mean, which takes out its skewness."""
    if abs(skew) < 1e-9:
        return distance
    return ((1 + skew * distance / 3) ** 3 - 1) / skew + skew / 6


def _reach(skew: float, df: int) -> tuple[float, float]:
    """How many standard errors the 95 % limits lie below and above the estimate."""
    from scipy.special import stdtrit

    c = float(stdtrit(df, 0.975))
    if abs(skew) < 1e-9:
        return c, -c
    up, down = (
        3 * (float(np.cbrt(1 + skew * (x - skew / 6))) - 1) / skew for x in (c, -c)
    )
    return max(c, up), min(-c, down)


def repeat_flips(right: Floats, askings: Floats) -> np.ndarray:
    """On what share of two askings of one variant each question flips.

    2r(k−r) / k(k−1) for r of k askings right, without bias; nan where k is 1.

    >>> repeat_flips([0, 1, 2, 1], [2, 2, 2, 3]).round(3).tolist()
    [0.0, 1.0, 0.0, 0.667]
    """
    r, k = np.asarray(right, dtype=float), np.asarray(askings, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * r * (k - r) / np.where(k > 1, k * (k - 1), np.nan)


def flip_parts(
    right_a: Floats,
    askings_a: Floats,
    right_b: Floats,
    askings_b: Floats,
    strata: Strata = None,
) -> FlipParts:
    """Noise and systematic flips of two variants, from askings right of askings made.

    The limits are percentiles of resampled questions, each exam (`strata`) for itself.

    >>> found = flip_parts([2, 1, 2, 0], [2] * 4, [2, 2, 0, 0], [2] * 4)
    >>> [x.estimate for x in (found.flips, found.noise, found.systematic)]
    [0.375, 0.125, 0.25]
    """
    p = np.divide(right_a, askings_a), np.divide(right_b, askings_b)
    flips = p[0] * (1 - p[1]) + p[1] * (1 - p[0])
    noise = (repeat_flips(right_a, askings_a) + repeat_flips(right_b, askings_b)) / 2
    parts = np.stack([flips, noise, flips - noise], axis=1)
    drawn = _resampled(parts, strata)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = float(np.divide(parts[:, 2].sum(), flips.sum()))
        ends = _ends(drawn[:, 2] / drawn[:, 0])
    flip, own, rest = (_limits(parts[:, i], drawn[:, i]) for i in range(3))
    return FlipParts(flip, own, rest, Limits(share, *ends))


def mean_limits(values: Floats, strata: Strata = None) -> Limits:
    """The mean over questions with percentiles of resampled questions.

    Where all are 0 the upper limit is Wilson's: no resample holds what was not seen.

    >>> mean_limits(repeat_flips([2] * 100, [2] * 100)).high.__round__(3)
    0.037
    """
    told = np.asarray(values, dtype=float)
    return _limits(told, _resampled(told[:, None], strata)[:, 0])


def repeated_power(
    n: Numbers,
    discordance: Numbers,
    margin: float,
    repeats: Numbers = 1,
    systematic: Numbers = 0.0,
    difference: float = 0.0,
    alpha: float = 0.025,
) -> Numbers:
    """The chance to show "B is not worse by `margin`", each asked k = `repeats` times.

    Of the flips φ = `discordance` the share f = `systematic` stays and the rest is
    averaged: Φ((margin − difference) / σ − z) in the normal limit of `mean_difference`,
    with σ² = (φ(f + (1−f)/k) − difference²) / n + 1 / kn². `repeats` may be infinite.

    >>> round(float(repeated_power(400, 0.145, 0.025, repeats=5)), 3)
    0.829
    >>> round(float(repeated_power(400, 0.145, 0.025, 5, systematic=0.4)), 3)
    0.442
    """
    from scipy.special import ndtr

    variance = _variance(discordance, repeats, systematic, difference)
    step = 1 / (np.asarray(repeats, dtype=float) * np.asarray(n))
    with np.errstate(divide="ignore"):
        distance = (margin - difference) / np.sqrt((variance + step) / np.asarray(n))
    return ndtr(distance + quantile(alpha))


def required_repeats(
    n: int,
    discordance: float,
    margin: float,
    systematic: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.025,
) -> int | None:
    """How many askings of each show "not worse" with this power, were there none worse.

    None: no number of repeats would, for what is systematic alone is too much.

    >>> required_repeats(400, 0.145, 0.025), required_repeats(400, 0.145, 0.025, 0.4)
    (5, None)
    """
    reach = quantile(power) - quantile(alpha)
    left = n * (margin / reach) ** 2 - discordance * systematic
    if left <= 0:
        return None
    return max(1, math.ceil((discordance * (1 - systematic) + 1 / n) / left - 1e-9))


def required_for_margin(
    discordance: Numbers,
    margin: float,
    repeats: Numbers = 1,
    systematic: Numbers = 0.0,
    power: float = 0.8,
    alpha: float = 0.025,
) -> Numbers:
    """How many questions, asked k times each, show "not worse" with this power.

    >>> [int(required_for_margin(0.145, 0.025, repeats=k)) for k in (1, 5)]
    [1828, 371]
    """
    square = ((quantile(power) - quantile(alpha)) / margin) ** 2
    half = _variance(discordance, repeats, systematic, 0.0) * square / 2
    return np.ceil(half + np.sqrt(half**2 + square / np.asarray(repeats)))


def _variance(
    discordance: Numbers, repeats: Numbers, systematic: Numbers, difference: float
) -> np.ndarray:
    """The variance of a question's difference of shares."""
    f, k = np.asarray(systematic, dtype=float), np.asarray(repeats, dtype=float)
    if np.any((f < 0) | (f > 1)) or np.any(k < 1):
        raise IgakuError(
            "A share of systematic flips lies between 0 and 1, and repeats are 1 or "
            f"more; got {systematic} and {repeats}."
        )
    return np.maximum(discordance * (f + (1 - f) / k) - difference**2, 0.0)


def _resampled(values: np.ndarray, strata: Strata) -> np.ndarray:
    """Means over resampled questions: a row for each resample."""
    generator, found = np.random.default_rng(SEED), 0.0
    group = np.zeros(len(values)) if strata is None else np.asarray(strata)
    for one in np.unique(group):
        members = values[group == one]
        m = len(members)
        found = found + generator.multinomial(m, np.full(m, 1 / m), RESAMPLES) @ members
    return np.asarray(found) / len(values)


def _limits(values: np.ndarray, drawn: np.ndarray) -> Limits:
    if not values.any():
        return Limits(0.0, 0.0, proportion(0, len(values)).high)
    return Limits(float(values.mean()), *_ends(drawn))


def _ends(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)
