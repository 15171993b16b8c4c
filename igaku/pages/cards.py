"""One question as a card: what was asked, and each run's reply to it, whole.

Cards are put together from strings, not by a template: a page of them holds thousands
of replies, and of these only the texts need work.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

from igaku.exam.choices import shown
from igaku.exam.questions import Question
from igaku.study.again import TERSE, Exams, Sat
from igaku.study.families import Study
from igaku.study.runs import Run, sat, ways_of
from igaku.words import (
    OUTCOMES,
    VISIBLE,
    formatted,
    is_missing,
    labelled,
    plain,
    say,
    word,
)

NUMBER = re.compile(r"(\d+)([A-F])(\d+)")
STEERING = re.compile(f"[\r\ud800-\udfff{''.join(map(chr, VISIBLE))}]")
WORDS = (
    "gold", "or", "kinki", "image", "no_text", "tokens", "seconds", "doubtful",
    "adjudicated", "rule", "second", "permissive", "marks", "order", "reply", "thought",
    "silent", "told",
)  # fmt: skip


class Said(NamedTuple):
    """What is shown of one reply: the columns of its row, None where missing."""

    problem_id: str
    section: str | None
    outcome: str
    answer: tuple[str, ...] | None
    correct: bool | None
    gold: tuple[str, ...] | None
    content: str | None
    reasoning: str | None
    cause: str | None
    error: str | None
    finish_reason: str | None
    completion_tokens: int | None
    seconds: float | None
    rule: str | None
    span: tuple[int, int] | None
    second: tuple[str, ...] | None
    permissive: tuple[str, ...] | None
    marks: tuple[str, ...] | None
    doubtful: bool | None
    adjudicated: bool | None
    category: str | None
    text_only: bool | None
    kinki: tuple[str, ...] | None
    shown_as: str | None

    @property
    def grade(self) -> str:
        """How it is graded in one character: "1" right, "0" not."""
        return str(int(bool(self.correct)))

    @property
    def kind(self) -> str:
        """Right, wrong, or lost: no answer was read, or none that counts."""
        if self.correct:
            return "right"
        return "wrong" if self.outcome == "answered" else "lost"


@dataclass(frozen=True)
class Asked:
    """One question with the replies to it, a run each; None: it was not asked."""

    name: str
    question: Question | None
    ways: tuple[tuple[str, ...], ...]  # the answers that count as right
    replies: tuple[Said | None, ...]

    @property
    def first(self) -> Said:
        """A reply, for what is known of the question in every row."""
        return next(reply for reply in self.replies if reply)


class Sitting(NamedTuple):
    """A run's replies by problem_id, and how they were asked for."""

    run: Run
    at: Sat
    said: Mapping[str, Said]


def sittings(study: Study) -> list[Sitting]:
    """The runs of a study, their rows read once."""
    return [Sitting(run, sat(run), _said(run)) for run in study.runs]


def _said(run: Run) -> dict[str, Said]:
    columns = (
        [None if is_missing(value) else value for value in run.rows[name].tolist()]
        for name in Said._fields
    )
    return {row[0]: Said(*row) for row in zip(*columns, strict=True)}


def place_of(name: str) -> tuple[int, str, int, str]:
    """Where a question stands in the order of exams, sections and numbers.

    >>> sorted(["116B2", "116A10", "116A9"], key=place_of)
    ['116A9', '116A10', '116B2']
    """
    found = NUMBER.fullmatch(name)
    return (int(found[1]), found[2], int(found[3]), "") if found else (0, "", 0, name)


def asked(sat_by: Sequence[Sitting], exams: Exams) -> Iterator[Asked]:
    """Every question that a run was asked, in the exams' order."""
    names = {name for sitting in sat_by for name in sitting.said}
    for name in sorted(names, key=place_of):
        yield asked_of(sat_by, exams, name)


def asked_of(sat_by: Sequence[Sitting], exams: Exams, name: str) -> Asked:
    """One question with each run's reply to it; its text where its exam is here."""
    there = [sitting for sitting in sat_by if name in sitting.said]
    found = (exams.question(sitting.at, name) for sitting in there)
    question = next(filter(None, found), None)
    told = (ways_of(sitting.at.planned.get(name) or {}) for sitting in there)
    ways = next(filter(None, told), [])
    if question and not ways:
        ways = [*(question.accepted or (question.answer,))]
    replies = tuple(sitting.said.get(name) for sitting in sat_by)
    return Asked(name, question, tuple(ways), replies)


