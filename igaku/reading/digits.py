"""The digits a reply states for the boxes of a question without choices.

A question draws its boxes, ①.② for 2.1, and the gold is the digits in them. Strict
statements are boxes filled one by one, a text that is hardly more than a number, and
a number after a cue, in a box or in JSON; loose is the number that a concluding line
arrives at. Of all statements the one with most force is read, and of equal ones the
last. What was not rounded as asked keeps its digits, 2.05 is 205, and is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from igaku.exam.questions import Question
from igaku.lazy import pattern
from igaku.reading.plain import DECLARED, DECLARED_END, OUTER_BLANKS, Plain, plain_of
from igaku.reading.quantities import (
    BETWEEN_THOUSANDS,
    BOX,
    BOXES,
    CALCULATED,
    CONCLUDING,
    CORRECTED,
    CUED,
    DECLINED,
    DENIED_NUMBER,
    EQUALS,
    FIRST_BOX,
    HESITATION,
    JSON_ARRAY,
    JSON_KEY,
    JSON_VALUE,
    LAST_RESULT,
    LED_NUMBER,
    LINE_OF_NUMBER,
    LINKS,
    LONE_NUMBER,
    NUMBERED,
    NUMBERS,
    OPEN_ENDED,
    OPENING_NUMBER,
    OTHER_BOXES,
    PER_DAY,
    PERIOD,
    SENTENCE_END,
    SPELLED,
    STRUCK,
    TAKEN_BACK,
    TAKES_BACK,
    TOLD,
)
from igaku.reading.readings import LIMIT, TOO_LONG, Reading
from igaku.reading.statements import Force
from igaku.reading.sums import Layout, Number, stated
from igaku.reading.wording import CONCLUDING as FINALLY
from igaku.reading.wording import CONCLUSIONS, DENIED

SHIELD = {ord(box): FIRST_BOX + i for i, box in enumerate(BOXES)}
SHIELD |= {first + i: FIRST_BOX + i for first in OTHER_BOXES for i in range(9)}
LAYOUT = pattern(rf"{BOX}+(?:\.({BOX}+))?")
OPENS, CLOSES = rf"[\s「『\"'(（\[【<{{|{DECLARED}]", r"[\s\"'」』)\]】>}|]"
FILLED = pattern(
    rf"({BOX}){CLOSES}{{0,4}}(?:[:=は.が→⇒に…-]|->|には|is|에는?|(?:に入る|の)?(?:数字"
    rf"|数値|値)は)?{OPENS}{{0,4}}([0-9])(?!\.?[0-9]|,[0-9]{{3}}| ?[×*÷/+] ?[0-9.])"
)
# 「① 8 時間尿」 numbers a step.
GLUED = pattern(r"(?<=[0-9]) ?(?!and\b|box)[a-z一-鿿ァ-ヺ]")
LISTED = pattern(
    rf"(?P<boxes>{BOX}(?:[\s.,、"
    rf"|・と]{{0,5}}{BOX}){{1,8}})[^0-9a-z一-鿿\uf101-\uf109]{{0,40}}"
    r"(?<![0-9.,])(?P<digits>[0-9](?:[\s,、|・と]{1,5}[0-9]){1,8})(?![.,]?[0-9])"
)
# A number in kanji, alone or behind a cue, where a text has no digits.
ONES, TENS = "〇一二三四五六七八九", {"十": 10, "百": 100, "千": 1000}
HAS_DIGITS = pattern(r"[0-9０-９]")
KANJI = pattern(
    r"(?:(?<=[:：はが\s])"
    r"|\A)[〇一二三四五六七八九十百千]{1,6}(?:[点・][〇一二三四五六七八九]{1,2})?"
    r"(?=[。\s]|です|である|[a-zA-Z]|\Z)"
)
BOXED_ROW = pattern(
    rf"(?:{DECLARED}\s?[0-9]\s?{DECLARED_END}[\s.,、]{{0,3}}){{2,9}}"
    r"|(?:[\[(][0-9][\])]\s?){2,9}"
)
JSON_ROW = pattern(r"\{(?:\s?[\"'][1-9][\"']\s?:\s?[\"']?[0-9][\"']?\s?,?){2,9}\s?\}")
JSON_STRING = pattern(r"\[?\s?[\"']?(?P<value>[^\"'\n}\]]{1,120})")
EMPTY = pattern(rf"{BOX}[.\s]*(?={BOX})|{BOX}\s*[.:=は]?\s*")
# Blanks and commas between thousands keep their place, as signs that go at once.
NARROW = pattern(
    r"(?<=[0-9])(?:[\u202f\u2009\u2007\u00a0']|\{,\}|\\,)(?=[0-9]{3}(?![0-9]))"
)
GROUPED = pattern(BETWEEN_THOUSANDS)
WINDOW = 200  # characters in which what a cue leads to begins and ends
CUES = 40  # of the last ones a text has


def read_digits(text: str, question: Question, permissive: bool = False) -> Reading:
    """The digits a text states for the boxes, and where it states them.

    A permissive reader also takes the last number of all, if it can one that fits.

    >>> read_digits("解答: 2.1", question)  # doctest: +SKIP
    Reading(answer=('21',), rule='number_cue', span=(4, 7), is_strict=True)
    """
    if len(text) > LIMIT:
        return Reading(rule=TOO_LONG)
    layout = _layout(question)
    boxed = _number_text(text)
    if TAKES_BACK.search(boxed.text):
        boxed = boxed.replaced(TAKEN_BACK, "")
    rows = [
        number
        for reader in (_rows, _listed, _in_a_row)
        for number in reader(boxed.text, layout)
    ]
    plain = _numbers_alone(boxed, rows)
    found = [(row, boxed.span(row.start, row.end)) for row in rows]
    for one in _statements(plain.text, layout):
        found.append((one, plain.span(one.start, one.end)))
    standing = _standing(found, plain)
    if not standing and permissive and (number := _last(plain.text, layout)):
        standing = [(number, plain.span(number.start, number.end))]
    return _reading(standing, layout)


def _number_text(text: str) -> Plain:
    """The text with its boxes kept apart from its digits."""

    def grouped(found: re.Match[str]) -> str:
        return BETWEEN_THOUSANDS * len(found[0])

    kept = NARROW.sub(grouped, text.translate(SHIELD))
    if not HAS_DIGITS.search(kept):
        kept = KANJI.sub(lambda found: _counted(found[0]), kept)
    return plain_of(kept).replaced(GROUPED, "")


def _counted(kanji: str) -> str:
    """A number in kanji as digits of the same width: 二十六, 三二五, 二点一."""
    whole, dot, fraction = kanji.replace("・", "点").partition("点")
    number, digit = 0, 0
    for sign in whole:
        if sign in TENS:
            number, digit = number + max(digit, 1) * TENS[sign], 0
        else:
            digit = digit * 10 + ONES.index(sign)
    said = f"{number + digit}" + dot.replace("点", ".")
    said += "".join(str(ONES.index(sign)) for sign in fraction)
    return said.rjust(len(kanji))


def _layout(question: Question) -> Layout:
    layouts = list(LAYOUT.finditer(_number_text(question.text).text))
    if not layouts:
        return Layout()
    boxes = layouts[-1][0].replace(".", "")
    return Layout(len(boxes), len(layouts[-1][1] or ""))


def _numbers_alone(boxed: Plain, rows: list[Number]) -> Plain:
    """The text without filled boxes, empty ones, ranges, and numbers of its lines."""
    plain = _struck(boxed, [(row.start, row.end) for row in rows])
    for each, by in (
        (PER_DAY, "/日"),
        (PERIOD, STRUCK),
        (EMPTY, " "),
        (DENIED_NUMBER, STRUCK),
        (OPEN_ENDED, STRUCK),
        (NUMBERED, ""),
        (OUTER_BLANKS, ""),
    ):
        plain = plain.replaced(each, by)
    led = LED_NUMBER.finditer(plain.text)
    return _struck(plain, [found.span() for found in led if _is_denied(found)])


def _struck(plain: Plain, places: list[tuple[int, int]]) -> Plain:
    text = list(plain.text)
    for start, end in places:
        text[start:end] = STRUCK * (end - start)
    return replace(plain, text="".join(text))


# --- boxes ----------------------------------------------------------------------------


def _rows(plain: str, layout: Layout) -> Iterator[Number]:
    """The digits of boxes filled one by one, ①2②1, in whatever order."""
    row, start, end, full = dict[int, str](), 0, 0, max(layout.boxes or 0, 2)
    for found in FILLED.finditer(plain):
        place = ord(found[1]) - FIRST_BOX
        if place >= full or place in row or GLUED.match(plain, end):
            row = {}
        if place >= full:
            continue
        start = start if row else found.start()
        row[place], end = found[2], found.end()
        if len(row) == full:
            said = "".join(row[each] for each in range(full))
            yield Number(said, start, end, "boxes", Force.CUE, True)
            row = {}


def _in_a_row(plain: str, layout: Layout) -> Iterator[Number]:
    """One digit each: in boxes of LaTeX side by side, or in numbered JSON."""
    for row, digit, rule in (
        (BOXED_ROW, "[0-9]", "declared"),
        (JSON_ROW, r"(?<=:)\s?[\"']?[0-9]", "json"),
    ):
        for found in row.finditer(plain):
            said = digits_of("".join(re.findall(digit, found[0])))
            if len(said) == layout.boxes:
                yield Number(said, *found.span(), rule, Force.CONCLUSION, True)


def _listed(plain: str, layout: Layout) -> Iterator[Number]:
    """The digits of boxes named first and filled then: ①, ② = 2, 1."""
    for found in LISTED.finditer(plain):
        said = digits_of(found["digits"])
        if len(re.findall(BOX, found["boxes"])) == len(said) == layout.boxes:
            yield Number(said, *found.span(), "boxes", Force.CUE, True)


# --- statements -----------------------------------------------------------------------


def _statements(plain: str, layout: Layout) -> Iterator[Number]:
    for reader in (_cued, _in_json, _corrected):
        yield from reader(plain, layout)
    for rule, force, is_strict, one_of in (
        ("number_alone", Force.BARE, True, _alone),
        ("number_first", Force.OPENING, True, _opened),
        ("number_line", Force.POINTED, False, _closed),
        ("number_last", Force.LOOSE, False, partial(_arrived, layout=layout)),
    ):
        if number := one_of(plain):
            yield replace(number, rule=rule, force=force, is_strict=is_strict)
    if number := _concluded(plain, layout):
        yield replace(number, rule="number_concluded", force=Force.POINTED)
    for found in TOLD.finditer(plain):
        if layout.fits(found[1]):
            rule, place = "number_concluded", found.span(1)
            yield Number(found[1], *place, rule, Force.POINTED)
    if "\n" not in plain and (number := _spelled(plain, 0, layout)):
        yield replace(number, rule="number_alone", force=Force.BARE, is_strict=True)


def _cued(plain: str, layout: Layout) -> Iterator[Number]:
    """The numbers that cues lead to, also at the end of a sum."""
    for found in list(CUED.finditer(plain))[-CUES:]:
        start, end = found.span()
        is_adjacent = plain[end : end + 1] in set("0123456789.") and end < len(plain)
        if _is_denied(found) or not (is_adjacent or LINKS.search(found[0])):
            continue
        number = _led_to(plain, end, layout)
        if number is None:
            continue
        if number.start > end and not layout.fits(number.said):
            yield replace(number, rule="number_cue", force=Force.POINTED)
            continue
        is_final = found["cue"] in CONCLUSIONS or FINALLY.search(
            plain, max(0, start - 12), start
        )
        force = Force.CONCLUSION if is_final else Force.CUE
        rule = "declared" if found["cue"] == DECLARED else "number_cue"
        yield replace(number, rule=rule, force=force, is_strict=True)


def _is_denied(cue: re.Match[str]) -> bool:
    """Whether a cue stands in its own negation: 不正解, "wrong answer"."""
    start = cue.start()
    return DENIED.search(cue.string, max(0, start - 40), start) is not None


def _led_to(plain: str, at: int, layout: Layout) -> Number | None:
    """The number stated at a place, or where the sum begun there arrives below."""
    if spelled := _spelled(plain, at, layout):
        return spelled
    lines = _window(plain, at).split("\n\n")[0].split("\n")
    number = stated(lines[0], at, layout)
    if number is None or number.start == at:
        return number
    for line in lines[1:]:
        at += len(lines[0]) + 1
        lines = [line]
        if EQUALS.search(line) or CONCLUDING.search(line):
            number = stated(line, at, layout, last=True) or number
    return number


def _spelled(plain: str, at: int, layout: Layout) -> Number | None:
    """One digit for each box, from a place to the end of its line."""
    found = SPELLED.match(plain, at)
    said = digits_of(found["digits"]) if found else ""
    is_row = found is not None and len(said) == layout.boxes
    return Number(said, *found.span("digits")) if found and is_row else None


def _window(plain: str, at: int) -> str:
    """The text from a place on, as far as one statement goes, no number cut."""
    end = min(at + WINDOW, len(plain))
    while end > at and plain[end - 1] in "0123456789.,":
        end -= 1
    return plain[at : at + WINDOW] if at + WINDOW >= len(plain) else plain[at:end]


def _in_json(plain: str, layout: Layout) -> Iterator[Number]:
    """The values of keys that say answer, or merely value."""
    keys = [(found.end(), Force.CONCLUSION) for found in JSON_KEY.finditer(plain)]
    keys += [(found.end(), Force.CUE) for found in JSON_VALUE.finditer(plain)]
    for at, force in keys[-CUES:]:
        array = JSON_ARRAY.match(plain, at)
        if array and len(digits_of(array[0])) == layout.boxes:
            yield Number(digits_of(array[0]), *array.span(), "json", force, True)
            continue
        value = JSON_STRING.match(plain, at)
        if value and (number := stated(value["value"], value.start("value"), layout)):
            yield replace(number, rule="json", force=force, is_strict=True)


def _corrected(plain: str, layout: Layout) -> Iterator[Number]:
    """The number a reply says it should have said, if it is no part of a new sum."""
    for found in list(HESITATION.finditer(plain))[-CUES:]:
        if gap := CORRECTED.match(plain, found.end()):
            number = stated(_window(plain, gap.end()), gap.end(), layout)
            if number and number.start == gap.end():
                yield replace(
                    number, rule="correction", force=Force.CUE, is_strict=True
                )


def _alone(plain: str) -> Number | None:
    """The only number of a short text that is hardly more than a number and a unit."""
    found = LONE_NUMBER.match(plain)
    if found and len(plain) <= 40 and set(NUMBERS.findall(plain)) == {found[1]}:
        return Number(found[1], *found.span(1))
    return None


def _opened(plain: str) -> Number | None:
    """The number that a text opens with: its first line or sentence, with a unit."""
    found = OPENING_NUMBER.match(plain)
    if not found or CALCULATED.search(plain):
        return None
    return Number(found[1], *found.span(1))


def _closed(plain: str) -> Number | None:
    """The number that is all of a text's last line."""
    start = plain.rfind("\n") + 1
    found = LINE_OF_NUMBER.fullmatch(plain, start) if start else None
    return Number(found[1], *found.span(1)) if found else None


