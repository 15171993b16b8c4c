"""The reasoning effort of runs: what is on record of it, and what lengths tell.

A larger effort makes replies several times as long, but so may other things: lengths
are no proof of an effort, and times are no lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from igaku.server.parts import at, maps
from igaku.study.alarms import Alarm, apart, by_exam, grouped
from igaku.study.families import Source, Study, study_in
from igaku.study.runs import Run
from igaku.study.timing import lengths_of

TIMES = 2.0  # the ratio of two median lengths above which it is as between two efforts
FEWEST = 10  # questions
SEED, DRAWS = 2022, 999  # of the resampling: the same replies have the same limits
RATIOS = (
    "shorter_run", "longer_run", "n", "median_shorter", "median_longer", "ratio", "low",
    "high", "max_tokens", "is_inferred",
)  # fmt: skip

# --- what is on record ----------------------------------------------------------------


def other_effort(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that thought under different efforts.

    What a recorded run does not tell is not known, and no difference.
    """
    for runs in by_exam(study, study.aside):
        efforts = [effort_of(run)[0] for run in runs]
        told = grouped(
            (effort or (None if run.origin == "recorded" else "–"), run)
            for effort, run in zip(efforts, runs, strict=True)
        )
        ways = {
            effort: list(dict.fromkeys(effort_of(run)[1] for run in each))
            for effort, each in told.items()
        }
        yield from apart("other_effort", told, "effort", known_by=ways)


def effort_of(run: Run) -> tuple[str | None, str]:
    """The reasoning effort a run was under, and how that is known.

    That is the effort asked for ("shown" where trials bore it out, else "asked"), or
    the server's own ("default"); None where no effort is on record.
    """
    told = run.manifest.get("effort") or {}
    if asked := told.get("asked") or run.settings.get("reasoning_effort"):
        return str(asked), "shown" if told.get("shown") else "asked"
    of_weights = at(run.manifest, "identity.fingerprint.effort")
    default = told.get("default") or of_weights
    return (str(default), "default") if default else (None, "")


def told_otherwise(study: Study) -> Iterator[Alarm]:
    """Runs of one exam that were told the same effort in different ways."""
    for runs in by_exam(study):
        told = grouped((at(run.manifest, "effort.told_by"), run) for run in runs)
        yield from apart("told_otherwise", told, "way", grave=False)


def effort_unshown(study: Study) -> Iterator[Alarm]:
    """Runs that asked for an effort of which the trials saw no effect."""
    names = ("problem_id", "told_by", "asked_tokens", "contrast_tokens")
    for run in study.variants:
        told = run.manifest.get("effort") or {}
        if told.get("asked") and told.get("shown") is False:
            trials = maps(told.get("trials"))
            tried = [{name: trial.get(name) for name in names} for trial in trials]
            about = {"asked": told["asked"], "contrast": told.get("contrast")}
            yield Alarm("effort_unshown", (run.name,), about | {"trials": tried})


def unknown_effort(study: Study) -> Iterator[Alarm]:
    """Runs whose reasoning effort is not on record, neither asked for nor told."""
    names = tuple(run.name for run in study.variants if effort_of(run)[0] is None)
    if names:
        yield Alarm("unknown_effort", names, {}, grave=False)


# --- what lengths tell ----------------------------------------------------------------


