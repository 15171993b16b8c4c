"""Figures: one colour and marker per model, one hatch per outcome, two languages.

Colour never carries meaning alone, so a figure survives a black and white print.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from igaku.shown import Picture, kind_of_number, picture, say
from igaku.study.former_scoring import PASS_MARK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from igaku.study.runs import Run

WIDTH = 7.2  # inches, the width of a page
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
OUTCOMES = {  # colour and hatch; the lost ones are the dark and hatched ones
    "answered": ("#8ec1e0", ""),
    "wrong_cardinality": ("#b5a7d6", ".."),
    "unparsable": ("#9a86c9", "xx"),
    "refused": ("#c9c9c9", "++"),
    "truncated": ("#d55e00", "//"),
    "empty": ("#7a3b00", "\\\\"),
    "wrong_model": ("#777777", "oo"),
    "api_error": ("#222222", "**"),
}
OTHER = ("#999999", "--")


def use_style() -> None:
    """The look of every figure, with a font that has Japanese glyphs.

    Call it again after `seaborn.set_theme`, which forgets the font.
    """
    import matplotlib as mpl
    import matplotlib_fontja  # noqa: F401  # it registers IPAexGothic

    mpl.rcParams |= {
        "font.family": ["DejaVu Sans", "IPAexGothic"],
        "axes.unicode_minus": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "font.size": 9,
        "hatch.linewidth": 0.6,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
    }


def styles(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Colour and marker of each run: its card's, else the next that none has taken."""
    cards = [run.card for run in runs]
    colours = _free(COLOURS, [card.get("color") for card in cards])
    markers = _free(MARKERS, [card.get("marker") for card in cards])
    return [
        (card.get("color") or next(colours), card.get("marker") or next(markers))
        for card in cards
    ]


def token_histogram(run: Run, lang: str = "ja") -> Picture:
    """How many tokens the replies took, by outcome, with the budget as a line."""
    use_style()
    counted = run.rows[run.rows["completion_tokens"].notna()]
    figure, axes = _figure(2.6)
    groups = _by_outcome(counted)
    edges = _edges(counted["completion_tokens"], run.budget)
    axes.hist(
        [rows["completion_tokens"].astype(float) for _, rows in groups],
        bins=edges,
        stacked=True,
        label=[f"{name} ({len(rows)})" for name, rows in groups],
        color=[OUTCOMES.get(name, OTHER)[0] for name, _ in groups],
        hatch=[OUTCOMES.get(name, OTHER)[1] for name, _ in groups],
        edgecolor="white",
        linewidth=0.4,
    )
    if run.budget:
        axes.axvline(run.budget, color="black", linestyle="--", linewidth=1)
        _above_line(axes, run.budget, f"max_tokens = {run.budget:,}")
    axes.set_xlabel(
        say(lang, "生成トークン数（推論と回答）", "Tokens (reasoning, answer)")
    )
    axes.set_ylabel(say(lang, "返答数", "Replies"))
    figure.legend(loc="outside lower center", ncols=3)
    return picture(figure, _histogram_alt(run, groups, lang))


