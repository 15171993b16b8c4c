"""Positions: whether a model likes a letter, and what the order of choices costs it.

A model that knows an answer finds it behind any letter; one that likes a letter, or
remembers which one the release had, does not.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from igaku.exam.choices import AS_RELEASED, positions
from igaku.study.families import Source, Study, named, stacked, study_in
from igaku.study.runs import Run

ORDERS = (
    "run", "label", "choice_order", "position", "chosen", "right_there",
    "right_chosen", "accuracy",
)  # fmt: skip
SHUFFLES = (
    "run", "other", "label", "n", "right", "other_right", "difference", "kept",
    "kept_flips", "moved", "moved_flips",
)  # fmt: skip


def orders(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run and position in the prompt: how often chosen, how often right.

    `run label choice_order`: a seed, or as_released; `position`: the letter shown.
    `chosen`: replies that name it. `right_there`: questions with a right choice behind
    it, `right_chosen` of which the reply names; `accuracy`: right_chosen/right_there. A
    model that likes no letter has about the same everywhere.
    """
    study = study_in(outputs_dir)
    return stacked([_positions(study, run) for run in study.variants], ORDERS)


def _positions(study: Study, run: Run) -> pd.DataFrame:
    counts: dict[str, list[int]] = {}
    for row in run.rows[run.rows["kind"].eq("choice")].to_dict("records"):
        chosen, right = (_seen(row, name) for name in ("answer", "gold"))
        for letter in chosen | right:
            told = (letter in chosen, letter in right, letter in chosen & right)
            before = counts.get(letter, [0, 0, 0])
            counts[letter] = [n + is_so for n, is_so in zip(before, told, strict=True)]
    rows = [(letter, *counts[letter]) for letter in sorted(counts)]
    found = pd.DataFrame(rows, columns=list(ORDERS[3:-1]))
    seed = AS_RELEASED if run.seed < 0 else str(run.seed)
    share = found["right_chosen"] / found["right_there"].where(found["right_there"] > 0)
    return found.assign(**named(study, run), choice_order=seed, accuracy=share)


def _order(row: dict[Any, Any]) -> str | None:
    return row["shown_as"] if isinstance(row["shown_as"], str) else None


def _seen(row: dict[Any, Any], name: str) -> set[str]:
    """The letters behind which the choices of an answer were shown."""
    return set(positions(row[name] or (), _order(row)))


def shuffles(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per two runs of one variant that showed the choices in different orders.

    `run other label`: which two. `n right other_right difference`: the questions that
    both were asked, the right answers of each, and (other − run)/n. Of the questions
    whose choices changed places `kept` have their right choices behind the same letters
    in both, `moved` do not; `kept_flips moved_flips`: on how many of each only one of
    the two is right. More flips where the answer moved speak of a liking for letters,
    or of letters by heart; noise flips both alike.
    """
    study = study_in(outputs_dir)
    repeats = (each.pairs for each in study.families if each.kind == "repeats")
    pairs = [tuple(map(study.run, pair)) for each in repeats for pair in each]
    rows = [_shuffled(study, a, b) for a, b in pairs if a.seed != b.seed]
    return pd.DataFrame(rows, columns=list(SHUFFLES))


def _shuffled(study: Study, run: Run, other: Run) -> dict[str, Any]:
    wanted = ["problem_id", "gold", "shown_as", "correct"]
    told = [
        {row["problem_id"]: row for row in each.rows[wanted].to_dict("records")}
        for each in (run, other)
    ]
    counts = dict.fromkeys(SHUFFLES[3:], 0)
    for name in told[0].keys() & told[1].keys():
        one, two = told[0][name], told[1][name]
        right = [
            not pd.isna(row["correct"]) and bool(row["correct"]) for row in (one, two)
        ]
        counts["n"] += 1
        counts["right"] += right[0]
        counts["other_right"] += right[1]
        if _order(one) != _order(two):
            kind = "kept" if _seen(one, "gold") == _seen(two, "gold") else "moved"
            counts[kind] += 1
            counts[f"{kind}_flips"] += right[0] != right[1]
    difference = (counts["other_right"] - counts["right"]) / max(counts["n"], 1)
    about = named(study, run) | {"other": other.name}
    return counts | about | {"difference": difference}
