"""Verdicts: what a walk states by calling choices right and wrong."""

from __future__ import annotations

from collections.abc import Iterator

from igaku.reading.statements import Force, Statement
from igaku.reading.walks import Walk


def of_verdicts(
    walk: Walk, labels: str, wanted: int, inverse: bool
) -> Iterator[Statement]:
    """What the verdicts of a walk say.

    Where the question asks for what is wrong, 「c: 誤り」 and 「c: ○」 may both be
    the answer: it is the side that has as many labels as asked for, if every label has
    its verdict. Called the answer, a label is it, and so is the one singled out:
    「cが誤り」, not 「cは誤り」.
    """
    right, wrong = walk.called(True), walk.called(False)
    is_whole = right | wrong == set(labels)
    picked = set[str]()
    if not inverse and (len(right) == wanted or is_whole):
        picked = right
    elif inverse and len(walk.called(True, settled=True)) == wanted:
        picked = walk.called(True, settled=True)
    elif inverse and is_whole and len(right) != len(wrong):
        picked = next((side for side in (right, wrong) if len(side) == wanted), picked)
    if picked and (len(picked) < len(labels) or wanted == len(labels)):
        start = min(verdict.start for verdict in walk.verdicts)
        end = max(verdict.end for verdict in walk.verdicts)
        letters = "".join(sorted(picked))
        yield Statement(letters, start, end, "verdicts", Force.VERDICTS, is_whole)
    if inverse and not picked and len(wrong) == wanted and not right:
        yield _called_wrong(walk, wrong)
    if not inverse and not right:
        yield from _left_over(walk, labels, wanted)


def _called_wrong(walk: Walk, wrong: set[str]) -> Statement:
    """「cは誤り」, where nothing else is called so, answers what asks for the wrong."""
    against = [verdict for verdict in walk.verdicts if verdict.label in wrong]
    start, end = min(v.start for v in against), max(v.end for v in against)
    return Statement("".join(sorted(wrong)), start, end, "pointed", Force.POINTED)


def _left_over(walk: Walk, labels: str, wanted: int) -> Iterator[Statement]:
    """The steps of a walk that calls every other label wrong."""
    wrong = walk.called(False)
    left = {place: step for place, step in walk.steps.items() if step not in wrong}
    letters = set(left.values())
    if wrong | letters == set(labels) and len(letters) == wanted:
        start, end, said = min(left), max(left) + 1, "".join(sorted(letters))
        yield Statement(said, start, end, "elimination", Force.LISTED)
