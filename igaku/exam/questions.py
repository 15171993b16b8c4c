"""The exam: questions, their gold answers, points, 禁忌 choices and vignettes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from string import ascii_lowercase

from igaku.errors import IgakuError
from igaku.exam import igakuqa
from igaku.exam.igakuqa import SECTIONS, Row, exam_folder, exam_year, read_section

CALIBRATION = "calibration"
HEAD = "次の文を読み"
# Exams 112 and 113 print which questions a case is for: 「51〜53の問いに答えよ」. Later
# ones say 「以下の問い」; there, cases have two questions in B and E, three in C and F.
PRINTED_RANGE = re.compile(HEAD + r"、?(\d+)\s*[、,〜～~–-]\s*(\d+)の問い")
CASE_LENGTH = {"B": 2, "C": 3, "E": 2, "F": 3}

# The end of a head's own question, with what may stand behind it: how many to choose,
# and the choices as a table. Japanese questions end in か, 選べ or the like, often
# without a full stop.
CHOICES_BELOW = (
    r"(?P<table>(?:\s*\n\s*[(（]?[a-hａ-ｈA-H①-⑨1-9][)）.．:：、\s|].*)*)\s*\Z"
)
ENDINGS = {
    "ja": re.compile(
        r"(?:か|選べ|求めよ|答えよ|述べよ)[。．？?]?"
        r"(?:\s*[(（]?[0-9０-９一二三]つ選べ[)）]?[。．]?)?" + CHOICES_BELOW
    ),
    "en": re.compile(
        r"\?(?:\s*\(?(?:Select|Choose)\b[^.?!\n]*[.!]?\)?)?" + CHOICES_BELOW
    ),
}
SENTENCE_ENDS = {"ja": re.compile(r"[。\n]"), "en": re.compile(r"[.?!:](?=\s)|\n")}
# A line that a sentence does not run on from: of a table, a list or a prescription.
LISTED = re.compile(r"[:：|\t・●○◯□■※]|^\s*[(（①-⑨]|[0-9０-９]")
# Characters; the longest of exams 112 and 116 have 61 and 170.
LONGEST_QUESTION = {"ja": 120, "en": 340}


@dataclass(frozen=True)
class Question:
    """One question of the exam, with its gold answer and what is known about it.

    `answer` is the gold: sorted lower-case letters, or one string with the digits of
    the boxes ("①.②" with the gold 2.1 is "21"). `accepted` lists every gold answer
    where the exam has several. `stem` is the head of the case the question belongs to,
    and `context` that case's text where it was joined.
    """

    problem_id: str
    section: str
    text: str
    choices: tuple[str, ...]
    answer: tuple[str, ...]
    kind: str
    points: int
    text_only: bool
    stem: str | None = None
    category: str | None = None
    kinki: tuple[str, ...] = ()
    human_accuracy: float | None = None
    accepted: tuple[tuple[str, ...], ...] = ()
    context: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The letters a reply may choose from: usually a–e, in two questions a–h."""
        return tuple(ascii_lowercase[: len(self.choices)])

    @property
    def prompt_text(self) -> str:
        """What the model reads: the vignette, when one is joined, then the question."""
        return f"{self.context}\n{self.text}" if self.context else self.text

    @classmethod
    def from_record(cls, row: Row, metadata: Row | None = None) -> Question:
        """A question read from one row of an IgakuQA file and its metadata row.

        One row does not tell which case a follow-up belongs to: `stem` is set for the
        head of a case, and for rows that name theirs under `serial`.
        """
        absent = {"problem_id", "problem_text", "answer"} - row.keys()
        number, about = row.get("problem_id", ""), metadata or {}
        if absent:
            raise IgakuError(
                f"The question row {number} lacks {', '.join(sorted(absent))}: give "
                f"the row as IgakuQA has it."
            )
        found = re.fullmatch(r"\d+([A-F])\d+", number)
        if not found:
            raise IgakuError(f"{number!r} is no problem id: give one such as 116A1.")
        choices = tuple(row.get("choices") or ())
        kind = "choice" if choices else "numeric"
        accepted = _accepted(row["answer"], kind)
        is_head = row["problem_text"].startswith(HEAD)
        points = row.get("points")  # text in IgakuQA; "0" means struck from scoring
        return cls(
            problem_id=number,
            section=found[1],
            text=row["problem_text"],
            choices=choices,
            answer=accepted[0],
            kind=kind,
            points=1 if points in (None, "") else int(points),
            text_only=bool(row.get("text_only", True)),
            stem=row.get("serial") or (number if is_head else None),
            category=about.get("category") or None,
            kinki=_kinki(about.get("kinki"), len(choices)),
            human_accuracy=_percent(about.get("human_accuracy")),
            accepted=accepted,
        )


