"""Figures of scores: by run, section and size, and against the lines of the exam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.words import PASS_MARK, formatted, say, word

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@rows.figure
def accuracy(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of right answers of each run, with its Wilson interval.

    `frame` is of `igaku.runs`: run, right, asked, accuracy, low, high and, where there
    are, label, status, counted, role, origin, color, marker. References stand below a
    line; a run that is not counted is hollow.
    """
    frame = _references_last(frame)
    ax = rows.axes_for(ax, len(frame), 0.34)
    if frame.empty:
        return rows.say_nothing(ax, lang)
    looks = style.style_of(frame)
    scores: list[Any] = frame.to_dict("records")
    beside = [_score_of(row, lang) for row in scores]
    lanes = rows.name_rows(ax, rows.named(frame).to_list(), beside)
    for y, row in enumerate(scores):
        _interval(ax, row, y + lanes.middle, looks[str(row["run"])])
    _rule_off_references(ax, frame)
    ax.set_xlim(0, 1)
    if not _is_lab(frame):
        _pass_mark(lanes, lang)
    _percent(ax.xaxis)
    ax.set_xlabel(say("accuracy_axis", lang))
    rows.entitle(ax, "accuracy_title", lang, pad=18)
    return ax


def _references_last(frame: pd.DataFrame) -> pd.DataFrame:
    if "role" not in frame:
        return frame
    return frame.sort_values(
        "role", key=lambda role: role == "reference", kind="stable"
    )


def _rule_off_references(ax: Axes, frame: pd.DataFrame) -> None:
    if "role" not in frame:
        return
    measured = int((frame["role"] != "reference").sum())
    if 0 < measured < len(frame):
        ax.axhline(measured - 0.5, color=style.faint(), linewidth=0.8)


def _is_lab(frame: pd.DataFrame) -> bool:
    """Whether every run sat the lab's exam, which has no pass mark."""
    return "origin" in frame and bool((frame["origin"] == "lab").all())


def _score_of(row: dict[str, Any], lang: str) -> str:
    """286/400 = 71.5%, and what keeps a run from being read like the others."""
    told = f"{row['right']}/{row['asked']} = {formatted(row['accuracy'], 'share')}"
    notes = []
    if str(row.get("status", "OK")) != "OK":
        notes.append(word("status", row["status"], lang))
    if not row.get("counted", True):
        notes.append(say("not_counted", lang))
    return f"{told}  {', '.join(notes)}" if notes else told


def _interval(ax: Axes, row: dict[str, Any], y: float, look: style.Look) -> None:
    colour = style.faint() if row.get("role") == "reference" else look.colour
    ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2)
    face = colour if row.get("counted", True) else style.paper()
    ax.plot(
        [row["accuracy"]], [y], marker=look.marker, color=colour, markersize=7,
        markerfacecolor=face, clip_on=False, zorder=3,
    )  # fmt: skip


def _pass_mark(lanes: rows.Lanes, lang: str) -> None:
    lanes.dashed(PASS_MARK)
    lanes.ax.annotate(
        say("pass_mark", lang, mark=PASS_MARK), (PASS_MARK, 1), (0, 3), ha="center",
        xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
        fontsize=style.small(),
    )  # fmt: skip


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0))