# --- text that shows and never obeys --------------------------------------------------


def text(value: object) -> str:
    """Any value as HTML that shows it: what would hide or steer becomes visible."""
    told = str(value)
    told = plain(told) if STEERING.search(told) else told
    return html.escape(told)


def marked(content: str, span: tuple[int, int] | None) -> str:
    """A reply with the place that its answer was read from between `<mark>`s.

    >>> marked("I say <b>.", (6, 9))
    'I say <mark>&lt;b&gt;</mark>.'
    """
    if span is None and TERSE.fullmatch(content):
        span = (0, len(content))
    start, end = span or (0, 0)
    if not 0 <= start < end <= len(content):
        return text(content)
    before, place, after = content[:start], content[start:end], content[end:]
    return f"{text(before)}<mark>{text(place)}</mark>{text(after)}"


@cache
def _words(lang: str) -> dict[str, str]:
    """The words of a card in a language, escaped, each looked up once."""
    told = {name: text(say(f"card_{name}", lang)) for name in WORDS}
    return told | {name: text(word("outcome", name, lang)) for name in OUTCOMES}


@cache
def _cause(cause: str, lang: str) -> str:
    return text(word("cause", cause, lang))


def _letters(letters: Sequence[str] | None) -> str:
    return text(", ".join(letters or ())) or "–"


# --- the card -------------------------------------------------------------------------


def card(one: Asked, labels: Sequence[str], lang: str, is_linked: bool = True) -> str:
    """A question, its choices and its replies as HTML.

    `labels` are the runs' names as HTML; `is_linked` gives the card the anchor and the
    attributes that its page is searched by.
    """
    told = _words(lang)
    name = text(one.name)
    head = f'<article class="question"><h3>{name}</h3>'
    if is_linked:
        head = (
            f'<article class="question" id="{name}"{_attributes(one)}>'
            f'<h3><a href="#{quote(one.name)}">{name}</a></h3>'
        )
    runs = [f"<i>{number}</i> {label}" for number, label in enumerate(labels, 1)]
    each = list(zip(one.replies, runs, strict=True))
    said = [_reply(r, run, one.question, told, lang) for r, run in each if r]
    if others := " ".join(run for reply, run in each if not reply):
        said.append(f'<p class="reply none">{told["not_run"]}: {others}</p>')
    about = f"{_about(one, told)}{_question(one, told)}"
    return f"{head}{about}{''.join(said)}</article>\n"


def _attributes(one: Asked) -> str:
    """What a page is filtered by: section, and grade, outcome and doubt of each run."""
    found = NUMBER.fullmatch(one.name)
    section = found[1] + found[2] if found else text(one.first.section or "")
    grades = "".join(reply.grade if reply else "-" for reply in one.replies)
    met = " ".join(reply.outcome if reply else "not_run" for reply in one.replies)
    doubts = "".join(str(int(is_doubtful(reply))) for reply in one.replies)
    return (
        f' data-section="{section}" data-grades="{grades}"'
        f' data-outcomes="{text(met)}" data-doubts="{doubts}"'
    )


def is_doubtful(reply: Said | None) -> bool:
    """Whether the readers differ on a reply, or a human decided it."""
    return bool(reply and (reply.doubtful or reply.adjudicated))


def _about(one: Asked, told: Mapping[str, str]) -> str:
    """What counts as right, and what is known of the question."""
    gold = f" {told['or']} ".join(map(_letters, one.ways or (one.first.gold,)))
    more = [f"{told['gold']} <b>{gold}</b>", text(one.first.category or "")]
    if one.first.kinki:
        more.append(f"{told['kinki']} {_letters(one.first.kinki)}")
    if one.first.text_only is False:
        more.append(told["image"])
    return f'<p class="about">{" · ".join(filter(None, more))}</p>'


