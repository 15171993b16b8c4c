"""Figures of pairs: which of two models was right where, and what that can show.

A flip is a question that only one of the two got right; a reply that was lost counts as
not right. A is the reference: positive differences mean that B is worse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from igaku import statistics
from igaku.figures.plots import WIDTH, use_style
from igaku.figures.plots_study import (
    Style,
    finished,
    fitted,
    handles,
    looks,
    mark,
    names,
    reading_notes,
    say_nothing,
)
from igaku.shown import Picture, is_missing, say
from igaku.study.audits import is_one_measurement
from igaku.study.pairs import SMALL, flips
from igaku.study.runs import Run
from igaku.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # pairs in one figure; the tables have all
MOST_CURVES = 4
MOST_PATTERNS = 16
ACROSS = 3  # small tables side by side
POWER = 0.8
POWER_POINTS = [0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10]
MARGINS = [0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.055, 0.06]
PALE, DARK = "#e4e4e4", "#444444"
LINES = ("-", "--", "-.", ":")
HATCH = {"only_a": "///", "only_b": "\\\\\\"}


# --- the 2×2 tables -------------------------------------------------------------------


def paired_tables(study: Study, pairs: pd.DataFrame) -> Picture:
    """The 2×2 table of each pair; flips in the colour of the model that was right."""
    use_style()
    rows = _rows(pairs)
    down = max(1, math.ceil(len(rows) / ACROSS))
    figure = _figure(0.5 + 2.35 * down)
    title = say(
        study.lang,
        "片方だけが正答した問題は何問か",
        "On how many questions was only one of two right?",
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize="medium")
    if not rows:
        say_nothing(figure.add_subplot(), study.lang)
    told = _told(study, rows, 20, "\n")
    for place, row in enumerate(rows):
        _table(figure.add_subplot(down, ACROSS, place + 1), study, row, told)
    notes = [_table_note(study)] if rows else []
    notes += _notes(study, pairs)
    return finished(study, figure, title, _alts(study, rows), [], notes)


def _table_note(study: Study) -> str:
    return say(
        study.lang,
        "面積は問題数に比例。括弧は、相手の返答が失われた（切れた、空、"
        "失敗）ための数。",
        "Areas are in proportion to the questions. In brackets: because the other "
        "reply "
        "was lost (cut, blank, failed).",
    )


def _table(axes: Axes, study: Study, row: Any, told: Mapping[str, str]) -> None:
    """One table: rows are A right and not right, columns B right and not right."""
    look = looks(study)
    cells = {
        "both": (0, 1, row.both, 0, PALE),
        "only_a": (1, 1, row.only_a, row.lost_b, look[row.a][0]),
        "only_b": (0, 0, row.only_b, row.lost_a, look[row.b][0]),
        "neither": (1, 0, row.neither, 0, PALE),
    }
    for cell, (x, y, count, lost, colour) in cells.items():
        _cell(axes, x, y, count / row.n, colour, HATCH.get(cell, ""))
        text = f"{count} ({lost})" if lost else f"{count}"
        axes.text(x + 0.05, y + 0.95, text, ha="left", va="top", fontsize=10)
    right, not_right = say(study.lang, "正答|正答でない", "right|not right").split("|")
    axes.set_xticks([0.5, 1.5], [right, not_right], fontsize=8)
    axes.set_yticks(
        [1.5, 0.5], [right, not_right], fontsize=8, rotation=90, va="center"
    )
    axes.set_xlabel(f"B: {told[row.b]}\nn = {row.n}, mid-p {_p(row.midp)}", fontsize=8)
    axes.set_ylabel(f"A: {told[row.a]}", fontsize=8)
    axes.set_xlim(0, 2)
    axes.set_ylim(0, 2)
    axes.set_aspect("equal")
    axes.tick_params(length=0)


def _cell(axes: Axes, x: int, y: int, share: float, colour: str, hatch: str) -> None:
    """A square whose area is a count, inside the frame of its cell."""
    from matplotlib.patches import Rectangle

    side = 0.84 * math.sqrt(share)  # the number stands above
    corner = (x + (1 - side) / 2, y + (0.9 - side) / 2)
    axes.add_patch(Rectangle((x, y), 1, 1, fill=False, edgecolor="#999999"))
    axes.add_patch(
        Rectangle(corner, side, side, facecolor=colour, alpha=0.55, linewidth=0)
    )
    if hatch:
        axes.add_patch(
            Rectangle(
                corner, side, side, fill=False, edgecolor=colour, hatch=hatch,
                linewidth=0.8,
            )
        )  # fmt: skip


# --- flips in exam order --------------------------------------------------------------


def flip_barcode(study: Study, pairs: pd.DataFrame) -> Picture:
    """Flips in exam order: a strip per pair, ticks up for A and down for B."""
    use_style()
    rows = _rows(pairs)
    figure = _figure(0.7 + 0.78 * max(1, len(rows)))
    title = say(
        study.lang,
        "どの問題で入れ替わったか（出題順）",
        "Where are the flips? (exam order)",
    )
    if not rows:
        say_nothing(figure.add_subplot(), study.lang)
    named, told = _told(study, rows, 20), []
    for place, row in enumerate(rows):
        axes = figure.add_subplot(len(rows), 1, place + 1)
        told.append(_strip(axes, study, row, named))
    if rows:
        figure.axes[0].set_title(title)
    note = say(
        study.lang,
        "上向き: Aだけ正答、下向き: Bだけ正答。短い灰色: 相手の返答が失われた"
        "（切れた、空、失敗）ための入れ替わり。下の数字は区分ごとの −Aだけ +Bだけ。",
        "Up: only A right; down: only B right. Short and grey: a flip because the "
        "other "
        "reply was lost (cut, blank, failed). Below: only A (−) and only B (+) by "
        "section.",
    )
    return finished(
        study, figure, title, told, [], [note, *_notes(study, pairs)],
        handles(study, _runs(study, rows)),
    )  # fmt: skip


def _strip(axes: Axes, study: Study, row: Any, told: Mapping[str, str]) -> str:
    """The flips of one pair, drawn in their places in the exam; counts in words."""
    found, places = _flips(study, row)
    look = looks(study)
    for way, sign, name in (("only_a", 1, row.a), ("only_b", -1, row.b)):
        own = found[found["flip"] == way]
        for is_lost, colour, reach in ((False, look[name][0], 1.0), (True, DARK, 0.55)):
            at = own["place"][own["lost"] == is_lost]
            axes.vlines(at, 0, sign * reach, color=colour, linewidth=1.1)
    axes.axhline(0, color="black", linewidth=0.5)
    counts = _section_counts(axes, study, found, places)
    axes.set_xlim(-1, len(places))
    axes.set_ylim(-1.1, 1.1)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.set_ylabel(
        f"{told[row.a]}\n{told[row.b]}", rotation=0, ha="right", va="center", fontsize=8
    )
    return f"{_alt_name(study, row)}: {', '.join(counts)}"


def _flips(study: Study, row: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The flips on the questions of the pair's family, and every question's place."""
    a, b = study.run(row.a), study.run(row.b)
    whole = a.plan if a.plan is not None else a.rows
    places = whole[["problem_id", "section"]].reset_index(drop=True)
    found = flips(a, b)
    asked = study.questions_of(row.kind, row.exam, (row.a, row.b))
    if asked is not None:
        found = found[found["problem_id"].isin(asked)]
    place = {name: i for i, name in enumerate(places["problem_id"])}
    return found.assign(place=found["problem_id"].map(place)), places


