"""Variants that were asked again: noise, what is systematic, how often to ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from igaku import statistics
from igaku.errors import IgakuError
from igaku.study.families import MARGIN, Source, Study, study_in
from igaku.study.grids import askings_of, sound_variants
from igaku.study.pooling import Family
from igaku.words import LEVEL

PARTS = ("flips", "noise", "systematic", "systematic_share")
ENDS = ("", "_low", "_high")
REPEATS = (
    "reference", "candidate", "exam", "n", "askings_reference", "askings_candidate",
    *(part + end for part in PARTS for end in ENDS),
)  # fmt: skip
PLAN = ("systematic", "n", "repeats", "power", "ceiling", "fewest", "enough")


def repeats(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per variant that was asked again, and per pair of such variants.

    `reference candidate`: the variants, by the name of their first asking, which began
    first; they are one and the same where a variant stands against itself. `exam n
    askings_reference askings_candidate`: the exams, the questions that each was asked
    twice or more, and the fewest askings of one. Then shares of the questions, with
    95 % limits over resampled questions: `flips flips_low flips_high`, on which an
    asking of one and an asking of the other part; `noise noise_low noise_high`, what a
    variant's askings do among themselves; `systematic systematic_low systematic_high`,
    the rest; `systematic_share systematic_share_low systematic_share_high`, what part
    of the flips that is.

    >>> igaku.study.repeats("outputs")[["candidate", "noise"]]  # doctest: +SKIP
    """
    study, rows = study_in(outputs_dir), []
    families = [family for family in study.families if family.kind == "finished"]
    pooled = {name for family in families for own in family.askings.values()
              for name in own}  # fmt: skip
    for family in [*families, *_alone(study, pooled)]:
        rows += list(_rows(study, family))
    found = pd.DataFrame(rows, columns=list(REPEATS))
    return found.astype(dict.fromkeys(REPEATS[6:], float))


def _alone(study: Study, pooled: Set[str]) -> Iterator[Family]:
    """Variants that were asked again and are compared with no other."""
    for family in (family for family in study.families if family.kind == "repeats"):
        askings: dict[str, tuple[str, ...]] = {}
        later = {other for _, other in family.pairs}
        for first, other in family.pairs:
            if first not in pooled | later:
                askings[first] = (*askings.get(first, (first,)), other)
        if askings:
            pairs = tuple((name, name) for name in askings)
            yield Family("repeats", family.exam, pairs, askings)


def _rows(study: Study, family: Family) -> Iterator[tuple[Any, ...]]:
    """The variants of a family one by one, then its pairs."""
    askings, sound = askings_of(study, family), sound_variants(study, family)
    index = family.places
    pairs = [pair for pair in family.pairs if {*pair} <= {*sound}]
    for first, second in dict.fromkeys([(name, name) for name in sound] + pairs):
        rows = [index[first], index[second]]
        asked = askings.asked[rows]
        met = (asked > 1).all(axis=0)
        if not met.any():
            continue
        right, exam = askings.right[rows][:, met], askings.exam[met]
        asked = asked[:, met]
        parts = _parts(right, asked, exam, first == second)
        about = (first, second, ", ".join(dict.fromkeys(exam)), int(met.sum()))
        yield (*about, *map(int, asked.min(axis=1)), *parts)


def _parts(
    right: np.ndarray, asked: np.ndarray, exam: np.ndarray, is_one: bool
) -> list[float]:
    """What a pair's flips are made of, each with its limits; one variant has noise."""
    if is_one:
        flips = statistics.repeat_flips(right[0], asked[0])
        noise = statistics.mean_limits(flips, exam)
        return [*noise, *noise, *[np.nan] * 6]
    parts = statistics.flip_parts(right[0], asked[0], right[1], asked[1], exam)
    return [x for name in PARTS for x in getattr(parts, name)]


def plan(
    discordance: float,
    n: int,
    margin: float = MARGIN,
    systematic: Sequence[float] = (0.0, 0.1, 0.22, 0.4, 1.0),
    repeats: Sequence[int] = (1, 2, 3, 5, 8, 10),
    exams: Sequence[int] = (1,),
    pairs: int = 1,
    level: float = LEVEL,
) -> pd.DataFrame:
    """What a pilot's flips say of the askings, and the exams, that "not worse" takes.

    `discordance` is the share of flips between two variants, of n questions an exam;
    `systematic` what part of it asking again does not average out (`systematic_share`
    of `igaku.study.repeats`), `pairs` how many are adjusted together at the two-sided
    `level`. One row per systematic share, number of exams and of repeats: `systematic n
    repeats`; `power`, the chance to show "not worse by `margin`", were there no
    difference; `ceiling`, the same with endless repeats; `fewest`, the repeats for 80 %
    power, missing where no number of repeats would do; `enough`, the questions for 80 %
    with these repeats.

    >>> plan(0.145, 400, 0.025, [0.0], repeats=[1, 5])["power"].round(2).tolist()
    [0.26, 0.83]
    """
    if not 0 < discordance <= 1:
        raise IgakuError(
            f"A share of flips is a fraction such as 0.145; got {discordance}."
        )
    alpha = level / 2 / pairs
    rows = [
        (f, n * exam, k, *_told(discordance, n * exam, margin, k, f, alpha))
        for f, exam, k in product(systematic, exams, repeats)
    ]
    found = pd.DataFrame(rows, columns=list(PLAN))
    return found.astype({"fewest": "Int64", "enough": int})


def _told(
    flips: float, n: int, margin: float, k: int, f: float, alpha: float
) -> tuple[Any, ...]:
    own: dict[str, Any] = {"systematic": f, "alpha": alpha}
    return (
        float(statistics.repeated_power(n, flips, margin, k, **own)),
        float(statistics.repeated_power(n, flips, margin, np.inf, **own)),
        statistics.required_repeats(n, flips, margin, **own),
        int(statistics.required_for_margin(flips, margin, k, **own)),
    )
