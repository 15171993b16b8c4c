"""Positions: whether a model likes a letter, and what the order of choices costs it.

A model that knows an answer finds it behind any letter; one that likes a letter, or
remembers which one the release had, does not.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
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
    rows = run.rows[run.rows["kind"].eq("choice")]
    chosen, right = (_seen(rows[name], rows["shown_as"]) for name in ("answer", "gold"))
    both = [a & b for a, b in zip(chosen, right, strict=True)]
    counts = [Counter(chain(*letters)) for letters in (chosen, right, both)]
    letters = sorted({*chain(*counts)})
    told = [(letter, *(n[letter] for n in counts)) for letter in letters]
    found = pd.DataFrame(told, columns=list(ORDERS[3:-1]))
    seed = AS_RELEASED if run.seed < 0 else str(run.seed)
    share = found["right_chosen"] / found["right_there"].where(found["right_there"] > 0)
    return found.assign(**named(study, run), choice_order=seed, accuracy=share)


def _seen(answers: pd.Series, orders: pd.Series) -> list[set[str]]:
    """The letters behind which the choices of each answer were shown."""
    both = zip(answers, orders.fillna(""), strict=True)
    return [set(positions(answer or (), order or None)) for answer, order in both]


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
    names = ("gold", "shown_as", "correct")
    both = run.rows[["problem_id", *names]].merge(other.rows, on="problem_id")
    gold, order, right = (
        [both[f"{name}_x"], both[f"{name}_y"]]
        for name in ("gold", "shown_as", "correct")
    )
    one, two = (each.fillna(False).astype(bool) for each in right)
    is_changed = order[0].fillna("") != order[1].fillna("")
    seen = zip(*map(_seen, gold, order), strict=True)
    is_kept = np.array([a == b for a, b in seen], dtype=bool)
    kept, moved = is_changed & is_kept, is_changed & ~is_kept
    counts = {
        "n": len(both), "right": one.sum(), "other_right": two.sum(),
        "kept": kept.sum(), "kept_flips": (kept & (one != two)).sum(),
        "moved": moved.sum(), "moved_flips": (moved & (one != two)).sum(),
    }  # fmt: skip
    difference = float(two.sum() - one.sum()) / max(len(both), 1)
    about = named(study, run) | {"other": other.name, "difference": difference}
    return about | {name: int(n) for name, n in counts.items()}
