"""Asking: one question, its request, its retries and its row; and many at once.

Workers ask, and each row is on disk before it is counted.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from igaku.ask.folder import Journal, Row, now
from igaku.ask.health import ATTEMPTS
from igaku.ask.plan import Item
from igaku.errors import EngineCrashed, ServerUnreachable
from igaku.exam.choices import released
from igaku.exam.questions import Question
from igaku.params.settings import Settings
from igaku.reading.answer import Graded, outcome_of, reading_of
from igaku.reading.readings import READER, Reading
from igaku.reading.reply import Reply, understood
from igaku.server.client import (
    chat_path,
    complete,
    is_crash,
    is_retryable,
    request_body,
)
from igaku.server.effect import effort_refused, refused_effort
from igaku.server.fingerprint import context_length, is_loaded
from igaku.server.identity import contradiction
from igaku.server.parts import Parts

if TYPE_CHECKING:
    from openai import OpenAI

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

    def ask(self, item: Item) -> Row | None:
        """The row of one question; None when stopped between two attempts."""
        asked_at = now()
        attempts = self.attempts(item)
        last = attempts[-1]
        if last.again and self.stop.is_set():
            return None
        other = contradiction(self.settings, last.reply, self.facts)
        window = context_length(self.facts, self.settings.model)
        asked = (item.shown, self.budget, other is None, window)
        graded = outcome_of(last.reply, *asked)
        is_other = graded.outcome == "wrong_model"
        why = other if is_other else error_of(last.reply, graded)
        return _row(item, last, graded, len(attempts), asked_at) | {"error": why}

    def attempts(self, item: Item) -> list[Attempt]:
        """Every attempt at one question, the last of which counts."""
        told = (self.budget, self.told_by, self.facts)
        body = request_body(self.settings, item.chat, *told)
        made = [self._attempt(body)]
        while made[-1].again and len(made) < _most(made[-1].reply):
            if self.stop.wait(_pause(made[-1].reply, len(made))):
                break
            made.append(self._attempt(body))
        return made

    def _attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Send one request; a reply that the budget cut is never worth another."""
        began, late = time.perf_counter(), False
        try:
            reply = self._explained(complete(self.client, body, self.path))
            # A crashed engine that igaku has loaded, igaku is to load again.
            is_down = self.settings.load and is_crash(reply)
            again = is_retryable(reply) and not is_down
        except ServerUnreachable as broken:
            reply, late = Reply(error=str(broken)), _was_too_slow(broken)
            # Who was too slow once would be too slow again: the same budget, the same
            # time.
            again = not late
        if again and (reply.retry_after or 0) > LONGEST_RETRY_AFTER:
            raise _sent_away(self.settings, reply)
        return Attempt(reply, time.perf_counter() - began, again, late)

    def _explained(self, parts: Parts) -> Reply:
        """The reply; one that refuses the effort says which the server allows."""
        reply = understood(parts)
        said = effort_refused(parts, self.settings.reasoning_effort)
        told = said and refused_effort(self.settings, self.facts, said)
        return replace(reply, error=told) if told else reply

    def trial(self, item: Item) -> Attempt:
        """One reply to try a server out; that it is gone or crashed raises."""
        last, model = self.attempts(item)[-1], self.settings.model
        asked = f"{self.settings.base_url}, asked {item.question.problem_id},"
        told = str(last.reply.error).rstrip(".")
        if last.is_late:
            way = f"see that {model} is loaded and replies in the server's own chat"
            if is_loaded(self.facts, model):
                way = f"it has {model} loaded, but is slow: raise `timeout`"
            raise ServerUnreachable(
                f"{asked} sent no reply within {self.settings.timeout:g} s: {way}, "
                "then run again."
            )
        if last.reply.error and last.reply.status is None:
            raise ServerUnreachable(last.reply.error)
        if is_crash(last.reply):
            raise EngineCrashed(
                f"{asked} crashed ({told}): load the model again and run again."
            )
        if last.again:
            raise ServerUnreachable(
                f"{asked} failed again and again, the last time with: {told}. See to "
                "the server and run again."
            )
        return last


def _sent_away(settings: Settings, reply: Reply) -> ServerUnreachable:
    """The error for a server that wants to be left alone longer than a run waits."""
    wait = timedelta(seconds=round(reply.retry_after or 0))
    moment = (datetime.now() + wait).strftime("%Y-%m-%d %H:%M")
    said = str(reply.error).rstrip(".")
    return ServerUnreachable(
        f"{settings.base_url} asks to be left alone for {wait} ({said}): every reply "
        f"so far is kept, so run again after {moment}."
    )


