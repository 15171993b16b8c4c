"""The study: every run in its place, and which of them may be compared with which.

A family is a set of pairs that is declared before any p-value is looked at; Holm's
adjustment is over a family and over nothing else. The rule is here, in one place:
finished runs of one exam under the same settings are the main family; runs that
stopped early are a family of their own, on the questions that all of them were asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

from igaku.ask.health import FEWEST
from igaku.errors import IgakuError
from igaku.shown import labelled, say
from igaku.study import scoring
from igaku.study.runs import Run, find_runs, outputs_folder

MARGIN = 0.025  # 10 of 400 questions
CONDITION = (
    "max_tokens", "reasoning_effort", "shots", "prompt", "language", "serial_context",
    "temperature", "top_p", "seed", "extra_body",
)  # fmt: skip
ROLES = ("finished", "stopped", "reference", "follow-up")
KINDS = ("finished", "repeats", "stopped", "mixed", "settings", "reference")

Names = tuple[str, str]


@dataclass(frozen=True)
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

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs of the family, each once, in the order of its pairs."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))


@dataclass(frozen=True, eq=False)
class Study:
    """All runs under a folder, ordered, with the families they are compared in.

    `margin` is the non-inferiority margin as a fraction; `repeat_of` names, for a run
    that asked a model again, the run that asked it first; `folder` holds the runs.
    """

    runs: tuple[Run, ...]
    families: tuple[Family, ...]
    margin: float = MARGIN
    lang: str = "ja"
    repeat_of: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def run(self, name: str) -> Run:
        """The run of that name."""
        found = next((run for run in self.runs if run.name == name), None)
        if found is None:
            raise IgakuError(f"There is no run {name} in this study: see its runs.")
        return found

    def questions_of(self, kind: str, exam: str, pair: Names) -> frozenset[str] | None:
        """The questions that a pair's family is tested on; None: all that it shares."""
        families = (f for f in self.of_kind(kind) if f.exam == exam)
        return next((f.questions for f in families if pair in f.pairs), None)

    def label(self, name: str) -> str:
        """The display name of a run, in the study's language, its weights marked.

        Tables and figures take names from here, so that none is without its mark.
        """
        run = self.run(name)
        return labelled(label_of(run, self.lang), run.identity)

    def of_role(self, *roles: str) -> list[Run]:
        """The runs of these roles, in order."""
        return [run for run in self.runs if role(run) in roles]

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
    lang: str = "ja",
) -> Study:
    """The study of every run under a folder.

    `reference` names the run that the others are compared with, A of each pair; without
    it that is the largest finished model. `family` declares the runs of the main family
    by name, comma-separated; without it those are all finished runs.
    """
    say(lang, "", "")  # refuses another language before anything is read
    if isinstance(margin, bool) or not 0 < margin < 1:
        raise IgakuError(f"margin is {margin!r}: give a fraction such as 0.025.")
    runs = find_runs(outputs_dir)
    study = study_of(runs, reference, _names(family), margin, lang)
    return replace(study, folder=outputs_folder(outputs_dir))


def study_of(
    runs: Sequence[Run],
    reference: str | None = None,
    declared: Sequence[str] = (),
    margin: float = MARGIN,
    lang: str = "ja",
) -> Study:
    """The study of runs that are already loaded, see `open_study`."""
    known = [run.name for run in runs]
    for name in (*declared, *([reference] if reference else [])):
        if name not in known:
            raise IgakuError(
                f"There is no run {name} to compare: the runs are "
                f"{', '.join(known) or 'none'}."
            )
    ordered = sorted(runs, key=lambda run: _place(run, reference))
    again = _repeats(ordered)
    repeats = {run: first for run, first in again.items() if run not in declared}
    families = tuple(_families(ordered, declared, repeats))
    return Study(tuple(ordered), families, margin, lang, repeats)


def label_of(run: Run, lang: str) -> str:
    """A run's display name in a language; made unique by the run's own name."""
    own = run.card.get(f"label_{lang}")
    if not own or run.card.get("label") not in (run.label, None):
        return run.label
    return str(own)


@cache
def role(run: Run) -> str:
    """What a run is in the study: one of `ROLES`.

    A follow-up asked only the questions that another run lost, so its score ranks with
    nothing.
    """
    if run.settings.get("lost_of"):
        return "follow-up"
    if run.card.get("origin") == "reference":
        return "reference"
    return "finished" if scoring.status(run).name == "OK" else "stopped"


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
    return {name: run.settings.get(name) for name in CONDITION}


def unlike(a: Run, b: Run) -> list[str]:
    """The settings in which two runs are known to differ.

    What a recorded run does not tell is not known; None in a run made here is the
    server's own default, and a setting like any other.
    """
    first, second = condition(a), condition(b)
    blind = [run.origin == "recorded" or not run.settings for run in (a, b)]
    return [n for n in CONDITION if _differ((first[n], second[n]), blind)]


def asked_by_all(runs: Sequence[Run]) -> frozenset[str]:
    """The questions that every one of these runs was asked."""
    asked = [frozenset(run.rows["problem_id"]) for run in runs]
    return frozenset.intersection(*asked) if asked else frozenset()


# --- order ----------------------------------------------------------------------------


def _names(family: str | Sequence[str] | None) -> list[str]:
    if family is None:
        return []
    listed = family.split(",") if isinstance(family, str) else family
    return [name.strip() for name in listed if name.strip()]


