"""What the document says of a design: effort or bits, one factor changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

import igaku
from igaku.pages.facts import Facts
from igaku.pages.html import Table, tabled
from igaku.study.families import label_of
from igaku.words import MISSING, formatted

SHOWN = ("label", "effort", "max_tokens", "score", "lost", "median", "longest")


def design(facts: Facts) -> pd.DataFrame:
    """The largest design's cells, where it crosses models with efforts."""
    found = igaku.study.crossed(facts.study)
    found = found[found["design"] == 1]
    is_crossed = found["model"].nunique() > 1 and found["effort"].nunique() > 1
    return found if is_crossed else found.iloc[:0]


def effort_or_bits(facts: Facts) -> tuple[str, str] | None:
    """Whether effort, or the model's bits, lost the replies: in few words, and whole.

    None where no design crosses the two.
    """
    cells = design(facts)
    if cells.empty:
        return None
    found = igaku.study.decided(facts.study)
    found = found[found["design"] == 1]
    fixed = [tuple(_level(facts, x) for x in levels) for levels in found["fixed"]]
    found = found.assign(fixed=pd.Series(fixed, index=found.index))
    lost = found[found["measure"] == "lost"].set_index(["factor", "a", "b"])
    right = found[found["measure"] == "right"].set_index(["factor", "a", "b"])
    shown = (lost["shown"] > 0).groupby("factor").any()
    told = {
        "effort": bool(shown["effort"]), "bits": bool(shown["model"]),
        "base": _base(facts, cells), "n": int(cells["n"].max()),
    }  # fmt: skip
    levels = {
        f"{name}s": list(dict.fromkeys(cells[name]))
        for name in ("label", "effort", "budget")
    }
    changes = [
        facts.say("report_change", factor=place[0], a=place[1], b=place[2],
                  lost=lost.loc[place].to_dict(), right=right.loc[place].to_dict())
        for place in _told(lost)
    ]  # fmt: skip
    words = facts.say("report_design", **told, **levels, changes=changes)
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


def _base(facts: Facts, cells: pd.DataFrame) -> str | None:
    """The tiny model's name, where the design is of the lab's; else None."""
    run = facts.study.run(cells["run"].iloc[0])
    return str(run.card.get("base_model")) if run.is_lab else None


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
    lengths = largest.drop_duplicates("effort").to_dict("records")
    return facts.say("report_as_asked", groups=groups, lengths=lengths,
                     budget=runs[0].budget)  # fmt: skip


def cell_table(facts: Facts) -> Table | None:
    """The conditions of the design, a row each."""
    cells = design(facts)
    if cells.empty:
        return None
    score = [f"{r}/{n}" for r, n in zip(cells["right"], cells["n"], strict=True)]
    named = cells.assign(score=score).rename(columns={"budget": "max_tokens"})
    return tabled(named[list(SHOWN)], facts.study.lang)


def contrast_table(facts: Facts) -> Table | None:
    """Every simple contrast of the design with its interval."""
    if design(facts).empty:
        return None
    found = igaku.study.contrasts(facts.study)
    found = found[found["design"] == 1]
    change = [f"{a} → {b}" for a, b in zip(found["a"], found["b"], strict=True)]
    ends = [
        " … ".join(formatted(value, "points") for value in pair)
        for pair in zip(found["low"], found["high"], strict=True)
    ]
    counts = {
        f"{measure}_change": [
            f"{a} → {b}"
            for a, b in zip(found[f"{measure}_a"], found[f"{measure}_b"], strict=True)
        ]
        for measure in ("lost", "right")
    }
    fixed = [", ".join(map(str, each)) or MISSING for each in found["fixed"]]
    shown = found.assign(change=change, fixed=fixed, interval=ends, **counts)
    kept = ["factor", "change", "fixed", "n", "lost_change", "difference", "interval",
            "adjusted", "right_change"]  # fmt: skip
    return tabled(shown[kept], facts.study.lang)
