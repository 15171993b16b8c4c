"""Before a run: the check, as an hour is lost on what a minute could have found.

And the reasoning effort, told in the way that a server honours, and seen to work.
Servers take it in different places, and some ignore it without a word. So two questions
are asked at the effort wanted and at its opposite: where the effort arrives, more of it
takes more tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from igaku.ask import manifest
from igaku.ask.asker import Asker, Attempt
from igaku.ask.folder import ANSWERS
from igaku.ask.plan import Item, is_finished, plan_of
from igaku.ask.rows import survey
from igaku.errors import IgakuError, WrongModel
from igaku.exam.questions import Question
from igaku.params.fields import LAB
from igaku.params.settings import Settings, slug_meant
from igaku.reading.reply import Reply
from igaku.server.client import connect, server_facts
from igaku.server.effect import effect_of, effort_refused, longer_context
from igaku.server.fingerprint import (
    context_length,
    fingerprint,
    is_idle,
    is_lm_studio,
    listed_models,
    served_as,
)
from igaku.server.identity import contradiction, identify
from igaku.server.parts import shortened

if TYPE_CHECKING:
    import pandas as pd
    from openai import OpenAI

Found = dict[str, Any]

CHECK_TOKENS = 64  # enough to see the model think or speak, and soon done
PATIENCE = 120.0  # seconds: a large model is loaded, and its longest prompt read
RANKS = ("none", "minimal", "low", "medium", "high", "xhigh")
# By `reasoning_effort` and the template's own argument, by a line of the system
# message, and by LM Studio's other endpoint.
WAYS = ("field", "system", "responses")
LEVELS = ("low", "medium", "high")  # what gpt-oss's own system message knows
QUESTIONS = 2
MORE = 1.2  # times the tokens, on each question, before an effect is called shown


def check_frame(found: Mapping[str, Any]) -> pd.DataFrame:
    """A check as a frame: `what` was looked at, what was `found`; None is not said."""
    import pandas as pd

    return pd.DataFrame(list(found.items()), columns=["what", "found"], dtype=object)


def check(
    settings: Settings,
    questions: Sequence[Question],
    loaded: Mapping[str, Any] | None = None,
    tell: Callable[[str, Any], object] = lambda what, found: None,
) -> Found:
    """Make sure in seconds that a run can work: server, model, context, one reply.

    What is found comes back, each thing told to `tell` as soon as it is known; what is
    wrong raises. The reply is short and not kept. A server that says nothing fails
    after `timeout`, where that is set, else after two minutes. A finished run asks its
    server nothing. `loaded` is what is on record of the loading, which what the server
    tells of it is held against.
    """
    found: Found = {}
    for what, value in _found(settings, questions, loaded):
        found[what] = value
        tell(what, value)
    return found


def _found(
    settings: Settings,
    questions: Sequence[Question],
    loaded: Mapping[str, Any] | None,
) -> Iterator[tuple[str, Any]]:
    plan = plan_of(settings, questions)
    if is_finished(plan):
        # As asking would refuse it.
        manifest.opened(plan, survey(settings.folder / ANSWERS).rows)
        yield "run", "finished"
        return
    item = max(plan.items, key=lambda item: len(item.chat[-1]["content"]))
    yield from (("base_url", settings.base_url), ("model", settings.model))
    facts = _facts(settings)
    listed = identify(settings, facts, doubt=False).accepted()
    if listed.fingerprint.name:
        yield "listed_as", listed.fingerprint.name
    last = _tried(settings, facts, item)
    reply = last.reply
    if is_idle(facts, settings.model):  # the trial may have loaded it
        facts = server_facts(settings.base_url, settings.model)
    _check_reply(settings, item, reply, facts)
    identity = identify(settings, facts, reply.raw).accepted()
    effect = effect_of(settings, facts, identity.fingerprint, reply.raw, loaded)
    yield from {
        "served_model": reply.served_model,
        "weights": identity.status,
        "told_by": identity.fingerprint.source,
        "why": identity.why,
        "context_length": context_length(facts, settings.model),
        "needed": _needed(settings, reply, effect),
        "other_than_asked": "; ".join(map(_other, effect["differing"])) or None,
        "asked": item.question.problem_id,
        "said": shortened(reply.content or f"reasoning: {reply.reasoning}"),
        "seconds": round(last.seconds, 1),
    }.items()


def _facts(settings: Settings) -> Mapping[str, Any]:
    """What the server says of itself; that it lists no such model raises."""
    if settings.base_url == LAB:
        raise IgakuError(
            f"{settings.model} is an embedded model and is not being served: use "
            "`igaku.ask.run.server_of(settings)`, or `igaku serve` and its address."
        )
    facts = server_facts(settings.base_url, settings.model)
    if is_missing(settings, facts):
        offered = listed_models(facts)
        shown = ", ".join(offered[:8]) + (" ..." if len(offered) > 8 else "")
        raise IgakuError(
            f"{settings.base_url} has no model {settings.model}, but {shown}: load the "
            f"model there, or pass `model` as the server names it"
            f"{slug_meant(settings.model)}."
        )
    return facts


def is_missing(settings: Settings, facts: Mapping[str, Any]) -> bool:
    """Whether the server lists models, and none of them is the one asked for."""
    offered = listed_models(facts)
    own = (settings.identifier, settings.model)
    return bool(offered) and not any(
        served_as(name, offer) for name in own if name for offer in offered
    )


def _check_reply(
    settings: Settings, item: Item, reply: Reply, facts: Mapping[str, Any]
) -> None:
    asked = f"{settings.base_url}, asked {item.question.problem_id},"
    if reply.error:
        raise IgakuError(
            f"{asked} failed with: {reply.error.rstrip('.')}. Mend that at the server "
            "or in the settings, then run again."
        )
    if other := contradiction(settings, reply, facts):
        raise WrongModel(other)
    if not (reply.content.strip() or reply.reasoning.strip()):
        raise IgakuError(
            f"{asked} sent neither text nor reasoning: try the model in the server's "
            "own chat, and load it again."
        )


def _tried(settings: Settings, facts: Mapping[str, Any], item: Item) -> Attempt:
    """A short reply, by the first way of telling the effort that is not refused."""
    is_set = settings.timeout != Settings.timeout
    patience = settings.timeout if is_set else min(settings.timeout, PATIENCE)
    patient = replace(settings, timeout=patience)
    budget = min(settings.max_tokens, CHECK_TOKENS)
    with connect(settings.base_url, patient.timeout) as client:
        for way in ways(settings, facts):
            last = Asker(client, patient, facts, budget, way).trial(item)
            if effort_refused(last.reply, settings.reasoning_effort) is None:
                break
    return last


def _other(found: Mapping[str, Any]) -> str:
    asked, got = (
        f"{value:,}" if isinstance(value, int) else str(value)
        for value in (found["asked"], found["got"] or "no effect")
    )
    return f"{found['what']}: {got}, not {asked}"


def _needed(settings: Settings, reply: Reply, effect: Mapping[str, Any]) -> int | None:
    """The tokens that the longest prompt and a full reply take together."""
    if reply.prompt_tokens is None:
        return None
    needed = reply.prompt_tokens + settings.max_tokens
    window, wanted = (effect[side].get("context_length") for side in ("got", "asked"))
    if window is not None and window < needed:
        is_other = wanted not in (None, window)
        instead = f", not {wanted:,} as asked," if is_other else " tokens,"
        fix = longer_context(settings, effect, needed)
        raise IgakuError(
            f"{settings.model} is loaded with a context of {window:,}{instead} but the "
            f"longest prompt ({reply.prompt_tokens:,}) and max_tokens "
            f"({settings.max_tokens:,}) need {needed:,}: {fix}."
        )
    return needed


# --- the reasoning effort -------------------------------------------------------------


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
) -> tuple[Found, list[Found]]:
    """The effort of a run, by the first way that shows an effect; and all replies.

    `shown` means that more effort took 1.2 times the tokens on both questions, which is
    a check and no test; `default` is the server's own. Where no way shows an effect it
    is told by a line of the system message on LM Studio, which reaches every prompt,
    and by the field elsewhere. A server that is gone or crashes raises: that is no sign
    of anything.
    """
    asked = str(settings.reasoning_effort)
    contrast, trials, kept = contrast_of(asked), list[Found](), list[Found]()
    default = fingerprint(facts, settings.model, settings.identifier).effort
    for way in ways(settings, facts):
        shown = bool(items)
        for item in _chosen(items):
            told = {"problem_id": item.question.problem_id, "told_by": way}
            trials.append(dict(told))
            for side, effort in (("asked", asked), ("contrast", contrast)):
                chosen = replace(settings, reasoning_effort=effort)
                reply = Asker(client, chosen, facts, told_by=way).trial(item).reply
                if other := contradiction(chosen, reply, facts):
                    raise WrongModel(other)
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


def _length(reply: Reply) -> int | None:
    """The tokens of a reply, or its characters where they are not told."""
    if reply.error is not None:
        return None
    return reply.completion_tokens or len(reply.reasoning + reply.content) or None


def is_shown(trial: Found, asked: str, contrast: str) -> bool:
    """Whether the higher effort took clearly more tokens on this question."""
    tokens = {asked: trial["asked_tokens"], contrast: trial["contrast_tokens"]}
    low, high = (tokens[name] for name in sorted(tokens, key=RANKS.index))
    return low is not None and high is not None and high >= MORE * low > 0


def _chosen(items: Sequence[Item]) -> list[Item]:
    """A first question and one from the middle, such as need no image."""
    plain = [item for item in items if item.question.text_only] or list(items)
    places = range(0, len(plain), max(1, len(plain) // QUESTIONS))
    return [plain[place] for place in places][:QUESTIONS]
