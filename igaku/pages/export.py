"""The numbers behind the document as CSV files, for other people's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import igaku
from igaku.ask.folder import replace
from igaku.pages.facts import Facts
from igaku.study.families import Study

# What a table of replies holds: no texts.
REPLY = (
    "run", "label", "origin", "exam", "problem_id", "section", "outcome", "answer",
    "gold", "correct", "finish_reason", "completion_tokens", "reasoning_tokens",
    "seconds", "points", "stem", "text_only", "category", "human_accuracy",
)  # fmt: skip
OF_A_RUN = {"run": "identity", "reference": "identity_reference",
            "candidate": "identity_candidate"}  # fmt: skip
FRAMES = ("gates", "patterns", "rescues", "lengths", "loops")


def write_tables(facts: Facts, folder: Path) -> list[str]:
    """Write the frames as CSV into a folder; the names of the files."""
    named = {
        "models": facts.runs, "pairs": facts.pairs, "alarms": facts.audit,
        "walls": facts.walls, "answers": _replies(facts.study),
        "sections": facts.sections, "strata": facts.strata,
        "official": facts.official, "published": facts.published,
    }  # fmt: skip
    for name in FRAMES:
        named[name] = getattr(igaku.study, name)(facts.study)
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


def put_table(folder: Path, name: str, frame: pd.DataFrame) -> Path:
    """Write one table as CSV into a folder."""
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    # With its mark, a spreadsheet takes the file for UTF-8 and shows Japanese.
    text = "\ufeff" + _harmless(frame).to_csv(index=False, lineterminator="\n")
    replace(path, text.encode("utf-8", "replace"))
    return path


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts no spreadsheet takes for a formula."""
    texts = frame.select_dtypes(include=["object", "str"]).columns
    guarded = {name: frame[name].map(_guarded) for name in texts}
    return frame.assign(**guarded) if len(texts) else frame


def _guarded(value: Any) -> Any:
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
