"""The letters a reply states, told from the letters it merely contains.

Of all statements the one with most force is read, and of equal ones the last. Letters
inside words, names, images and the choices' own texts are never statements; nor are
those of a walk through the choices, of an alternative left open, of what others would
say, and of what is taken back. A choice's text without its letter is none either for
the strict reader, for then reading would be grading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from igaku.exam.questions import Question
from igaku.lazy import pattern
from igaku.reading.begins import on_its_own_line
from igaku.reading.plain import Plain, plain_of
from igaku.reading.readings import LIMIT, TOO_LONG, Force, Reading, Statement
from igaku.reading.statements import statements_of
from igaku.reading.walks import Walk, walk_of
from igaku.reading.wording import (
    ALONE,
    BESIDE,
    CLOSE,
    GLYPH,
    LABELS,
    LETTER,
    MASK,
    MASKED,
    NAMED,
    OPEN,
    SEPARATOR,
    STRUCK,
    UNGLUED,
)

ONE = rf"{GLYPH}(?![a-z0-9])"
# 「cではなくb」 states b alone, and so it does after a cue.
TAKEN_BACK = pattern(
    r"(?=[a-hn,\s不并並])(?:"
    rf"{ALONE}{LABELS}{CLOSE}(?:の?[^\n。、,]{{0,20}}?)?[、,]?\s?(?:では|で|でも"
    rf"|じゃ)なくて?[、,\s]{{0,3}}(?={OPEN}{ONE})"
    rf"|{ALONE}(?:{GLYPH}{CLOSE}\s?でも[、,]?\s?){{1,7}}なく[、,]?\s?(?={OPEN}{ONE})"
    rf"|(?<![a-z])(?:not {OPEN}{GLYPH}{CLOSE},? (?:and |or )?){{1,6}}but (?:rather )?"
    rf"(?={OPEN}{ONE})"
    rf"|{ALONE}{GLYPH}{CLOSE}\s?(?:→|⇒|->)\s?(?={OPEN}{ONE}{CLOSE}[。.]?(?:\n|$))"
    rf"|{ALONE}{GLYPH}{CLOSE}\s?(?:[→を]\s?(?={OPEN}{ONE}{CLOSE}\s?[にへ]\s?(?:訂正"
    rf"|変更|修正))|より(?:も|は)?[、,]?\s?(?={OPEN}{ONE}))"
    rf"|(?<=[a-h)]),?\s\(?(?:not|instead of|rather than) {OPEN}{ONE}{CLOSE}(?=[.,\s]|$)"
    rf"|(?:不是|[并並]非)\s?{OPEN}{GLYPH}{CLOSE}[,、]?\s?而是\s?(?={OPEN}{ONE})"
    rf"|{ALONE}{GLYPH}{CLOSE}[가이] 아[니닌]라?\s?(?={OPEN}{ONE}))"
)
EITHER = (
    r"(?:[,、]?\s?(?:または|又は|もしくは|あるいは|或いは|或者|或|还是|還是|또는|혹은"
    r"|이거나|이?나(?=\s)|\bor\b)\s?|\s?か[、,]?\s?)"
)
# What an alternative needs, looked for first: the pattern of one is dear.
OPEN_WORD = pattern(
    r"または|又は|もしくは|あるいは|或|还是|還是|또는|혹은|이거나|나\s|\bor\b|か|중|可能"
)
UNDECIDED = pattern(
    rf"{ALONE}{ONE}{CLOSE}{BESIDE}(?:{SEPARATOR}{OPEN}{ONE}{CLOSE}{BESIDE}){{0,6}}"
    rf"(?:{EITHER}{OPEN}{NAMED}{OPEN}{ONE}(?![はが]?\s?(?:正しい|正解))"
    r"|\s?の?(?:うちの?|中の?)?(?:いずれ|どちら|どれ)か|\s?중 하나|\s?都有可能)"
)
BELIEF = pattern(
    r"思|考え|誤解|間違|答えた|選びた|がち|勘違い|迷|候補|え[るまた]|次善|次点|言いたい|かも|可能性"
    r"|かどうか|否か|最初|初め|当初|seem|look|appear|th(?:ink|ought)|sa[iy]|answer"
    r"|cho(?:se|ose)|pick|wrote|consider|tempt|plausible|attractive"
)
BELIEVED = pattern(
    rf"{ALONE}{LABELS}{CLOSE}{BESIDE}\s?(?:だ|である|です)?\s?[とをにがでは]?\s?"
    r"(?:。?と言いたい|(?<!\n)の?(?:次善|次点)|思われがち|考えがち|思いがち"
    r"|考えられがち|されがち|答えがち|選びがち|誤解|間違え(?:やす|られ)"
    r"|答えたくな|選びたくな|勘違い|迷(?:う|い|った)|思(?:うかもし|われるかもし"
    r"|いましたが|ったが)"
    r"|考え(?:たが|ましたが|るかもし)|も(?:考えられるが|考えられますが)|が?候補"
    r"|思いきや|(?:の?よう)?に(?:見え|思え))"
    r"|(?<![a-z])i (?:initially|first|at first) (?:wrote|said|thought|chose|picked"
    r"|answered)[^.,\n]{0,30}?" + rf"{OPEN}{ALONE}{ONE}"
    r"|(?<![a-z])(?:(?<!i )(?:may|might|could) (?:seem|look|appear|think|say|answer"
    r"|choose|be tempted)|tempting to|(?:initially|at first|first),? (?:i )?(?:thought"
    r"|chose|considered)|(?:people|students|many|some) (?:often |would |might "
    r"|may )?(?:choose|answer|say"
    r"|think|pick))(?![a-z])[^.\n]{0,30}?" + rf"{OPEN}{ALONE}{ONE}"
    rf"|{ALONE}{LABELS}{CLOSE} (?:is|looks|seems) (?:tempting|plausible|attractive)"
    rf"|{ALONE}{LABELS}{CLOSE}\s?[はがも]\s?(?:誤り|間違い|正しい|不適切|適切)"
    r"[のなであるい]{0,4}(?:かも|可能性|か(?:どうか|否か))"
    r"|(?:最初|初め|当初)は[、,]?\s?" + rf"{OPEN}{ONE}"
)
ONLY = pattern(r"[只仅僅唯]有(?=[a-h])")
# A letter behind one of these is part of a name.
NAMES = pattern(
    r"(?<![a-z])(?:vitamins?|hepatitis|type|grade|class|group|stage|factor|protein"
    r"|influenza|child-pugh) [a-h](?![a-z0-9])(?!\s?[:.]\s)"
)
ON_ITS_OWN = pattern(rf"{ALONE}{GLYPH}{UNGLUED}")
QUOTE = pattern(MASKED)
CIRCLED = frozenset("①②③④⑤⑥⑦⑧⑨⑩")
WITHDRAWN = pattern(
    r"(?:です|である|だ|と思います)?[^\w\n]{0,4}\s{0,2}(?:(?:いや|いえ|待って|違う"
    r"|違います|いいえ)[、。,!]|(?:wait|oops|no)(?=[,.!-])|不对|不對|错了|錯了|아니)"
)
# What makes all that was said before it void, if something is stated after it.
HESITATION = pattern(
    r"うーん|もう一度考え|(?<![a-z])(?:hmm+|wait|let me (?:re)?(?:consider|think|check"
    r"|evaluate|examine)[a-z]*"
    r"|scratch that|(?:up)?on re(?:consideration|flection|view)|on second thought"
    r"|i (?:made|was) (?:an? )?(?:mistake|wrong|error))(?![a-z])"
    r"|再検討(?=[:すし])|再考(?=[:すし])|考え直|よく考えると|間違え(?:ました"
    r"|た)(?=[。、])|待って"
    r"|(?<![ぁ-ん])いや(?=[、。,])|失礼しました|不对|不對|等等|重新(?:考虑|思考)|잠깐"
    r"|다시 생각"
)
CALLED_WRONG = pattern(
    r"[^\w\n]{0,4}\s{0,2}(?:(?:but )?(?:that|this|it)(?:['’]s| is| was)"
    r" (?:wrong|incorrect|not (?:right|correct)|a mistake)"
    r"|(?:(?:これ|それ)?は|と(?:する|答える|考える)の[はも]|を選ぶの[はも])"
    r"(?:誤り|間違い|不正解|不適切)|で(?:は|も)な[いく]"
    r"|(?:is|was|(?:would|could|must|will) be) (?:the |an? )?(?:wrong|incorrect|mistake"
    r"|not\b)|would be (?:for|in|if)\b)"
)
INVERSE = pattern(
    r"誤って|誤り|不適|除く|禁忌|適切でな"
    r"|(?<!なければなら)(?<!なくてはなら)(?<!かもしれ)(?<!違い)(?<!少)"
    r"(?:ない|にくい|可能性が低い)(?:と(?:考えられる|思われる|される|いえる))?"
    r"(?:の|もの|こと|[一-鿿ァ-ヺー]{1,10})は"
    r"|\b(?:not|except|incorrect|false|contraindicated)\b"
)
NOTHING_ELSE = pattern(
    r"\s*(?P<said>(?P<cue>(?:answer|答え|解答|回答|正解) ?[:：] ?)?"
    r"(?P<letters>[a-h](?:, ?[a-h]){0,7}))\s*",
    re.IGNORECASE,
)
ASKING = pattern(r"[^。\n]*(?:どれ|選べ|何か|\?)[^。\n]*")
BETWEEN = pattern(
    r"(?:[\s,、。;.&+・/|\"'\]\[{}()\ue100\ue101]|と|および|及び|和|与|與|및|와|과|and"
    r"|です|である|もう|[1一]つ(?:目)?|の|は|second|another|also|また|さらに|加えて"
    r"|(?:最終)?(?:回答|答え|解答)|the|answers?|json){0,16}"
)


def read_letters(text: str, question: Question, permissive: bool = False) -> Reading:
    """The letters a text states, sorted, and where it states them.

    A permissive reader also takes what a strict one leaves to a human.

    >>> read_letters("答え: c", question)  # doctest: +SKIP
    Reading(answer=('c',), rule='cue', span=(0, 5), second=None, is_strict=True)
    """
    if len(text) > LIMIT:
        return Reading(rule=TOO_LONG)
    if (found := NOTHING_ELSE.fullmatch(text)) and (said := _bare(found, question)):
        return said  # most replies of a terse model, read in no time
    plain = plain_of(text.replace("．", "、"))
    whole = _masked(_signs_read(plain, text, question.choices), question.choices)
    reading = _strictly(whole, question)
    if permissive and len(reading.answer or ()) != len(question.answer):
        return _permissively(whole, question) or reading
    return reading


def _bare(found: re.Match[str], question: Question) -> Reading | None:
    """The reading of a text that is nothing but letters, or a cue and letters."""
    letters = tuple(sorted(set(re.findall("[a-h]", found["letters"].lower()))))
    if not set(letters) <= set(question.labels):
        return None
    rule = "cue" if found["cue"] else "bare"
    return Reading(letters, rule, found.span("said"), is_strict=True)


def _strictly(whole: Plain, question: Question) -> Reading:
    """What a text states, without its doubts, its walk and what it rejects."""
    wanted, labels = len(question.answer), "".join(question.labels)
    plain = whole.replaced(ONLY, " ").replaced(TAKEN_BACK, "")
    plain = plain.replaced(NAMES, _struck)
    if OPEN_WORD.search(plain.text):
        plain = plain.replaced(UNDECIDED, _struck)
    if BELIEF.search(plain.text):
        plain = plain.replaced(BELIEVED, _struck)
    plain = on_its_own_line(plain, labels, wanted)
    inverse = _is_inverse(question.text)
    walk = walk_of(plain.text, labels, wanted)
    found = [
        *statements_of(_without(plain.text, walk, inverse), wanted),
        *_of_verdicts(walk, labels, wanted, inverse),
    ]
    return _reading(_standing(found, plain.text, labels, inverse), plain, wanted)


def _permissively(whole: Plain, question: Question) -> Reading | None:
    """What a lenient reader makes of a text that states no answer of the right size.

    In this order: all labels but those called wrong; the last statement of that size,
    whatever stands against it; the choices quoted; the last letters on their own.
    """
    wanted, labels = len(question.answer), "".join(question.labels)
    wrong = walk_of(whole.text, labels, wanted).called(_is_inverse(question.text))
    quoted = [
        (m.start(), chr(ord(m[0]) - MASK + 97)) for m in QUOTE.finditer(whole.text)
    ]
    alone = [(m.start(), m[0]) for m in ON_ITS_OWN.finditer(whole.text)]
    last = list(dict.fromkeys(letter for _, letter in reversed(alone)))[:wanted]
    stated = [
        one
        for one in statements_of(whole.text, wanted)
        if len(one.said) == wanted and set(one.said) <= set(labels)
    ]
    if stated and len(set(labels) - wrong) != wanted:
        return replace(_reading(stated, whole, wanted), is_strict=False)
    for letters, rule, places in (
        (set(labels) - wrong, "elimination", alone),
        ({letter for _, letter in quoted}, "choice", quoted),
        (set(last) & set(labels), "last", alone),
    ):
        if len(letters) == wanted:
            stood = [place for place, letter in places if letter in letters] or [0]
            span = whole.span(min(stood[-wanted:]), stood[-1] + 1)
            return Reading(tuple(sorted(letters)), rule, span)
    return None


def _signs_read(plain: Plain, text: str, choices: tuple[str, ...]) -> Plain:
    """The text with signs that are choices, 「②」, read as what they stand for.

    Beside letters a sign is a choice that is quoted; where a reply has no letter it is
    what the reply calls its choices by, and as good as one.
    """
    signs = {c: i for i, c in enumerate(choices) if c in CIRCLED}
    if not any(sign in text for sign in signs):
        return plain
    found = [(i, signs[text[at]]) for i, at in enumerate(plain.starts)
             if text[at] in signs]  # fmt: skip
    quoted, named = (
        plain.with_words((i, i + 1, chr(first + choice)) for i, choice in found)
        for first in (MASK, ord("a"))
    )
    return quoted if LETTER.search(quoted.text) else named


def _masked(plain: Plain, choices: tuple[str, ...]) -> Plain:
    """The text with every choice it quotes replaced by that choice's own character."""
    quoted, masks = _quotable(choices)
    if len(plain.text) <= 3 or not any(choice in plain.text for choice in masks):
        return plain
    return plain.replaced(quoted, lambda found: masks[found[0]])


