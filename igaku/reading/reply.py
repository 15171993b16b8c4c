"""The reply: a server's parts, understood before a letter is taken from them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from igaku.reading.turns import turn_of
from igaku.server.parts import Parts, parts_of


@dataclass(frozen=True)
class Reply(Parts):
    """What a model said in reply to one request, told from what it thought.

    `content` is the text of its own turn and `reasoning` its thought, wherever the
    server put them; `marks` are what stayed unknown in that text. Unknown is None, but
    `reasoning_tokens` may be an estimate, which `reasoning_tokens_estimated` says.
    """

    reasoning_tokens_estimated: bool = False
    marks: tuple[str, ...] = ()


def read_reply(body: object, status: int = 200) -> Reply:
    r"""The reply in a server's body, whichever dialect the server speaks.

    >>> told = {"choices": [{"message": {"content": "<think>b?</think>\nd"}}]}
    >>> read_reply(told).content, read_reply(told).reasoning
    ('d', 'b?')
    """
    return understood(parts_of(body, status))


def understood(parts: Parts) -> Reply:
    """The reply that a server's parts are."""
    told = {field.name: getattr(parts, field.name) for field in fields(Parts)}
    turn = turn_of(parts.content)
    thoughts = (parts.reasoning, turn.thought)
    reasoning = "\n".join(dict.fromkeys(each for each in thoughts if each.strip()))
    told |= {"content": turn.said, "reasoning": reasoning}
    told["reasoning_tokens"] = thought = _counted(parts, turn.said, reasoning)
    guess = None if thought is not None else _guessed(parts, turn.said, reasoning)
    if guess is not None:
        told |= {"reasoning_tokens": guess, "reasoning_tokens_estimated": True}
    told["tool"] = parts.tool or turn.tool
    known = parts.marks if isinstance(parts, Reply) else ()
    return Reply(**told, marks=tuple(dict.fromkeys(known + turn.marks)))


def _counted(parts: Parts, content: str, reasoning: str) -> int | None:
    """The reasoning tokens a server reports, unless its zero is plainly untrue."""
    silent = not content.strip() and parts.completion_tokens != 0
    unlikely = reasoning.strip() or silent or parts.completion_tokens is None
    if parts.reasoning_tokens == 0 and unlikely:
        return None
    return parts.reasoning_tokens


def _guessed(parts: Parts, content: str, reasoning: str) -> int | None:
    """The reasoning tokens by the texts' lengths: right to a few per cent only."""
    if parts.completion_tokens is None or not reasoning.strip():
        return None
    share = len(reasoning) / (len(reasoning) + len(content))
    return round(parts.completion_tokens * share)
