"""Figures of pairs: by how much a candidate parts from its reference, where in their
replies they part, and what so many questions can show.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

from igaku import statistics
from igaku.figures import rows, style
from igaku.words import LEVEL, formatted, is_missing, p_of, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

POWER = 0.8
WIDEST = 0.1  # the largest true difference on the axis of the power
COLUMNS = (8, 122, 218)  # points right of the axes: difference, flips, p
FATES = {
    "same": style.Look(style.FAINT, "o"),
    "flip": style.Look(style.BLUE, "s"),
    "silent": style.Look(style.VERMILLION, ">"),
}
LOWER = {"same": -0.2, "flip": 0.06, "silent": 0.3}  # below the middle of a row


@rows.figure(
    "reference",
    "candidate",
    "difference",
    "low",
    "high",
    "only_reference",
    "only_candidate",
    "pvalue",
)
def forest(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """Differences between candidate and reference, with 95 % intervals.

    `frame` is of `igaku.pairs`: reference, candidate, difference, low, high,
    only_reference, only_candidate, pvalue and, where there are, margin, tainted. The
    shade is what counts as not worse; a tainted pair is hollow. Names are as the frame
    has them: `pairs.replace({"candidate": labels})` gives them others.
    """
    pairs: list[Any] = frame.to_dict("records")
    n = len(pairs)
    ax = rows.axes_for(ax, n, 0.5, least=1.3 + 0.5 * n, keys=2 * n + 3)
    one = frame["reference"].nunique() == 1
    sides = ["candidate"] if one else ["candidate", "reference"]
    names = [*map(tuple, frame[sides].astype(str).to_numpy().tolist())]
    is_narrow = rows.is_narrow(ax)
    told = [_numbers(pair, lang) for pair in pairs]
    beside = ["   ".join(each) if is_narrow else "" for each in told]
    lanes = rows.name_rows(ax, names, beside, heads=3)
    margins = sorted(set(frame["margin"].dropna())) if "margin" in frame else []
    for y, pair in enumerate(pairs):
        _interval(ax, pair, y + lanes.middle)
    ends = [*frame["low"].dropna(), *frame["high"].dropna(), 0, *(-m for m in margins)]
    room = 0.08 * (max(ends) - min(ends))
    ax.set_xlim(min(ends) - room, max(ends) + room)
    ax.xaxis.set_major_formatter(_points)
    _shade(lanes, margins, lang)
    heads = [say(f"forest_column_{i}", lang) for i in range(len(COLUMNS))]
    if is_narrow:
        head = "   ".join(heads)
        rows.above(ax, 0, head, (0, 16), ha="left", xycoords="axes fraction")
    else:
        heads = [rows.fitted(head, 16) for head in heads]
        rows.columns_beside(ax, told, heads, COLUMNS)
    against = rows.fitted(pairs[0]["reference"], 60, 1) if one else ""
    ax.set_xlabel(say("forest_axis", lang, reference=against))
    _directions(ax, lang)
    rows.entitle(ax, "forest_title", lang, pad=32)
    return ax


def _numbers(pair: dict[str, Any], lang: str) -> tuple[str, str, str]:
    """The difference with its interval, the flips both ways, and the p-value."""
    points = [formatted(pair[key], "points") for key in ("difference", "low", "high")]
    alone = {way: pair[f"only_{way}"] for way in ("reference", "candidate")}
    flips = say("forest_flips", lang, **alone)
    p = "" if is_missing(pair["pvalue"]) else p_of(pair["pvalue"])
    if pair.get("tainted", False):
        p = say("tainted", lang)
    return f"{points[0]} [{points[1]}, {points[2]}]", flips, p


def _interval(ax: Axes, pair: dict[str, Any], y: float) -> None:
    tainted = bool(pair.get("tainted", False))
    colour = style.FAINT if tainted else style.BLUE
    face = style.PAPER if tainted else colour
    ax.plot([pair["low"], pair["high"]], [y, y], color=colour, linewidth=2)
    ax.plot(
        [pair["difference"]], [y], marker="s", color=colour, markersize=7,
        markerfacecolor=face, zorder=3,
    )  # fmt: skip


def _points(value: float, _: Any = None) -> str:
    return f"{100 * value:+.3g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _shade(lanes: rows.Lanes, margins: Sequence[float], lang: str) -> None:
    lanes.upright(0, color=style.INK, linewidth=0.9)
    for margin in margins:
        lanes.shade(-margin, 0)
        lanes.dashed(-margin)
        rows.above(lanes.ax, -margin, say("margin", lang, margin=-margin))


def _directions(ax: Axes, lang: str) -> None:
    """Which way is better, in words at the ends of the axis."""
    look = {"xycoords": "axes fraction", "va": "top", "color": style.FAINT}
    rows.note(ax, (0, 0), say("candidate_worse", lang), (0, -22), ha="left", **look)
    rows.note(ax, (1, 0), say("candidate_better", lang), (0, -22), ha="right", **look)
    ax.xaxis.labelpad = 18


@rows.figure("n", "flips", "only_reference", "only_candidate")
def power(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The chance that so many questions show a true difference, at the flips there are.

    `frame` is of `igaku.pairs`: n, flips, only_reference, only_candidate and, where
    there are, margin, level and compared, the pairs whose p-values are adjusted
    together; the first four that differ are drawn, at the level of Holm's first step.
    The mark is the smallest difference that is shown with 80 % power; beside it, how
    many flips "not worse by the margin" could have borne.
    """
    keys = ["n", "flips", "only_reference", "only_candidate"]
    different = frame[frame["flips"] > 0].drop_duplicates(keys).head(rows.BESIDE)
    curves: list[Any] = different.to_dict("records")
    ax = rows.axes_for(ax, 0, least=3.2, keys=2 * len(curves))
    if not curves:
        return rows.say_nothing(ax, lang)
    marks = [
        _power_curve(ax, pair, colour, lang)
        for pair, colour in zip(curves, cycle(style.COLOURS), strict=False)
    ]
    ax.axhline(POWER, color=style.FAINT, linestyle=(0, (4, 3)), linewidth=0.9)
    ax.set_ylim(0, 1.02)
    ax.set_xlim(0, WIDEST)
    rows.percent(ax.yaxis)
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
    rows.label_marks(ax, marks, is_inside=True, drop=18)
    ax.set_xlabel(say("power_axis", lang))
    ax.set_ylabel(say("power_shares", lang))
    rows.entitle(ax, "power_title", lang)
    return ax


