"""Walks: a reply that goes through the choices, and the verdict it gives on each.

A walk is one, wherever in the reply its steps stand: a label at the head of a line, in
a row or in JSON, and a verdict beside it, below it or at the end of what is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from igaku.lazy import pattern
from igaku.reading.wording import (
    ALONE,
    BESIDE,
    BULLET,
    CLOSE,
    CUE,
    CUE_BEGINS,
    GLYPH,
    LABELS,
    LETTER,
    LINK,
    LINKING,
    MASK,
    MASKED,
    NAMED,
    NOT_OPEN_ENDED,
    OPEN,
    SEPARATOR,
    UNGLUED,
    WHOLE,
)

STEPS = 3

ENDED = (
    r"(?=\s?(?:$|[,;.、。()\n\"'|}\]」』】!–—]|[a-h][).:]|(?:because|since|due)\b)"
    r"|\s[-](?=\s)|\s?:(?!\s?[(「]?[a-h](?![a-z])))"
)
# 「正しいかもしれない」 and 「正しいのは」 are no verdicts.
FIRM = (
    r"(?!(?:の|である|です|な|い)?(?:かも|可能性|か(?![らっ])|とは限|とも(?:言|い)"
    r"|と思われがち"
    r"|ように|ようだ|に見え|だろうか|でしょうか|選択肢|答え|もの[はがを]|とされ(?:が"
    r"|て))|で(?:は)?な|じゃな|ではあり|\s?[】:]\s?[a-h](?![a-z])"
    r"|い?(?:の|もの)[はがを]|い?とは|\s?(?:가능성|수도))"
)
# One sign, or one character, is a verdict where nothing else stands with it.
WRONG_SIGN = r"[×✗✘✕✖❌⨯☓🙅🚫🔴☐]"
RIGHT_SIGN = r"[○〇◯⭕✓✔✅☑◎🙆👍🟢√]"
WRONG_MARK = r"(?:誤|偽|否|不適|不可|错|錯|非|ng|x)"
RIGHT_MARK = r"(?:正|真|適|对|對|是|可|ok|o)"
WRONG_WORD = (
    r"(?:誤(?:り|っ|答)|間違|不適(?:切|当|格|當)|不正[解確确]|正しく(?:な|あり)"
    r"|正[解答](?:で|じゃ)は?(?:な|あり)"
    r"|(?:適切|妥当|適当)で(?:は)?(?:な|あり)|適切とは(?:言|い)え|妥当性(?:に|を)欠"
    r"|該当し(?:な|ま)|当てはまら|あてはまら|考えにくい|可能性(?:は|が)低"
    r"|(?:除外|消去|排除|否定)(?!でき(?:な|ま)|しき|し(?:え|得)な|されな)|除[いきく]"
    r"|[错錯][误誤的]|干扰|消去した|distractor|eliminated|不(?:对|對|符合|恰[当當]"
    r"|合[适適]|[适適][合当])|틀[리린렸림립]|옳지\s?않"
    r"|맞지\s?않|올바르지\s?않|그[릅르름]|적절하지\s?않|부적절|오답)"
)
RIGHT_WORD = (
    r"(?:(?:誤り|間違い)で(?:は)?な[いく]|正しい|正[解答](?!(?:で|じゃ)は?(?:な|あり))"
    r"|(?:最も)?適切(?!で(?:は)?(?:な|あり))|(?:最も)?妥当(?!で|性)"
    r"|正しく(?![なあ])|該当する|当てはまる|あてはまる|合って(?!いな)|[对對]的"
    r"|正[确確]|符合|[适適][合当當]|合[适適]"
    r"|恰[当當]|옳[다은음습]|맞[다는음습]|올바[르른](?!지)|정답|적절(?!하지))"
)
WRONG_ENGLISH = (
    r"(?:(?:not|never)\s(?:the\s)?(?:correct|right|appropriate|true|indicated|valid"
    r"|answer)|(?:the\s)?in(?:correct|appropriate|valid)"
    r"(?:\s(?:one|answer|choice|option|statement))?|wrong|false|no|untrue"
    r"|(?:the\s)?least\s(?:likely|appropriate|suitable|correct|probable)"
    r"(?:\s(?:one|answer|choice|option))?)"
)
RIGHT_ENGLISH = (
    r"(?:(?:the\s)?(?:most\s)?(?:correct|right|true|yes|appropriate|valid)"
    r"(?:\s(?:answer|choice|option))?)"
)
# What verdicts begin with, looked at first: most characters of a reply begin none.
BEGINS = (
    f"a-z{WRONG_SIGN[1:-1]}{RIGHT_SIGN[1:-1]}あ不偽可合否妥对對干当恰排是最正消真符考該誤"
    "适適错錯間除非그맞부오올옳적정틀"
)
DENYING = r"(?:(?:では|でも|じゃ)(?:な|あり))"

WRONG = (
    rf"(?:{WRONG_SIGN}|{WRONG_WORD}{FIRM}|{DENYING}|{WRONG_MARK}{ENDED}"
    rf"|(?:{WRONG_ENGLISH}){ENDED})"
)
RIGHT = (
    rf"(?:{RIGHT_SIGN}|{RIGHT_WORD}{FIRM}|{RIGHT_MARK}{ENDED}"
    rf"|(?:{RIGHT_ENGLISH}){ENDED})"
)
VERDICT_LINK = (
    rf"{CLOSE}(?:[选選]?[项項])?(?:[ \t]?{MASKED}{CLOSE})?"
    r"[ \t]?(?:[:.)、(|→⇒=\-–—]|(?:のみ|だけ|こそ)?[はがもを]|(?:のみ|だけ)|(?:都|均"
    r"|也)?(?:是|为|為)|[都均]|은|는|이|가"
    rf"|(?:is|are)\b)?[ \t]?(?:[-–—→⇒]>?[ \t]?)?(?:判定:?\s?)?[(「『\"'【\[|]{{0,3}}"
    r"(?:(?:\{\s?\"|,\s?\")[^\"\n:]{1,16}\"\s?:\s?\"?)?"
    rf"(?:{MASKED}{CLOSE}[ \t]?[はがも:|→\-–—]?[ \t]?[(「|]?)?[ \t]?"
)
JUDGED = pattern(
    rf"(?=[a-h{CUE_BEGINS}])"
    rf"(?P<cue>{CUE}{LINK}{OPEN})?{ALONE}(?P<labels>{LABELS})(?P<link>{VERDICT_LINK})"
    rf"(?:(?P<wrong>{WRONG})|(?P<right>{RIGHT}))",
    re.MULTILINE,
)
# "It is correct", not "pick one correct answer".
PREDICATE = (
    r"(?:^|[:(–—→,;.|-]\s?|(?<![a-z])(?:is|are|be|so|thus|hence|therefore|it['’]s)\s"
    r"(?:clearly\s|also\s|therefore\s|thus\s)?)"
)
AT_LAST = pattern(
    rf"(?=[:(–—→,;.|{BEGINS}-])(?:"
    rf"(?:^|(?<=[\s:。、,.|(「【→⇒—–=-]))(?:(?P<wrong_sign>{WRONG_SIGN}"
    rf"|{WRONG_MARK}{ENDED})|(?P<right_sign>{RIGHT_SIGN}|{RIGHT_MARK}{ENDED}))"
    rf"|(?:(?P<wrong>{WRONG_WORD}|{PREDICATE}{WRONG_ENGLISH})"
    rf"|(?P<right>{RIGHT_WORD}|{PREDICATE}{RIGHT_ENGLISH}))"
    r"(?:切|当|い|く|て(?:いる|います)?|た|り|です|である|だ|と(?:言|い|考え)え?(?:る"
    r"|ます)|한?다|습니다|입니다|的){0,3}"
    r"(?=\s?(?:$|[。.,、;!|)」』】\n])))",
    re.MULTILINE,
)
# 「正しい選択肢：c」, "Incorrect: A, B", and a sign at the head of a line of labels.
BEFORE = pattern(
    rf"(?=[ \t\[(【{BEGINS}-])(?:"
    rf"(?:(?P<wrong>{WRONG_WORD}|^誤(?=\s?:)|(?<![a-z]){WRONG_ENGLISH})"
    r"|(?P<most>最も|most )?(?P<right>^正(?=\s?:)|正しい|適切|妥当|該当する|当てはまる"
    r"|正[确確]|(?<![a-z])(?:correct|right|true|appropriate)))"
    r"(?:切|当|た|っ?て(?:いる)?|い|な|の|もの|選択肢|記述|組み?合わ?せ|対応|処置|治療"
    r"|検査|できる|される|すべき|する|的|选项|選項|答案|\s?(?:ones?|statements?)){0,4}"
    r"\s?(?:は|:|是|为|為|is\b"
    rf"|are\b){OPEN}{NAMED}(?P<labels>{LABELS}){UNGLUED}{NOT_OPEN_ENDED}"
    r"|(?<![a-z])(?P<ruled>rul(?:e|ed|ing) out|eliminat(?:e|ed|ing)|exclud(?:e|ed"
    rf"|ing)) {OPEN}{NAMED}(?P<out>{LABELS}){UNGLUED}"
    rf"|^[ \t]?(?:-[ \t])?(?:(?P<wrong_sign>{WRONG_SIGN}|\[\s?\]"
    rf"|[\[【(]{WRONG_WORD}[^\]】)\n]{{0,6}}[\]】)])"
    rf"|(?P<right_sign>{RIGHT_SIGN}|\[[x✓✔]\]"
    rf"|[\[【(]{RIGHT_WORD}[^\]】)\n]{{0,6}}[\]】)]))[ \t:]"
    rf"{{0,2}}(?P<signed>{LABELS})(?=[ \t.:)、]|$|{WRONG_SIGN}|{RIGHT_SIGN}))",
    re.MULTILINE,
)
# 「a誤b誤c正」
ROW = pattern(
    r"(?<![a-z0-9])(?:[a-h]\s?(?:[:=]?\s?(?:不?[適可]|[誤正错錯对對○×偽真√])"
    r"|[\"']?\s?[:=]\s?[\"']?(?:[tf01]|true|false|yes|no|null)(?![a-z0-9])[\"']?)"
    r"[\s、,;/\"']{0,3}){3,8}(?![一-鿿])"
    r"|(?:[○×]\s?[a-h][\s、,;/]{0,2}){3,8}(?![a-z0-9])"
)
IN_ROW = pattern(
    r"(?P<label>[a-h])[\"']?\s?[:=]?\s?[\"']?(?:(?P<right>[正对對○適可真√t1y])"
    r"|不[適可]|[誤错錯×偽f0n])"
)
SIGN_IN_ROW = pattern(r"(?:(?P<right>○)|×)\s?(?P<label>[a-h])")
BUT = pattern(r"外|(?<![a-z])(?:except|but|other than)")
# 「c以外は誤り」 calls c right, 「c以外は正しい」 wrong.
EXCEPT = pattern(
    rf"(?:(?<=除)|(?<=除了)|{ALONE})(?P<labels>{LABELS}){CLOSE}\s?(?:以外|之外|外)"
    r"(?:の選択肢|の記述)?[は,、]?[^。\n]{0,6}?"
    rf"(?:(?P<wrong>{WRONG_WORD})|(?P<right>{RIGHT_WORD}))"
    rf"|(?<![a-z])(?:all|every[a-z]*)(?: [a-z ]{{0,20}}?)? (?:except|but"
    rf"|other than)(?: for)? {NAMED}"
    rf"(?P<others>{LABELS}){CLOSE} (?:are|is) (?:(?P<against>{WRONG_ENGLISH})"
    rf"|(?P<favour>{RIGHT_ENGLISH})){ENDED}"
)
SETTLED = pattern("正解|正答|誤答|答え|答案|选项|選項|answer|정답|오답")
SINGLED = pattern(r"[が이가]|\b(?:is|are)\b")
CLAUSE = pattern(rf"(?<![a-z0-9]){GLYPH}{WHOLE}|{MASKED}")

HEAD_LINK = rf"{BESIDE}[ \t]?(?:[:.)、。(|→⇒–—-]|は|が|も|은|는|(?:is|are)\b)"
LINE_HEAD = pattern(
    rf"^{BULLET}\|?[ \t]?{OPEN}{NAMED}{OPEN}(?P<label>{GLYPH}){WHOLE}"
    rf"(?:(?={HEAD_LINK})|{CLOSE}(?:(?={HEAD_LINK})|(?=[ \t]?{MASKED})|(?<=[)\]」』】])"
    r"|(?=[:.)、]?[ \t]?$)|(?=[ \t][^\sa-z0-9])))",
    re.MULTILINE,
)
SIGNED = pattern(rf"(?:{WRONG_SIGN}|(?P<right>{RIGHT_SIGN}))[ \t\"「『(\[【<]{{0,3}}\Z")
INLINE_HEAD = pattern(
    rf"(?<=[。、,;.|/)」』】\s{{:\"])[(「『【\"]?{NAMED}(?P<label>{GLYPH})"
    rf"(?![a-z0-9ァ-ヺー])(?=[)」』】]|{CLOSE}(?:{HEAD_LINK}))(?!。)"
)
LED_TO = pattern(rf"{CUE}(?P<gap>{LINK}){OPEN}{NAMED}{OPEN}")
LISTED = pattern(rf"{GLYPH}{CLOSE}{BESIDE}{SEPARATOR}{OPEN}{NAMED}{OPEN}")
NOTHING = pattern(
    rf"(?:(?!{WRONG_SIGN}|{RIGHT_SIGN})(?:[^\w\ue000-\ue0ff]|_)|{SEPARATOR})*+"
)
SECTION = pattern(
    r"^(?:#{1,6} |【|\[|[■◆●▼]|[^\n]{0,12}(?:解説|検討|理由|説明|考察|選択肢|解析|分析"
    r"|해설|explanation|analysis|rationale|options))[^。\n]{0,24}$",
    re.MULTILINE,
)
LINE_REST = pattern(r"[^\w\n\ue000-\ue0ff]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a step of a walk begins: its label, the label's place, how it is set."""

    label: str
    start: int
    style: str
    is_led_to: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply calls a label; `is_settled` where it says that it is the answer."""

    label: str
    start: int
    end: int
    is_right: bool
    is_settled: bool
    is_singled: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk through the choices: where its labels stand, and its verdicts."""

    steps: dict[int, str]
    verdicts: tuple[Verdict, ...]

    def called(self, right: bool, settled: bool = False) -> set[str]:
        """The labels last called right, or wrong; the answer, or not the answer."""
        last = {v.label: v for v in self.verdicts if v.is_settled or not settled}
        return {v.label for v in last.values() if v.is_right is right}


