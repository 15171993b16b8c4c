"""Cues: whether a word such as 「答え」 leads to the letters behind it.

It does not in its own negation, nor behind a verdict; and what it says of another case,
another question or in others' mouths counts less.
"""

from __future__ import annotations

import re

from igaku.lazy import pattern
from igaku.reading.plain import DECLARED
from igaku.reading.wording import CUE, DENIED, GLYPH, LINKING, STRUCK

ANY_CUE = pattern(CUE)
STATED = rf"(?<![a-z]){GLYPH}(?![a-z])"
VERDICT_PLACE = pattern(
    r"(?<![a-z0-9])[a-h※][^\w\n,、。;]{0,4}(?:は|が|も|是|은|는|이|가|is|are)?[ \t]?"
    r"(?:the\s)?(?:most\s|only\s|single\s)?(?:correct|right|best)?[ \t]?\Z"
)
# What would be, elsewhere or for others: 「発熱があれば正解は d」.
SUPPOSED = pattern(
    r"もし|仮に|(?<![a-z])(?:if|had|were|unless)(?![a-z])[^.]*\Z"
    r"|(?:(?:が|も|で)(?:あれば|なければ)|(?:して|されて|でて|出て)いれば"
    r"|だったら)[^。\n]*\Z"
    r"|(?<!この)(?<!本例の)(?<!症例の)(?<!今回の)(?<!本問の)場合(?:は|の"
    r"|に)[^。\n]{0,20}\Z"
    r"|看似|乍一?看|有人(?:认为|認為|说|說)|如果|若[是为為]|첫눈에"
    r"|(?<![a-z])at first (?:glance|sight)"
    r"|(?:がある|がない|した|する)とき(?:は|の)[^。\n]{0,20}\Z"
    r"|(?:類題|関連問題|過去問|前問|前の問題|別の問題|他の問題|昨年)[^。\n]{0,20}\Z"
    r"|(?<![a-z])(?:previous|last|another|other|different) (?:question|problem"
    r"|exam)[^.\n]{0,20}\Z"
    r"|(?<![a-z])(?:some|many|others|people|students|examinees|one|you)(?: [a-z]+)? "
    r"(?:argue|say|think|believe|claim|answer|assume|conclude)[^.,\n]{0,20}\Z"
)
ELSEWHERE = pattern(
    r"\s?(?:but )?(?:in|for|with|without) (?:an?|another|other|patients|cases|those"
    r"|children|adults|infants)(?![a-z])"
)


def leads(found: re.Match[str], plain: str) -> bool:
    """Whether a cue leads to the letters behind it: 「c: 正解 d」 says nothing of d."""
    start, gap = found.start(), found["gap"]
    before = plain[max(0, start - 40) : start]
    if is_denied(found, plain):
        return False
    if found["cue"] == DECLARED or LINKING.search(gap):
        return True
    line = before.rsplit("\n", 1)[-1]
    if "\n" in gap:
        return len(line.strip()) <= 16 and not re.search(rf"[。、:※]|{STATED}", line)
    return VERDICT_PLACE.search(before) is None


def of_steps(plain: str) -> set[int]:
    """Places of cues that are verdicts of a walk: the first behind each of its steps.

    They are where at least two steps, which are struck out, have one in their block.
    """
    first: dict[int, int] = {}
    step, at = -1, 0
    for cue in ANY_CUE.finditer(plain):
        struck, gap = (plain.rfind(sign, at, cue.start()) for sign in (STRUCK, "\n\n"))
        step, at = (step if struck == gap else struck), cue.start()
        if step >= 0 and gap <= step:
            first.setdefault(step, at)
        elif gap > step:
            step = -1
    return set(first.values()) if len(first) > 1 else set()


def is_supposed(found: re.Match[str], plain: str) -> bool:
    """Whether a cue tells what would be: 「もし発熱がなければ正解は d」."""
    before = plain[max(0, found.start() - 80) : found.start()]
    clause = re.split(r"[。.\n]", before)[-1]
    return (SUPPOSED.search(clause) or ELSEWHERE.match(clause)) is not None


def is_denied(found: re.Match[str], plain: str) -> bool:
    """Whether a cue stands in its own negation: 不正解, "second-best answer"."""
    return DENIED.search(plain, max(0, found.start() - 40), found.start()) is not None