def _section_counts(
    axes: Axes, study: Study, found: pd.DataFrame, places: pd.DataFrame
) -> list[str]:
    """Borders, hatching where a section was not shared, and the counts below."""
    told = []
    for section, part in places.groupby("section", sort=False):
        start, end = part.index[0] - 0.5, part.index[-1] + 0.5
        own = found[found["section"] == section]
        axes.axvline(start, color="#bbbbbb", linewidth=0.6)
        if own.empty:
            axes.axvspan(start, end, facecolor="none", edgecolor="#bbbbbb", hatch="///")
            text = f"{section}: {say(study.lang, '未実施', 'not run')}"
        else:
            a, b = (int((own["flip"] == way).sum()) for way in ("only_a", "only_b"))
            text = f"{section}: −{a} +{b}"
        axes.text((start + end) / 2, -1.3, text, ha="center", va="top", fontsize=8)
        told.append(text)
    return told


# --- differences ----------------------------------------------------------------------


def forest(study: Study, pairs: pd.DataFrame) -> Picture:
    """Paired differences with 90 % and 95 % Tango intervals against the margins.

    Finished pairs have a panel of their own: beside a broken run's difference theirs
    would be too small to see.
    """
    use_style()
    drawn = pairs.head(MOST)
    is_close = drawn["kind"].isin(["finished", "repeats"])
    panels = [_rows(part) for part in (drawn[is_close], drawn[~is_close]) if len(part)]
    title = say(
        study.lang, "Bはどれだけ劣るか（差 A − B）", "How much worse is B? (A − B)"
    )
    figure = _figure(0.9 + sum(0.55 + 0.46 * len(rows) for rows in panels))
    if not panels:
        say_nothing(figure.add_subplot(), study.lang)
        return finished(study, figure, title, [], [])
    shares = [len(rows) + 0.7 for rows in panels]
    columns = figure.subplots(len(panels), 1, height_ratios=shares, squeeze=False)
    for axes, rows in zip(columns[:, 0], panels, strict=True):
        _forest_panel(axes, study, rows)
    columns[0, 0].set_title(title)
    columns[-1, 0].set_xlabel(
        say(
            study.lang,
            "正答率の差（ポイント）  ← Bが優れる | Bが劣る →",
            "Difference in points  ← B is better | B is worse →",
        )
    )
    shown = [row for rows in panels for row in rows]
    told = [_forest_alt(study, row) for row in shown]
    notes = [_forest_note(study), *_notes(study, pairs)]
    notes += reading_notes(study, _runs(study, shown))
    return finished(study, figure, title, told, [], notes)


