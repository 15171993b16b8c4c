"""Turns: a text that no server has split, taken apart by what its marks look like."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from igaku.lazy import pattern
from igaku.reading.calls import name_of, without_calls
from igaku.reading.harmony import as_marks
from igaku.reading.marks import (
    ANSWER,
    CHANNEL_NAME,
    ROLE_WORD,
    SQUARE,
    THINKING,
    Mark,
    marks_of,
    role_of,
)
from igaku.reading.others import ANSWERED, own_lines
from igaku.reading.spelling import as_meant, as_thought

# A mark that the end of the text cuts in half.
TORN = pattern(
    r"(?:<(?:[|｜]/?[\w▁]*[|｜]?|/[\w:]*|[a-z]+_[a-z_]*|eo[a-z]?|end?)|◁/?\w*"
    r"|\[(?:/[A-Z_]*|[A-Z_]{2,})){1,8}\Z"
)
LAST_WORD = pattern(
    r"[^\w\s]{1,2}(?:end|eos|eot|stop|done|fin|finish)[^\w\s]{1,2}\s*\Z", re.IGNORECASE
)
FENCE = pattern(
    r"(?P<fence>`{3}|~{3})(?:(?P<call>tool|func)|think|thought|reason)\w*\n"
    r"(?P<inside>.*?)(?:(?P<end>(?P=fence))|\Z)",
    re.DOTALL,
)
# Behind an end: the model's own turn goes on with what it marks as the text itself.
CONTENT_NEXT = pattern(
    r"\s{0,3}<[|｜]\w{1,20}[|｜]>\s?(?:assistant|model)\s?"
    r"<[|｜](?:content|answer|final|response|text)[|｜]>"
)
# What a text has that holds a mark, a header, a label or a line of another.
NO_PLAIN_TEXT = pattern(
    r"[^\w\s,.、。・()（）「」]|[ĠĊ▁_]|assistant|analysis|commentary|\A\s*final|\n"
)
MOST_MARKS, LONGEST_MARK, ROUNDS = 8, 40, 8
LAST = 200  # characters in which a torn mark, or the end of an answer, may stand


@dataclass(frozen=True)
class Turn:
    """The model's own turn: what it said, what it thought, which marks stayed unknown.

    `is_closed` is False where the text ends inside thought; `tool` is what the text
    calls.
    """

    said: str
    thought: str = ""
    marks: tuple[str, ...] = ()
    is_closed: bool = True
    tool: str | None = None


@dataclass
class Told:
    """What has been heard of a turn so far, piece by piece."""

    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    thinking: list[Mark] = field(default_factory=list)  # the open marks of thought
    calling: list[Mark] = field(default_factory=list)  # those of calls
    header_end: int = 0
    has_spoken: bool = False
    has_thought: bool = False  # and came to its end
    has_ended: bool = False  # a turn, in the middle of thought
    is_over: bool = False
    is_others: bool = False

    def hear(self, text: str) -> None:
        """Take a piece of text for what it is at this place."""
        if not text:
            return
        if self.thinking:
            self.thought.append(text)
        elif self.calling:
            self.called.append(text)
        elif not (self.is_over or self.is_others):
            self.said.append(text)
            self.has_spoken = self.has_spoken or bool(text.strip())


def turn_of(text: str) -> Turn:
    """The final text and the thought of a text that a server did not split itself.

    >>> turn_of("<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    ...         "<|channel|>final<|message|>c<|return|>").said
    'c'
    >>> turn_of("[MUSE]b?[/MUSE] d<|fin|>")
    Turn(said='d', thought='b?', marks=(), is_closed=True, tool=None)
    """
    if not NO_PLAIN_TEXT.search(text):
        return Turn(text)
    turn = _split(text)
    for _ in range(ROUNDS):  # what is left may begin like a turn of its own
        again = _split(turn.said)
        if again.said == turn.said:
            break
        turn = replace(
            again,
            thought="\n".join(filter(None, (turn.thought, again.thought))),
            marks=tuple(dict.fromkeys(turn.marks + again.marks)),
            is_closed=turn.is_closed and again.is_closed,
            tool=turn.tool or again.tool,
        )
    return turn


def _split(text: str) -> Turn:
    """A text split once, as it is where nothing in it is a mark."""
    shown = as_marks(as_thought(FENCE.sub(_fenced, as_meant(text))))
    told, at = Told(), 0
    for mark in marks_of(shown):
        if mark.start < at:
            continue
        told.hear(shown[at : mark.start])
        at = _taken(told, mark, shown)
        if told.is_over:
            break
    else:
        rest = shown[at:]
        tail = LAST_WORD.sub("", TORN.sub("", rest[-LAST:]))
        told.hear(rest[:-LAST] + tail)
    said, tool = without_calls(own_lines("".join(told.said)))
    thought = "\n".join(filter(None, (piece.strip() for piece in told.thought)))
    marks = tuple(dict.fromkeys(told.marks))[:MOST_MARKS]
    said = said if said == text else said.strip()
    tool = name_of("".join(told.called)) if told.called else tool
    return Turn(said, thought, marks, not told.thinking, tool)


def _fenced(found: re.Match[str]) -> str:
    tag = "tool_call" if found["call"] else "think"
    return f"<{tag}>{found['inside']}" + f"</{tag}>" * bool(found["end"])


# --- one mark after the other ---------------------------------------------------------


def _taken(told: Told, mark: Mark, text: str) -> int:
    """Take one mark into account; where the text goes on."""
    raw, kind = text[mark.start : mark.end], mark.kind
    if kind == "pair":
        kind = "thought" if _precedes_an_answer(told, mark) else "unknown"
    if kind == "channel" or _is_next_number(told, mark):
        return _channel(told, mark, text)
    if kind == "thought":
        _think(told, mark)
    elif kind in ("role", "end"):
        return _edge(told, mark, text)
    elif kind == "heading" and _heads_an_answer(told, mark):
        told.thinking.clear()
    elif told.thinking:
        told.thought.append(raw)
    elif kind == "call":
        _call(told, mark, raw)
    elif kind == "answer":
        told.hear(_framed(mark, raw))
    elif kind == "unknown":
        _unknown(told, mark, text)
    else:
        told.hear(raw)
    return mark.end


def _think(told: Told, mark: Mark) -> None:
    """Thought begins or ends; an end without a beginning ends what came before."""
    if not mark.is_close:
        told.thinking.append(mark)
    elif told.thinking:
        told.thinking.pop()
        if mark.is_last:
            told.thinking = [each for each in told.thinking if each.core != mark.core]
        told.has_thought = True
        if told.said and told.said[-1].endswith(">") and not told.thinking:
            told.said.append("\n")  # two boxes with a thought between are not one
    elif mark.is_followed or not told.has_thought:
        told.thought += told.said
        told.said, told.has_spoken = [], False


def _call(told: Told, mark: Mark, raw: str) -> None:
    """A call of a tool begins or ends; one that never ends goes on to the end."""
    if not mark.is_close:
        told.calling.append(mark)
    opened = [each.core for each in told.calling]
    told.called.append(raw)
    if mark.is_close and mark.core in opened:
        del told.calling[opened.index(mark.core) :]


def _unknown(told: Told, mark: Mark, text: str) -> None:
    """A mark that nothing tells: no part of what is said where a turn begins, and its
    end where an answer stands against it.
    """
    if not text[told.header_end : mark.start].strip() and told.header_end:
        told.header_end = mark.end  # one more of the header's
        return
    raw = text[mark.start : mark.end]
    if mark.kind != "pair":
        told.marks.append(raw[:LONGEST_MARK])
    if not told.has_spoken:
        return
    before = "".join(told.said[-2:])[-LAST:]
    tail = before[before.rfind("\n") + 1 :]
    answered = ANSWERED.match(tail)
    if mark.kind == "unknown" and answered and answered.end() == len(tail):
        told.is_over = True
    else:
        told.hear(raw)


def _edge(told: Told, mark: Mark, text: str) -> int:
    """A turn begins or ends."""
    told.calling.clear()
    if mark.kind == "role":
        told.header_end = _header(told, mark, text)
        return told.header_end
    if told.thinking:
        told.has_ended = True
        told.is_over = not mark.is_followed and not text[mark.end : mark.end + 1]
    elif told.has_spoken and not told.is_others:
        if CONTENT_NEXT.match(text, mark.end):
            told.thought += told.said
            told.said, told.has_spoken = [], False
        else:
            told.is_over = True
    return mark.end


def _header(told: Told, mark: Mark, text: str) -> int:
    """A turn begins: another's, or the model's own again."""
    found = ROLE_WORD.match(text, mark.end)
    role, at = role_of(mark.name), mark.end
    if found:
        role, at = role or found.lastgroup, found.end()
    elif text[at : at + 1] in (":", "："):
        at += 1
    if "inst" in mark.name.split():
        role = "own" if mark.is_close else "other"
    if role is None and not mark.is_close:
        channel = _channel(told, mark, text)
        if channel > mark.end:
            return channel
    if told.has_spoken and not told.is_others and not told.thinking:
        told.is_over = True
    elif role is not None or not mark.is_close:
        told.is_others = role == "other" and not mark.is_close
        is_new = told.has_ended or (told.thinking and told.thinking[-1].kind == "role")
        if role == "other" or (role == "own" and is_new):
            told.thinking.clear()
    return at


def _channel(told: Told, mark: Mark, text: str) -> int:
    """`<|channel>thought … <channel|>`: the word behind it names the channel.

    So do `<unused94>thought … <unused95>`, where nothing but the number differs.
    """
    if mark.is_close or _is_next_number(told, mark):
        _think(told, replace(mark, is_close=True))
        return mark.end
    found = CHANNEL_NAME.match(text, mark.end)
    word = found[1].lower() if found else ""
    if found and ANSWER.search(word):
        if told.thinking and told.thinking[-1].core == mark.core:
            told.thinking.pop()
        told.header_end = found.end()
        return found.end()
    is_thought = bool(found and THINKING.search(word))
    if is_thought or mark.kind == "channel":
        told.thinking.append(mark)
    at = found.end() if found and is_thought else mark.end
    told.header_end = at
    return at


def _is_next_number(told: Told, mark: Mark) -> bool:
    """Whether a mark is the one of the next number to that which opened the thought."""
    if not told.thinking or mark.kind in ("thought", "end", "role"):
        return False
    opened = told.thinking[-1]
    return opened.core == mark.core and opened.name != mark.name != mark.core


def _precedes_an_answer(told: Told, mark: Mark) -> bool:
    """Whether an unknown pair stands before the answer."""
    if told.thinking:
        return mark.core == told.thinking[-1].core
    if mark.is_close:  # its beginning was the end of the prompt
        is_open = any(mark.name in each.lower() for each in told.marks)
        return not is_open and mark.is_followed
    return mark.precedes and not told.has_spoken


def _heads_an_answer(told: Told, mark: Mark) -> bool:
    """Whether `[final]` ends what `[analysis]` began, or begins the text."""
    if told.thinking:
        return told.thinking[-1].shape in SQUARE
    return not told.has_spoken and mark.shape == "square"


def _framed(mark: Mark, raw: str) -> str:
    """A mark around an answer as the readers of letters and digits know it."""
    if raw.startswith("<") and raw[1] not in "|｜<":
        return raw
    return "}\n" if mark.is_close else "\n\\boxed{"
