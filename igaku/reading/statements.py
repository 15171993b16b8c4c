"""Statements: every place of a plain text that says which letters are its answer.

A statement has force. What is declared, in a box, a tag, JSON or as final, outranks a
cue (「答え：」), a cue outranks a line of nothing but letters, that the verdicts of a
walk through the choices, and those outrank a sentence that points at a choice and a
label that merely stands beside what it labels.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from igaku.lazy import pattern
from igaku.reading.plain import DECLARED, DECLARED_END
from igaku.reading.readings import Force, Statement
from igaku.reading.wording import (
    ALONE,
    ANY_CUE,
    BULLET,
    CHANGED,
    CLOSE,
    CONCLUSIONS,
    CORRECTED,
    CUE,
    CUED,
    FINALLY,
    GLYPH,
    JSON_KEY,
    JSON_WHOLE,
    LETTER,
    LETTERS,
    MASK,
    MASKED,
    NAMED,
    NOT_OPEN_ENDED,
    OPEN,
    SAID,
    is_denied,
    is_supposed,
    leads,
    of_steps,
)


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring lines that are read as letters, and what stands before them.

    `is_next` follows another block after a gap alone; `is_headed` stands below a
    heading that speaks of something else.
    """

    letters: str
    start: int
    end: int
    is_next: bool
    is_headed: bool