def _forest_panel(axes: Axes, study: Study, rows: Sequence[Any]) -> None:
    _margin_lines(axes, study)
    look = looks(study)
    for place, row in enumerate(rows):
        _interval(axes, place, row, study.run(row.b), look[row.b])
        _beside(axes, study, place, row)
    axes.set_yticks(range(len(rows)), [_pair_name(study, r, 34, "\n→ ") for r in rows])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _margin_lines(axes: Axes, study: Study) -> None:
    margin = 100 * study.margin
    axes.axvline(0, color="black", linewidth=0.8)
    for times, style in ((1, "--"), (2, ":")):
        for sign in (-1, 1):
            axes.axvline(
                sign * times * margin, color=DARK, linestyle=style, linewidth=0.9
            )


def _interval(axes: Axes, y: int, row: Any, run: Run, style: Style) -> None:
    wide = [100 * row.tango_low, 100 * row.tango_high]
    narrow = [100 * row.tango90_low, 100 * row.tango90_high]
    axes.plot(wide, [y, y], color=style[0], linewidth=1.1)
    axes.plot(narrow, [y, y], color=style[0], linewidth=3.4, solid_capstyle="butt")
    axes.plot([100 * row.difference], [y], zorder=3, **mark(run, style))


def _beside(axes: Axes, study: Study, y: int, row: Any) -> None:
    """n, flips and the verdict, right of the axes."""
    text = f"n = {row.n}, −{row.only_a} +{row.only_b}\n{_verdict(study, row)}"
    axes.annotate(
        text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8
    )


def _verdict(study: Study, row: Any) -> str:
    """Whether "not worse by the margin" is shown by the one-sided 2.5 % test."""
    points = f"{100 * study.margin:g}"
    if is_one_measurement(study, row.a, row.b):
        return say(study.lang, "返答が同一", "identical replies")
    if row.noninferior < 0.025:
        return say(
            study.lang, f"非劣性{points}: 示された", f"not worse by {points}: shown"
        )
    return say(
        study.lang,
        f"非劣性{points}: 示されていない",
        f"not worse by {points}: not shown",
    )


def _forest_note(study: Study) -> str:
    points = 100 * study.margin
    return say(
        study.lang,
        f"太線90 %・細線95 %のTango区間。破線はマージン±{points:g}ポイント、"
        f"点線は±{2 * points:g}点。n = 共通の問題、− = Aだけ正答、+ = Bだけ正答。",
        f"Tango intervals, 90 % thick and 95 % thin. Dashed: the margin, ±{points:g} "
        f"points; dotted: ±{2 * points:g}. n: common questions; −: only A right; +: "
        "only B right.",
    )


def _forest_alt(study: Study, row: Any) -> str:
    low, high = 100 * row.tango_low, 100 * row.tango_high
    return (
        f"{_alt_name(study, row)}: {100 * row.difference:+.1f} ({low:+.1f}…"
        f"{high:+.1f}), n = {row.n}, {_verdict(study, row)}"
    )


# --- what the number of questions can say ---------------------------------------------


