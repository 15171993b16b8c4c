"""The letters a reply states, told from the letters it merely contains.

Reading goes from the certain to the likely. Strict statements are a line of nothing
but letters and letters after a cue such as 「答え：」; the last one wins. Loose are a
line that opens with its letter and a sentence that points at one. Letters inside words,
names, images and the choices' own texts are never statements. A choice's text without
its letter is none either, for then reading would be grading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from igaku.exam.questions import Question
from igaku.reading.plain import DECLARED, Plain, plain_of
from igaku.reading.readings import LIMIT, TOO_LONG, Reading

# Choices quoted in a reply become one private character each: their letters cannot be
# taken for labels then, and a label beside its own choice can be recognised.
MASK = 0xE000
MASKED = r"[\ue000-\ue0ff]"

OPEN = r"[\s\"'“‘「『(\[【<{〈《〔]*+"
CLOSE = r"[\"'”’」』)\]】>}〉》〕]*+"
NAMED = r"(?:選択肢|記号|番号|options?|choices?|letters?)?\s*+"
# After any other word, `a` is an article and `e` a bacterium's first name.
FOLLOWING = (
    r"(?:because|since|as|is|are|was|due|which|for|with|so|based|given|but|and|or|not)"
)
SPECIES = (
    r"(?:coli|difficile|albicans|diphtheriae|botulinum|tetani|perfringens|pertussis"
    r"|trachomatis|pneumoniae|psittaci|jejuni|fragilis|anthracis|cereus|faecalis"
    r"|histolytica|granulosus|multilocularis|neoformans|burnetii|elegans)"
)
UNGLUED = (
    r"(?![a-z0-9_%^\\’'°\-‐‑–−はもァ-ヺー々Α-ω]|(?!及)[一-鿿]|\.[a-z]|\.\s?"
    + SPECIES
    + r"|\+(?!\s?[a-h](?![a-z0-9]))"
    + r"|[ \t]+(?:型|群|反応性|細胞(?!診)|ペプチド|ダイマー)"
    + r"|[ \t]+(?!"
    + FOLLOWING
    + r"\b)(?:[a-z]{2}|[0-9]))"
)
APART = r"(?<![a-z0-9ァ-ヺー一-鿿Α-ω°\-\"'“‘’「『\[【<{〈《.()やか\ue000-\ue0ff])"
GLYPH = r"[a-h]"
BESIDE = rf"(?:\s*[:.)、]?\s*{OPEN}{MASKED}{CLOSE})?"
ITEM = rf"{OPEN}{NAMED}{OPEN}{GLYPH}{UNGLUED}{CLOSE}{BESIDE}"
SEPARATOR = (
    r"(?:\s*(?:,\s*and\b|,|、|・|/|;|と|及び|および|ならびに|かつ|\band\b|&|\+)\s*"
    r"|[ \t]+|(?<=[」』)\]】>}〉》〕])(?=[「『(\[【<{〈《〔]))"
)
RUN = rf"{OPEN}{GLYPH}{{2,8}}{UNGLUED}{CLOSE}"
LETTERS = rf"(?P<letters>(?>{ITEM}(?:{SEPARATOR}{ITEM}){{0,9}}+)|{RUN})"
NOT_OPEN_ENDED = (
    r"(?!\s*(?:または|又は|もしくは|あるいは|or\b|not\b|[~〜]|から|以外|でしょうか"
    r"|の(?:いずれ|どれ|うち|中|どちら)|で(?:は|も)?な|じゃな|か[a-h]))"
)

CUE = (
    r"(?:解答|回答|答え|答案?|正解|正答|結論|訂正|(?<![一-鿿])解(?=\s*:)"
    r"|(?<![a-z])(?:answers?|solution|ans|final(?=\s*:))(?![a-z])"
    rf"|(?<![a-z])correct\s+(?:option|choice|letter)s?(?![a-z])|{DECLARED})"
)
LINK = (
    r"(?:[\s:=,、\"'→⇒\-–—】」』)\]〉》]|は|が|是|として|です|の選択肢|の組(?:み)?合(?:わ)?せ"
    r"|番号|記号|(?:次|以下)の(?:通り|とおり)|[0-9]つ(?:で|は|の)?"
    r"|(?<![a-z])(?:is|are|(?:would|should|will|must) be|likely|therefore)(?![a-z]))*+"
)
TOGETHER = r"(?:の(?:[2-9二三両]つ|[2-9二三]個|両方))?"
COPULA = r"(?:です|である|だ|になります|となります|が(?:正解|正答|答え)(?:です)?)?"
BULLET = r"[ \t]*(?:[-→⇒∴・•●■◎○✅☑✔>#]+[ \t]*)?(?:[0-9]{1,3}[.)][ \t]*)?"
SAID = (
    r"(?=\s*(?:$|[。.,、:)」』(]|です|である|だ|が|を|と[考判思な]|に[なよ]|の[^いどう中]"
    r"|is (?:the|most|correct|right|best|likely)|(?:because|since|due)\b))"
)

CUED = re.compile(rf"{CUE}{LINK}{LETTERS}{NOT_OPEN_ENDED}")
BARE_LINE = re.compile(
    rf"{BULLET}(?:(?:選択肢?|option|choice)\s*[:は])?{LETTERS}"
    rf"[ \t]*{TOGETHER}{COPULA}[ \t。.,、!]*"
)
LABEL_LINE = re.compile(
    rf"{BULLET}{LETTERS}(?:[ \t]*[:.、。(]|です|である|(?<=[)\]」』】])[ \t]"
    rf"|(?<={MASKED})|[ \t]+[^\sa-z0-9]|[ \t]+(?:because|since|due)\b|[ \t]*$)"
)
POINTED_AT = re.compile(
    rf"(?:のは|選択肢?は|で(?:は)?なく|よって|したがって|従って|ゆえに|以上(?:から|より)"
    rf"|(?<![a-z])(?:therefore|thus|hence|choose|select|pick|option|choice|go with"
    rf"|it(?:['’]s| is))(?![a-z]))"
    rf"[\s、,:]*+{LETTERS}{NOT_OPEN_ENDED}{SAID}",
    re.M,
)
SINGLED_OUT = re.compile(
    rf"{APART}{LETTERS}\s*(?:[がを]\s*(?:正解|正答|答え|最も|最適|適切|正しい|該当|選|妥当"
    r"|考えられ|疑われ)|と\s*(?:考え|思|判断)"
    r"|(?:is|are) (?:the )?(?:most )?(?:correct|right|best|answer))"
)
LABEL_THEN_CHOICE = re.compile(
    rf"(?<![a-z0-9])({GLYPH}){CLOSE}\s*[:.)、\-]?\s*{OPEN}({MASKED})"
)
CHOICE_THEN_LABEL = re.compile(rf"({MASKED}){CLOSE}\s*[(「『]\s*({GLYPH})\s*[)」』]")
INLINE_LABEL = re.compile(
    rf"{APART}[「『]?({GLYPH})[」』]?\s*:(?!\s*[a-h0-9](?![a-z]))"
)
MORE_LABELS = re.compile(
    rf"(?:[,、;\n]|と|及び|および|\band\b)\s*{OPEN}({GLYPH}){CLOSE}\s*[:.)]"
)

# A label with a verdict: a reply that walks through the choices is no list of answers.
ALONE = r"(?<![a-z0-9ァ-ヺー一-鿿Α-ω°\-])"
ENDED = r"(?=\s*(?:$|[,;.、。()\n]|[a-h][).:]))"
VERDICT_LINK = (
    rf"{CLOSE}(?:\s?{MASKED})?[ \t]*(?:[:.)、(\-–—]|は|が|も|(?:is|are)\b)?[ \t]*[(「]?"
    rf"(?:{MASKED}[はがも:]?\s?)?"
)
WRONG = (
    r"(?:[×✗✘✕✖❌]|誤(?:り|っ|答)|間違|不適(?!合)|不正[解確]|正しくな|適切で(?:は)?な"
    r"|(?:で(?:は|も)|じゃ)(?:な|あり)|(?:not (?:correct|right|appropriate)"
    rf"|incorrect|wrong|false|no){ENDED})"
)
RIGHT = (
    r"(?:[○〇◯⭕✓✔✅]|正しい(?!か|とは)|正解|正答|適切(?!で(?:は)?な|か|とは)"
    rf"|(?:correct|right|true|yes){ENDED})"
)
LABELS = rf"{GLYPH}(?![a-z0-9])(?:{CLOSE}{SEPARATOR}{OPEN}{GLYPH}(?![a-z0-9])){{0,7}}+"
REJECTED = re.compile(
    rf"(?P<cue>{CUE}{LINK}{OPEN})?{ALONE}(?P<labels>{LABELS})"
    rf"(?P<link>{VERDICT_LINK}){WRONG}"
)
APPROVED = re.compile(rf"{ALONE}({GLYPH})(?![a-z0-9]){VERDICT_LINK}{RIGHT}")
# 「cではなくb」 states b alone, and so it does after a cue.
TAKEN_BACK = re.compile(
    rf"{ALONE}{GLYPH}{CLOSE}\s?(?:では|で|でも|じゃ)なくて?[、,\s]*(?={OPEN}{GLYPH}(?![a-z]))"
    rf"|(?<![a-z])not {OPEN}{GLYPH}{CLOSE},? but (?={OPEN}{GLYPH}(?![a-z]))"
)
SETTLED = re.compile("正解|正答")
INVERSE = re.compile(
    r"誤って|誤り|(?:で|く|し|られ|れ|か|が|べきで|が必要)ない|適切でな|不適|除く|禁忌"
    r"|\b(?:not|except|incorrect|false|contraindicated)\b"
)
ISOLATED = re.compile(rf"(?<![a-z]){GLYPH}(?![a-z])")


def _masked(plain: Plain, choices: tuple[str, ...]) -> Plain:
    """The text with every choice it quotes replaced by that choice's own character."""
    masks = _quotable(choices)
    if len(plain.text) <= 3 or not masks:
        return plain
    quoted = re.compile("|".join(map(re.escape, masks)))
    return plain.replaced(quoted, lambda found: masks[found[0]])


