"""What runs hold fixed, and designs: runs that cross models with efforts or budgets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from igaku.exam.choices import AS_RELEASED
from igaku.study.pooling import differ
from igaku.study.runs import Run
from igaku.words import HELD_FIXED

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


Told = tuple[Run, str, Sequence[str | None], frozenset[str]]


def designs(runs: Iterable[Told]) -> list[list[Cell]]:
    """The runs that share exam, questions and all settings but effort and budget.

    Each run comes with its model, what is known of its settings, and the questions it
    was to ask. Groups without a model that was asked under two conditions are none.
    """
    groups: dict[Any, list[Cell]] = {}
    for run, model, known, planned in runs:
        if run.budget is not None and run.asked and run.origin != "recorded":
            told = zip(HELD_FIXED, known, strict=True)
            held = tuple(value for name, value in told if name not in SETTINGS)
            effort = str(run.settings.get("reasoning_effort") or DEFAULT)
            cell = Cell(model, effort, run.budget, run)
            groups.setdefault((str(run.exam), planned, held), []).append(cell)
    return [cells for cells in groups.values() if _is_crossed(cells)]


def aside(runs: Sequence[Told]) -> frozenset[str]:
    """The runs of every design that has other questions than the first run.

    They are compared within their design, and rank with no run outside of it.
    """
    planned = {run.name: questions for run, _, _, questions in runs}
    names = (cell.run.name for cells in designs(runs) for cell in cells)
    first = next(iter(planned.values()), None)
    return frozenset(name for name in names if planned[name] != first)


def _is_crossed(cells: Sequence[Cell]) -> bool:
    """Whether some model was asked under more than one effort or budget."""
    return len({cell[:3] for cell in cells}) > len({cell.model for cell in cells})


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
    pairs = zip(HELD_FIXED, known(a), known(b), strict=True)
    return [name for name, *values in pairs if differ(*values)]


def known(run: Run) -> tuple[str | None, ...]:
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
