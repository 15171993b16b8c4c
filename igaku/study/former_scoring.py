"""Scores: section tables, the 75 % line, the status of a run, and its token use.

Functions named `…_counts` or `summary` give numbers; `section_table` gives the table as
it is printed. A question that was not asked is never counted as a wrong answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku.ask import health
from igaku.exam.igakuqa import SECTIONS
from igaku.study.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from igaku.study.families import Study

PASS_MARK = 0.75
TOTAL = "Total"
WORDS = {
    "ja": {
        "correct": "正答数",
        "accuracy": "正答率",
        "blank": "空回答",
        "api_errors": "APIエラー",
        "not_run": "未実施",
    },
    "en": {
        "correct": "Correct",
        "accuracy": "Accuracy",
        "blank": "Blank replies",
        "api_errors": "API errors",
        "not_run": "not run",
    },
}


@dataclass(frozen=True)
class Status:
    """What can be said of a run as a whole: OK, INCOMPLETE, or BROKEN with a cause."""

    name: str
    cause: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.cause})" if self.cause else self.name


def section_counts(run: Run) -> pd.DataFrame:
    """Per section A-F and in all: planned, asked, correct, blank and failed replies.

    `planned` is missing where no manifest tells it; `asked` is then all that is known.
    """
    import pandas as pd

    rows = run.rows
    marks = pd.DataFrame(
        {
            "section": rows["section"],
            "asked": 1,
            "correct": rows["correct"].fillna(False).astype(int),
            "blank": blank(rows).astype(int),
            "api_errors": (rows["outcome"] == "api_error").astype(int),
        }
    )
    counts = marks.groupby("section").sum().reindex(list(SECTIONS), fill_value=0)
    counts.loc[TOTAL] = counts.sum()
    counts.insert(0, "planned", _planned(run))
    return counts.astype("Int64")


def blank(rows: pd.DataFrame) -> pd.Series:
    """Which replies are 空回答: the server answered, and the text of it is blank."""
    return rows["blank"].fillna(False).astype(bool)


def section_table(run: Run, lang: str = "ja") -> pd.DataFrame:
    """The section table as printed: 正答数, 正答率, 空回答, APIエラー by section.

    A column is headed "A (75)", or "A (40/75)" when 40 of its 75 questions were asked;
    sections that were not asked say so.
    """
    import pandas as pd

    words = WORDS[lang]
    counts = section_counts(run)
    columns = {
        _heading(section, row): _column(row, words)
        for section, row in counts.iterrows()
    }
    names = [words[key] for key in ("correct", "accuracy", "blank", "api_errors")]
    return pd.DataFrame(columns, index=pd.Index(names, name="Section"))


def status(run: Run) -> Status:
    """The status of a run: as its manifest says, else as its replies show.

    BROKEN: so many replies are lost that the rule of `ask.health` would stop asking;
    its cause is the most frequent loss. INCOMPLETE: questions are left. OK: neither.
    """
    met = run.rows["outcome"].value_counts().items()
    outcomes = {str(outcome): int(n) for outcome, n in met}
    told = run.manifest.get("status") == "BROKEN"
    if told or health.is_broken(outcomes):
        return Status("BROKEN", run.manifest.get("cause") or health.cause(outcomes))
    return Status("OK" if run.is_complete else "INCOMPLETE")


def verdict(run: Run) -> str | None:
    """PASS or FAIL at the 75 % line; None unless the whole exam was sat.

    A part of the exam, an unfinished or broken run and the lab's exam get no verdict.
    """
    if run.is_lab or not (run.is_whole_exam and run.is_complete):
        return None
    if status(run).name != "OK":
        return None
    return "PASS" if correct(run.rows) >= PASS_MARK * run.asked else "FAIL"


def points_short(run: Run) -> int:
    """Questions missing to the 75 % line of the questions asked; 0 when reached.

    >>> 0.75 * 400 - 286
    14.0
    """
    return max(0, pass_line(run.asked) - correct(run.rows))


def pass_line(n: int) -> int:
    """How many right answers of n reach the pass mark.

    >>> pass_line(400), pass_line(75)
    (300, 57)
    """
    return math.ceil(PASS_MARK * n)


def is_lost(rows: pd.DataFrame) -> pd.Series:
    """Which replies are lost: cut, empty or failed, the losses of `ask.health`."""
    return rows["outcome"].isin(list(health.CAUSES))


def correct(rows: pd.DataFrame) -> int:
    """The number of right answers; a reply that could not be graded is not one."""
    return int(rows["correct"].fillna(False).sum())


def interval(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share k/n; (0, 1) for n = 0.

    >>> tuple(round(limit, 3) for limit in interval(286, 400))
    (0.669, 0.757)
    """
    from igaku.statistics import proportion

    found = proportion(k, n)
    return found.low, found.high


