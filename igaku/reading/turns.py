"""Turns: a text that no server has split, taken apart by what its marks look like.

Both marks of reasoning are read, harmony's channels and <think>, closed or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MESSAGE_END = re.compile(
    r"<\|(?:end|return|call|endoftext|startoftext)\|>|(?=<\|(?:start|channel)\|>)"
)
CHANNEL = re.compile(r"final|analysis|commentary", re.IGNORECASE)
UNMARKED = re.compile(r"\Aanalysis(.*)assistant\s*final", re.DOTALL)
THINK_MARK = re.compile(r"(</?think(?:ing)?>)")


@dataclass(frozen=True)
class Turn:
    """The model's own turn: what it said, what it thought, which marks stayed unknown.

    `is_closed` is False where the text ends inside thought.
    """

    said: str
    thought: str = ""
    marks: tuple[str, ...] = ()
    is_closed: bool = True


def turn_of(text: str) -> Turn:
    """The final text and the thought of a text that a server did not split itself.

    >>> turn_of("<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    ...         "<|channel|>final<|message|>c<|return|>")
    Turn(said='c', thought='hm', marks=(), is_closed=True)
    """
    said, thought = _split(text)
    return Turn(said, thought)


def _split(text: str) -> tuple[str, str]:
    if unmarked := UNMARKED.match(text):
        return text[unmarked.end() :].strip(), unmarked[1].strip()
    final, thought = _split_harmony(text) if "<|" in text else (text, "")
    final, more = _split_think(final) if "think" in final else (final, "")
    return final, _joined(thought, more)


def _split_harmony(text: str) -> tuple[str, str]:
    pieces = [_channel(chunk) for chunk in MESSAGE_END.split(text)]
    spoken = [(channel, said) for channel, said in pieces if said]
    if all(channel == "loose" for channel, _ in spoken):
        return _joined(*(said for _, said in spoken)), ""
    if spoken[0][0] == "loose":
        # The header of the first message was the end of the prompt.
        spoken[0] = ("analysis", spoken[0][1])
    last = dict(spoken)
    final = last.get("final") or last.get("plain") or last.get("loose") or ""
    thoughts = (said for ch, said in spoken if ch in ("analysis", "commentary"))
    return final, _joined(*thoughts)


def _channel(chunk: str) -> tuple[str, str]:
    """The channel and the text of one harmony message, however torn its header is."""
    head, mark, body = chunk.partition("<|message|>")
    if mark:
        named = CHANNEL.search(head)
        unnamed = "analysis" if "<|channel|>" in head else "plain"
        said = body.replace("<|message|>", "")
        return named[0].lower() if named else unnamed, said.strip()
    if chunk.startswith("<|channel|>"):
        # A header that lost its <|message|> runs straight into the text.
        rest = chunk.removeprefix("<|channel|>").lstrip("> \n")
        named = CHANNEL.match(rest)
        said = rest[named.end() :] if named else rest
        return named[0].lower() if named else "analysis", said.strip()
    return "loose", "" if chunk.startswith("<|start|>") else chunk.strip()


def _split_think(text: str) -> tuple[str, str]:
    final, thoughts, thinking = "", list[str](), False
    for piece in THINK_MARK.split(text):
        if THINK_MARK.fullmatch(piece):
            if piece.startswith("</") and not thinking:
                # The opening mark was the end of the prompt.
                thoughts.append(final)
                final = ""
            thinking = not piece.startswith("</")
        elif thinking:
            thoughts.append(piece)
        else:
            final += piece
    return (final.strip(), _joined(*thoughts)) if thoughts else (text, "")


def _joined(*texts: str) -> str:
    return "\n".join(text.strip() for text in texts if text.strip())
