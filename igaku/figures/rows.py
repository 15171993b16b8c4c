"""What figures share: axes of a fitting size, rows with names, and text that is whole.

On axes as narrow as a phone, the name of a row stands above its marks, not left of
them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from igaku.errors import IgakuError
from igaku.figures import style
from igaku.words import breadth, plain, say, word

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes

NARROW = 5.9  # inches of axes, below which names stand above their rows
LABEL = 31  # columns of a name beside its row
MOST = 16  # runs or pairs in one figure; the frame has them all
GOLDEN = 0.6180339887  # multiples of it, modulo 1, are spread evenly
BESIDE = 4  # texts at most that stand beside their marks

Draw = Callable[["pd.DataFrame", "Axes | None", str], "Axes"]


def figure(*needs: str) -> Callable[[Draw], Any]:
    """A figure's function: told which columns its frame needs, with a note for an empty
    one, a limit, and glyphs for any label.
    """

    def made(draw: Draw) -> Any:
        @wraps(draw)
        def drawn(
            frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en"
        ) -> Axes:
            import matplotlib as mpl

            families = [*mpl.rcParams["font.family"]]
            families += [name for name in style.fonts(lang) if name not in families]
            with mpl.rc_context({"font.family": families}):
                if frame.empty:
                    return say_nothing(axes_for(ax, 0), lang)
                check(draw.__name__, frame, needs)
                first, n = _first(frame)
                ax = draw(first, ax, lang)
                if n > MOST:
                    told = say("first_of", lang, drawn=MOST, of=n)
                    above(ax, 1, told, ha="right", xycoords="axes fraction")
                ax.tick_params(labelfontfamily=families)
                return ax

        return drawn

    return made


def check(name: str, frame: pd.DataFrame, needs: Sequence[str]) -> None:
    """Fail in one sentence if a figure's frame lacks a column that is drawn."""
    lacking = [column for column in needs if column not in frame]
    if lacking:
        raise IgakuError(
            f"igaku.figures.{name} needs the column{'s' * (len(lacking) > 1)} "
            f"{', '.join(lacking)}: "
            f"give it the frame that help(igaku.figures.{name}) names, or rows of it."
        )


