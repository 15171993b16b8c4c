"""Alarms: what an audit has to say, and the parts that audits are made of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from igaku.ask.warm import TEXTS
from igaku.study.families import Study
from igaku.study.runs import Run


class Alarm(NamedTuple):
    """One thing that an audit found: its kind, the runs it speaks of, and the facts.

    The kinds are those of `AUDITS`. `grave` alarms can turn a conclusion round; the
    others say what is not known, or not on record. Where it is the difference between
    groups of runs that tells, the facts hold the `groups`.
    """

    kind: str
    runs: tuple[str, ...]
    facts: Mapping[str, Any]
    grave: bool = True


def alarm_on(kind: str, run: Run, grave: bool = True, **facts: Any) -> Alarm:
    """An alarm on one run."""
    return Alarm(kind, (run.name,), {"run": run.name} | facts, grave)


def texts_of(rows: pd.DataFrame) -> list[str]:
    """The texts that a table has: none in a study that was loaded without them."""
    return [name for name in TEXTS if name in rows]


def grouped(told: Iterable[tuple[Any, Run]]) -> dict[str, list[Run]]:
    """The runs of which the same is told; those of which no text is are left out."""
    groups: dict[str, list[Run]] = {}
    for value, run in told:
        if isinstance(value, str) and value:
            groups.setdefault(value, []).append(run)
    return groups


def apart(
    kind: str,
    groups: Mapping[str, Sequence[Run]],
    by: str = "value",
    grave: bool = True,
    **facts: Any,
) -> Iterator[Alarm]:
    """An alarm where runs that stand side by side fall into more groups than one."""
    if len(groups) > 1:
        told = [{by: value, "runs": names_of(each)} for value, each in groups.items()]
        runs = tuple(name for each in told for name in each["runs"])
        yield Alarm(kind, runs, {"groups": told} | facts, grave)


def names_of(runs: Iterable[Run]) -> list[str]:
    """The names of runs."""
    return [run.name for run in runs]


def models_of(runs: Iterable[Run]) -> set[str | None]:
    """The models of runs, by their files in `params/` where they have one."""
    return {run.settings.get("slug") or run.model for run in runs}


def by_exam(study: Study, but: Collection[str] = frozenset()) -> Iterator[list[Run]]:
    """The runs under study, exam by exam, `but` those of these names."""
    for exam in study.exams:
        runs = (run for run in study.variants if run.name not in but)
        yield [run for run in runs if str(run.exam) == exam]
