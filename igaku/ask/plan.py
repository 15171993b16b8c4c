"""The plan of a run: its questions with their messages, and what is left to send."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from igaku.ask import health
from igaku.ask.folder import ANSWERS, PROBE, Row, read_rows
from igaku.ask.prompt import (
    Message,
    load_prompt,
    messages,
    prompt_sha256,
    shared_prefix,
)
from igaku.exam.choices import order_of, shown
from igaku.exam.questions import Question, exam_hashes, load_examples
from igaku.params.settings import Settings
from igaku.words import CAUSES

PROBE_QUESTIONS = 5
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
    by_section: dict[str, list[Question]] = {}
    for question in sorted(questions, key=lambda each: _lot(each, order["seed"])):
        by_section.setdefault(question.section, []).append(question)
    places = [
        ((2 * i + 1) / (2 * len(members)), section, question)
        for section, members in by_section.items()
        for i, question in enumerate(members)
    ]
    return [question for *_, question in sorted(places, key=lambda each: each[:2])]


def _lot(question: Question, seed: int) -> str:
    return hashlib.sha256(f"{seed} {question.problem_id}".encode()).hexdigest()


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
    items = {item.question.problem_id: item for item in plan.items}
    # Ordered with those that are done: where a run goes on must not change its order.
    asked = in_asking_order([item.question for item in plan.items], order)
    names = (question.problem_id for question in asked)
    return [items[name] for name in names if name not in done]


def left_to_probe(plan: Plan, rows: Sequence[Row], probed: Sequence[Row]) -> list[Item]:
    """A few lost items of a run that is over, which a larger budget may rescue.

    None after a probe that failed: a server that fails is not asked on.
    """
    if not is_over(plan, rows):
        return []
    by_outcome: dict[str, list[str]] = {outcome: [] for outcome in CAUSES}
    for row in rows:
        if row["outcome"] in by_outcome:
            by_outcome[row["outcome"]].append(row["problem_id"])
    # Truncated and empty in turn, so that a few show both; failed ones may fail again.
    pairs = zip_longest(by_outcome["truncated"], by_outcome["empty"])
    lost = [name for pair in pairs for name in pair if name] + by_outcome["api_error"]
    probed = [row for row in probed if row["problem_id"] in lost]
    if any(row["outcome"] == "api_error" for row in probed):
        return []
    done = {row["problem_id"] for row in probed}
    items = {item.question.problem_id: item for item in plan.items}
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
    rows = read_rows(plan.settings.folder / ANSWERS)
    return not (left_to_ask(plan, rows) or left_to_probe(plan, rows, probes(plan)))
