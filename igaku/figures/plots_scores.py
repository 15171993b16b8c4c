"""Figures of scores: by section, by pass line, by examinee and by size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from igaku.figures.plots import WIDTH, use_style
from igaku.figures.plots_study import (
    GREY,
    Span,
    Style,
    apart,
    finished,
    fitted,
    handles,
    is_open,
    looks,
    mark,
    names,
    reading_notes,
    room_below,
    say_nothing,
    shown_first,
)
from igaku.shown import Picture, is_missing, say
from igaku.study import former_levels as levels
from igaku.study import former_scoring as scoring
from igaku.study.former_lines import MOST_KINKI, Official, Part, official
from igaku.study.former_scoring import PASS_MARK, TOTAL, WORDS
from igaku.study.study import Study, role, size_gb

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from igaku.study.runs import Run


WIDER = 0.35  # of a column, for the column of all sections
DODGE = 0.075  # inches between the marks of two runs


def section_heatmap(study: Study, runs: Sequence[Run]) -> Picture:
    """How many questions of each section a run had right; hatched where not asked."""
    use_style()
    drawn = shown_first(runs)
    counts = [scoring.section_counts(run) for run in drawn]
    title = say(
        study.lang, "どの区分で何問正答したか", "How many questions were right, where?"
    )
    alt = [
        _cells_alt(study, run, table) for run, table in zip(drawn, counts, strict=True)
    ]
    notes = _hatch_note(study.lang, counts)
    figure, axes = _figure(1.0 + 0.52 * max(1, len(drawn)))
    axes.set_title(title)
    if drawn:
        _cells(figure, axes, counts, study.lang)
        axes.set_yticks([y + 0.5 for y in range(len(drawn))], names(study, drawn))
        _rule_off(axes, drawn, 0.0)
    else:
        say_nothing(axes, study.lang)
    return finished(study, figure, title, alt, runs, notes)


def pass_lines(study: Study, runs: Sequence[Run]) -> Picture:
    """Each run against the 75 % line in questions, and against the official lines.

    Only complete sittings of a year's exam have an official verdict; the lab's exam has
    neither line.
    """
    use_style()
    drawn = shown_first(runs)
    verdicts = [official(run) for run in drawn]
    figure, panels = _line_panels(len(drawn), any(verdicts))
    look = looks(study)
    title = say(study.lang, "合格基準に届くか", "Are the pass lines reached?")
    panels[0].set_title(title)
    for y, (run, verdict) in enumerate(zip(drawn, verdicts, strict=True)):
        _question_line(panels[0], y, run, look[run.name])
        if len(panels) > 1:
            _official_row(panels[1:], y, run, verdict, look[run.name], study.lang)
    _name_rows(panels[0], study, drawn)
    _name_line_panels(panels, drawn, study.lang)
    notes = list(_line_notes(study, drawn, verdicts))
    alt = [
        _lines_alt(study, run, verdict)
        for run, verdict in zip(drawn, verdicts, strict=True)
    ]
    return finished(study, figure, title, alt, runs, notes)


def human_accuracy(study: Study, runs: Sequence[Run]) -> Picture:
    """Each run's accuracy in bands of the examinees' accuracy, with Wilson intervals.

    On the diagonal a model is right as often as the examinees were.
    """
    use_style()
    bands = {run.name: levels.by_human_accuracy(run) for run in runs}
    known = [run for run in runs if len(bands[run.name])]
    drawn = shown_first(known)
    title = say(
        study.lang,
        "受験者に難しい問題はモデルにも難しいか",
        "Are questions hard for models that were hard for examinees?",
    )
    figure, axes = _figure(3.7 + room_below(len(drawn)))
    axes.set_title(title)
    if not drawn:
        say_nothing(axes, study.lang)
        return finished(study, figure, title, [], runs)
    _draw_bands(axes, study, drawn, bands)
    marks = [*handles(study, drawn), _examinees(study.lang)]
    alt = [_bands_alt(study, run, bands[run.name]) for run in drawn]
    notes = reading_notes(study, drawn)
    return finished(study, figure, title, alt, known, notes, marks)


def memory_accuracy(study: Study, runs: Sequence[Run]) -> Picture:
    """The size of the weights against accuracy, with the margin below the reference.

    The reference is the first finished run. Only runs of its exam are drawn, as other
    exams have other questions. Crowded marks are moved apart; ticks keep the sizes.
    """
    use_style()
    known = [run for run in runs if size_gb(run) is not None and run.asked]
    base = next((run for run in known if role(run) == "finished"), None)
    exam = base.exam if base else known[0].exam if known else None
    drawn = shown_first([run for run in known if run.exam == exam])
    title = say(
        study.lang, "小さくすると正答率はどうなるか", "What does a smaller size cost?"
    )
    if not drawn:
        figure, axes = _figure(2)
        say_nothing(axes, study.lang)
        return finished(study, figure, title, [], runs)
    sizes = [_size_words(study, run, base) for run in drawn]
    named = zip(names(study, drawn), sizes, strict=True)
    entries = [f"{name}\n{size}" for name, size in named]
    figure, axes = _figure(max(3.4, 1.7 + 0.16 * "\n".join(entries).count("\n")))
    axes.set_title(title)
    is_moved = _draw_sizes(axes, study, drawn, base)
    marks = handles(study, drawn, entries)
    marks += [_margin_band(study, base)] if base else []
    figure.legend(handles=marks, loc="outside right upper", fontsize=8)
    alt = [
        f"{study.label(run.name)} {size}, {_share(run)}"
        for run, size in zip(drawn, sizes, strict=True)
    ]
    left_out = [run for run in runs if run not in known or run.exam != exam]
    notes = [*reading_notes(study, drawn), *_size_notes(study, is_moved, left_out)]
    return finished(study, figure, title, alt, known, notes)


# --- marks ----------------------------------------------------------------------------


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def _name_rows(axes: Axes, study: Study, runs: Sequence[Run]) -> None:
    """Runs down the axis, the references below a line."""
    axes.set_yticks(range(len(runs)), names(study, runs))
    axes.set_ylim(max(1, len(runs)) - 0.5, -0.5)
    for panel in axes.figure.axes:
        _rule_off(panel, runs, 0.5)


def _rule_off(axes: Axes, runs: Sequence[Run], half: float) -> None:
    """A line between the variants and the references below them."""
    first = next((y for y, r in enumerate(runs) if role(r) == "reference"), 0)
    if first:
        axes.axhline(first - half, color="black", linewidth=0.9)


def _across(
    axes: Axes, y: float, at: float, span: Span, run: Run, style: Style
) -> None:
    """A mark with its interval along a row."""
    axes.plot(span, [y, y], color=style[0], linewidth=1.4)
    axes.plot([at], [y], clip_on=False, zorder=3, **mark(run, style))


def _upward(
    axes: Axes, x: float, at: float, span: Span, run: Run, style: Style
) -> None:
    """A mark with its interval in a column."""
    axes.plot([x, x], span, color=style[0], linewidth=1.2)
    axes.plot([x], [at], clip_on=False, zorder=3, **mark(run, style))


def _share(run: Run) -> str:
    """The accuracy of a run in words: 286/400 = 71.5 % (66.9–75.7)."""
    if not run.asked:
        return "0/0"
    right = scoring.correct(run.rows)
    low, high = (100 * limit for limit in scoring.interval(right, run.asked))
    percent = f"{right / run.asked:.1%}"
    return f"{right}/{run.asked} = {percent} ({low:.1f}–{high:.1f})"


# --- sections -------------------------------------------------------------------------


def _cells(
    figure: Figure, axes: Axes, counts: Sequence[pd.DataFrame], lang: str
) -> None:
    """Sections in columns, coloured by share; what was not asked has no colour."""
    import numpy as np

    shares = [[_percent(row) for _, row in table.iterrows()] for table in counts]
    # seaborn's heatmap redraws pyplot's current figure, which would be another one.
    mesh = axes.pcolormesh(
        [*range(len(counts[0])), len(counts[0]) + WIDER], range(len(counts) + 1),
        np.ma.masked_invalid(shares), cmap=_pale_blues(), vmin=0, vmax=100,
        edgecolor="white", linewidth=1.5,
    )  # fmt: skip
    for y, table in enumerate(counts):
        for x, (_, row) in enumerate(table.iterrows()):
            _cell(axes, x, y, row, lang, x == len(table) - 1)
    sections = [str(name) for name in counts[0].index[:-1]]
    whole = say(lang, "合計", "All")
    middles = [x + 0.5 for x in range(len(sections))] + [len(sections) + _half(True)]
    axes.set_xticks(middles, [*sections, whole])
    axes.axvline(len(sections), color="black", linewidth=1)
    axes.set_ylim(len(counts), 0)
    axes.tick_params(length=0)
    bar = figure.colorbar(mesh, ax=axes, fraction=0.025, pad=0.01)
    bar.set_label(say(lang, "正答率 %", "Accuracy %"))


def _hatch_note(lang: str, counts: Sequence[pd.DataFrame]) -> list[str]:
    if all(table["asked"].gt(0).all() for table in counts):
        return []
    return [
        say(
            lang,
            "斜線：未実施の区分（0点ではない）。",
            "Hatched: sections that were not asked, which is not a score of 0.",
        )
    ]


def _pale_blues() -> Any:
    """The lighter half of a colour map, on which black print is legible throughout."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["Blues"](np.linspace(0.02, 0.58, 128)))


