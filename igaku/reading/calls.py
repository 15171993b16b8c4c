"""Calls: what a text asks of a tool, which is no answer to the question."""

from __future__ import annotations

import json
import re
from itertools import islice

from igaku.lazy import pattern
from igaku.reading.marks import ANSWER

NAMED = ("name", "tool", "tool_name", "function", "recipient_name", "action")
GIVEN = ("arguments", "parameters", "input", "args", "tool_input", "action_input")
LISTED = ("tool_calls", "function_call", "tool_uses")
NAME_IN = pattern(
    r"\"(?:tool_)?name\"\s*:\s*\"([^\"]{1,60})|=\s*\"?([\w.\-]{1,60})"
    r"|(?:call:|functions\.)([\w.\-]{1,60})|([A-Za-z_][\w.\-]{0,60})\s*[(\[{]"
)
# Where a call in JSON may begin: at once, behind a word, a mark or a fence, or on a
# line of its own.
BEFORE = pattern(
    r"\A\s*(?:```\w*\s*)?(?:(?:\w{1,40}|\[\w{1,40}\]\w{0,60}(?:\[\w+\])?"
    r"|(?:assistant )?to=[\w.]+(?: \w+)?)\s*)?(?=[\[{])"
    rf"|^[ \t]*(?=\[?\s?\{{\s?\"(?:{'|'.join((*NAMED, *LISTED, 'type'))})\")",
    re.MULTILINE,
)
ADDRESSED = pattern(r"\s*(?:assistant )?to=(?:functions\.)?([\w.]+)")
STEP = pattern(
    r"^[*# \t]{0,4}Action\d*[* \t]{0,3}:(?P<name>[^\n\[]{0,80})"
    r"(?:\n\s{0,3}[*# \t]{0,4}Action Input\d*[* \t]{0,3}:|\[)",
    re.IGNORECASE | re.MULTILINE,
)
# A call as code writes it, which is the whole of a text.
CODED = pattern(
    r"\s*\[?(?P<name>[A-Za-z_][\w.]{0,60})\(\s*\w{1,60}\s*=[^()\n]{0,2000}\)\]?\s*"
)
MOST_CALLS = 4
NO_NAME = "without a name"
DECODER = json.JSONDecoder(strict=False)


def without_calls(said: str) -> tuple[str, str | None]:
    """The text before and behind the calls in it, and the name of a tool it calls.

    >>> without_calls('{"name": "find", "arguments": {"answer": "b"}}')
    ('', 'find')
    """
    if step := STEP.search(said):
        return said[: step.start()], step["name"].strip(" *`") or NO_NAME
    coded = CODED.fullmatch(said)
    if coded and not ANSWER.search(coded["name"].lower()):
        return "", coded["name"]
    for before in islice(BEFORE.finditer(said), MOST_CALLS):
        try:
            told, end = DECODER.raw_decode(said, before.end())
        except (ValueError, RecursionError):
            continue
        tools = [_tool(each) for each in (told if isinstance(told, list) else [told])]
        to = ADDRESSED.match(said, before.start(), before.end())
        if to or (tools and None not in tools):
            rest = said[end:].removeprefix("\n```")
            return said[: before.start()] + rest, to[1] if to else tools[0]
    return said, None


def name_of(called: str) -> str:
    """The name of the tool that a text between a call's marks calls."""
    found = NAME_IN.search(called)
    name = next(filter(None, found.groups()), NO_NAME) if found else NO_NAME
    return name.removeprefix("functions.")


def _tool(told: object) -> str | None:
    """The tool that a value of JSON names beside what is given to it; None for none."""
    if not isinstance(told, dict):
        return None
    inner = told.get("function")
    known = inner if isinstance(inner, dict) else told
    is_listed = any(isinstance(told.get(name), list | dict) for name in LISTED)
    is_named = any(isinstance(told.get(name), str) for name in NAMED)
    is_given = is_named and any(name in told for name in GIVEN)
    if not (is_listed or is_given or (known is inner and "name" in known)):
        return None
    return next((v for n in NAMED if isinstance(v := known.get(n), str)), NO_NAME)
