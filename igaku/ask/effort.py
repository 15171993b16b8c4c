"""The reasoning effort: told in the way that a server honours, and seen to work.

Servers take the effort in different places, and some ignore it without a word. So two
questions are asked at the effort wanted and at its opposite: where the effort arrives,
more of it takes more tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    from igaku.reading.reply import Reply

# One question at two efforts: the tokens of each reply, None where it failed.
Trial = dict[str, Any]

RANKS = ("none", "minimal", "low", "medium", "high", "xhigh")
# `reasoning_effort` and the template's own argument, a line of the system message, and
# LM Studio's other endpoint.
WAYS = ("field", "system", "responses")
LEVELS = ("low", "medium", "high")  # what gpt-oss's own system message knows
QUESTIONS = 2
MORE = 1.2  # times the tokens, on each question, before an effect is called shown


def contrast_of(effort: str) -> str:
    """The effort that one is held against: the far end of what gpt-oss knows."""
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
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The effort of a run, by the first way that shows an effect; and all replies.

    `shown` means that more effort took 1.2 times the tokens on both questions, which is
    a check and no test; `default` is the server's own. Where no way shows an effect it
    is told by a line of the system message on LM Studio, which reaches every prompt,
    and by the field elsewhere. A server that is gone or crashes raises: that is no sign
    of anything.
    """
    asked = str(settings.reasoning_effort)
    contrast, trials, kept = contrast_of(asked), list[Trial](), list[dict[str, Any]]()
    default = fingerprint(facts, settings.model, settings.identifier).effort
    for way in ways(settings, facts):
        shown = bool(items)
        for item in _chosen(items):
            told = {"problem_id": item.question.problem_id, "told_by": way}
            trials.append(dict(told))
            for side, effort in (("asked", asked), ("contrast", contrast)):
                chosen = replace(settings, reasoning_effort=effort)
                reply = _reply(Asker(client, chosen, facts, told_by=way), item)
                trials[-1][f"{side}_tokens"] = _length(reply)
                kept.append(told | {"effort": effort, "raw": reply.raw})
            shown = is_shown(trials[-1], asked, contrast)
            if not shown:
                break
        if shown:
            break
    else:
        shown, way = False, "system" if "system" in ways(settings, facts) else "field"
    found = {"asked": asked, "contrast": contrast, "told_by": way, "shown": shown}
    return found | {"trials": trials, "default": default}, kept


def _reply(asker: Asker, item: Item) -> Reply:
    reply = asker.trial(item).reply
    if other := contradiction(asker.settings, reply, asker.facts):
        raise WrongModel(other)
    return reply


def _length(reply: Reply) -> int | None:
    """The tokens of a reply, or its characters where they are not told."""
    if reply.error is not None:
        return None
    return reply.completion_tokens or len(reply.reasoning + reply.content) or None


def is_shown(trial: Trial, asked: str, contrast: str) -> bool:
    """Whether the higher effort took clearly more tokens on this question."""
    tokens = {asked: trial["asked_tokens"], contrast: trial["contrast_tokens"]}
    low, high = (tokens[name] for name in sorted(tokens, key=RANKS.index))
    return low is not None and high is not None and high >= MORE * low > 0


def _chosen(items: Sequence[Item]) -> list[Item]:
    """A first question and one from the middle, such as need no image."""
    plain = [item for item in items if item.question.text_only] or list(items)
    places = range(0, len(plain), max(1, len(plain) // QUESTIONS))
    return [plain[place] for place in places][:QUESTIONS]
