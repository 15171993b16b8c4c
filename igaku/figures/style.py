"""How figures look: a colour and a marker per run, two languages.

Colour never carries meaning alone, so a figure survives a black and white print.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from igaku.words import checked, is_missing

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which readers with any colour vision tell apart.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
WIDE, SLIM = 9.0, 3.9  # inches: a notebook's cell, and a phone held upright
LEAST = 8.0  # points, the smallest print
PNG = {"compress_level": 3}  # a tenth larger than at 6, in half the time
INK, FAINT, RULE, PAPER = "#1f2328", "#6b7178", "#d5d9de", "#ffffff"


class Look(NamedTuple):
    """A run's colour and marker, as matplotlib takes them."""

    color: str
    marker: str


def use(lang: str = "en") -> None:
    """The look of every figure of a notebook: seaborn's theme, with Japanese glyphs.

    `seaborn.set_theme` forgets the font; call this in its place, or after it.
    """
    import matplotlib as mpl
    from IPython.core.getipython import get_ipython

    mpl.rcParams.update(_theme(lang, WIDE))
    mpl.rcParams["figure.autolayout"] = True  # so nothing lies outside
    if kernel := get_ipython():
        _print_once(kernel)


def _print_once(kernel: Any) -> None:
    """Have a notebook draw each figure once; it is three times unless told.

    To look for what lies outside, to make the layout, and because a cell has ended.
    """
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("png", bbox_inches=None, pil_kwargs=PNG)
    ended = kernel.events.callbacks["post_execute"]
    if _arrange_all not in ended:
        ended.insert(0, _arrange_all)


def _arrange_all() -> None:
    import matplotlib.pyplot as plt

    for figure in map(plt.figure, plt.get_fignums()):
        arrange(figure)
        figure.stale = False


def arrange(figure: Figure) -> None:
    """Make a figure's layout, once and for all."""
    import matplotlib as mpl
    from matplotlib.layout_engine import TightLayoutEngine

    if engine := figure.get_layout_engine():
        is_whole = engine.get().get("rect") == (0, 0, 1, 1)
        if is_whole and isinstance(engine, TightLayoutEngine):  # it measures twice
            engine = TightLayoutEngine(**engine.get() | {"rect": None})
        with warnings.catch_warnings():
            # Of very many runs; the figure is then as it would be without a layout.
            warnings.filterwarnings("ignore", "Tight layout not applied")
            engine.execute(figure)
        with mpl.rc_context({"figure.autolayout": False}):  # with "none" it draws twice
            figure.set_layout_engine(None)


@contextmanager
def context(lang: str = "en", narrow: bool = False) -> Iterator[None]:
    """The same look for the figures of one `with`."""
    import matplotlib as mpl

    with mpl.rc_context(_theme(lang, SLIM if narrow else WIDE)):
        yield


def style_of(frame: pd.DataFrame) -> dict[str, Look]:
    """Colour and marker of each run, by its name.

    They are those of the frame's columns `color` and `marker`, as a card gives them,
    else the next that no run has; the order is that of the frame, or of the categories
    of `run`, so that a filtered frame keeps its colours.
    """
    known = frame.drop_duplicates("run").astype({"run": str}).set_index("run")
    names = [str(name) for name in order(frame["run"])]
    known = known.reindex(index=names, columns=["color", "marker"]).astype(object)
    told = [[None if is_missing(v) else str(v) for v in known[c]] for c in known]
    colours, markers = (
        cycle([each for each in offered if each not in taken] or offered)
        for offered, taken in zip((COLOURS, MARKERS), told, strict=True)
    )
    looks: dict[str, Look] = {}
    for name, colour, marker in zip(names, *told, strict=True):
        look = Look(colour or next(colours), marker or next(markers))
        while look in looks.values() and len(looks) < len(MARKERS):
            look = look._replace(marker=next(markers))  # two runs of one card
        looks[name] = look
    return looks


def halo() -> list[Any]:
    """An edge that keeps print legible where a line or a mark runs under it."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=PAPER)]


def small() -> float:
    """The size of the print beside the marks, in points."""
    import matplotlib as mpl

    return max(LEAST, 0.88 * float(mpl.rcParams["font.size"]))


def fonts(lang: str) -> list[str]:
    """The families of a language; glyphs that the first lacks come from the second."""
    if "matplotlib_fontja" not in sys.modules:
        import matplotlib as mpl

        with mpl.rc_context():  # it makes itself the font of everything when imported
            import matplotlib_fontja  # noqa: F401  # it registers IPAexGothic
    families = ["DejaVu Sans", "IPAexGothic"]
    return families if checked(lang) == "en" else families[::-1]


def _theme(lang: str, width: float) -> Any:
    import seaborn as sns
    from cycler import cycler

    scale = 0.85 if width > SLIM else 0.78
    return (
        sns.axes_style("whitegrid")
        | sns.plotting_context("notebook", font_scale=scale)
        | dict.fromkeys(("figure.facecolor", "axes.facecolor"), PAPER)
        | dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color"), INK)
        | {
            "ytick.color": INK,
            "axes.edgecolor": RULE,
            "axes.formatter.min_exponent": 5,  # 200, and not 2 × 10²
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titley": 1.0,  # else every draw looks for what it may stand on
            "axes.unicode_minus": True,
            "figure.dpi": 100,
            "figure.figsize": (width, 0.55 * width),
            "font.family": fonts(lang),
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "hatch.linewidth": 0.6,
            "legend.frameon": False,
            "savefig.facecolor": PAPER,
            "text.hinting": "none",  # letters as drawn, in half the time
        }
    )


def order(names: pd.Series) -> list[Any]:
    """Runs in the order of their categories, else of the frame."""
    import pandas as pd

    if isinstance(names.dtype, pd.CategoricalDtype):
        return list(names.cat.categories)
    return list(names.unique())
