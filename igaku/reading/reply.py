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
    tokens, is_estimate = _thought_tokens(parts, turn.said, reasoning)
    told |= {"content": turn.said, "reasoning": reasoning, "reasoning_tokens": tokens}
    told["tool"] = parts.tool or turn.tool
    known = parts.marks if isinstance(parts, Reply) else ()
    marks = tuple(dict.fromkeys(known + turn.marks))
    return Reply(**told, reasoning_tokens_estimated=is_estimate, marks=marks)


def _thought_tokens(parts: Parts, said: str, thought: str) -> tuple[int | None, bool]:
    """The reasoning tokens, and whether they are an estimate.

    A server's zero beside a thought or a silence is plainly untrue. An estimate goes by
    the texts' lengths, and is right to a few per cent only.
    """
    counted, used = parts.reasoning_tokens, parts.completion_tokens
    is_silent = not said.strip() and used != 0
    is_untrue = counted == 0 and (thought.strip() or is_silent or used is None)
    if counted is not None and not is_untrue:
        return counted, False
    if used is None or not thought.strip():
        return None, False
    return round(used * (len(thought) / (len(thought) + len(said)))), True
