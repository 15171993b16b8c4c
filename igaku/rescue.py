"""A rescue: the questions that a run lost to its token budget, asked again with more.

A larger budget is the cause of a new answer only where the old budget would have lost
the question once more. So the same questions are asked at the old budget too, which is
the control; all else stays as it was. Both are runs like any other, with `lost_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igaku import paths
from igaku.ask import manifest
from igaku.ask.asking import plan_of
from igaku.ask.folder import ANSWERS, Row, read_rows
from igaku.ask.manifest import Manifest
from igaku.errors import IgakuError
from igaku.exam.questions import Question
from igaku.params.fields import LAB, RULES
from igaku.params.settings import Settings, settings_from

LOST = ("truncated", "empty")  # a failed request is asked again by the run itself
FACTOR = 4  # times the budget, as the probe of a broken run has it

# What the two sittings share with the run: all that a reply depends on, and the pace,
# as a reply may depend on which others were being made beside it.
SHARED = (
    *(name for name in manifest.CONDITION if name not in ("max_tokens", "lost_of")),
    *("slug", "prompt", "base_url", "concurrency", "data_dir"),
)


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
    folder = outputs_dir / name
    if not (folder / ANSWERS).is_file():
        raise IgakuError(
            f"There is no run {name} in {outputs_dir}: name one of the folders there "
            f"that hold an {ANSWERS}."
        )
    found = manifest.read(folder) or {}
    asked_under, told = found.get("condition"), found.get("settings")
    if not (isinstance(asked_under, dict) and told and "max_tokens" in asked_under):
        raise IgakuError(
            f"The lost questions of {name} cannot be asked again as they were, because "
            "its manifest.json does not say how: choose a run that was asked here."
        )
    return Base(name, found, read_rows(folder / ANSWERS))


def run_name_of(settings: Settings) -> str:
    """The name of a run with `lost_of`: a rescue with a larger budget, or a control."""
    base = _base_of(settings)
    is_control = settings.max_tokens == base.budget
    return f"{base.name}-{'control' if is_control else 'rescue'}"


def lost_questions(settings: Settings, questions: Sequence[Question]) -> list[Question]:
    """Those of the questions that the run `lost_of` lost to its budget, in exam order.

    Settings that differ from that run's in more than `max_tokens` are refused.
    """
    base = _base_of(settings)
    lost = [q for q in questions if q.problem_id in base.lost]
    if changed := _changed(settings, lost, base):
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


def _base_of(settings: Settings) -> Base:
    """The run that `lost_of` names, whose budget must not be larger."""
    base = base_of(str(settings.lost_of), settings.outputs_dir)
    if settings.max_tokens < base.budget:
        raise IgakuError(
            f"max_tokens is {settings.max_tokens:,}, but {base.name} lost its "
            f"questions at {base.budget:,}: give more for a rescue, or as many for a "
            "control."
        )
    return base


def _changed(settings: Settings, lost: Sequence[Question], base: Base) -> list[str]:
    """What would be asked otherwise than the run asked it, in words."""
    plan = plan_of(settings, lost)
    free = dict.fromkeys(("max_tokens", "lost_of"))
    old, new = base.manifest["condition"] | free, manifest.condition(plan) | free
    return manifest.differences(old, new) or manifest.reworded(plan, base.rows)


# --- the command ----------------------------------------------------------------------


def rescue(
    run: str,
    max_tokens: int | None = None,
    base_url: str | None = None,
    outputs_dir: Path | None = None,
    lang: str = "en",
) -> Iterator[Path]:
    """Ask a run's lost questions with a larger budget, then with its own; the folders.

    Without `max_tokens` the larger budget is four times the run's. What cannot work is
    refused before anything is asked.
    """
    from igaku.ask.run import questions_of

    outputs_dir = (outputs_dir or paths.OUTPUTS).absolute()
    base = base_of(RULES["lost_of"]("the run", run), outputs_dir)
    larger = FACTOR * base.budget if max_tokens is None else max_tokens
    if larger <= base.budget:
        raise IgakuError(
            f"{larger:,} tokens would rescue nothing that {base.name} lost at "
            f"{base.budget:,}: give a larger --max-tokens."
        )
    place = {"outputs_dir": str(outputs_dir)}
    place |= {"base_url": base_url} if base_url else {}
    sittings = [parameters(base, budget) | place for budget in (larger, base.budget)]
    chosen = [settings_from(**sitting) for sitting in sittings]
    asked = [len(questions_of(settings)) for settings in chosen]
    for settings, sitting, total in zip(chosen, sittings, asked, strict=True):
        _execute(settings, sitting | {"lang": lang}, total)
        yield settings.folder


def parameters(base: Base, max_tokens: int) -> dict[str, Any]:
    """The parameters of run.ipynb that ask a run's lost questions as the run did."""
    told = base.manifest["settings"]
    given = {name: told[name] for name in SHARED if told.get(name) is not None}
    if base.manifest.get("origin") == LAB:  # its server ended with the run
        given["base_url"] = LAB
    # A reply that may be four times as long may take four times as long.
    timeout = min(told["timeout"] * max_tokens / base.budget, 86_400)
    card = base.manifest.get("card") or {}
    return given | {
        "lost_of": base.name,
        "max_tokens": max_tokens,
        "timeout": timeout,
        "card": card,
    }


def _execute(settings: Settings, given: Mapping[str, Any], total: int) -> None:
    """Execute run.ipynb, showing how many replies are in."""
    from tqdm import tqdm

    from igaku import workbook

    folder = settings.folder
    with tqdm(total=total, unit="q", desc=settings.run, smoothing=0) as bar:
        workbook.execute(
            "run.ipynb",
            folder / "run.ipynb",
            given,
            lambda: bar.update(workbook.replies(folder) - bar.n),
        )
