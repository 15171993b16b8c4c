"""Beginnings: a walk that goes on from the line of an answer gets a line of its own.

「答え: c a: … b: … c: …」 answers c alone. Labels in order, set alike, each with
something said of it, are steps; the first of them is no part of a list in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, takewhile

from igaku.lazy import pattern
from igaku.reading.plain import Plain
from igaku.reading.statements import statements_of
from igaku.reading.walks import (
    NOTHING,
    RIGHT_ENGLISH,
    RIGHT_SIGN,
    STEPS,
    WRONG_ENGLISH,
    WRONG_SIGN,
    sign_before,
)
from igaku.reading.wording import (
    ALONE,
    CLOSE,
    CUE,
    GLYPH,
    LINK,
    MASKED,
    NAMED,
    OPEN,
    WHOLE,
)

Step = re.Match[str]

# A label and how it is set: a bracket around it, and the first sign behind it.
LABELLED = pattern(
    rf"(?P<open>[(「『【\[<]?)(?:{ALONE}|(?<=[肢号项項]))(?P<label>{GLYPH})"
    rf"(?:{WHOLE}|(?=\.(?:{WRONG_ENGLISH}|{RIGHT_ENGLISH})(?![a-z])))"
    rf"(?P<close>{CLOSE})(?=[ \t]?(?P<sign>[:.(|→⇒–—=\n-]|は|が|も|은|는"
    rf"|(?:is|are)\b|{MASKED})|(?<=[)\]」』】>])|[ \t][^\W_a-z0-9])"
)
SIGN = pattern(f"{RIGHT_SIGN}|{WRONG_SIGN}")
BEFORE, FRONT = 24, 200  # characters looked at in front of a step
MOST = 4  # walks; more of them are a loop
WORD = pattern(r"\w")
LEAD = pattern(rf"(?:[^\w\s。.,、;]|[ \t_])*{NAMED}{OPEN}\Z")
JOIN = pattern(r"[ \t]*(?:[–—/|・-][ \t]*)?\Z")
CUED_HERE = pattern(rf"{CUE}{LINK}{OPEN}{NAMED}{OPEN}{GLYPH}\Z")
IN_FRONT = pattern(rf"(?<![a-z0-9]){GLYPH}{{1,8}}(?![a-z0-9])")


def on_its_own_line(plain: Plain, labels: str, wanted: int) -> Plain:
    """The text with a gap before each walk that begins on the line of an answer."""
    text = plain.text
    walks = (_after(run, text, wanted) for run in _runs(text) if len(run) > 1)
    begun = sorted(_gap(walk, text) for walk in walks if _is_whole(walk, text, labels))
    places = [at for at in begun[:MOST] if _is_answered(text, at[0], wanted)]
    return plain.with_words((start, end, "\n\n") for start, end in places)


def _runs(text: str) -> Iterator[list[Step]]:
    """Labels set alike, in order, of each of which something is said."""
    found = list(LABELLED.finditer(text))
    ends = [*(one.start() for one in found[1:]), len(text)]
    runs = dict[tuple[str, str, str], list[Step]]()
    for one, end in zip(found, ends, strict=False):
        if NOTHING.fullmatch(text, one.end("label"), end):
            continue
        sign = re.sub(MASKED, "", one["sign"] or "")  # a choice, quoted or not
        run = runs.setdefault((one["open"], one["close"], sign), [])
        last = run[-1]["label"] if run else ""
        if one["label"] < last or (one["label"] == last and len(run) == 1):
            yield [*run]
            run.clear()
        if not run or one["label"] > last:
            run.append(one)
    yield from runs.values()


def _after(run: list[Step], text: str, wanted: int) -> list[Step]:
    """The steps behind an answer that is set as they are: 「答え: a. … b. …：…」."""
    between = [text[one.end("label") : other.start()] for one, other in pairwise(run)]
    said = [re.sub(rf"{MASKED}|\W", "", words) != "" for words in between]
    is_led_to = CUED_HERE.search(text, max(0, run[0].start() - BEFORE), run[0].end())
    signed = [sign_before(text, one.start()) for one in run]
    is_named = not any(said[:wanted]) and all(said[wanted:])
    is_unlike = not any(signed[:wanted]) and all(signed[wanted:])
    return run[wanted:] if is_led_to and (is_named or is_unlike) else run


def _is_whole(run: list[Step], text: str, labels: str) -> bool:
    """Whether a run goes through all the choices, but for those in front of it."""
    if len(run) < 2:
        return False
    start = run[0].start()
    front = set("".join(IN_FRONT.findall(text[max(0, start - FRONT) : start])))
    steps = {one["label"] for one in run}
    skipped = {label for label in labels if label < run[0]["label"]}
    return skipped <= front and (len(steps) >= STEPS or steps | front >= set(labels))


def _is_answered(text: str, start: int, wanted: int) -> bool:
    """Whether what goes on at a place states as many letters as are asked for."""
    front = text[max(0, start - FRONT) : start].rsplit("\n\n", 1)[-1]
    if not WORD.search(front.rsplit("\n", 1)[-1]):
        return False
    return any(len(one.said) == wanted for one in statements_of(front, wanted))


def _gap(run: list[Step], text: str) -> tuple[int, int]:
    """Where the gap goes: behind the answer, before what stands before every label."""
    places = [one.start("label") for one in run[:2]]
    before = [SIGN.sub("○", text[max(0, at - BEFORE) : at]) for at in places]
    pairs = zip(*map(reversed, before), strict=False)
    alike = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    lead = LEAD.search("".join(reversed(alike)))
    end = places[0] - len(lead[0] if lead else "")
    join = JOIN.search(text, max(0, end - 4), end)
    return join.start() if join else end, end