def summary(runs: Sequence[Run]) -> pd.DataFrame:
    """One row of numbers per run: its card, score, interval, lost replies and status.

    >>> summary([]).columns[:4].tolist()
    ['run', 'label', 'origin', 'exam']
    """
    import pandas as pd

    return pd.DataFrame([_summary_row(run) for run in runs], columns=SUMMARY)


SUMMARY = [
    "run", "label", "origin", "exam", "format", "quantization", "size_gb",
    "planned", "asked", "correct", "accuracy", "low", "high", "blank", "api_errors",
    "status", "cause", "verdict", "short", "hf_downloads", "started",
]  # fmt: skip


def _summary_row(run: Run) -> dict[str, Any]:
    n, right = run.asked, correct(run.rows)
    low, high = interval(right, n)
    state = status(run)
    return {
        "run": run.name, "label": run.label, "origin": run.origin, "exam": run.exam,
        "format": run.card.get("format"), "quantization": run.card.get("quantization"),
        "size_gb": run.card.get("size_gb"),
        "hf_downloads": run.card.get("downloads"),
        "planned": run.planned, "asked": n, "correct": right,
        "accuracy": right / n if n else None, "low": low, "high": high,
        "blank": int(blank(run.rows).sum()),
        "api_errors": int((run.rows["outcome"] == "api_error").sum()),
        "status": state.name, "cause": state.cause, "verdict": verdict(run),
        "short": points_short(run) if run.is_whole_exam and run.is_complete else None,
        "started": run.rows["asked_at"].min() if n else None,
    }  # fmt: skip


def token_use(rows: pd.DataFrame, budget: int | None) -> pd.DataFrame:
    """Tokens of the replies per outcome, against the budget.

    `counted` replies have a token count; `at_cap` of them used the whole budget (some
    servers report one token less). Everything else is over the counted replies.
    """
    import pandas as pd

    groups = [*rows.groupby("outcome"), (TOTAL, rows)]
    groups.sort(key=lambda group: (group[0] == TOTAL, -len(group[1])))
    table = {name: _token_row(group, budget) for name, group in groups}
    return pd.DataFrame.from_dict(table, orient="index", columns=TOKEN_USE)


TOKEN_USE = [
    "n", "counted", "median", "p90", "max", "at_cap", "reasoning_median",
    "seconds_median", "tokens_per_second",
]  # fmt: skip


def _token_row(rows: pd.DataFrame, budget: int | None) -> dict[str, Any]:
    tokens = rows["completion_tokens"].dropna()
    at_cap = int((tokens >= budget - 1).sum()) if budget and len(tokens) else None
    return {
        "n": len(rows), "counted": len(tokens),
        "median": _quantile(tokens, 0.5), "p90": _quantile(tokens, 0.9),
        "max": _quantile(tokens, 1.0), "at_cap": at_cap,
        "reasoning_median": _quantile(rows["reasoning_tokens"], 0.5),
        "seconds_median": _quantile(rows["seconds"], 0.5),
        "tokens_per_second": _quantile(rows["tokens_per_second"], 0.5),
    }  # fmt: skip


def _quantile(values: pd.Series, share: float) -> float | None:
    known = values.dropna()
    return float(known.quantile(share)) if len(known) else None


def _planned(run: Run) -> pd.Series:
    """Questions to ask per section and in all; missing where no manifest tells."""
    import pandas as pd

    index = [*SECTIONS, TOTAL]
    if run.plan is None:
        return pd.Series(pd.NA, index=index, dtype="Int64")
    sizes = run.plan.groupby("section").size().reindex(list(SECTIONS), fill_value=0)
    sizes.loc[TOTAL] = sizes.sum()
    return sizes.astype("Int64")


def _heading(section: Any, row: pd.Series) -> str:
    import pandas as pd

    planned = None if pd.isna(row["planned"]) else int(row["planned"])
    asked = int(row["asked"])
    if planned == asked or planned is None:
        return f"{section} ({asked})" if asked else f"{section}"
    return f"{section} ({asked}/{planned})" if asked else _not_asked(section, planned)


def _not_asked(section: Any, planned: int) -> str:
    return f"{section} ({planned})" if planned else f"{section}"


def _column(row: pd.Series, words: dict[str, str]) -> list[str]:
    asked = int(row["asked"])
    if asked == 0:
        return [words["not_run"]] * 4
    shown = [row["correct"], f"{row['correct'] / asked:.1%}"]
    return [str(value) for value in (*shown, row["blank"], row["api_errors"])]


def runs_frame(study: Study) -> pd.DataFrame:
    """One row a run; see `igaku.runs`."""
    import pandas as pd

    from igaku.study.audits import wrong_runs

    wrong = wrong_runs(study)
    rows = [_run_row(study, run, wrong) for run in study.runs]
    return pd.DataFrame(rows, columns=list(RUNS))


