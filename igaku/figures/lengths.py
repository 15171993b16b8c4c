"""Figures of how long replies are, and where the token budget ended them.

A blank reply that the budget ended is censored: how long it would have been is not
known. Where no tokens are on record, the walls that blank replies stop at tell the
speed, and that is said to be inferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from igaku.figures import rows, style
from igaku.study.walls import NEAR, piles
from igaku.words import NO_REPLY, say

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

GOLDEN = 0.6180339887  # multiples of it, modulo 1, spread evenly: no random jitter
KEY = 120.0  # points above the axes that the key to the marks takes


class Pile(NamedTuple):
    """Blank replies of one run that ended at one place: how many, of how many."""

    at: float
    blank: int
    of: int
    max_tokens: int | None


@rows.figure
def token_usage(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """What every reply took, one row a run: grey with text, vermillion blank.

    `frame` is of `igaku.load_runs`, or a part of it: run (a categorical orders the
    rows), outcome, blank, seconds or completion_tokens, and where there are: label,
    max_tokens. Tokens are drawn if every run has them, else seconds; a run with
    neither has no row. Dashed lines are walls: the budget where tokens are known, else
    the times at which blank replies pile up, with the speed that this implies.
    """
    asked = frame[frame["outcome"] != "not_run"]
    unit = _unit(asked)
    timed = asked[asked[unit].notna() & ~asked["outcome"].isin(NO_REPLY)]
    names = _runs(timed)
    ax = rows.axes_for(ax, len(names), 0.6)
    if not names:
        return rows.say_nothing(ax, lang)
    labels = rows.named(timed).groupby(timed["run"], observed=True).first()
    asked = asked[asked["run"].isin(names)]
    counts = asked["blank"].fillna(False).groupby(asked["run"].astype(str))
    beside = [
        say("blank_of", lang, blank=int(part.sum()), asked=len(part))
        for part in (counts.get_group(name) for name in names)
    ]
    lanes = rows.name_rows(ax, [str(labels[name]) for name in names], beside)
    found = [
        pile
        for row, name in enumerate(names)
        for pile in _draw_replies(
            ax, timed[timed["run"] == name], unit, row + lanes.middle, lang
        )
    ]
    _fit(ax, timed[unit], [pile.at for pile in found])
    levels = _draw_walls(lanes, found, unit, lang)
    rows.entitle(ax, "token_usage_title", lang, pad=8 + 24 * levels)
    ax.set_xlabel(say(f"{unit}_axis", lang), loc="left")
    _reply_key(ax, lang)
    return ax


def _unit(asked: pd.DataFrame) -> str:
    if "completion_tokens" not in asked or asked.empty:
        return "seconds"
    known = asked["completion_tokens"].notna()
    counted = known.groupby(asked["run"].astype(str)).any()
    return "completion_tokens" if counted.all() else "seconds"


def _runs(replies: pd.DataFrame) -> list[str]:
    import pandas as pd

    found = replies["run"]
    if isinstance(found.dtype, pd.CategoricalDtype):
        return [str(name) for name in found.cat.categories if (found == name).any()]
    return [str(name) for name in found.unique()]


def _draw_replies(
    ax: Axes, replies: pd.DataFrame, unit: str, y: float, lang: str
) -> Iterator[Pile]:
    """One run's replies in two lanes, and the piles of its blank ones."""
    is_blank = replies["blank"].fillna(False).astype(bool)
    took = replies[unit].astype(float)
    lanes = (
        (took[~is_blank], y - 0.16, style.faint(), "o"),
        (took[is_blank], y + 0.2, style.VERMILLION, ">"),
    )
    for amounts, lane, colour, marker in lanes:
        ax.scatter(
            amounts, lane + _sway(amounts.to_numpy()), s=11, marker=marker,
            color=style.seen(colour), alpha=0.55, linewidth=0, zorder=3,
        )  # fmt: skip
    budget = _budget(replies)
    for at, blank in _piles(took[is_blank], unit, budget):
        pile = Pile(at, blank, int(is_blank.sum()), budget)
        _mark_pile(ax, y + 0.2, pile, took[is_blank], lang)
        yield pile


def _sway(amounts: np.ndarray) -> np.ndarray:
    """How far each reply stands off its lane: the further, the more are like it."""
    import numpy as np

    if not len(amounts):
        return np.empty(0)
    logs = np.log10(np.maximum(amounts, 1e-3))
    edges = np.arange(logs.min() - 0.03, logs.max() + 0.09, 0.06)
    crowd, _ = np.histogram(logs, edges)
    share = crowd[np.digitize(logs, edges) - 1] / max(crowd.max(), 8)
    even = (np.arange(len(amounts)) * GOLDEN) % 1 - 0.5
    return 0.34 * even * np.sqrt(share)


