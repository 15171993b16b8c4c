"""The answer: read out of a reply, named as an outcome, and graded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from igaku.exam.questions import Question
from igaku.reading.digits import digits_of, read_digits
from igaku.reading.letters import read_letters
from igaku.reading.plain import plain_text
from igaku.reading.readings import Answer, Reading
from igaku.reading.reply import Reply, understood
from igaku.reading.turns import turn_of
from igaku.server.parts import Parts

REFUSAL = re.compile(
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

    `reading` says where in the reply's `content` the answer was read, and by what rule.
    """

    outcome: str
    answer: Answer | None = None
    correct: bool = False
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
    gold = question.accepted or (question.answer,)
    if question.kind == "numeric":
        return digits_of(answer[0]) in [digits_of(accepted[0]) for accepted in gold]
    letters = {letter.lower() for letter in answer}
    return tuple(sorted(letters)) in [tuple(sorted(a)) for a in gold]


def outcome_of(
    reply: Parts,
    question: Question,
    max_tokens: int | None = None,
    is_asked: bool = True,
) -> Graded:
    """The outcome of one reply, asked for with this budget.

    `is_asked` is false for the reply of a model that was not asked for.

    A reply that the budget cut counts as answered only when it holds a strict
    statement with as many letters as were asked for: half a list is no answer.
    """
    if reply.error is not None:
        return Graded("api_error")
    if not is_asked:
        return Graded("wrong_model")
    if not isinstance(reply, Reply):
        reply = understood(reply)
    cut = is_cut(reply, max_tokens)
    if not reply.content.strip():
        return Graded("truncated" if cut else "empty")
    reading = reading_of(reply.content, question)
    answer = reading.answer
    if cut and not (reading.is_strict and _fits(answer, question)):
        return Graded("truncated")
    if answer is None:
        return Graded("refused" if is_refusal(reply.content) else "unparsable")
    if question.kind == "choice" and not _fits(answer, question):
        return Graded("wrong_cardinality", answer, reading=reading)
    return Graded("answered", answer, is_correct(answer, question), reading)


def is_cut(reply: Parts, max_tokens: int | None) -> bool:
    """Whether the token budget ended the reply; some servers count one token less."""
    if reply.finish_reason == "length":
        return True
    if max_tokens is None or reply.completion_tokens is None:
        return False
    return reply.completion_tokens >= max_tokens - 1


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer, mostly for want of an image or a case."""
    return bool(REFUSAL.search(plain_text(text)))


def _fits(answer: Answer | None, question: Question) -> bool:
    """Whether an answer has as many letters, or digits, as the question asks for."""
    if answer is None:
        return False
    gold = question.accepted or (question.answer,)
    if question.kind == "numeric":
        return len(answer[0]) in {len(digits_of(accepted[0])) for accepted in gold}
    return len(answer) in {len(accepted) for accepted in gold}


def reading_of(
    text: str | None, question: Question, permissive: bool = False
) -> Reading:
    """The reading of a text, with its place in the model's own turn.

    A permissive reader also takes what a strict one leaves to a human.
    """
    said = turn_of(text or "").said
    if question.kind == "numeric":
        answer, strict = read_digits(said, question)
        return Reading(answer, is_strict=strict)
    return read_letters(said, question, permissive)
