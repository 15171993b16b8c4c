"""The health of a run: are so many replies lost that asking on would tell nothing?

The rule is written down before the run, so that stopping is no choice made on results.
"""

from __future__ import annotations

from collections.abc import Mapping

from igaku.words import CAUSES

BROKEN_SHARE = 0.20
CONFIDENCE = 0.99  # one-sided; the rule looks after every reply, so it must be strict
FEWEST = 10  # replies before the rule may speak


def is_broken(outcomes: Mapping[str, int]) -> bool:
    """Whether the share of lost replies is surely above 20 %, from a count of outcomes.

    Surely means that its lower Clopper-Pearson limit is, at 99 % one-sided. A look
    after each of 400 replies raises a false alarm in 0.5 % of runs whose true share is
    15 %, and in 0.03 % where it is 10 % (exact; tests/ask/test_run.py computes it). Six
    lost replies of the first ten are enough, nine of nineteen, or 100 of 400:

    >>> [is_broken({"truncated": k, "answered": n - k}) for k, n in [(9, 19), (8, 19)]]
    [True, False]
    """
    k, n = lost(outcomes), sum(outcomes.values())
    if n < FEWEST or k <= BROKEN_SHARE * n:
        return False
    return lower_limit(k, n) > BROKEN_SHARE


def lower_limit(k: int, n: int) -> float:
    """The lower Clopper-Pearson limit of k of n, one-sided."""
    from scipy.special import betaincinv

    return float(betaincinv(k, n - k + 1, 1 - CONFIDENCE))


def lost(outcomes: Mapping[str, int]) -> int:
    """How many replies are lost, from a count of outcomes."""
    return sum(outcomes.get(outcome, 0) for outcome in CAUSES)


def cause(outcomes: Mapping[str, int], rescued: bool = False) -> str | None:
    """The cause that most of the lost replies speak for; None when none is lost.

    `rescued` says that a larger budget got text where replies were empty: then they
    speak for the budget, as the truncated ones do.

    >>> lost = {"truncated": 2, "empty": 7}
    >>> cause(lost), cause(lost, rescued=True)
    ('output', 'budget')
    """
    found = dict.fromkeys(CAUSES.values(), 0)
    for outcome, name in CAUSES.items():
        is_budget = rescued and outcome == "empty"
        found["budget" if is_budget else name] += outcomes.get(outcome, 0)
    most = max(found, key=lambda name: found[name])
    return most if found[most] else None
