"""The order of choices: which original choice stands behind each letter that is shown.

An order is written as letters: in "cadbe" the shown a is the original c. Gold, stored
answers and decisions are original letters throughout; only the prompt and the reply to
it speak in shown ones.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from string import ascii_lowercase

from igaku.exam.questions import Question

AS_RELEASED = "as_released"
# A choice that is no more than a label: of a picture, of a line in a figure.
LABEL = re.compile(r"\W*[0-9A-Za-zア-オイロハニホ]\W*")
# Words that lean on the letters, or on which choices stand above.
LEANS = re.compile(
    r"選択肢|上記|以上の(?:すべて|全て|いずれ)"
    r"|(?<![a-z])[a-h]\s*(?:と|、|,|および|及び|and|or)\s*[a-h](?![a-z])"
    r"|(?:all|none|both|neither|any) of (?:the|these)|the above",
    re.IGNORECASE,
)


def order_of(question: Question, choice_order: str | int) -> str | None:
    """The order in which a seed shows a question's choices; None: as released.

    The letters are sorted by the sha256 of seed, number and letter. Left as released
    are questions without choices and those that lean on their letters.
    """
    if choice_order == AS_RELEASED or is_bound(question):
        return None
    lots = {letter: f"{choice_order} {question.problem_id} {letter}".encode()
            for letter in question.labels}  # fmt: skip
    return "".join(sorted(lots, key=lambda name: hashlib.sha256(lots[name]).digest()))


def is_bound(question: Question) -> bool:
    """Whether a question means its choices by their places.

    So it does where all of them are mere labels (① to ⑤, 0 to 4), where two or more
    begin with their own letter ("A is the atrium"), and where one names another by its
    letter or its place ("a and c", "all of the above").
    """
    texts = [
        unicodedata.normalize("NFKC", choice).strip() for choice in question.choices
    ]
    own = sum(
        text[:1].lower() == label and not text[1:2].isascii()
        for label, text in zip(question.labels, texts, strict=True)
    )
    is_label = all(map(LABEL.fullmatch, texts))
    return is_label or own > 1 or any(map(LEANS.search, texts))


def shown(question: Question, order: str | None) -> Question:
    """A question as it is shown: choices in that order, gold in the letters shown.

    A reply is read and graded by it, and its letters are put back by `released`.
    """
    if order is None:
        return question
    texts = dict(zip(question.labels, question.choices, strict=True))
    return replace(
        question,
        choices=tuple(texts[letter] for letter in order),
        answer=positions(question.answer, order),
        accepted=tuple(positions(way, order) for way in question.accepted),
        kinki=positions(question.kinki, order),
    )


def positions(letters: Iterable[str], order: str | None) -> tuple[str, ...]:
    """The letters behind which original choices were shown.

    >>> positions(("c", "e"), "cadbe")
    ('a', 'e')
    """
    names = dict(zip(order or "", ascii_lowercase, strict=False))
    return tuple(sorted(names.get(letter, letter) for letter in letters))


def released(
    letters: tuple[str, ...] | None, order: str | None
) -> tuple[str, ...] | None:
    """Letters that a reply names, as the exam released them.

    >>> released(("a", "e"), "cadbe"), released(("a",), None)
    (('c', 'e'), ('a',))
    """
    if order is None or letters is None:
        return letters
    names = dict(zip(ascii_lowercase, order, strict=False))
    return tuple(sorted(names.get(letter, letter) for letter in letters))