# A heading that leads to no answer: a few words, no sentence, no conclusion.
HEADING = pattern(
    rf"(?!.*(?:{CUE}|再|最終|最後|修正|訂正|変更|結果|結局|まとめ|判断|選|final|revis"
    r"|correct|conclu|result|choice"
    r"|option))[#*■◆●\s]{0,6}[^。、,:!?.\s][^。、,:!?]{0,12}"
    r"[^ぁ-ん。、,:!?.\s※\ue000-\ue0ff]"
)
LINE = pattern("(?m:^).*")
TOGETHER = r"(?:の(?:[2-9二三両]つ|[2-9二三]個|両方))?"
COPULA = (
    r"(?:です|である|だ|になります|となります|となる|が(?:正解|正答|答え)(?:です)?"
    r"|입니다|이다)?(?:でしょう|だろう)?(?:か?と(?:思|考え)[^\s。]{0,6})?"
)
BARE_LINE = pattern(
    rf"{BULLET}(?:おそらく|恐らく|たぶん|多分|やはり)?"
    r"(?:(?:選択肢?|选项|選項|选|選|option|choice)\s?[:は]?)?"
    rf"{LETTERS}[ \t]?{TOGETHER}{COPULA}[ \t。.,、!?;|✅☑✔○]{{0,6}}\Z"
)
LABEL_LINE = pattern(
    rf"{BULLET}{LETTERS}(?:[ \t]?[:;.、。(|→–—]|です|である|(?<=[)\]」』】])[ \t]"
    rf"|(?<={MASKED})|[ \t][^\sa-z0-9]|,?[ \t](?:because|since|due|rather)\b|[ \t]?$)"
)
# A letter below one of these is a grade.
GRADE = pattern(
    r"(?:推奨|グレード|レベル|ランク|等級|分類|評価|型|級|度|期|群|クラス|ステージ"
    r"|level|score|class|stage|category|type|rank|rating|等级|证据|등급)[^。\w]{0,8}$"
    r"|^[^。\n]{0,20}(?:推奨|グレード|エビデンス|(?<![a-z])grade|recommend|推荐|推薦)"
    r"[^。\n]{0,20}$"
)
POINTED_AT = pattern(
    r"(?:のは|選択肢?は|べきは|で(?:は)?なく|(?:な?ので|だから|ことから|であるため"
    r"|やはり|やっぱり"
    r"|選ぶ(?:と|なら(?:ば)?)|最[善良適]は|ベストは|残り[はが:]?|最[^\s。,]{1,6}的是"
    r"|보니|本(?:症?例|問)では|この(?:症例"
    r"|場合|問題)では)|よって|したがって|従って|ゆえに|以上(?:から|より)"
    r"|(?<![a-z])(?:therefore|thus|hence|choose|select|pick|option|choice|go with"
    r"|it(?:['’]s| is)|so|should be|leaves|leaving|the best is"
    r"|remaining [a-z]{3,8} (?:is|are)|exception is|i(?:['’]d| would) say|i (?:think"
    r"|believe|guess)"
    r"|definitely|probably|must be|(?:most|best)\s[a-z ]{3,40} is)(?![a-z])|것은"
    r"|(?:除外|消去|排除|否定)[しすさでき]{1,4}[てたのるとば]{0,2}[、,]?"
    r"|所以|因此|(?:认为|認為|应该|應該)是?|따라서|그러므로"
    rf"|(?:根据|綜上|综上)[^。\n]{{0,8}})"
    rf"[\s、,:，]{{0,4}}+{LETTERS}{NOT_OPEN_ENDED}{SAID}",
    re.MULTILINE,
)
SINGLES = pattern(
    r"[がをとにでの是为為正最가이을를]|\b(?:is|are|be|seems|appears|looks|remain)"
)
SINGLED_OUT = pattern(
    r"(?<![a-z0-9ァ-ヺー一-鿿Α-ω°\-\"'“‘’「『\[【<{〈《.()やか\ue000-\ue0ff])"
    rf"{LETTERS}\s?(?:[がを]\s?(?:より|一番|残|正解|正答|答え|最も|最適|最善|最良"
    r"|第一選択|唯一|ベスト|本命|適切|正しい|該当|選"
    r"|妥当|考えられ|疑われ)|[だか]?と\s?(?:考え|思|判断)|でしょう"
    r"|[とに]\s?(?:する|します|しました|決め)"
    r"|を(?:行う|実施する)(?=。|べき)|で決まり|の(?:方|ほう)が"
    r"|(?:is|are|(?:would|must|should) be|(?:seems|appears)(?: to be)?|looks)"
    r" (?:the )?(?:only |single )?(?:most|more|correct|right|best|better|answer)"
    r"|remains?\b|(?:是|为|為)?(?:正[确確]|最(?:佳|合适|合適|可能|符合))"
    r"|[가이] (?:정답|답|맞|옳|가장)|[을를] (?:선택|고[르른]|골))"
)
# 「答えは、画像所見から c です」
NEXT_BEST = pattern(
    r"(?:次[にい]|次いで|第[二2]|[二2]番目)[^。\n]{0,12}\Z|second[- ]\Z"
)
AFTER_WORDS = pattern(
    rf"(?P<cue>{CUE})(?:は|が|:|(?<=[a-z]) is)"
    rf"(?:(?!not\b|ではな|でな|以外)[^。\n{DECLARED}]){{0,40}}?"
    rf"(?<![a-z0-9(（「/]){LETTERS}{NOT_OPEN_ENDED}"
    r"(?=\s?(?:です|である|だ|入|と考え|입니다|[。.]?\s?$))",
    re.MULTILINE,
)
SENTENCE = pattern(
    rf"(?:(?<=[。！!?])\s?|(?<=が[、,])\s?|(?:(?<=[a-z]{{4}}\.)|(?<= no\.))\s){LETTERS}"
    r"(?:\s?(?:です|である|だ)(?=。|$)|\s?[.。]?\s*\Z)",
    re.MULTILINE,
)
LABEL_THEN_CHOICE = pattern(
    rf"(?<![a-z0-9])({GLYPH}){CLOSE}\s?[:.)、/=→–—の-]?\s?{OPEN}({MASKED})"
)
# 「… → c」, at the end of all.
ARRIVED_AT = pattern(rf"(?:→|⇒|->|だが|ですが)[、,]?[ \t]?{LETTERS}[。.]?\s*\Z")
CHOICE_THEN_LABEL = pattern(
    rf"({MASKED}){CLOSE}\s?(?:[(「『]\s?{NAMED}(?=[a-h]\s?[)」』])|[:、,]\s?"
    rf"(?=[a-h](?:[\s。.]|$)))({GLYPH})"
)
INLINE_LABEL = pattern(
    rf"{ALONE}(?<![\"'“‘’「『\[【<{{〈《.()やか\ue000-\ue0ff])[「『]?({GLYPH})[」』]?\s?:"
    r"(?!\s?[a-h0-9](?![a-z]))"
)
# A second letter that another sentence names.
MORE_SAID = pattern(
    rf"(?:もう[1一]つ(?:の[^\s。a-h]{{0,6}})?は|それと|(?<![a-z])(?:the )?(?:second"
    rf"|other)(?: [a-z]{{3,8}})? is)\s?{OPEN}({GLYPH})(?![a-z0-9])(?!{CLOSE}\s?か)"
    rf"|(?<![a-z0-9]){OPEN}({GLYPH}){CLOSE}\s?(?:も(?:正解|正しい|適切)|is also\b"
    r"|too\b)"
)
# What another sentence needs to name one, looked for first.
MORE_WORD = pattern(r"も|それと|second|other|also|too")
MORE_LABELS = pattern(
    rf"(?:[,、;\n。]|と|及び|および|和|\band\b){BULLET}{OPEN}({GLYPH}){CLOSE}\s?[:.)]"
)
# 「正しい組合せは c です」, 「まず行うべき検査は c である」
NAMED_FOR = pattern(
    rf"(?:^|(?<=[。、\n]))(?![^。\n]{{0,30}}(?:次|候補|誤答"
    rf"|不正解|例))[^。、\n※]{{1,30}}[一-鿿のー]は"
    rf"\s?{LETTERS}\s?(?:です|である|だ|となる|になる|を選ぶ|(?:の"
    rf"|:)\s?{MASKED}{CLOSE}\s?(?:です|である|だ))"
    r"(?=[。!\n]|$)",
    re.MULTILINE,
)
COUNTED = pattern(
    r"(?:[1-3一二三](?:つ|個)目|(?<![a-z0-9.])[1-3](?=[.):]?\s)|[1一]つは"
    r"|もう[1一]つは|第[1-3一二三]|(?<![a-z])(?:first|second|third)(?![a-z]))"
    rf"[^a-z0-9。\n]{{0,6}}(?:is\s)?(?:answer\s?(?:is|:)\s?)?{LETTERS}"
)
CHANGES = pattern(r"[にへ로]\s?(?:訂正|変更|修正|改め|直|정정|변경|바[꾸꿉]|수정)")
JSON_NUMBERED = pattern(rf"[\"'][1-9][\"']\s?:\s?[\"']({GLYPH})[\"']")
MORE_STRINGS = pattern(rf",\s?[\"']{OPEN}({GLYPH}){CLOSE}\s?[:.)、\s]")
GLOSSED = pattern(r"(?<=[a-h])\s?\([^()\n]{2,60}\)")
ANY_MARK = pattern(f"[{DECLARED}{DECLARED_END}]")


