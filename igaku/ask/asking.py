"""Asking one question: its messages, the request, the retries, the row it becomes."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from igaku.ask import health
from igaku.ask.folder import ANSWERS, PROBE, Row, now, read_rows
from igaku.ask.prompt import (
    Message,
    load_prompt,
    messages,
    prompt_sha256,
    shared_prefix,
)
from igaku.errors import ServerUnreachable
from igaku.exam.questions import Question, exam_hashes, load_examples
from igaku.params.settings import Settings
from igaku.reading.answer import Graded, outcome_of
from igaku.server.client import (
    chat_path,
    complete,
    is_crash,
    is_retryable,
    request_body,
)
from igaku.server.identity import contradiction
from igaku.server.reply import Reply

if TYPE_CHECKING:
    from openai import OpenAI
    from tenacity import RetryCallState, Retrying

ATTEMPTS = 4
BUSY_ATTEMPTS = 8  # a server that says it is busy or loading is worth more patience
LONGEST_WAIT = 30.0  # seconds between two attempts, unless the server asks for more
LONGEST_RETRY_AFTER = 300.0
PROBE_QUESTIONS = 5
PROBE_FACTOR = 4  # times the budget
BACKOFF = 1.0  # seconds before the second attempt, doubled with each further one


@dataclass(frozen=True)
class Item:
    """A question with the messages that ask it."""

    question: Question
    chat: list[Message]
    prompt_sha256: str


@dataclass(frozen=True)
class Plan:
    """What a run asks: its items in exam order, and what they were made from."""

    settings: Settings
    items: tuple[Item, ...]
    prompt_sha256: str
    exam_files: Mapping[str, str]


@dataclass(frozen=True)
class Attempt:
    """One request: what came of it, how long it took, whether another may do better."""

    reply: Reply
    seconds: float
    again: bool
    is_late: bool = False


def plan_of(settings: Settings, questions: Sequence[Question]) -> Plan:
    """The plan of a run of these questions under these settings."""
    prompt = load_prompt(settings.prompt, settings.language)
    exam, folder, language = settings.exam, settings.data_dir, settings.language
    examples = load_examples(exam, settings.shots, folder, language)
    items = []
    for question in questions:
        chat = messages(prompt, question, examples)
        items.append(Item(question, chat, prompt_sha256(chat)))
    return Plan(
        settings,
        tuple(items),
        prompt_sha256(shared_prefix(prompt, examples)),
        exam_hashes(exam, folder, settings.sections, language, settings.shots),
    )


def is_reply(row: Row) -> bool:
    """Whether a row is a reply of the model asked for; others are asked again."""
    return row["outcome"] not in ("api_error", "wrong_model")


def is_over(plan: Plan, outcomes: Mapping[str, int]) -> bool:
    """Whether a run is broken, and to be stopped for it."""
    return plan.settings.stop_when_broken and health.is_broken(outcomes)


def left_to_ask(plan: Plan, rows: Sequence[Row]) -> list[Item]:
    """The items without a reply; none when the run is over."""
    replies = [row for row in rows if is_reply(row)]
    if is_over(plan, Counter(row["outcome"] for row in replies)):
        return []
    done = {row["problem_id"] for row in replies}
    return [item for item in plan.items if item.question.problem_id not in done]


def left_to_probe(plan: Plan, rows: Sequence[Row]) -> list[Item]:
    """A few lost items of a run that is over, which a larger budget may rescue.

    None after a probe that failed: a server that fails is not asked on.
    """
    if not is_over(plan, Counter(row["outcome"] for row in rows)):
        return []
    lost = worth_probing(rows)
    probed = [row for row in probes(plan) if row["problem_id"] in lost]
    if any(row["outcome"] == "api_error" for row in probed):
        return []
    done = {row["problem_id"] for row in probed}
    items = {item.question.problem_id: item for item in plan.items}
    chosen = [name for name in lost[:PROBE_QUESTIONS] if name not in done]
    return [items[name] for name in chosen if name in items]


def worth_probing(rows: Sequence[Row]) -> list[str]:
    """The lost questions: truncated and empty in turn, so that a few show both.

    Failed ones come last, as they may well fail again.
    """
    lost: dict[str, list[str]] = {outcome: [] for outcome in health.CAUSES}
    for row in rows:
        if row["outcome"] in lost:
            lost[row["outcome"]].append(row["problem_id"])
    pairs = zip_longest(lost["truncated"], lost["empty"])
    return [name for pair in pairs for name in pair if name] + lost["api_error"]


def probes(plan: Plan) -> list[Row]:
    """The rows of the questions that were asked again with a larger budget.

    What another model replied is none of them, and is asked once more.
    """
    rows = read_rows(plan.settings.folder / PROBE)
    return [row for row in rows if row["outcome"] != "wrong_model"]


def is_finished(plan: Plan) -> bool:
    """Whether nothing is left to be sent, by the run's folder as it is."""
    rows = read_rows(plan.settings.folder / ANSWERS)
    return not left_to_ask(plan, rows) and not left_to_probe(plan, rows)


