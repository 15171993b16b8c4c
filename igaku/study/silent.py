"""Silences: of which kind each reply is that gave no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from igaku.ask.folder import ANSWERS
from igaku.reading.answer import KINDS, silent_kind
from igaku.reading.loops import LOOKED_AT, distinct_share, repeated_suffix
from igaku.server.parts import at, parts_of
from igaku.study.answers import read_answers
from igaku.study.families import Source, named, stacked, study_in
from igaku.study.recordings import CLIPPED_AT
from igaku.study.runs import Run

SILENT = ("truncated", "empty", "unparsable")
JUDGED = (
    "silence", "ending", "characters", "repeated_share", "distinct_share", "text",
)  # fmt: skip
NOT_TOLD = (None,) * (len(JUDGED) - 1)
SILENCES = (
    "run", "label", "problem_id", "outcome", "completion_tokens", *JUDGED,
)  # fmt: skip
TYPES: dict[str, Any] = {
    "silence": pd.CategoricalDtype(list(KINDS), ordered=True),
    **dict.fromkeys(("completion_tokens", "characters"), "Int64"),
    **dict.fromkeys(("repeated_share", "distinct_share"), "Float64"),
}


def silences(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per reply that gave no answer: cut, blank, or without one to be read.

    `run label problem_id outcome completion_tokens`; `silence`, its kind, a categorical
    of `igaku.reading.answer.KINDS`: "progressing looping header unanswered", see
    `silent_kind`, or unknown, since the text is "clipped" on record, or not on record
    ("unrecorded"). `ending`: "cut", or by "itself". `characters` of thought and answer;
    `repeated_share`: of these the longest end that also occurs earlier,
    `distinct_share`, of 12-grams; `text`, both as they came. All from `ending` on is
    missing where the kind is unknown.

    >>> found = igaku.study.silences("outputs")  # doctest: +SKIP
    >>> pd.crosstab(found["run"], found["silence"])  # doctest: +SKIP
    """
    study, parts = study_in(outputs_dir), []
    for run in study.runs:
        lost = run.rows[run.rows["outcome"].isin(SILENT)]
        if len(lost):
            kept = lost[["problem_id", "outcome", "completion_tokens"]]
            parts.append(kept.assign(**named(study, run)).join(_judged(run, lost)))
    return stacked(parts, SILENCES).astype(TYPES)


def may_be_clipped(run: Run, thought: str, said: str) -> bool:
    """Whether one of a reply's texts has the length at which its recorder clipped."""
    lengths = {"reasoning": len(thought), "response": len(said)}
    return any(
        at(run.manifest, f"clipped.{name}") and length >= CLIPPED_AT[name]
        for name, length in lengths.items()
    )


def _judged(run: Run, lost: pd.DataFrame) -> pd.DataFrame:
    """What is told of each silent reply by its text."""
    bodies = bodies_of(run)
    told = lost[["problem_id", "outcome", "reasoning", "content"]].fillna("")
    found: list[tuple[Any, ...]] = []
    for name, outcome, thought, said in told.itertuples(index=False):
        if (body := bodies.get(name)) is not None:
            # What was said has lost its marks in the row; in the body they stand.
            parts = parts_of(body)
            said, thought = parts.content, parts.reasoning
        is_cut = outcome == "truncated"
        if may_be_clipped(run, thought, said):
            found.append(("clipped", *NOT_TOLD))
        elif not (thought + said).strip():
            found.append(("unrecorded", *NOT_TOLD))
        else:
            ending, kind = ("itself", "cut")[is_cut], silent_kind(said, thought, is_cut)
            found.append((kind, ending, *measured(thought, said)))
    return pd.DataFrame(found, lost.index, JUDGED)


def measured(thought: str, said: str) -> tuple[int, float, float | None, str]:
    """Characters, repeated and distinct share, and the text, of a reply's two texts.

    >>> measured("so c. Wait, " * 3, "")[:2]
    (36, 0.6666666666666666)
    """
    text = "\n".join(filter(None, (thought, said)))
    end = text[-LOOKED_AT:]
    share = repeated_suffix(end) / max(len(end), 1)
    return len(text), share, distinct_share(end), text


def bodies_of(run: Run) -> Mapping[Any, object]:
    """The servers' bodies by question, where a run recorded them."""
    if run.origin == "recorded":
        return {}
    answers, _ = read_answers(run.folder / ANSWERS, {}, ["problem_id", "raw"])
    return {answer.problem_id: answer.raw for answer in answers}