@lru_cache(maxsize=1024)
def _quotable(choices: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """Any choice as a reply would quote it, the longest first, and each one's mask."""
    texts = [plain_of(choice).text.rstrip("。.") for choice in choices]
    masks = [(text, chr(MASK + i)) for i, text in enumerate(texts)]
    quotable = [m for m in masks if not re.fullmatch(r"[a-h\W]*|.", m[0])]
    found = dict(sorted(quotable, key=lambda pair: len(pair[0]), reverse=True))
    return re.compile("|".join(map(re.escape, found))), found


@lru_cache(maxsize=4096)
def _is_inverse(text: str) -> bool:
    """Whether the sentence that asks asks for what is wrong."""
    asking = ASKING.findall(text)[-2:] or [text]
    return INVERSE.search(" ".join(asking).lower()) is not None


def _struck(found: re.Match[str]) -> str:
    return LETTER.sub(STRUCK, found[0])


def _of_verdicts(
    walk: Walk, labels: str, wanted: int, inverse: bool
) -> Iterator[Statement]:
    """What the verdicts of a walk say.

    Where the question asks for what is wrong, 「c: 誤り」 and 「c: ○」 may both be
    the answer: it is the side that has as many labels as asked for, if every label has
    its verdict. Called the answer, a label is it, and so is the one singled out:
    「cが誤り」, not 「cは誤り」.
    """
    right, wrong = walk.called(True), walk.called(False)
    is_whole = right | wrong == set(labels)
    picked = set[str]()
    if not inverse and (len(right) == wanted or is_whole):
        picked = right
    elif inverse and len(walk.called(True, settled=True)) == wanted:
        picked = walk.called(True, settled=True)
    elif inverse and is_whole and len(right) != len(wrong):
        picked = next((side for side in (right, wrong) if len(side) == wanted), picked)
    if picked and (len(picked) < len(labels) or wanted == len(labels)):
        start = min(verdict.start for verdict in walk.verdicts)
        end = max(verdict.end for verdict in walk.verdicts)
        letters = "".join(sorted(picked))
        yield Statement(letters, start, end, "verdicts", Force.VERDICTS, is_whole)
    if inverse and not picked and len(wrong) == wanted and not right:
        # 「cは誤り」, where nothing else is called so.
        against = [verdict for verdict in walk.verdicts if verdict.label in wrong]
        start, end = min(v.start for v in against), max(v.end for v in against)
        said = "".join(sorted(wrong))
        yield Statement(said, start, end, "pointed", Force.POINTED)
    if not inverse and not right:
        yield from _left_over(walk, labels, wanted)


def _left_over(walk: Walk, labels: str, wanted: int) -> Iterator[Statement]:
    """The steps of a walk that calls every other label wrong."""
    wrong = walk.called(False)
    left = {place: step for place, step in walk.steps.items() if step not in wrong}
    letters = set(left.values())
    if wrong | letters == set(labels) and len(letters) == wanted:
        start, end, said = min(left), max(left) + 1, "".join(sorted(letters))
        yield Statement(said, start, end, "elimination", Force.LISTED)


def _without(plain: str, walk: Walk, inverse: bool) -> str:
    """The text without the labels of its walk and those with a verdict against them.

    When the question asks for what is wrong, a verdict says nothing of the answer:
    labels said to be right go as well. Only 「cが誤り」 singles one out then.
    """
    letters = list(plain)
    for place in walk.steps:
        letters[place] = STRUCK
    for verdict in walk.verdicts:
        is_against = not verdict.is_right and not (inverse and verdict.is_singled)
        if is_against or (inverse and not verdict.is_settled):
            letters[verdict.start] = STRUCK
    return "".join(letters)


def _standing(
    found: Iterable[Statement], plain: str, labels: str, inverse: bool
) -> list[Statement]:
    """Statements of the question's own letters that are not taken back later on."""
    valid = [
        one
        for one in found
        if set(one.said) <= set(labels)
        and not (len(one.said) == len(labels) and _is_weak(one))
        and not WITHDRAWN.match(plain, one.end)
        and (inverse or not CALLED_WRONG.match(plain, one.end))
    ]
    corrected = [one.start for one in valid if one.rule == "correction"]
    firm = [one.start for one in valid if one.force >= Force.POINTED]
    latest = max(firm, default=-1)
    doubts = [found.start() for found in HESITATION.finditer(plain)]
    void = max([*corrected, *(at for at in doubts if at < latest)], default=0)
    return [one for one in valid if one.start >= void]


def _is_weak(one: Statement) -> bool:
    """Whether naming every label makes a statement none: one that goes through them."""
    return one.force < Force.VERDICTS or one.rule == "json"


def _reading(found: list[Statement], plain: Plain, wanted: int) -> Reading:
    """The reading of the statement that counts: most force, of equal ones the last."""
    if not found:
        return Reading()
    ranked = sorted(found, key=lambda one: (one.force, one.end))
    best = _joined([o for o in ranked if o.force == ranked[-1].force], plain, wanted)
    answer = tuple(sorted(best.said))
    others = (tuple(sorted(one.said)) for one in reversed(ranked))
    second = next((other for other in others if other != answer), None)
    place = plain.span(best.start, best.end)
    alike = (one for one in found if set(one.said) == set(answer))
    is_strict = best.is_strict or any(one.is_strict for one in alike)
    return Reading(answer, best.rule, place, second, is_strict)


def _joined(alike: list[Statement], plain: Plain, wanted: int) -> Statement:
    """The last of statements of one force, with those before it that it completes.

    Two boxes for two letters are one statement, and so are two cues side by side. Boxes
    in a row on one line are one, too long as it may be.
    """
    best = joined = alike[-1]
    is_short = best.force >= Force.CUE and len({*best.said}) < wanted
    if not is_short and best.rule != "declared":
        return best
    for one in reversed(alike[:-1]):
        between = plain.text[min(one.end, joined.start) : joined.start]
        is_beside = BETWEEN.fullmatch(between) and (is_short or "\n" not in between)
        if not is_beside and (best.force == Force.CUE or not is_short):
            break
        letters = "".join(sorted({*one.said, *joined.said}))
        joined = replace(joined, said=letters, start=min(one.start, joined.start))
    return best if is_short and len({*joined.said}) != wanted else joined