def _half(is_total: bool) -> float:
    return (1 + WIDER * is_total) / 2


def _percent(row: pd.Series) -> float:
    return 100 * row["correct"] / row["asked"] if row["asked"] else float("nan")


def _cell(
    axes: Axes, x: int, y: int, row: pd.Series, lang: str, is_total: bool
) -> None:
    from matplotlib.patches import Rectangle

    half = _half(is_total)
    if not row["asked"]:
        axes.add_patch(
            Rectangle(
                (x, y), 2 * half, 1, facecolor="white", edgecolor="#999999", hatch="//"
            )
        )
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(
        x + half, y + 0.5, _cell_text(row, lang), ha="center", va="center", fontsize=8,
        linespacing=1.1, bbox=None if row["asked"] else box,
    )  # fmt: skip


def _cell_text(row: pd.Series, lang: str) -> str:
    """57/75 and 76.0 %, and how many were asked where that is not all of them."""
    asked = int(row["asked"])
    if not asked:
        return WORDS[lang]["not_run"]
    lines = [f"{row['correct']}/{asked}", f"{_percent(row):.1f} %"]
    if not is_missing(row["planned"]) and row["planned"] != asked:
        of = f"{asked}/{row['planned']}"
        lines.append(say(lang, f"{of}実施", f"{of} asked"))
    return "\n".join(lines)