def walk_of(plain: str, labels: str, wanted: int) -> Walk:
    """The walk through the choices that a plain text holds, if only in parts."""
    steps, at_last, signed = dict[int, str](), list[Verdict](), list[Verdict]()
    for run, end in _runs(_heads(plain), plain):
        signed += (of_run := _signed(plain, run))
        verdicts = of_run or list(_at_last(plain, run, end))
        is_judged = {v.start for v in verdicts} == {head.start for head in run}
        walked = run if is_judged else _walked(run, plain, labels, wanted)
        steps |= {head.start: head.label for head in walked}
        at_last += [verdict for verdict in verdicts if verdict.start in steps]
    # What stands beside a label counts more than what its explanation ends with.
    at_last.sort(key=lambda verdict: verdict.start)
    own = {verdict.start for verdict in signed}
    beside = (verdict for verdict in _beside(plain) if verdict.start not in own)
    others = (*_before(plain), *beside, *_in_a_row(plain), *_excepted(plain))
    return Walk(steps, (*at_last, *others))


def _heads(plain: str) -> list[Head]:
    """Labels that begin a step, in order: not led to by a cue, something follows."""
    styles = {f.start("label"): "inline" for f in INLINE_HEAD.finditer(plain)}
    for found in LINE_HEAD.finditer(plain):
        is_bare = LINE_REST.match(plain, found.end("label")) is not None
        styles[found.start("label")] = "bare" if is_bare else "line"
    led = _led_to(plain)
    places = sorted(place for place in styles if not led.get(place))
    return [
        Head(plain[place], place, styles[place], place in led)
        for place, end in zip(places, [*places[1:], len(plain)], strict=False)
        if not NOTHING.fullmatch(plain, place + 1, end)
    ]


