"""The study: every run in its place, and which of them may be compared with which.

A family is a set of pairs that is declared before any p-value is looked at; Holm's
adjustment is over a family and over nothing else. The rule is here, in one place:
finished runs of one exam under the same settings are the main family; runs that
stopped early are a family of their own, on the questions that all of them were asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Any, TypeVar

from igaku.ask.health import FEWEST
from igaku.errors import IgakuError
from igaku.study.runs import Run, find_runs, outputs_folder, status
from igaku.words import HELD_FIXED, checked

MARGIN = 0.025  # 10 of 400 questions
ROLES = ("finished", "stopped", "reference", "follow-up")
KINDS = ("finished", "repeats", "stopped", "mixed", "settings", "reference")

Names = tuple[str, str]
Made = TypeVar("Made")


@dataclass(frozen=True, repr=False)
class Family:
    """Pairs that are tested together, and the questions they are tested on.

    `kind` says why they belong together: "finished" (complete runs under the same
    settings), "repeats" (one model asked twice: the noise floor), "stopped" (runs that
    broke or are unfinished, on the `questions` that all of them were asked), "mixed" (a
    finished run against a stopped one), "settings" (runs whose settings or questions
    differ, or that were not declared) and "reference" (against results that are no
    variant under test).
    """

    kind: str
    exam: str
    pairs: tuple[Names, ...]
    questions: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"Family: {self.kind}, exam {self.exam}, {len(self.pairs)} pairs"

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs of the family, each once, in the order of its pairs."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """All runs under a folder, ordered, with the families they are compared in.

    `margin` is the non-inferiority margin as a fraction; `repeat_of` names, for a run
    that asked a model again, the run that asked it first; `folder` holds the runs;
    `lang` is the language of labels and of the audits' sentences; `reference` and
    `declared` are the run and the main family that were named when it was opened.
    """

    runs: tuple[Run, ...]
    families: tuple[Family, ...]
    margin: float = MARGIN
    lang: str = "en"
    repeat_of: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    reference: str | None = None
    declared: tuple[str, ...] = ()
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
        found = self.once(_by_name).get(name)
        if found is None:
            raise IgakuError(f"There is no run {name} in this study: see its runs.")
        return found

    def of_role(self, *roles: str) -> list[Run]:
        """The runs of these roles, in order."""
        return [run for run in self.runs if self.once(_roles)[run.name] in roles]

    def of_kind(self, kind: str) -> list[Family]:
        """The families of a kind, one for each exam or set of settings."""
        return [family for family in self.families if family.kind == kind]

    @property
    def variants(self) -> list[Run]:
        """The runs under study: neither references nor follow-ups."""
        return self.of_role("finished", "stopped")

    @property
    def exams(self) -> list[str]:
        """The exams that were sat, in the order of the runs."""
        return list(dict.fromkeys(str(run.exam) for run in self.runs))


def open_study(
    outputs_dir: str | Path | None = None,
    reference: str | None = None,
    family: str | Sequence[str] | None = None,
    margin: float = MARGIN,
    lang: str = "en",
) -> Study:
    """The study of every run under a folder.

    `reference` names the run that the others are compared with; without it that is the
    largest finished model. `family` declares the runs of the main family by name,
    comma-separated; without it those are all finished runs.
    """
    checked(lang)
    _margin(margin)  # before anything is read
    runs = find_runs(outputs_dir)
    folder = outputs_folder(outputs_dir)
    return study_of(runs, reference, _names(family), margin, lang, folder)


def study_of(
    runs: Sequence[Run],
    reference: str | None = None,
    declared: Sequence[str] = (),
    margin: float = MARGIN,
    lang: str = "en",
    folder: Path | None = None,
) -> Study:
    """The study of runs that are already loaded, see `open_study`."""
    known = [run.name for run in runs]
    for name in (*declared, *([reference] if reference else [])):
        if name not in known:
            raise IgakuError(
                f"There is no run {name} to compare: the runs are "
                f"{', '.join(known) or 'none'}."
            )
    sets: dict[frozenset[str], frozenset[str]] = {}
    sittings = [_sitting(run, sets) for run in runs]
    sittings.sort(key=lambda one: _place(one, reference))
    again = _repeats(sittings)
    repeats = {run: first for run, first in again.items() if run not in declared}
    families = tuple(_families(sittings, declared, repeats))
    ordered = tuple(one.run for one in sittings)
    told = (lang, repeats, folder, reference, tuple(declared))
    return Study(ordered, families, _margin(margin), *told)


def label_of(run: Run, lang: str) -> str:
    """A run's display name in a language; made unique by the run's own name."""
    own = run.card.get(f"label_{lang}")
    if not own or run.card.get("label") not in (run.label, None):
        return run.label
    return str(own)


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


def size_gb(run: Run) -> float | None:
    """The size of a model's weights in GB (10⁹ bytes), as its card has it.

    >>> round(1 - 12.11 / 22.26, 2)
    0.46
    """
    told, counted = run.card.get("size_gb"), run.card.get("size_bytes")
    if isinstance(told, int | float):
        return float(told)
    return counted / 1e9 if isinstance(counted, int | float) else None


def condition(run: Run) -> dict[str, Any]:
    """The settings that a comparison must hold fixed; None where one is not known."""
    return {name: run.settings.get(name) for name in HELD_FIXED}


def unlike(a: Run, b: Run) -> list[str]:
    """The settings in which two runs are known to differ.

    What a recorded run does not tell is not known; None in a run made here is the
    server's own default, and a setting like any other.
    """
    pairs = zip(HELD_FIXED, known(a), known(b), strict=True)
    return [name for name, *values in pairs if _differ(*values)]


# --- order ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sitting:
    """A run with what its place in the study depends on, each found once."""

    run: Run
    role: str
    known: tuple[str | None, ...]
    asked: frozenset[str]
    planned: frozenset[str]

    @property
    def name(self) -> str:
        return self.run.name


def _sitting(run: Run, sets: dict[frozenset[str], frozenset[str]]) -> _Sitting:
    """What is known of a run; equal sets of questions are held once, in `sets`."""
    asked, planned = (
        frozenset(rows["problem_id"].tolist())
        for rows in (run.rows, run.rows if run.plan is None else run.plan)
    )
    asked, planned = (sets.setdefault(each, each) for each in (asked, planned))
    return _Sitting(run, role(run), known(run), asked, planned)


def _by_name(study: Study) -> dict[str, Run]:
    return {run.name: run for run in study.runs}


def _roles(study: Study) -> dict[str, str]:
    return {run.name: role(run) for run in study.runs}


def _margin(margin: float) -> float:
    if isinstance(margin, bool) or not 0 < margin < 1:
        raise IgakuError(f"margin is {margin!r}: give a fraction such as 0.025.")
    return margin


def _names(family: str | Sequence[str] | None) -> list[str]:
    listed = family.split(",") if isinstance(family, str) else family or ()
    return [name.strip() for name in listed if name.strip()]


def _place(one: _Sitting, reference: str | None) -> tuple[Any, ...]:
    """Where a run stands: finished ones first, the reference before all of them.

    Then as the cards are numbered, the larger model first where they are not.
    """
    run = one.run
    told = run.published.get("summary", {}).get("number")
    number = told if isinstance(told, int) and not run.is_lab else 99
    return (
        run.name != reference, ROLES.index(one.role), run.is_lab, str(run.exam),
        number, -(size_gb(run) or 0), -run.asked, run.name,
    )  # fmt: skip


def _repeats(runs: Sequence[_Sitting]) -> dict[str, str]:
    """Each run that asked a model again → the first that did.

    Again means the same questions under the same settings: a trial of ten questions is
    no repeat of a whole exam.
    """
    first: dict[tuple[Any, ...], list[_Sitting]] = {}
    again = {}
    for one in runs:
        model = one.run.settings.get("slug") or one.run.model
        if not model or one.role not in ("finished", "stopped"):
            continue
        alike = first.setdefault((one.run.exam, model, one.role, one.planned), [])
        earlier = next((o for o in alike if not _differ_any(o.known, one.known)), None)
        if earlier:
            again[one.name] = earlier.name
        else:
            alike.append(one)
    return again


# --- families -------------------------------------------------------------------------


def _families(
    runs: Sequence[_Sitting], declared: Sequence[str], repeats: dict[str, str]
) -> Iterator[Family]:
    """The families of all exams, the main ones first."""
    exams: dict[str, list[_Sitting]] = {}
    for one in runs:
        exams.setdefault(str(one.run.exam), []).append(one)
    found = [
        family
        for exam, each in exams.items()
        for family in _families_of(each, exam, declared, repeats)
    ]
    yield from sorted(found, key=lambda family: KINDS.index(family.kind))


def _families_of(
    runs: Sequence[_Sitting],
    exam: str,
    declared: Sequence[str],
    repeats: dict[str, str],
) -> Iterator[Family]:
    """The families of one exam: main, stopped, repeats, mixed, all others, references.

    Of runs with hardly a reply next to nothing is shared: they join no family of their
    own kind.
    """
    single = [one for one in runs if one.name not in repeats]
    finished = [one for one in single if one.role == "finished"]
    stopped = [one for one in single if one.role == "stopped" and one.asked]
    main = [one for one in finished if not declared or one.name in declared]
    begun = [one for one in stopped if len(one.asked) >= FEWEST]
    mixed = [
        (a, b) for a, b in product(main, stopped) if not _differ_any(a.known, b.known)
    ]
    tested = [(a.name, b.name) for a, b in mixed]
    for group in _alike(main, whole=True):
        tested += combinations([one.name for one in group], 2)
        yield from _family("finished", exam, combinations(group, 2))
    for group in _alike(begun):
        tested += combinations([one.name for one in group], 2)
        shared = frozenset.intersection(*(one.asked for one in group))
        yield from _family("stopped", exam, combinations(group, 2), shared)
    yield from _family("repeats", exam, _again(runs, repeats))
    yield from _family("mixed", exam, mixed)
    done = set(map(frozenset, tested))
    rest = (
        (a, b)
        for a, b in combinations([*finished, *stopped], 2)
        if frozenset((a.name, b.name)) not in done
    )
    yield from _family("settings", exam, rest)
    references = [one for one in runs if one.role == "reference" and one.asked]
    yield from _family("reference", exam, product(references, finished))


def _family(
    kind: str, exam: str, pairs: Any, questions: frozenset[str] | None = None
) -> Iterator[Family]:
    """The family of these pairs, if any of them shares a question."""
    shared = tuple(
        (a.name, b.name) for a, b in pairs if not a.asked.isdisjoint(b.asked)
    )
    if shared:
        yield Family(kind, exam, shared, questions or None)


def _alike(runs: Sequence[_Sitting], whole: bool = False) -> list[list[_Sitting]]:
    """Runs in groups, no two of which are known to differ in a setting.

    `whole` parts those that were to ask other questions, too.
    """
    groups: list[tuple[list[_Sitting], set[tuple[str | None, ...]]]] = []
    for one in runs:
        for members, known in groups:
            if any(_differ_any(one.known, other) for other in known):
                continue
            if not whole or one.planned == members[0].planned:
                members.append(one)
                known.add(one.known)
                break
        else:
            groups.append(([one], {one.known}))
    return [members for members, _ in groups]


def _again(
    runs: Sequence[_Sitting], repeats: dict[str, str]
) -> Iterator[tuple[_Sitting, _Sitting]]:
    """Every two runs that asked one model under the same settings."""
    sittings: dict[str, list[_Sitting]] = {}
    for one in runs:
        if one.name in repeats or one.name in repeats.values():
            sittings.setdefault(repeats.get(one.name, one.name), []).append(one)
    for group in sittings.values():
        yield from combinations(group, 2)


def known(run: Run) -> tuple[str | None, ...]:
    """The settings of a comparison as text; None where one is not known."""
    is_blind = run.origin == "recorded" or not run.settings
    return tuple(
        None if value is None and is_blind else _plain(value)
        for value in condition(run).values()
    )


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _differ_any(one: Sequence[str | None], other: Sequence[str | None]) -> bool:
    return one != other and any(map(_differ, one, other))


def _plain(value: Any) -> str:
    """A setting as text: 0 and 0.0 are one temperature."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(float(value) if is_number else value, sort_keys=True)
