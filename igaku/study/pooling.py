"""Families of pairs, and how those of several exams become one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

KINDS = ("finished", "exams", "repeats", "stopped", "mixed", "settings", "reference")


class Family(NamedTuple):
    """Pairs (reference, candidate) that are tested together.

    `kind` says why they belong together: "finished" (complete runs under the same
    settings, of all exams that a variant sat), "exams" (the same, exam by exam, where
    there are several), "repeats" (one model asked twice: the noise floor), "stopped"
    (runs that broke or are unfinished, on the questions that all of them were asked),
    "mixed" (a finished run against a stopped one), "settings" (runs whose settings or
    questions differ, or that were not declared) and "reference" (against results that
    are no variant under test). `askings` has the sittings of each run's variant, itself
    the first, where those are pooled: the same exam asked again, and other exams.
    """

    kind: str
    exam: str
    pairs: tuple[tuple[str, str], ...]
    askings: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"Family: {self.kind}, exam {self.exam}, {len(self.pairs)} pairs"

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs of the family, each once, in the order of its pairs."""
        return tuple(dict.fromkeys(name for pair in self.pairs for name in pair))


Known = tuple[str | None, ...]


def pooled(
    families: list[Family], variant: Mapping[str, str], known: Mapping[str, Known]
) -> Iterator[Family]:
    """Main families of several exams as one, where the same variant sat them.

    They take the place of those, which stay as they are under the kind "exams".
    `variant` says of each run what it is a sitting of, `known` its settings.
    """
    groups: list[list[Family]] = []
    for family in [family for family in families if family.kind == "finished"]:
        for group in groups:
            if _joins(family, group, variant, known):
                group.append(family)
                break
        else:
            groups.append([family])
    for group in (group for group in groups if len(group) > 1):
        for family in group:
            families[families.index(family)] = family._replace(kind="exams")
        yield _as_one(group, variant)


def _joins(
    family: Family,
    group: Sequence[Family],
    variant: Mapping[str, str],
    known: Mapping[str, Known],
) -> bool:
    """Whether a variant of the family sat another exam in the group, asked alike."""
    old = [name for other in group for name in other.runs]
    same = {variant[name] for name in family.runs} & {variant[name] for name in old}
    return (
        bool(same)
        and family.exam not in [other.exam for other in group]
        and not any(
            differ_any(known[a], known[b]) for a, b in product(family.runs, old)
        )
    )


def _as_one(group: Sequence[Family], variant: Mapping[str, str]) -> Family:
    """One family of the exams' families: a variant has the name of its first run."""
    first: dict[str, str] = {}
    askings: dict[str, tuple[str, ...]] = {}
    pairs: dict[tuple[str, str], None] = {}
    for family in group:
        for name in family.runs:
            own = first.setdefault(variant[name], name)
            askings[own] = askings.get(own, ()) + family.askings.get(name, (name,))
        for pair in family.pairs:
            a, b = (first[variant[name]] for name in pair)
            pairs |= {} if a == b or (b, a) in pairs else {(a, b): None}
    exams = ", ".join(family.exam for family in group)
    return Family("finished", exams, tuple(pairs), askings)


def differ(one: str | None, other: str | None) -> bool:
    """Whether two settings are on record and not alike."""
    return one is not None and other is not None and one != other


def differ_any(one: Sequence[str | None], other: Sequence[str | None]) -> bool:
    """Whether any of the settings of two runs differs."""
    return one != other and any(map(differ, one, other))