def _arrived(plain: str, layout: Layout) -> Number | None:
    """The number a text ends with, after an equals sign or 「…は」."""
    found = LAST_RESULT.search(plain, max(0, len(plain) - WINDOW))
    if not found or DECLINED.search(plain):
        return None
    if "\n" in plain and found.end(1) == len(plain):
        return None  # a bare number below other lines may be a step, or half of one
    start = plain.rfind("\n", 0, found.start()) + 1
    number = Number(found[1], *found.span(1))
    if layout.fits(number.said):
        return number
    return stated(plain[start:], start, layout, last=True) or number


def _concluded(plain: str, layout: Layout) -> Number | None:
    """The number that the last concluding sentence arrives at."""
    ends = [found.span() for found in SENTENCE_END.finditer(plain)]
    starts = [0, *(end for _, end in ends)]
    ends.append((len(plain), len(plain)))
    for start, (end, _) in reversed(list(zip(starts, ends, strict=True))):
        said = plain[start:end]
        is_conclusion = CONCLUDING.search(said) is not None
        if is_conclusion and (number := stated(said, start, layout, last=True)):
            return number
    return None


def _last(plain: str, layout: Layout) -> Number | None:
    """The last number of all, of those that fit if there are such."""
    found = [Number(m[1], *m.span(1), "last_number") for m in NUMBERS.finditer(plain)]
    fitting = [number for number in found if layout.fits(number.said)]
    return next(reversed(fitting or found), None)


# --- which of them --------------------------------------------------------------------

Placed = tuple[Number, tuple[int, int]]


def _standing(found: list[Placed], plain: Plain) -> list[Placed]:
    """The statements that no later second thought makes void."""
    firm = [span[0] for number, span in found if number.force >= Force.POINTED]
    latest = max(firm, default=-1)
    doubts = [plain.starts[mark.start()] for mark in HESITATION.finditer(plain.text)]
    cut = max((place for place in doubts if place <= latest), default=0)
    return [(number, span) for number, span in found if span[0] >= cut]


def _reading(found: list[Placed], layout: Layout) -> Reading:
    """The reading of the statement that counts: most force, of equal ones the last."""
    if not found:
        return Reading()
    ranked = sorted(found, key=lambda one: (one[0].force, one[1][1]))
    best, span = ranked[-1]
    answers = [(layout.digits(number.said),) for number, _ in reversed(ranked)]
    second = next((answer for answer in answers if answer != answers[0]), None)
    return Reading(answers[0], best.rule, span, second, best.is_strict)


def digits_of(text: str) -> str:
    """The digits of a text, and nothing else of it."""
    return "".join(re.findall("[0-9]", text))
