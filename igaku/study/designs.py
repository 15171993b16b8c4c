"""What runs hold fixed, and designs: runs that cross models with efforts or budgets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from igaku.exam.choices import AS_RELEASED
from igaku.study.runs import Run, status
from igaku.words import HELD_FIXED

ROLES = ("finished", "stopped", "reference", "follow-up")

FACTORS = ("model", "effort", "budget")
DEFAULT = "default"  # the effort of a run that was told none
EFFORTS = (DEFAULT, "none", "minimal", "low", "medium", "high", "xhigh")
SETTINGS = ("reasoning_effort", "max_tokens")


class Cell(NamedTuple):
    """A run's place in a design: which model, under which effort, with which budget."""

    model: str
    effort: str
    budget: int
    run: Run


Known = tuple[str | None, ...]  # settings in the order of HELD_FIXED


class Sitting(NamedTuple):
    """A run with what its place in a study depends on, each found once.

    `variant` is the model that sat it, `known` its settings; `asked` and `planned` are
    the questions that it was asked, and was to be asked.
    """

    run: Run
    name: str
    variant: str
    role: str
    known: Known
    asked: frozenset[str]
    planned: frozenset[str]


def sitting_of(run: Run, sets: dict[frozenset[str], frozenset[str]]) -> Sitting:
    """What is known of a run; equal sets of questions are held once, in `sets`."""
    found = [
        frozenset(rows["problem_id"].tolist())
        for rows in (run.rows, run.rows if run.plan is None else run.plan)
    ]
    asked, planned = (sets.setdefault(each, each) for each in found)
    variant = str(run.settings.get("slug") or run.model or run.name)
    return Sitting(run, run.name, variant, role(run), known(run), asked, planned)


def role(run: Run) -> str:
    """What a run is in the study: one of `ROLES`.

    A follow-up asked only the questions that another run lost, so its score ranks with
    nothing.
    """
    if run.settings.get("lost_of"):
        return "follow-up"
    if run.card.get("origin") == "reference":
        return "reference"
    return "finished" if status(run).name == "OK" else "stopped"


def designs(sittings: Iterable[Sitting]) -> list[list[Cell]]:
    """The runs that share exam, questions and all settings but effort and budget.

    Groups without a model that was asked under two conditions are none.
    """
    groups: dict[Any, list[Cell]] = {}
    for run, _, model, _, known, _, planned in sittings:
        if run.budget is not None and run.asked and run.origin != "recorded":
            told = zip(HELD_FIXED, known, strict=True)
            held = tuple(value for name, value in told if name not in SETTINGS)
            effort = str(run.settings.get("reasoning_effort") or DEFAULT)
            cell = Cell(model, effort, run.budget, run)
            groups.setdefault((str(run.exam), planned, held), []).append(cell)
    return [
        cells
        for cells in groups.values()
        if len({cell[:3] for cell in cells}) > len({cell.model for cell in cells})
    ]


def aside(sittings: Sequence[Sitting]) -> frozenset[str]:
    """The runs of every design that has other questions than the first run.

    They are compared within their design, and rank with no run outside of it.
    """
    asked = [one for one in sittings if one.role in ("finished", "stopped")]
    planned = {one.name: one.planned for one in asked}
    names = (cell.run.name for cells in designs(asked) for cell in cells)
    return frozenset(name for name in names if planned[name] != asked[0].planned)


# --- what a comparison holds fixed ----------------------------------------------------


def condition(run: Run) -> dict[str, Any]:
    """The settings that a comparison must hold fixed; None where one is not known.

    Runs that do not tell the order of their choices showed them as released.
    """
    told = {"choice_order": AS_RELEASED} | dict(run.settings)
    return {name: told.get(name) for name in HELD_FIXED}


def unlike(a: Run, b: Run) -> list[str]:
    """The settings in which two runs are known to differ.

    What a recorded run does not tell is not known; None in a run made here is the
    server's own default, and a setting like any other.
    """
    return differing(known(a), known(b))


def differing(one: Known, other: Known) -> list[str]:
    """The settings that are on record of both and not alike."""
    if one == other:
        return []
    told = zip(HELD_FIXED, one, other, strict=True)
    return [name for name, *two in told if None not in two and two[0] != two[1]]


def known(run: Run) -> Known:
    """The settings of a comparison as text; None where one is not known."""
    is_blind = run.origin == "recorded" or not run.settings
    is_blind |= bool(run.manifest.get("rebuilt"))  # what is not known of it is null
    return tuple(
        None if value is None and is_blind else _plain(value)
        for value in condition(run).values()
    )


def _plain(value: Any) -> str:
    """A setting as text: 0 and 0.0 are one temperature."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(float(value) if is_number else value, sort_keys=True)