def _first(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """As many runs, or pairs, as a figure shows, and how many there are."""
    # Rows of a plan are points of a few lines, of partings or a design parts of a few.
    if not {"repeats", "parted", "effort"}.isdisjoint(frame):
        return frame, 1
    if "run" not in frame:
        return frame.head(MOST), len(frame)
    met = set(frame["run"])
    names = [name for name in style.order(frame["run"]) if name in met]
    if len(names) > MOST:
        frame = frame[frame["run"].isin(names[:MOST])]
    return frame, len(names)


def axes_for(
    ax: Axes | None, rows: int, row: float = 0.42, least: float = 0.0, keys: int = 0
) -> Axes:
    """The axes given, else new ones as wide as figures are, with room for the rows.

    `keys` are the lines of a key that stands below where the axes are narrow.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax
    width = mpl.rcParams["figure.figsize"][0]
    if 0.9 * width < NARROW:
        row, least = row + 0.2, least + 0.18 * keys
    tall = max(1.1 + row * max(rows, 1), least)
    return plt.subplots(figsize=(width, tall), layout="tight")[1]


def is_narrow(ax: Axes) -> bool:
    """Whether the axes have no room for names at their left."""
    return size(ax)[0] < NARROW


def size(ax: Axes) -> tuple[float, float]:
    """About how wide axes are with all that stands beside them, and how tall without
    what stands above and below, in inches.
    """
    figure, spec = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    grid = spec.get_gridspec() if spec else None
    across, down = (grid.ncols, grid.nrows) if grid else (1, 1)
    wide, tall = figure.get_size_inches()
    return 0.9 * wide / across, max(0.5, tall / down - 1)


def room(ax: Axes) -> int:
    """How many columns of small print go across narrow axes."""
    return int(72 * size(ax)[0] / (0.53 * style.small()))


def fitted(text: object, width: int = LABEL, lines: int = 2) -> str:
    r"""A label of so many lines at most, drawn as it is written.

    The dollar sign is escaped, as two of them start a formula; a legend drops a label
    that starts with an underscore.

    >>> fitted("mlx-community/gpt-oss-20b-MXFP4-Q8")
    'mlx-community/gpt-\noss-20b-MXFP4-Q8'
    >>> fitted("_$x$")
    ' _\\$x\\$'
    """
    whole = " ".join(plain(text).split())
    room = max(8, width * len(whole) // max(breadth(whole), 1))
    parts = textwrap.wrap(whole, room)
    if len(parts) > lines:  # the end tells names apart as often as the beginning does
        parts = [*parts[: lines - 1], f"…{whole[1 - room :]}"]
    told = "\n".join(parts)
    return told.replace("$", r"\$").replace("_", " _", told[:1] == "_")


def named(frame: pd.DataFrame, lang: str) -> dict[str, str]:
    """What each run is called: its label, where the frame has labels.

    Where measured, recorded and other numbers meet, the name says which kind it is.
    """
    told = [name for name in ("run", "label", "origin") if name in frame]
    runs = frame[told].drop_duplicates("run").astype({"run": str}).set_index("run")
    names = runs.index.to_series()
    if "label" in runs:
        names = runs["label"].fillna(names)
    if "origin" in runs and runs["origin"].nunique() > 1:
        names = names + [f" [{word('origin', kind, lang)}]" for kind in runs["origin"]]
    return {str(run): str(name) for run, name in names.items()}


@dataclass(frozen=True)
class Lanes:
    """Where in their rows the data have room: `middle` and the ends, from its place."""

    ax: Axes
    n: int
    top: float = -0.5
    middle: float = 0.0

    def upright(self, x: float, ys: Sequence[int] | None = None, **look: Any) -> None:
        """A line up through the data of every row, or of some, and through no name."""
        ys = range(self.n) if ys is None else ys
        starts, ends = [y + self.top for y in ys], [y + 0.5 for y in ys]
        self.ax.vlines([x] * len(ys), starts, ends, **look)

    def dashed(self, x: float, ys: Sequence[int] | None = None) -> None:
        """The line of a limit: a wall, a mark, a margin."""
        self.upright(x, ys, color=style.INK, linestyle=(0, (4, 3)), linewidth=0.9)

    def shade(self, low: float, high: float) -> None:
        """A band behind the data of every row."""
        ys = [y + (self.top + 0.5) / 2 for y in range(self.n)]
        self.ax.barh(
            ys, high - low, 0.5 - self.top, low, color=style.RULE, alpha=0.55,
            linewidth=0, zorder=0,
        )  # fmt: skip


Name = str | tuple[str, ...]


def name_rows(
    ax: Axes, names: Sequence[Name], beside: Sequence[str], heads: int = 1
) -> Lanes:
    """Names the rows, with a text beside each, and leaves the data their lanes.

    On narrow axes both stand above the marks, on `heads` lines.
    """
    n = len(names)
    ax.set_ylim(max(n, 1) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    if not is_narrow(ax):
        ax.set_yticks(range(n), [_name(name, LABEL) for name in names])
        for y, text in enumerate(beside):
            note(ax, (1, y), text, (8, 0), va="center")
        return Lanes(ax, n)
    ax.set_yticks([])
    ax.grid(visible=False)
    for y, (name, text) in enumerate(zip(names, beside, strict=True)):
        is_apart = heads > 1
        free = room(ax) if is_apart else max(16, room(ax) - breadth(text) - 2)
        told = _above(name, free, heads - 1)
        note(ax, (0, y - 0.49), told, va="top", linespacing=1.1)
        down = (0, -1.3 * style.small() * (1 + told.count("\n")))
        at, by = ((0, y - 0.49), down) if is_apart else ((1, y - 0.49), (0, 0))
        side = "left" if is_apart else "right"
        note(ax, at, text, by, va="top", ha=side, color=style.FAINT)
    top = min(0.2, (2 + 1.25 * style.small() * heads) / (72 * size(ax)[1] / n) - 0.5)
    return Lanes(ax, n, top, (top + 0.5) / 2)


def _name(name: Name, width: int) -> str:
    """A name, or the two of a pair, each on a line of its own."""
    if isinstance(name, str):
        return fitted(name, width)
    return "\n− ".join(fitted(each, width - 2, 1) for each in name)


def _above(name: Name, width: int, lines: int) -> str:
    """A name above its row: on one line where it fits, else on as many as there are."""
    whole = name if isinstance(name, str) else " − ".join(name)
    if isinstance(name, str) or lines < 2 or breadth(whole) <= width:
        return fitted(whole, width, max(lines, 1))
    return _name(name, width)


def note(
    ax: Axes, at: tuple[float, float], text: str, by: Any = (0, 0), **more: Any
) -> None:
    """Small print, moved by some points from a place: an axes fraction across and a
    row down, or as `xycoords` says.
    """
    look: dict[str, Any] = {
        "fontsize": style.small(), "xycoords": ("axes fraction", "data"), **more
    }  # fmt: skip
    ax.annotate(text, at, by, textcoords="offset points", annotation_clip=False, **look)


def columns_beside(
    ax: Axes, told: Sequence[Sequence[str]], heads: Sequence[str], xs: Sequence[int]
) -> None:
    """Texts right of the rows, in columns with a heading each, `xs` points away."""
    for i, (head, x) in enumerate(zip(heads, xs, strict=True)):
        for y, texts in enumerate(told):
            note(ax, (1, y), texts[i], (x, 0), va="center")
        above(ax, 1, head, (x, 3), ha="left", xycoords="axes fraction")


def part_beside(ax: Axes, y: int, share: float) -> None:
    """A small bar with a part of it filled, below the two lines of text of its row.

    It is no length along the axis, so it stands off it: on narrow axes at the end of
    the second line.
    """
    from matplotlib.offsetbox import AnnotationBbox, DrawingArea
    from matplotlib.patches import Rectangle

    is_above = is_narrow(ax)
    wide, down = (44, y - 0.49) if is_above else (64, y)
    bar, by = DrawingArea(wide, 5), (0 if is_above else 8, -1.85 * style.small())
    for part, colour in ((1, style.RULE), (share, style.BLUE)):
        bar.add_artist(Rectangle((0, 0), wide * part, 5, color=colour, linewidth=0))
    placed = AnnotationBbox(
        bar, (1, down), by, xycoords=("axes fraction", "data"), frameon=False, pad=0,
        boxcoords="offset points", box_alignment=(float(is_above), 0.5),
        annotation_clip=False,
    )  # fmt: skip
    ax.add_artist(placed)


def above(ax: Axes, x: float, text: str, by: Any = (0, 3), **more: Any) -> None:
    """Small print above the axes, at a place along them."""
    look = {"xycoords": ("data", "axes fraction"), "ha": "center"} | more
    note(ax, (x, 1), text, by, va="bottom", linespacing=1.1, **look)


def names_above(
    ax: Axes,
    names: Sequence[tuple[float, str]],
    tall: int,
    taken: float = float("-inf"),
    ha: str = "center",
) -> int:
    """Names of places along the axis, each above the last where they would touch.

    They are `tall` points high; the first `taken` points of the lowest level are not
    free. How many levels there are.
    """
    ends = [taken]  # of what stands on each level, in points
    for x, name in names:
        wide = 0.6 * style.small() * max(map(breadth, name.split("\n")))
        start = _points_along(ax, x) - wide * (0.5 if ha == "center" else 1)
        level = next((i for i, end in enumerate(ends) if end < start), len(ends))
        ends[level : level + 1] = [start + wide + 4]
        above(ax, x, name, (0, 3 + tall * level), ha=ha)
    return len(ends)


def _points_along(ax: Axes, at: float) -> float:
    """About how far along the axis a place is, in points, before the layout is made."""
    low, high, x = ax.xaxis.get_transform().transform([*ax.get_xlim(), at])
    wide = 72 * size(ax)[0] * (1.0 if is_narrow(ax) else 0.72)
    return float(wide * (x - low) / (high - low))


@dataclass(frozen=True)
class Mark:
    """What stands for one run or several: a text, where its mark is, how it looks."""

    text: str
    x: float
    y: float
    look: dict[str, Any]


def label_marks(
    ax: Axes, marks: Sequence[Mark], is_inside: bool = False, drop: float = 0
) -> None:
    """Each text beside its mark, or led to it from the margin; or a key, if narrow.

    Beside it, it may stand some points lower.
    """
    if is_narrow(ax) or (is_inside and len(marks) > BESIDE):
        key_below(ax, marks, 1 if is_narrow(ax) else 2)
        return
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    lines = max((1 + each.text.count("\n") for each in marks), default=1)
    point = (high - low) / (72 * size(ax)[1])
    gap = point * (1.25 * lines * style.small() + 4)
    places = spread([mark.y for mark in marks], gap)
    over = max(0, max(places) + gap / 2 - high) - max(0, low - min(places) + gap / 2)
    lead = {"arrowstyle": "-", "color": style.FAINT, "linewidth": 0.7, "shrinkA": 2}
    for each, y in zip(marks, places, strict=True):
        is_left = is_inside and each.x > left + 0.6 * (right - left)
        y -= over
        away = (-12 if is_left else 12, (y - each.y) / point - drop)
        is_led = not is_inside or abs(away[1] + drop) > style.small()
        arrow = lead | {"shrinkB": 5, "relpos": (float(is_left), 0.5)}
        ax.annotate(
            each.text, (each.x, each.y), away if is_inside else (1.04, y), va="center",
            textcoords="offset points" if is_inside else ("axes fraction", "data"),
            ha="right" if is_left else "left", annotation_clip=False, zorder=5,
            fontsize=style.small(), path_effects=style.halo() if is_inside else [],
            arrowprops=arrow if is_led else None,
        )  # fmt: skip


def key_below(ax: Axes, marks: Sequence[Mark], ncols: int = 1) -> None:
    """The key to the marks, below the axes and their label."""
    from matplotlib.transforms import ScaledTranslation

    figure = ax.get_figure(root=True)
    assert figure is not None
    down = ScaledTranslation(0, -4.2 * style.small() / 72, figure.dpi_scale_trans)
    _key(
        ax, marks, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0,
        bbox_transform=ax.transAxes + down, ncols=ncols,
    )  # fmt: skip


def key_above(
    ax: Axes, looks: dict[str, style.Look], block: str, lang: str, **more: Any
) -> None:
    """The key to a few kinds of marks, on one line above the axes."""
    marks = [
        Mark(say(f"{block}_{name}", lang), 0, 0, {"ls": ""} | look._asdict() | more)
        for name, look in looks.items()
    ]
    _key(
        ax, marks, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.4,
        ncols=len(marks), handlelength=1.2, handletextpad=0.1, columnspacing=1,
    )  # fmt: skip


def _key(ax: Axes, marks: Sequence[Mark], **place: Any) -> None:
    handles = [ax.plot([], [], label=each.text, **each.look)[0] for each in marks]
    ax.legend(handles=handles, fontsize=style.small(), borderpad=0, **place)


def doublings(ax: Axes, least: float, most: float) -> None:
    """An axis of lengths that goes by doublings."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log", base=2)
    ax.set_xlim(least, most)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.xaxis.set_minor_locator(NullLocator())


