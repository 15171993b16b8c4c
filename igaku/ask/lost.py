"""A run's lost questions, asked again: which they are, and that nothing else changes.

A run with `lost_of` asks only what that run lost to its token budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from igaku.ask import manifest
from igaku.ask.folder import ANSWERS, Manifest, Row, run_folder
from igaku.ask.plan import plan_of
from igaku.ask.rows import read_rows
from igaku.ask.shape import examined
from igaku.errors import IgakuError
from igaku.exam.questions import Question
from igaku.params.settings import Settings

LOST = ("truncated", "empty")  # a failed request is asked again by the run itself


@dataclass(frozen=True)
class Base:
    """The run whose lost questions are asked again: its manifest and its rows."""

    name: str
    manifest: Manifest
    rows: Sequence[Row]

    @property
    def budget(self) -> int:
        """The token budget that lost the questions."""
        return int(self.manifest["condition"]["max_tokens"])

    @property
    def lost(self) -> set[str]:
        """The questions whose replies were cut or blank."""
        return {row["problem_id"] for row in self.rows if row["outcome"] in LOST}


def base_of(name: str, outputs_dir: Path) -> Base:
    """The run of that name, which must have been asked here."""
    folder = run_folder(outputs_dir, name)
    found, trouble = examined(folder)
    asked_under, told = found.get("condition"), found.get("settings")
    is_told = asked_under and told and "max_tokens" in asked_under
    if trouble or not is_told or (found.get("rebuilt") or {}).get("unknown"):
        raise IgakuError(
            f"The lost questions of {name} cannot be asked again as they were, because "
            "its manifest.json does not say how: choose a run that was asked here."
        )
    return Base(name, found, read_rows(folder / ANSWERS))


def lost_questions(settings: Settings, questions: Sequence[Question]) -> list[Question]:
    """Those of the questions that the run `lost_of` lost to its budget, in exam order.

    Settings that differ from that run's in more than `max_tokens` are refused.
    """
    base = base_of(str(settings.lost_of), settings.outputs_dir)
    if settings.max_tokens < base.budget:
        raise IgakuError(
            f"max_tokens is {settings.max_tokens:,}, but {base.name} lost its "
            f"questions at {base.budget:,}: give more for a rescue, or as many for a "
            "control."
        )
    lost = [q for q in questions if q.problem_id in base.lost]
    plan, free = plan_of(settings, lost), dict.fromkeys(("max_tokens", "lost_of"))
    old, new = base.manifest["condition"] | free, manifest.condition(plan) | free
    changed = manifest.differences(old, new) or manifest.reworded(plan, base.rows)
    if changed:
        raise IgakuError(
            f"The run {base.name} was made under other settings: {'; '.join(changed)}. "
            "Ask its lost questions with nothing changed but max_tokens."
        )
    if not lost:
        raise IgakuError(
            f"The run {base.name} lost no question of sections {settings.sections} to "
            f"its budget of {base.budget:,} tokens: there is nothing to ask again."
        )
    return lost
