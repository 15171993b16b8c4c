"""What fewer bits in one component do to the chain, and what the budget makes of that.

Everything is paired by question and signed candidate − reference. Intervals of
`effects` hold together at 95 % over all its cases (Bonferroni), so that a claim holds
for the whole table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from igaku.errors import IgakuError
from igaku.mechanism.ablation import REFERENCE
from igaku.params.settings import read_file
from igaku.paths import PARAMS
from igaku.reading.answer import TOLD, silent_kind
from igaku.statistics import paired_difference, proportion
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
    both, neither = (ours & theirs).sum(), (~ours & ~theirs).sum()
    only_reference, only_candidate = (~ours & theirs).sum(), (ours & ~theirs).sum()
    found = paired_difference(both, only_candidate, only_reference, neither, confidence)
    case = candidate[CASE].head(1).reset_index(drop=True)
    return case.assign(
        measure=measure, n=len(pair), both=both, only_reference=only_reference,
        only_candidate=only_candidate, neither=neither, difference=found.estimate,
        low=found.tango[0], high=found.tango[1],
    )  # fmt: skip


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
    return pd.DataFrame(rows)[list(EFFECTS)].astype({"bits": "Int64"})


def _effect(
    rows: pd.DataFrame, base: pd.DataFrame, confidence: float
) -> dict[Any, Any]:
    """The row of a case; its tokens by a seeded percentile bootstrap."""
    (accuracy,) = difference(rows, base, "right", confidence).to_dict("records")
    tokens = rows.set_index("problem_id")["tokens"]
    before = base.set_index("problem_id")["tokens"].loc[tokens.index]
    longer = (tokens - before).to_numpy(dtype=float)
    drawn = np.random.default_rng(0).choice(longer, (RESAMPLES, len(longer))).mean(1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    blank = proportion(int(rows["blank"].sum()), len(rows))
    return accuracy | {
        "right": int(rows["right"].sum()),
        "mean_tokens": float(tokens.mean()),
        "longer": float(longer.mean()), "longer_low": low, "longer_high": high,
        "blank": blank.estimate, "blank_low": blank.low, "blank_high": blank.high,
        "never": float((~rows["stated"]).mean()),
        "confidence": confidence,
    }  # fmt: skip


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
    share = proportion(found["rescued"].to_numpy(), found["blank"].to_numpy())
    each = {"rescued_share": share.estimate, "low": share.low, "high": share.high}
    limits = pd.DataFrame(each, dtype="Float64")
    return found.join(limits.where(found["blank"] > 0))


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
    rows = []
    for row in both.to_dict("records"):
        text, is_whole, right, blank = (
            (row[f"{name}_reference"], row[name])
            for name in ("text", "finished", "right", "blank")
        )
        cut = not is_whole[0], not is_whole[1]
        rows.append(
            {"reference": base, "candidate": row["candidate"],
             "problem_id": row["problem_id"], "unit": "character",
             **parted(*text, cut), "flip": FLIPS.get(right), "silent": LOST[blank]}
        )  # fmt: skip
    return pd.DataFrame(rows).astype(TYPES)


def named(rows: pd.DataFrame, lang: str) -> list[str]:
    """Each row's case in a reader's words: "experts, 2-bit"."""
    return [
        say("mechanism_case", lang, component=word("component", name, lang),
            bits=None if is_missing(bits) else int(bits))
        for name, bits in zip(rows["component"], rows["bits"], strict=True)
    ]  # fmt: skip


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
