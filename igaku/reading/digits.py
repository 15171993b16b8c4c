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

from igaku.exam.questions import Question
from igaku.lazy import pattern
from igaku.reading.plain import DECLARED, DECLARED_END, Plain
from igaku.reading.quantities import (
    ABOUT,
    BOX,
    EQUALS,
    FIRST_BOX,
    IDLE,
    LEAD,
    NUMBER,
    NUMBERS,
    SENTENCE_END,
    SOME,
    STRUCK,
    TAKEN_BACK,
    TAKES_BACK,
    UNIT,
    Layout,
    layout_of,
    number_text,
    stated,
)
from igaku.reading.readings import LIMIT, TOO_LONG, Force, Reading, Statement
from igaku.reading.wording import CONCLUSIONS, FINALLY, is_denied

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
BOXED_ROW = pattern(
    rf"(?:{DECLARED}\s?[0-9]\s?{DECLARED_END}[\s.,、]{{0,3}}){{2,9}}"
    r"|(?:[\[(][0-9][\])]\s?){2,9}"
)
JSON_ROW = pattern(r"\{(?:\s?[\"'][1-9][\"']\s?:\s?[\"']?[0-9][\"']?\s?,?){2,9}\s?\}")

CUE = (
    r"(?:解答|回答|答え|答案|(?<![問応返即自])答|正解|正答|結論|结论"
    r"|(?<![一-鿿])解(?=\s?[:は])"
    r"|정답|결론|(?<![가-힣])답변?|(?<![a-z])(?:answers?|ans\.?|solution|conclusion"
    rf"|final(?=\s?:))(?![a-z])|{DECLARED})"
)
LINKS = pattern(rf"[:=→⇒】」』)はが\n≒≈是为為은는이{DECLARED}]|->|として|\bis\b|\bbe\b")
CUED = pattern(
    rf"(?P<cue>{CUE})(?P<gap>(?:\((?!\s?[0-9.])[^()\n]{{1,30}}\)|{LEAD}|[はが】」』)\]]"
    r"|->|として|値は?|是|为|為|은|는|이|(?<![a-z])(?:is|are|was|therefore|of"
    r"|(?:would|will|should|must) be|to (?:this|the) (?:question|problem))(?![a-z]))"
    r"{0,24}+)"
)
LED_NUMBER = pattern(rf"{CUED.pattern}{SOME}")
JSON_KEY = pattern(
    r"[\"'](?![^\"'\n]{0,40}(?:reason|expla|incorrect|wrong|other|altern|question|理由"
    r"|second|rejected|誤|不正|解説|解析|previous|initial|計算))"
    r"[^\"'\n:]{0,24}(?:answer|\bans|solution|predict|response|解答|回答|答え|答|正解"
    r"|正答|答案|정답|답)[^\"'\n:]{0,16}[\"']\s?:\s?(?=[\"'\[0-9.])"
)
JSON_VALUE = pattern(
    r"[\"'](?:output|result|final|value|digits|number|数値|値"
    r"|結果)[\"']\s?:\s?(?=[\"'\[0-9.])"
)
JSON_ARRAY = pattern(r"\[\s?[\"']?[0-9][\"']?(?:\s?,\s?[\"']?[0-9][\"']?){1,8}\s?\]")
JSON_STRING = pattern(r"\[?\s?[\"']?(?P<value>[^\"'\n}\]]{1,120})")
CONCLUDING = pattern(
    r"よって|なので|したがって|従って|ゆえに|以上より|四捨五入|約|[≒≈]|\\approx|所以"
    r"|因此"
    r"|故[,、为為]|따라서"
    r"|그러므로|(?<![a-z])(?:therefore|thus|hence|so|total|round(?:ed|ing|s)?"
    r"|approximately)(?![a-z])"
)
# What makes all that was said before it void, if something is stated after it.
HESITATION = pattern(
    r"(?m:^)→(?= ?[0-9])|(?<!\w)(?:いや|いえ|待って|待てよ|違う|違います|違いました"
    r"|間違え(?:た|ました)|計算し直|再計算|訂正(?=[:、。はし])|修正(?=[:、。はし])"
    r"|正しくは"
    r"|(?:no|wait|oops|sorry)(?=[,.!])|actually|correction|corrected|scratch that"
    r"|i made an? (?:mistake|error)|let me (?:redo|recalculate|recompute|correct)"
    r"|不对|不對|等等|更正|重新计算|아니[,요]|정정|다시 계산)"
)
CORRECTED = pattern(
    r"(?:[\s、。,.:!?…—「『\"'*(-]|します|すると|すと|したら|したところ|する|して|し"
    r"|で|は|と|正しくは"
    r"|(?:だ|です)(?=[。、\s])|(?:正解|答え|正答|結果|値)[はが]|this|that|the|correct"
    r"|right|it(?:['’]s| is| should be)|answer|value|result|should be|i meant?|is"
    rf"|应该是|应[该为]|是|{ABOUT}){{0,8}}+(?=[0-9.])"
)
# 「3・2・5」, one digit for each box; "2,1" may be a decimal comma.
SPELLED = pattern(
    r"[\[(]?\s?(?P<digits>[0-9](?:(?:\s?[・、·]\s?|, | )[0-9]){1,8})\s?[\])]?"
    r"(?=(?:です|である|だ)?[ 。.]{0,2}(?:\n|$))"
)
LONE_NUMBER = pattern(
    r"(?:(?:[^0-9\n。.!?]|(?<=[a-z])[0-9]){0,40}(?:[:=は]|(?<![a-z])is)|a\.)?"
    rf"\W{{0,40}}{ABOUT}?\s?{NUMBER}"
)
OPENING_NUMBER = pattern(
    rf"\W{{0,8}}{ABOUT}?\s?{NUMBER}{UNIT}"
    r"(?:(?:で|であり|となり)、|,\s(?:given|below|above|over|which)\b"
    r"|(?<=[すだるl다])[。.]|\s?(?:\([^()\n]{0,80}\))?[。.]?[^\S\n]*(?:\n|$))"
)
LINE_OF_NUMBER = pattern(
    rf"[^\w=≒≈×*÷/+−]{{0,8}}{ABOUT}?\s?{NUMBER}{UNIT}"
    r"(?:\s?\([^()\n]{0,30}\))?\W{0,4}"
)
LAST_RESULT = pattern(
    rf"(?:[=≒≈]|(?<!基準)(?<!正常)(?<!上限)(?<!下限)(?<=[一-鿿)])[はが]"
    rf"|(?<![a-z])is)\s?{ABOUT}?\s?{NUMBER}{UNIT}(?:\s?\([^()\n]{{0,20}}\))?[。.]?$"
)
# 「必要な量は 325 mL です。」
TOLD = pattern(
    rf"(?:^|(?<=[。\n]))[^。\n0-9]{{1,40}}(?:(?<!基準)(?<!正常)(?<!上限)(?<!下限)は"
    rf"|=)\s?{ABOUT}?\s?{NUMBER}{UNIT}(?:\s?\([^()\n]{{0,20}}\))?(?=[。\n]|$)"
)
DECLINED = pattern(
    r"(?:計算|算出|求め|判断|解答|回答)[^。\n]{0,10}(?:でき(?:ません|ない)|不可能|困難)"
    r"|[分わ]かりません|不明です"
    r"|(?:cannot|unable to|not possible)[^.\n]{0,20}(?:calculat|determin|answer|comput)"
)
CALCULATED = pattern(r"\n\s*[×*÷/+=≒≈]")
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
    layout, boxed = layout_of(question), number_text(text)
    if TAKES_BACK.search(boxed.text):
        boxed = boxed.replaced(TAKEN_BACK, "")
    rows = [
        row for read in (_rows, _listed, _in_a_row) for row in read(boxed.text, layout)
    ]
    plain = _numbers_alone(boxed, rows)
    found = [_placed(row, boxed) for row in rows]
    found += [_placed(one, plain) for one in _statements(plain.text, layout)]
    standing = _standing(found, plain)
    if not standing and permissive and (number := _last(plain.text, layout)):
        standing = [_placed(number, plain)]
    return _reading(standing, layout)


