"""Asking one question: its messages, the request, the retries, the row it becomes."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku.ask.folder import Row, now
from igaku.ask.plan import Item
from igaku.errors import ServerUnreachable
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
BACKOFF = 1.0  # seconds before the second attempt, doubled with each further one


@dataclass(frozen=True)
class Attempt:
    """One request: what came of it, how long it took, whether another may do better."""

    reply: Reply
    seconds: float
    again: bool
    is_late: bool = False


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