def _cells_alt(study: Study, run: Run, counts: pd.DataFrame) -> str:
    cells = [
        f"{'' if name == TOTAL else f'{name} '}"
        f"{_cell_text(row, study.lang).replace(chr(10), ' ')}"
        for name, row in counts.iterrows()
    ]
    cells[-1] = f"{say(study.lang, '合計', 'all')} {cells[-1]}"
    return f"{study.label(run.name)} {', '.join(cells)}"


# --- pass lines -----------------------------------------------------------------------


def _line_panels(n: int, has_verdict: bool) -> tuple[Figure, list[Axes]]:
    """A panel for the 75 % line and, where a run has a verdict, three for its parts."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 1.5 + 0.42 * max(1, n)))
    if not has_verdict:
        return figure, [figure.add_subplot()]
    grid = figure.add_gridspec(1, 4, width_ratios=[1.15, 1, 1, 0.3])
    first = figure.add_subplot(grid[0])
    rest = [figure.add_subplot(grid[i], sharey=first) for i in (1, 2, 3)]
    for panel in rest:
        panel.tick_params(labelleft=False)
    return figure, [first, *rest]


def _question_line(axes: Axes, y: int, run: Run, style: Style) -> None:
    if not run.is_lab:  # the line is the medical exam's
        _line(axes, y, 100 * PASS_MARK)
    if run.asked:
        right = scoring.correct(run.rows)
        low, high = (100 * limit for limit in scoring.interval(right, run.asked))
        _across(axes, y, 100 * right / run.asked, (low, high), run, style)


def _line(axes: Axes, y: int, x: float) -> None:
    axes.plot([x, x], [y - 0.5, y + 0.5], color="black", linestyle="--", linewidth=0.9)


def _official_row(
    panels: Sequence[Axes],
    y: int,
    run: Run,
    verdict: Official | None,
    style: Style,
    lang: str,
) -> None:
    """Points of both parts against their lines, and the number of 禁忌 choices."""
    middle: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
    if verdict is None:
        for panel in panels[:2]:
            panel.text(50, y, _unjudged(run, lang), color=GREY, **middle)
        return
    for panel, part in zip(panels[:2], (verdict.compulsory, verdict.rest), strict=True):
        _part_mark(panel, y, part, run, style, lang)
    panels[2].text(0.5, y, str(len(verdict.kinki)), **middle)


def _unjudged(run: Run, lang: str) -> str:
    if run.is_lab:
        return say(lang, "判定なし（校正用）", "no line (lab)")
    return say(lang, "判定なし", "not judged")


def _part_mark(
    axes: Axes, y: int, part: Part, run: Run, style: Style, lang: str
) -> None:
    """Points as a share of the possible ones; in words on the side that is free."""
    if not part.possible:
        return
    at = 100 * part.points / part.possible
    _line(axes, y, 100 * part.line / part.possible)
    axes.plot([at], [y], clip_on=False, zorder=3, **mark(run, style))
    x, side = (2, "left") if at > 50 else (98, "right")
    axes.text(
        x, y, _points(part, lang), ha=side, va="center", fontsize=8, zorder=2,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )  # fmt: skip


def _points(part: Part, lang: str) -> str:
    """156/197, 2 short."""
    reached = f"{part.points}/{part.possible}"
    if not part.short:
        return say(lang, f"{reached} 到達", f"{reached}\nreached")
    return say(lang, f"{reached}\n{part.short}点不足", f"{reached}\n{part.short} short")


def _name_line_panels(panels: Sequence[Axes], runs: Sequence[Run], lang: str) -> None:
    for panel in panels[:3]:
        panel.set_xlim(0, 100)
    share = f"{PASS_MARK:.0%}"
    accuracy = say(lang, "正答率 %", "Accuracy %")
    line = say(lang, f"\n（破線は{share}）", f"\n(dashed: {share})")
    is_lab = all(run.is_lab for run in runs)
    panels[0].set_xlabel(accuracy if is_lab else accuracy + line)
    if len(panels) == 1:
        return
    panels[1].set_xlabel(
        say(
            lang, "必修の得点 %\n（破線は基準）", "Compulsory, points %\n(dashed: line)"
        )
    )
    panels[2].set_xlabel(
        say(
            lang,
            "一般・臨床の得点 %\n（破線は基準）",
            "General, points %\n(dashed: line)",
        )
    )
    for panel in panels[1:]:
        panel.tick_params(left=False)
    panels[3].set_xlim(0, 1)
    panels[3].set_xticks([])
    panels[3].spines[["left", "bottom"]].set_visible(False)
    panels[3].set_xlabel(
        say(lang, f"禁忌\n（≤ {MOST_KINKI}）", f"禁忌\n(≤ {MOST_KINKI})")
    )


def _line_notes(
    study: Study, runs: Sequence[Run], verdicts: Sequence[Official | None]
) -> Iterator[str]:
    """What 禁忌 are, what a verdict hangs on, and which lines were not verified."""
    yield from reading_notes(study, runs)
    judged = [(r, v) for r, v in zip(runs, verdicts, strict=True) if v]
    if judged:
        yield say(
            study.lang,
            f"禁忌：禁忌肢を選んだ数、{MOST_KINKI}を超えると不合格。",
            f"禁忌: prohibited options chosen; more than {MOST_KINKI} fail.",
        )
    for run, verdict in judged:
        label, hinges = study.label(run.name), "・".join(verdict.hinges)
        if hinges:
            yield say(
                study.lang,
                f"{label}の判定は{hinges}の扱いで変わる。",
                f"The verdict of {label} depends on how {hinges} are treated.",
            )
    for year in sorted({str(run.exam) for run, v in judged if not v.is_verified}):
        yield say(
            study.lang,
            f"{year}年の基準は公示で確かめていない。",
            f"The lines of {year} were not checked against the announcement.",
        )


def _lines_alt(study: Study, run: Run, verdict: Official | None) -> str:
    start = f"{study.label(run.name)} {_share(run)}"
    if verdict is None:
        return f"{start}, {_unjudged(run, study.lang)}"
    parts = [
        _points(part, study.lang).replace("\n", " ")
        for part in (verdict.compulsory, verdict.rest)
    ]
    words = say(study.lang, "必修 {}、一般・臨床 {}", "compulsory {}, general {}")
    return f"{start}, {words.format(*parts)}, 禁忌 {len(verdict.kinki)}"


# --- examinees ------------------------------------------------------------------------


def _draw_bands(
    axes: Axes, study: Study, runs: Sequence[Run], bands: dict[str, pd.DataFrame]
) -> None:
    """Per band one mark per run beside each other, a bar where the examinees were."""
    look = looks(study)
    step = min(1.2, 8 / len(runs))  # percent; the bands lie nine or more apart
    centres = _label_bands(axes, [bands[run.name] for run in runs], study.lang)
    for i, run in enumerate(runs):
        shift = step * (i - (len(runs) - 1) / 2)
        for _, row in bands[run.name].iterrows():
            x = centres[row["level"]] + shift
            low, at, high = (100 * row[key] for key in ("low", "accuracy", "high"))
            _upward(axes, x, at, (low, high), run, look[run.name])
            axes.plot(
                [x - step / 2, x + step / 2], [row["human"]] * 2, color="black",
                linewidth=1.6, zorder=1, solid_capstyle="butt",
            )  # fmt: skip
    left = max(0.0, min(centres.values()) - 8)
    axes.plot([left, 100], [left, 100], color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_xlim(left, max(centres.values()) + 6)
    axes.set_ylim(0, 100)


def _label_bands(
    axes: Axes, tables: Sequence[pd.DataFrame], lang: str
) -> dict[str, float]:
    """Each band's place: the examinees' mean in it, of the run with most questions.

    Under it stand its name and its n, a span where runs differ.
    """
    centres, texts = {}, []
    for band in levels.BAND_NAMES:
        rows = [row for t in tables for _, row in t[t["level"] == band].iterrows()]
        if rows:
            most = max(rows, key=lambda row: row["n"])
            centres[band] = float(most["human"])
            texts.append(f"{band}\n{_ns([row['n'] for row in rows])}")
    axes.set_xticks(list(centres.values()), texts)
    axes.set_xlabel(
        say(
            lang,
            "受験者の正答率の帯（位置は帯の平均、nは問題数）",
            "Band of the examinees' accuracy (placed at its mean; n questions)",
        )
    )
    axes.set_ylabel(
        say(lang, "モデルの正答率 %（95 %区間）", "Accuracy of the model % (95 %)")
    )
    return centres


def _ns(counts: Iterable[int]) -> str:
    """The number of questions behind a row of marks: n = 57, or n = 12–57."""
    least, most = min(counts), max(counts)
    return f"n = {least}" if least == most else f"n = {least}–{most}"


def _examinees(lang: str) -> Line2D:
    from matplotlib.lines import Line2D

    label = say(lang, "受験者の平均", "Mean of the examinees")
    return Line2D([], [], color="black", linewidth=1.6, label=label)


def _bands_alt(study: Study, run: Run, table: pd.DataFrame) -> str:
    parts = [
        f"{row['level']} {row['right']}/{row['n']} = {row['accuracy']:.1%}"
        for _, row in table.iterrows()
    ]
    return f"{study.label(run.name)} {', '.join(parts)}"


# --- sizes ----------------------------------------------------------------------------


def _unit(runs: Sequence[Run]) -> tuple[str, float]:
    """GB, or MB where every model is a small one; and how many of them make a GB."""
    most = max(size_gb(run) or 0 for run in runs)
    return ("GB", 1.0) if most >= 1 else ("MB", 1000.0)


def _draw_sizes(
    axes: Axes, study: Study, runs: Sequence[Run], base: Run | None
) -> bool:
    """Marks at their sizes; whether some had to be moved apart."""
    look = looks(study)
    unit, factor = _unit(runs)
    sizes = [factor * (size_gb(run) or 0) for run in runs]
    room = max(max(sizes) - min(sizes), max(sizes) / 4)  # a tenth must look small
    gap = room * DODGE * 1.25 / 3  # the sizes span about three inches
    places = apart(sizes, gap)
    for run, size, x in zip(runs, sizes, places, strict=True):
        right = scoring.correct(run.rows)
        low, high = (100 * limit for limit in scoring.interval(right, run.asked))
        _upward(axes, x, 100 * right / run.asked, (low, high), run, look[run.name])
        axes.plot([size], [0], marker="|", color=look[run.name][0], markersize=9)
    if base:
        top = 100 * scoring.correct(base.rows) / base.asked
        axes.axhspan(top - 100 * study.margin, top, color="#dddddd", zorder=0)
    middle = (min(sizes) + max(sizes)) / 2
    axes.set_xlim(middle - 0.62 * room, middle + 0.62 * room)
    axes.set_ylim(0, 100)
    axes.set_xlabel(
        say(study.lang, f"重みの大きさ {unit}", f"Size of the weights, {unit}")
    )
    axes.set_ylabel(say(study.lang, "正答率 %（95 %区間）", "Accuracy % (95 %)"))
    return places != sizes


def _size_words(study: Study, run: Run, base: Run | None) -> str:
    """A run's size, its n where others saw more, and the memory it saves."""
    unit, factor = _unit([run])
    size = size_gb(run) or 0
    text = f"{factor * size:.2f} {unit}"
    if is_open(run):
        text += f", n = {run.asked}"
    if base is None or run is base:
        return text
    saved = 1 - size / (size_gb(base) or size)
    less = say(study.lang, f"{saved:.0%}小さい", f"{saved:.0%} smaller")
    more = say(study.lang, f"{-saved:.0%}大きい", f"{-saved:.0%} larger")
    return f"{text}, {less if saved >= 0 else more}"


def _margin_band(study: Study, base: Run) -> Any:
    from matplotlib.patches import Patch

    points, label = 100 * study.margin, fitted(study.label(base.name))
    text = say(
        study.lang,
        f"{label}から\n下に{points:g}ポイント",
        f"up to {points:g} points\nbelow {label}",
    )
    return Patch(color="#dddddd", label=text)


def _size_notes(study: Study, is_moved: bool, left_out: Sequence[Run]) -> Iterator[str]:
    if is_moved:
        yield say(
            study.lang,
            "近い点は左右にずらした。横軸の色線が実際の大きさ。",
            "Crowded marks are moved apart; coloured ticks are at the sizes.",
        )
    if left_out:
        listed = ", ".join(study.label(run.name) for run in left_out)
        yield say(
            study.lang,
            f"大きさが不明か別の試験のため図にない：{listed}。",
            f"Not drawn (no size, or another exam): {listed}.",
        )


# --- strata ---------------------------------------------------------------------------
