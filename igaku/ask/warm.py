"""Warm: the first questions of a sitting, asked once more at its end.

At temperature 0 a reply is to depend on its prompt alone. A server that answers from
another prompt's state may give itself away: it replies otherwise than it did before
anything was in its caches, or with what it has said to another question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from igaku.ask.folder import Row
from igaku.ask.plan import Item, Plan
from igaku.words import CAUSES, NO_REPLY

MOST, EACH = 3, 30  # questions asked again: one for each thirty, so 3 % at most
LOST = (*CAUSES, *NO_REPLY)
TEXTS = ("reasoning", "content")
LONG = 80  # characters; shorter texts are alike by chance


def items_of(plan: Plan, rows: Sequence[Row]) -> list[Item]:
    """The first items of a sitting with these rows; none at a temperature above 0.

    Only such as have a reply that is not lost: a cut one would cost its whole budget.
    """
    if plan.settings.temperature > 0:
        return []
    items = {item.question.problem_id: item for item in plan.items}
    names = [row["problem_id"] for row in rows if row["outcome"] not in LOST]
    first = names[: min(MOST, len(rows) // EACH)]
    return [items[name] for name in first if name in items]


def compared(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """A warm reply held against the first one, and against those to other questions.

    `same`: both texts are. Else `where` ("reasoning" or "content") and after how many
    characters (`at`) they part. `of`: the other questions whose long text it is.

    >>> was = {"problem_id": "116A1", "reasoning": "So b.", "content": "b"}
    >>> compared(was | {"reasoning": "So c.", "content": "c"}, [was])
    {'problem_id': '116A1', 'same': False, 'where': 'reasoning', 'at': 3, 'of': []}
    """
    name = row["problem_id"]
    first = next(each for each in rows if each["problem_id"] == name)
    told: dict[str, Any] = {"problem_id": name, "same": True, "where": None, "at": None}
    for where in TEXTS:
        texts = [first[where] or "", row[where] or ""]
        if told["same"] and texts[0] != texts[1]:
            told |= {"same": False, "where": where, "at": first_difference(*texts)}
    return told | {"of": [] if told["same"] else _owners(row, rows)}


def first_difference(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many places two sequences begin with alike.

    >>> first_difference("abcd", "abd"), first_difference("ab", "ab")
    (2, 2)
    """
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _owners(row: Row, rows: Sequence[Row]) -> list[str]:
    """The other questions that got one of a reply's long texts; loops are nobody's."""
    if row.get("cause") == "looping":
        return []
    said = [(where, row[where] or "") for where in TEXTS]
    return [
        each["problem_id"]
        for each in rows
        if each["problem_id"] != row["problem_id"]
        and any(len(text) >= LONG and each[where] == text for where, text in said)
    ]
