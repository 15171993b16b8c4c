"""The reply browser: every question with every run's reply to it, in one page.

It holds the exam's text and stays beside the runs. All of it is read without a script;
the one it carries, which only searches and filters, is named in the page's policy by
its hash, so that no other can run.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from igaku.errors import IgakuError
from igaku.exam.questions import Question
from igaku.pages.facts import numbered
from igaku.pages.html import POLICY, REPLIES, TEMPLATES, environment
from igaku.pages.index import marks
from igaku.study.again import TERSE, Exams, Sat
from igaku.study.families import Source, Study, study_in
from igaku.study.runs import Run, sat, ways_of
from igaku.study.silent import may_be_clipped
from igaku.words import OUTCOMES, checked, labelled, plain, say
from igaku.writing import put

LARGEST = 12_000_000  # bytes of one page's cards; what is more goes on in a next page
NUMBER = re.compile(r"(\d+)([A-F])(\d+)")
SHOWN = [
    "problem_id", "section", "outcome", "answer", "correct", "gold", "content",
    "reasoning", "cause", "error", "finish_reason", "completion_tokens", "seconds",
    "rule", "span", "second", "permissive", "marks", "doubtful", "adjudicated",
    "category", "text_only", "kinki", "shown_as", "stem",
]  # fmt: skip

Reply = Any  # a row of a run with these columns; what is missing is None


@dataclass(frozen=True)
class Asked:
    """One question with the replies to it, a run each; None: it was not asked.

    `clipped`: which replies have not all of their text on record; `is_caseless`: it
    follows a case that was not shown with it.
    """

    name: str
    question: Question | None
    ways: tuple[tuple[str, ...], ...]  # the answers that count as right
    replies: tuple[Reply | None, ...]
    clipped: tuple[bool, ...]
    is_caseless: bool

    @property
    def first(self) -> Reply:
        """A reply, for what is known of the question in every row."""
        return next(filter(None, self.replies))

    @property
    def section(self) -> str:
        """The section by which a page is searched, with its exam where that is told."""
        found = NUMBER.fullmatch(self.name)
        return found[1] + found[2] if found else self.first.section or ""


class Sitting(NamedTuple):
    """A run's replies by problem_id, and how they were asked for."""

    run: Run
    at: Sat
    said: Mapping[str, Reply]


def sittings(study: Study) -> list[Sitting]:
    """The runs of a study, their rows read once."""
    found = []
    for run in numbered(study):
        rows = run.rows[SHOWN].astype(object)
        told = rows.where(rows.notna(), None).itertuples(index=False, name="Reply")
        said = dict(zip(run.rows["problem_id"], told, strict=True))
        found.append(Sitting(run, sat(run), said))
    return found


def place_of(name: str) -> tuple[int, str, int, str]:
    """Where a question stands in the order of exams, sections and numbers.

    >>> sorted(["116B2", "116A10", "116A9"], key=place_of)
    ['116A9', '116A10', '116B2']
    """
    found = NUMBER.fullmatch(name)
    return (int(found[1]), found[2], int(found[3]), "") if found else (0, "", 0, name)


def names_in(sat_by: Sequence[Sitting]) -> list[str]:
    """Every question that a run was asked, in the exams' order."""
    return sorted({name for each in sat_by for name in each.said}, key=place_of)


def asked_of(sat_by: Sequence[Sitting], exams: Exams, name: str) -> Asked:
    """One question with each run's reply to it; its text where its exam is here."""
    there = [sitting for sitting in sat_by if name in sitting.said]
    found = (exams.question(sitting.at, name) for sitting in there)
    question = next(filter(None, found), None)
    told = (ways_of(sitting.at.planned.get(name) or {}) for sitting in there)
    ways = next(filter(None, told), [])
    if question and not ways:
        ways = [*question.accepted]
    replies = tuple(sitting.said.get(name) for sitting in sat_by)
    clipped = [
        reply is not None
        and may_be_clipped(sitting.run, reply.reasoning or "", reply.content or "")
        for sitting, reply in zip(sat_by, replies, strict=True)
    ]
    is_joined = there[0].run.settings.get("serial_context") == "joined"
    is_caseless = not is_joined and there[0].said[name].stem not in (None, name)
    return Asked(name, question, tuple(ways), replies, tuple(clipped), is_caseless)


def marked(content: str, span: tuple[int, int] | None) -> str:
    """A reply with the place that its answer was read from between `<mark>`s.

    >>> print(marked("I say <b>.", (6, 9)))
    I say <mark>&lt;b&gt;</mark>.
    """
    from markupsafe import Markup, escape

    if span is None and TERSE.fullmatch(content):
        span = (0, len(content))
    start, end = span or (0, 0)
    if not 0 <= start < end <= len(content):
        return escape(plain(content))
    parts = content[:start], content[start:end], content[end:]
    before, place, after = map(escape, map(plain, parts))
    return before + Markup("<mark>") + place + Markup("</mark>") + after


def card(one: Asked, labels: Sequence[str], lang: str, is_linked: bool = True) -> str:
    """A question, its choices and its replies as HTML, with the labels of the runs.

    `is_linked` gives the card the anchor and the attributes that its page is searched
    by.
    """
    made = environment(checked(lang)).get_template("card.html.j2")
    told = {"one": one, "labels": labels, "is_linked": is_linked, "marked": marked}
    return made.render(told) + "\n"


def labels_of(sat_by: Sequence[Sitting]) -> list[str]:
    """The runs' labels, with the mark of what is known of their weights."""
    return [labelled(run.label, run.identity) for run, *_ in sat_by]


# --- the page -------------------------------------------------------------------------


