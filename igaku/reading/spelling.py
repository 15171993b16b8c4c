"""Spelling: a text as it was meant, where something between wrote its signs otherwise.

Marks escaped for HTML, Markdown or JSON, tokens that were never decoded to characters,
and half characters at a cut.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.marks import ANSWER, NAME_OF_TAG, THOUGHT

LEFT = r"&(?:amp;)?(?:lt|#0*60|#x3c);|\\u003c|\\<"
RIGHT = r"&(?:amp;)?(?:gt|#0*62|#x3e);|\\u003e|\\>"
ESCAPED = pattern(
    rf"(?:{LEFT})(?P<escaped>[|｜]?\\?/?\s?{NAME_OF_TAG}[|｜]?)(?:{RIGHT}|>)"
    rf"|<(?P<half>/?{NAME_OF_TAG})(?:{RIGHT})|<(?P<slashed>\\/{NAME_OF_TAG})>"
    rf"|<(?P<spaced>\s{{1,3}}/?\s{{0,3}}{NAME_OF_TAG}\s{{1,3}})>",
    re.IGNORECASE,
)
# `<x|>` closes, unless the same name has a slash somewhere: `<x|>…</x|>`.
HALF_MARK = pattern(rf"<(?P<slash>/?)(?P<name>{NAME_OF_TAG})\|>")
FOLDED = pattern(
    r"<details(?:\s[^<>\n]{0,80})?>\s{0,9}<summary>(?P<title>[^<\n]{0,60})</summary>"
)
BYTES = pattern(r"(?:<0x[0-9A-Fa-f]{2}>)+")
PAD = pattern(r"\s?[Ġ▁]")
ESCAPED_LINE = pattern(r"\\n(?![a-z])|\A(?:\\n)+(?=[a-h](?![a-z]))|(?:\\n)+\s*\Z")
HALF = r"[\ufffd\ud800-\udfff]+"
HALVES = pattern(rf"(?<=\w){HALF}(?=\s*(?:\n|\Z))|\A{HALF}")


def as_meant(text: str) -> str:
    r"""The text with its marks, blanks and line breaks in their plain spelling.

    >>> as_meant("&lt;think&gt;b?&lt;/think&gt;The▁answer▁is▁d<0x0A>")
    '<think>b?</think>The answer is d\n'
    """
    if "<" in text or "\\" in text or "&" in text:
        text = ESCAPED.sub(_unescaped, text)
    if "<details" in text:
        text = FOLDED.sub(_folded, text)
    if "|>" in text and "</" in text:
        text = _with_tags(text)
    if "<0x" in text:
        text = BYTES.sub(_decoded, text)
    if "Ġ" in text or "▁" in text or "Ċ" in text:
        text = PAD.sub(" ", text.replace("Ċ", "\n"))
    if "\\n" in text and "\n" not in text and '":' not in text:
        text = ESCAPED_LINE.sub("\n", text)
    return HALVES.sub("", text)


def _unescaped(found: re.Match[str]) -> str:
    """A mark in its plain spelling, if it speaks of what marks speak of."""
    name = next(filter(None, found.groups()))
    bare = re.sub(r"[\s\\]", "", name)
    is_meant = THOUGHT.search(name.lower()) or ANSWER.search(name.lower())
    return f"<{bare}>" if is_meant or "|" in bare else found[0]


def _folded(found: re.Match[str]) -> str:
    is_thought = THOUGHT.search(found["title"].lower())
    return '<details type="thought">' if is_thought else found[0]


def _with_tags(text: str) -> str:
    closed = {found["name"] for found in HALF_MARK.finditer(text) if found["slash"]}

    def tag(found: re.Match[str]) -> str:
        is_half = found["name"] in closed
        return f"<{found['slash']}{found['name']}>" if is_half else found[0]

    return HALF_MARK.sub(tag, text) if closed else text


def _decoded(found: re.Match[str]) -> str:
    told = bytes.fromhex(found[0].replace("<0x", "").replace(">", ""))
    return told.decode("utf-8", "replace")
