"""Plain text: what a reply says, without the many ways of setting it."""

from __future__ import annotations

import re
import unicodedata

LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf|rm)\s*\{([^{}]*)\}")
BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
ANSWER_TAG = re.compile(r"<answers?>")
INLINE_TAG = re.compile(r"</?(?:strong|em|i|u|span|code|mark|sub|sup)>")
# <c> is a letter in brackets; so is <b>, unless something closes it.
TAG = re.compile(r"</?(?![a-h]>)[a-z]{1,10}\s*/?>")
WIDE_BRACKETS = str.maketrans("＜＞", "〈〉")
NOISE = re.compile(r"[*`$\u200b\u2060\ufeff\ue000-\ue0ff]|__|\\[()\[\],;]")
BLANKS = re.compile(r"[^\S\n]+")
LINE_ENDS = re.compile(r" ?\n ?")


def plain_text(text: str) -> str:
    """A text without its widths, capitals, markdown and mathematics' brackets."""
    plain = unicodedata.normalize("NFKC", text.translate(WIDE_BRACKETS)).lower()
    if "\\" in plain:
        plain = BOXED.sub(r"\n答え: \1\n", LATEX.sub(r"\1", plain))
    if "<" in plain:
        plain = _without_tags(plain)
    plain = BLANKS.sub(" ", NOISE.sub("", plain))
    return re.sub(r"\n{3,}", "\n\n", LINE_ENDS.sub("\n", plain)).strip()


def _without_tags(plain: str) -> str:
    """A text whose tags are gone: a tag for looks leaves nothing, others end a line."""
    if "</b>" in plain:
        plain = plain.replace("<b>", "").replace("</b>", "")
    plain = INLINE_TAG.sub("", ANSWER_TAG.sub("\n答え: ", plain))
    return TAG.sub("\n", plain)