@lru_cache(maxsize=1024)
def _quotable(choices: tuple[str, ...]) -> dict[str, str]:
    """Choices as a reply would quote them, the longest first, and their masks."""
    texts = [plain_of(choice).text.rstrip("。.") for choice in choices]
    masks = [(text, chr(MASK + i)) for i, text in enumerate(texts)]
    quotable = [m for m in masks if not re.fullmatch(r"[a-h\W]*|.", m[0])]
    return dict(sorted(quotable, key=lambda pair: len(pair[0]), reverse=True))


def read_letters(text: str, question: Question, permissive: bool = False) -> Reading:
    """The letters a text states, sorted, and where it states them.

    A permissive reader also takes what a strict one leaves to a human.
    """
    if len(text) > LIMIT:
        return Reading(rule=TOO_LONG)
    plain = _masked(plain_of(text.replace("．", "、")), question.choices)
    plain = plain.replaced(TAKEN_BACK, "")
    judged = _judged(plain.text, inverse=bool(INVERSE.search(question.text.lower())))
    wanted, is_choice = len(question.answer), set(question.labels).issuperset
    found = list[Reading]()
    for rule, reader in READERS.items():
        for start, end, letters in reader(judged, wanted):
            answer = tuple(sorted(set(letters)))
            # A reply that merely goes through the choices names them all.
            is_all = rule != "strict" and len(answer) == len(question.labels)
            if answer and is_choice(answer) and not is_all:
                place = plain.span(start, end)
                found.append(Reading(answer, rule, place, is_strict=rule == "strict"))
        if found:
            return found[-1]
    return Reading()


