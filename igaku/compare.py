"""Runs side by side: what the analysis shows, one function per question of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from igaku import plots, scoring
from igaku.results import Run
from igaku.shown import (
    Picture,
    Shown,
    figure_of,
    heading,
    is_missing,
    joined,
    kind_of_number,
    nothing,
    say,
    sentence,
    share,
    table,
)
from igaku.view import notes, origin, sections

if TYPE_CHECKING:
    import pandas as pd


def overview(runs: Sequence[Run], lang: str = "ja") -> Shown:
    """Every run in one table, under the sentences that must be read first."""
    if not runs:
        return nothing_to_show(lang)
    summary = scoring.summary(scoring.in_order(runs))
    head = say(
        lang,
        "モデル|種別|試験|正答|正答率|95 %信頼区間|空回答|状態|判定"
        "|フォーマット|量子化|サイズ|HF DL数",
        "Model|Kind|Exam|Correct|Accuracy|95 % interval|Blank|Status|Verdict"
        "|Format|Quantization|Size|HF downloads",
    )
    rows = [_summary_cells(row, lang) for _, row in summary.iterrows()]
    pieces = [notes(runs), origin(runs, lang), _one_run(runs, lang)]
    kept = _known(rows)
    names = [head.split("|")[i] for i in kept]
    cells = [[row[i] for i in kept] for row in rows]
    left = [place for place, i in enumerate(kept) if i in (0, 1, 2, 7, 8, 9, 10)]
    pieces.append(table(names, cells, left=left))
    return joined(pieces)


def _known(rows: Sequence[Sequence[object]]) -> list[int]:
    """Columns in which at least one row has something to say."""
    return [
        i
        for i, cells in enumerate(zip(*rows, strict=True))
        if any(not is_missing(cell) for cell in cells)
    ]


def nothing_to_show(lang: str) -> Shown:
    """The sentence for a folder without runs."""
    return sentence(
        say(
            lang,
            "実行がまだありません。先にrun.ipynbを実行してください。",
            "There are no runs yet: execute run.ipynb first.",
        ),
        "alarm",
    )


def accuracy_figure(runs: Sequence[Run], lang: str = "ja") -> Picture | Shown:
    """Accuracy with intervals and the share of blank replies, a row per run."""
    answered = [run for run in scoring.in_order(runs) if run.asked]
    if not answered:
        return nothing()
    return plots.accuracy_intervals(answered, scoring.summary(answered), lang)


def accuracy_caption(runs: Sequence[Run], lang: str = "ja") -> Shown:
    """What the accuracy figure shows, with n and the interval named."""
    asked = sorted({run.asked for run in runs if run.asked})
    if not asked:
        return nothing()
    n = f"{asked[0]}" if len(asked) == 1 else f"{asked[0]}–{asked[-1]}"
    return sentence(
        say(
            lang,
            f"図1. 正答率と95 % Wilson信頼区間（n = {n}）、右は空回答の割合。"
            "白抜きは状態がOKでない実行です。",
            f"Figure 1. Accuracy with 95 % Wilson intervals (n = {n}); right, the share"
            " of blank replies. Hollow markers: the status is not OK.",
        ),
        "note",
    )


def section_tables(runs: Sequence[Run], lang: str = "ja") -> Shown:
    """The section table of every run, each with its sentences."""
    return joined(
        heading(_title(run, lang)) + sections(run, lang)
        for run in scoring.in_order(runs)
    )


def token_table(runs: Sequence[Run], lang: str = "ja") -> Shown:
    """Token use of every run against its budget, in one table."""
    if not runs:
        return nothing()
    head = say(
        lang,
        "モデル|max_tokens|計数/返答|中央値|90 %点|最大|上限到達|推論 中央値|秒 中央値",
        "Model|max_tokens|Counted/replies|Median|90th pct.|Max|At the cap"
        "|Reasoning, median|Seconds, median",
    )
    return table(head.split("|"), [_token_row(run) for run in scoring.in_order(runs)])


def causes(runs: Sequence[Run], lang: str = "ja") -> Shown:
    """How many replies of every run met each outcome, and the status that follows."""
    if not runs:
        return nothing()
    met = set().union(*(run.rows["outcome"] for run in runs))
    outcomes = [name for name in plots.OUTCOMES if name in met]
    outcomes += sorted(met - set(outcomes))
    head = [say(lang, "モデル", "Model"), *outcomes, say(lang, "未実施", "not run")]
    head.append(say(lang, "状態", "Status"))
    body = [_cause_row(run, outcomes) for run in scoring.in_order(runs)]
    return table(head, body, left=(0, len(head) - 1))


def _cause_row(run: Run, outcomes: list[str]) -> list[object]:
    found = Counter(run.rows["outcome"])
    left = None if run.planned is None else run.planned - run.asked
    numbers = [found[name] for name in outcomes]
    return [run.label, *numbers, left, scoring.status(run)]


def _summary_cells(row: pd.Series, lang: str) -> list[object]:
    low, high = share(row["low"]), share(row["high"])
    cause = "" if is_missing(row["cause"]) else f" ({row['cause']})"
    return [
        row["label"], kind_of_number(row["origin"], lang), row["exam"],
        f"{row['correct']}/{row['asked']}", share(row["accuracy"]),
        f"{low}–{high}" if row["asked"] else None, figure_of(row["blank"]),
        f"{row['status']}{cause}", row["verdict"], row["format"], row["quantization"],
        figure_of(row["size_gb"], 2, " GB"), figure_of(row["hf_downloads"]),
    ]  # fmt: skip


def _token_row(run: Run) -> list[object]:
    use = scoring.token_use(run.rows, run.budget).loc[scoring.TOTAL]
    at_cap = figure_of(use["at_cap"])
    if at_cap and use["counted"]:
        at_cap += f" ({use['at_cap'] / use['counted']:.1%})"
    return [
        run.label, figure_of(run.budget), f"{use['counted']:.0f}/{use['n']:.0f}",
        figure_of(use["median"]), figure_of(use["p90"]), figure_of(use["max"]), at_cap,
        figure_of(use["reasoning_median"]), figure_of(use["seconds_median"], 2),
    ]  # fmt: skip


def _one_run(runs: Sequence[Run], lang: str) -> Shown:
    if len(runs) != 1:
        return nothing()
    return sentence(
        say(
            lang,
            "実行は1件だけで、比べる相手がありません。",
            "There is one run only, so there is nothing to compare it with.",
        ),
        "note",
    )


def _title(run: Run, lang: str) -> str:
    return f"{run.label} [{kind_of_number(run.origin, lang)}]"
