"""Copies: runs whose replies to all common questions are the same texts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pandas as pd

from igaku.study.runs import Run

NOTHING = hashlib.sha256(b"").hexdigest()


def copies(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that are alike, reply by reply, to the first of their group."""
    groups: list[list[Run]] = []
    texts = {run.name: _texts(run) for run in runs}
    for run in runs:
        alike = (group for group in groups if _are_alike(group[0], run, texts))
        if group := next(alike, None):
            group.append(run)
        else:
            groups.append([run])
    return [group for group in groups if len(group) > 1]


def common_replies(group: Sequence[Run]) -> pd.DataFrame:
    """The rows of the first run to the questions that all of a group had a reply to."""
    replied = [_texts(run).keys() for run in group]
    first = group[0].rows
    return first[first["problem_id"].isin(set.intersection(*map(set, replied)))]


def _texts(run: Run) -> dict[str, str]:
    """Question → the hash of the reply, where the server replied."""
    rows = run.rows[run.rows["outcome"] != "api_error"]
    columns = (rows[name].tolist() for name in ("problem_id", "reply_sha256"))
    return dict(zip(*columns, strict=True))


def _are_alike(one: Run, other: Run, texts: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether two runs share two replies or more and every one of them is one text.

    Replies that are all blank are alike in nothing but their silence. Reasoning that is
    not on record differs from none.
    """
    if one.seed != other.seed:  # then the same letters name other choices
        return False
    said, common = texts[other.name], []
    for name, text in texts[one.name].items():
        if name in said:
            if said[name] != text:
                return False
            common.append(text)
    if len(common) < 2 or all(text == NOTHING for text in common):
        return False
    if not all("reasoning" in run.rows for run in (one, other)):
        return True
    first, second = (
        run.rows[run.rows["outcome"] != "api_error"].set_index("problem_id")
        for run in (one, other)
    )
    both = first[["reasoning"]].join(second["reasoning"].rename("other")).dropna()
    return bool((both["reasoning"] == both["other"]).all())