def digits_of(text: str) -> str:
    """The digits of a text, and nothing else of it."""
    return "".join(re.findall("[0-9]", text))


def _numbers_alone(boxed: Plain, rows: list[Statement]) -> Plain:
    """The text without filled boxes, empty ones, ranges, and numbers of its lines."""
    plain = _struck(boxed, [(row.start, row.end) for row in rows])
    for each, by in IDLE:
        plain = plain.replaced(each, by)
    led = LED_NUMBER.finditer(plain.text)
    return _struck(plain, [found.span() for found in led if is_denied(found)])


def _struck(plain: Plain, places: list[tuple[int, int]]) -> Plain:
    text = list(plain.text)
    for start, end in places:
        text[start:end] = STRUCK * (end - start)
    return replace(plain, text="".join(text))


def _placed(one: Statement, plain: Plain) -> Statement:
    """The statement at its place in the text as it came."""
    start, end = plain.span(one.start, one.end)
    return replace(one, start=start, end=end)


def _standing(found: list[Statement], plain: Plain) -> list[Statement]:
    """The statements that no later second thought makes void."""
    latest = max((o.start for o in found if o.force >= Force.POINTED), default=-1)
    doubts = [plain.starts[mark.start()] for mark in HESITATION.finditer(plain.text)]
    void = max((place for place in doubts if place <= latest), default=0)
    return [one for one in found if one.start >= void]