def _run_row(study: Study, run: Run, wrong: dict[str, Any]) -> dict[str, Any]:
    from igaku.study.families import label_of, role, size_gb

    found = _summary_row(run)
    return found | {
        "label": label_of(run, study.lang), "role": role(run),
        "right": found["correct"], "lost": int(is_lost(run.rows).sum()),
        "api_error": found["api_errors"], "size_gb": size_gb(run),
        "identity": run.identity,
        "counted": run.name not in wrong, "same_as": wrong.get(run.name),
        "max_tokens": run.budget,
        "reasoning_effort": run.settings.get("reasoning_effort"),
        "seconds": _quantile(run.rows["seconds"], 0.5),
        "completion_tokens": _quantile(run.rows["completion_tokens"], 0.5),
    }  # fmt: skip


RUNS = (
    "run", "label", "status", "cause", "role", "origin", "exam", "planned", "asked",
    "right", "accuracy", "low", "high", "blank", "lost", "api_error", "verdict",
    "short", "identity", "counted", "same_as", "format", "quantization", "size_gb",
    "max_tokens", "reasoning_effort", "seconds", "completion_tokens", "hf_downloads",
    "started",
)  # fmt: skip
SECTIONS_OF = (
    "run", "label", "section", "planned", "asked", "right", "accuracy", "low", "high",
    "blank", "api_error",
)  # fmt: skip


def sections_frame(study: Study) -> pd.DataFrame:
    """One row per run and section; see `igaku.study.sections`."""
    import pandas as pd

    from igaku.study.families import label_of

    parts = [
        section_counts(run)
        .drop(index=TOTAL)
        .rename_axis("section")
        .rename(columns={"correct": "right", "api_errors": "api_error"})
        .reset_index()
        .assign(run=run.name, label=label_of(run, study.lang))
        for run in study.runs
    ]
    if not parts:
        return pd.DataFrame(columns=list(SECTIONS_OF))
    return with_share(pd.concat(parts, ignore_index=True), "asked")[list(SECTIONS_OF)]


def with_share(counts: pd.DataFrame, of: str) -> pd.DataFrame:
    """Counts with the share that is right, and its 95 % limits; missing for n = 0."""
    pairs = zip(counts["right"], counts[of], strict=True)
    none = (None, None, None)
    shares = [(k / n, *interval(int(k), int(n))) if n else none for k, n in pairs]
    columns = zip(("accuracy", "low", "high"), zip(*shares, strict=True), strict=True)
    return counts.assign(**{name: list(values) for name, values in columns})


# --- figures printed elsewhere --------------------------------------------------------

COUNTED = ("correct", "blank", "api_errors")
PUBLISHED = ("run", "section", "measure", "published", "counted", "agrees")


def published_frame(study: Study) -> pd.DataFrame:
    """Published figures beside those counted here; see `igaku.study.published`."""
    import pandas as pd

    rows = [row for run in study.runs for row in _published_rows(run)]
    frame = pd.DataFrame(rows, columns=list(PUBLISHED))
    return frame.astype({"agrees": "boolean", "counted": "Float64"})


def _published_rows(run: Run) -> Iterator[tuple[Any, ...]]:
    counts = section_counts(run)
    sections = {**run.published["sections"], TOTAL: run.published}
    for section, told in sections.items():
        row = counts.loc[section]
        asked = int(row["asked"])
        is_held = 0 < asked == row["planned"] and _is_published_budget(run)
        here: dict[str, Any] = {n: row[n] if asked else None for n in COUNTED}
        here["accuracy"] = 100 * row["correct"] / asked if asked else None
        for measure in ("correct", "accuracy", "blank", "api_errors"):
            number, figure = _number(told.get(measure)), here[measure]
            if number is not None:
                agrees = abs(figure - number) < 0.0501 if is_held else None
                name = "total" if section == TOTAL else section
                yield run.name, name, measure, told[measure], figure, agrees


def _is_published_budget(run: Run) -> bool:
    """Whether the figures were published of a run with this budget."""
    told = re.search(r"max_tokens\s*=\s*(\d+)", str(run.published.get("condition")))
    return told is None or run.budget in (None, int(told[1]))


def _number(value: Any) -> float | None:
    """A published figure; "60+" is held to be 60."""
    digits = re.match(r"\d+(\.\d+)?", str(value))
    return None if value is None or digits is None else float(digits[0])


def cards_frame(study: Study) -> pd.DataFrame:
    """The models' cards side by side; see `igaku.study.cards`."""
    import pandas as pd

    from igaku.params.settings import card_rows

    cards = {run.name: dict(card_rows(run.card, study.lang)) for run in study.runs}
    items = dict.fromkeys(item for card in cards.values() for item in card)
    return pd.DataFrame(cards, index=pd.Index(list(items), name="item"), dtype=object)
