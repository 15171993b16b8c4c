"""Figures of parts of the exam: sections, strata, and the lines that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.words import is_missing, say, word

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ALL = "all"
VERDICT = ("compulsory", "rest", "kinki")
PARTS = {"compulsory": ("s", style.BLUE), "rest": ("o", style.GREEN)}
SIGNS = {"s": "■ ", "o": "● "}


@rows.figure
def sections(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """How many questions of each section a run had right; hatched where not asked.

    `frame` is of `igaku.study.sections`: run, section, asked, right and, where there
    are, label, planned. The last column is the sum.
    """
    names = list(frame["run"].unique())
    ax = rows.axes_for(ax, len(names), 0.44)
    labels = dict(zip(frame["run"], rows.named(frame), strict=True))
    lanes = rows.name_rows(ax, [str(labels[n]) for n in names], [""] * len(names))
    heads = list(frame["section"].unique())
    for y, name in enumerate(names):
        part = frame[frame["run"] == name].set_index("section")[["asked", "right"]]
        part = part.reindex(heads, fill_value=0)
        part.loc[ALL] = part.sum()
        for x, (asked, right) in enumerate(part.astype(int).to_numpy()):
            _cell(lanes, x, y, int(asked), int(right), lang)
    _heads(ax, frame, heads, lang)
    rows.entitle(ax, "sections_title", lang, pad=8)
    return ax


def _cell(lanes: rows.Lanes, x: int, y: int, asked: int, right: int, lang: str) -> None:
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    top, tall = y + lanes.top + 0.03, 0.47 - lanes.top
    look: dict[str, Any] = {"facecolor": "none", "hatch": "////", "linewidth": 0}
    text, colour = word("outcome", "not_run", lang).replace(" ", "\n"), style.faint()
    if asked:
        fill = _shades()(right / asked)
        look = {"facecolor": to_hex(fill), "linewidth": 0}
        text = f"{right}/{asked}\n{right / asked:.0%}"
        colour = style.INK if sum(fill[:3]) > 1.5 else "white"
    lanes.ax.add_patch(
        Rectangle((x + 0.02, top), 0.96, tall, edgecolor=style.rule(), **look)
    )
    lanes.ax.text(
        x + 0.5, top + tall / 2, text, ha="center", va="center", color=colour,
        fontsize=style.small(), linespacing=1.05,
    )  # fmt: skip


def _shades() -> Any:
    """The colours of shares: pale on paper, deep on a dark page."""
    import seaborn as sns

    if style.is_dark():
        return sns.dark_palette(style.BLUE, as_cmap=True)
    return sns.light_palette(style.seen("#56B4E9"), as_cmap=True)


def _heads(ax: Axes, frame: pd.DataFrame, heads: list[Any], lang: str) -> None:
    """The sections above their columns, with how many questions each has."""
    column = "planned" if "planned" in frame else "asked"
    sizes = frame.groupby("section")[column].max()
    told = [f"{rows.fitted(head)}\n{_size(sizes[head])}" for head in heads]
    whole = f"{say('sections_all', lang)}\n{_size(sizes.sum())}"
    ax.set_xticks([x + 0.5 for x in range(len(told) + 1)], [*told, whole])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xlim(0, len(told) + 1)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _size(value: Any) -> str:
    return "" if is_missing(value) else f"n = {int(value)}"


@rows.figure
def strata(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of right answers in each level of a stratum, one mark a run.

    `frame` is of `igaku.study.strata`, of one stratum or a few: stratum, level, run, n,
    accuracy, low, high and, where there are, label, color, marker.
    """
    levels = frame[["stratum", "level"]].drop_duplicates().to_numpy().tolist()
    runs = list(frame["run"].unique())
    ax = rows.axes_for(ax, len(levels) + 1, 0.2 + 0.13 * len(runs))
    several = frame["stratum"].nunique() > 1
    names = [_level(stratum, level, several, lang) for stratum, level in levels]
    beside = [
        say("of_questions", lang, n=_span(frame[_is(frame, *level)]["n"]))
        for level in levels
    ]
    lanes = rows.name_rows(ax, names, beside)
    looks = style.style_of(frame)
    step = 0.8 * (0.5 - lanes.top) / max(len(runs), 2)
    for y, (stratum, level) in enumerate(levels):
        shares: list[Any] = frame[_is(frame, stratum, level)].to_dict("records")
        for row in shares:
            off = step * (runs.index(row["run"]) - (len(runs) - 1) / 2)
            look = looks[str(row["run"])]
            interval(ax, row, y + lanes.middle + off, look, look.color, size=5)
    ax.set_xlim(0, 1)
    rows.percent(ax.xaxis)
    ax.set_xlabel(say("accuracy_axis", lang))
    if len(runs) > 1:
        _run_key(ax, frame, looks)
    told = "" if several else word("stratum", levels[0][0], lang)
    rows.entitle(ax, "strata_title", lang, stratum=told)
    return ax


