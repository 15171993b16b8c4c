"""Scores: the status of a run, the 75 % line, and the counts behind both.

A question that was not asked is never counted as a wrong answer, and what could not be
counted is missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku.ask import health
from igaku.exam.igakuqa import SECTIONS
from igaku.study.runs import Run
from igaku.words import CAUSES, PASS_MARK

if TYPE_CHECKING:
    import pandas as pd

    from igaku.study.families import Study

# --- one run --------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """What can be said of a run as a whole: OK, INCOMPLETE, or BROKEN with a cause."""

    name: str
    cause: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.cause})" if self.cause else self.name


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


def blank(rows: pd.DataFrame) -> pd.Series:
    """Which replies are 空回答: the server answered, and the text of it is blank."""
    return rows["blank"].fillna(False).astype(bool)


def is_lost(rows: pd.DataFrame) -> pd.Series:
    """Which replies are lost: cut, empty or failed."""
    return rows["outcome"].isin(list(CAUSES))


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


def with_share(counts: pd.DataFrame, of: str) -> pd.DataFrame:
    """Counts with the share that is right, and its 95 % limits; missing for n = 0."""
    import pandas as pd

    none, pairs = (None, None, None), zip(counts["right"], counts[of], strict=True)
    shares = [(k / n, *interval(int(k), int(n))) if n else none for k, n in pairs]
    names, told = ["accuracy", "low", "high"], counts.copy()
    told[names] = pd.DataFrame(shares, counts.index, names, dtype=float)
    return told


# --- all runs -------------------------------------------------------------------------

RUNS = (
    "run", "label", "status", "cause", "role", "origin", "exam", "planned", "asked",
    "right", "accuracy", "low", "high", "blank", "lost", "api_error", "verdict",
    "short", "identity", "counted", "same_as", "format", "quantization", "size_gb",
    "max_tokens", "reasoning_effort", "seconds", "completion_tokens", "hf_downloads",
    "started",
)  # fmt: skip
WHOLE = ("planned", "short", "max_tokens", "hf_downloads")
NUMBERS = ("size_gb", "seconds", "completion_tokens")


def runs_frame(study: Study) -> pd.DataFrame:
    """One row a run; see `igaku.runs`."""
    import pandas as pd

    from igaku.study.audits import wrong_runs

    rows = [_run_row(study, run) for run in study.runs]
    frame = pd.DataFrame(rows, columns=list(RUNS))
    wrong = wrong_runs(study)
    frame["counted"] = ~frame["run"].isin(list(wrong))
    frame["same_as"] = frame["run"].map(wrong)
    frame["started"] = pd.to_datetime(frame["started"], utc=True)
    frame[list(NUMBERS)] = frame[list(NUMBERS)].astype(float)
    return with_share(frame, "asked").astype(dict.fromkeys(WHOLE, "Int64"))


def _run_row(study: Study, run: Run) -> dict[str, Any]:
    from igaku.study.families import label_of, role, size_gb

    rows, state, card = run.rows, status(run), run.card
    is_sat = run.is_whole_exam and run.is_complete
    told = card.get("downloads")
    downloads = told if isinstance(told, int) else None
    return {
        "run": run.name, "label": label_of(run, study.lang), "status": state.name,
        "cause": state.cause, "role": role(run), "origin": run.origin,
        "exam": run.exam, "planned": run.planned, "asked": run.asked,
        "right": correct(rows), "blank": int(blank(rows).sum()),
        "lost": int(is_lost(rows).sum()),
        "api_error": int((rows["outcome"] == "api_error").sum()),
        "verdict": verdict(run), "short": points_short(run) if is_sat else None,
        "identity": run.identity, "format": card.get("format"),
        "quantization": card.get("quantization"), "size_gb": size_gb(run),
        "max_tokens": run.budget,
        "reasoning_effort": run.settings.get("reasoning_effort"),
        "seconds": _median(rows["seconds"]),
        "completion_tokens": _median(rows["completion_tokens"]),
        "hf_downloads": downloads, "started": rows["asked_at"].min(),
    }  # fmt: skip


def _median(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.median()) if len(known) else None


SECTION = (
    "run", "label", "section", "planned", "asked", "right", "accuracy", "low", "high",
    "blank", "api_error",
)  # fmt: skip


def sections_frame(study: Study) -> pd.DataFrame:
    """One row per run and section; see `igaku.study.sections`."""
    import pandas as pd

    from igaku.study.families import label_of

    parts = [
        section_counts(run).assign(run=run.name, label=label_of(run, study.lang))
        for run in study.runs
    ]
    if not parts:
        return pd.DataFrame(columns=list(SECTION))
    return with_share(pd.concat(parts).reset_index(), "asked")[list(SECTION)]


def section_counts(run: Run) -> pd.DataFrame:
    """Per section A-F: questions planned and asked; right, blank and failed replies.

    `planned` is missing where no manifest tells it; `asked` is then all that is known.
    """
    marks = run.rows[["section"]].assign(
        asked=1,
        right=run.rows["correct"].fillna(False).astype(int),
        blank=blank(run.rows).astype(int),
        api_error=(run.rows["outcome"] == "api_error").astype(int),
    )
    counts = marks.groupby("section").sum().reindex(list(SECTIONS), fill_value=0)
    planned = None
    if run.plan is not None:
        planned = run.plan["section"].value_counts().reindex(counts.index, fill_value=0)
    counts.insert(0, "planned", planned)
    return counts.astype("Int64")


# --- what others printed --------------------------------------------------------------

MEASURES = ("correct", "accuracy", "blank", "api_errors")
PUBLISHED = ("run", "section", "measure", "published", "counted", "agrees")


def published_frame(study: Study) -> pd.DataFrame:
    """Published figures beside those counted here; see `igaku.study.published`."""
    import pandas as pd

    rows = [row for run in study.runs for row in _published_rows(run)]
    frame = pd.DataFrame(rows, columns=list(PUBLISHED))
    return frame.astype({"agrees": "boolean", "counted": "Float64"})


def _published_rows(run: Run) -> Iterator[tuple[Any, ...]]:
    figures = {**run.published["sections"], "total": run.published}
    if not any(set(MEASURES) & set(told) for told in figures.values()):
        return
    counts = section_counts(run)
    counts.loc["total"] = counts.sum(skipna=False)
    for section, told in figures.items():
        row = counts.loc[section]
        is_whole = run.plan is not None and 0 < row["asked"] == row["planned"]
        is_held = bool(is_whole) and _is_published_budget(run)
        counted = {
            "correct": row["right"], "accuracy": 100 * row["right"] / row["asked"],
            "blank": row["blank"], "api_errors": row["api_error"],
        } if row["asked"] else {}  # fmt: skip
        for measure in MEASURES:
            number, figure = _number(told.get(measure)), counted.get(measure)
            if number is not None:
                is_like = figure is not None and abs(figure - number) < 0.0501
                yield (
                    run.name,
                    section,
                    measure,
                    told[measure],
                    figure,
                    is_like if is_held else None,
                )


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