def _reading(found: list[Statement], layout: Layout) -> Reading:
    """The reading of the statement that counts: most force, of equal ones the last."""
    if not found:
        return Reading()
    ranked = sorted(found, key=lambda one: (one.force, one.end))
    best, place = ranked[-1], (ranked[-1].start, ranked[-1].end)
    answers = [(layout.digits(one.said),) for one in reversed(ranked)]
    second = next((answer for answer in answers if answer != answers[0]), None)
    return Reading(answers[0], best.rule, place, second, best.is_strict)


# --- boxes ----------------------------------------------------------------------------


def _rows(plain: str, layout: Layout) -> Iterator[Statement]:
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
            yield Statement(said, start, end, "boxes", Force.CUE, True)
            row = {}


def _in_a_row(plain: str, layout: Layout) -> Iterator[Statement]:
    """One digit each: in boxes of LaTeX side by side, or in numbered JSON."""
    for row, digit, rule in (
        (BOXED_ROW, "[0-9]", "declared"),
        (JSON_ROW, r"(?<=:)\s?[\"']?[0-9]", "json"),
    ):
        for found in row.finditer(plain):
            said = digits_of("".join(re.findall(digit, found[0])))
            if len(said) == layout.boxes:
                yield Statement(said, *found.span(), rule, Force.CONCLUSION, True)


def _listed(plain: str, layout: Layout) -> Iterator[Statement]:
    """The digits of boxes named first and filled then: ①, ② = 2, 1."""
    for found in LISTED.finditer(plain):
        said = digits_of(found["digits"])
        if len(re.findall(BOX, found["boxes"])) == len(said) == layout.boxes:
            yield Statement(said, *found.span(), "boxes", Force.CUE, True)


# --- statements -----------------------------------------------------------------------


def _statements(plain: str, layout: Layout) -> Iterator[Statement]:
    for reader in (_cued, _in_json, _corrected, _set_apart, _concluded):
        yield from reader(plain, layout)
    for found in TOLD.finditer(plain):
        if layout.fits(found[1]):
            yield _number(found, "number_concluded", Force.POINTED)
    if "\n" not in plain and (number := _spelled(plain, 0, layout)):
        yield replace(number, rule="number_alone", force=Force.BARE, is_strict=True)


def _number(
    found: re.Match[str], rule: str, force: Force, is_strict: bool = False
) -> Statement:
    return Statement(found[1], *found.span(1), rule, force, is_strict)


def _cued(plain: str, layout: Layout) -> Iterator[Statement]:
    """The numbers that cues lead to, also at the end of a sum."""
    for found in list(CUED.finditer(plain))[-CUES:]:
        start, end = found.span()
        is_adjacent = plain[end : end + 1] in {*"0123456789."}
        if is_denied(found) or not (is_adjacent or LINKS.search(found[0])):
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


