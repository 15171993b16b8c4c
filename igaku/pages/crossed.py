"""What the document says of a design: effort or bits, one factor changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from igaku.pages.facts import Facts, interval, rows_of
from igaku.pages.html import Table
from igaku.study.families import label_of
from igaku.words import MISSING

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
    runs = [facts.study.run(name) for name in (*facts.main, *facts.apart)]
    efforts = {run.settings.get("reasoning_effort") for run in runs}
    cells = design(facts)
    if cells.empty or len(efforts) < 2 or not all(run.is_lab for run in runs):
        return None
    groups = []
    for effort in dict.fromkeys(run.settings.get("reasoning_effort") for run in runs):
        own = [run for run in runs if run.settings.get("reasoning_effort") == effort]
        rows = facts.runs.loc[[run.name for run in own]]
        labels = [label_of(run, facts.study.lang).partition(" (")[0] for run in own]
        counts = {name: int(rows[name].sum()) for name in ("lost", "asked")}
        groups.append({"effort": effort, "labels": labels, **counts})
    largest = cells[cells["budget"] == cells["budget"].max()]
    lengths = largest.drop_duplicates("effort")
    return facts.say("report_as_asked", groups=groups, lengths=lengths,
                     budget=runs[0].budget)  # fmt: skip


def cell_table(facts: Facts) -> Table | None:
    """The conditions of the design, a row each."""
    cells = design(facts)
    score = [f"{r}/{n}" for r, n in zip(cells["right"], cells["n"], strict=True)]
    named = cells.assign(score=score).rename(columns={"budget": "max_tokens"})
    return facts.table(named[list(SHOWN)])


def contrast_table(facts: Facts) -> Table | None:
    """Every simple contrast of the design with its interval."""
    if design(facts).empty:
        return None
    found = facts.frame("contrasts").query("design == 1")
    change = [f"{a} → {b}" for a, b in zip(found["a"], found["b"], strict=True)]
    counts = {
        f"{measure}_change": [
            f"{a} → {b}"
            for a, b in zip(found[f"{measure}_a"], found[f"{measure}_b"], strict=True)
        ]
        for measure in ("lost", "right")
    }
    fixed = [", ".join(map(str, each)) or MISSING for each in found["fixed"]]
    shown = found.assign(change=change, fixed=fixed, **counts)
    shown["interval"] = [interval(row, "points") for row in rows_of(found)]
    kept = ["factor", "change", "fixed", "n", "lost_change", "difference", "interval",
            "adjusted", "right_change"]  # fmt: skip
    return facts.table(shown[kept])
