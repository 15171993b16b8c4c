"""Sums: the number that a sentence states, where its equations arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from igaku.reading.quantities import (
    AFTER_LEAD,
    ASIDE,
    EQUALS,
    NUMBERS,
    OPERATED,
    SENTENCE_END,
    STRUCK,
)
from igaku.reading.statements import Force


@dataclass(frozen=True)
class Number:
    """A number in a plain text, and where it stands there."""

    said: str
    start: int
    end: int
    rule: str = ""
    force: Force = Force.LOOSE
    is_strict: bool = False


@dataclass(frozen=True)
class Layout:
    """The boxes a question draws, and how many of them are decimals."""

    boxes: int | None = None
    decimals: int | None = None

    def digits(self, number: str) -> str:
        """The digits a number puts into the boxes: 2.1 and 2.10 are 21, .4 is 04."""
        whole, dot, fraction = number.replace(",", "").partition(".")
        if self.decimals is not None:
            spare = fraction[self.decimals :]
            fraction = fraction[: self.decimals] + spare.rstrip("0")
        return (whole or "0") + fraction if dot else whole

    def fits(self, number: str) -> bool:
        """Whether a number fills the boxes, as far as they are known."""
        return self.boxes in (None, len(self.digits(number)))


@dataclass(frozen=True)
class Side:
    """The number of one side of a chain of equations.

    `is_equal` says that an equals sign stands before it, no arrow and no ≒; `opens`
    that the side begins with it.
    """

    number: Number
    is_equal: bool
    opens: bool


def stated(said: str, at: int, layout: Layout, last: bool = False) -> Number | None:
    """The number a sentence states, outside its brackets if it can.

    What stands in brackets counts where it alone fills the boxes: 「2.05（≒2.1）」.
    """
    said = SENTENCE_END.split(said, maxsplit=1)[0]
    main = ASIDE.sub(lambda found: " " * len(found[0]), said)
    number = _resulting(main, at, layout, last)
    if number and layout.fits(number.said):
        return number
    for aside in ASIDE.finditer(said):
        start = aside.start() + 1
        inner = _resulting(said[start : aside.end() - 1], at + start, layout, last)
        if inner and (number is None or layout.fits(inner.said)):
            return inner
    return number


def _resulting(said: str, at: int, layout: Layout, last: bool) -> Number | None:
    """Where a sum arrives: the last side of its equations that is no sum itself.

    A side that does not fill the boxes gives way to its equal that does, and to what
    the sentence opens with: 2.1 g = 2100 mg, 325 mL ≒ 0.33 L.
    """
    sides = list(_sides(said, at, last))
    for side in reversed(sides):
        if layout.fits(side.number.said):
            return side.number
        if not side.is_equal:
            break
    meant = [side.number for side in sides[:1] if side.opens]
    fitting = [number for number in meant if layout.fits(number.said)]
    return next(iter(fitting or [side.number for side in sides[-1:]]), None)


def _sides(said: str, at: int, last: bool) -> Iterator[Side]:
    start, is_equal = 0, False
    for sign in [*EQUALS.finditer(said), None]:
        side = said[start : sign.start() if sign else None]
        numbers = list(NUMBERS.finditer(side.partition(STRUCK)[0]))
        opens = AFTER_LEAD.match(side) is not None
        if numbers and not OPERATED.search(side):
            found = numbers[0 if (start or opens) and not last else -1]
            first, end = (at + start + place for place in found.span(1))
            yield Side(Number(found[1], first, end), is_equal, opens)
        if sign:
            start, is_equal = sign.end(), sign[0] == "="
