"""The answer: read out of a reply, named as an outcome, and graded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from igaku.exam.questions import Question
from igaku.lazy import pattern
from igaku.reading.digits import digits_of, read_digits
from igaku.reading.harmony import torn_header
from igaku.reading.letters import read_letters
from igaku.reading.loops import is_looping
from igaku.reading.plain import plain_of
from igaku.reading.readings import TOO_LONG, Answer, Reading
from igaku.reading.reply import Reply, understood
from igaku.reading.turns import turn_of
from igaku.server.parts import CALLED, DECLINED, LOOPED, Parts

BESIDE, AROUND = 16, 80  # characters in the line of a declared answer
SMALLEST_WINDOW, WINDOW_STEP = 2048, 1024  # tokens
# Kinds of a reply without an answer; where its text was clipped or is not on record,
# how it ended is not judged.
TOLD = ("progressing", "looping", "header", "unanswered")
KINDS = (*TOLD, "clipped", "unrecorded")
GOES_ON = pattern(r"\s*(?:[,、，と/・&]|及び?|and|or|または|か)\s*")
# What ends a sentence, or a bracket at the cut: all of the statement is said.
ENDED = pattern(r"[。．！？!?\n]|\.(?=\s|\Z)|[)）\]」』】}>*\"]\s*\Z")
SENTENCE_ENDED = pattern(r"[。．.!！?？)）\]」』】}*\"`|]\s*\Z")
UNCLOSED = pattern(r"[{(\[「『<][^{}()\[\]「」『』<>\n]{0,20}\Z")
# Words that take an answer up again anywhere; others do so where a line begins with
# them, and in the middle of an explanation only join its parts.
DOUBT = pattern(
    r"(?<![a-z])(?:wait|hmm|or maybe|let (?:me|us|'s) (?:re|double.)?(?:check|verify)"
    r"|let me (?:think|see)|correction|on second)(?![a-z])"
    r"|いや、|待って|ただし、?(?:正解|答え)|再考|再検討|迷う|訂正|不对|等等|잠깐"
    r"|(?:\A[\s。.!*]*|\n\s*)(?:but|however|actually|いや|しかし|だが|やはり|でも)",
    re.IGNORECASE,
)
# What declines to answer, mostly for want of an image or a case.
REFUSAL = pattern(
    r"申し訳|残念ながら|すみません|恐れ入ります"
    r"|(?:答|判断|診断|提供|選択|選ぶこと|特定|決定|表示|確認|参照|解決|提示|見ること)[^。\n]{0,20}"
    r"(?:でき(?:ません|ない|かね)|困難|しかね|不可能|難しい)"
    r"|(?:提示|表示|提供|添付|掲載|記載|明示|示)(?:さ?れて|して)?い?(?:ない|ません)"
    r"|(?:画像|写真|図|情報|像|背景|症状)[^。\n]{0,12}(?:ない(?:た|の)|ありません|不足|欠け|不明)"
    r"|[分わ]かりません"
    r"|sorry|apologi[sz]e|\bas an ai\b"
    r"|\bi (?:cannot|can't|am unable|do(?: not|n't) have)"
    r"|unable to|\bcannot (?:be )?(?:answer|determin|provid|view|see|access)"
    r"|not possible|impossible to|(?:is|are|was|were) not (?:provided|shown|given)"
    r"|\bno (?:image|picture|figure|photo)|enough (?:context|information)"
    r"|lacks? information|not specific enough|not (?:entirely )?clear"
)


@dataclass(frozen=True)
class Graded:
    """What became of one question: the outcome, the answer read, and its grade.

    `cause` says what a lost reply is lost to, one of `igaku.words.LOSSES`; `reading`
    where in the reply's `content` an answer was read, and by what rule.
    """

    outcome: str
    answer: Answer | None = None
    correct: bool = False
    cause: str | None = field(default=None, compare=False)
    reading: Reading | None = field(default=None, compare=False)


def extract_answer(text: str | None, question: Question) -> Answer | None:
    """The answer a text states: sorted lower-case letters, or one string of digits.

    None means that no answer was found. The number of letters is not judged here.

    >>> extract_answer("正解は「ｃ」と「ａ」です。", question)  # doctest: +SKIP
    ('a', 'c')
    """
    return reading_of(text, question).answer


def is_correct(answer: Answer | None, question: Question) -> bool:
    """Whether an answer is one of those the gold accepts.

    Neither the order nor the case of letters counts: ("C", "a") is ("a", "c"). Of a
    number only its digits count, not its dot.
    """
    if not answer:
        return False
    gold = question.accepted
    if question.kind == "numeric":
        return digits_of(answer[0]) in [digits_of(accepted[0]) for accepted in gold]
    return {letter.lower() for letter in answer} in map(set, gold)


def outcome_of(
    reply: Parts,
    question: Question,
    max_tokens: int | None = None,
    is_asked: bool = True,
    window: int | None = None,
) -> Graded:
    """The outcome of one reply, asked for with this budget.

    `is_asked` is false for the reply of a model that was not asked for; `window` is
    what prompt and reply may fill together, in tokens, where the server told it.

    A reply that was cut counts as answered only where it declares its answer on a line
    of its own, with as many letters as were asked for, and goes on without a doubt;
    what is said on the way is no answer. A reply that loops is never one.
    """
    if reply.error is not None:
        return Graded("api_error", cause="api")
    if not is_asked:
        return Graded("wrong_model")
    if not isinstance(reply, Reply):
        reply = understood(reply)
    if reply.finish_reason == DECLINED:
        return Graded("refused")
    if reply.finish_reason == CALLED:
        return Graded("empty", cause="tool")  # what is said before a call is no answer
    if reply.finish_reason == LOOPED or is_cut(reply, max_tokens, window):
        return _cut(reply, question, cut_by(reply, max_tokens, window))
    if not reply.content.strip():
        cause = "looping" if is_looping(reply.reasoning) else "output"
        return Graded("empty", cause=cause if reply.tool is None else "tool")
    reading = reading_of(reply.content, question)
    if reading.answer is None:
        if reading.rule != TOO_LONG and REFUSAL.search(plain_of(reply.content).text):
            return Graded("refused")
        is_stuck = reading.rule == TOO_LONG or is_looping(reply.content)
        return Graded("unparsable", cause="looping" if is_stuck else "output")
    if question.kind == "choice" and not _fits(reading.answer, question):
        return Graded("wrong_cardinality", reading.answer, reading=reading)
    return _graded(reading, question)


def _cut(reply: Reply, question: Question, cause: str) -> Graded:
    """The outcome of a reply that something ended before its own end."""
    is_stuck = reply.finish_reason == LOOPED or is_looping(reply.content)
    if not is_stuck:
        reading = reading_of(reply.content, question)
        is_whole = _fits(reading.answer, question) and not _is_open(reading, reply)
        if is_whole and _is_declared(reading, reply.content):
            return _graded(reading, question)
        thought = "" if reply.content.strip() else reply.reasoning
        is_stuck = reading.rule == TOO_LONG or is_looping(thought)
    return Graded("truncated", cause="looping" if is_stuck else cause)


def _graded(reading: Reading, question: Question) -> Graded:
    right = is_correct(reading.answer, question)
    return Graded("answered", reading.answer, right, reading=reading)


def _is_declared(reading: Reading, content: str) -> bool:
    """Whether a cut reply had stated its answer for good before it was cut.

    The statement stands on a line of its own, nothing that would go on with the list
    is its end, and no doubt follows.
    """
    if not reading.is_strict or reading.span is None:
        return False
    start, end = reading.span
    before, after = content[:start].rpartition("\n")[2], content[end:]
    beside = len(before) + len(after.partition("\n")[0])
    is_alone = len(before.strip()) <= BESIDE and beside <= AROUND
    is_open = GOES_ON.fullmatch(after) or UNCLOSED.search(content)
    stated = content[start:end].lower()
    told = max(stated.rfind(each[-1].lower()) for each in reading.answer or ("?",))
    tail = content[start + told + 1 if told >= 0 else end :].lstrip(" \t")
    is_ended = not tail.strip() or ENDED.search(tail)
    return is_alone and bool(is_ended) and not is_open and not DOUBT.search(after)


def _is_open(reading: Reading, reply: Reply) -> bool:
    """Whether the cut fell on a single letter, which may be the first of a word."""
    if reading.span is None or len("".join(reading.answer or ())) != 1:
        return False
    end = reading.span[1]
    statement, after = reply.content[:end], reply.content[end:]
    # A server that counts one token less may have seen the end of the reply.
    is_sure = reply.finish_reason == "length"
    return is_sure and statement[-1:].isalpha() and not after.strip(" \t\u3000")


def is_cut(reply: Parts, max_tokens: int | None, window: int | None = None) -> bool:
    """Whether the token budget ended a reply, or the window, whatever its server says.

    Some servers count one token less, and some call a full window a stop: what was
    being said then is unfinished.
    """
    used = reply.completion_tokens
    if reply.finish_reason == "length":
        return True
    if used is None or (max_tokens is None and window is None):
        return False
    if max_tokens is not None and used >= max_tokens - 1:
        return True
    return is_full(reply, window) and not SENTENCE_ENDED.search(reply.content)


def is_full(reply: Parts, window: int | None = None) -> bool:
    """Whether prompt and reply together fill the window.

    Where it is not known, a sum that is a window's usual size is taken for one: a
    multiple of 1024, which one reply in a thousand meets by chance.
    """
    if not reply.prompt_tokens or reply.completion_tokens is None:
        return False
    filled = reply.prompt_tokens + reply.completion_tokens
    if window is not None:
        return filled >= window - 1
    return filled >= SMALLEST_WINDOW and filled % WINDOW_STEP == 0


def cut_by(reply: Parts, max_tokens: int | None, window: int | None = None) -> str:
    """What cut a reply: the token "budget", or the server's "window".

    Prompt and reply together reach the window where it is known. Where it is not, a
    reply that was cut well before the budget can only have met the window.
    """
    if reply.completion_tokens is None:
        return "budget"
    is_early = max_tokens is not None and reply.completion_tokens < max_tokens - 1
    is_met = window is not None and is_full(reply, window)
    return "window" if is_met or is_early else "budget"


def _fits(answer: Answer | None, question: Question) -> bool:
    """Whether an answer has as many letters, or digits, as the question asks for."""
    if answer is None:
        return False
    if question.kind == "numeric":
        sizes = {len(digits_of(gold[0])) for gold in question.accepted}
        return len(answer[0]) in sizes
    return len(answer) in map(len, question.accepted)


def reading_of(
    text: str | None, question: Question, permissive: bool = False
) -> Reading:
    """The reading of a text, with its place in the model's own turn.

    A permissive reader also takes what a strict one leaves to a human.
    """
    said = turn_of(text or "").said
    read = read_digits if question.kind == "numeric" else read_letters
    return read(said, question, permissive)


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