def statements_of(plain: str, wanted: int) -> list[Statement]:
    """All statements of a text whose walk and whose doubts are struck out of it."""
    bare = _bare(plain, wanted)
    found = [*_cued(plain, wanted, {one.start: one for one in bare}), *bare]
    apart = (_counted, _labelled, _pointed, _restated, _inline)
    for reader in (_in_json, _corrected, *apart):
        found += reader(plain, wanted)
    return _declared([one for one in found if one.said], plain)


def _cued(plain: str, wanted: int, lists: dict[int, Statement]) -> Iterator[Statement]:
    """Lists after a cue, on its line or on those below."""
    told = of_steps(plain)
    for found in CUED.finditer(plain):
        if found.start() in told or not leads(found):
            continue
        cue = found["cue"]
        before = plain[max(0, found.start() - 12) : found.start()]
        is_final = cue in CONCLUSIONS or cue.startswith("final")
        final = is_final or FINALLY.search(before)
        force = Force.CONCLUSION if final else Force.CUE
        force = Force.POINTED if is_supposed(found) else force
        rule = "conclusion" if final else "cue"
        letters, end = _completed(found, plain, wanted), found.end()
        if below := lists.get(found.start("letters")):
            letters, end = below.said, below.end
        yield Statement(letters, found.start(), end, rule, force, True)