def _budget(replies: pd.DataFrame) -> int | None:
    if "max_tokens" not in replies or replies["max_tokens"].isna().all():
        return None
    return int(replies["max_tokens"].dropna().iloc[0])


def _piles(
    blank: pd.Series, unit: str, budget: int | None
) -> Iterator[tuple[float, int]]:
    """Where blank replies end: at the budget, else where their times pile up."""
    if unit == "seconds":
        for pile in piles(blank):
            yield float(pile.median()), len(pile)
    elif budget is not None:
        yield float(budget), int((blank >= budget).sum())


def _mark_pile(ax: Axes, y: float, pile: Pile, blank: pd.Series, lang: str) -> None:
    """How many of a run's blank replies end here, on the side that has fewer marks."""
    if not pile.blank:
        return
    before = int(blank.between(pile.at / 1.8, pile.at / NEAR).sum())
    after = int(blank.between(pile.at * NEAR, pile.at * 1.8).sum())
    is_left = before <= after
    ax.annotate(
        say("pile_of", lang, blank=pile.blank, of=pile.of), (pile.at, y),
        (-9 if is_left else 9, 0), textcoords="offset points", va="center",
        ha="right" if is_left else "left", fontsize=style.small(),
        color=style.seen(style.VERMILLION), path_effects=style.halo(), zorder=4,
    )  # fmt: skip


def _walls(found: list[Pile]) -> list[list[Pile]]:
    """Piles of all runs at one place and one budget are one wall."""
    walls: list[list[Pile]] = []
    for pile in sorted(found, key=lambda each: (each.max_tokens or 0, each.at)):
        first = walls[-1][0] if walls else None
        if first and pile.max_tokens == first.max_tokens and pile.at <= first.at * NEAR:
            walls[-1].append(pile)
        else:
            walls.append([pile])
    return sorted(walls, key=lambda wall: wall[0].at)


def _draw_walls(lanes: rows.Lanes, found: list[Pile], unit: str, lang: str) -> int:
    """A dashed line per wall, its name above; how many names stand on each other."""
    ax = lanes.ax
    ends = [KEY]  # of what stands on each level, in points
    for wall in _walls(found):
        blank = sum(pile.blank for pile in wall) or len(wall)
        at = sum(pile.at * (pile.blank or 1) for pile in wall) / blank
        lanes.dashed(at)
        name = _wall_name(at, wall[0].max_tokens, unit, lang)
        half = 0.3 * style.small() * max(map(rows.columns, name.split("\n")))
        middle = _points_along(ax, at)
        level = next(
            (i for i, end in enumerate(ends) if end < middle - half), len(ends)
        )
        ends[level : level + 1] = [middle + half + 4]
        ax.annotate(
            name, (at, 1), (0, 3 + 24 * level), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="bottom",
            fontsize=style.small(), linespacing=1.1,
        )  # fmt: skip
    return len(ends)


def _wall_name(at: float, max_tokens: int | None, unit: str, lang: str) -> str:
    """1,024 tokens, and the speed at which they took that long; or the time alone."""
    if max_tokens is None:
        return say("wall_of_time", lang, seconds=at)
    if unit == "completion_tokens":
        return f"max_tokens\n{max_tokens:,}"
    speed = say("wall_speed", lang, speed=max_tokens / at)
    return f"{say('wall_budget', lang, max_tokens=max_tokens)}\n{speed}"


def _points_along(ax: Axes, at: float) -> float:
    """About how far along the axis a place is, in points, before the layout is made."""
    import math

    low, high = map(math.log, ax.get_xlim())
    width = 72 * rows.inches(ax) * (1.0 if rows.is_narrow(ax) else 0.72)
    return width * (math.log(at) - low) / (high - low)


def _fit(ax: Axes, amounts: pd.Series, walls: list[float]) -> None:
    """A doubling axis from the shortest reply to beyond the last wall."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.set_xscale("log", base=2)
    ends = [*amounts.astype(float).clip(lower=1e-3), *walls]
    ax.set_xlim(min(ends) / 1.2, max(ends) * 1.45)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def _reply_key(ax: Axes, lang: str) -> None:
    from matplotlib.lines import Line2D

    kinds = (("with_text", style.faint(), "o"), ("blank", style.VERMILLION, ">"))
    marks = [
        Line2D([], [], linestyle="", marker=marker, color=style.seen(colour),
               markersize=5, label=say(f"reply_{kind}", lang))
        for kind, colour, marker in kinds
    ]  # fmt: skip
    ax.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0,
        fontsize=style.small(), handletextpad=0.1, columnspacing=1, borderaxespad=0.4,
        handlelength=1.2,
    )  # fmt: skip