def _power_curve(ax: Axes, pair: dict[str, Any], colour: str, lang: str) -> rows.Mark:
    """One pair's curve, with a mark where it reaches the power that is asked for."""
    import numpy as np

    n, share = int(pair["n"]), pair["flips"] / pair["n"]
    look: dict[str, Any] = {"color": colour, "linewidth": 1.8}
    x = np.linspace(0, min(WIDEST, share), 41)[1:]
    level = pair.get("level", LEVEL) / pair.get("compared", 1)
    power = [statistics.mcnemar_power(n, share, each, level) for each in x]
    ax.plot(x, power, **look)
    at = statistics.detectable_difference(n, share, POWER, level)
    margin: Any = pair.get("margin")
    allowed = None
    if not is_missing(margin):
        net = int(pair["only_reference"] - pair["only_candidate"])
        allowed = statistics.flip_budget(net, n, margin, level / 2)
    text = say("power_label", lang, n=n, flips=pair["flips"], at=at, seen=at == at)
    if not is_missing(margin):
        text += "\n" + say("power_allowed", lang, allowed=allowed, margin=margin)
    if is_missing(at):
        return rows.Mark(text, float(x[-1]), 0.0, look)
    ax.plot([at], [POWER], marker="o", markersize=7, color=look["color"], zorder=3)
    return rows.Mark(text, at, POWER, look | {"marker": "o"})