def load_exam(
    year: int | str = 2022,
    sections: Iterable[str] = SECTIONS,
    data_dir: str | Path | None = None,
    serial_context: str = "as_released",
    language: str = "ja",
) -> list[Question]:
    """The questions of one exam, in order: a year from 2018 to 2022, or "calibration".

    IgakuQA's files come from `data_dir`, else the folder named by `IGAKU_DATA`, else
    the cache, which is filled by download. Each file is checked for its shape and
    against its sha256; igaku ships those of 2018 and 2022 and holds the other years
    against their first download. An exam is returned whole or not at all.

    `serial_context="joined"` puts a case before its follow-ups, which IgakuQA releases
    without it. The head's own question is left out, where it is surely told apart: in
    English, where it is the last sentence and ends in a question mark.

    `language="en"` takes IgakuQA's machine translations as they are. Some of the heads
    carry notes or even an answer of the translating model (116E41, 116E45, 116E49,
    116F62), so English results are for comparison with IgakuQA's own only.
    """
    wanted = _checked_sections(sections)
    _check_one_of("serial_context", serial_context, ("as_released", "joined"))
    _check_one_of("language", language, ("ja", "en"))
    if year == CALIBRATION:
        made = (Question.from_record(*pair) for pair in _calibration(language)[0])
        questions = [q for q in made if q.section in wanted]
    else:
        number = exam_year(year)
        folder = exam_folder(number, data_dir)
        questions = [
            question
            for section in wanted
            for question in _read_section(folder, number, section, language)
        ]
    return _joined(questions, language) if serial_context == "joined" else questions


def load_examples(
    year: int | str = 2022,
    shots: int = 2,
    data_dir: str | Path | None = None,
    language: str = "ja",
) -> list[Question]:
    """The first `shots` worked examples, 0 to 3: 100E5, 100A60 and 100A1.

    They serve every year; the calibration exam has three of its own.
    """
    _check_one_of("shots", shots, range(4))
    _check_one_of("language", language, ("ja", "en"))
    if shots == 0:
        return []
    if year == CALIBRATION:
        rows = _calibration(language)[1]
    else:
        rows = igakuqa.read_examples(exam_folder(exam_year(year), data_dir), language)
    return [_in_language(row, row, language) for row in rows[:shots]]


def exam_hashes(
    year: int | str = 2022,
    data_dir: str | Path | None = None,
    sections: Iterable[str] = SECTIONS,
    language: str = "ja",
    shots: int = 2,
) -> dict[str, str]:
    """File name → sha256 of every file a run of this exam reads."""
    wanted = _checked_sections(sections)
    _check_one_of("language", language, ("ja", "en"))
    if year == CALIBRATION:
        text = json.dumps(_calibration(language), ensure_ascii=False)
        return {CALIBRATION: hashlib.sha256(text.encode()).hexdigest()}
    number = exam_year(year)
    folder = exam_folder(number, data_dir)
    kinds = ("", "_metadata") + (("_translate",) if language == "en" else ())
    names = [igakuqa.section_file(number, s, kind) for s in wanted for kind in kinds]
    names += [igakuqa.examples_file(language)] if shots else []
    files = {name: igakuqa.released_file(folder, name) for name in names}
    return {name: igakuqa.file_sha256(path) for name, path in files.items()}


def stratified(questions: Sequence[Question], limit: int | None) -> list[Question]:
    """At most `limit` questions, spread evenly over the sections, in exam order.

    Sections differ by one question at most, unless one has no more. The choice is the
    same each time, spread over each section, and a larger limit only adds to it.
    """
    if limit is None:
        return list(questions)
    if limit < 1:
        raise IgakuError(f"limit is {limit}: give 1 or more, or None for all.")
    places: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        places.setdefault(question.section, []).append(place)
    turns = [
        (turn, order, members[pick])
        for order, members in enumerate(places.values())
        for turn, pick in enumerate(_spread(len(members)))
    ]
    return [questions[place] for place in sorted(p for *_, p in sorted(turns)[:limit])]


def _spread(n: int) -> list[int]:
    """0…n−1 in the order of the van der Corput sequence: halves, quarters, eighths …

    >>> _spread(8)
    [0, 4, 2, 6, 1, 5, 3, 7]
    """
    digits = max(n - 1, 1).bit_length()
    mirrored = (int(f"{i:0{digits}b}"[::-1], 2) for i in range(2**digits))
    return [i for i in mirrored if i < n]


def _read_section(
    folder: Path, year: int, section: str, language: str
) -> list[Question]:
    def by_id(kind: str) -> dict[str, Row]:
        return {r["problem_id"]: r for r in read_section(folder, year, section, kind)}

    rows, about = by_id(""), by_id("_metadata")
    english = by_id("_translate") if language == "en" else rows
    questions: list[Question] = []
    stem, left = None, 0  # of the case that is being told
    for number, row in rows.items():
        if row["problem_text"].startswith(HEAD):
            printed = PRINTED_RANGE.match(row["problem_text"])
            left = CASE_LENGTH.get(section, 1)
            if printed:
                left = int(printed[2]) - int(printed[1]) + 1
            stem = number
        question = _in_language(row, english[number], language, about[number])
        _check_gold(question, igakuqa.section_file(year, section))
        own = question.stem or (stem if left > 0 else None)
        questions.append(replace(question, stem=own))
        left -= 1
    return questions


