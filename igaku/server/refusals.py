"""Refusals: the fields of a request that a strict server does not take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from igaku.server.parts import Parts

NEEDED = ("model", "messages", "input")  # without them there is no question
REFUSED = re.compile(
    r"extra.?forbidden|extra (?:inputs?|fields?)|value_error\.extra|additional propert"
    r"|un(?:recogni[sz]ed|known|supported|expected|permitted)|invalid (?:field|param)"
    r"|not (?:\w+ )?(?:supported|permitted|allowed|recogni[sz]ed|known)"
    r"|does(?: not|n't) (?:support|accept|know)",
    re.IGNORECASE,
)
# Where a sentence goes on to the fields that the server would take.
TAKEN = re.compile(
    r"expected one of|did you mean|(?:allowed|supported|valid) \w+ ?(?:are|:)"
)
SENTENCE = re.compile(r"(?<=[.!?;])\s|\n|\},\s*\{")


def unknown_fields(refused: Parts, sent: Mapping[str, Any]) -> list[str]:
    """The fields among those sent that a server says it does not take.

    >>> said = "Unrecognized request argument supplied: top_k"
    >>> unknown_fields(Parts(error=said, status=400), {"top_k": 0, "top_p": 1.0})
    ['top_k']
    """
    if refused.status not in (400, 422):
        return []
    told = filter(REFUSED.search, SENTENCE.split(refused.error or ""))
    words = (re.findall(r"[a-zA-Z]\w*", TAKEN.split(each)[0]) for each in told)
    names = dict.fromkeys(name for each in words for name in each)
    return [name for name in names if name in sent and name not in NEEDED]


def with_way_out(refused: Parts, sent: Mapping[str, Any]) -> Parts:
    """The refusal with the fields that it is about, and how to leave them out."""
    names = unknown_fields(refused, sent)
    if not names:
        return refused
    nulls = ", ".join(f"{name}: null" for name in names)
    told = (
        f"the server does not take {', '.join(names)} "
        f"({str(refused.error).rstrip('.')}): `extra_body: {{{nulls}}}` leaves it out"
    )
    return replace(refused, error=told)
