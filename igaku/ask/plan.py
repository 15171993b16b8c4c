"""The plan of a run: its questions with their messages, and what is left to send."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from igaku.ask import health
from igaku.ask.folder import ANSWERS, PROBE, Row
from igaku.ask.prompt import (
    Message,
    load_prompt,
    messages,
    prompt_sha256,
    shared_prefix,
)
from igaku.ask.rows import firsts, read_rows
from igaku.exam.choices import order_of, shown
from igaku.exam.questions import Question, exam_hashes, load_examples
from igaku.params.settings import Settings
from igaku.reading.digits import digits_of

PROBE_QUESTIONS = 5
MISGRADED = "a grade that is not that of its answer"
FOREIGN = "a question that is not of this run"
OTHER_WORDS = "asked in other words than this question was"
PROBE_FACTOR = 4  # times the budget
# A run's folder has it in its manifest; one without was begun in exam order.
ORDER = {"kind": "stratified", "seed": 0}


@dataclass(frozen=True)
class Item:
    """A question with the messages that ask it."""

    question: Question
    chat: list[Message]
    prompt_sha256: str
    order: str | None = None  # of its choices, see `exam.choices`

    @property
    def shown(self) -> Question:
        """The question as the model sees it."""
        return shown(self.question, self.order)


@dataclass(frozen=True)
class Plan:
    """What a run asks: its items in exam order, and what they were made from."""

    settings: Settings
    items: tuple[Item, ...]
    prompt_sha256: str
    exam_files: Mapping[str, str]

    @property
    def by_name(self) -> dict[str, Item]:
        """The items by the `problem_id` of their questions."""
        return {item.question.problem_id: item for item in self.items}

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """What a manifest holds of each question that is planned, by `problem_id`."""
        return {
            name: planned(item.question)
            | {"prompt_sha256": item.prompt_sha256}
            | ({"shown_as": item.order} if item.order else {})
            for name, item in self.by_name.items()
        }


def plan_of(settings: Settings, questions: Sequence[Question]) -> Plan:
    """The plan of a run of these questions under these settings."""
    prompt = load_prompt(settings.prompt, settings.language)
    exam, folder, language = settings.exam, settings.data_dir, settings.language
    examples = load_examples(exam, settings.shots, folder, language)
    items = []
    for question in questions:
        order = order_of(question, settings.choice_order)
        chat = messages(prompt, shown(question, order), examples)
        items.append(Item(question, chat, prompt_sha256(chat), order))
    return Plan(
        settings,
        tuple(items),
        prompt_sha256(shared_prefix(prompt, examples)),
        exam_hashes(exam, folder, settings.sections, language, settings.shots),
    )


def planned(question: Question) -> dict[str, Any]:
    """What an analysis must know of a question, also of one that was never asked."""
    return {
        "problem_id": question.problem_id,
        "section": question.section,
        "kind": question.kind,
        "gold": list(question.answer),
        "accepted": [list(answer) for answer in question.accepted],
        "points": question.points,
        "text_only": question.text_only,
        "stem": question.stem,
        "category": question.category,
        "kinki": list(question.kinki),
        "human_accuracy": question.human_accuracy,
    }


def contradicted(row: Mapping[str, Any], told: Mapping[str, Any] | None) -> str | None:
    """What a manifest's entry of a question has against a row; None where nothing.

    >>> contradicted({"problem_id": "116A1"}, None)
    'a question that is not of this run'
    """
    if told is None:
        return FOREIGN
    words = told.get("prompt_sha256")
    if words is not None and row.get("prompt_sha256") != words:
        return OTHER_WORDS
    ways = told.get("accepted") or [told.get("gold")]
    is_told = isinstance(ways, list) and all(isinstance(w, list) and w for w in ways)
    if not is_told or row["outcome"] in ("api_error", "wrong_model"):
        return None
    answer = list(row["answer"] or ())
    if told.get("kind") == "numeric":  # one number has many spellings
        answer, ways = [*map(digits_of, answer)], [[*map(digits_of, w)] for w in ways]
    is_right = row["outcome"] == "answered" and answer in ways
    return None if bool(row["correct"]) == is_right else MISGRADED


def misplaced(
    rows: Iterable[Row], entries: Mapping[str, Mapping[str, Any]]
) -> dict[int, str]:
    """The rows that the entries of a manifest contradict: a fault by each one's start.

    Not of its questions, not in the words on record for the question, or not with the
    grade that the answer has by the gold on record.
    """
    told = {
        row["at"]: contradicted(row, entries.get(row["problem_id"])) for row in rows
    }
    return {at: fault for at, fault in told.items() if fault}


def in_asking_order(
    questions: Sequence[Question], order: Mapping[str, Any] | None
) -> list[Question]:
    """Questions as they are sent: the sections mixed evenly, by lot within each.

    So the first twenty are like all, and the early stop judges a run by them. The i-th
    of a section's m questions stands at (i + ½)/m of the way. Without an order on
    record they stay in exam order.
    """
    if order is None:
        return list(questions)

    def lot(question: Question) -> str:
        drawn = f"{order['seed']} {question.problem_id}"
        return hashlib.sha256(drawn.encode()).hexdigest()

    by_section: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lot):
        by_section.setdefault(question.section, []).append(question)
    places = [
        ((2 * i + 1) / (2 * len(members)), section, question)
        for section, members in by_section.items()
        for i, question in enumerate(members)
    ]
    return [question for *_, question in sorted(places, key=lambda each: each[:2])]


def is_reply(row: Row) -> bool:
    """Whether a row is a reply of the model asked for; others are asked again."""
    return row["outcome"] not in ("api_error", "wrong_model")


def is_over(plan: Plan, rows: Sequence[Row]) -> bool:
    """Whether a run is broken, and was to be stopped for it at any of its rows."""
    return plan.settings.stop_when_broken and health.stops(health.outcomes_of(rows))


def left_to_ask(
    plan: Plan, rows: Sequence[Row], order: Mapping[str, Any] | None = None
) -> list[Item]:
    """The items without a reply, as they are to be sent; none when the run is over."""
    replies = [row for row in rows if is_reply(row)]
    if is_over(plan, replies):
        return []
    done = {row["problem_id"] for row in replies}
    # Ordered with those that are done: where a run goes on must not change its order.
    asked = in_asking_order([item.question for item in plan.items], order)
    names, items = (question.problem_id for question in asked), plan.by_name
    return [items[name] for name in names if name not in done]


def left_to_probe(plan: Plan, rows: Sequence[Row], probed: Sequence[Row]) -> list[Item]:
    """A few lost items of a run that is over, which a larger budget may rescue.

    None after a probe that failed: a server that fails is not asked on.
    """
    if not is_over(plan, rows):
        return []
    cut, empty, failed = (
        [row["problem_id"] for row in rows if row["outcome"] == outcome]
        for outcome in ("truncated", "empty", "api_error")
    )
    # Truncated and empty in turn, so that a few show both; failed ones may fail again.
    lost = [n for pair in zip_longest(cut, empty) for n in pair if n] + failed
    done = {row["problem_id"]: row["outcome"] for row in probed}
    if any(done.get(name) == "api_error" for name in lost):
        return []
    items = plan.by_name
    chosen = [name for name in lost[:PROBE_QUESTIONS] if name not in done]
    return [items[name] for name in chosen if name in items]


def probes(plan: Plan) -> list[Row]:
    """The rows of the questions that were asked again with a larger budget.

    What another model replied is none of them, and is asked once more.
    """
    rows = read_rows(plan.settings.folder / PROBE)
    return [row for row in rows if row["outcome"] != "wrong_model"]


def is_finished(plan: Plan) -> bool:
    """Whether nothing is left to be sent, by the run's folder as it is."""
    found = read_rows(plan.settings.folder / ANSWERS)
    rows = firsts(found, misplaced(found, plan.entries))
    return not (left_to_ask(plan, rows) or left_to_probe(plan, rows, probes(plan)))
