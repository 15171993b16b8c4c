"""Spelling: a text as it was meant, where its marks are written otherwise.

Marks escaped for HTML, Markdown or JSON, tokens that were never decoded to characters,
half characters at a cut; and thought that no mark sets apart, only a heading above it:
`## Thinking … ## Final Response`, `Thought: … Answer: …`, `【思考】…【回答】…`.
"""

from __future__ import annotations

import re
from functools import partial

from igaku.lazy import pattern
from igaku.reading.harmony import PLAIN_START, THOUGHT, THOUGHT_END
from igaku.reading.marks import ANSWER, NAME_OF_TAG, THINKING

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
# A heading of thought, by its form, and that of the answer which ends it.
HEADS_THOUGHT = (
    r"think(?:ing)?(?: process)?|thoughts?(?: process)?|chain of thought|scratch ?pad"
    r"|(?:internal|inner) monologue|思考(?:の?過程|プロセス|内容)?|思索|생각|思路"
)
EXPLAINING = r"analysis|reasoning|rationale|reflection|commentary|推論|推理|考察|分析"
NAMES = (
    r"(?:(?:(?:my|the|your) )?(?:final |correct |最終的?な?|最终|최종 ?)?"
    r"(?:answer|response|solution|conclusion|result|output|reply|final|verdict"
    r"|回答|解答|答え?|結論|答案|出力|応答|정답|답변|답))"
)
LEAD = r"(?:(?:here(?:'s| is|’s)|this is) )?(?:(?:my|the) )?"
FORMS = (
    ("hash", r"#{1,6}[ \t]*\**%s\**[ \t]*[:：]?\**[ \t]*\n"),
    ("bold", r"[*_]{1,3}%s[ \t]*[:：]?[*_]{1,3}[ \t]*[:：]?"),
    ("box", r"[【《〈〔『≪]%s[】》〉〕』≫][:：]?"),
    ("square", r"\[%s\][:：]?"),
    ("label", rf"{LEAD}%s[ \t]*[:：]"),
    ("alone", r"%s(?:\.{3}|…)?[ \t]*\n"),
)
HEAD = rf"(?:(?P<{{0}}_think>{HEADS_THOUGHT})|(?P<{{0}}_explain>{EXPLAINING}))"
BEGINS = pattern(
    r"\A\s*(?:" + "|".join(f % HEAD.format(name) for name, f in FORMS) + ")",
    re.IGNORECASE,
)
# Boxes need no line of their own; of the others each begins one.
HEADS_ANSWER = {
    name: pattern(
        ("" if name in ("box", "bold", "square") else r"^[ \t]{0,4}")
        + form % f"(?P<name>{NAMES})",
        re.IGNORECASE | re.MULTILINE,
    )
    for name, form in FORMS
}
SAYS_IT = pattern(
    r"\n[ \t]{0,8}\n(?=\W{0,4}(?:(?:so|thus|therefore),? )?"
    r"(?:the (?:final |correct )?answer is|正解は|答えは))",
    re.IGNORECASE,
)
DONE = pattern(
    r"^\W{0,6}(?:done|finished|end(?: of)?|stopped) (?:thinking|thoughts?|reasoning)"
    r"\W{0,6}$\n?|<(?:unused|ctrl|reserved|extra)\w{0,20}>",
    re.IGNORECASE | re.MULTILINE,
)
ANSWER_CUE = pattern(r"answer|回答|解答|答|結論|정답|solution", re.IGNORECASE)


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
    text = _with_tags(COMMENT.sub(_unshown, FOLDED.sub(_folded, text)))
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
    is_meant = THINKING.search(bare.lower()) or ANSWER.search(bare.lower())
    is_closed = bare.strip("/") in closed
    return f"<{bare}>" if is_meant or is_closed or "|" in bare else found[0]


def _wrapped(found: re.Match[str]) -> str:
    """`[[x]]`, `＜x＞` and `<end x>` as the mark that it is."""
    if found["word"]:
        return f"<{'/' * (found['word'].lower() in ENDS)}{found['named']}>"
    return f"<{found['name']}>"


def _folded(found: re.Match[str]) -> str:
    is_thought = THINKING.search(found["title"].lower())
    return '<details type="thought">' if is_thought else found[0]


def _unshown(found: re.Match[str]) -> str:
    is_thought = THINKING.match(found["said"][:20].strip().lower())
    is_closed = found[0].endswith("-->")
    return f"<think>{found['said']}{'</think>' * is_closed}" if is_thought else found[0]


def _with_tags(text: str) -> str:
    closed = {found["name"] for found in HALF_MARK.finditer(text) if found["slash"]}
    return HALF_MARK.sub(
        lambda f: f[0].replace("|", "") if f["name"] in closed else f[0], text
    )


def _decoded(found: re.Match[str]) -> str:
    told = bytes.fromhex(found[0].replace("<0x", "").replace(">", ""))
    return told.decode("utf-8", "replace")


def as_thought(text: str) -> str:
    r"""The text with what stands under a heading of thought in tags of thought.

    An explanation is thought only where a final answer stands apart from it.

    >>> as_thought("## Thinking\n\nb or d?\n\n## Final Response\n\nd")
    '<think>b or d?</think>\nd'
    """
    begun = BEGINS.match(text)
    if begun is None:
        return text
    form, _, force = str(begun.lastgroup).partition("_")
    is_box = form in ("box", "square")
    if is_box and f"{begun[0].strip()[0]}/" in text:
        return text  # with a slash: the marks of a pair
    # Harmony's word in plain text: without an end, all of it would be thought.
    is_final = force == "explain" and PLAIN_START.match(text) is None
    found = _end(text, begun.end(), form, is_final)
    if found is None:
        return text if force == "explain" else THOUGHT + text[begun.end() :].strip()
    thought = text[begun.end() : found.start()].strip()
    name = found.groupdict().get("name") or ""
    is_cue = ANSWER_CUE.search(name) and not is_box  # for the readers of letters
    said = text[found.start() if is_cue else found.end() :].lstrip()
    return f"{THOUGHT}{thought}{THOUGHT_END}\n{said}"


def _end(text: str, at: int, form: str, is_final: bool) -> re.Match[str] | None:
    """What ends the thought: a heading of the same form, else any, else a statement."""
    if not is_final and (done := DONE.search(text, at)):
        return done
    # Square brackets are a mark more than a heading: only their like ends them.
    others = () if form == "square" else ("label", *HEADS_ANSWER)
    for name in dict.fromkeys((form, *others)):
        for found in HEADS_ANSWER[name].finditer(text, at):
            if not is_final or re.search(r"final|最終|최종", found["name"], re.I):
                return found
    return None if is_final else SAYS_IT.search(text, at)