def _in_json(plain: str, wanted: int) -> Iterator[Statement]:
    """Values of keys that say answer."""
    for found in chain(JSON_KEY.finditer(plain), JSON_WHOLE.finditer(plain)):
        letters = _letters_in(found, wanted)
        if "[" in found["letters"] and len(letters) < wanted:
            rest = plain[found.end() : found.end() + 400].split("]")[0]
            letters = _union([letters, *MORE_STRINGS.findall(rest)])
        yield Statement(letters, *found.span(), "json", Force.CONCLUSION, True)
    if numbered := list(JSON_NUMBERED.finditer(plain)):
        letters = _union(found[1] for found in numbered)
        place = numbered[0].start(), numbered[-1].end()
        yield Statement(letters, *place, "json", Force.CUE, True)


def _corrected(plain: str, wanted: int) -> Iterator[Statement]:
    """What a reply says it should have said."""
    changed = CHANGED.finditer(plain) if CHANGES.search(plain) else ()
    for found in chain(CORRECTED.finditer(plain), changed):
        letters = _letters_in(found, wanted)
        yield Statement(letters, *found.span(), "correction", Force.CUE, True)


def _declared(found: list[Statement], plain: str) -> list[Statement]:
    """Statements inside a box or a tag are what it declares."""
    marks = [(mark.start(), mark[0]) for mark in ANY_MARK.finditer(plain)]
    if not marks:
        return found
    places = [place for place, _ in marks]

    def raised(one: Statement) -> Statement:
        last = marks[bisect_right(places, one.start) - 1]
        if last[0] > one.start or last[1] == DECLARED_END:
            return one
        return replace(one, force=Force.CONCLUSION, rule="declared", is_strict=True)

    return [raised(one) for one in found]


def _letters_in(found: re.Match[str], wanted: int) -> str:
    """The letters of a matched list; a run such as `ac` must not look like a word."""
    said = found["letters"]
    if len(said) == 1:
        return str(said)
    said = GLOSSED.sub("", said)
    if isolated := LETTER.findall(said):
        return _union(isolated)
    run = "".join(re.findall(GLYPH, said))
    in_order = run == "".join(sorted(set(run)))
    return run if in_order or len(run) == len(set(run)) == wanted else ""


def _completed(found: re.Match[str], plain: str, wanted: int) -> str:
    """The letters of a cued list, with those that come after a choice's text."""
    letters = _letters_in(found, wanted)
    if len(letters) >= wanted:
        return letters
    rest = plain[found.end() : found.end() + 400].split("\n\n")[0]
    if MORE_WORD.search(rest):
        said = _union([*letters, *("".join(one) for one in MORE_SAID.findall(rest))])
        if len(said) == wanted:
            return said
    if cue := ANY_CUE.search(rest):
        rest = rest[: cue.start()]
    more = _union([*letters, *MORE_LABELS.findall(rest)])
    return more if len(more) == wanted else letters


def _bare(plain: str, wanted: int) -> list[Statement]:
    """Lines of nothing but letters.

    Lines one below the other are one list. Lines with a gap between them are one only
    if that makes the number of letters asked for.
    """
    blocks = list(_blocks(plain, BARE_LINE, wanted))
    found = [_of_lines(block, plain) for block in blocks]
    apart = list[Block]()
    for block in blocks:
        if apart and block.is_next:
            last = apart[-1]
            letters = _union([last.letters, block.letters])
            apart[-1] = replace(last, letters=letters, end=block.end)
        else:
            apart.append(block)
    return found + [_of_lines(b, plain) for b in apart if len(b.letters) == wanted]


def _of_lines(block: Block, plain: str) -> Statement:
    """The statement of lines of letters; a letter beside its choice is not bare."""
    is_quoted = block.is_headed or re.search(MASKED, plain[block.start : block.end])
    rule, force = ("quoted", Force.QUOTED) if is_quoted else ("bare", Force.BARE)
    return Statement(block.letters, block.start, block.end, rule, force, True)


