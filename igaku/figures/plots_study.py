"""What every figure of a study shares: how a run looks, is named, and is explained.

A run looks alike in every figure of a study. Hollow marks are runs that are not
finished: they saw other questions, so their shares rank with no other.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from igaku import shown
from igaku.figures.plots import MARKERS, styles
from igaku.shown import Picture, kind_of_number, picture, plain, say
from igaku.study import former_scoring as scoring
from igaku.study.study import Study, role

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from igaku.study.runs import Run

MOST = 12  # runs in a figure; the tables carry all of them
GREY = "#6e6e6e"
LEGEND = 48  # columns of an entry beyond which two do not fit side by side
TALLEST = 9.6  # inches, the height of a page
REFERENCE_MARKERS = ("d", "p", "<", ">", "H", "8", "*", "v")
Style = tuple[str, str]
Span = tuple[float, float]


@cache
def looks(study: Study) -> dict[str, Style]:
    """Colour and marker of each run of the study, by its name.

    References are grey. A model's second run keeps its colour and gets a free marker.
    """
    found: dict[str, Style] = {}
    for run, style in zip(study.runs, styles(study.runs), strict=True):
        is_reference = role(run) == "reference"
        colour = GREY if is_reference else style[0]
        offered = REFERENCE_MARKERS if is_reference else (style[1], *MARKERS)
        free = (each for each in offered if (colour, each) not in found.values())
        found[run.name] = (colour, next(free, style[1]))
    return found


def shown_first(runs: Sequence[Run]) -> list[Run]:
    """The runs that a figure shows: no more than `MOST`, references last."""
    return sorted(runs, key=lambda run: role(run) == "reference")[:MOST]


def names(
    study: Study, runs: Sequence[Run], columns: int = 24, between: str = "\n"
) -> list[str]:
    """Runs as a figure names them, with what keeps a reader from mixing them up.

    That is the kind of number where runs of different kinds meet, and the status of a
    run that is not finished.
    """
    mixed = len({run.origin for run in runs}) > 1
    told = []
    for run in runs:
        state = scoring.status(run)
        notes = [kind_of_number(run.origin, study.lang)] if mixed else []
        notes += [] if state.name == "OK" else [str(state)]
        label = fitted(study.label(run.name), columns)
        told.append(f"{label}{between}[{', '.join(notes)}]" if notes else label)
    return told


def fitted(text: str, columns: int = 24) -> str:
    r"""A label of at most two lines that matplotlib draws as it is written.

    A wide character takes two of the `columns`. The dollar sign is escaped, as two of
    them start a formula; the legend drops a label that starts with an underscore.

    >>> fitted("mlx-community/gpt-oss-20b-MXFP4-Q8")
    'mlx-community/gpt-\noss-20b-MXFP4-Q8'
    >>> fitted("_$x$")
    ' _\\$x\\$'
    """
    text = " ".join(plain(text).split())
    room = max(8, columns * len(text) // max(shown.columns(text), 1))
    lines = textwrap.wrap(text, room)
    if len(lines) > 2:  # the end tells names apart as often as the beginning does
        lines = [lines[0], f"…{text[1 - room :]}"]
    return ("\n".join(lines)).replace("$", r"\$").replace("_", " _", text[:1] == "_")


def handles(
    study: Study, runs: Sequence[Run], labels: Sequence[str] | None = None
) -> list[Line2D]:
    """Legend entries of runs: line and marker, hollow where a run is not finished."""
    from matplotlib.lines import Line2D

    look = looks(study)
    entries = zip(runs, labels or names(study, runs, 40, " "), strict=True)
    return [
        Line2D([], [], label=label, **mark(run, look[run.name]))
        for run, label in entries
    ]


def finished(
    study: Study,
    figure: Figure,
    title: str,
    alt: Iterable[str],
    runs: Sequence[Run],
    notes: Sequence[str] = (),
    marks: Sequence[Any] = (),
) -> Picture:
    """A figure as a picture: notes and legend below, numbers as alternative text.

    `runs` are those that were asked for; when not all fit, the notes say so. `marks`
    are the entries of the legend.
    """
    notes = [*notes] + ([_too_many(study, runs)] if len(runs) > MOST else [])
    text = "\n".join(fitted(note, 110) for note in notes)
    wide = max((shown.columns(m.get_label()) for m in marks), default=0)
    if marks or text:
        figure.legend(
            handles=marks, title=text or None, loc="outside lower left",
            ncols=1 if wide > LEGEND else 2,
            fontsize=8, title_fontsize=8, alignment="left", handlelength=2.8,
        )  # fmt: skip
    numbers = "; ".join(alt) or say(study.lang, "データなし", "no data")
    return picture(figure, " ".join([f"{title}: {numbers}", *notes]))


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Values moved as little as it takes to keep each two of them `gap` apart.

    Crowded values share a block around their mean; the order stays as it was.

    >>> [round(v, 3) for v in apart([5.0, 1.0, 5.1], 0.5)]
    [4.8, 1.0, 5.3]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[list[float]] = []  # mean place, number of values
    for i in order:
        blocks.append([values[i], 1])
        while len(blocks) > 1 and _touch(blocks[-2], blocks[-1], gap):
            place, n = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + place * n) / (before[1] + n)
            before[1] += n
    places = [
        place + gap * (k - (n - 1) / 2) for place, n in blocks for k in range(int(n))
    ]
    moved = dict(zip(order, places, strict=True))
    return [moved[i] for i in range(len(values))]


def _touch(a: Sequence[float], b: Sequence[float], gap: float) -> bool:
    return b[0] - a[0] < gap * (a[1] + b[1]) / 2


def say_nothing(axes: Axes, lang: str) -> None:
    """An empty figure that says that there are no data."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, say(lang, "データなし", "No data"), ha="center")


def _too_many(study: Study, runs: Sequence[Run]) -> str:
    n = len(runs)
    return say(
        study.lang,
        f"{n}件のうち{MOST}件を図示、全件は表にある。",
        f"{MOST} of {n} runs are drawn; the tables carry all.",
    )


def room_below(runs: int) -> float:
    """Inches that the legend and the notes take."""
    return 0.4 + 0.17 * math.ceil((runs + 1) / 2)


def is_open(run: Run) -> bool:
    """Whether a run is not finished, and drawn hollow for it."""
    return scoring.status(run).name != "OK"


def reading_notes(study: Study, runs: Sequence[Run]) -> list[str]:
    """What a reader must know of hollow and of grey marks, where there are any."""
    hollow = say(
        study.lang,
        "白抜き：完了していない実行（出題された問題が異なる）。",
        "Hollow: runs that are not finished; they saw other questions.",
    )
    grey = say(
        study.lang,
        "灰色：参考（比較対象の量子化モデルではない）。",
        "Grey: references, no variants under study.",
    )
    notes = [hollow] if any(map(is_open, runs)) else []
    return notes + ([grey] if any(role(run) == "reference" for run in runs) else [])


def mark(run: Run, style: Style) -> dict[str, Any]:
    """A run's mark and line as matplotlib takes them, hollow where it is unfinished."""
    colour, marker = style
    return {
        "color": colour,
        "marker": marker,
        "markersize": 6,
        "markerfacecolor": "white" if is_open(run) else colour,
        "linewidth": 1.4,
    }
