"""Silence: of which kind a reply is that gave no answer, told from its whole text.

A text that was clipped, or is not on record, tells nothing of how it ended: whoever
calls says so, and it is not judged here.
"""

from __future__ import annotations

from igaku.reading.harmony import torn_header
from igaku.reading.loops import is_looping
from igaku.reading.turns import turn_of

TOLD = ("progressing", "looping", "header", "unanswered")
UNKNOWN = ("clipped", "unrecorded")
KINDS = (*TOLD, *UNKNOWN)


def silent_kind(content: str, reasoning: str = "", is_cut: bool = False) -> str:
    """The kind of a reply without an answer: one of `TOLD`.

    `content` is the text as the server gave it, with its marks, `reasoning` the thought
    that the server had taken out; `is_cut` says that something ended the reply before
    its own end. "looping": it says the same over and over. "header": it ended in, or
    went on behind, a header of harmony that is none. "progressing": it was cut while it
    still said new things, right or wrong. "unanswered": it ended by itself.

    >>> silent_kind("", "c is worse than a, so look at d: " + "so c. Wait, " * 30, True)
    'looping'
    >>> silent_kind("<|channel|>analysis3b")
    'header'
    """
    turn = turn_of(content)
    if any(map(is_looping, (turn.said, turn.thought, reasoning))):
        return "looping"
    if torn_header(content, is_cut):
        return "header"
    return "progressing" if is_cut else "unanswered"