def _led_to(plain: str) -> dict[int, bool]:
    """Places of the letters that a cue leads to: whether it does on its own line."""
    led = dict[int, bool]()
    for found in LED_TO.finditer(plain):
        gap, place = found["gap"], found.end()
        is_said = "\n" not in gap and LINKING.search(gap) is not None
        led[place] = is_said
        for _ in range(8):
            if not (more := LISTED.match(plain, place)):
                break
            place = more.end()
            led[place] = is_said
    return led


def _runs(heads: list[Head], plain: str) -> Iterator[tuple[list[Head], int]]:
    """Rows of two steps or more, set alike, in the order of their labels.

    With each, where it ends.
    """
    for styles in ({"line"}, {"bare"}, {"line", "inline"}):
        run = list[Head]()
        for head in (head for head in heads if head.style in styles):
            if run and head.label <= run[-1].label:
                if len(run) > 1:
                    yield run, head.start
                run = []
            run.append(head)
        if len(run) > 1:
            yield run, len(plain)


def _walked(run: list[Head], plain: str, labels: str, wanted: int) -> list[Head]:
    """The steps of a row that goes through the choices; none of a list of answers."""
    run = run[_fronted(run, plain, wanted) :]
    if not run or len(run) == len(labels):
        return run
    # Beside an answer of three letters, a walk through the others has two steps.
    others = len(labels) - wanted if run[0].start else STEPS
    is_long = len(run) >= STEPS or 1 < len(run) == others
    return run if is_long and len(run) != wanted and not run[0].is_led_to else []


