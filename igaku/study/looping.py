"""Loops: reasoning that says the same over and over until the budget ends it."""

from __future__ import annotations

import pandas as pd

from igaku.reading.loops import (
    distinct_share,
    is_looping,
    repeated_suffix,
)
from igaku.study.families import Source, stacked, study_in

LOOPS = (
    "run", "problem_id", "outcome", "characters", "repeated_suffix", "distinct_share",
    "looping",
)  # fmt: skip


def loops(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per reply whose reasoning is on record: does it repeat itself?

    `run problem_id outcome characters`; `repeated_suffix`, the longest end of the text
    that also occurs earlier in it, in characters; `distinct_share` of its 12-grams of
    characters, missing below 12; `looping`, see `igaku.reading.loops.is_looping`. No
    rows of a run whose record clipped the texts: they tell nothing of how they ended.
    """
    parts = []
    for run in study_in(outputs_dir).runs:
        clipped = run.manifest.get("clipped")
        is_told = run.rows["reasoning"].fillna("").str.strip() != ""
        if (isinstance(clipped, dict) and clipped.get("reasoning")) or not any(is_told):
            continue
        kept = run.rows.loc[is_told, ["run", "problem_id", "outcome", "reasoning"]]
        texts = kept["reasoning"].tolist()
        ends, shares = [*map(repeated_suffix, texts)], [*map(distinct_share, texts)]
        parts.append(kept.assign(
            characters=[len(text) for text in texts], repeated_suffix=ends,
            distinct_share=pd.array(shares, dtype="Float64"),
            looping=[*map(is_looping, texts)],
        ))  # fmt: skip
    return stacked(parts, LOOPS)
