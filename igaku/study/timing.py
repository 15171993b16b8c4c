"""Walls, the times at which blank replies pile up, and the lengths that they tell.

A cap of the length ends replies at one time as long as the speed is one. So a wall is
the budget, its time is what that many tokens took, and at one speed every other time
of the run is a number of tokens, too. This is inferred from timing, never counted, and
a run without a wall has no clock: it may be shorter, or faster.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from igaku.study.families import Source, Study, named, stacked, study_in
from igaku.study.runs import Run
from igaku.study.scoring import blank
from igaku.study.tokens import is_pair, spent
from igaku.words import NO_REPLY

NEAR = 1.05  # times a wall's own time: replies within this factor stand at it
FEWEST = 5
SHARE = 0.2  # of a run's blank replies, below which a pile is none
ALIKE = 1.1  # times in which sections that ran side by side took equally long
WALLS = ("run", "max_tokens", "seconds", "replies", "blank", "tokens_per_second")
CLOCKS = (
    "run", "label", "max_tokens", "seconds", "at_wall", "blank", "tokens_per_second",
    "at_once", "sections", "first", "until", "asked", "slower", "finished", "median",
    "longest",
)  # fmt: skip
LENGTHS = (
    "run", "label", "problem_id", "section", "outcome", "correct", "tokens",
    "finished", "is_inferred",
)  # fmt: skip
FORETOLD = (
    "run", "max_tokens", "larger", "larger_max_tokens", "budgets", "walls",
    "is_inferred", "finished", "within", "share", "asked", "foretold", "with_text",
    "both_text", "blank", "failed",
)  # fmt: skip


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
        middle = (times[(first + last - 1) // 2] + times[(first + last) // 2]) / 2
        first = np.maximum(first, np.searchsorted(times, middle / NEAR, "left"))
        last = np.minimum(last, np.searchsorted(times, middle * NEAR, "right"))
        most = int((last - first).argmax())
        pile = left.iloc[first[most] : last[most]]
        if len(pile) < fewest:
            break
        found.append(pile)
        left = left.drop(pile.index)
    return sorted(found, key=lambda pile: float(pile.median()))


# --- clocks ---------------------------------------------------------------------------


class Stretch(NamedTuple):
    """The replies of a run that belong to one wall; `at_once` requests shared it."""

    seconds: float
    at_wall: int
    rows: pd.DataFrame
    at_once: int | None


def clocks(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per wall of a run whose budget is known: what it tells of the times.

    `run label max_tokens`; `seconds at_wall`: the wall, and the blank replies at it, of
    `blank` in all. `tokens_per_second`: the speed of a reply, inferred. `at_once`: 1,
    or how many sections ran side by side, so that each was slower by that factor;
    missing where a second wall is not explained so. `sections first until asked`: the
    sections and the first question of this wall, the question at which it gave way to
    another, and the number of questions that belong to it.
    `slower`: replies that took longer than the wall by more than 5 %: the speed was
    less there. `finished median longest`: replies with text, and how long they are in
    tokens, inferred; missing where several ran at once, or it is not known.

    >>> igaku.study.clocks("outputs")  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    rows = [
        named(study, run) | {"max_tokens": run.budget} | _clock(run, stretch)
        for run in study.runs
        for stretch in stretches(run)
    ]
    frame = pd.DataFrame(rows, columns=list(CLOCKS))
    whole = ("max_tokens", "at_wall", "blank", "at_once", "asked", "slower", "finished")
    real = ("seconds", "tokens_per_second", "median", "longest")
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(real, float))


def _clock(run: Run, stretch: Stretch) -> dict[str, Any]:
    """What one wall of a run tells."""
    rows = stretch.rows
    took = _timed(run, stretch)
    finished = took.loc[took["finished"], "tokens"]
    return {
        "seconds": stretch.seconds, "at_wall": stretch.at_wall,
        "blank": int(blank(run.rows).sum()),
        "tokens_per_second": run.budget / stretch.seconds if run.budget else None,
        "at_once": stretch.at_once, "sections": tuple(rows["section"].unique()),
        "first": next(iter(rows["problem_id"]), None), "until": _until(run, rows),
        "asked": len(rows),
        "slower": int((rows["seconds"] > NEAR * stretch.seconds).sum()),
        "finished": len(finished) if stretch.at_once == 1 else None,
        "median": finished.median(), "longest": finished.max(),
    }  # fmt: skip


def _until(run: Run, rows: pd.DataFrame) -> str | None:
    """The question that came after these in a section that they share with others."""
    for section, part in rows.groupby("section", sort=False):
        names = run.rows.loc[run.rows["section"] == section, "problem_id"].tolist()
        after = names[names.index(part["problem_id"].iloc[-1]) + 1 :]
        if after:
            return str(after[0])
    return None


def stretches(run: Run) -> list[Stretch]:
    """The walls of a run, the earliest first, and which replies belong to each.

    One wall has all of them. Of several, each has those in whose section it comes
    before or after the others, in the order asked; a run whose walls take turns within
    a section has no stretches of its own for them.
    """
    rows = _asked(run)
    found = piles(rows.loc[blank(rows), "seconds"]) if run.budget else []
    if len(found) < 2:
        return [Stretch(float(p.median()), len(p), rows, 1) for p in found]
    places = _places(rows["section"], found)
    parts = [rows[places == place] for place in range(len(found))]
    middles = [float(pile.median()) for pile in found]
    return [
        Stretch(middle, len(pile), part, _at_once(part, middle / middles[0]))
        for pile, part, middle in zip(found, parts, middles, strict=True)
    ]


def _places(sections: pd.Series, found: list[pd.Series]) -> pd.Series:
    """Which wall each reply belongs to, in the order asked; missing where unclear."""
    marks = pd.Series(np.nan, index=sections.index)
    for place, pile in enumerate(found):
        marks[pile.index] = float(place)
    known = marks.dropna()
    turns = known.groupby(sections).agg(lambda each: (each.diff().fillna(0) != 0).sum())
    if (turns >= known.groupby(sections).nunique()).any():
        return marks * np.nan
    each = marks.groupby(sections)
    before, after = each.ffill(), each.bfill()
    before, after = before.fillna(after), after.fillna(before)
    return before.where(before == after)


def _at_once(rows: pd.DataFrame, times: float) -> int | None:
    """How many sections shared a wall that is `times` the run's earliest one.

    That they ran side by side is shown by both: the wall is twice as far for two of
    them, and the two took equally long in all.
    """
    at_once = round(times)
    if rows.empty or abs(times / at_once - 1) > NEAR - 1:
        return None
    totals = rows.groupby("section")["seconds"].sum()
    is_alike = len(totals) == at_once and totals.max() <= ALIKE * totals.min()
    return at_once if at_once == 1 or is_alike else None


# --- lengths --------------------------------------------------------------------------


def reply_lengths(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per reply whose length in tokens is on record, or inferred from a wall.

    `run label problem_id section outcome correct`; `tokens`: counted, or else the
    time at the speed that its run's wall tells, its budget at most (`is_inferred`).
    `finished`: false where the budget ended the reply, or it is blank: it would have
    gone on for longer. Runs without counts and without a wall have no rows.
    """
    study = study_in(outputs_dir)
    about = ["problem_id", "section", "outcome", "correct"]
    parts = [
        took.assign(**named(study, run)).merge(run.rows[about], on="problem_id")
        for run, took in study.once(_lengths)
    ]
    return stacked(parts, LENGTHS)


