"""Headings: thought that no mark sets apart, only a heading or a label above it.

`## Thinking … ## Final Response`, `Thought: … Answer: …`, `【思考】…【回答】…`: a text
that begins with a heading of thought thinks until a heading of an answer.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.harmony import PLAIN_START
from igaku.reading.harmony import THOUGHT as OPEN
from igaku.reading.harmony import THOUGHT_END as CLOSE

THINKING = (
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
WORD = rf"(?:(?P<{{0}}_think>{THINKING})|(?P<{{0}}_explain>{EXPLAINING}))"
BEGINS = pattern(
    r"\A\s*(?:" + "|".join(f % WORD.format(name) for name, f in FORMS) + ")",
    re.IGNORECASE,
)
# Boxes need no line of their own; of the others each begins one.
ENDS = {
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
CUE = pattern(r"answer|回答|解答|答|結論|정답|solution", re.IGNORECASE)


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
        return text if force == "explain" else OPEN + text[begun.end() :].strip()
    thought = text[begun.end() : found.start()].strip()
    name = found.groupdict().get("name") or ""
    is_cue = CUE.search(name) and not is_box  # for the readers of letters
    said = text[found.start() if is_cue else found.end() :].lstrip()
    return f"{OPEN}{thought}{CLOSE}\n{said}"


def _end(text: str, at: int, form: str, is_final: bool) -> re.Match[str] | None:
    """What ends the thought: a heading of the same form, else any, else a statement."""
    if not is_final and (done := DONE.search(text, at)):
        return done
    # Square brackets are a mark more than a heading: only their like ends them.
    others = () if form == "square" else ("label", *ENDS)
    for name in dict.fromkeys((form, *others)):
        for found in ENDS[name].finditer(text, at):
            if not is_final or re.search(r"final|最終|최종", found["name"], re.I):
                return found
    return None if is_final else SAYS_IT.search(text, at)
