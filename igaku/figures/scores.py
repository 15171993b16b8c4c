"""Figures of scores: what each run had right, and what its size buys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.figures.levels import intervals
from igaku.words import PASS_MARK, formatted, is_missing, say, word

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LABEL = 0.35  # of the axis that a label takes


@rows.figure("run", "right", "asked", "accuracy", "low", "high")
def accuracy(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of right answers of each run, with its Wilson interval.

    `frame` is of `igaku.runs`: run, right, asked, accuracy, low, high and, where there
    are, label, status, counted, role, origin, color, marker. References stand below a
    line; a run that is not counted is hollow.
    """
    frame = _references_last(frame)
    ax = rows.axes_for(ax, len(frame), 0.34)
    looks = style.style_of(frame)
    scores: list[Any] = frame.to_dict("records")
    beside = [_score_of(row, lang) for row in scores]
    lanes = rows.name_rows(ax, [*rows.named(frame, lang).values()], beside)
    for y, row in enumerate(scores):
        _draw(ax, row, y + lanes.middle, looks[str(row["run"])])
    _rule_off_references(ax, frame)
    ax.set_xlim(0, 1)
    if not _is_lab(frame):
        _pass_mark(lanes, lang)
    rows.percent(ax.xaxis)
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
    if not _is_counted(row):
        notes.append(say("not_counted", lang))
    return f"{told}  {', '.join(notes)}" if notes else told


def _draw(ax: Axes, row: dict[str, Any], y: float, look: style.Look) -> None:
    """A run's share along its row, hollow where the run is not counted."""
    if row.get("role") == "reference":
        look = style.Look(style.faint(), look.marker)
    face = look.color if _is_counted(row) else style.paper()
    intervals(ax, [row], [y], look, face)


def _is_counted(row: dict[str, Any]) -> bool:
    counted = row.get("counted", True)
    return bool(is_missing(counted) or counted)


def _pass_mark(lanes: rows.Lanes, lang: str) -> None:
    lanes.dashed(PASS_MARK)
    rows.above(lanes.ax, PASS_MARK, say("pass_mark", lang, mark=PASS_MARK))


@rows.figure("run", "size_gb", "accuracy", "low", "high")
def memory(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The size of the weights against the share of right answers.

    `frame` is of `igaku.runs`: run, size_gb, accuracy, low, high and, where there are,
    label, status, counted, exam, asked, color, marker. Of one exam only, that of the
    first; runs that are unfinished or not counted are left out if two others remain,
    and hollow if not. A run without a size is not drawn.
    """
    drawn = sized(frame)
    is_crowded = _is_crowded(drawn["size_gb"].astype(float))
    below = 0.2 * len(drawn) * is_crowded
    ax = rows.axes_for(ax, 0, least=3.4 + below, keys=2 * len(drawn))
    if drawn.empty:
        return rows.say_nothing(ax, lang)
    looks, most = style.style_of(drawn), float(drawn["size_gb"].max())
    runs: list[Any] = drawn.assign(label=[*rows.named(drawn, lang).values()]).to_dict(
        "records"
    )
    marks = [_size_mark(ax, row, looks[str(row["run"])], most, lang) for row in runs]
    sizes, ends = drawn["size_gb"].astype(float), drawn[["low", "high"]].to_numpy()
    room = 0.1 * (sizes.max() - sizes.min()) or 0.1 * most
    ax.set_xlim(sizes.min() - room, sizes.max() + room)
    edge = 0.15 * (ends.max() - ends.min()) or 0.05
    ax.set_ylim(max(0, ends.min() - edge), min(1, ends.max() + edge))
    rows.percent(ax.yaxis)
    unit, factor = _unit(most)
    ax.xaxis.set_major_formatter(lambda value, _: f"{factor * value:g}")
    if is_crowded:
        rows.key_below(ax, marks, 1 if rows.is_narrow(ax) else 2)
    else:
        rows.label_marks(ax, marks, is_inside=True, drop=14)
    ax.set_xlabel(say("memory_axis", lang, unit=unit))
    ax.set_ylabel(say("accuracy_axis", lang))
    rows.entitle(ax, "memory_title", lang)
    return ax


def _is_crowded(sizes: pd.Series) -> bool:
    """Whether a label beside its mark would stand on the line of another run."""
    steps = sizes.sort_values().diff().dropna()
    return bool((steps < LABEL * (sizes.max() - sizes.min())).any())


def sized(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that the figure compares: of one exam, and whole where there are two."""
    known = frame[frame["size_gb"].notna() & frame["accuracy"].notna()]
    if "exam" in known and len(known):
        known = known[known["exam"] == known["exam"].iloc[0]]
    records: list[Any] = known.to_dict("records")
    whole = known[[_is_whole(row) for row in records]]
    return whole if len(whole) > 1 else known


def _is_whole(row: dict[str, Any]) -> bool:
    return _is_counted(row) and str(row.get("status", "OK")) == "OK"


def _size_mark(
    ax: Axes, row: dict[str, Any], look: style.Look, most: float, lang: str
) -> rows.Mark:
    """A run at its true size, and what stands beside: size, share, how much smaller."""
    x, y = float(row["size_gb"]), float(row["accuracy"])
    face = look.color if _is_whole(row) else style.paper()
    shown: dict[str, Any] = {
        "color": look.color,
        "marker": look.marker,
        "markerfacecolor": face,
    }
    span = [row["low"], row["high"]]  # above the labels, which may hide no limit
    ax.plot([x, x], span, color=look.color, linewidth=2, zorder=6)
    ax.plot([x], [y], markersize=7, zorder=7, clip_on=False, **shown)
    unit, factor = _unit(most)
    text = say(
        "memory_label", lang, size=factor * x, unit=unit, accuracy=y,
        smaller=1 - x / most,
    )  # fmt: skip
    name = rows.fitted(row["label"])
    return rows.Mark(f"{name}\n{text}", x, y, shown)


def _unit(most: float) -> tuple[str, float]:
    """GB, or MB where every model is a small one; and how many of them make a GB."""
    return ("GB", 1.0) if most >= 1 else ("MB", 1000.0)