def _counted(plain: str, wanted: int) -> Iterator[Statement]:
    """Letters told one by one: 「1つ目はa、2つ目はd」."""
    found = list(COUNTED.finditer(plain))
    letters = _union(_letters_in(one, wanted) for one in found)
    if len(found) > 1 and len(letters) == wanted:
        start, end = found[0].start(), found[-1].end()
        yield Statement(letters, start, end, "counted", Force.CUE, True)


def _blocks(plain: str, form: re.Pattern[str], wanted: int) -> Iterator[Block]:
    """Runs of neighbouring lines of a form, each with the letters of its lines."""
    block, is_next, before = None, False, ""
    for line in LINE.finditer(plain):
        found = form.match(line[0])
        if found and GRADE.search(before) and not ANY_CUE.search(before):
            found = None
        if found and (letters := _letters_in(found, wanted)):
            start, end = (line.start() + place for place in found.span("letters"))
            if block:
                letters = _union([block.letters, letters])
                block = replace(block, letters=letters, end=end)
            else:
                is_headed = HEADING.fullmatch(before[:24]) is not None
                block = Block(letters, start, end, is_next, is_headed)
        elif block:
            yield block
            block, is_next = None, not line[0]
        else:
            is_next = is_next and not line[0]
        before = line[0] or before
    if block:
        yield block


def _union(letters: Iterable[str]) -> str:
    return "".join(dict.fromkeys("".join(letters)))


def _labelled(plain: str, wanted: int) -> Iterator[Statement]:
    """Lines that open with their letter: at the head of the text, or further down.

    「c: …」 on one line is read, and one line a letter. Further down they have to be as
    many as were asked for.
    """
    blocks = _blocks(plain, LABEL_LINE, wanted)
    listed = [
        Statement(b.letters, b.start, b.end, "listed", Force.LISTED) for b in blocks
    ]
    yield from (one for one in listed if len(one.said) == wanted)
    if not listed or not LABEL_LINE.match(plain):
        return
    opening = replace(listed[0], rule="opening", force=Force.OPENING)
    if len(listed) == 1 or len(opening.said) == wanted:
        yield opening
    every = _union(one.said for one in listed)
    if len(every) == wanted:
        yield replace(opening, said=every, end=listed[-1].end)


def _pointed(plain: str, wanted: int) -> Iterator[Statement]:
    """Sentences that point at a choice: 「最も考えられるのはc」, "c is correct"."""
    singled = [SINGLED_OUT] if SINGLES.search(plain) else []
    others = [POINTED_AT, SENTENCE, AFTER_WORDS, ARRIVED_AT, NAMED_FOR]
    for each in singled + others:
        for found in each.finditer(plain):
            before = plain[max(0, found.start() - 16) : found.start()]
            if each is AFTER_WORDS and is_denied(found):
                continue
            if each is POINTED_AT and NEXT_BEST.search(before):
                continue
            letters = _completed(found, plain, wanted)
            start, end = found.span()
            yield Statement(letters, start, end, "pointed", Force.POINTED)


def _restated(plain: str, wanted: int) -> Iterator[Statement]:
    """Labels beside their own choice, when they are as many as were asked for."""
    pairs = [(f.span(), f[1], f[2]) for f in LABEL_THEN_CHOICE.finditer(plain)]
    pairs += [(f.span(), f[2], f[1]) for f in CHOICE_THEN_LABEL.finditer(plain)]
    own = [(p, lab) for p, lab, c in pairs if ord(lab) - ord("a") == ord(c) - MASK]
    letters = _union(lab for _, lab in own)
    if len(letters) == wanted:
        start, end = min(p for p, _ in own)[0], max(p[1] for p, _ in own)
        yield Statement(letters, start, end, "restated", Force.RESTATED)


def _inline(plain: str, wanted: int) -> Iterator[Statement]:
    """Labels with a colon inside a sentence, when they are as many as asked for."""
    found = list(INLINE_LABEL.finditer(plain))
    letters = _union(f[1] for f in found)
    if len(letters) == wanted:
        start, end = found[0].start(1), found[-1].end(1)
        yield Statement(letters, start, end, "inline", Force.INLINE)