def _fronted(run: list[Head], plain: str, wanted: int) -> int:
    """How many labels stand apart in front, as many as asked for: no steps."""
    between = [plain[one.start : other.start] for one, other in pairwise(run)]
    gaps = [i for i, text in enumerate(between, 1) if "\n\n" in text]
    headed = [i for i, text in enumerate(between, 1) if SECTION.search(text)]
    looks = [_look(head, plain) for head in run]
    is_apart = wanted in gaps and len(set(looks[wanted:])) == 1
    is_unlike = is_apart and looks[wanted] not in looks[:wanted]
    start = run[0].start
    is_close = "\n\n" not in plain[max(0, start - 6) : start]
    is_below = run[0].is_led_to and is_close and wanted in gaps
    return wanted if [wanted] in (gaps, headed) or is_unlike or is_below else 0


def _beside(plain: str) -> Iterator[Verdict]:
    """Verdicts right behind their labels, or the choices that these stand for."""
    for found in JUDGED.finditer(plain):
        # "To give a correct answer" says nothing of the choice a.
        is_article = found["link"].isspace() and re.fullmatch(r"a [a-z ]+", found[0])
        if is_article or (found["cue"] and LINKING.search(found["cue"])):
            continue
        said = found.end("link") - found.start()
        settled = SETTLED.search(found[0], said) is not None
        singled = SINGLED.search(found["link"]) is not None
        is_right = found["right"] is not None
        yield from _verdicts(found, "labels", is_right, settled, singled)


