"""Spelling: a text as it was meant, where something between wrote its signs otherwise.

Marks escaped for HTML, Markdown or JSON, tokens that were never decoded to characters,
and half characters at a cut.
"""

from __future__ import annotations

import re
from functools import partial

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
# Marks in double or in wide brackets, or that say in words what they do.
ENDS = ("end", "close", "stop")
WRAPPED = pattern(
    rf"(?:\[\[|<<|＜)(?P<name>[|｜]?/?{NAME_OF_TAG}[|｜]?)(?:\]\]|>>|＞)"
    rf"|<(?P<word>begin|start|open|end|close|stop)[ _\-](?P<named>{NAME_OF_TAG})>",
    re.IGNORECASE,
)
SLASH = pattern(r"(?<=[<‹＜\[［◁【《⟨«])／")
FOLDED = pattern(
    r"<details(?:\s[^<>\n]{0,80})?>\s{0,9}<summary>(?P<title>[^<\n]{0,60})</summary>"
)
COMMENT = pattern(r"<!--(?P<said>.*?)(?:-->|\Z)", re.DOTALL)
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
    text = WRAPPED.sub(_wrapped, SLASH.sub("/", text))
    if "<" in text or "\\" in text or "&" in text:
        names = (found[found.lastgroup or 0] for found in ESCAPED.finditer(text))
        closed = {_bare(name)[1:] for name in names if _bare(name).startswith("/")}
        text = ESCAPED.sub(partial(_unescaped, closed), text)
    if "<details" in text:
        text = FOLDED.sub(_folded, text)
    if "<!--" in text:
        text = COMMENT.sub(_unshown, text)
    if "|>" in text and "</" in text:
        text = _with_tags(text)
    if "<0x" in text:
        text = BYTES.sub(_decoded, text)
    if "Ġ" in text or "▁" in text or "Ċ" in text:
        text = PAD.sub(" ", text.replace("Ċ", "\n"))
    if "\\n" in text and "\n" not in text and '":' not in text:
        text = ESCAPED_LINE.sub("\n", text)
    return HALVES.sub("", text)


def _bare(name: str) -> str:
    return re.sub(r"[\s\\]", "", name)


def _unescaped(closed: set[str], found: re.Match[str]) -> str:
    """A mark in its plain spelling, if it is closed or speaks of what marks do."""
    bare = _bare(found[found.lastgroup or 0])
    is_meant = THOUGHT.search(bare.lower()) or ANSWER.search(bare.lower())
    is_closed = bare.strip("/") in closed
    return f"<{bare}>" if is_meant or is_closed or "|" in bare else found[0]


def _wrapped(found: re.Match[str]) -> str:
    """`[[x]]`, `＜x＞` and `<end x>` as the mark that it is."""
    if found["word"]:
        return f"<{'/' * (found['word'].lower() in ENDS)}{found['named']}>"
    return f"<{found['name']}>"


def _folded(found: re.Match[str]) -> str:
    is_thought = THOUGHT.search(found["title"].lower())
    return '<details type="thought">' if is_thought else found[0]


def _unshown(found: re.Match[str]) -> str:
    is_thought = THOUGHT.match(found["said"][:20].strip().lower())
    is_closed = found[0].endswith("-->")
    return f"<think>{found['said']}{'</think>' * is_closed}" if is_thought else found[0]


def _with_tags(text: str) -> str:
    closed = {found["name"] for found in HALF_MARK.finditer(text) if found["slash"]}

    def tag(found: re.Match[str]) -> str:
        is_half = found["name"] in closed
        return f"<{found['slash']}{found['name']}>" if is_half else found[0]

    return HALF_MARK.sub(tag, text) if closed else text


def _decoded(found: re.Match[str]) -> str:
    told = bytes.fromhex(found[0].replace("<0x", "").replace(">", ""))
    return told.decode("utf-8", "replace")
