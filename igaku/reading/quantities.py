"""Quantities: how replies write a number and its unit, and the one a sentence states.

Patterns for plain text, in Japanese, English, Chinese and Korean. Every repetition is
bounded or possessive, so that reading stays linear in whatever a model repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from igaku.exam.questions import Question
from igaku.lazy import pattern
from igaku.reading.plain import DECLARED, DECLARED_END, OUTER_BLANKS, Plain, plain_of
from igaku.reading.readings import Statement

# Boxes and blanks between thousands become private characters, which stay apart from
# digits, and so does a number that was looked at and is no statement.
BOXES = "①②③④⑤⑥⑦⑧⑨"
FIRST_BOX = 0xF101
OTHER_BOXES = (0x2776, 0x2780, 0x278A, 0x24F5)  # ❶ ➀ ➊ ⓵ and those after them
BOX = r"[\uf101-\uf109]"
BETWEEN_THOUSANDS = "\uf1ff"
STRUCK = "\uf1fe"
SHIELD = {ord(box): FIRST_BOX + i for i, box in enumerate(BOXES)}
SHIELD |= {first + i: FIRST_BOX + i for first in OTHER_BOXES for i in range(9)}
LAYOUT = pattern(rf"{BOX}+(?:\.({BOX}+))?")
# Blanks and commas between thousands keep their place, as signs that go at once.
NARROW = pattern(
    r"(?<=[0-9])(?:[\u202f\u2009\u2007\u00a0']|\{,\}|\\,)(?=[0-9]{3}(?![0-9]))"
)
GROUPED = pattern(BETWEEN_THOUSANDS)
# A number in kanji, alone or behind a cue, where a text has no digits.
ONES, TENS = "〇一二三四五六七八九", {"十": 10, "百": 100, "千": 1000}
HAS_DIGITS = pattern(r"[0-9０-９]")
KANJI = pattern(
    r"(?:(?<=[:：はが\s])"
    r"|\A)[〇一二三四五六七八九十百千]{1,6}(?:[点・][〇一二三四五六七八九]{1,2})?"
    r"(?=[。\s]|です|である|[a-zA-Z]|\Z)"
)

# A place or a count of digits is no quantity: 第2位, 小数1桁, "1 decimal place".
NUMBER = (
    r"(?<![a-z0-9_.\-−第])(?<![0-9],)"
    r"([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]*\.[0-9]+|[0-9]+)"
    r"(?!\.?[0-9]|,[0-9]|\s?(?:桁|位|つ|decimal|significant|자리)|-[a-z])"
)
NUMBERS = pattern(NUMBER)
ABOUT = r"(?:約|およそ|おおよそ|大約|大约|约|약|about|approximately|approx\.?|roughly)"
COPULA = (
    r"(?:です|でした|である|だ|입니다|이다|が(?:正解|正答|答え)(?:です|である)?"
    r"|と(?:考えられ|計算され|求められ)(?:る|ます)|(?:と|に)(?:なります|なる|なった))"
)
UNIT = (
    r"\s?(?:[a-zμ%°/·²³ァ-ヺー個克毫升天그램일명]|\s/\s|日|時間|分|秒|回|人|歳|年|月"
    rf"|週|点|倍|単位){{0,20}}+(?:\s?{COPULA})?"
)
# A number with its unit, where its value does not matter.
SOME = (
    r"(?<![0-9第])[0-9][0-9.,]{0,12} ?(?:[a-zμ%°/][a-zμ%°/]{0,9})?"
    r"(?:日|時間?|分|秒|回|人|歳|個|例|単位){0,3}"
)
NEXT = rf"(?={ABOUT}? ?[0-9][0-9.,]{{0,12}}+(?!\s?(?:桁|位|decimal|significant)))"
QUOTED = r"[「『\"'(]?"

LEAD = rf"(?:[\s:=,→⇒≒≈~〜\"'「『(\[【<|#$>{DECLARED}-]|{ABOUT})"
AFTER_LEAD = pattern(rf"{LEAD}{{0,24}}+(?=[0-9.])")
EQUALS = pattern(
    r"[=≒≈→⇒]|->|\\(?:approx|simeq|fallingdotseq|to|(?:long)?rightarrow)(?![a-z])", re.I
)
OPERATED = pattern(
    r"[×✕÷]|\\(?:times|cdot|div)|[0-9a-z)%日] ?[*+−] ?[0-9(.]"
    r"|[0-9)] ?/ ?[0-9(.]|[a-z] / [0-9(.]|[0-9a-z)日] [x-] [0-9(.]|[0-9]-[0-9]"
    r"|\\d?frac|(?<![a-z])(?:times|divided by|plus|minus)(?![a-z])"
)
SENTENCE_END = pattern(rf"[。\n{DECLARED_END}]|(?<=[0-9a-z)日])\.\s(?=[^0-9])")
ASIDE = pattern(r"\([^()\n]{0,120}\)")

# 「300ではなく325」 and 「2.05を四捨五入して2.1」 state the second number alone.
_PLACE = r"(?:小数(?:第|点第?|点以下)?[0-9一二三]?[位桁]?(?:以下|まで)?(?:を|で|に)?)?"
_ROUNDED = r"(?<![a-z])round(?:ed|ing|s)?(?![a-z])"
# A word without which nothing is, looked for first: the pattern is dear.
TAKES_BACK = pattern(
    r"で|じゃ|四捨五入|なので|から|よって|→|->|不是|아니|반올림|四舍五入|not|instead|rather"
    r"|round|(?<![a-z])so(?![a-z])"
)
TAKEN_BACK = pattern(
    rf"{QUOTED}{SOME}[」』\"')]? ?(?:では|でも?|じゃ)(?:なくて?|はなく|ない|ありません)"
    rf"[、。,.\s]{{0,3}}{QUOTED}{NEXT}"
    rf"|{SOME}(?:です|である|となる|で|なので)?[、。, (\n]{{0,3}}(?:を"
    rf"|の)? ?{_PLACE}四捨五入"
    r"(?:して|すると|すれば|し|で|により|後は?|した(?:値|もの)は)?[、:,\s=→≒]{0,3}"
    rf"{NEXT}"
    rf"|(?<![a-z])not {SOME},? but (?:rather )?{NEXT}"
    rf"|(?<![a-z])(?:instead of|rather than) {SOME},? ?{NEXT}"
    rf"|{_ROUNDED} {SOME} (?:up |down |off )?to {NEXT}"
    rf"|{SOME}[, (]{{0,3}}(?:which |is )?{_ROUNDED}(?: up| down| off)? ?(?:to )?"
    rf"(?:(?:1|one|the nearest)[^0-9.\n(]{{0,30}})?(?:[:=→,]|to|is|gives)? ?{NEXT}"
    rf"|{SOME}(?:なので|だから|であるため|、よって|で、|,? so|,? ?四舍五入[为為]?"
    rf"|을 반올림하여)[、, ]{{0,2}}{NEXT}"
    rf"|(?<![0-9)*×÷/+.-])(?<![0-9)*×÷/+.-] ){SOME} ?(?:→|->) ?{NEXT}"
    rf"|不是 ?{SOME}[、,]? ?而是 ?{NEXT}|{SOME} ?[가이] 아니라 ?{NEXT}"
)
DENIED_NUMBER = pattern(
    rf"{SOME} ?(?:では|じゃ)(?:ない|ありません|なく)"
    rf"|{SOME} ?[はが](?:誤り|誤答|間違い|不正解|正しくな|不適)"
    rf"|{SOME} ?\((?:誤|間違|不正解|×|wrong|incorrect)"
    rf"|{SOME} (?:is|was) (?:wrong|incorrect|not )|{SOME} ?[가이] 아[니닙]"
    rf"|(?:(?<![a-z])(?:not|isn['’]t|rather than|instead of)|而?不是) ?{SOME}"
)
_MORE = rf" ?{ABOUT}? ?[0-9][0-9.,]{{0,12}}"
OPEN_ENDED = pattern(
    rf"{SOME} ?(?:[〜~–—]|から|ないし|至|到|부터|에서|to){_MORE}"
    rf"|(?<![0-9.,]){SOME}-[0-9][0-9.,]{{0,12}}"
    rf"|{SOME},? ?(?:または|又は|もしくは|あるいは|か|or|或者?|还是|또는|혹은){_MORE}"
    rf"|(?<![a-z])between {SOME} and{_MORE}"
)
NUMBERED = pattern(
    r"^[ \t]*\(?[0-9]{1,2}[.)][ \t]+(?=\S)"
    r"|(?:(?<![a-z])(?:step|part)|手順|ステップ) ?[0-9]{1,2}(?![0-9.])",
    re.MULTILINE,
)
PER_DAY = pattern(r"(?<=[a-z]) ?/ ?24 ?(?:h(?:ours?|rs?)?(?![a-z])|時間)")
# "over 24 hours", 「2回に分けて」 and 「1日 325 mL」: not the quantity itself.
PERIOD = pattern(
    r"(?<![a-z])(?:over|every|within|in) [0-9]{1,3} ?(?:hours?|hrs?|h|days?|min[a-z]*"
    r"|doses)"
    r"(?![a-z])|[0-9]{1,3} ?(?:時間|分|日|回)間?(?:かけて|に分け|ごと|おき|毎|で投与)"
    rf"|(?<![0-9.,])[0-9]{{1,2}} ?(?:日|回|時間"
    rf"|週間?)(?=[^0-9\n。、,]{{0,8}}[、,]? ?{NEXT})"
    r"|(?:検算|確認)[:は][^\n]*"
)
EMPTY = pattern(rf"{BOX}[.\s]*(?={BOX})|{BOX}\s*[.:=は]?\s*")

# What states nothing, and what stands in its place, in this order.
IDLE = (
    (PER_DAY, "/日"),
    (PERIOD, STRUCK),
    (EMPTY, " "),
    (DENIED_NUMBER, STRUCK),
    (OPEN_ENDED, STRUCK),
    (NUMBERED, ""),
    (OUTER_BLANKS, ""),
)


@dataclass(frozen=True)
class Layout:
    """The boxes a question draws, and how many of them are decimals."""

    boxes: int | None = None
    decimals: int | None = None

    def digits(self, number: str) -> str:
        """The digits a number puts into the boxes: 2.1 and 2.10 are 21, .4 is 04."""
        whole, dot, fraction = number.replace(",", "").partition(".")
        if self.decimals is not None:
            spare = fraction[self.decimals :]
            fraction = fraction[: self.decimals] + spare.rstrip("0")
        return (whole or "0") + fraction if dot else whole

    def fits(self, number: str) -> bool:
        """Whether a number fills the boxes, as far as they are known."""
        return self.boxes in (None, len(self.digits(number)))


def layout_of(question: Question) -> Layout:
    """The boxes that a question draws last."""
    layouts = list(LAYOUT.finditer(number_text(question.text).text))
    if not layouts:
        return Layout()
    boxes = layouts[-1][0].replace(".", "")
    return Layout(len(boxes), len(layouts[-1][1] or ""))


def number_text(text: str) -> Plain:
    """The text with its boxes kept apart from its digits."""
    kept = NARROW.sub(
        lambda found: BETWEEN_THOUSANDS * len(found[0]), text.translate(SHIELD)
    )
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


def stated(said: str, at: int, layout: Layout, last: bool = False) -> Statement | None:
    """The number a sentence states, outside its brackets if it can.

    What stands in brackets counts where it alone fills the boxes: 「2.05（≒2.1）」.
    """
    said = SENTENCE_END.split(said, maxsplit=1)[0]
    main = ASIDE.sub(lambda found: " " * len(found[0]), said)
    number = _resulting(main, at, layout, last)
    if number and layout.fits(number.said):
        return number
    for aside in ASIDE.finditer(said):
        start = aside.start() + 1
        inner = _resulting(said[start : aside.end() - 1], at + start, layout, last)
        if inner and (number is None or layout.fits(inner.said)):
            return inner
    return number


def _resulting(said: str, at: int, layout: Layout, last: bool) -> Statement | None:
    """Where a sum arrives: the last side of its equations that is no sum itself.

    A side that does not fill the boxes gives way to its equal that does, and to what
    the sentence opens with: 2.1 g = 2100 mg, 325 mL ≒ 0.33 L.
    """
    sides = list(_sides(said, at, last))
    for number, is_equal, _ in reversed(sides):
        if layout.fits(number.said):
            return number
        if not is_equal:
            break
    if not sides:
        return None
    first, _, opens = sides[0]
    return first if opens and layout.fits(first.said) else sides[-1][0]


def _sides(said: str, at: int, last: bool) -> Iterator[tuple[Statement, bool, bool]]:
    """The number of each side of a chain of equations.

    With it, whether an equals sign stands before it, no arrow and no ≒, and whether the
    side begins with it.
    """
    start, is_equal = 0, False
    for sign in [*EQUALS.finditer(said), None]:
        side = said[start : sign.start() if sign else None]
        numbers = list(NUMBERS.finditer(side.partition(STRUCK)[0]))
        opens = AFTER_LEAD.match(side) is not None
        if numbers and not OPERATED.search(side):
            found = numbers[0 if (start or opens) and not last else -1]
            first, end = (at + start + place for place in found.span(1))
            yield Statement(found[1], first, end), is_equal, opens
        if sign:
            start, is_equal = sign.end(), sign[0] == "="