def _is(frame: pd.DataFrame, stratum: str, level: str) -> pd.Series:
    return (frame["stratum"] == stratum) & (frame["level"] == level)


def _level(stratum: str, level: str, several: bool, lang: str) -> str:
    told = word("level", level, lang)
    return f"{word('stratum', stratum, lang)}: {told}" if several else told


def _span(counts: pd.Series) -> str:
    least, most = int(counts.min()), int(counts.max())
    return f"{least}" if least == most else f"{least}–{most}"


def interval(
    ax: Axes,
    row: dict[str, Any],
    y: float,
    look: style.Look,
    face: str,
    size: float = 7,
) -> None:
    """A share with its interval along a row."""
    ax.plot([row["low"], row["high"]], [y, y], color=look.color, linewidth=2)
    ax.plot(
        [row["accuracy"]], [y], marker=look.marker, color=look.color, markersize=size,
        markerfacecolor=face, clip_on=False, zorder=3,
    )  # fmt: skip


def _run_key(ax: Axes, frame: pd.DataFrame, looks: dict[str, style.Look]) -> None:
    """Which mark is which run's, below the axes."""
    labels = dict(zip(frame["run"], rows.named(frame), strict=True))
    marks = [
        rows.Mark(rows.fitted(label, 40, 1), 0, 0, looks[str(run)]._asdict())
        for run, label in labels.items()
    ]
    rows.key_below(ax, marks, ncols=1 if rows.is_narrow(ax) else 3)


# --- official lines -------------------------------------------------------------------


@rows.figure
def verdict(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """Points of both parts of the exam against the official lines, one row a run.

    `frame` is of `igaku.study.official`: run, part, points, possible, line, passed and,
    where there is, label. Dashes are the lines, a hollow mark is below its line; how
    many prohibited options were chosen stands beside.
    """
    frame = frame[frame["line"].notna()]
    names = list(frame["run"].unique())
    ax = rows.axes_for(ax, len(names), 0.44)
    if not names:
        return rows.say_nothing(ax, lang)
    labels = dict(zip(frame["run"], rows.named(frame), strict=True))
    parts = [
        frame[frame["run"] == name].set_index("part").to_dict("index") for name in names
    ]
    told = [_verdict_of(each, lang) for each in parts]
    is_narrow = rows.is_narrow(ax)
    beside = ["  ".join(each) if is_narrow else "" for each in told]
    lanes = rows.name_rows(ax, [str(labels[n]) for n in names], beside, heads=2)
    for y, each in enumerate(parts):
        for (part, look), off in zip(PARTS.items(), (-0.12, 0.12), strict=True):
            if part in each:
                _part(ax, each[part], y + lanes.middle, off * (1 - lanes.top), look)
    rows.percent(ax.xaxis)
    ax.margins(x=0.08)
    ax.set_xlabel(say("verdict_axis", lang))
    if is_narrow:
        _part_key(ax, lang)
    else:
        heads = [_sign(part) + say(f"part_{part}", lang) for part in VERDICT]
        rows.columns_beside(ax, told, heads, (8, 106, 204))
    rows.entitle(ax, "verdict_title", lang, pad=20)
    return ax


def _part(
    ax: Axes, part: dict[str, Any], y: float, off: float, look: tuple[str, str]
) -> None:
    marker, colour = look[0], style.seen(look[1])
    line = part["line"] / part["possible"]
    ax.vlines([line], y + off - 0.13, y + off + 0.13, color=style.ink(), linewidth=1.6)
    at = part["points"] / part["possible"]
    ax.plot([at, line], [y + off] * 2, color=colour, linewidth=1)
    ax.plot(
        [at], [y + off], marker=marker, color=colour, markersize=7, zorder=3,
        markerfacecolor=colour if part["passed"] else style.paper(),
    )  # fmt: skip


def _verdict_of(parts: dict[Any, Any], lang: str) -> list[str]:
    """What a run has of each part and what it lacks; nothing for a part not judged."""
    return [
        say(f"verdict_{name}", lang, **_counts(parts[name])) if name in parts else ""
        for name in VERDICT
    ]


def _counts(part: dict[str, Any]) -> dict[str, int]:
    points, line = int(part["points"]), int(part["line"])
    return {
        "points": points, "possible": int(part["possible"]), "line": line,
        "short": max(0, line - points),
    }  # fmt: skip


def _sign(part: str) -> str:
    return SIGNS[PARTS[part][0]] if part in PARTS else ""


def _part_key(ax: Axes, lang: str) -> None:
    looks: dict[str, dict[str, Any]] = {
        say(f"part_{part}", lang): {"marker": marker, "color": style.seen(colour)}
        for part, (marker, colour) in PARTS.items()
    }
    line = {"marker": "|", "markersize": 9, "color": style.ink()}
    rows.key_above(ax, looks | {say("part_line", lang): line})
