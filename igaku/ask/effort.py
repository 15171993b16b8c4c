"""The reasoning effort: told in the way that a server honours, and seen to work.

Servers take the effort in different places, and some ignore it without a word. So two
questions are asked at the effort wanted and at its opposite: where the effort arrives,
more of it takes more tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from igaku.ask.asker import Asker
from igaku.ask.plan import Item
from igaku.errors import WrongModel
from igaku.server.client import is_lm_studio
from igaku.server.fingerprint import fingerprint
from igaku.server.identity import contradiction

if TYPE_CHECKING:
    from openai import OpenAI

    from igaku.params.settings import Settings
    from igaku.server.reply import Reply

RANKS = ("none", "minimal", "low", "medium", "high", "xhigh")
WAYS = ("field", "system", "responses")
LEVELS = ("low", "medium", "high")  # what gpt-oss's own system message knows
QUESTIONS = 2
MORE = 1.2  # times the tokens, on each question, before an effect is called shown


@dataclass(frozen=True)
class Trial:
    """One question at two efforts: the tokens of each reply, None where it failed."""

    problem_id: str
    told_by: str
    asked_tokens: int | None
    contrast_tokens: int | None


@dataclass(frozen=True)
class Effort:
    """An effort as it was asked for: how it was told, and whether it had an effect.

    `told_by` is "field" (`reasoning_effort` and the template's own argument), "system"
    (a line of the system message) or "responses" (LM Studio's other endpoint).
    `default` is what the server says it would use by itself. Two questions are a check
    and no test: `shown` means that more effort took 1.2 times the tokens on both.
    """

    asked: str
    contrast: str
    told_by: str
    shown: bool
    trials: tuple[Trial, ...] = ()
    default: str | None = None


def contrast_of(effort: str) -> str:
    """The effort that one is held against: the far end of what gpt-oss knows.

    >>> contrast_of("low"), contrast_of("medium")
    ('high', 'low')
    """
    return "high" if RANKS.index(effort) <= RANKS.index("low") else "low"


def ways(settings: Settings, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The ways to try, in order; only LM Studio is known to drop the field silently."""
    if not is_lm_studio(facts):
        return WAYS[:1]
    known = settings.reasoning_effort in LEVELS
    return WAYS if known else (WAYS[0], WAYS[2])


def settle(
    client: OpenAI,
    settings: Settings,
    facts: Mapping[str, Any],
    items: Sequence[Item],
) -> tuple[Effort, list[dict[str, Any]]]:
    """The effort of a run, by the first way that shows an effect; and all replies.

    Where none shows one it is told by a line of the system message on LM Studio, which
    reaches every prompt, and by the field elsewhere. A server that is gone or crashes
    raises: that is no sign of anything.
    """
    asked = str(settings.reasoning_effort)
    contrast, tried, kept = contrast_of(asked), list[Trial](), list[dict[str, Any]]()
    default = fingerprint(facts, settings.model, settings.identifier).effort
    possible = ways(settings, facts)
    for way in possible:
        shown = bool(items)
        for item in _chosen(items):
            name, tokens = item.question.problem_id, list[int | None]()
            for effort in (asked, contrast):
                chosen = replace(settings, reasoning_effort=effort)
                reply = _reply(Asker(client, chosen, facts, told_by=way), item)
                # Characters stand in where tokens are not told.
                written = len(reply.reasoning) + len(reply.content)
                length = reply.completion_tokens or written or None
                tokens.append(None if reply.error is not None else length)
                told = {"problem_id": name, "told_by": way, "effort": effort}
                kept.append(told | {"raw": reply.raw})
            tried.append(Trial(name, way, *tokens))
            shown = is_shown(tried[-1], asked, contrast)
            if not shown:
                break
        if shown:
            return Effort(asked, contrast, way, True, tuple(tried), default), kept
    last = "system" if "system" in possible else "field"
    return Effort(asked, contrast, last, False, tuple(tried), default), kept


def _reply(asker: Asker, item: Item) -> Reply:
    reply = asker.trial(item).reply
    if other := contradiction(asker.settings, reply, asker.facts):
        raise WrongModel(other)
    return reply


def is_shown(trial: Trial, asked: str, contrast: str) -> bool:
    """Whether the higher effort took clearly more tokens on this question.

    >>> is_shown(Trial("116A1", "field", 40, 160), "low", "high")
    True
    """
    tokens = {asked: trial.asked_tokens, contrast: trial.contrast_tokens}
    low, high = (tokens[name] for name in sorted(tokens, key=RANKS.index))
    return low is not None and high is not None and high >= MORE * low > 0


def _chosen(items: Sequence[Item]) -> list[Item]:
    """A first question and one from the middle, such as need no image."""
    plain = [item for item in items if item.question.text_only] or list(items)
    places = range(0, len(plain), max(1, len(plain) // QUESTIONS))
    return [plain[place] for place in places][:QUESTIONS]