class Asker:
    """Asks questions with one budget, from as many threads as wanted, until stopped."""

    def __init__(
        self,
        client: OpenAI,
        settings: Settings,
        facts: Mapping[str, Any],
        max_tokens: int | None = None,
        told_by: str = "field",
    ) -> None:
        self.client, self.settings, self.facts = client, settings, facts
        self.budget = max_tokens or settings.max_tokens
        self.told_by = told_by
        self.path = chat_path(facts, settings.base_url, told_by)
        self.stop = threading.Event()
        self._patiently = _retrying(self.stop)

    def ask(self, item: Item) -> Row | None:
        """The row of one question; None when stopped between two attempts."""
        asked_at = now()
        attempts = self.attempts(item)
        last = attempts[-1]
        if last.again and self.stop.is_set():
            return None
        other = contradiction(self.settings, last.reply, self.facts)
        graded = outcome_of(last.reply, item.question, self.budget, other is None)
        why = other if graded.outcome == "wrong_model" else last.reply.error
        return _row(item, last, graded, len(attempts), asked_at) | {"error": why}

    def attempts(self, item: Item) -> list[Attempt]:
        """Every attempt at one question, the last of which counts."""
        body = request_body(self.settings, item.chat, self.budget, self.told_by)
        attempts: list[Attempt] = []
        self._patiently(self._attempt, body, attempts)
        return attempts

    def _attempt(self, body: Mapping[str, Any], attempts: list[Attempt]) -> Attempt:
        """Send one request; a reply that the budget cut is never worth another."""
        began, late = time.perf_counter(), False
        try:
            reply = complete(self.client, body, self.path)
            again = is_retryable(reply) and not self.is_down(reply)
        except ServerUnreachable as broken:
            reply, late = Reply(error=str(broken)), was_too_slow(broken)
            # Who was too slow once would be too slow again: the same budget, the same
            # time.
            again = not late
        attempts.append(Attempt(reply, time.perf_counter() - began, again, late))
        return attempts[-1]

    def is_down(self, reply: Reply) -> bool:
        """Whether the engine crashed and it is for igaku to load the model again."""
        return self.settings.load and is_crash(reply)


def _retrying(stop: threading.Event) -> Retrying:
    import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda attempt: attempt.again),
        stop=lambda state: stop.is_set() or _is_enough(state),
        wait=_pause,
        sleep=tenacity.sleep_using_event(stop),
        retry_error_callback=_last,
    )


def was_too_slow(broken: BaseException | None) -> bool:
    """Whether the connection stood and the reply did not come in time."""
    while broken is not None:
        if type(broken).__name__ == "ReadTimeout":
            return True
        broken = broken.__cause__
    return False


def is_late(row: Row, timeout: float) -> bool:
    """Whether a row is a failure because no reply came in time."""
    failed = row["outcome"] == "api_error" and row["raw"] is None
    return failed and row["seconds"] >= timeout


def _is_enough(state: RetryCallState) -> bool:
    last = _last(state)
    return state.attempt_number >= (BUSY_ATTEMPTS if _is_busy(last.reply) else ATTEMPTS)


def _pause(state: RetryCallState) -> float:
    """Seconds to wait: what the server asks for, else twice as long each time."""
    told = getattr(_last(state).reply, "retry_after", None)
    if told is not None:
        return min(told, LONGEST_RETRY_AFTER)
    # Threads that failed together must not come back together.
    return min(BACKOFF * 2 ** (state.attempt_number - 1), LONGEST_WAIT) * _jitter()


def _jitter() -> float:
    return random.uniform(0.75, 1.25)


def _last(state: RetryCallState) -> Attempt:
    assert state.outcome is not None  # tenacity asks after an attempt, never before
    attempt: Attempt = state.outcome.result()
    return attempt


def _is_busy(reply: Reply) -> bool:
    told = reply.error or ""
    return reply.status in (429, 503) or re.search("loading", told, re.I) is not None


def _row(
    item: Item, last: Attempt, graded: Graded, attempts: int, asked_at: str
) -> Row:
    """The row of answers.jsonl: its keys are a contract, their order included."""
    reply, failed = last.reply, graded.outcome == "api_error"
    unread = failed or graded.outcome == "wrong_model"
    return {
        "problem_id": item.question.problem_id,
        "section": item.question.section,
        "outcome": graded.outcome,
        "answer": list(graded.answer) if graded.answer else None,
        "correct": None if unread else graded.correct,
        "content": reply.content or (None if failed else ""),
        "reasoning": reply.reasoning or (None if failed else ""),
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "reasoning_tokens_estimated": reply.reasoning_tokens_estimated,
        "seconds": round(last.seconds, 4),
        "tokens_per_second": reply.tokens_per_second,
        "served_model": reply.served_model,
        "attempts": attempts,
        "prompt_sha256": item.prompt_sha256,
        "error": reply.error,
        "raw": reply.raw,
        "asked_at": asked_at,
    }
