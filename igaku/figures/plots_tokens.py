"""Figures of what the token budget did: how long replies are, and what was cut.

A reply that was cut is censored: how long it would have been is not known, so it is
never drawn as one that ended at the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from igaku.figures.plots import WIDTH, use_style
from igaku.figures.plots_study import (
    MOST,
    TALLEST,
    Style,
    apart,
    finished,
    handles,
    looks,
    mark,
    names,
    reading_notes,
    room_below,
    say_nothing,
)
from igaku.shown import Picture, say
from igaku.study.study import Study, role
from igaku.study.tokens import BudgetCurve, Curve, Spending, survival

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from igaku.study.runs import Run

UNITS = ("tokens", "seconds")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)))
OUTCOMES = {  # marker of a reply, and its name
    "right": ("o", "正答", "right"),
    "wrong": ("x", "誤答", "wrong"),
    "cut": (">", "打切り", "cut"),
}
GOLDEN = 0.6180339887  # multiples of it, modulo 1, spread evenly: no random jitter


def token_curves(study: Study, spendings: Sequence[Spending]) -> Picture:
    """The share of replies still unfinished after x tokens: Kaplan-Meier curves.

    Ticks are the replies that were cut; the figures at the ends of the lines are the
    shares left at the cap. Runs without token counts have a panel in seconds.
    """
    use_style()
    drawn = _first(study, spendings)
    curves = [survival(each) for each in drawn]
    title = say(
        study.lang, "返答はどれだけで終わるか", "How long until a reply is finished?"
    )
    figure, panels = _stacked(drawn, 2.5, study.lang)
    for unit, axes in panels.items():
        chosen = [(s, c) for s, c in zip(drawn, curves, strict=True) if s.unit == unit]
        for each, curve in chosen:
            _curve(axes, study, each, curve)
        if unit == "tokens":  # replies stop at many times, at one number of tokens
            _ends(axes, study, [curve for _, curve in chosen])
        _budget_lines(axes, [each.budget for each, _ in chosen], unit)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.02)
        _percent_axis(axes)
        axes.set_ylabel(say(study.lang, "未完了の返答 %", "Unfinished replies %"))
        axes.set_xlabel(_amount(unit, study.lang))
    alt = [_curve_alt(study, curve) for curve in curves]
    ticks = say(
        study.lang,
        "縦の短線：打切り。線の終わりの段差は少数の返答による。",
        "Ticks: replies that were cut. The last steps of a line rest on few replies.",
    )
    return _told(study, figure, title, alt, spendings, ticks if drawn else "", curves)


def budget_curves(study: Study, curves: Sequence[BudgetCurve]) -> Picture:
    """Accuracy, and the share without an answer, had the budget been smaller.

    The mark at the end of each line is at the budget that the run had.
    """
    use_style()
    drawn = _first(study, curves)
    title = say(
        study.lang, "上限が小さければ何点だったか", "What would a smaller budget score?"
    )
    figure, columns = _columns(drawn, study.lang)
    for unit, (upper, lower) in columns.items():
        for curve in drawn:
            if curve.unit == unit:
                _budget_line(upper, lower, study, curve)
        _budget_axes(upper, lower, [c for c in drawn if c.unit == unit], study.lang)
    alt = [_budget_alt(study, curve) for curve in drawn]
    note = say(
        study.lang,
        "印：実際の上限（秒の図では最長の返答）。上限は返答を切るだけと仮定する。",
        "Marks: the budget that the run had (in seconds: its longest reply). "
        "Assumed: a smaller budget only cuts replies short.",
    )
    return _told(study, figure, title, alt, curves, note if drawn else "")


def token_distributions(study: Study, spendings: Sequence[Spending]) -> Picture:
    """What each reply took, by run and by outcome, with the budget as a line.

    The bars are from the lower to the upper quartile, with a line at the median; there
    is none for the replies that were cut, whose length is not known.
    """
    use_style()
    drawn = _first(study, spendings)
    is_thought = any(each.of == "reasoning" for each in drawn)
    title = (
        say(study.lang, "推論の長さ", "How long is the reasoning?")
        if is_thought
        else say(
            study.lang,
            "正答・誤答・打切りの長さ",
            "How long are right and wrong replies?",
        )
    )
    figure, panels = _stacked(drawn, 0, study.lang, 0.62)
    _entitle(figure, title)
    for unit, axes in panels.items():
        chosen = [each for each in drawn if each.unit == unit]
        for y, each in enumerate(chosen):
            for i, outcome in enumerate(OUTCOMES):
                _strip(axes, study, each, outcome, y + 0.28 * (i - 1))
        _name_strips(axes, study, chosen)
        _budget_lines(axes, [each.budget for each in chosen], unit)
        axes.set_xlim(left=0)
        thought = say(study.lang, "推論のトークン数", "Tokens of the reasoning")
        axes.set_xlabel(thought if is_thought else _amount(unit, study.lang))
    alt = [_strips_alt(study, each) for each in drawn]
    runs = [study.run(each.run) for each in spendings]
    bars = say(
        study.lang,
        "横線：四分位範囲、縦線：中央値（打切り以外）。",
        "Bars: quartiles and median, of replies that were not cut.",
    )
    notes = _seconds_note(study, drawn) + ([bars] if drawn else [])
    marks = _outcome_handles(study.lang) if drawn else []
    return finished(study, figure, title, alt, runs, notes, marks)


# --- what the figures share -----------------------------------------------------------


def _first(study: Study, given: Sequence[Any]) -> list[Any]:
    """As many as a figure shows, in order, references last."""
    return sorted(given, key=lambda e: role(study.run(e.run)) == "reference")[:MOST]


def _unit(unit: str, lang: str) -> str:
    return say(lang, {"tokens": "トークン"}.get(unit, "秒"), unit)


def _units(drawn: Sequence[Any]) -> list[str]:
    return [unit for unit in UNITS if any(each.unit == unit for each in drawn)]


def _stacked(
    drawn: Sequence[Any], height: float, lang: str, per_run: float = 0.0
) -> tuple[Figure, dict[str, Axes]]:
    """A panel for each unit, one above the other, as tall as the runs in it need."""
    from matplotlib.figure import Figure

    units = _units(drawn)
    heights = [
        0.3 + height + per_run * sum(each.unit == unit for each in drawn)
        for unit in units
    ]
    below = room_below(len(drawn)) if not per_run else 0.5
    tall = min(TALLEST, 0.7 + sum(heights) + 0.3 * len(units) + below)
    figure = Figure(figsize=(WIDTH, tall if units else 1.5))
    if not units:
        say_nothing(figure.add_subplot(), lang)
        return figure, {}
    panels = figure.subplots(len(units), 1, squeeze=False, height_ratios=heights)
    return figure, dict(zip(units, panels[:, 0], strict=True))


def _amount(unit: str, lang: str) -> str:
    if unit == "tokens":
        return say(lang, "生成トークン数", "Tokens generated")
    return say(
        lang,
        "秒（この実行にはトークン数の記録がない）",
        "Seconds (these runs recorded no tokens)",
    )


def _entitle(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")


def _percent_axis(axes: Axes) -> None:
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])


def _budget_lines(axes: Axes, budgets: Sequence[int | None], unit: str) -> None:
    """The budgets as lines; max_tokens is no number of seconds."""
    told = sorted({budget for budget in budgets if budget}) if unit == "tokens" else []
    level = 0
    for before, budget in zip([-told[-1], *told] if told else [], told, strict=False):
        level = level + 1 if budget - before < told[-1] / 4 else 0
        axes.axvline(budget, color="black", linestyle="--", linewidth=0.9)
        axes.annotate(
            f"max_tokens = {budget:,}", (budget, 1), (0, 3 + 11 * level),
            xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right", va="bottom", fontsize=8,
        )  # fmt: skip


def _line_of(study: Study, name: str) -> Any:
    """The line style of a run, by its place in the study."""
    return LINES[[run.name for run in study.runs].index(name) % len(LINES)]


def _look(study: Study, name: str) -> tuple[Run, Style]:
    return study.run(name), looks(study)[name]


def _seconds_note(study: Study, drawn: Sequence[Any]) -> list[str]:
    if not any(each.unit == "seconds" for each in drawn):
        return []
    return [
        say(
            study.lang,
            "秒の図：終わり方の記録がない空の返答は打切りとみなす。",
            "In seconds: a blank reply without a recorded end is taken for a cut one.",
        )
    ]


def _told(
    study: Study,
    figure: Figure,
    title: str,
    alt: Sequence[str],
    given: Sequence[Any],
    note: str,
    curves: Sequence[Curve] = (),
) -> Picture:
    """A figure of lines as a picture, with the legend of its runs."""
    _entitle(figure, title)
    drawn = _first(study, given)
    runs = [study.run(each.run) for each in drawn]
    labels = names(study, runs, 40, " ")
    for i, curve in enumerate(curves):
        labels[i] += f", {_cut(study.lang, curve)}"
    marks = handles(study, runs, labels)
    for run, entry in zip(runs, marks, strict=True):
        entry.set_linestyle(_line_of(study, run.name))
    notes = reading_notes(study, runs) + _seconds_note(study, drawn)
    notes += [note] if note else []
    asked = [study.run(each.run) for each in given]
    return finished(study, figure, title, alt, asked, notes, marks)


def _cut(lang: str, curve: Curve) -> str:
    """How many replies were cut: cut 39/69."""
    counts = f"{curve.n - curve.finished}/{curve.n}"
    return say(lang, f"打切り{counts}", f"cut {counts}")


# --- survival -------------------------------------------------------------------------


def _curve(axes: Axes, study: Study, spending: Spending, curve: Curve) -> None:
    import numpy as np

    run, style = _look(study, curve.run)
    axes.step(
        curve.x, curve.share, where="post", markevery=(0.12, 0.22),
        linestyle=_line_of(study, curve.run), **mark(run, style),
    )  # fmt: skip
    axes.fill_between(
        curve.x, curve.low, curve.high, step="post", color=style[0], alpha=0.12,
        linewidth=0,
    )  # fmt: skip
    cut = spending.rows.loc[~spending.rows["finished"], "amount"].to_numpy(float)
    at = curve.share[np.searchsorted(curve.x, cut, side="right") - 1]
    axes.plot(cut, at, linestyle="", marker="|", color=style[0], markersize=9, zorder=3)


def _ends(axes: Axes, study: Study, curves: Sequence[Curve]) -> None:
    """The shares left at the ends of the lines; lines that end close share a column."""
    left = [curve for curve in curves if curve.n > curve.finished]
    width = max((curve.x[-1] for curve in curves), default=1.0) / 8
    columns: dict[int, list[Curve]] = {}
    for curve in left:
        columns.setdefault(int(curve.x[-1] // width), []).append(curve)
    for column in columns.values():
        places = apart([float(curve.share[-1]) for curve in column], 0.075)
        edge = max(curve.x[-1] for curve in column)
        for curve, y in zip(column, places, strict=True):
            axes.annotate(
                f"{curve.share[-1]:.0%}", (edge, y), (6, 0), va="center", fontsize=8,
                textcoords="offset points", color=looks(study)[curve.run][0],
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
                annotation_clip=False,
            )  # fmt: skip


def _curve_alt(study: Study, curve: Curve) -> str:
    label = study.label(curve.run)
    cut = f"{_cut(study.lang, curve)} = {curve.at_cap.estimate:.1%}"
    unit = _unit(curve.unit, study.lang)
    if curve.median is None:
        none = say(study.lang, "中央値には届かない", "median not reached")
        return f"{label} {cut}, {none}"
    middle = say(study.lang, "中央値", "median")
    return f"{label} {cut}, {middle} {curve.median[0]:,.4g} {unit}"


# --- smaller budgets ------------------------------------------------------------------


def _columns(
    drawn: Sequence[BudgetCurve], lang: str
) -> tuple[Figure, dict[str, tuple[Axes, Axes]]]:
    """Two panels above each other for each unit, the units beside each other."""
    from matplotlib.figure import Figure

    units = _units(drawn)
    tall = 4.2 + room_below(len(drawn)) if units else 1.5
    figure = Figure(figsize=(WIDTH, tall))
    if not units:
        say_nothing(figure.add_subplot(), lang)
        return figure, {}
    grid = figure.subplots(
        2, len(units), squeeze=False, sharex="col", sharey="row", height_ratios=[3, 2]
    )
    return figure, {unit: (grid[0, i], grid[1, i]) for i, unit in enumerate(units)}


def _budget_line(upper: Axes, lower: Axes, study: Study, curve: BudgetCurve) -> None:
    run, style = _look(study, curve.run)
    shown = mark(run, style) | {"markevery": [-1], "clip_on": False}
    line = _line_of(study, curve.run)
    upper.plot(curve.x, curve.accuracy, linestyle=line, **shown)
    upper.fill_between(
        curve.x, curve.low, curve.high, color=style[0], alpha=0.1, linewidth=0
    )
    lower.plot(curve.x, curve.blank, linestyle=line, **shown)


def _budget_axes(
    upper: Axes, lower: Axes, curves: Sequence[BudgetCurve], lang: str
) -> None:
    if min(curve.x[0] for curve in curves) > 0:
        _doubling_axis(lower)
    for axes in (upper, lower):
        axes.set_ylim(0, 1.02)
        _percent_axis(axes)
    if upper.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        upper.set_ylabel(say(lang, "正答率 %（95 %区間）", "Accuracy % (95 %)"))
        lower.set_ylabel(say(lang, "回答なし %", "No answer %"))
    if curves[0].unit == "tokens":
        lower.set_xlabel(
            say(lang, "上限（max_tokens）トークン", "Budget (max_tokens), tokens")
        )
    else:
        lower.set_xlabel(
            say(lang, "時間の上限 秒\n（トークン数の記録なし）",
                "Time limit, seconds\n(no tokens recorded)")
        )  # fmt: skip


def _doubling_axis(axes: Axes) -> None:
    """Budgets by doubling, as numbers and not as powers."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _budget_alt(study: Study, curve: BudgetCurve) -> str:
    """The run's own budget, and half of it."""
    half = curve.x.searchsorted(curve.x[-1] / 2, side="right") - 1
    points = [half, len(curve.x) - 1] if half >= 0 else [len(curve.x) - 1]
    blank = say(study.lang, "回答なし", "no answer")
    parts = [
        f"{curve.x[i]:,.4g} {_unit(curve.unit, study.lang)}: {curve.accuracy[i]:.1%}, "
        f"{blank} {curve.blank[i]:.1%}"
        for i in points
    ]
    return f"{study.label(curve.run)} (n = {curve.n}) {'; '.join(parts)}"


