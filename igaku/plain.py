"""Plain text: what a reply says, without the many ways of setting it."""

from __future__ import annotations

import re
import unicodedata

LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf|rm)\s*\{([^{}]*)\}")
BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
ANSWER_TAG = re.compile(r"<answers?>")
TAG = re.compile(r"</?[a-z]{1,10}\s*/?>")
NOISE = re.compile(r"[*`$\u200b\u2060\ufeff\ue000-\ue0ff]|__|\\[()\[\],;]")
BLANKS = re.compile(r"[^\S\n]+")
LINE_ENDS = re.compile(r" ?\n ?")


def plain_text(text: str) -> str:
    """A text without its widths, capitals, markdown and mathematics' brackets."""
    plain = unicodedata.normalize("NFKC", text).lower()
    if "\\" in plain:
        plain = BOXED.sub(r"\n答え: \1\n", LATEX.sub(r"\1", plain))
    if "<" in plain:
        plain = TAG.sub("\n", ANSWER_TAG.sub("\n答え: ", plain))
    plain = BLANKS.sub(" ", NOISE.sub("", plain))
    return re.sub(r"\n{3,}", "\n\n", LINE_ENDS.sub("\n", plain)).strip()
