"""What is looked at first, where a pattern is dear: all that it can begin with."""

import re
from re import _parser

import pytest

from igaku.reading import letters, walks, wording


def first_of(parsed) -> tuple[set[int], bool]:
    """What parts of a pattern can begin with, and whether they may be empty."""
    found = set[int]()
    for kind, told in parsed:
        characters, is_optional = first_of_one(str(kind), told)
        found |= characters
        if not is_optional:
            return found, False
    return found, True


def first_of_one(kind, told) -> tuple[set[int], bool]:
    if kind in {"ASSERT", "ASSERT_NOT", "AT"}:
        return set(), True
    if kind == "LITERAL":
        return {told}, False
    if kind == "IN":
        return {c for one in told for c in characters_of(*one)}, False
    if kind == "BRANCH":
        branches = [first_of(branch) for branch in told[1]]
        found = set().union(*(characters for characters, _ in branches))
        return found, any(is_optional for _, is_optional in branches)
    if kind.endswith("REPEAT"):
        found, is_optional = first_of(told[2])
        return found, is_optional or told[0] == 0
    return first_of(
        {"SUBPATTERN": lambda: told[3], "ATOMIC_GROUP": lambda: told}[kind]()
    )


def characters_of(kind, told) -> list[int]:
    if str(kind) == "CATEGORY":
        assert str(told) == "CATEGORY_SPACE"
        return [ord(c) for c in " \t\n\r\f\v"]
    return [told] if str(kind) == "LITERAL" else list(range(told[0], told[1] + 1))


DEAR = (walks.JUDGED, walks.AT_LAST, walks.BEFORE, letters.TAKEN_BACK)


@pytest.mark.parametrize("dear", [wording.CUE, *(each.pattern for each in DEAR)])
def test_what_is_looked_at_first_is_all_that_a_pattern_begins_with(dear):
    looked_at = re.match(r"\(\?=(\[(?:\\.|[^]])+\])\)", dear)
    first, is_optional = first_of(_parser.parse(dear))
    assert not is_optional
    assert {chr(c) for c in first if not re.match(looked_at[1], chr(c))} == set()