def _judged(plain: str, inverse: bool) -> str:
    """The text without the labels it rejects, each character in its place.

    When the question asks for what is wrong, a verdict says nothing of the answer:
    labels said to be right go as well. Only 「cが誤り」 singles one out then.
    """

    def struck(found: re.Match[str]) -> str:
        if found["cue"] or (inverse and "が" in found["link"]):
            return found[0]
        return re.sub(GLYPH, "※", found["labels"]) + found[0][len(found["labels"]) :]

    plain = REJECTED.sub(struck, plain)
    if not inverse:
        return plain
    return APPROVED.sub(
        lambda f: f[0] if SETTLED.search(f[0]) else "※" + f[0][1:], plain
    )


def _letters_in(found: re.Match[str], wanted: int) -> str:
    """The letters of a matched list; a run such as `ac` must not look like a word."""
    said = found["letters"]
    if isolated := ISOLATED.findall(said):
        return "".join(isolated)
    run = "".join(re.findall(GLYPH, said))
    in_order = run == "".join(sorted(set(run)))
    return run if in_order or len(run) == len(set(run)) == wanted else ""


Found = tuple[int, int, str]


def _strict(plain: str, wanted: int) -> Iterator[Found]:
    """Lists after a cue and lines of nothing but letters, as they come."""
    cued = [(*f.span(), _completed(f, plain, wanted)) for f in CUED.finditer(plain)]
    stated = [*cued, *_bare_lines(plain, wanted)]
    yield from sorted(stated, key=lambda found: found[1])