def swaying(n: int) -> np.ndarray:
    """How far each of so many marks stands off its lane, from −½ to ½, at no random."""
    import numpy as np

    return np.arange(n) * GOLDEN % 1 - 0.5


def percent(axis: Any) -> None:
    """An axis of fractions, read in percent."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1))


def entitle(ax: Axes, block: str, lang: str, pad: float = 6, **numbers: Any) -> None:
    """The title: one short line, or two where the axes are narrow."""
    text = fitted(say(block, lang, **numbers), int(0.88 * room(ax)))
    ax.set_title(text, pad=pad, loc="left")


def say_nothing(ax: Axes, lang: str) -> Axes:
    """Axes that say that there is nothing to draw."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, say("figure_of_nothing", lang), ha="center", va="center",
        transform=ax.transAxes, color=style.FAINT,
    )  # fmt: skip
    return ax


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Places for texts beside values, moved as little as keeps them `gap` apart.

    >>> [round(v, 3) for v in spread([5.0, 1.0, 5.1], 0.5)]
    [4.8, 1.0, 5.3]
    """
    import numpy as np
    from scipy.optimize import isotonic_regression

    order, steps = np.argsort(values, kind="stable"), gap * np.arange(len(values))
    places = np.empty(len(values))
    places[order] = isotonic_regression(np.asarray(values)[order] - steps).x + steps
    return [float(place) for place in places.round(12)]  # what has room stays
