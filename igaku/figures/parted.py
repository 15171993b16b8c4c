"""Where replies part: how long two variants say the same, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from igaku.figures import rows, style
from igaku.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FATES = (
    ("same", style.FAINT, "o", -0.2), ("flip", style.BLUE, "s", 0.06),
    ("silent", style.VERMILLION, ">", 0.3),
)  # fmt: skip
GOLDEN = 0.6180339887


@rows.figure("candidate", "reference", "parted", "parted_at", "flip", "silent")
def partings(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """Where the replies of each pair part, one mark a question, one row a pair.

    `frame` is of `igaku.study.partings`, or several of them one below the other: grey
    where both were right or both were not, blue where the question flips, vermillion
    where one of the two gave no answer. Replies that do not part have no mark: they are
    counted beside the row.
    """
    pairs = [
        *frame[["candidate", "reference"]].drop_duplicates().itertuples(index=False)
    ]
    ax = rows.axes_for(ax, len(pairs), 0.62)
    parts = [
        frame[(frame["candidate"] == each[0]) & (frame["reference"] == each[1])]
        for each in pairs
    ]
    beside = [
        say("partings_alike", lang, alike=int((~part["parted"]).sum()), n=len(part))
        for part in parts
    ]
    lanes = rows.name_rows(ax, [tuple(map(str, each)) for each in pairs], beside, 2)
    for row, part in enumerate(parts):
        _draw(lanes, row, part[part["parted"]])
    _fit(ax, frame)
    unit = frame["unit"].iloc[0] if "unit" in frame else "character"
    ax.set_xlabel(say(f"partings_{unit}", lang), loc="left")
    rows.entitle(ax, "partings_title", lang, pad=24)
    rows.key_above(ax, {
        say(f"fate_{name}", lang):
            {"marker": marker, "color": _colour(name), "markersize": 5}
        for name, _, marker, _ in FATES
    })  # fmt: skip
    return ax


def fate_of(frame: pd.DataFrame) -> pd.Series:
    """What became of each pair of replies: silent, else flip, else same."""
    silent, flip = frame["silent"] != "neither", frame["flip"].notna()
    told = np.select([silent, flip], ["silent", "flip"], "same")
    return pd.Series(told, frame.index)


def _colour(name: str) -> str:
    if name == "same":
        return style.faint()
    return style.seen(next(colour for fate, colour, *_ in FATES if fate == name))


def _draw(lanes: rows.Lanes, row: int, part: pd.DataFrame) -> None:
    """One pair's partings, each fate on a level of its own."""
    fates = fate_of(part)
    for name, _, marker, down in FATES:
        at = part.loc[fates == name, "parted_at"].to_numpy(float)
        sway = 0.14 * ((np.arange(len(at)) * GOLDEN) % 1 - 0.5)
        scale = 0.5 - lanes.top
        lanes.ax.scatter(
            at, row + lanes.middle + scale * (down + sway), s=13, marker=marker,
            color=_colour(name), alpha=0.6, linewidth=0, zorder=3,
        )  # fmt: skip


def _fit(ax: Axes, frame: pd.DataFrame) -> None:
    """An axis by doublings, from before the first parting to beyond the last."""
    from matplotlib.ticker import LogLocator, NullLocator

    places = frame.loc[frame["parted"], "parted_at"].astype(float)
    first, last = (places.min(), places.max()) if len(places) else (1, 2)
    ax.set_xscale("log", base=2)
    ax.set_xlim(first / 1.7, 1.3 * last)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.xaxis.set_minor_locator(NullLocator())
