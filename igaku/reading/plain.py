"""Plain text: what a reply says, without the many ways of setting it.

Widths, capitals, markdown, mathematics' brackets, tags and all that nobody can see are
gone, and every character that stays knows its place in the text as it came.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from igaku.lazy import pattern

# Where a reply declares its answer, in a box or a tag: what encloses what it declares.
DECLARED, DECLARED_END = "\ue100", "\ue101"

# Runs that stand for themselves, and characters with the marks that combine with them;
# Unicode's own Stream-Safe format bounds such a row too.
MARKS = r"[\u0300-\u036f\u1160-\u11ff\u3099\u309a\uff9e\uff9f]"
CLUSTER = pattern(
    # Kana and kanji, most of a reply, have no other form.
    r"(?P<same>[\u3001\u3002\u300c\u300d\u3041-\u3096\u30a1-\u30fa\u30fc"
    rf"\u4e00-\u9fff]+)(?!{MARKS})|(?P<ascii>[\n -~]+)(?![\u0300-\u036f])"
    rf"|.{MARKS}{{0,8}}",
    re.DOTALL,
)
UNSEEN = {"Cf", "Cc", "Mn", "Me"}
LINE_BREAKS = "\n\r\v\f\x85\u2028\u2029"
WIDE_BRACKETS = str.maketrans("＜＞", "〈〉")

# Letters that only look like ours, on their own: Cyrillic, Greek, and pictures.
LOOKALIKE = pattern(
    r"(?<![\u0370-\u04ff])[АаВЕеСсΑΒΕ](?![\u0370-\u04ff])"
    r"|[\U0001f150-\U0001f189\U0001f1e6-\U0001f1ff]"
)
LIKE = dict(zip("АаВЕеСсΑΒΕ", "aabeeccabe", strict=True))
LIKE |= {chr(0x1F150 + i): chr(97 + i % 26) for i in range(26)}
LIKE |= {chr(0x1F170 + i): chr(97 + i) for i in range(26)}
LIKE |= {chr(0x1F1E6 + i): chr(97 + i) for i in range(26)}
SPELT = str.maketrans("∶︰", "::")
STRUCK = pattern(
    r"\\[bxs]?(?:cancel|out)\{[^{}]{0,80}\}|~~[^~\n]{1,200}~~|<(s|del"
    r"|strike)>[^<]{0,200}</\1>"
)
LOOKS = (
    r"\\(?:text|math|mbox|hbox|bm|bf|rm|sf|it|tt|bold|underline|large|display|left"
    r"|right|emph|operatorname|ensuremath|q?quad)[a-z]{0,12}"
)
LATEX_SIGN = pattern(
    r"(?P<box>(?:\\|(?<![a-z]))(?:b?oxed|fbox|framebox)\s{0,3}\{)"
    r"|(?P<bare>\\boxed(?:\s{1,3}(?=[a-h]\b)|(?=\\[a-z]{2,12}\{)))"
    r"|(?P<also>\\(?:land|cup|wedge|cdot|newline|\\)\s?)"
    r"|(?P<colour>\\(?:text)?color\s?\{[a-z]{1,20}\})"
    rf"|(?P<wrapper>{LOOKS}\s{{0,3}}\{{)|(?P<word>{LOOKS})"
    r"|(?P<open>(?<!\\)\{)|(?P<close>(?<!\\)\})"
)
LATEX_CLOSES = {"box": DECLARED_END, "wrapper": "", "open": "}"}
ANSWER_TAG = pattern(
    r"<(/?)(?![\w-]{0,40}(?:reason|think|thought|expla|analy))"
    r"(?:ans|final|conclusion|solution|[\w-]{0,20}(?:answer|choice|解答|回答|答え|答案"
    r"|정답|selected)[\w-]{0,20})\s?>"
)
INLINE_TAG = pattern(r"</?(?:strong|em|i|u|span|code|mark|sub|sup)>")
# <c> is a letter in brackets; so is <b>, unless something closes it.
TAG = pattern(r"</?(?![a-h]>)[a-z][a-z0-9]{0,9}(?:\s[a-z-]{1,20}=[^<>]{0,200})?\s?/?>")
BOLD_TAG = pattern(r"</?b>")
NOISE = pattern(r"[*`$\ue000-\ue0ff]+|__|\\[()\[\]{},;! ]|\\(?=&)|(?<!\w)_|_(?!\w)")
BLANKS = pattern(r"[^\S\n]+")
AROUND_LINE_END = pattern(r" (?=\n)|(?<=\n) ")
EMPTY_LINES = pattern(r"(?<=\n\n)\n+")
OUTER_BLANKS = pattern(r"\A\s+|\s+\Z")


@dataclass(frozen=True)
class Plain:
    """A text made plain, and where each of its characters came from."""

    text: str
    starts: array[int]
    ends: array[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place, in the text as it came, of a slice of the plain text."""
        return self.starts[start], self.ends[end - 1]

    def replaced(
        self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str] | str
    ) -> Plain:
        """The text with other words for each match; they stand where it stood."""
        return self.with_words(
            (*found.span(), by if isinstance(by, str) else by(found))
            for found in pattern.finditer(self.text)
        )

    def with_words(self, places: Iterable[tuple[int, int, str]]) -> Plain:
        """The text with a word at each place, in order: from where, to where, what."""
        pieces, starts, ends, at = list[str](), array("i"), array("i"), 0
        for start, end, word in places:
            if at < start:
                pieces.append(self.text[at:start])
                starts.extend(self.starts[at:start])
                ends.extend(self.ends[at:start])
            if word:
                pieces.append(word)
                starts.extend([self.starts[start]] * len(word))
                ends.extend([self.ends[end - 1]] * len(word))
            at = end
        if not at:
            return self
        pieces.append(self.text[at:])
        return Plain("".join(pieces), starts + self.starts[at:], ends + self.ends[at:])