def _lengths(study: Study) -> list[tuple[Run, pd.DataFrame]]:
    """The runs whose replies have lengths in tokens, with `lengths_of` each."""
    found = ((run, lengths_of(run)) for run in study.runs)
    return [(run, took) for run, took in found if len(took)]


def lengths_of(run: Run) -> pd.DataFrame:
    """`problem_id tokens finished is_inferred` of a run, counted where counts are.

    >>> lengths_of(run)["tokens"].median()  # doctest: +SKIP
    957.4
    """
    if len(counted := spent(run)):
        kept = ["problem_id", "tokens", "finished"]
        return counted[kept].assign(is_inferred=False)
    parts = [_timed(run, each) for each in stretches(run)]
    kept = ["problem_id", "tokens", "finished", "is_inferred"]
    return stacked([part for part in parts if len(part)], kept)


def _timed(run: Run, stretch: Stretch) -> pd.DataFrame:
    """The lengths that a wall tells; none where requests shared the machine."""
    rows = stretch.rows
    is_told = rows["seconds"].notna() & ~rows["outcome"].isin(NO_REPLY)
    rows = rows[is_told & (stretch.at_once == 1)]
    most = float(run.budget or 0)
    tokens = rows["seconds"].astype(float) * most / stretch.seconds
    return rows[["problem_id"]].assign(
        tokens=tokens.clip(upper=most), finished=~blank(rows), is_inferred=True
    )


