"""The reply browser: every question with every run's reply to it, in one page.

It holds the exam's text and stays beside the runs. All of it is read without a script;
the one it carries, which only searches and filters, is named in the page's policy by
its hash, so that no other can run.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from igaku.errors import IgakuError
from igaku.pages.cards import (
    NUMBER,
    Asked,
    asked,
    asked_of,
    card,
    labels_of,
    place_of,
    sittings,
)
from igaku.pages.html import POLICY, REPLIES, TEMPLATES, environment
from igaku.pages.index import marks
from igaku.study.again import Exams
from igaku.study.families import Source, Study, study_in
from igaku.words import OUTCOMES, checked, say
from igaku.writing import put

LARGEST = 12_000_000  # bytes of one page's cards; what is more goes on in a next page
CARDS = "<!-- cards -->"


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
    sat_by, exams, labels = sittings(study), Exams(), labels_of(study)
    lacking = [s.run.exam for s in sat_by if s.said and exams.of(s.at) is None]
    met = {said.outcome for sitting in sat_by for said in sitting.said.values()}
    about = {
        "runs": _runs(study, labels), "lacking": sorted({*map(str, lacking)}),
        "marks": marks(study),
        "outcomes": [name for name in OUTCOMES if name in met - {"answered"}],
    }  # fmt: skip
    cards = (Card(o.name, card(o, labels, study.lang)) for o in asked(sat_by, exams))
    return _written(study.folder, study.lang, list(_parts(cards)), about)


def _runs(study: Study, labels: Sequence[str]) -> list[tuple[Any, str | None]]:
    """The runs' labels in the order of their numbers, and the page of each."""
    from markupsafe import Markup

    return [
        (Markup(label), f"{quote(run.name)}/run.html" if _has_page(run) else None)
        for run, label in zip(study.runs, labels, strict=True)
    ]


def _has_page(run: Any) -> bool:
    return (run.folder / "run.ipynb").is_file()


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
        cards=CARDS if cards else "", questions=_by_section(names), n=len(names),
        is_split=not cards, **about,
    )  # fmt: skip
    frame = made.get_template("page.html.j2").render(
        title=say("replies_title", lang), body=Markup(body), contents=[],
        policy=f"{POLICY}; script-src '{_hash(script)}'" if cards else POLICY,
        style=Markup(_source("card.css") + _source("replies.css")),
        script=Markup(script) if cards else "",
    )  # fmt: skip
    before, _, after = frame.partition(CARDS)
    return "".join([before, *(each.told for each in cards), after])


def _by_section(names: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
    """Questions by exam and section: the address of each, its name and its number."""
    sections: dict[str, list[Any]] = {}
    for path, name in names:
        found = NUMBER.fullmatch(name)
        section, number = (found[1] + found[2], found[3]) if found else ("", name)
        told = (f"{path}#{quote(name)}", name, number)
        sections.setdefault(section, []).append(told)
    return sections


@cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8")


def _hash(script: str) -> str:
    """The one script that may run, as a content policy names it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


# --- links that lead there ------------------------------------------------------------


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
    names = sorted({name for each in sat_by for name in each.said}, key=place_of)
    known = {name.lower(): name for name in names}
    name = known.get(problem_id.strip().lower())
    if name is None:
        raise IgakuError(_missing(study, problem_id, names))
    one = asked_of(sat_by, Exams(), name)
    return Reading(one, tuple(labels_of(study)), checked(lang or study.lang))


def _missing(study: Study, given: str, names: Sequence[str]) -> str:
    """Why there is no such question, with what is near it."""
    if not names:
        return f"{study.folder} holds no replies yet: run a model first."
    near = difflib.get_close_matches(given.strip().upper(), names, n=3, cutoff=0.6)
    hint = f"did you mean {', '.join(near)}?" if near else f"{names[0]} is one."
    return f"No run was asked a question {given!r}: {hint}"