@rows.figure("systematic", "n", "repeats", "power", "fewest")
def plan(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The chance to show "not worse", against how often each variant is asked.

    `frame` is of `igaku.study.plan`: systematic, n, repeats, power, fewest. A line for
    each systematic share of the flips and each number of questions; beside it, how many
    askings reach 80 %.
    """
    parts: list[Any] = list(frame.groupby(["systematic", "n"], observed=True))
    ax = rows.axes_for(ax, 0, least=3.2, keys=len(parts))
    marks: list[rows.Mark] = []
    for (share, n), part in parts:
        colour = style.COLOURS[len(marks) % len(style.COLOURS)]
        look: dict[str, Any] = {"color": colour, "marker": "o"}
        part = part.sort_values("repeats")
        ax.plot(part["repeats"], part["power"], linewidth=1.8, markersize=4, **look)
        fewest = None if is_missing(part["fewest"].iloc[0]) else part["fewest"].iloc[0]
        text = say("plan_label", lang, share=float(share), n=n)
        text += "\n" + say("plan_fewest", lang, fewest=fewest)
        end = part.iloc[-1]
        marks.append(rows.Mark(text, float(end["repeats"]), float(end["power"]), look))
    ax.axhline(POWER, color=style.FAINT, linestyle=(0, (4, 3)), linewidth=0.9)
    ax.set_ylim(0, 1.02)
    rows.percent(ax.yaxis)
    ax.set_xticks(sorted(set(frame["repeats"])))
    rows.label_marks(ax, marks)
    ax.set_xlabel(say("plan_axis", lang))
    ax.set_ylabel(say("plan_powers", lang))
    rows.entitle(ax, "plan_title", lang)
    return ax


# --- where replies part ---------------------------------------------------------------


@rows.figure("candidate", "reference", "parted", "parted_at", "flip", "silent")
def partings(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """Where the replies of each pair part, one mark a question, one row a pair.

    `frame` is of `igaku.study.partings`, or several of them one below the other: grey
    where both were right or both were not, blue where the question flips, vermillion
    where one of the two gave no answer. Replies that do not part have no mark: they are
    counted beside the row.
    """
    keys = ["candidate", "reference"]
    pairs = dict(list(frame.groupby(keys, sort=False, observed=True)))
    names = [tuple(map(str, pair)) for pair in pairs]
    ax = rows.axes_for(ax, len(pairs), 0.62)
    beside = [
        say("partings_alike", lang, alike=int((~part["parted"]).sum()), n=len(part))
        for part in pairs.values()
    ]
    lanes = rows.name_rows(ax, names, beside, 2)
    for row, part in enumerate(pairs.values()):
        _fates(lanes, row, part[part["parted"]])
    places = frame.loc[frame["parted"], "parted_at"].astype(float)
    first, last = (places.min(), places.max()) if len(places) else (1, 2)
    rows.doublings(ax, first / 1.7, 1.3 * last)
    unit = frame["unit"].iloc[0] if "unit" in frame else "character"
    ax.set_xlabel(say(f"partings_{unit}", lang), loc="left")
    rows.entitle(ax, "partings_title", lang, pad=24)
    rows.key_above(ax, FATES, "fate", lang, markersize=5)
    return ax


def _fates(lanes: rows.Lanes, row: int, part: pd.DataFrame) -> None:
    """One pair's partings, by what became of the two replies: silent, else flip."""
    import numpy as np

    kinds = [part["silent"] != "neither", part["flip"].notna()]
    fates = np.select(kinds, ["silent", "flip"], "same")
    for fate, look in FATES.items():
        at = part.loc[fates == fate, "parted_at"].to_numpy(float)
        off = (0.5 - lanes.top) * (LOWER[fate] + 0.14 * rows.swaying(len(at)))
        lanes.ax.scatter(
            at, row + lanes.middle + off, s=13, alpha=0.6, linewidth=0, zorder=3,
            **look._asdict(),
        )  # fmt: skip
