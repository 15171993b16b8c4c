"""The study: every run in its place, with the families they are compared in."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from igaku.errors import IgakuError
from igaku.params.declared import ALL, MARGIN, Declared, read_declared
from igaku.paths import outputs_folder
from igaku.study.designs import ROLES, Sitting, aside, role, sitting_of
from igaku.study.pooling import Family, families_of, later_of
from igaku.study.runs import Run, find_runs
from igaku.words import LEVEL, checked

Made = TypeVar("Made")


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """All runs under a folder, ordered, with the families they are compared in.

    `margin` is the non-inferiority margin as a fraction; `lang` is the language of
    labels and of the audits' sentences; `folder` holds the runs; `reference` and
    `chosen` are the run and the main family that were given when it was opened, and
    `declaration` is what was declared before. `aside` are the runs of a design with
    questions of its own: `igaku.study.contrasts` compares them, and no family does.
    """

    runs: tuple[Run, ...]
    families: tuple[Family, ...]
    margin: float = MARGIN
    lang: str = "en"
    folder: Path | None = None
    reference: str | None = None
    chosen: tuple[str, ...] = ()
    declaration: Declared | None = None
    aside: frozenset[str] = frozenset()
    made: dict[Any, Any] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        runs, families, exams = len(self.runs), len(self.families), self.exams
        of = f" of exam{'s' * (len(exams) > 1)} {', '.join(exams)}" if exams else ""
        return (
            f"Study: {runs} run{'s' * (runs != 1)}{of}, "
            f"{families} famil{'y' if families == 1 else 'ies'}"
        )

    def once(self, make: Callable[[Study], Made]) -> Made:
        """What a function makes of this study: made once, and gone with the study."""
        if make not in self.made:
            self.made[make] = make(self)
        found: Made = self.made[make]
        return found

    def run(self, name: str) -> Run:
        """The run of that name."""
        for run in self.runs:
            if run.name == name:
                return run
        raise _no_run(name, self.runs)

    @property
    def level(self) -> float:
        """The level of a difference, as declared; that of "not worse" is half of it."""
        return self.declaration.level if self.declaration else LEVEL

    @property
    def levels(self) -> dict[str, float]:
        """Both levels, as the sentences name them."""
        return {"LEVEL": self.level, "ONE_SIDED": self.level / 2}

    @cached_property
    def variants(self) -> list[Run]:
        """The runs under study: neither references nor follow-ups."""
        return [run for run in self.runs if role(run) in ("finished", "stopped")]

    @property
    def exams(self) -> list[str]:
        """The exams that were sat, in the order of the runs."""
        return list(dict.fromkeys(str(run.exam) for run in self.runs))


Source = str | Path | Study | None


def study_in(
    source: Source, reference: str | None = None, margin: float | None = None
) -> Study:
    """The study that is given, or the one in a folder, as a call declares it."""
    if not isinstance(source, Study):
        return open_study(source, reference, None, margin)
    if reference is None and margin in (None, source.margin):
        return source
    return study_of(
        source.runs, reference or source.reference, source.chosen,
        source.margin if margin is None else margin, source.lang, source.folder,
        source.declaration,
    )  # fmt: skip


def open_study(
    outputs_dir: str | Path | None = None,
    reference: str | None = None,
    family: str | Sequence[str] | None = None,
    margin: float | None = None,
    lang: str = "en",
) -> Study:
    """The study of every run under a folder, as it was declared there.

    `reference` names the run that the others are compared with; without it that is the
    declared one, else the largest finished model. `family` names the runs of the main
    family, comma-separated; without it those are the declared ones, else all finished
    runs. The `margin` is the declared one, else 0.025, unless it is given.
    """
    checked(lang)
    listed = family.split(",") if isinstance(family, str) else family or ()
    chosen = [name.strip() for name in listed if name.strip()]
    runs, folder = find_runs(outputs_dir), outputs_folder(outputs_dir)
    if not runs:
        warnings.warn(f"{folder} holds no runs yet.", stacklevel=2)
    declaration = read_declared(folder)
    return study_of(runs, reference, chosen, margin, lang, folder, declaration)


def study_of(
    runs: Sequence[Run],
    reference: str | None = None,
    chosen: Sequence[str] = (),
    margin: float | None = None,
    lang: str = "en",
    folder: Path | None = None,
    declaration: Declared | None = None,
) -> Study:
    """The study of runs that are already loaded, see `open_study`."""
    margin = _margin(margin, declaration)
    names = [run.name for run in runs]
    for name in (*chosen, *filter(None, [reference])):
        if name not in names:
            raise _no_run(name, runs)
    sets: dict[frozenset[str], frozenset[str]] = {}
    sittings = [sitting_of(run, sets) for run in runs]
    first = {r.name for r in runs if _is_reference(r, reference, declaration)}
    sittings.sort(key=lambda one: _place(one, first))
    inside = {r.name for r in runs if _is_inside(r, first, chosen, declaration)}
    crossed = aside(sittings)
    ranked = [one for one in sittings if one.name not in crossed]
    families = families_of(ranked, inside, later_of(sittings, chosen))
    ordered = tuple(one.run for one in sittings)
    told = (margin, lang, folder, reference, tuple(chosen), declaration, crossed)
    return Study(ordered, tuple(families), *told)


def _margin(given: float | None, declaration: Declared | None) -> float:
    """The margin that is given, else the declared one, else 0.025."""
    if given is None:
        return declaration.margin if declaration else MARGIN
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not 0 < given < 1:
        raise IgakuError(f"margin is {given!r}: give a fraction such as 0.025.")
    return given


def is_called(run: Run, name: str) -> bool:
    """Whether a name is the run's own, or its model's."""
    return name in (run.name, run.settings.get("slug"), run.model)


def _is_reference(run: Run, given: str | None, declaration: Declared | None) -> bool:
    if given or not declaration or not declaration.reference:
        return run.name == given
    is_asked = str(run.exam) in map(str, declaration.exams)
    return is_asked and is_called(run, declaration.reference)


def _is_inside(
    run: Run, first: Set[str], given: Sequence[str], declaration: Declared | None
) -> bool:
    """Whether a run belongs to the main family: as it is given, else as declared."""
    if given or not declaration:
        return not given or run.name in given
    if str(run.exam) not in map(str, declaration.exams):
        return False
    named = any(name == ALL or is_called(run, name) for name in declaration.family)
    return named or run.name in first


def _no_run(name: str, runs: Sequence[Run]) -> IgakuError:
    known = ", ".join(run.name for run in runs) or "none"
    return IgakuError(f"There is no run {name} to compare: the runs are {known}.")


def label_of(run: Run, lang: str) -> str:
    """A run's display name in a language; made unique by the run's own name."""
    own = run.card.get(f"label_{lang}")
    if not own or run.card.get("label") not in (run.label, None):
        return run.label
    return str(own)


def card_label(run: Run, lang: str) -> str | None:
    """The label on a run's card, in a language; other runs may have the same."""
    told = run.card.get(f"label_{lang}") or run.card.get("label")
    return str(told) if told else None


