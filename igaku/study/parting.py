"""Partings: where the replies of two variants to one prompt begin to differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from igaku.ask.warm import first_difference
from igaku.study.families import Source, study_in
from igaku.study.runs import Run
from igaku.study.silent import SILENT, bodies_of, may_be_clipped

PARTINGS = (
    "reference", "candidate", "problem_id", "unit", "parted", "parted_at", "share",
    "length_reference", "length_candidate", "flip", "silent",
)  # fmt: skip
TYPES: Any = {
    **dict.fromkeys(("parted_at", "length_reference", "length_candidate"), "Int64"),
    "parted": bool, "share": "Float64",
}  # fmt: skip
BOUND = "\0"  # between thought and answer: one place, which no text holds
# By whether the reference was right, or gave no answer, and whether the candidate.
FLIPS = {(True, False): "only_reference", (False, True): "only_candidate"}
LOST = {
    (True, True): "both", (True, False): "reference", (False, True): "candidate",
    (False, False): "neither",
}  # fmt: skip


def partings(
    outputs_dir: Source = None, reference: str = "", candidate: str = ""
) -> pd.DataFrame:
    """One row per question that two runs were asked in the same words, greedily.

    Thought and answer are compared as one text: `unit` is "token" where the server told
    the tokens of both (`logprobs`), else "character". `parted`: whether the two differ;
    a reply that was cut and says the same so far has not parted. `parted_at`: the
    first place that differs, from 1; missing where none does. `share`: of the
    reference's reply, what stands before that. `length_reference length_candidate`: in
    the unit. `flip`: only_reference or only_candidate was right. `silent`: who gave no
    answer: neither, reference, candidate or both.

    No row where a text is clipped or has no thought on record, where the prompts are
    not known to be the same, or a temperature is not known to be 0. Unknown runs are an
    `IgakuError`.

    >>> igaku.study.partings("outputs", "a", "b")["share"]  # doctest: +SKIP
    """
    study = study_in(outputs_dir)
    first, second = study.run(reference), study.run(candidate)
    if any(run.settings.get("temperature") != 0 for run in (first, second)):
        return pd.DataFrame(columns=list(PARTINGS)).astype(TYPES)
    both: Any = {"left_index": True, "right_index": True, "suffixes": ("", "_other")}
    pairs = _whole(first).merge(_whole(second), **both)
    pairs = pairs[pairs["prompt_sha256"] == pairs["prompt_sha256_other"]]
    found = [
        {"reference": reference, "candidate": candidate, **_row(pair)}
        for pair in pairs.reset_index().to_dict("records")
    ]
    return pd.DataFrame(found, columns=list(PARTINGS)).astype(TYPES)


def parted(
    reference: Sequence[Any], candidate: Sequence[Any], cut: tuple[bool, bool]
) -> dict[str, Any]:
    """Where two replies part: the columns `parted` to `length_candidate`.

    `cut` says which of the two something ended; what it might have said is not known.

    >>> parted("abc", "abd", (False, False))["parted_at"]
    3
    >>> parted("abc", "ab", (False, True))["parted"]
    False
    """
    lengths = len(reference), len(candidate)
    same = first_difference(reference, candidate)
    is_open = any(is_cut and same == n for is_cut, n in zip(cut, lengths, strict=True))
    is_parted = not is_open and same < max(lengths)
    return {
        "parted": is_parted, "parted_at": same + 1 if is_parted else None,
        "share": same / lengths[0] if lengths[0] else None,
        "length_reference": lengths[0], "length_candidate": lengths[1],
    }  # fmt: skip


def _row(pair: Mapping[Any, Any]) -> dict[str, Any]:
    """What is told of one question by the replies of both."""
    texts, unit = (pair["text"], pair["text_other"]), "character"
    if pair["tokens"] and pair["tokens_other"]:
        texts, unit = (pair["tokens"], pair["tokens_other"]), "token"
    right = pair["correct"], pair["correct_other"]
    lost = pair["outcome"] in SILENT, pair["outcome_other"] in SILENT
    cut = pair["outcome"] == "truncated", pair["outcome_other"] == "truncated"
    return {
        "problem_id": pair["problem_id"], "unit": unit, **parted(*texts, cut),
        "flip": FLIPS.get(right), "silent": LOST[lost],
    }  # fmt: skip


def _whole(run: Run) -> pd.DataFrame:
    """The replies whose thought and answer are both on record whole, by question."""
    rows, bodies = run.rows, bodies_of(run)
    names = rows["problem_id"]
    texts = [*zip(*(rows[n].fillna("") for n in ("reasoning", "content")), strict=True)]
    told: dict[str, Any] = {
        "correct": rows["correct"].fillna(False).astype(bool),
        "text": [BOUND.join(filter(None, pair)) for pair in texts],
        "tokens": pd.Series([tokens_of(bodies.get(n)) for n in names], rows.index),
    }
    is_whole = [bool(t) and not may_be_clipped(run, t, said) for t, said in texts]
    kept = rows[["problem_id", "outcome", "prompt_sha256"]].assign(**told)
    return kept[is_whole].set_index("problem_id")


def tokens_of(body: Any) -> list[Any]:
    """The tokens of a reply, by id or else by text, where a body has `logprobs`.

    >>> tokens_of({"choices": [{"logprobs": {"content": [{"token": "c"}]}}]})
    ['c']
    """
    for name in ("choices", 0, "logprobs", "content"):
        try:
            body = body[name]
        except (TypeError, KeyError, IndexError):
            return []
    if not isinstance(body, list):
        return []
    told = [each if isinstance(each, dict) else {} for each in body]
    for key in ("id", "token"):
        if told and all(key in each for each in told):
            return [each[key] for each in told]
    return []
