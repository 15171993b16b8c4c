"""The numbers behind the document as CSV files, for other people's tools."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from igaku.pages.facts import Facts
from igaku.study.doubtful import write_doubtful
from igaku.study.families import Study
from igaku.study.tables import put_table

__all__ = ["put_table", "write_doubtful", "write_tables"]

# What a table of replies holds: no texts.
REPLY = (
    "run", "label", "origin", "exam", "problem_id", "section", "outcome", "answer",
    "gold", "correct", "finish_reason", "completion_tokens", "reasoning_tokens",
    "seconds", "points", "stem", "text_only", "category", "human_accuracy",
)  # fmt: skip
OF_A_RUN = {"run": "identity", "reference": "identity_reference",
            "candidate": "identity_candidate"}  # fmt: skip
FRAMES = (
    "sections", "strata", "official", "published", "gates", "patterns", "rescues",
    "lengths", "silences", "crossed", "contrasts",
)  # fmt: skip


def write_tables(facts: Facts, folder: Path) -> list[str]:
    """Write the frames as CSV into a folder; the names of the files."""
    named = {
        "models": facts.runs, "pairs": facts.pairs, "alarms": facts.audit,
        "walls": facts.walls, "answers": _replies(facts.study),
    }  # fmt: skip
    for name in FRAMES:
        named[name] = facts.frame(name).drop(columns="text", errors="ignore")
    for name, frame in named.items():
        put_table(folder, name, _identified(facts, frame))
    return [f"{name}.csv" for name in named]


def _identified(facts: Facts, frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose every column of runs has what is known of their weights beside it.

    Labels carry marks on a page; a column is what a program can filter by.
    """
    known = facts.runs["identity"]
    for name, told in OF_A_RUN.items():
        if name in frame and told not in frame:
            frame = frame.assign(**{told: frame[name].map(known)})
    return frame


def _replies(study: Study) -> pd.DataFrame:
    """Every reply in one long table without its texts."""
    rows = pd.concat([run.rows[list(REPLY)] for run in study.runs], ignore_index=True)
    for name in ("answer", "gold"):
        rows[name] = [
            "".join(value) if isinstance(value, tuple) else None for value in rows[name]
        ]
    return rows
