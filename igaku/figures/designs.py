"""A design at a glance: what every combination of model, effort and budget gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.words import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TALL = 0.86  # of a lane, that its bars take together
RIGHT = "#56B4E9"
KINDS = ("lost", "wrong", "right")  # from the left


@rows.figure("run", "effort", "budget", "n", "lost", "right")
def crossed(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """What became of the replies: one lane a budget and effort, one bar a model.

    `frame` is of `igaku.study.crossed`, of one design: run, effort, budget, n, lost,
    right and, where there is, label. Bars are the shares of n that were lost, answered
    wrong and answered right; equal bars in a lane: the model made no difference.
    """
    drawn = frame.sort_values("budget", kind="stable")
    lanes = drawn.groupby(["budget", "effort"], sort=False)
    order = list(drawn[["budget", "effort"]].drop_duplicates().itertuples(index=False))
    most = max(len(part) for _, part in lanes)
    ax = rows.axes_for(ax, len(order), 0.24 * most + 0.06)
    names = [say("crossed_lane", lang, budget=b, effort=e) for b, e in order]
    placed = rows.name_rows(ax, names, [""] * len(order))
    labels = rows.named(drawn, lang)
    tall = TALL * (0.5 - placed.top) / most
    for y, key in enumerate(order):
        for i, row in enumerate(lanes.get_group(key).to_dict("records")):
            top = y + placed.top + (1 - TALL) * (0.5 - placed.top) / 2
            label = rows.fitted(labels[str(row["run"])], lines=1)
            _bar(ax, row | {"label": label}, top + (i + 0.5) * tall, 0.9 * tall, lang)
    _finish(ax, lang)
    return ax


def _bar(ax: Axes, row: Any, y: float, tall: float, lang: str) -> None:
    """One condition: its shares from the left, with the counts written on them."""
    counts = {"lost": row["lost"], "right": row["right"]}
    counts["wrong"] = row["n"] - row["lost"] - row["right"]
    start = 0.0
    for kind in KINDS:
        share = counts[kind] / row["n"]
        ax.barh(y, share, tall, start, color=_colour(kind), linewidth=0)
        start += share
    told = say("crossed_bar", lang, label=row["label"], **counts)
    ax.annotate(
        told, (0, y), (4, 0), va="center",
        textcoords="offset points", fontsize=style.small(), color=style.ink(),
        path_effects=style.halo(),
    )  # fmt: skip


def _colour(kind: str) -> str:
    shades = {"lost": style.VERMILLION, "right": RIGHT}
    return style.seen(shades[kind]) if kind in shades else style.rule()


def _finish(ax: Axes, lang: str) -> None:
    ax.set_xlim(0, 1)
    rows.percent(ax.xaxis)
    ax.set_xlabel(say("crossed_axis", lang))
    looks = {
        say(f"crossed_{kind}", lang): {"color": _colour(kind), "marker": "s"}
        for kind in KINDS
    }
    rows.key_above(ax, looks)
    rows.entitle(ax, "crossed_title", lang, pad=22)
