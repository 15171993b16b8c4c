"""The runs side by side: scores, sections, cards, and what others printed of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from igaku.params.settings import card_frame
from igaku.study.families import Study, label_of, role, size_gb
from igaku.study.runs import Run, status
from igaku.study.scoring import (
    blank,
    correct,
    is_lost,
    points_short,
    section_counts,
    verdict,
    with_share,
)

if TYPE_CHECKING:
    import pandas as pd

RUNS = (
    "run", "label", "status", "cause", "role", "origin", "exam", "planned", "asked",
    "right", "accuracy", "low", "high", "blank", "lost", "api_error", "verdict",
    "short", "identity", "counted", "same_as", "format", "quantization", "size_gb",
    "max_tokens", "reasoning_effort", "seconds", "completion_tokens", "hf_downloads",
    "started",
)  # fmt: skip
WHOLE = ("planned", "short", "max_tokens", "hf_downloads")
NUMBERS = ("size_gb", "seconds", "completion_tokens")


def runs_frame(study: Study, wrong: Mapping[str, str | None]) -> pd.DataFrame:
    """One row a run, those in `wrong` not counted; see `igaku.runs`."""
    import pandas as pd

    rows = [_run_row(study, run) for run in study.runs]
    frame = pd.DataFrame(rows, columns=list(RUNS))
    frame["counted"] = ~frame["run"].isin(list(wrong))
    frame["same_as"] = frame["run"].map(wrong)
    frame["started"] = pd.to_datetime(frame["started"], utc=True)
    frame[list(NUMBERS)] = frame[list(NUMBERS)].astype(float)
    return with_share(frame, "asked").astype(dict.fromkeys(WHOLE, "Int64"))


def _run_row(study: Study, run: Run) -> dict[str, Any]:
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

    parts = [
        section_counts(run).assign(run=run.name, label=label_of(run, study.lang))
        for run in study.runs
    ]
    if not parts:
        return pd.DataFrame(columns=list(SECTION))
    return with_share(pd.concat(parts).reset_index(), "asked")[list(SECTION)]


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
            if number is None:
                continue
            is_like = figure is not None and abs(figure - number) < 0.0501
            agrees = is_like if is_held else None
            yield run.name, section, measure, told[measure], figure, agrees


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

    cards = {
        run.name: card_frame(run.card, study.lang).set_index("what")["value"].to_dict()
        for run in study.runs
    }
    items = dict.fromkeys(item for card in cards.values() for item in card)
    return pd.DataFrame(cards, index=pd.Index(list(items), name="item"), dtype=object)
