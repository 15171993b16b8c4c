"""Harmony: gpt-oss's messages, marked, torn, or decoded to plain words."""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.marks import ANSWER

MESSAGE_END = pattern(
    r"<\|(?:end|return|call|endoftext|startoftext)\|>|(?=<\|(?:start|channel)\|>)"
)
HARMONY = pattern(r"<\|(?:channel|message|start|call|return)\|>")
CHANNEL = pattern(r"final|analysis|commentary", re.IGNORECASE)
OWN_HEADER = pattern(r"\A<\|start\|>(?:assistant)?(?:\s{0,2}to=[\w.]+)?")
CALLED = pattern(r"(?:assistant|analysis|commentary)\s{1,2}(to=[\w.]+)")
OTHERS = pattern(r"(?:user|system|developer|tool|functions?[.\w]*)\b", re.IGNORECASE)
# The same marks decoded to their words, which stand against the text.
PLAIN_HEADER = pattern(
    r"[*\[]{0,2}(?i:assistant[\s*:]{0,3}(analysis|commentary|final))(?![a-z]{2})"
    r"[\]*:]{0,3}"
)
# On a line of its own it may be a heading: then a line that answers stands below.
PLAIN_START = pattern(
    r"\A\s*(analysis|commentary)(?=[^\sa-z]|[ \t]+to="
    r"|\n(?![\s\S]*\n\W{0,4}(?i:final answer|answer|答え|正解|解答|回答)"
    r"\W{0,4}[:：は]))"
)
PLAIN_FIRST = pattern(r"\A\s*(?:analysis|commentary)")
# A bare letter against the word, at the start or at the end of thought.
PLAIN_FINAL = pattern(r"(?:\A\s*|(?<=[.。!?！？\n]))final(?=[a-hA-H](?![A-Za-z]))")
THOUGHT, THOUGHT_END = "<think>", "</think>"
TOLD = 12  # characters of what stands behind a torn mark
# A whole header, or a mark that begins or ends one and belongs to none that is whole.
HEADER = pattern(
    r"(?P<whole>(?:<\|start\|>assistant)?(?:\s{0,2}to=[\w.]+)?<\|channel\|>"
    r"(?:analysis|commentary|final)(?:\s{1,2}to=[\w.]+)?"
    r"(?:\s{0,2}<\|constrain\|>\w+)?<\|message\|>)"
    r"|<\|(?:start|channel|message)\|>"
)
BEGUN = pattern(
    r"(?:<\|start\|>\w{0,9})?(?:<\|channel\|>\w{0,10})?(?:<\|?\w{0,9}\|?)?\Z"
)


def as_marks(text: str) -> str:
    """The text with harmony's messages put as thought in tags, and what was said.

    >>> as_marks("analysisb or d?assistantfinald")
    '<think>b or d?</think>d'
    """
    told = _told(text)
    call = CALLED.search(text) if told is not text else None
    if call and (told.startswith(THOUGHT) or not told) and THOUGHT_END not in told:
        return f"{told}{THOUGHT_END * bool(told)}<tool_call>{call[1]}</tool_call>"
    return told


def torn_header(text: str, is_cut: bool = False) -> str | None:
    """The first header of a marked text that is no whole one, and what follows.

    What a reply that was cut had begun at its end is not torn.

    >>> torn_header("<|channel|>analysis<|message|>b?<|end|><|start|><|message|>d")
    '<|start|><|message|>d'
    >>> torn_header("<|channel|>final<|message|>b<|end|><|start|>assis", is_cut=True)
    """
    if is_cut:
        text = BEGUN.sub("", text)
    torn = next((each for each in HEADER.finditer(text) if not each["whole"]), None)
    return text[torn.start() : torn.end() + TOLD] if torn else None


def _told(text: str) -> str:
    if HARMONY.search(text):
        return _marked(text)
    if PLAIN_HEADER.search(text):
        return _plain(text, PLAIN_FIRST.match(text))
    if (start := PLAIN_START.match(text)) or PLAIN_FINAL.match(text):
        return _plain(PLAIN_FINAL.sub("assistantfinal ", text), start)
    return text


def _marked(text: str) -> str:
    pieces = [_message(chunk) for chunk in MESSAGE_END.split(text)]
    spoken = _own([piece for piece in pieces if piece[1] or piece[0] == "other"])
    if not spoken:
        return ""
    if all(channel == "loose" for channel, _ in spoken):
        return "\n".join(said for _, said in spoken)
    if spoken[0][0] in ("loose", "plain") and "final" in dict(spoken[1:]):
        # The header of the first message was the end of the prompt.
        spoken[0] = ("analysis", spoken[0][1])
    last = dict(spoken)
    final = last.get("final") or last.get("plain") or last.get("loose") or ""
    thoughts = [said for ch, said in spoken if ch in ("analysis", "commentary")]
    return _put(thoughts, final)


def _own(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The messages up to the first of another role that follows something said."""
    kept: list[tuple[str, str]] = []
    for channel, said in pieces:
        if channel != "other":
            kept.append((channel, said))
        elif any(ch in ("final", "plain", "loose") for ch, _ in kept):
            break
    return kept


def _message(chunk: str) -> tuple[str, str]:
    """The channel and the text of one message, however torn its header is."""
    header = chunk.removeprefix("<|start|>") if chunk.startswith("<|start|>") else ""
    if OTHERS.match(header):
        return "other", ""
    head, mark, body = chunk.partition("<|message|>")
    if mark:
        named = CHANNEL.search(head)
        word = head.rpartition("<|channel|>")[2].lower()
        unnamed = "analysis" if "<|channel|>" in head else "plain"
        unnamed = "final" if ANSWER.search(word) else unnamed
        channel = named[0].lower() if named else unnamed
        said = body.replace("<|message|>", "").strip()
        return channel, said
    if chunk.startswith("<|channel|>"):
        # A header that lost its <|message|> runs straight into the text.
        rest = chunk.removeprefix("<|channel|>").lstrip("> \n")
        named = CHANNEL.match(rest)
        said = rest[named.end() :] if named else rest
        return named[0].lower() if named else "analysis", said.strip()
    return "loose", OWN_HEADER.sub("", chunk).strip()


def _plain(text: str, start: re.Match[str] | None) -> str:
    """Messages whose marks were decoded: only what `final` heads was said."""
    first, *rest = PLAIN_HEADER.split(text[start.end() :] if start else text)
    messages = list(zip(rest[::2], rest[1::2], strict=True))
    finals = [said for name, said in messages if name.lower() == "final"]
    thoughts = [first, *(said for name, said in messages if name.lower() != "final")]
    return _put(thoughts, next(filter(None, map(str.strip, finals[::-1])), ""))


def _put(thoughts: list[str], final: str) -> str:
    thought = "\n".join(filter(None, (each.strip() for each in thoughts)))
    if not final:  # thought that never came to an end
        return f"{THOUGHT}{thought}" if thought else ""
    return (f"{THOUGHT}{thought}{THOUGHT_END}" if thought else "") + final