def power_curves(study: Study, pairs: pd.DataFrame) -> Picture:
    """Power to notice a true difference, and the flips that a margin can bear."""
    use_style()
    distinct = pairs[~pairs.duplicated(["n", "only_a", "only_b"])]
    rows = [row for row in _rows(distinct) if row.flips][:MOST_CURVES]
    figure = _figure(3.1 + 0.3 * len(rows))
    left, right = figure.subplots(1, 2)
    title = say(
        study.lang, "この問題数で何が言えるか", "What can this many questions say?"
    )
    left.set_title(title)
    if not rows:
        say_nothing(left, study.lang)
        right.set_axis_off()
        return finished(study, figure, title, [], [])
    told = []
    for line, row in zip(LINES, rows, strict=False):
        style = {"color": looks(study)[row.b][0], "linestyle": line}
        told.append(_power(left, study, row, style) + _budget(right, study, row, style))
    _power_frame(left, study)
    right.set_xlabel(say(study.lang, "マージン（ポイント）", "Margin (points)"))
    right.set_ylabel(
        say(study.lang, "許せる入れ替わり（%）", "Flips that can be borne (%)")
    )
    right.axvline(100 * study.margin, color=DARK, linestyle="--", linewidth=0.9)
    right.set_ylim(bottom=0)
    return finished(
        study, figure, title, told, [], [_power_note(study)],
        left.get_legend_handles_labels()[0],
    )  # fmt: skip


def _power(axes: Axes, study: Study, row: Any, style: dict[str, Any]) -> str:
    """The power curve of a pair's n and share of flips; its turning point in words."""
    share = row.flips / row.n
    points = [d for d in POWER_POINTS if d / 100 <= share]
    power = [100 * statistics.mcnemar_power(row.n, share, d / 100) for d in points]
    about = f" (n = {row.n}, {share:.1%})"
    legend = _pair_name(study, row, 28, "\n→ ") + about
    axes.plot(points, power, label=legend, **style)
    name = _alt_name(study, row) + about
    visible = statistics.detectable_difference(row.n, share)
    if is_missing(visible):
        return name
    axes.plot([100 * visible], [100 * POWER], marker="o", color=style["color"])
    least = say(study.lang, "最小の差", "smallest difference")
    return f"{name}: {least} {100 * visible:.1f}"


def _budget(axes: Axes, study: Study, row: Any, style: dict[str, Any]) -> str:
    """The flip budget of a pair's net difference against the margin."""
    net = int(row.only_a - row.only_b)
    found = [statistics.flip_budget(net, int(row.n), margin) for margin in MARGINS]
    shown = [(100 * m, 100 * f / row.n) for m, f in zip(MARGINS, found, strict=True)
             if f is not None]  # fmt: skip
    if shown:
        axes.plot(*zip(*shown, strict=True), marker=".", **style)
    axes.plot(
        [100 * study.margin], [100 * row.flips / row.n], linestyle="none",
        marker=looks(study)[row.b][1], markersize=8, color=style["color"],
        markeredgecolor="black",
    )  # fmt: skip
    budget = statistics.flip_budget(net, int(row.n), study.margin)
    bearable = say(study.lang, "許せる入れ替わり", "flip budget")
    return f", {bearable} {budget if budget is not None else '–'} ({row.flips})"


def _power_frame(axes: Axes, study: Study) -> None:
    axes.axhline(100 * POWER, color=DARK, linewidth=0.8, linestyle="--")
    axes.axvline(100 * SMALL, color="black", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 102)
    axes.set_xlim(0, 10)
    axes.set_xlabel(say(study.lang, "真の差（ポイント）", "True difference (points)"))
    axes.set_ylabel(say(study.lang, "検出力 %（mid-p検定）", "Power % (mid-p test)"))


def _power_note(study: Study) -> str:
    return say(
        study.lang,
        f"左: 破線は{POWER:.0%}、点線は{100 * SMALL:g}ポイント、"
        f"丸は{POWER:.0%}で見える最小の差。"
        "右: 線より下なら「マージン以上は劣らない」を示せる。"
        "縁取りの印は実際の入れ替わり、"
        "破線はこの文書のマージン。",
        f"Left: dashed {POWER:.0%}, dotted {100 * SMALL:g} points, dots: the smallest "
        f'difference seen with {POWER:.0%}. Right: below its line "not worse by the '
        'margin" can be shown; outlined marks: the flips there are; dashed: the margin '
        "here.",
    )


# --- who got what right ---------------------------------------------------------------


def pattern_bars(study: Study, table: pd.DataFrame) -> Picture:
    """How many questions each set of models got right, with a dot matrix below.

    Patterns beyond the first ones share a last bar, without dots.
    """
    use_style()
    runs = [study.run(name) for name in table.columns if name != "questions"]
    first, told = table.head(MOST_PATTERNS), names(study, runs, 34, " ")
    line = 0.4 if any("\n" in name for name in told) else 0.27
    figure = _figure(2.1 + line * len(runs))
    ratios = [1.7, max(1.0, 1.1 * line * len(runs))]
    bars, dots = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
    title = say(study.lang, "誰がどれを正答したか", "Who got what right?")
    bars.set_title(title)
    _bars(bars, study, table)
    _dots(dots, study, runs, first)
    dots.set_yticks(range(len(runs)), told)
    dots.set_xlim(-0.6, len(first) + (len(table) > MOST_PATTERNS) - 0.4)
    notes = [_pattern_note(study, table)]
    alt = [_pattern_alt(study, runs, row) for _, row in first.iterrows()]
    return finished(study, figure, title, alt, [], notes)