def _verdicts(
    found: re.Match[str], group: str, is_right: bool, settled: bool, singled: bool
) -> Iterator[Verdict]:
    """The verdict that was found, on each of the labels in a group of it."""
    at, end = found.start(group), found.end()
    for label in LETTER.finditer(found[group]):
        yield Verdict(label[0], at + label.start(), end, is_right, settled, singled)


def _in_a_row(plain: str) -> Iterator[Verdict]:
    """Verdicts of one character in a row, with nothing between them."""
    for row in ROW.finditer(plain):
        one = SIGN_IN_ROW if row[0][0] in "○×" else IN_ROW
        for found in one.finditer(plain, *row.span()):
            start, is_right = found.start("label"), found["right"] is not None
            yield Verdict(found["label"], start, found.end(), is_right, False)


def _excepted(plain: str) -> Iterator[Verdict]:
    """Verdicts on all labels but one, which say the opposite of that one."""
    for found in EXCEPT.finditer(plain) if BUT.search(plain) else ():
        group = "labels" if found["labels"] else "others"
        is_right = (found["wrong"] or found["against"]) is not None
        yield from _verdicts(found, group, is_right, is_right, True)


def _look(head: Head, plain: str) -> tuple[str, bool]:
    """How a label is set: what stands before it, and whether it stands apart."""
    before = plain[max(0, head.start - 20) : head.start].rsplit("\n", 1)[-1]
    behind = plain[head.start + 1 : head.start + 9].lstrip(")].:」*")
    return before, behind.startswith("\n\n")