def accuracy_intervals(
    runs: Sequence[Run],
    summary: pd.DataFrame,
    looks: Sequence[tuple[str, str]],
    lang: str = "ja",
) -> Picture:
    """Accuracy with its 95 % Wilson interval, and the share of blank replies.

    `looks` are the colours and markers of the runs, as `styles` gave them to all runs.
    """
    use_style()
    figure, left, right = _pair(len(runs))
    for place, (style, (_, row)) in enumerate(
        zip(looks, summary.iterrows(), strict=True)
    ):
        _interval(left, place, row, style)
        _blank_bar(right, place, row, style)
    left.set_yticks(range(len(runs)), _names(summary, lang))
    left.set_ylim(len(runs) - 0.5, -0.5)
    left.set_xlim(0, 100)
    right.set_xlim(0, 100)
    left.set_xlabel(say(lang, "正答率 %", "Accuracy %"))
    if not all(run.is_lab for run in runs):  # the line is the medical exam's
        _pass_line(left, lang)
    right.set_xlabel(say(lang, "空回答 %", "Blank replies %"))
    return picture(figure, _intervals_alt(summary, lang))


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def _pair(n: int) -> tuple[Figure, Axes, Axes]:
    """A wide and a narrow panel that share their rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * n))
    grid = figure.add_gridspec(1, 2, width_ratios=[2.4, 1])
    left = figure.add_subplot(grid[0])
    right = figure.add_subplot(grid[1], sharey=left)
    right.tick_params(labelleft=False)
    return figure, left, right


def _pass_line(axes: Axes, lang: str) -> None:
    mark = f"{PASS_MARK:.0%}"
    axes.axvline(100 * PASS_MARK, color="black", linestyle="--", linewidth=0.8)
    axes.set_xlabel(
        say(lang, f"正答率 %（破線は{mark}）", f"Accuracy % (dashed: {mark})")
    )


def _interval(axes: Axes, place: int, row: pd.Series, style: tuple[str, str]) -> None:
    colour, marker = style
    low, at, high = (100 * row[key] for key in ("low", "accuracy", "high"))
    axes.plot([low, high], [place, place], color=colour, linewidth=2)
    is_ok = row["status"] == "OK"
    face = colour if is_ok else "white"
    axes.plot(
        at, place, marker=marker, color=colour, markerfacecolor=face, markersize=7,
        clip_on=False,
    )  # fmt: skip


def _blank_bar(axes: Axes, place: int, row: pd.Series, style: tuple[str, str]) -> None:
    blank = 100 * row["blank"] / row["asked"]
    axes.barh(place, blank, height=0.5, color=style[0])
    axes.annotate(
        f"{row['blank']}/{row['asked']}", (blank, place), (4, 0),
        textcoords="offset points", va="center", fontsize=8,
    )  # fmt: skip


def _names(summary: pd.DataFrame, lang: str) -> list[str]:
    """Runs as the axis names them; what is not a finished measurement says so."""
    names = []
    for _, row in summary.iterrows():
        notes = [kind_of_number(row["origin"], lang)]
        notes += [] if row["status"] == "OK" else [row["status"]]
        names.append(f"{row['label']}\n[{', '.join(notes)}]")
    return names


def _by_outcome(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    found = {str(name): group for name, group in rows.groupby("outcome")}
    known = [name for name in OUTCOMES if name in found]
    return [(name, found[name]) for name in known + sorted(set(found) - set(known))]


def _edges(tokens: pd.Series, budget: int | None) -> list[float]:
    """32 bars from 0 to the budget, and as many of that width beyond as are needed."""
    most = float(tokens.max())
    step = max(1.0, (budget or most) / 32)
    return [step * i for i in range(max(32, math.ceil(most / step)) + 1)]


def _above_line(axes: Axes, x: float, text: str) -> None:
    axes.annotate(
        text, (x, 1), (0, 3), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right", va="bottom", fontsize=8,
    )  # fmt: skip


def _free(offered: Sequence[str], taken: Sequence[str | None]) -> Any:
    left = [each for each in offered if each not in taken]
    return cycle(left or offered)


def _histogram_alt(run: Run, groups: list[tuple[str, pd.DataFrame]], lang: str) -> str:
    parts = ", ".join(f"{name} {len(rows)}" for name, rows in groups)
    return say(
        lang,
        f"{run.label}の生成トークン数の分布（{parts}）、max_tokens = {run.budget}",
        f"Tokens per reply of {run.label} ({parts}), max_tokens = {run.budget}",
    )


def _intervals_alt(summary: pd.DataFrame, lang: str) -> str:
    title = say(lang, "正答率と95 %信頼区間", "Accuracy with 95 % intervals")
    rows = (
        f"{row['label']} {row['accuracy']:.1%} ({row['low']:.1%}–{row['high']:.1%})"
        for _, row in summary.iterrows()
    )
    return f"{title}: {'; '.join(rows)}"