def _question(one: Asked, told: Mapping[str, str]) -> str:
    """The question's words and its choices, each with the runs that chose it."""
    if one.question is None:
        return f'<p class="about">{told["no_text"]}</p>'
    right = {letter for way in one.ways for letter in way}
    items = []
    pairs = zip(one.question.labels, one.question.choices, strict=True)
    for letter, choice in pairs:
        by = [
            f"<i>{number}</i>"
            for number, reply in enumerate(one.replies, 1)
            if reply and letter in (reply.answer or ())
        ]
        gold = ' class="gold"' if letter in right else ""
        items.append(f"<li{gold}><b>{letter}</b> {text(choice)}{''.join(by)}</li>")
    choices = f"<ul>{''.join(items)}</ul>" if items else ""
    return f'<p class="wording">{text(one.question.prompt_text)}</p>{choices}'


def _reply(
    reply: Said, run: str, question: Question | None, told: Mapping[str, str], lang: str
) -> str:
    """One run's reply below a line that says what came of it."""
    return (
        f'<details class="reply"><summary>{run} '
        f"{_came_of(reply, told, lang)}</summary>"
        f"{_read(reply, question, told)}{_texts(reply, told)}</details>"
    )


SAID_TWICE = (("empty", "output"), ("api_error", "api"))
SIGNS = {"right": "✓", "wrong": "✗", "lost": "–"}


def _came_of(reply: Said, told: Mapping[str, str], lang: str) -> str:
    """Grade, answer, outcome with its cause, length and time of a reply, in a line."""
    read = f" {_letters(reply.answer)}" if reply.answer else ""
    facts = [f'<b class="{reply.kind}">{SIGNS[reply.kind]}{read}</b>']
    if reply.outcome != "answered":
        is_said = (reply.outcome, reply.cause) in SAID_TWICE or not reply.cause
        cause = "" if is_said else f" ({_cause(str(reply.cause), lang)})"
        facts.append(told.get(reply.outcome, text(reply.outcome)) + cause)
    if reply.completion_tokens is not None:
        facts.append(f"{reply.completion_tokens:,} {told['tokens']}")
    if reply.seconds is not None:
        facts.append(f"{formatted(reply.seconds, 'one')} {told['seconds']}")
    for name in ("doubtful", "adjudicated"):
        if getattr(reply, name):
            facts.append(f"<em>{told[name]}</em>")
    return " · ".join(facts)


def _read(reply: Said, question: Question | None, told: Mapping[str, str]) -> str:
    """How the answer was read, where that is on record or needs a word."""
    facts = []
    if reply.shown_as:
        facts.append(f"{told['order']} {_order(reply.shown_as, question)}")
    if reply.rule:
        facts.append(f"{told['rule']} <code>{text(reply.rule)}</code>")
    if reply.second:
        facts.append(f"{told['second']} {_letters(reply.second)}")
    if reply.doubtful:
        facts.append(f"{told['permissive']} {_letters(reply.permissive)}")
    if reply.marks:
        facts.append(f"{told['marks']} {_letters(reply.marks)}")
    if reply.finish_reason not in (None, "stop"):
        facts.append(f"{told['told']} <code>{text(reply.finish_reason)}</code>")
    return f'<p class="about">{" · ".join(facts)}</p>' if facts else ""


def _order(order: str, question: Question | None) -> str:
    """Which choice of the exam stood behind each letter that was shown."""
    labels = shown(question, order).labels if question else "abcdefgh"[: len(order)]
    return text(", ".join(f"{a} = {b}" for a, b in zip(labels, order, strict=False)))


def _texts(reply: Said, told: Mapping[str, str]) -> str:
    """Reply and reasoning whole, each below its name; an error in its own words."""
    content, thought = reply.content or "", reply.reasoning or ""
    parts = [f'<p class="alarm">{text(reply.error)}</p>'] if reply.error else []
    if content.strip():
        parts.append(
            f"<h4>{told['reply']}</h4><pre>\n{marked(content, reply.span)}</pre>"
        )
    elif not reply.error:
        parts.append(f'<p class="about">{told["silent"]}</p>')
    if thought.strip():
        parts.append(f"<h4>{told['thought']}</h4><pre>\n{text(thought)}</pre>")
    return "".join(parts)


def labels_of(study: Study) -> list[str]:
    """The runs' labels as HTML, with the mark of what is known of their weights."""
    return [text(labelled(run.label, run.identity)) for run in study.runs]
