"""A reading: the answer taken from a text, and the statements it is chosen from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Answer = tuple[str, ...]

# The version of the reader: raise it whenever the reading of any text may change, so
# that what was read before is read anew.
READER = 4

# A reply longer than this, in characters, is looping; it is not read.
LIMIT = 2**18
TOO_LONG = "too_long"


@dataclass(frozen=True)
class Reading:
    """An answer as it was read: sorted letters, or one string of digits.

    `span` is the place of the statement in the text that was read, in characters as
    Python slices them; `rule` names what kind of statement it is; `second` is the
    answer of the next best statement that says something else. `is_strict` is False
    for a statement that half a reply may make in passing.
    """

    answer: Answer | None = None
    rule: str | None = None
    span: tuple[int, int] | None = None
    second: Answer | None = None
    is_strict: bool = False


class Force(IntEnum):
    """How much a statement counts against others."""

    LOOSE = 0
    LISTED = 1
    INLINE = 2
    RESTATED = 3
    QUOTED = 4
    POINTED = 5
    OPENING = 6
    VERDICTS = 7
    BARE = 8
    CUE = 9
    CONCLUSION = 10


@dataclass(frozen=True, slots=True)
class Statement:
    """What a text states, letters or a number, where, by which rule, how firmly."""

    said: str
    start: int
    end: int
    rule: str = ""
    force: Force = Force.LOOSE
    is_strict: bool = False