def _approved(plain: str, wanted: int) -> Iterator[Found]:
    """Labels called right, in a walk through the choices, if as many as asked for."""
    found = list(APPROVED.finditer(plain))
    labels = {f[1] for f in found}
    if len(labels) == wanted:
        yield found[0].start(), found[-1].end(), "".join(labels)


def _completed(found: re.Match[str], plain: str, wanted: int) -> str:
    """The letters of a cued list, with those that come after a choice's text."""
    letters = _letters_in(found, wanted)
    if len(letters) >= wanted:
        return letters
    rest = plain[found.end() : found.end() + 400].split("\n\n")[0]
    more = letters + "".join(MORE_LABELS.findall(rest))
    return more if len(set(more)) == wanted else letters


Matcher = Callable[[str], "re.Match[str] | None"]


def _bare_lines(plain: str, wanted: int) -> Iterator[Found]:
    """The letters of lines of nothing but letters, each with the place of its end.

    Lines one below the other are one list. Lines with a gap between them are one only
    if that makes the number of letters asked for.
    """
    yield from _blocks(plain, BARE_LINE.fullmatch, wanted)
    for start, end, letters in _blocks(plain, BARE_LINE.fullmatch, wanted, True):
        if len(letters) == wanted:
            yield start, end, letters


def _blocks(
    plain: str, match: Matcher, wanted: int, across_gaps: bool = False
) -> Iterator[Found]:
    """Runs of neighbouring lines that match, each with its place and its letters."""
    place, first, last, block = 0, 0, 0, list[str]()
    for line in [*plain.split("\n"), "end"]:
        found = match(line)
        letters = _letters_in(found, wanted) if found else ""
        if found and letters:
            first = first if block else place + found.start("letters")
            last = place + found.end("letters")
            block.append(letters)
        elif block and (line or not across_gaps):
            yield first, last, _union(block)
            block = []
        place += len(line) + 1


def _union(block: Iterable[str]) -> str:
    return "".join(dict.fromkeys("".join(block)))


def _opening(plain: str, wanted: int) -> Iterator[Found]:
    """A text that opens with its letter: 「c: …」 on one line, or one line a letter."""
    blocks = list(_blocks(plain, LABEL_LINE.match, wanted))
    if not blocks or not LABEL_LINE.match(plain):
        return
    if len(blocks) == 1 or len(blocks[0][2]) == wanted:
        yield blocks[0]
    every = _union(letters for _, _, letters in blocks)
    if len(every) == wanted:
        yield blocks[0][0], blocks[-1][1], every


def _pointed(plain: str, wanted: int) -> Iterator[Found]:
    """Sentences that point at a choice: 「最も考えられるのはc」, "c is correct"."""
    found = [*POINTED_AT.finditer(plain), *SINGLED_OUT.finditer(plain)]
    for one in sorted(found, key=lambda match: match.end()):
        yield *one.span(), _completed(one, plain, wanted)


def _restated(plain: str, wanted: int) -> Iterator[Found]:
    """Labels beside their own choice, when they are as many as were asked for."""
    pairs = [(f.span(), f[1], f[2]) for f in LABEL_THEN_CHOICE.finditer(plain)]
    pairs += [(f.span(), f[2], f[1]) for f in CHOICE_THEN_LABEL.finditer(plain)]
    own = [(p, lab) for p, lab, c in pairs if ord(lab) - ord("a") == ord(c) - MASK]
    if len({lab for _, lab in own}) == wanted:
        places = [place for place, _ in own]
        yield min(places)[0], max(places)[1], _union(lab for _, lab in own)


def _inline(plain: str, wanted: int) -> Iterator[Found]:
    """Labels with a colon inside a sentence, when they are as many as asked for."""
    found = list(INLINE_LABEL.finditer(plain))
    labels = _union(f[1] for f in found)
    if len(labels) == wanted:
        yield found[0].start(1), found[-1].end(1), labels


def _listed(plain: str, wanted: int) -> Iterator[Found]:
    """Lines that open with a letter further down, as many as were asked for."""
    for block in _blocks(plain, LABEL_LINE.match, wanted):
        if len(block[2]) == wanted:
            yield block


READERS = {
    "strict": _strict,
    "verdicts": _approved,
    "opening": _opening,
    "pointed": _pointed,
    "restated": _restated,
    "inline": _inline,
    "listed": _listed,
}
