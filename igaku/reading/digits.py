"""The digits a reply states for the boxes of a question without choices.

A question draws its boxes, ①.② for 2.1, and the gold is the digits in them. Strict
statements are boxes filled one by one, a text that is hardly more than a number, and
a number after a cue; loose is the number that a concluding line arrives at. What was
not rounded as asked keeps its digits, 2.05 is 205, and is wrong.
"""

from __future__ import annotations

import re

from igaku.exam.questions import Question
from igaku.reading.plain import plain_text

BOXES = "①②③④⑤⑥⑦⑧⑨"
SHIELD = {ord(box): 0xF101 + i for i, box in enumerate(BOXES)}
BOX = r"[\uf101-\uf109]"
LAYOUT = re.compile(rf"{BOX}+(?:\.({BOX}+))?")
FILLED = re.compile(rf"({BOX})\s*[:=は.]?\s*[「\"'(]?([0-9])(?!\.?[0-9])")
EMPTY = re.compile(rf"{BOX}[.\s]*(?={BOX})|{BOX}\s*[.:=は]?\s*")
NARROW = re.compile(r"(?<=[0-9])[\u202f\u2009\u2007\u00a0](?=[0-9]{3}(?![0-9]))")
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
LAST_RESULT = re.compile(rf"(?:[=≒≈]|[一-鿿)]は)\s?約?\s?{NUMBER.pattern}{UNIT}[。.]?$")
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


def read_digits(text: str, question: Question) -> tuple[tuple[str, ...] | None, bool]:
    """The digits a text states for the boxes, and whether it states them strictly."""
    plain = _number_text(text)
    boxes, decimals = _layout(question)
    if filled := _filled(plain, boxes):
        return (filled,), True
    plain = NUMBERED.sub("", EMPTY.sub(" ", plain)).strip()
    for reader in (_alone, _after_cue, _opened, _concluded, _arrived):
        if number := reader(plain):
            digits = _for_boxes(number, decimals)
            return (digits,), reader not in (_concluded, _arrived)
    return None, False


def _number_text(text: str) -> str:
    """The text with its boxes kept apart from its digits."""
    return plain_text(NARROW.sub("", text.translate(SHIELD)))


def _layout(question: Question) -> tuple[int | None, int | None]:
    """How many boxes the question draws, and how many of them are decimals."""
    layouts = list(LAYOUT.finditer(_number_text(question.text)))
    if not layouts:
        return None, None
    boxes = layouts[-1][0].replace(".", "")
    return len(boxes), len(layouts[-1][1] or "")


def _filled(plain: str, boxes: int | None) -> str | None:
    """The digits of boxes filled one by one, ①2②1, the last complete row of them."""
    row, rows, full = "", list[str](), max(boxes or 0, 2)
    for box, digit in FILLED.findall(plain):
        row = row + digit if ord(box) == 0xF101 + len(row) else ""
        if not row and ord(box) == 0xF101:
            row = digit
        if len(row) == full:
            rows.append(row)
    return rows[-1] if rows else None


def _alone(plain: str) -> str | None:
    """The only number of a short text that is hardly more than a number and a unit."""
    found = LONE_NUMBER.match(plain)
    if found and len(plain) <= 40 and set(NUMBER.findall(plain)) == {found[1]}:
        return found[1]
    return None


def _after_cue(plain: str) -> str | None:
    """The number after the last cue, and at the end of a sum when it shows one."""
    for cue in reversed(list(NUMBER_CUE.finditer(plain))[-40:]):
        said = plain[cue.end() : cue.end() + 200].lstrip(" :=は\n")
        if number := _result(said.split("\n")[0]):
            return number
    return None


def _opened(plain: str) -> str | None:
    """The number that a text opens with: its first line or sentence, with a unit."""
    found = OPENING_NUMBER.match(plain)
    return found[1] if found and not CALCULATED.search(plain) else None


def _arrived(plain: str) -> str | None:
    """The number a text ends with, after an equals sign or 「…は」."""
    found = LAST_RESULT.search(plain[-200:])
    if not found or ("\n" in plain and found.end(1) == len(plain[-200:])):
        return None  # a bare number below other lines may be a step, or half of one
    return found[1]


def _concluded(plain: str) -> str | None:
    """The number that the last concluding line arrives at."""
    for line in reversed(plain.split("\n")):
        if CONCLUSION.search(line) and NUMBER.search(line):
            return _result(line, last=True)
    return None


def _result(line: str, last: bool = False) -> str | None:
    """The number a line states: the first one, or the last of a calculation."""
    before, _, _ = line.partition("(")
    numbers: list[str] = NUMBER.findall(before) or NUMBER.findall(line)
    if not numbers:
        return None
    return numbers[-1 if last or re.search(r"[=≒≈→⇒]", before) else 0]


def _for_boxes(number: str, decimals: int | None) -> str:
    """The digits a number puts into the boxes: 2.1 and 2.10 are 21, .4 is 04."""
    whole, dot, fraction = number.replace(",", "").partition(".")
    while decimals is not None and len(fraction) > decimals and fraction[-1] == "0":
        fraction = fraction[:-1]
    return (whole or "0") + fraction if dot else whole


def digits_of(text: str) -> str:
    """The digits of a text, and nothing else of it."""
    return "".join(re.findall("[0-9]", text))