def _before(plain: str) -> Iterator[Verdict]:
    """Verdicts in front of the labels that they are on."""
    for found in BEFORE.finditer(plain):
        is_right = (found["right"] or found["right_sign"]) is not None
        group = next(g for g in ("labels", "out", "signed") if found[g])
        settled = (found["most"] or SETTLED.search(found[0])) is not None
        yield from _verdicts(found, group, is_right, settled, True)


def _signed(plain: str, run: list[Head]) -> list[Verdict]:
    """Verdicts of one sign each, in front of all labels of a row: 「× a. … ○ b. …」."""
    signs = [sign_before(plain, one.start) for one in run]
    return [
        Verdict(one.label, one.start, one.start + 1, sign["right"] is not None, False)
        for one, sign in zip(run, signs, strict=True)
        if sign and all(signs)
    ]


def sign_before(plain: str, at: int) -> re.Match[str] | None:
    """The sign of a verdict that stands right before a place."""
    return SIGNED.search(plain, max(0, at - 6), at)


def _at_last(plain: str, run: list[Head], end_of_run: int) -> Iterator[Verdict]:
    """Verdicts that the explanations of steps end with."""
    ends = [*(head.start for head in run[1:]), end_of_run]
    for head, end in zip(run, ends, strict=True):
        if head.style != "inline" and end < len(plain):
            # A sign may stand before the next line's label.
            line_end = plain.rfind("\n", head.start + 1, end)
            end = line_end if line_end >= 0 else end
        said = plain[head.start + 1 : end]
        own = {head.label, chr(MASK + ord(head.label) - ord("a"))}
        if head is run[-1]:
            said = re.split(r"(?<=[^\s:)\]」])\n\n", said, maxsplit=1)[0]
        for found in AT_LAST.finditer(said):
            before = said[max(0, found.start() - 80) : found.start()]
            clause = re.split(r"[。\n|]", before)[-1]
            if own.issuperset(CLAUSE.findall(clause)):  # it is of no other choice
                is_right = (found["right"] or found["right_sign"]) is not None
                settled = SETTLED.search(found[0]) is not None
                end_ = head.start + 1 + found.end()
                yield Verdict(head.label, head.start, end_, is_right, settled)
