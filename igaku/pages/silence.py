"""What the document says of blank replies: how many, at which walls, what follows.

What is inferred from timing is called so in each sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from igaku.pages.facts import FEW, Facts, rows_of, short_label, twins
from igaku.study.scoring import is_lost
from igaku.words import is_missing, word


def silence(facts: Facts) -> tuple[str, str]:
    """How many replies of all variants are lost and what is known of the reason, first
    in few words.
    """
    runs = facts.runs.loc[[*facts.main, *facts.apart]].query("counted")
    names = list(runs.index)
    lost = Counter(
        outcome for name in names for outcome in facts.study.run(name).rows["outcome"]
    )
    told = {"lost": int(runs["lost"].sum()), "asked": int(runs["asked"].sum())}
    if not told["lost"]:
        head = facts.say("head_no_silence", **told)
        return head, facts.say("report_no_silence", **told)
    here = facts.walls[facts.walls["run"].isin(names)]
    at_wall = int(here["replies"].sum())
    is_known = runs.loc[runs["lost"] > 0, "completion_tokens"].notna().any()
    if lost["truncated"] or is_known or at_wall <= told["lost"] / 2:
        rows = pd.concat([facts.study.run(name).rows for name in names])
        met = rows.loc[is_lost(rows), "cause"].value_counts()
        causes = [facts.say(f"lost_{cause}", n=int(n)) for cause, n in met.items()]
        words = facts.say("report_lost", **told, causes=causes)
        return facts.say("head_lost"), f"{words} {_worst(facts, runs)}"
    words = facts.say(
        "report_silence", asked=told["asked"], blank=lost["empty"], at_wall=at_wall,
        failed=lost["api_error"], sharp=_sharpest(facts, here),
        again=next((r for r in _rescues(facts) if r["run"] in names), None),
        told=next(_foretold(facts, names), None),
        side=next(_side_by_side(facts, names), None), twins=bool(twins(facts)),
    )  # fmt: skip
    return facts.say("head_silence"), words


def _worst(facts: Facts, runs: pd.DataFrame) -> str:
    """The runs that lost replies with status and cause, the largest share first."""
    losing = runs[runs["lost"] > 0]
    shares = (losing["lost"] / losing["asked"]).sort_values(
        ascending=False, kind="stable"
    )
    rows = rows_of(losing.loc[shares.index])
    for row in rows:
        row |= {
            kind: word(kind, row[kind], facts.study.lang)
            for kind in ("status", "cause")
            if row[kind]
        }
    return facts.say("report_worst", runs=rows[:FEW], more=max(0, len(rows) - FEW))


def rescues(facts: Facts) -> Iterator[str]:
    """What became of lost questions that were asked again with a larger budget."""
    for row in _rescues(facts):
        yield facts.say("report_rescue", **row)


def _rescues(facts: Facts) -> list[dict[str, Any]]:
    """The rescues, but those between the runs of a design: its contrasts tell them.

    A probe is left out where the same questions have a rescue of their own.
    """
    found = facts.frame("rescues")
    found = found[~found["rescue"].isin(facts.study.aside)]
    most = found.groupby(["run", "larger"])["asked"].transform("max")
    is_probe = found["rescue"].str.endswith("/probe")
    kept = rows_of(found[~is_probe | (found["asked"] == most)])
    return [row | {"label": short_label(facts, row["run"])} for row in kept]


def _sharpest(facts: Facts, walls: pd.DataFrame) -> dict[str, Any] | None:
    """The run whose blank replies are all at one wall, later than every other reply."""
    whole = walls[walls["replies"] == walls["blank"]]
    for _, row in whole.sort_values("replies", ascending=False).iterrows():
        rows = facts.study.run(row["run"]).rows
        blank = rows["blank"].fillna(False).astype(bool)
        last = rows.loc[~blank & rows["outcome"].ne("api_error"), "seconds"].max()
        if not is_missing(last) and last < rows.loc[blank, "seconds"].min():
            return dict(row) | {"last": float(last), "label": facts.label(row["run"])}
    return None


# --- what walls tell ------------------------------------------------------------------


def timing(facts: Facts) -> Iterator[str]:
    """What the walls let one infer, and of which runs they tell nothing."""
    names = [run.name for run in facts.study.variants]
    for row in _side_by_side(facts, names):
        yield facts.say("read_clock", **row)
    for row in _foretold(facts, names):
        yield facts.say("read_foretold", **row)
    clocked = {*facts.frame("clocks")["run"]}
    without = [n for n in names if n not in clocked and facts.runs.at[n, "asked"]]
    if clocked and without:
        yield facts.say("read_no_clock", runs=[facts.label(name) for name in without])


def _foretold(facts: Facts, names: list[str]) -> Iterator[dict[str, Any]]:
    """What larger budgets foretell, by the clocks of both runs, most asked first."""
    known = facts.frame("foretold").query("run in @names")
    clocks = facts.frame("clocks").query("at_once == 1").drop_duplicates("run")
    clocks = clocks.set_index("run")
    for _, row in known.sort_values("asked", ascending=False, kind="stable").iterrows():
        both = clocks.reindex([row["run"], row["larger"]])
        yield dict(row) | {
            "label": short_label(facts, row["run"]),
            "speeds": sorted(both["tokens_per_second"].dropna()),
            "median": both["median"].iloc[1],
        }


def _side_by_side(facts: Facts, names: list[str]) -> Iterator[dict[str, Any]]:
    """The walls of sections that were asked at one time."""
    clocks = facts.frame("clocks").query("run in @names and at_once > 1")
    yield from rows_of(clocks)