# --- one budget by another ------------------------------------------------------------


def foretold(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per two runs that differ in the budget: what the larger tells of the
    smaller.

    `run max_tokens`: the smaller; `larger larger_max_tokens`. `budgets walls`: how many
    times the budget, and how many times as far the wall; the latter is missing without
    two walls. `is_inferred`: the lengths of the larger are, from timing. `finished
    within share`: its finished replies, and those of them that fit into the smaller
    budget. On the `asked` questions of both: for how many text was `foretold` so, how
    many were `with_text` in the smaller run, `both_text`: and for how many both hold;
    `blank failed`: what became of the others there.
    """
    study = study_in(outputs_dir)
    took = {run.name: lengths for run, lengths in study.once(_lengths)}
    rows = [
        _foretold(run, larger, took[larger.name])
        for run in study.runs
        for larger in study.runs
        if larger.name in took and _is_larger(run, larger)
    ]
    frame = pd.DataFrame(rows, columns=list(FORETOLD))
    real = dict.fromkeys(("budgets", "walls", "share"), float)
    return frame.astype(real | {"is_inferred": bool})


def _is_larger(run: Run, other: Run) -> bool:
    """Whether another run asked the same of the same model with a larger budget."""
    follows = run.settings.get("lost_of") or other.settings.get("lost_of")
    is_more = (other.budget or 0) > (run.budget or 0) > 0
    return is_more and not follows and is_pair(run, other)


def _foretold(run: Run, larger: Run, took: pd.DataFrame) -> dict[str, Any]:
    budgets = (run.budget or 0), (larger.budget or 0)
    finished = took[took["finished"]]
    within = finished[finished["tokens"] <= budgets[0]]
    rows = _asked(run)
    rows = rows[rows["problem_id"].isin(_asked(larger)["problem_id"])]
    told = rows["problem_id"].isin(within["problem_id"])
    failed = rows["outcome"].isin(NO_REPLY)
    text = ~failed & ~blank(rows)
    near, far = _wall(run), _wall(larger)
    return {
        "run": run.name, "max_tokens": budgets[0],
        "larger": larger.name, "larger_max_tokens": budgets[1],
        "budgets": budgets[1] / budgets[0], "walls": far / near if near else None,
        "is_inferred": bool(took["is_inferred"].any()), "finished": len(finished),
        "within": len(within), "share": len(within) / max(len(finished), 1),
        "asked": len(rows), "foretold": int(told.sum()), "with_text": int(text.sum()),
        "both_text": int((told & text).sum()), "failed": int(failed.sum()),
        "blank": int((~failed & blank(rows)).sum()),
    }  # fmt: skip


def _asked(run: Run) -> pd.DataFrame:
    return run.rows[run.rows["outcome"] != "not_run"]


def _wall(run: Run) -> float:
    """The time of a run's wall at one request at once; not a number without one."""
    return next((s.seconds for s in stretches(run) if s.at_once == 1), np.nan)