def plain_of(text: str) -> Plain:
    """The plain form of a text, each character with its place in the text.

    >>> plain = plain_of("**答え**：Ｃ")
    >>> plain.text, plain.span(3, 4)
    ('答え:c', (7, 8))
    """
    plain = _spelled(LOOKALIKE.sub(lambda found: LIKE.get(found[0], found[0]), text))
    if "~~" in plain.text or "</" in plain.text or "cancel" in plain.text:
        plain = plain.replaced(STRUCK, "")
    if "\\" in plain.text or "oxed" in plain.text:
        plain = _without_latex(plain)
    if "<" in plain.text:
        plain = _without_tags(plain)
    plain = plain.replaced(NOISE, "").replaced(BLANKS, " ")
    plain = plain.replaced(AROUND_LINE_END, "").replaced(EMPTY_LINES, "")
    return plain.replaced(OUTER_BLANKS, "")


def _spelled(text: str) -> Plain:
    """The text in compatible small letters, without what cannot be seen."""
    pieces, starts, ends = list[str](), array("i"), array("i")
    for found in CLUSTER.finditer(text):
        start, end = found.span()
        piece = found["same"] or (found["ascii"] or "").lower() or _compatible(found[0])
        if end - start == len(piece):
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        else:
            starts.extend([start] * len(piece))
            ends.extend([end] * len(piece))
        pieces.append(piece)
    return Plain("".join(pieces), starts, ends)


@lru_cache(maxsize=4096)
def _compatible(cluster: str) -> str:
    if cluster in LINE_BREAKS:
        return "\n"
    spelt = cluster.translate(WIDE_BRACKETS).translate(SPELT)
    small = unicodedata.normalize("NFKC", spelt).lower()
    return "".join(c for c in small if not _is_unseen(c))


def _is_unseen(character: str) -> bool:
    """Whether a character shows nothing of its own: a control, a joiner, a filler."""
    if unicodedata.category(character) in UNSEEN:
        return character not in LINE_BREAKS and character != "\t"
    return "FILLER" in unicodedata.name(character, "")


def _without_latex(plain: Plain) -> Plain:
    """A text whose LaTeX wrappers are gone, however deep; its boxes declare."""
    closing = list[str]()

    def unwrapped(found: re.Match[str]) -> str:
        kind = found.lastgroup or ""
        if kind == "close":
            return closing.pop() if closing else "}"
        if kind in LATEX_CLOSES:
            closing.append(LATEX_CLOSES[kind])
        by = {"box": DECLARED, "bare": DECLARED, "open": "{", "also": ", "}
        return by.get(kind, "")

    return plain.replaced(LATEX_SIGN, unwrapped)


def _without_tags(plain: Plain) -> Plain:
    """A text whose tags are gone: a tag for looks leaves nothing, others end a line."""
    if "</b>" in plain.text:
        plain = plain.replaced(BOLD_TAG, "")
    plain = plain.replaced(ANSWER_TAG, lambda f: DECLARED_END if f[1] else DECLARED)
    return plain.replaced(INLINE_TAG, "").replaced(TAG, "\n")
