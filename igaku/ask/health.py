"""The health of a run: are so many replies lost that asking on would tell nothing?

The rule is written down before the run, so that stopping is no choice made on results.
It looks after every reply, and its errors are those of all looks together.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from igaku.words import CAUSES, LOSSES

BROKEN_SHARE = 0.20
CONFIDENCE = 0.99  # of the lower limit, one-sided, over all looks together
ATTEMPTS = 4  # at a question whose failure may pass
FEWEST = 10  # replies before the rule may speak
LOOK, LOST_AT_LOOK = 20, 10  # one look by itself: a false stop in 0.26 % at 20 % lost
EVIDENCE = 135.0  # a false stop in 1/135 at most: both together are 1.0 %
# A reply that nobody can read tells as little as a blank one.
UNREADABLE = {"unparsable": "output"}


def is_broken(outcomes: Mapping[str, int]) -> bool:
    """Whether the share of lost replies is surely above 20 %, from a count of outcomes.

    It is where ten of the first twenty replies are lost, or where the evidence against
    a share of 20 % or less reaches 135. Looked at after each of 400 replies that stops
    a run whose true share is 20 % in 0.5 % of cases, and in 0.04 % where it is 15 %
    (exact; `bench/bench_stop.py` computes it). A run that loses half is stopped by
    question 20 in 60 % of cases, one that loses three quarters in 99.6 %.

    >>> [is_broken({"truncated": k, "answered": 20 - k}) for k in (9, 10)]
    [False, True]
    """
    return _is_enough(lost(outcomes), sum(outcomes.values()))


def may_pass(row: Mapping[str, Any]) -> bool:
    """Whether a question failed as often as it was tried: the next sitting asks it."""
    return row["outcome"] == "api_error" and (row.get("attempts") or 0) >= ATTEMPTS


def outcomes_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The outcomes that speak for a run, in the order of its rows.

    What is asked again anyway is not lost, however many fail in a bad hour.
    """
    return [row["outcome"] for row in rows if not may_pass(row)]


def stops(outcomes: Iterable[str]) -> bool:
    """Whether the rule stopped a run at any of its replies, in the order they came.

    >>> stops(["truncated"] * 10 + ["answered"] * 90)
    True
    """
    k = 0
    for n, outcome in enumerate(outcomes, 1):
        k += outcome in CAUSES or outcome in UNREADABLE
        if _is_enough(k, n):
            return True
    return False


def _is_enough(k: int, n: int) -> bool:
    # Most runs never lose so many that scipy has to be asked.
    return n >= FEWEST and k > BROKEN_SHARE * n and k >= fewest_lost(n)


@lru_cache(maxsize=4096)
def fewest_lost(n: int) -> int:
    """How many of n replies must be lost for the rule to stop a run there.

    >>> fewest_lost(20), fewest_lost(400)
    (10, 113)
    """
    above = int(BROKEN_SHARE * n) + 1  # from where on more lost is more evidence
    k = bisect_left(range(n + 1), EVIDENCE, above, key=lambda k: evidence(k, n))
    return min(k, LOST_AT_LOOK) if n == LOOK else k


def evidence(k: int, n: int, share: float = BROKEN_SHARE) -> float:
    """How much likelier k of n are lost at some larger share than at `share` itself.

    The likelihood is averaged evenly over all larger shares, so that it exceeds x at
    any time in at most 1/x of runs whose share is not larger (Ville 1939; Robbins and
    Siegmund 1970 for mixtures).

    >>> round(evidence(12, 20)), evidence(0, 0)
    (688, 1.0)
    """
    from scipy.special import betaincc, betaln

    tail = max(float(betaincc(k + 1, n - k + 1, share)), 1e-300)
    log = betaln(k + 1, n - k + 1) + math.log(tail)
    log -= math.log(1 - share) + k * math.log(share) + (n - k) * math.log(1 - share)
    return math.exp(min(float(log), 700))


def lower_limit(k: int, n: int) -> float:
    """The share above which the true one surely lies, however often one has looked.

    The one-sided 99 % limit that belongs to the rule: 0.2 or more where it stops.
    """
    from scipy.optimize import brentq
    from scipy.stats import beta, binom

    def short(share: float) -> float:
        return evidence(k, n, share) - EVIDENCE

    tiny = 1e-6
    largest = min(k / n, 1 - tiny)
    found = float(brentq(short, tiny, largest)) if k and short(tiny) > 0 else 0.0
    if n != LOOK or not k:
        return found
    spent = float(binom.sf(LOST_AT_LOOK - 1, LOOK, BROKEN_SHARE))
    return max(found, float(beta.ppf(spent, k, n - k + 1)))


def lost(outcomes: Mapping[str, int]) -> int:
    """How many replies are lost or unreadable, from a count of outcomes."""
    return sum(outcomes.get(outcome, 0) for outcome in (*CAUSES, *UNREADABLE))


def cause(found: Mapping[str, int], rescued: bool = False) -> str | None:
    """The cause that most of the lost replies speak for; None when none is lost.

    Counted are causes, or the outcomes of rows that name none. `rescued`: a larger
    budget got text where replies were empty, so they speak for the budget too.

    >>> lost = {"truncated": 2, "empty": 7}
    >>> cause(lost), cause(lost, rescued=True), cause(lost | {"looping": 8})
    ('output', 'budget', 'looping')
    """
    counts = dict.fromkeys(LOSSES, 0)
    for name, n in found.items():
        told = (CAUSES | UNREADABLE).get(name, name)
        if told in counts:
            counts["budget" if rescued and name in ("empty", "output") else told] += n
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else None
