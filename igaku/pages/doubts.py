"""What may not be concluded: what is open about runs, and how far questions reach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from igaku.pages.facts import Facts, evidence, widest

# The audits that bear on what may be concluded, each in one clause.
OPEN = (
    "identical_replies", "wrong_weights", "other_model", "other_effort",
    "unknown_effort", "unverified",
)  # fmt: skip


def still_open(facts: Facts) -> str:
    """What may not be concluded, with the reasons that are on record, in numbers."""
    reasons = list(dict.fromkeys([*_doubts(facts), *_reach(facts)]))
    shown = bool((evidence(facts.pairs)["adjusted"] < facts.study.level).any())
    silent = bool(facts.runs["blank"].sum())
    return facts.say("report_open", reasons=reasons, shown=shown, silent=silent)


def _doubts(facts: Facts) -> Iterator[str]:
    """What the audits leave open about the rows of the table of scores."""
    place, alarms = facts.places, facts.audit
    # Models that know the answers give them in one letter: such copies are none.
    alarms = alarms[alarms["grave"] | (alarms["kind"] != "identical_replies")]
    for kind in OPEN:
        for _, alarm in alarms[alarms["kind"] == kind].iterrows():
            rows = [place[name] for name in alarm["runs"] if name in place]
            if rows and _is_within(alarm, place):
                about = {"rows": rows, "all": len(place), "n": alarm["facts"].get("n")}
                yield facts.say(f"open_{kind}", **about)


def _is_within(alarm: Any, place: Mapping[str, int]) -> bool:
    """Whether what an alarm holds against each other stands in one table."""
    sides = alarm["runs"] if alarm["kind"] == "identical_replies" else ()
    groups = [each["runs"] for each in alarm["facts"].get("groups", ())]
    met = [not place.keys().isdisjoint(each) for each in groups or [[n] for n in sides]]
    return not met or sum(met) > 1


def _reach(facts: Facts) -> Iterator[str]:
    """How far the questions reach, and which were not asked or not shown whole."""
    for _, row in widest(facts).iterrows():
        yield facts.say("open_power", **dict(row))
    stopped = facts.runs.loc[list(facts.main)].query("conditional")
    if len(stopped):
        yield facts.say(
            "open_stopped", rows=[facts.places[name] for name in stopped["run"]],
            fewest=stopped["asked"].min(), most=stopped["asked"].max(),
            planned=stopped["planned"].max(),
        )  # fmt: skip
    if blind := without_image(facts):
        yield facts.say("open_images", n=blind)
    if facts.study.declaration is None:
        yield facts.say("open_undeclared")


def without_image(facts: Facts) -> int:
    """The questions that need an image and were asked without it, of one run."""
    runs = map(facts.study.run, facts.main)
    return max(int(run.rows["text_only"].eq(False).sum()) for run in runs)