def _bars(axes: Axes, study: Study, table: pd.DataFrame) -> None:
    counts = [int(n) for n in table["questions"].head(MOST_PATTERNS)]
    if len(table) > MOST_PATTERNS:
        counts.append(int(table["questions"].iloc[MOST_PATTERNS:].sum()))
    axes.bar(range(len(counts)), counts, color="#9a9a9a", width=0.7)
    for x, count in enumerate(counts):
        axes.text(x, count, f"{count}", ha="center", va="bottom", fontsize=8)
    axes.set_ylabel(say(study.lang, "問題数", "Questions"))
    axes.tick_params(axis="x", length=0)


def _dots(axes: Axes, study: Study, runs: Sequence[Run], table: pd.DataFrame) -> None:
    """A row of marks per model: filled where it was right, hollow where not."""
    look = looks(study)
    for y, run in enumerate(runs):
        colour, marker = look[run.name]
        for x, is_right in enumerate(table[run.name]):
            face = colour if is_right else "white"
            axes.plot(
                [x],
                [y],
                marker=marker,
                color=colour,
                markerfacecolor=face,
                markersize=7,
            )
    axes.set_ylim(len(runs) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


def _pattern_note(study: Study, table: pd.DataFrame) -> str:
    total, more = int(table["questions"].sum()), len(table) - MOST_PATTERNS
    left = (
        say(study.lang, f"右端の棒はほかの{more}通り。",
            f" The last bar is of {more} more patterns.")
        if more > 0 else ""
    )  # fmt: skip
    return say(
        study.lang,
        f"塗りつぶし: 正答、白抜き: 正答でない。全員が聞かれた{total}問。{left}",
        f"Filled: right; hollow: not right. {total} questions that all were "
        f"asked.{left}",
    )


def _pattern_alt(study: Study, runs: Sequence[Run], row: pd.Series) -> str:
    right = [study.label(run.name) for run in runs if row[run.name]]
    return f"{', '.join(right) or '–'}: {row['questions']}"


# --- shared ---------------------------------------------------------------------------


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height))


def _rows(pairs: pd.DataFrame) -> list[Any]:
    return list(pairs.head(MOST).itertuples(index=False))


def _runs(study: Study, rows: Sequence[Any]) -> list[Run]:
    found = dict.fromkeys(name for row in rows for name in (row.a, row.b))
    return [study.run(name) for name in found]


def _pair_name(study: Study, row: Any, columns: int, between: str = " → ") -> str:
    a, b = (fitted(study.label(name), columns) for name in (row.a, row.b))
    return f"{a}{between}{b}"


def _alt_name(study: Study, row: Any) -> str:
    return f"{study.label(row.a)} → {study.label(row.b)}"


def _told(
    study: Study, rows: Sequence[Any], columns: int, between: str = " "
) -> dict[str, str]:
    """Run → its name with kind and status, as `plots_study.names` gives them."""
    runs = _runs(study, rows)
    shown = names(study, runs, columns, between)
    return {run.name: text for run, text in zip(runs, shown, strict=True)}


def _alts(study: Study, rows: Sequence[Any]) -> list[str]:
    words = say(
        study.lang,
        "両方|Aだけ|Bだけ|どちらも正答でない",
        "both right|only A|only B|neither",
    ).split("|")
    told = []
    for row in rows:
        counts = (row.both, row.only_a, row.only_b, row.neither)
        parts = ", ".join(f"{w} {c}" for w, c in zip(words, counts, strict=True))
        told.append(
            f"{_alt_name(study, row)}: {parts}, n = {row.n}, mid-p {_p(row.midp)}"
        )
    return told


def _notes(study: Study, pairs: pd.DataFrame) -> list[str]:
    """That not all pairs are drawn, where they are not."""
    if len(pairs) <= MOST:
        return []
    n = len(pairs)
    return [
        say(
            study.lang,
            f"{n}組のうち最初の{MOST}組を図示、全組は表にある。",
            f"The first {MOST} of {n} pairs are drawn; the tables carry all.",
        )
    ]


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