def length_ratios(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per two runs of an exam: how many times as long the longer's replies are.

    `shorter_run longer_run n`: two runs, and the questions that both replied to, 10 or
    more.
    `median_shorter median_longer ratio low high`: tokens, how many times as many, and
    the 95 % interval of that (bootstrap over questions, both replies drawn together).
    `max_tokens`: the smaller budget; what is longer counts as that long, so that the
    ratio is too small rather than too large. `is_inferred`: the tokens of both are
    inferred from walls. Two runs of which one is counted and one is not, or that have
    no wall, have no row: times alone do not tell a short reply from a fast one.
    """
    rows = [_limited(*found) for found in _ratios(study_in(outputs_dir))]
    frame = pd.DataFrame(rows, columns=list(RATIOS))
    return frame.astype({"max_tokens": "Int64", "is_inferred": bool})


def other_length(study: Study) -> Iterator[Alarm]:
    """Runs whose replies differ in length as they do between two efforts."""
    runs = {run.name: run for run in study.runs}
    found: dict[str, list[dict[str, Any]]] = {}
    for row, shorter, longer in _ratios(study):
        sides = [row[side] for side in ("shorter_run", "longer_run")]
        if row["ratio"] <= TIMES or not study.aside.isdisjoint(sides):
            continue
        known = [effort_of(runs[name])[0] for name in sides]
        is_told = None not in known and known[0] != known[1]
        if is_told:
            continue
        # Of a hundred runs five thousand pairs could be drawn, which takes minutes.
        if (row := _limited(row, shorter, longer))["low"] > 1:
            found.setdefault(str(shorter.run.exam), []).append(row)
    for pairs in found.values():
        names = dict.fromkeys(
            row[s] for row in pairs for s in ("shorter_run", "longer_run")
        )
        pairs = sorted(pairs, key=lambda row: -row["ratio"])
        yield Alarm("other_length", tuple(names), {"pairs": pairs}, grave=False)


class _Lengths(NamedTuple):
    """How long a run's replies are, in tokens by problem_id.

    Runs of one `asked` have lengths of the same questions, in the same order; `middle`
    holds the two lengths that the median lies between, `budget` the run's.
    """

    run: Run
    tokens: pd.Series
    is_inferred: bool
    asked: int
    middle: tuple[float, float]
    budget: int | None


_Ratio = tuple[dict[str, Any], _Lengths, _Lengths]


def _ratios(study: Study) -> Iterator[_Ratio]:
    """The ratio of every two runs with lengths of one kind, the shorter's and longer's.

    The tokens of two runs are laid side by side only where their questions differ: of
    five hundred runs there are a hundred thousand pairs.
    """
    numbers: dict[tuple[str, ...], int] = {}
    for runs in by_exam(study):
        told = [
            _lengths(run, took, numbers) for run in runs if len(took := lengths_of(run))
        ]
        for one, other in combinations(told, 2):
            if one.is_inferred != other.is_inferred:
                continue
            is_alike, most = one.asked == other.asked, _most(one, other)
            both = None if is_alike else _common(one, other)
            n = len(one.tokens) if both is None else both.shape[1]
            if n < FEWEST:
                continue
            if both is None:
                medians = _median(one, most), _median(other, most)
            else:
                medians = np.median(both.clip(1, most), axis=1)
            sides = [(float(medians[0]), one), (float(medians[1]), other)]
            (low, shorter), (high, longer) = sorted(sides, key=itemgetter(0))
            yield {
                "shorter_run": shorter.run.name, "longer_run": longer.run.name, "n": n,
                "median_shorter": low, "median_longer": high, "ratio": high / low,
                "max_tokens": most, "is_inferred": one.is_inferred,
            }, shorter, longer  # fmt: skip


def _lengths(
    run: Run, took: pd.DataFrame, numbers: dict[tuple[str, ...], int]
) -> _Lengths:
    tokens = took.set_index("problem_id")["tokens"].astype(float)
    asked = numbers.setdefault(tuple(tokens.index), len(numbers))
    ordered, n = np.sort(tokens.to_numpy()), len(tokens)
    middle = float(ordered[(n - 1) // 2]), float(ordered[n // 2])
    is_inferred = bool(took["is_inferred"].iloc[0])
    return _Lengths(run, tokens, is_inferred, asked, middle, run.budget)


def _median(one: _Lengths, most: int | None) -> float:
    """The median of lengths of which those above the most count as the most."""
    return sum(min(max(each, 1), most or math.inf) for each in one.middle) / 2


def _most(one: _Lengths, other: _Lengths) -> int | None:
    """The smaller budget of two runs."""
    budgets = [n for n in (one.budget, other.budget) if n is not None]
    return min(budgets, default=None)


def _common(one: _Lengths, other: _Lengths) -> np.ndarray:
    """The tokens of two runs, in rows, on the questions that both replied to."""
    places = other.tokens.index.get_indexer(one.tokens.index)
    both = places >= 0
    return np.array([one.tokens.array[both], other.tokens.array[places[both]]], float)


def times_as_long(shorter: Any, longer: Any, axis: int = -1) -> Any:
    """The ratio of two medians.

    >>> float(times_as_long([70, 60, 80], [400, 350, 500]))
    5.714285714285714
    """
    return np.median(longer, axis=axis) / np.median(shorter, axis=axis)


def _limited(
    row: dict[str, Any], shorter: _Lengths, longer: _Lengths
) -> dict[str, Any]:
    """A ratio with its interval."""
    from scipy.stats import bootstrap

    tokens = _common(shorter, longer).clip(1, row["max_tokens"])
    drawn = bootstrap(
        tuple(tokens), times_as_long, paired=True, vectorized=True,
        n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(SEED),
    )  # fmt: skip
    interval = drawn.confidence_interval
    return row | {"low": float(interval.low), "high": float(interval.high)}