def _place(run: Run, reference: str | None) -> tuple[Any, ...]:
    """Where a run stands: finished ones first, the reference before all of them.

    Then as the cards are numbered, the larger model first where they are not.
    """
    told = run.published.get("summary", {}).get("number")
    number = told if isinstance(told, int) and not run.is_lab else 99
    return (
        run.name != reference, ROLES.index(role(run)), run.is_lab, str(run.exam),
        number, -(size_gb(run) or 0), -run.asked, run.name,
    )  # fmt: skip


@cache
def plan_of(run: Run) -> frozenset[str]:
    """The questions that a run was to ask, or those it asked where no plan is kept."""
    rows = run.rows if run.plan is None else run.plan
    return frozenset(rows["problem_id"].tolist())


def _repeats(runs: Sequence[Run]) -> dict[str, str]:
    """Each run that asked a model again → the first that did.

    Again means the same questions under the same settings: a trial of ten questions is
    no repeat of a whole exam.
    """
    first: dict[tuple[Any, ...], list[Run]] = {}
    again = {}
    for run in runs:
        if role(run) not in ("finished", "stopped"):
            continue
        model = run.settings.get("slug") or run.model
        alike = first.setdefault((run.exam, model, role(run)), [])
        earlier = next((other for other in alike if _is_again(run, other)), None)
        if model and earlier:
            again[run.name] = earlier.name
        else:
            alike.append(run)
    return again


def _is_again(run: Run, other: Run) -> bool:
    return plan_of(run) == plan_of(other) and not unlike(run, other)


# --- families -------------------------------------------------------------------------


def _families(
    runs: Sequence[Run], declared: Sequence[str], repeats: dict[str, str]
) -> Iterator[Family]:
    """The families of all exams, the main ones first."""
    found = [
        family
        for exam in dict.fromkeys(str(run.exam) for run in runs)
        for family in _families_of(
            [run for run in runs if str(run.exam) == exam], exam, declared, repeats
        )
    ]
    yield from sorted(found, key=lambda family: KINDS.index(family.kind))


def _families_of(
    runs: Sequence[Run], exam: str, declared: Sequence[str], repeats: dict[str, str]
) -> Iterator[Family]:
    single = [run for run in runs if run.name not in repeats]
    finished = [run for run in single if role(run) == "finished"]
    stopped = [run for run in single if role(run) == "stopped" and run.asked]
    main = [r for r in finished if not declared or r.name in declared]
    # Of runs with hardly a reply next to nothing is shared: they join no family.
    begun = [run for run in stopped if run.asked >= FEWEST]
    main_groups, stopped_groups = _alike(main, whole=True), _alike(begun)
    for group in main_groups:
        yield from _family("finished", exam, combinations(group, 2))
    for group in stopped_groups:
        shared = asked_by_all(group)
        yield from _family("stopped", exam, combinations(group, 2), shared)
    yield from _family("repeats", exam, _again(runs, repeats))
    mixed = [(a, b) for a, b in product(main, stopped) if not unlike(a, b)]
    yield from _family("mixed", exam, mixed)
    tested = {frozenset(p) for g in main_groups for p in combinations(_ids(g), 2)}
    tested |= {frozenset(p) for g in stopped_groups for p in combinations(_ids(g), 2)}
    tested |= {frozenset((a.name, b.name)) for a, b in mixed}
    rest = [
        (a, b)
        for a, b in combinations([*finished, *stopped], 2)
        if frozenset((a.name, b.name)) not in tested
    ]
    yield from _family("settings", exam, rest)
    references = [run for run in runs if role(run) == "reference" and run.asked]
    yield from _family("reference", exam, product(references, finished))


def _family(
    kind: str, exam: str, pairs: Any, questions: frozenset[str] | None = None
) -> Iterator[Family]:
    """The family of these pairs, if any of them shares a question."""
    asked: dict[str, frozenset[str]] = {}

    def of(run: Run) -> frozenset[str]:
        if run.name not in asked:
            asked[run.name] = frozenset(run.rows["problem_id"].tolist())
        return asked[run.name]

    shared = tuple((a.name, b.name) for a, b in pairs if not of(a).isdisjoint(of(b)))
    if shared:
        yield Family(kind, exam, shared, questions or None)


def _alike(runs: Sequence[Run], whole: bool = False) -> list[list[Run]]:
    """Runs in groups, no two of which are known to differ in a setting.

    `whole` parts those that were to ask other questions, too.
    """
    groups: list[list[Run]] = []
    for run in runs:
        fitting = (
            g
            for g in groups
            if not any(unlike(run, r) for r in g)
            and (not whole or plan_of(run) == plan_of(g[0]))
        )
        home = next(fitting, None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    return groups


def _again(runs: Sequence[Run], repeats: dict[str, str]) -> Iterator[tuple[Run, Run]]:
    """Every two runs that asked one model under the same settings."""
    sittings: dict[str, list[Run]] = {}
    for run in runs:
        if run.name in repeats or run.name in repeats.values():
            sittings.setdefault(repeats.get(run.name, run.name), []).append(run)
    for group in sittings.values():
        yield from combinations(group, 2)


def _ids(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs]


def _differ(values: tuple[Any, Any], blind: Sequence[bool]) -> bool:
    pairs = zip(values, blind, strict=True)
    if any(value is None and is_blind for value, is_blind in pairs):
        return False
    return _plain(values[0]) != _plain(values[1])


def _plain(value: Any) -> str:
    """A setting as text: 0 and 0.0 are one temperature."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return json.dumps(float(value) if is_number else value, sort_keys=True)
