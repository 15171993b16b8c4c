"""Figures of parts of the exam: sections, strata, and the lines that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from igaku.figures import rows, style
from igaku.words import is_missing, say, word

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SHADE = "#56B4E9"  # of a section that was all right
VERDICT = ("compulsory", "rest", "kinki")
PARTS = {
    "compulsory": style.Look(style.BLUE, "s"),
    "rest": style.Look(style.GREEN, "o"),
    "line": style.Look(style.INK, "|"),
}
SIGNS = {"compulsory": "■ ", "rest": "● ", "kinki": ""}


@rows.figure("run", "section", "asked", "right")
def sections(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """How many questions of each section a run had right; hatched where not asked.

    `frame` is of `igaku.study.sections`: run, section, asked, right and, where there
    are, label, planned. The last column is the sum.
    """
    import seaborn as sns

    names = list(frame["run"].unique())
    ax = rows.axes_for(ax, len(names), 0.44)
    labels = rows.named(frame, lang)
    lanes = rows.name_rows(ax, [labels[str(n)] for n in names], [""] * len(names))
    heads = list(frame["section"].unique())
    planned = "planned" if "planned" in frame else "asked"
    shades = sns.light_palette(SHADE, as_cmap=True)  # the darker the more
    counts = ["right", "asked", planned]
    known = frame.set_index(["run", "section"])[counts].fillna(0).astype(int)
    for y, name in enumerate(names):
        part = known.loc[name].reindex(heads, fill_value=0).to_numpy()
        for x, (right, asked, size) in enumerate([*part, part.sum(axis=0)]):
            fill = shades(right / asked) if asked else None
            _cell(lanes, x, y, _told(right, asked, size, lang), fill)
    _heads(ax, frame, heads, planned, lang)
    rows.entitle(ax, "sections_title", lang, pad=12 + 2.4 * style.small())
    return ax


def _told(right: int, asked: int, planned: int, lang: str) -> str:
    """57/75 and 76 %, or how many there were to ask where not all of them were."""
    if not asked:
        return word("outcome", "not_run", lang).replace(" ", "\n")
    if asked < planned:
        return f"{right}/{asked}\n{say('partly_asked', lang, n=planned)}"
    return f"{right}/{asked}\n{right / asked:.0%}"


def _cell(lanes: rows.Lanes, x: int, y: int, text: str, fill: Any) -> None:
    """A section of a run in the colour of its share; hatched if it was not asked."""
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    top, tall = y + lanes.top + 0.03, 0.47 - lanes.top
    look: dict[str, Any] = {"facecolor": "none", "hatch": "////"}
    colour = style.FAINT
    if fill is not None:
        look = {"facecolor": to_hex(fill)}
        colour = style.INK if sum(fill[:3]) > 1.5 else "white"
    look |= {"edgecolor": style.RULE, "linewidth": 0, "in_layout": False}
    # No patch: those are measured, for limits that are known here.
    lanes.ax.add_artist(Rectangle((x + 0.02, top), 0.96, tall, **look))
    lanes.ax.text(
        x + 0.5, top + tall / 2, text, ha="center", va="center", color=colour,
        fontsize=style.small(), linespacing=1.05, in_layout=False,
    )  # fmt: skip


def _heads(
    ax: Axes, frame: pd.DataFrame, heads: list[Any], planned: str, lang: str
) -> None:
    """The sections above their columns, with how many questions each has."""
    sizes = frame.groupby("section")[planned].max()
    sizes = sizes.reindex(heads)
    named = [*map(rows.fitted, heads), say("sections_all", lang)]
    told = [
        f"{name}\n" + ("" if is_missing(size) else f"n = {int(size)}")
        for name, size in zip(named, [*sizes, sizes.sum()], strict=True)
    ]
    ax.set_xticks([x + 0.5 for x in range(len(told))], told)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_xlim(0, len(told))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


@rows.figure("stratum", "level", "run", "n", "accuracy", "low", "high")
def strata(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
    """The share of right answers in each level of a stratum, one mark a run.

    `frame` is of `igaku.study.strata`, of one stratum or a few: stratum, level, run, n,
    accuracy, low, high and, where there are, label, color, marker.
    """
    keys = ["stratum", "level"]
    sizes = frame.groupby(keys, sort=False, observed=True)["n"].agg(["min", "max"])
    levels = [*sizes.index]
    runs = list(frame["run"].unique())
    ax = rows.axes_for(ax, len(levels) + 1, 0.2 + 0.13 * len(runs))
    several = frame["stratum"].nunique() > 1
    names = [_level(stratum, level, several, lang) for stratum, level in levels]
    beside = [
        say("of_questions", lang, n=f"{a}–{b}" if a < b else str(a))
        for a, b in sizes.astype(int).to_numpy()
    ]
    lanes = rows.name_rows(ax, names, beside)
    looks = style.style_of(frame)
    step = 0.8 * (0.5 - lanes.top) / max(len(runs), 2)
    at = {level: y + lanes.middle for y, level in enumerate(levels)}
    for i, run in enumerate(runs):
        shares: list[Any] = frame[frame["run"] == run].to_dict("records")
        off = step * (i - (len(runs) - 1) / 2)
        ys = [at[row["stratum"], row["level"]] + off for row in shares]
        intervals(ax, shares, ys, looks[str(run)], looks[str(run)].color, size=5)
    ax.set_xlim(0, 1)
    rows.percent(ax.xaxis)
    ax.set_xlabel(say("accuracy_axis", lang))
    if len(runs) > 1:
        marks = [
            rows.Mark(rows.fitted(label, 40, 1), 0, 0, looks[run]._asdict())
            for run, label in rows.named(frame, lang).items()
        ]
        rows.key_below(ax, marks, ncols=1 if rows.is_narrow(ax) else 3)
    told = "" if several else word("stratum", levels[0][0], lang)
    rows.entitle(ax, "strata_title", lang, stratum=told)
    return ax


def _level(stratum: str, level: str, several: bool, lang: str) -> str:
    told = word("level", level, lang)
    return f"{word('stratum', stratum, lang)}: {told}" if several else told


def intervals(
    ax: Axes,
    shares: list[Any],
    ys: list[float],
    look: style.Look,
    face: str,
    size: float = 7,
) -> None:
    """Shares of one run with their intervals, each along a row of its own."""
    apart = float("nan")
    spans = [end for row in shares for end in (row["low"], row["high"], apart)]
    ax.plot(spans, [y for y in ys for _ in range(3)], color=look.color, linewidth=2)
    ax.plot(
        [row["accuracy"] for row in shares], ys, marker=look.marker, color=look.color,
        markersize=size, markerfacecolor=face, clip_on=False, linestyle="", zorder=3,
    )  # fmt: skip


# --- official lines -------------------------------------------------------------------


@rows.figure("run", "part", "points", "possible", "line", "passed")
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
    labels = rows.named(frame, lang)
    parts = [
        frame[frame["run"] == name].set_index("part").to_dict("index") for name in names
    ]
    told = [_verdict_of(each, lang) for each in parts]
    is_narrow = rows.is_narrow(ax)
    beside = ["  ".join(each) if is_narrow else "" for each in told]
    lanes = rows.name_rows(ax, [labels[str(n)] for n in names], beside, heads=2)
    for y, each in enumerate(parts):
        for part, off in (("compulsory", -0.12), ("rest", 0.12)):
            if part in each:
                middle = y + lanes.middle + off * (1 - lanes.top)
                _part(ax, each[part], middle, PARTS[part])
    rows.percent(ax.xaxis)
    ax.margins(x=0.08)
    ax.locator_params(axis="x", nbins=5)
    checked = "verified" not in frame or bool(frame["verified"].all())
    ax.set_xlabel(say("verdict_axis", lang, checked=checked))
    if is_narrow:
        rows.key_above(ax, PARTS, "part", lang, markersize=7)
    else:
        heads = [SIGNS[part] + say(f"part_{part}", lang) for part in VERDICT]
        rows.columns_beside(ax, told, heads, (8, 112, 216))
    rows.entitle(ax, "verdict_title", lang, pad=20)
    return ax


def _part(ax: Axes, part: dict[str, Any], y: float, look: style.Look) -> None:
    """The points of a part, with the way to its line."""
    at, line = (part[key] / part["possible"] for key in ("points", "line"))
    ax.vlines([line], y - 0.13, y + 0.13, color=style.INK, linewidth=1.6)
    ax.plot([at, line], [y, y], color=look.color, linewidth=1)
    face = look.color if part["passed"] else style.PAPER
    ax.plot([at], [y], markersize=7, zorder=3, markerfacecolor=face, **look._asdict())


def _verdict_of(parts: dict[Any, Any], lang: str) -> list[str]:
    """What a run has of each part and what it lacks; nothing for a part not judged."""
    told = dict.fromkeys(VERDICT, "")
    for name in parts.keys() & told.keys():
        counts = {key: int(parts[name][key]) for key in ("points", "possible", "line")}
        short = max(0, counts["line"] - counts["points"])
        told[name] = say(f"verdict_{name}", lang, **counts, short=short)
    return [*told.values()]
