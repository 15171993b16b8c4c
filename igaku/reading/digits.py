"""The digits a reply states for the boxes of a question without choices.

A question draws its boxes, ①.② for 2.1, and the gold is the digits in them. Strict
statements are boxes filled one by one, a text that is hardly more than a number, and
a number after a cue; loose is the number that a concluding line arrives at. What was
not rounded as asked keeps its digits, 2.05 is 205, and is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from igaku.exam.questions import Question
from igaku.reading.plain import DECLARED, DECLARED_END, OUTER_BLANKS, Plain, plain_of
from igaku.reading.readings import LIMIT, TOO_LONG, Reading

BOXES = "①②③④⑤⑥⑦⑧⑨"
SHIELD = {ord(box): 0xF101 + i for i, box in enumerate(BOXES)}
BOX = r"[\uf101-\uf109]"
LAYOUT = re.compile(rf"{BOX}+(?:\.({BOX}+))?")
FILLED = re.compile(
    rf"({BOX})[\"'」)]?\s*(?:[:=は.が→⇒]|->)?\s*[「\"'(]?([0-9])(?!\.?[0-9])"
)
EMPTY = re.compile(rf"{BOX}[.\s]*(?={BOX})|{BOX}\s*[.:=は]?\s*")
# A narrow blank between thousands keeps its place, as a sign that goes at once.
NARROW = re.compile(r"(?<=[0-9])[\u202f\u2009\u2007\u00a0](?=[0-9]{3}(?![0-9]))")
GROUPED = re.compile("\uf1ff")
DECLARES, DECLARES_NO_MORE = re.compile(DECLARED), re.compile(DECLARED_END)
# 「300ではなく325」 states 325 alone, and so it does after a cue; a range states none.
TAKEN_BACK = re.compile(
    r"[0-9][0-9.,]{0,12}\s?[a-z%/]{0,6}\s?(?:では|じゃ|でも)なくて?[、,\s]{0,3}(?=約?\s?[0-9])"
    r"|(?<![a-z])not [0-9][0-9.,]{0,12},? but (?=[0-9])"
)
RANGE = re.compile(
    r"[0-9][0-9.,]{0,12}\s?(?:[〜~～]|から|(?<![a-z])to(?![a-z]))\s?[0-9][0-9.,]{0,12}"
)
NUMBER = re.compile(
    r"(?<![a-z0-9_.\-−第])(?<![0-9],)([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+)"
    r"(?!\.?[0-9]|,[0-9])"
)
LONE_NUMBER = re.compile(
    rf"(?:[^0-9\n]{{0,16}}[:=は])?\W*(?:約|およそ)?\s*{NUMBER.pattern}"
)
UNIT = (
    r"\s?(?:[a-zμ%°/·²³]|日|時間|分|秒|回|人|歳|年|月|週|点|倍|単位|個){0,20}+"
    r"(?:\s?(?:です|である|だ|(?:と|に)(?:なります|なる)))?"
)
OPENING_NUMBER = re.compile(
    rf"\W{{0,8}}約?\s?{NUMBER.pattern}{UNIT}"
    r"(?:(?<=[すだるl])[。.]|\s?(?:\([^()\n]{0,80}\))?[。.]?[^\S\n]*(?:\n|$))"
)
LAST_RESULT = re.compile(
    rf"(?:[=≒≈]|[一-鿿)]は)\s?約?\s?{NUMBER.pattern}{UNIT}(?:\s?\([^()\n]{{0,20}}\))?[。.]?$"
)
CALCULATED = re.compile(r"\n\s*[×*÷/+=≒≈]")
NUMBER_CUE = re.compile(
    r"(?:解答|回答|答え|答案?|正解|正答|結論|(?<![a-z])answer)(?:\([^()\n]{0,30}\))?"
    r"\s*(?:[:=→⇒】」』)は\n]|が|is\b|(?=約?\s?[0-9.]))"
)
CONCLUSION = re.compile(
    r"よって|したがって|従って|ゆえに|以上より|四捨五入|約|[≒≈]"
    r"|(?<![a-z])(?:therefore|thus|hence|round(?:ed|ing)|approximately)(?![a-z])"
)
NUMBERED = re.compile(r"^[ \t]*[0-9]{1,2}[.)][ \t]+(?=\S)", re.M)


@dataclass(frozen=True)
class Number:
    """A number in a plain text, and where it stands there."""

    said: str
    start: int
    end: int


def read_digits(text: str, question: Question, permissive: bool = False) -> Reading:
    """The digits a text states for the boxes, and where it states them.

    A permissive reader also takes the last number of all.

    >>> read_digits("解答: 2.1", question)  # doctest: +SKIP
    Reading(answer=('21',), rule='number_cue', span=(4, 7), is_strict=True)
    """
    if len(text) > LIMIT:
        return Reading(rule=TOO_LONG)
    plain = _number_text(text)
    boxes, decimals = _layout(question)
    if filled := _filled(plain.text, boxes):
        span = plain.span(filled.start, filled.end)
        return Reading((filled.said,), "boxes", span, is_strict=True)
    plain = plain.replaced(TAKEN_BACK, "").replaced(RANGE, "※")
    plain = plain.replaced(EMPTY, " ").replaced(NUMBERED, "").replaced(OUTER_BLANKS, "")
    readers = READERS + (("last_number", _last),) * permissive
    found = [(rule, one) for rule, reader in readers if (one := reader(plain.text))]
    if not found:
        return Reading()
    rule, number = found[0]
    answers = [(_for_boxes(one.said, decimals),) for _, one in found]
    second = next((answer for answer in answers if answer != answers[0]), None)
    span = plain.span(number.start, number.end)
    return Reading(answers[0], rule, span, second, is_strict=rule in STRICT)


def _number_text(text: str) -> Plain:
    """The text with its boxes kept apart from its digits."""
    kept = NARROW.sub("\uf1ff", text.translate(SHIELD))
    plain = plain_of(kept).replaced(GROUPED, "")
    return plain.replaced(DECLARES, "\n答え: ").replaced(DECLARES_NO_MORE, "\n")


def _layout(question: Question) -> tuple[int | None, int | None]:
    """How many boxes the question draws, and how many of them are decimals."""
    layouts = list(LAYOUT.finditer(_number_text(question.text).text))
    if not layouts:
        return None, None
    boxes = layouts[-1][0].replace(".", "")
    return len(boxes), len(layouts[-1][1] or "")


def _filled(plain: str, boxes: int | None) -> Number | None:
    """The digits of boxes filled one by one, ①2②1, the last complete row of them."""
    row, start, last, full = "", 0, None, max(boxes or 0, 2)
    for found in FILLED.finditer(plain):
        box, digit = found.groups()
        row = row + digit if ord(box) == 0xF101 + len(row) else ""
        if not row and ord(box) == 0xF101:
            row = digit
        start = found.start() if len(row) == 1 else start
        if len(row) == full:
            last = Number(row, start, found.end())
    return last


def _alone(plain: str) -> Number | None:
    """The only number of a short text that is hardly more than a number and a unit."""
    found = LONE_NUMBER.match(plain)
    if found and len(plain) <= 40 and set(NUMBER.findall(plain)) == {found[1]}:
        return Number(found[1], *found.span(1))
    return None


def _after_cue(plain: str) -> Number | None:
    """The number after the last cue, and at the end of a sum when it shows one."""
    for cue in reversed(list(NUMBER_CUE.finditer(plain))[-40:]):
        said = plain[cue.end() : cue.end() + 200]
        start = cue.end() + len(said) - len(said.lstrip(" :=は\n"))
        line = plain[start : cue.end() + 200].split("\n")[0]
        if number := _result(line, start):
            return number
    return None


def _opened(plain: str) -> Number | None:
    """The number that a text opens with: its first line or sentence, with a unit."""
    found = OPENING_NUMBER.match(plain)
    if not found or CALCULATED.search(plain):
        return None
    return Number(found[1], *found.span(1))


def _arrived(plain: str) -> Number | None:
    """The number a text ends with, after an equals sign or 「…は」."""
    at = max(0, len(plain) - 200)
    found = LAST_RESULT.search(plain, at)
    if not found or ("\n" in plain and found.end(1) == len(plain)):
        return None  # a bare number below other lines may be a step, or half of one
    return Number(found[1], *found.span(1))


def _concluded(plain: str) -> Number | None:
    """The number that the last concluding line arrives at."""
    end = len(plain)
    for line in reversed(plain.split("\n")):
        start = end - len(line)
        if CONCLUSION.search(line) and NUMBER.search(line):
            return _result(line, start, last=True)
        end = start - 1
    return None


def _last(plain: str) -> Number | None:
    """The last number of all."""
    found = list(NUMBER.finditer(plain))[-1:]
    return Number(found[0][1], *found[0].span(1)) if found else None


def _result(line: str, at: int, last: bool = False) -> Number | None:
    """The number a line states: the first one, or the last of a calculation."""
    before, _, _ = line.partition("(")
    numbers = list(NUMBER.finditer(before) or ()) or list(NUMBER.finditer(line))
    if not numbers:
        return None
    found = numbers[-1 if last or re.search(r"[=≒≈→⇒]", before) else 0]
    return Number(found[1], at + found.start(1), at + found.end(1))


READERS: tuple[tuple[str, Callable[[str], Number | None]], ...] = (
    ("number_alone", _alone),
    ("number_cue", _after_cue),
    ("number_first", _opened),
    ("number_concluded", _concluded),
    ("number_last", _arrived),
)
STRICT = ("number_alone", "number_cue", "number_first")


def _for_boxes(number: str, decimals: int | None) -> str:
    """The digits a number puts into the boxes: 2.1 and 2.10 are 21, .4 is 04."""
    whole, dot, fraction = number.replace(",", "").partition(".")
    while decimals is not None and len(fraction) > decimals and fraction[-1] == "0":
        fraction = fraction[:-1]
    return (whole or "0") + fraction if dot else whole


def digits_of(text: str) -> str:
    """The digits of a text, and nothing else of it."""
    return "".join(re.findall("[0-9]", text))