def _led_to(plain: str, at: int, layout: Layout) -> Statement | None:
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


def _spelled(plain: str, at: int, layout: Layout) -> Statement | None:
    """One digit for each box, from a place to the end of its line."""
    found = SPELLED.match(plain, at)
    said = digits_of(found["digits"]) if found else ""
    is_row = found is not None and len(said) == layout.boxes
    return Statement(said, *found.span("digits")) if found and is_row else None


def _window(plain: str, at: int) -> str:
    """The text from a place on, as far as one statement goes, no number cut."""
    end = at + WINDOW
    while at < end < len(plain) and plain[end - 1] in "0123456789.,":
        end -= 1
    return plain[at:end]


def _in_json(plain: str, layout: Layout) -> Iterator[Statement]:
    """The values of keys that say answer, or merely value."""
    keys = [(found.end(), Force.CONCLUSION) for found in JSON_KEY.finditer(plain)]
    keys += [(found.end(), Force.CUE) for found in JSON_VALUE.finditer(plain)]
    for at, force in keys[-CUES:]:
        array = JSON_ARRAY.match(plain, at)
        if array and len(digits_of(array[0])) == layout.boxes:
            yield Statement(digits_of(array[0]), *array.span(), "json", force, True)
            continue
        value = JSON_STRING.match(plain, at)
        if value and (number := stated(value["value"], value.start("value"), layout)):
            yield replace(number, rule="json", force=force, is_strict=True)


def _corrected(plain: str, layout: Layout) -> Iterator[Statement]:
    """The number a reply says it should have said, if it is no part of a new sum."""
    for found in list(HESITATION.finditer(plain))[-CUES:]:
        if gap := CORRECTED.match(plain, found.end()):
            number = stated(_window(plain, gap.end()), gap.end(), layout)
            if number and number.start == gap.end():
                yield replace(
                    number, rule="correction", force=Force.CUE, is_strict=True
                )


def _set_apart(plain: str, layout: Layout) -> Iterator[Statement]:
    """Numbers by their place: all of a text, its beginning, its last line, its end."""
    found = LONE_NUMBER.match(plain)
    if found and len(plain) <= 40 and set(NUMBERS.findall(plain)) == {found[1]}:
        yield _number(found, "number_alone", Force.BARE, True)
    found = OPENING_NUMBER.match(plain)
    if found and not CALCULATED.search(plain):
        yield _number(found, "number_first", Force.OPENING, True)
    start = plain.rfind("\n") + 1
    if start and (found := LINE_OF_NUMBER.fullmatch(plain, start)):
        yield _number(found, "number_line", Force.POINTED)
    found = LAST_RESULT.search(plain, max(0, len(plain) - WINDOW))
    # A bare number below other lines may be a step, or half of one.
    is_half = found and "\n" in plain and found.end(1) == len(plain)
    if found and not is_half and not DECLINED.search(plain):
        number = _number(found, "number_last", Force.LOOSE)
        start = plain.rfind("\n", 0, found.start()) + 1
        if not layout.fits(number.said):
            number = stated(plain[start:], start, layout, last=True) or number
        yield replace(number, rule="number_last")


def _concluded(plain: str, layout: Layout) -> Iterator[Statement]:
    """The number that the last concluding sentence arrives at."""
    ends = [found.span() for found in SENTENCE_END.finditer(plain)]
    starts = [0, *(end for _, end in ends)]
    ends.append((len(plain), len(plain)))
    for start, (end, _) in reversed(list(zip(starts, ends, strict=True))):
        said = plain[start:end]
        is_conclusion = CONCLUDING.search(said) is not None
        if is_conclusion and (number := stated(said, start, layout, last=True)):
            yield replace(number, rule="number_concluded", force=Force.POINTED)
            return


def _last(plain: str, layout: Layout) -> Statement | None:
    """The last number of all, of those that fit if there are such."""
    found = [
        _number(each, "last_number", Force.LOOSE) for each in NUMBERS.finditer(plain)
    ]
    fitting = [number for number in found if layout.fits(number.said)]
    return next(reversed(fitting or found), None)