def named(study: Study, run: Run, *more: str) -> dict[str, Any]:
    """The columns by which a frame names a run, and `more` of its card."""
    about = {"run": run.name, "label": label_of(run, study.lang)}
    return about | {name: run.card.get(name) for name in more}


def stacked(parts: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Frames of several runs one below the other, with these columns if there is none.

    >>> stacked([], ["run", "n"]).columns.tolist()
    ['run', 'n']
    """
    if not parts:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(parts, ignore_index=True)[list(columns)]


def began(run: Run) -> pd.Timestamp:
    """When a run began; what is not on record began last."""
    told = pd.to_datetime(str(run.manifest.get("start")), utc=True, errors="coerce")
    first = run.rows["asked_at"].min() if pd.isna(told) else told
    return pd.Timestamp.max.tz_localize("UTC") if pd.isna(first) else first


def size_gb(run: Run) -> float | None:
    """The size of a model's weights in GB (10⁹ bytes), as its card has it.

    >>> round(1 - 12.11 / 22.26, 2)
    0.46
    """
    told, counted = run.card.get("size_gb"), run.card.get("size_bytes")
    if isinstance(told, int | float):
        return float(told)
    return counted / 1e9 if isinstance(counted, int | float) else None


def _place(one: Sitting, first: Set[str]) -> tuple[Any, ...]:
    """Where a run stands: finished ones first, the reference before all of them.

    Then as the cards are numbered, the larger model first where they are not, and of
    one model the sitting with its choices as released, then the one that began first: a
    folder's name chooses nothing.
    """
    run = one.run
    told = run.published["summary"].get("number")
    number = told if isinstance(told, int) and not run.is_lab else 99
    return (
        run.name not in first, ROLES.index(one.role), run.is_lab, str(run.exam),
        number, -(size_gb(run) or 0), -run.asked, one.variant, run.seed, began(run),
        run.name,
    )  # fmt: skip