class Card(NamedTuple):
    """A question's name, with its card as HTML."""

    name: str
    told: str


def write_replies(study: Study) -> list[Path]:
    """The page of all replies beside a study's runs; no page where there is no run.

    Cards of more than 12 MB are split: `replies-1.html` and so on hold whole questions
    in the exams' order, and `replies.html` then lists which question is where.
    """
    if study.folder is None or not any(run.asked for run in study.runs):
        return []
    sat_by, exams = sittings(study), Exams()
    labels, pages = labels_of(sat_by), [_page_of(run) for run, *_ in sat_by]
    lacking = [s.run.exam for s in sat_by if s.said and exams.of(s.at) is None]
    met = {said.outcome for sitting in sat_by for said in sitting.said.values()}
    about = {
        "runs": list(zip(labels, pages, strict=True)),
        "lacking": sorted({*map(str, lacking)}), "marks": marks(study),
        "outcomes": [name for name in OUTCOMES if name in met - {"answered"}],
    }  # fmt: skip
    all_asked = (asked_of(sat_by, exams, name) for name in names_in(sat_by))
    cards = (Card(one.name, card(one, labels, study.lang)) for one in all_asked)
    return _written(study.folder, study.lang, list(_parts(cards)), about)


def _page_of(run: Run) -> str | None:
    """The address of a run's own page, where it has one."""
    has_page = (run.folder / "run.ipynb").is_file()
    return f"{quote(run.name)}/run.html" if has_page else None


def _parts(cards: Iterator[Card]) -> Iterator[list[Card]]:
    """Cards in order, as many together as one page may hold."""
    part: list[Card] = []
    size = 0
    for each in cards:
        length = len(each.told.encode())
        if part and size + length > LARGEST:
            yield part
            part, size = [], 0
        part.append(each)
        size += length
    yield part


def _written(
    folder: Path, lang: str, parts: list[list[Card]], about: dict[str, Any]
) -> list[Path]:
    """The pages of these parts; one alone is the page itself."""
    for old in folder.glob("replies-[0-9]*.html"):
        old.unlink()
    if len(parts) == 1:
        put(folder / REPLIES, _page(lang, parts[0], [("", parts[0])], about))
        return [folder / REPLIES]
    named = [(f"replies-{n}.html", part) for n, part in enumerate(parts, 1)]
    for name, part in named:
        put(folder / name, _page(lang, part, [("", part)], about))
    put(folder / REPLIES, _page(lang, [], named, about))
    return [folder / REPLIES, *(folder / name for name, _ in named)]


def _page(
    lang: str,
    cards: Sequence[Card],
    listed: Sequence[tuple[str, Sequence[Card]]],
    about: dict[str, Any],
) -> str:
    """A page of cards; without any, the list of the questions and of their pages."""
    from markupsafe import Markup

    made, script = environment(checked(lang)), _source("replies.js")
    names = [(path, each.name) for path, part in listed for each in part]
    body = made.get_template("replies.html.j2").render(
        cards=Markup("".join(each.told for each in cards)), n=len(names),
        questions=_by_section(names), is_split=not cards, **about,
    )  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return made.get_template("page.html.j2").render(
        title=say("replies_title", lang), body=Markup(body), contents=[],
        policy=f"{POLICY}; script-src 'sha256-{digest}'" if cards else POLICY,
        style=Markup(_source("card.css") + _source("replies.css")),
        script=Markup(script) if cards else "",
    )  # fmt: skip


def _by_section(names: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Questions by exam and section: the address of each, its name and its number."""
    sections: dict[str, list[Any]] = {}
    for path, name in names:
        found = NUMBER.fullmatch(name)
        section, number = (found[1] + found[2], found[3]) if found else ("", name)
        told = (f"{path}#{quote(name)}", name, number)
        sections.setdefault(section, []).append(told)
    return sections


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


# --- one question in a notebook -------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Reading:
    """One question with every run's reply, as a notebook shows it."""

    one: Asked
    labels: tuple[str, ...]
    lang: str

    def __repr__(self) -> str:
        told = [reply for reply in self.one.replies if reply]
        right = sum(bool(reply.correct) for reply in told)
        return f"{self.one.name}: right in {right} of {len(told)} runs"

    def _repr_html_(self) -> str:
        """The card, styled by nothing outside of it."""
        told = card(self.one, self.labels, self.lang, is_linked=False)
        return f"<style>{_source('card.css')}</style>{told}"


def read(
    outputs_dir: Source = None, problem_id: str = "", lang: str | None = None
) -> Reading:
    """One question with its choices and every run's reply, whole, for a notebook.

    Each reply folds out below the line that tells what came of it; the place that its
    answer was read from is marked. `lang` is the language of the words around, by
    default that of the study, else English. A question that no run was asked is one
    sentence, with near ones.

    >>> igaku.read("outputs", "116E44")  # doctest: +SKIP
    116E44: right in 4 of 6 runs
    """
    study = study_in(outputs_dir)
    sat_by = sittings(study)
    names = names_in(sat_by)
    known = {name.lower(): name for name in names}
    name = known.get(problem_id.strip().lower())
    if name is None:
        raise IgakuError(_missing(study, problem_id, names))
    one = asked_of(sat_by, Exams(), name)
    return Reading(one, tuple(labels_of(sat_by)), checked(lang or study.lang))


def _missing(study: Study, given: str, names: Sequence[str]) -> str:
    """Why there is no such question, with what is near it."""
    if not names:
        return f"{study.folder} holds no replies yet: run a model first."
    near = difflib.get_close_matches(given.strip().upper(), names, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else f"{names[0]} is one."
    return f"No run was asked a question {given!r}: {hint}"
