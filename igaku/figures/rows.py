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
from unicodedata import east_asian_width

from igaku.figures import style
from igaku.words import plain, say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

NARROW = 4.2  # inches of axes, below which names stand above their rows
LABEL = 28  # columns of a name beside its row
ACROSS = 58  # columns of print across narrow axes

Draw = Callable[["pd.DataFrame", "Axes | None", str], "Axes"]


def figure(draw: Draw) -> Any:
    """A figure's function, with glyphs for a label in either language."""

    @wraps(draw)
    def drawn(frame: pd.DataFrame, ax: Axes | None = None, lang: str = "en") -> Axes:
        import matplotlib as mpl

        families = [*mpl.rcParams["font.family"]]
        families += [name for name in style.fonts(lang) if name not in families]
        with mpl.rc_context({"font.family": families}):
            return draw(frame, ax, lang)

    return drawn


def axes_for(ax: Axes | None, rows: int, row: float = 0.42, least: float = 0.0) -> Axes:
    """The axes given, else new ones as wide as figures are, with room for the rows."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax
    width = mpl.rcParams["figure.figsize"][0]
    if width < NARROW:
        row += 0.2
    tall = max(1.1 + row * max(rows, 1), least)
    return plt.subplots(figsize=(width, tall), layout="constrained")[1]


def is_narrow(ax: Axes) -> bool:
    """Whether the axes have no room for names at their left."""
    return inches(ax) < NARROW


def inches(ax: Axes) -> float:
    """The width that axes have before anything stands beside them."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return 0.9 * figure.get_figwidth() * _share_of(ax)


def _share_of(ax: Axes) -> float:
    spec = ax.get_subplotspec()
    return 1.0 if spec is None else 1.0 / spec.get_gridspec().ncols


def _tall(ax: Axes) -> float:
    """About the height of axes in inches, without what stands above and below."""
    figure, spec = ax.get_figure(root=True), ax.get_subplotspec()
    assert figure is not None
    n = 1 if spec is None else spec.get_gridspec().nrows
    return max(0.5, figure.get_figheight() / n - 1)


def columns(text: str) -> int:
    """The columns that a text takes in print; a wide character takes two.

    >>> columns("8bit"), columns("正答")
    (4, 4)
    """
    return sum(1 + (east_asian_width(each) in "WF") for each in text)


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
    room = max(8, width * len(whole) // max(columns(whole), 1))
    parts = textwrap.wrap(whole, room)
    if len(parts) > lines:  # the end tells names apart as often as the beginning does
        parts = [*parts[: lines - 1], f"…{whole[1 - room :]}"]
    told = "\n".join(parts)
    return told.replace("$", r"\$").replace("_", " _", told[:1] == "_")


def named(frame: pd.DataFrame) -> pd.Series:
    """What each row's run is called: its label, where the frame has labels."""
    if "label" not in frame:
        return frame["run"]
    return frame["label"].fillna(frame["run"])


@dataclass(frozen=True)
class Lanes:
    """Where in their rows the data have room: `middle` and the ends, from its place."""

    ax: Axes
    n: int
    top: float = -0.5
    middle: float = 0.0

    def upright(self, x: float, **look: Any) -> None:
        """A line up through the data of every row, and through no name."""
        starts = [y + self.top for y in range(self.n)]
        ends = [y + 0.5 for y in range(self.n)]
        self.ax.vlines([x] * self.n, starts, ends, **look)

    def dashed(self, x: float) -> None:
        """The line of a limit: a wall, a mark, a margin."""
        self.upright(x, color=style.ink(), linestyle=(0, (4, 3)), linewidth=0.9)

    def shade(self, low: float, high: float) -> None:
        """A band behind the data of every row."""
        ys = [y + (self.top + 0.5) / 2 for y in range(self.n)]
        self.ax.barh(
            ys, high - low, 0.5 - self.top, low, color=style.rule(), alpha=0.55,
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
    ax.set_yticks(range(n), [""] * n)
    ax.grid(visible=False)
    for y, (name, text) in enumerate(zip(names, beside, strict=True)):
        is_apart = heads > 1
        room = ACROSS if is_apart else max(16, ACROSS - columns(text) - 2)
        told = _name(name, room).replace("\n", " ")
        note(ax, (0, y - 0.49), told, va="top")
        at, by = ((0, y - 0.49), (0, -12)) if is_apart else ((1, y - 0.49), (0, 0))
        side = "left" if is_apart else "right"
        note(ax, at, text, by, va="top", ha=side, color=style.faint())
    top = min(0.2, (2 + 1.25 * style.small() * heads) / (72 * _tall(ax) / n) - 0.5)
    return Lanes(ax, n, top, (top + 0.5) / 2)


def _name(name: Name, width: int) -> str:
    """A name, or the two of a pair with as much of each as fits."""
    if isinstance(name, str):
        return fitted(name, width, 2 if width == LABEL else 1)
    part = width if width == LABEL else width // len(name)
    return "\n− ".join(fitted(each, part - 2, 1) for each in name)


def note(
    ax: Axes, at: tuple[float, float], text: str, by: Any = (0, 0), **more: Any
) -> Any:
    """Small print at an axes fraction across and a row down, moved by some points."""
    look = {"fontsize": style.small(), "annotation_clip": False} | more
    return ax.annotate(
        text, at, by, xycoords=("axes fraction", "data"), textcoords="offset points",
        **look,
    )  # fmt: skip


def entitle(ax: Axes, block: str, lang: str, pad: float = 6, **numbers: Any) -> None:
    """The title: one short line, or two where the axes are narrow."""
    width = int(inches(ax) * 72 / (0.6 * style.small()))
    text = say(block, lang, **numbers)
    ax.set_title(fitted(text, width), pad=pad, loc="left")


def say_nothing(ax: Axes, lang: str) -> Axes:
    """Axes that say that there is nothing to draw."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, say("figure_of_nothing", lang), ha="center", va="center",
        transform=ax.transAxes, color=style.faint(),
    )  # fmt: skip
    return ax


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Places for texts beside values, moved as little as keeps them `gap` apart.

    >>> [round(v, 3) for v in spread([5.0, 1.0, 5.1], 0.5)]
    [4.8, 1.0, 5.3]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[list[float]] = []  # mean place, number of values
    for i in order:
        blocks.append([values[i], 1])
        while len(blocks) > 1 and _touch(blocks[-2], blocks[-1], gap):
            place, n = blocks.pop()
            mean, before = blocks[-1]
            blocks[-1] = [(mean * before + place * n) / (before + n), before + n]
    places = [
        place + gap * (k - (n - 1) / 2) for place, n in blocks for k in range(int(n))
    ]
    moved = dict(zip(order, places, strict=True))
    return [moved[i] for i in range(len(values))]


def _touch(a: Sequence[float], b: Sequence[float], gap: float) -> bool:
    return b[0] - a[0] < gap * (a[1] + b[1]) / 2