# --- distributions --------------------------------------------------------------------


def _of_outcome(rows: pd.DataFrame, outcome: str) -> pd.Series:
    """The amounts of the replies that were cut, or that ended right, or wrong."""
    if outcome == "cut":
        return rows.loc[~rows["finished"], "amount"]
    right = rows["correct"] if outcome == "right" else ~rows["correct"]
    return rows.loc[rows["finished"] & right, "amount"]


def _strip(
    axes: Axes, study: Study, spending: Spending, outcome: str, y: float
) -> None:
    amounts = _of_outcome(spending.rows, outcome)
    n = len(amounts)
    axes.annotate(
        f"{say(study.lang, *OUTCOMES[outcome][1:])} {n}", (1, y), (4, 0),
        xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        fontsize=8,
    )  # fmt: skip
    jitter = [y + 0.18 * (i * GOLDEN % 1 - 0.5) for i in range(n)]
    axes.scatter(
        amounts, jitter, s=9, marker=OUTCOMES[outcome][0], alpha=0.5, linewidth=0.7,
        color=looks(study)[spending.run][0],
    )  # fmt: skip
    if n and outcome != "cut":
        low, middle, high = amounts.quantile([0.25, 0.5, 0.75])
        axes.plot([low, high], [y, y], color="black", linewidth=1)
        axes.plot([middle] * 2, [y - 0.11, y + 0.11], color="black", linewidth=1.6)


def _name_strips(axes: Axes, study: Study, chosen: Sequence[Spending]) -> None:
    runs = [study.run(each.run) for each in chosen]
    axes.set_yticks(range(len(runs)), names(study, runs))
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    for y in range(1, len(runs)):
        axes.axhline(y - 0.5, color="#e3e3e3", linewidth=0.8, zorder=0)


def _outcome_handles(lang: str) -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="", color="black", marker=marker, label=say(lang, *of))
        for marker, *of in OUTCOMES.values()
    ]


def _strips_alt(study: Study, spending: Spending) -> str:
    return f"{study.label(spending.run)} {', '.join(_strip_words(study, spending))}"


def _strip_words(study: Study, spending: Spending) -> Iterator[str]:
    middle, unit = say(study.lang, "中央値", "median"), _unit(spending.unit, study.lang)
    for outcome, (_, *called) in OUTCOMES.items():
        amounts = _of_outcome(spending.rows, outcome)
        text = f"{say(study.lang, *called)} {len(amounts)}"
        if outcome != "cut" and len(amounts):
            text += f" ({middle} {amounts.median():,.4g} {unit})"
        yield text
