"""What fewer bits in one component do to the chain, and what the budget makes of that.

Everything is paired by question and signed candidate − reference. Intervals of
`effects` hold together at 95 % over all its cases (Bonferroni), so that a claim holds
for the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from igaku.errors import IgakuError
from igaku.mechanism.ablation import REFERENCE
from igaku.params.settings import read_file
from igaku.paths import PARAMS
from igaku.reading.silence import TOLD, silent_kind
from igaku.statistics import Interval, paired_difference, proportion
from igaku.study.parting import FLIPS, LOST, TYPES, parted
from igaku.study.silent import measured
from igaku.words import LEVEL, is_missing, say, word

RESAMPLES = 20_000
CASE = ["effort", "component", "bits"]
EFFECTS = (
    *CASE, "n", "right", "only_reference", "only_candidate", "difference", "low",
    "high", "mean_tokens", "longer", "longer_low", "longer_high", "blank", "blank_low",
    "blank_high", "never", "confidence",
)  # fmt: skip


def at_budget(replies: pd.DataFrame, budget: int) -> pd.DataFrame:
    """The replies as they would have counted had this been the budget.

    Two columns more: `blank`, nothing was stated within it, and `right`.
    """
    blank = ~(replies["stated"] & (replies["tokens"] <= budget))
    return replies.assign(blank=blank, right=replies["correct"] & ~blank)


def difference(
    candidate: pd.DataFrame,
    reference: pd.DataFrame,
    measure: str,
    confidence: float = 1 - LEVEL,
) -> pd.DataFrame:
    """One row: the difference of two shares on the same questions, with its interval.

    `measure` is a column of truth values, `right` or `blank`. Columns: those of the
    candidate's case (effort component bits), measure n both only_reference
    only_candidate neither difference low high (Tango's score interval).
    """
    pair = candidate.merge(
        reference, on="problem_id", suffixes=("", "_reference"), validate="one_to_one"
    )
    ours, theirs = pair[measure], pair[f"{measure}_reference"]
    counts = {
        "both": int((ours & theirs).sum()),
        "only_reference": int((~ours & theirs).sum()),
        "only_candidate": int((ours & ~theirs).sum()),
        "neither": int((~ours & ~theirs).sum()),
    }
    found = paired_difference(
        counts["both"], counts["only_candidate"], counts["only_reference"],
        counts["neither"], confidence,
    )  # fmt: skip
    row = {"measure": measure, "n": len(pair), **counts, "difference": found.estimate}
    row |= dict(zip(("low", "high"), found.tango, strict=True))
    case = candidate[CASE].head(1).reset_index(drop=True)
    return case.assign(**row)


def effects(replies: pd.DataFrame, budget: int) -> pd.DataFrame:
    """One row per case of `replies` against the reference, at the same effort.

    Columns: effort component bits n right, accuracy as in `difference` (only_reference
    to high), mean_tokens, tokens longer by (longer longer_low longer_high, bootstrap),
    the share blank at the budget (blank blank_low blank_high, each its own 95 % Wilson
    interval), the share that never stated anything (never), and the confidence of each
    interval that holds with the others at 95 % (confidence).
    """
    judged = at_budget(replies, budget).sort_values("problem_id", kind="stable")
    is_base = judged["component"] == REFERENCE
    bases = {str(key): rows for key, rows in judged[is_base].groupby("effort")}
    cases = judged[~is_base].groupby(CASE, sort=False, dropna=False)
    if not cases.ngroups or not set(judged["effort"]) <= set(bases):
        raise IgakuError("Effects need the reference's replies and at least one other.")
    confidence = 1 - LEVEL / cases.ngroups
    rows = [_effect(rows, bases[str(case[0])], confidence) for case, rows in cases]
    return pd.DataFrame(rows).astype({"bits": "Int64"})


def _effect(
    rows: pd.DataFrame, base: pd.DataFrame, confidence: float
) -> dict[str, Any]:
    (accuracy,) = difference(rows, base, "right", confidence).to_dict("records")
    tokens = rows.set_index("problem_id")["tokens"]
    before = base.set_index("problem_id")["tokens"].loc[tokens.index]
    longer, limits = mean_difference(tokens, before, confidence)
    blank = proportion(int(rows["blank"].sum()), len(rows))
    found = accuracy | {
        "right": int(rows["right"].sum()),
        "mean_tokens": float(tokens.mean()),
        "longer": longer, "longer_low": limits[0], "longer_high": limits[1],
        "blank": blank.estimate, "blank_low": blank.low, "blank_high": blank.high,
        "never": float((~rows["stated"]).mean()),
        "confidence": confidence,
    }  # fmt: skip
    return {name: found[name] for name in EFFECTS}


def mean_difference(
    a: pd.Series, b: pd.Series, confidence: float
) -> tuple[float, Interval]:
    """Mean of the paired differences, with a seeded percentile bootstrap interval."""
    import numpy as np

    differences = (a - b).to_numpy(dtype=float)
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (RESAMPLES, len(differences))).mean(1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(differences.mean()), (float(low), float(high))


def rescues(replies: pd.DataFrame, budget: int) -> pd.DataFrame:
    """One row per case: what the budget left blank, and what a larger one makes of it.

    Columns: effort component bits n right blank, at the budget; of the blank ones, up
    to the cap, rescued (right), finished_wrong and never (no answer at all); the share
    rescued with its 95 % Wilson interval (rescued_share low high), missing without a
    blank.
    """
    judged = at_budget(replies, budget)
    later = judged["stated"] & judged["blank"]
    told = judged.assign(
        n=1, rescued=later & judged["correct"],
        finished_wrong=later & ~judged["correct"],
        never=judged["blank"] & ~judged["stated"],
    )  # fmt: skip
    names = ["n", "right", "blank", "rescued", "finished_wrong", "never"]
    groups = told.groupby(CASE, sort=False, dropna=False)
    found = groups[names].sum().astype(int).reset_index()
    known = found["blank"].where(found["blank"] > 0)
    shares = [
        (None, None, None) if is_missing(n) else _limits(int(k), int(n))
        for k, n in zip(found["rescued"], known, strict=True)
    ]
    limits = pd.DataFrame(
        shares, columns=["rescued_share", "low", "high"], dtype="Float64"
    )
    return found.join(limits)


def _limits(k: int, n: int) -> tuple[float, float, float]:
    told = proportion(k, n)
    return float(told.estimate), float(told.low), float(told.high)


def silences(replies: pd.DataFrame) -> pd.DataFrame:
    """One row per reply that stated nothing, with its kind: see `silent_kind`.

    Columns: the case, problem_id tokens, silence, ending ("cut" at the cap, or by
    "itself"), repeated_share, and text. The kind is of the reply as far as it went.
    """
    lost = replies[~replies["stated"]]
    texts = list(zip(lost["text"], ~lost["finished"], strict=True))
    kinds = [silent_kind(text, is_cut=is_cut) for text, is_cut in texts]
    return lost[[*CASE, "problem_id", "tokens"]].assign(
        silence=pd.Categorical(kinds, TOLD, ordered=True),
        ending=["cut" if is_cut else "itself" for _, is_cut in texts],
        repeated_share=[measured(text, "")[1] for text, _ in texts],
        text=lost["text"],
    )  # fmt: skip


def partings(judged: pd.DataFrame, lang: str) -> pd.DataFrame:
    """Where each case's replies part from the reference's, as `igaku.study.partings`.

    `judged` is of `at_budget`: silent is who was blank there.
    """
    is_base = judged["component"] == REFERENCE
    both = judged[~is_base].merge(
        judged[is_base], on=["effort", "problem_id"], suffixes=("", "_reference")
    )
    both["candidate"] = named(both, lang)
    base = word("component", REFERENCE, lang)
    return pd.DataFrame([
        {"reference": base, "candidate": row["candidate"],
         "problem_id": row["problem_id"], "unit": "character", **_parted(row)}
        for row in both.to_dict("records")
    ]).astype(TYPES)  # fmt: skip


def _parted(row: Mapping[Any, Any]) -> dict[str, Any]:
    cut = not row["finished_reference"], not row["finished"]
    right, lost = (
        (bool(row[f"{name}_reference"]), bool(row[name])) for name in ("right", "blank")
    )
    told = parted(row["text_reference"], row["text"], cut)
    return told | {"flip": FLIPS.get(right), "silent": LOST[lost]}


def named(rows: pd.DataFrame, lang: str) -> list[str]:
    """Each row's case in a reader's words: "experts, 2-bit"."""
    return [
        say(
            "mechanism_case",
            lang,
            component=word("component", name, lang),
            bits=None if is_missing(bits) else int(bits),
        )
        for name, bits in zip(rows["component"], rows["bits"], strict=True)
    ]


def broken_recipes() -> set[str]:
    """The recipes of the models whose published status is BROKEN, from `params/`.

    A lab model names in its card the one of the study whose recipe it has.
    """
    recipes = set()
    for path in (PARAMS / "lab").glob("*.yaml"):
        card = read_file(path).values["card"]
        if "study" not in card:  # the control for bits is no model of the study's
            continue
        study = read_file(PARAMS / f"{card['study']}.yaml").values
        if study["published"]["verdict"] == "BROKEN":
            recipes.add(card["recipe"])
    return recipes
