"""What the document says of a design: effort or bits, one factor changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from igaku.pages.facts import Facts, interval, rows_of
from igaku.pages.html import Table
from igaku.words import MISSING, is_missing

SHOWN = ("label", "effort", "max_tokens", "score", "lost", "median", "longest")


def design(facts: Facts) -> pd.DataFrame:
    """The largest design's cells, where it crosses models with efforts."""
    found = facts.frame("crossed").query("design == 1")
    is_crossed = found["model"].nunique() > 1 and found["effort"].nunique() > 1
    return found if is_crossed else found.iloc[:0]


def effort_or_bits(facts: Facts) -> tuple[str, str] | None:
    """Whether effort, or the model's bits, lost the replies: in few words, and whole.

    None where no design crosses the two.
    """
    cells = design(facts)
    if cells.empty:
        return None
    found = facts.frame("decided").query("design == 1")
    fixed = [tuple(_level(facts, x) for x in levels) for levels in found["fixed"]]
    found = found.assign(fixed=pd.Series(fixed, index=found.index))
    changes = found.set_index(["factor", "a", "b"])
    lost, right = (changes[changes["measure"] == name] for name in ("lost", "right"))
    shown = (lost["shown"] > 0).groupby("factor").any()
    run = facts.study.run(cells["run"].iloc[0])
    told = {
        "effort": bool(shown["effort"]), "bits": bool(shown["model"]),
        "base": str(run.card.get("base_model")) if run.is_lab else None,  # a tiny model
        "n": int(cells["n"].max()),
    }  # fmt: skip
    levels = {
        f"{name}s": list(dict.fromkeys(cells[name]))
        for name in ("label", "effort", "budget")
    }
    words = facts.say("report_design", **told, **levels, changes=[
        facts.say("report_change", factor=place[0], a=place[1], b=place[2],
                  lost=lost.loc[place].to_dict(), right=right.loc[place].to_dict())
        for place in _told(lost)
    ])  # fmt: skip
    return facts.say("head_design", **told), words


def _told(lost: pd.DataFrame) -> Iterator[Any]:
    """The changes to tell: of effort and of budget the widest, each other model."""
    widest = lost["difference"].abs().groupby("factor").idxmax()
    yield widest["effort"]
    models = [place for place in lost.index if place[0] == "model"]
    yield from (place for place in models if place[1] == models[0][1])
    if "budget" in widest:
        yield widest["budget"]


def _level(facts: Facts, level: str) -> str:
    """A level as a sentence has it: a budget with its unit."""
    return facts.say("crossed_level", level=level, is_budget=level.isdigit())


def as_asked(facts: Facts) -> str | None:
    """What the lab's recipes act out, as the seed asked its models; None for others.

    It holds where they were told different efforts, and a design gives the lengths that
    the budget was chosen by.
    """
    rows = facts.runs.loc[[*facts.main, *facts.apart]]
    cells, efforts = design(facts), rows["reasoning_effort"].nunique(dropna=False)
    if cells.empty or efforts < 2 or not (rows["origin"] == "lab").all():
        return None
    groups = [
        {"effort": None if is_missing(effort) else effort,
         "labels": [label.partition(" (")[0] for label in own["label"]],
         "lost": int(own["lost"].sum()), "asked": int(own["asked"].sum())}
        for effort, own in rows.groupby("reasoning_effort", sort=False, dropna=False)
    ]  # fmt: skip
    largest = cells[cells["budget"] == cells["budget"].max()]
    lengths = largest.drop_duplicates("effort")
    return facts.say("report_as_asked", groups=groups, lengths=lengths,
                     budget=rows["max_tokens"].iloc[0])  # fmt: skip


def cell_table(facts: Facts) -> Table | None:
    """The conditions of the design, a row each."""
    cells = design(facts)
    score = cells["right"].astype(str) + "/" + cells["n"].astype(str)
    named = cells.assign(score=score).rename(columns={"budget": "max_tokens"})
    return facts.table(named[list(SHOWN)])


def contrast_table(facts: Facts) -> Table | None:
    """Every simple contrast of the design with its interval."""
    if design(facts).empty:
        return None
    found = facts.frame("contrasts").query("design == 1")
    shown = found.assign(change=found["a"] + " → " + found["b"])
    shown["fixed"] = [", ".join(map(str, each)) or MISSING for each in found["fixed"]]
    shown["interval"] = [interval(row, "points") for row in rows_of(found)]
    for measure in ("lost", "right"):
        a, b = (found[f"{measure}_{side}"].astype(str) for side in "ab")
        shown[f"{measure}_change"] = a + " → " + b
    kept = ["factor", "change", "fixed", "n", "lost_change", "difference", "interval",
            "adjusted", "right_change"]  # fmt: skip
    return facts.table(shown[kept])