def _in_language(
    row: Row, words: Row, language: str, metadata: Row | None = None
) -> Question:
    """The question with its text from `words`, the row or its translation."""
    if language == "ja":
        return Question.from_record(row, metadata)
    text, choices = words.get("problem_text_en"), words.get("choices_en") or []
    if not text or len(choices) != len(row["choices"]):
        raise IgakuError(
            f"{row['problem_id']} has no whole English translation: use language 'ja'."
        )
    return Question.from_record(
        row | {"problem_text": text, "choices": choices}, metadata
    )


def _joined(questions: list[Question], language: str) -> list[Question]:
    """The questions, each follow-up with its case as context."""
    heads = {q.problem_id: q.text for q in questions}
    return [
        q
        if q.stem in (None, q.problem_id)
        else replace(q, context=_vignette(heads[str(q.stem)], language))
        for q in questions
    ]


def _vignette(head: str, language: str) -> str:
    r"""The case a head tells, without the head's own question at its end.

    All that stands before the question stays: tables, prescriptions, lists. Where
    nothing that looks like a question ends the head, the head stays whole.

    >>> _vignette("次の文を読み、以下の問いに答えよ。50歳の女性。病態はどれか。", "ja")
    '次の文を読み、以下の問いに答えよ。50歳の女性。'
    """
    found = ENDINGS[language].search(head)
    if not found:
        return head
    start = _question_start(head[: found.start()], language)
    asked = head[start : found.start("table")]
    is_question = (
        0 < len(asked.strip()) <= LONGEST_QUESTION[language] and "|" not in asked
    )
    return head[:start].rstrip() if is_question else head


def _question_start(text: str, language: str) -> int:
    """Where the sentence begins that a text breaks off in; it may run over lines."""
    ends = [found.end() for found in SENTENCE_ENDS[language].finditer(text)]
    start = ends.pop() if ends else 0
    while ends and text[start - 1] == "\n":
        line = text[ends[-1] : start - 1]
        if not line.strip() or LISTED.search(line):
            break
        start = ends.pop()
    return start


@cache  # drawing 400 questions takes longer than all else that begins a run
def _calibration(language: str) -> tuple[list[tuple[Row, Row]], list[Row]]:
    """The calibration exam's rows, each with its metadata, and its worked examples."""
    from igaku.exam.calibration import calibration_examples, calibration_records

    if language != "ja":
        raise IgakuError("The calibration exam is in Japanese: set language to 'ja'.")
    return calibration_records(), calibration_examples()


def _checked_sections(sections: Iterable[str]) -> list[str]:
    """The sections asked for, in exam order."""
    asked = set("".join(sections).upper())
    if not asked or asked - set(SECTIONS):
        raise IgakuError(f"sections is {sections!r}: give letters of {SECTIONS}.")
    return [section for section in SECTIONS if section in asked]


def _check_one_of(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed or isinstance(value, bool):
        raise IgakuError(
            f"{name} is {value!r}: give one of {', '.join(map(repr, allowed))}."
        )


def _check_gold(question: Question, name: str) -> None:
    """A gold answer must be choosable; questions struck from scoring may have none."""
    for gold in question.accepted:
        choosable = set(gold) <= set(question.labels) or question.kind == "numeric"
        if not choosable or not ("".join(gold) or question.points == 0):
            raise IgakuError(
                f"{question.problem_id} in {name} has the gold answer "
                f"{','.join(gold)!r}, which is none of its choices: take the file anew "
                "from IgakuQA."
            )


def _accepted(gold: Iterable[str], kind: str) -> tuple[tuple[str, ...], ...]:
    """Every answer the gold accepts: ["a or d"] accepts a, and accepts d.

    >>> _accepted(["c", "a"], "choice"), _accepted(["7.20"], "numeric")
    ((('a', 'c'),), (('720',),))
    """
    text = unicodedata.normalize("NFKC", " ".join(gold))
    if kind == "numeric":
        return (("".join(filter(str.isdecimal, text)),),)
    ways = re.split(r"\bor\b", text.lower())
    return tuple(tuple(sorted(set(filter(str.isalpha, way)))) for way in ways)


def _kinki(entries: Iterable[str] | None, n_choices: int) -> tuple[str, ...]:
    """Single letters from 禁忌 entries, which come as "d", as "ｃ" and as "ade"."""
    text = unicodedata.normalize("NFKC", "".join(entries or ())).lower()
    return tuple(letter for letter in ascii_lowercase[:n_choices] if letter in text)


def _percent(text: str | float | None) -> float | None:
    """A percentage; questions struck from scoring have "" or no key."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[%％]?\s*", str(text))
    return float(found[1]) if found else None
