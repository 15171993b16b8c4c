"""Calls: what a text asks of a tool, which is no answer to the question."""

from __future__ import annotations

import json

from igaku.lazy import pattern

NAMED = ("name", "tool", "tool_name", "function", "recipient_name")
GIVEN = ("arguments", "parameters", "input", "args", "tool_input", "action_input")
NAME_IN = pattern(
    r"\"(?:tool_)?name\"\s*:\s*\"([^\"]{1,60})|=\s*\"?([\w.\-]{1,60})"
    r"|(?:call:|functions\.)([\w.\-]{1,60})|([A-Za-z_][\w.\-]{0,60})\s*[(\[{]"
)
# What may stand before a call in JSON: a word, a mark, a fence.
BEFORE = pattern(r"\s*(?:```\w*\s*)?(?:\w{1,40}|\[\w{1,40}\]\w{0,60}(?:\[\w+\])?)?\s*")
STEP = pattern(
    r"^[*# \t]{0,4}Action\d*[* \t]{0,3}:(.{0,80})\n\s{0,3}[*# \t]{0,4}"
    r"Action Input\d*[* \t]{0,3}:",
    2 | 8,
)
NO_NAME = "without a name"
DECODER = json.JSONDecoder(strict=False)


def without_calls(said: str) -> tuple[str, str | None]:
    """The text before and behind the calls in it, and the name of a tool it calls.

    >>> without_calls('{"name": "find", "arguments": {"answer": "b"}}')
    ('', 'find')
    """
    if step := STEP.search(said):
        return said[: step.start()], step[1].strip(" *`") or NO_NAME
    start = BEFORE.match(said)
    at = start.end() if start else 0
    if said[at : at + 1] not in ("{", "["):
        return said, None
    try:
        told, end = DECODER.raw_decode(said, at)
    except (ValueError, RecursionError):
        return said, None
    calls = told if isinstance(told, list) else [told]
    if not calls or not all(map(_is_call, calls)):
        return said, None
    return said[end:].removeprefix("\n```"), _named(calls[0])


def name_of(called: str) -> str:
    """The name of the tool that a text between a call's marks calls."""
    found = NAME_IN.search(called)
    return next(filter(None, found.groups()), NO_NAME) if found else NO_NAME


def _is_call(told: object) -> bool:
    """Whether a value of JSON names a tool and what is given to it."""
    if not isinstance(told, dict):
        return False
    inner = told.get("function")
    is_named = any(isinstance(told.get(name), str) for name in NAMED)
    is_given = any(name in told for name in GIVEN)
    return (is_named and is_given) or (isinstance(inner, dict) and "name" in inner)


def _named(call: dict[str, object]) -> str:
    inner = call.get("function")
    told = inner if isinstance(inner, dict) else call
    return next((v for n in NAMED if isinstance(v := told.get(n), str)), NO_NAME)