def _was_too_slow(broken: BaseException | None) -> bool:
    """Whether the connection stood and the reply did not come in time."""
    while broken is not None:
        if type(broken).__name__ == "ReadTimeout":
            return True
        broken = broken.__cause__
    return False


def _most(reply: Reply) -> int:
    is_loading = re.search("loading", reply.error or "", re.I) is not None
    return BUSY_ATTEMPTS if is_loading or reply.status in (429, 503) else ATTEMPTS


def _pause(reply: Reply, attempts: int) -> float:
    """Seconds to wait: what the server asks for, else twice as long each time."""
    if reply.retry_after is not None:
        return min(reply.retry_after, LONGEST_RETRY_AFTER)
    # Threads that failed together must not come back together.
    return min(BACKOFF * 2 ** (attempts - 1), LONGEST_WAIT) * _jitter()


def _jitter() -> float:
    return random.uniform(0.75, 1.25)


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
        "answer": _listed(released(graded.answer, item.order)),
        "correct": None if unread else graded.correct,
        "content": reply.content or (None if failed else ""),
        "reasoning": reply.reasoning or (None if failed else ""),
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "reasoning_tokens": reply.reasoning_tokens,
        "reasoning_tokens_estimated": reply.reasoning_tokens_estimated,
        "cached_tokens": reply.cached_tokens,
        "seconds": round(last.seconds, 4),
        "tokens_per_second": reply.tokens_per_second,
        "served_model": reply.served_model,
        "reply_id": reply.reply_id,
        "attempts": attempts,
        "prompt_sha256": item.prompt_sha256,
        "error": reply.error,
        "raw": reply.raw,
        "asked_at": asked_at,
        **as_read(item.shown, reply, graded, item.order),
    }


def _listed(letters: tuple[str, ...] | None) -> list[str] | None:
    return list(letters) if letters else None


def error_of(reply: Reply, graded: Graded) -> str | None:
    """What went wrong with a reply, in words."""
    if graded.cause == "tool":
        return f"the model called the tool {reply.tool} instead of answering"
    return reply.error


def as_read(
    question: Question, reply: Reply, graded: Graded, order: str | None = None
) -> Row:
    """How a reply was read: the cause of a lost one, the rule, the place, and more.

    The question is the one that was shown; letters are those of the release.
    """
    reading = graded.reading or Reading()
    lenient = graded.answer  # where an answer is read, both readers read it
    if graded.outcome not in ("answered", "api_error", "wrong_model"):
        lenient = reading_of(reply.content, question, True).answer
    return {
        "cause": graded.cause,
        "rule": reading.rule,
        "span": list(reading.span) if reading.span else None,
        "second": _listed(released(reading.second, order)),
        "permissive": _listed(released(lenient, order)),
        "marks": list(reply.marks),
        "reader": READER,
    }


# --- many at once ---------------------------------------------------------------------


def rows_of(
    asker: Asker,
    items: Sequence[Item],
    journal: Journal,
    take: Callable[[Row], None],
) -> Iterator[Row]:
    """The rows of items as they come in, each of them on disk, then taken into account.

    `take` sees one row at a time and before the next question is asked; what it raises
    ends the asking.
    """
    desk = Desk(asker, iter(items), journal, take)
    working = min(asker.settings.concurrency, len(items))
    for _ in range(working):
        # concurrent.futures would hold up an interrupted notebook, and the end of the
        # process, until the last reply under way has come in.
        threading.Thread(target=desk.work, daemon=True).start()
    try:
        while working:
            row = desk.rows.get()
            if isinstance(row, BaseException):
                raise row
            if row is None:
                working -= 1
            else:
                yield row
    finally:
        asker.stop.set()


@dataclass(frozen=True)
class Desk:
    """Where the workers of a run take their questions, and put down their rows."""

    asker: Asker
    waiting: Iterator[Item]
    journal: Journal
    take: Callable[[Row], None]
    rows: SimpleQueue[Row | BaseException | None] = field(default_factory=SimpleQueue)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """Ask what is waiting until nothing is, or the run is stopped."""
        try:
            while not self.asker.stop.is_set():
                with self.turn:
                    item = next(self.waiting, None)
                if item is None:
                    break
                row = self.asker.ask(item)
                # Here and not in the main thread, which Ctrl-C may interrupt anywhere.
                with self.turn:
                    if row and self.journal.append(row):
                        self.rows.put(row)
                        self.take(row)
        except BaseException as trouble:
            self.asker.stop.set()
            self.rows.put(trouble)
        finally:
            self.rows.put(None)
