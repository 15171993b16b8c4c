"""Families: which runs may be compared with which, and what is tested together.

A family is a set of pairs that belong together by their settings, or by name; Holm's
adjustment is over a family and over nothing else. The rule is here, in one place:
finished runs of one exam under the same settings are the main family; runs that
stopped early are a family of their own, on the questions that all of them were asked.
Main families of several exams become one where the same variant sat them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from itertools import chain, combinations, product
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from igaku.ask.health import FEWEST
from igaku.study.designs import Sitting, differing

KINDS = ("finished", "exams", "repeats", "stopped", "mixed", "settings", "reference")
Pairs = Sequence[tuple[Sitting, Sitting]]
Member = TypeVar("Member")


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

    @property
    def places(self) -> dict[str, int]:
        """The place of each run among `runs`."""
        return {name: place for place, name in enumerate(self.runs)}


def families_of(
    sittings: Sequence[Sitting], inside: Set[str], later: Mapping[str, str]
) -> list[Family]:
    """The families of sittings, sorted by `KINDS`.

    The main families are of the runs `inside`, and without `later` sittings of one
    variant, see `later_of`.
    """
    found = []
    for exam in dict.fromkeys(str(one.run.exam) for one in sittings):
        here = [one for one in sittings if str(one.run.exam) == exam]
        own: dict[str, list[Sitting]] = {}
        for one in here:
            own.setdefault(later.get(one.name, one.name), []).append(one)
        for kind, pairs in _compared(here, inside, later, own):
            met = [
                (a.name, b.name) for a, b in pairs if not a.asked.isdisjoint(b.asked)
            ]
            if met:
                names = {one.name for one in chain(*pairs)}
                askings = _askings(names, own) if kind == "finished" else {}
                found.append(Family(kind, exam, tuple(met), askings))
    found += _pooled(found, {one.name: one for one in sittings})
    return sorted(found, key=lambda family: KINDS.index(family.kind))


def later_of(sittings: Sequence[Sitting], chosen: Collection[str]) -> dict[str, str]:
    """Each run that asked a model again → the first that did; none of the `chosen`.

    Again means the same questions under the same settings: a trial of ten questions is
    no repeat of a whole exam. Only the order of the choices may be another.
    """

    def is_again(one: Sitting, group: Sequence[Sitting]) -> bool:
        first = group[0]
        return (
            one.variant == first.variant
            and (one.role, one.planned) == (first.role, first.planned)
            and one.run.exam == first.run.exam
            and {*differing(one.known, first.known)} <= {"choice_order"}
        )

    tried = [one for one in sittings if one.role in ("finished", "stopped")]
    return {
        one.name: first.name
        for first, *others in _gathered(tried, is_again)
        for one in others
        if one.name not in chosen
    }


def _compared(
    runs: Sequence[Sitting],
    inside: Set[str],
    later: Mapping[str, str],
    own: Mapping[str, Sequence[Sitting]],
) -> Iterator[tuple[str, Pairs]]:
    """The pairs of one exam by the kind of their family.

    Of runs with hardly a reply next to nothing is shared: they join no family of their
    own kind.
    """
    single = [one for one in runs if one.name not in later]
    finished = [one for one in single if one.role == "finished"]
    stopped = [one for one in single if one.role == "stopped" and one.asked]
    main = [one for one in finished if one.name in inside]
    begun = [one for one in stopped if len(one.asked) >= FEWEST]
    alike = [("finished", group) for group in _gathered(main, _is_comparable)]
    alike += [("stopped", group) for group in _gathered(begun, _is_alike)]
    tested: list[tuple[str, Pairs]] = [
        (kind, [*combinations(group, 2)]) for kind, group in alike
    ]
    both = product(main, stopped)
    tested.append(("mixed", [(a, b) for a, b in both if _is_alike(a, [b])]))
    done = {frozenset((a.name, b.name)) for _, pairs in tested for a, b in pairs}
    others = combinations([*finished, *stopped], 2)
    rest = [(a, b) for a, b in others if frozenset((a.name, b.name)) not in done]
    again = [pair for group in own.values() for pair in combinations(group, 2)]
    references = [one for one in runs if one.role == "reference" and one.asked]
    yield from tested
    yield "repeats", again
    yield "settings", rest
    yield "reference", [*product(references, finished)]


def _is_alike(one: Sitting, group: Sequence[Sitting]) -> bool:
    """Whether no setting of a run is known to differ from the group's."""
    return not any(differing(one.known, other.known) for other in group)


def _is_comparable(one: Sitting, group: Sequence[Sitting]) -> bool:
    """Whether a run was to ask the questions of the group, too."""
    return one.planned == group[0].planned and _is_alike(one, group)


def _gathered(
    members: Sequence[Member], belongs: Callable[[Member, Sequence[Member]], bool]
) -> list[list[Member]]:
    """Groups, each member in the first that it belongs to, else in one of its own."""
    groups: list[list[Member]] = []
    for one in members:
        group = next((each for each in groups if belongs(one, each)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


def _askings(
    names: Set[str], own: Mapping[str, Sequence[Sitting]]
) -> dict[str, tuple[str, ...]]:
    """The sittings of each run's variant under the orders of choices that all had."""
    groups = {name: group for name, group in own.items() if name in names}
    orders = [{one.run.seed for one in group} for group in groups.values()]
    shared = set.intersection(*orders)
    return {
        name: tuple(one.name for one in group if one.run.seed in shared)
        for name, group in groups.items()
    }


# --- several exams --------------------------------------------------------------------


def _pooled(families: list[Family], of: Mapping[str, Sitting]) -> list[Family]:
    """Main families of several exams as one, where the same variant sat them.

    They take the place of those, which stay as they are under the kind "exams".
    """

    def joins(family: Family, group: Sequence[Family]) -> bool:
        runs = [of[name] for name in family.runs]
        old = [of[name] for other in group for name in other.runs]
        return (
            not {one.variant for one in runs}.isdisjoint(one.variant for one in old)
            and family.exam not in [other.exam for other in group]
            and all(_is_alike(one, old) for one in runs)
        )

    main = [family for family in families if family.kind == "finished"]
    groups = [group for group in _gathered(main, joins) if len(group) > 1]
    for family in chain(*groups):
        families[families.index(family)] = family._replace(kind="exams")
    return [_as_one(group, of) for group in groups]


def _as_one(group: Sequence[Family], of: Mapping[str, Sitting]) -> Family:
    """One family of the exams' families: a variant has the name of its first run."""
    first: dict[str, str] = {}
    askings: dict[str, tuple[str, ...]] = {}
    pairs: dict[tuple[str, str], None] = {}
    for family in group:
        for name in family.runs:
            own = first.setdefault(of[name].variant, name)
            askings[own] = askings.get(own, ()) + family.askings.get(name, (name,))
        for pair in family.pairs:
            a, b = (first[of[name].variant] for name in pair)
            pairs |= {} if a == b or (b, a) in pairs else {(a, b): None}
    exams = ", ".join(family.exam for family in group)
    return Family("finished", exams, tuple(pairs), askings)
