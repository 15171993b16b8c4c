"""The check before a run: an hour is lost on what a minute could have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from igaku.ask.asker import Asker, Attempt
from igaku.ask.plan import Item, is_finished, plan_of
from igaku.errors import EngineCrashed, IgakuError, ServerUnreachable, WrongModel
from igaku.exam.questions import Question
from igaku.params.fields import LAB
from igaku.params.settings import Settings
from igaku.server.client import (
    connect,
    context_length,
    instances_of,
    is_crash,
    is_lm_studio,
    listed_models,
    listed_rows,
    served_as,
    server_facts,
)
from igaku.server.identity import Identity, contradiction, identify
from igaku.server.reply import Reply

if TYPE_CHECKING:
    import pandas as pd

CHECK_TOKENS = 64  # enough to see the model think or speak, and soon done
PATIENCE = 120.0  # seconds: a large model is loaded, and its longest prompt read


@dataclass(frozen=True)
class Check:
    """What was found before the first question; what is wrong raises instead.

    A finished run asks its server nothing, so nothing is found (`asked` is None).
    """

    base_url: str
    model: str
    asked: str | None = None
    models: tuple[str, ...] = ()
    served_model: str | None = None
    context_length: int | None = None
    longest_prompt: int | None = None
    needed: int | None = None
    seconds: float | None = None
    said: str | None = None
    identity: Identity | None = None

    @property
    def weights(self) -> str:
        """Whether the weights are those of the card: "verified" or "unverified"."""
        return self.identity.status if self.identity else "unverified"

    @property
    def source(self) -> str | None:
        """The server's paths that tell of its weights."""
        return self.identity.fingerprint.source if self.identity else None

    def rows(self) -> list[tuple[str, str]]:
        """The findings as a table: what was looked at, what was found."""
        if self.asked is None:
            return [("run", "finished: nothing is left to ask, no server was asked")]
        return [
            ("server", self.base_url),
            ("model asked for", self.model),
            ("model that answered", self.served_model or "the server does not say"),
            ("weights", _proven(self.identity)),
            ("context", _counted(self.context_length)),
            ("longest prompt + budget", _counted(self.needed)),
            (f"reply to {self.asked}", f"{self.said} ({self.seconds:.1f} s)"),
        ]


def check_frame(found: Check) -> pd.DataFrame:
    """A check as a frame: `what` was looked at, what was `found`; None is not said."""
    import pandas as pd

    told: dict[str, Any] = {"run": "finished"}
    if found.asked is not None:
        told = {
            "base_url": found.base_url,
            "model": found.model,
            "served_model": found.served_model,
            "weights": found.weights,
            "told_by": found.source,
            "context_length": found.context_length,
            "needed": found.needed,
            "asked": found.asked,
            "said": found.said,
            "seconds": found.seconds and round(found.seconds, 1),
        }
    rows = list(told.items())
    return pd.DataFrame(rows, columns=["what", "found"], dtype=object)


def check(settings: Settings, questions: Sequence[Question]) -> Check:
    """Make sure in seconds that a run can work: server, model, context, one reply.

    The reply is asked for with a small budget and not kept. A server that says nothing
    fails after `timeout`, or after two minutes where that is longer.
    """
    plan = plan_of(settings, questions)
    if is_finished(plan):
        return Check(settings.base_url, settings.model)
    if settings.base_url == LAB:
        raise IgakuError(
            f"{settings.model} is an embedded model and is not being served: use "
            "`igaku.ask.run.server_of(settings)`, or `igaku serve` and its address."
        )
    facts = _facts(settings)
    item = max(plan.items, key=lambda item: len(item.chat[-1]["content"]))
    _recognize(identify(settings, facts, doubt=False))
    last = _one_reply(settings, item, facts)
    reply = last.reply
    if not loaded_in(facts):  # the trial may have loaded it
        facts = server_facts(settings.base_url, settings.model)
    _check_reply(settings, item, reply, facts)
    identity = _recognize(identify(settings, facts, reply.raw))
    window = context_length(facts, settings.model)
    needed = _needed(settings, reply, window)
    return Check(
        base_url=settings.base_url,
        model=settings.model,
        asked=item.question.problem_id,
        models=tuple(listed_models(facts)),
        served_model=reply.served_model,
        context_length=window,
        longest_prompt=reply.prompt_tokens,
        needed=needed,
        seconds=last.seconds,
        said=_shortened(reply.content or f"reasoning: {reply.reasoning}"),
        identity=identity,
    )


def _facts(settings: Settings) -> Mapping[str, Any]:
    """What the server says of itself, once it lists the model that is asked for."""
    facts = server_facts(settings.base_url, settings.model)
    if is_missing(settings, facts):
        offered = listed_models(facts)
        shown = ", ".join(offered[:8]) + (" ..." if len(offered) > 8 else "")
        raise IgakuError(
            f"{settings.base_url} has no model {settings.model}, but {shown}: load the "
            "model there, or pass `model` as the server names it."
        )
    return facts


def is_missing(settings: Settings, facts: Mapping[str, Any]) -> bool:
    """Whether the server lists models, and none of them is the one asked for."""
    offered = listed_models(facts)
    own = (settings.identifier, settings.model)
    return bool(offered) and not any(
        served_as(name, offer) for name in own if name for offer in offered
    )


def _recognize(found: Identity) -> Identity:
    """The identity of what is served; other weights than the card's are refused."""
    if found.status == "wrong_model":
        raise WrongModel(str(found.why))
    return found


def _one_reply(settings: Settings, item: Item, facts: Mapping[str, Any]) -> Attempt:
    """The last attempt at a short reply; what may pass is tried again before."""
    budget = min(settings.max_tokens, CHECK_TOKENS)
    patience = min(settings.timeout, PATIENCE)
    with connect(settings.base_url, patience) as client:
        last = Asker(client, settings, facts, budget).attempts(item)[-1]
    asked = f"{settings.base_url}, asked {item.question.problem_id},"
    told = str(last.reply.error).rstrip(".")
    if last.is_late:
        raise ServerUnreachable(
            f"{asked} sent no reply within {patience:g} s: see that {settings.model} "
            "is loaded and replies in the server's own chat, then run again."
        )
    if last.reply.error and last.reply.status is None:
        raise ServerUnreachable(last.reply.error)
    if is_crash(last.reply):
        raise EngineCrashed(
            f"{asked} crashed ({told}): load the model again and run again."
        )
    if last.again:
        raise ServerUnreachable(
            f"{asked} failed again and again, the last time with: {told}. See to the "
            "server and run again."
        )
    return last


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


def loaded_in(facts: Mapping[str, Any]) -> bool:
    """Whether LM Studio has any model in memory; other servers have theirs."""
    return not is_lm_studio(facts) or any(map(instances_of, listed_rows(facts)))


def _needed(settings: Settings, reply: Reply, window: int | None) -> int | None:
    """The tokens that the longest prompt and a full reply take together."""
    if reply.prompt_tokens is None:
        return None
    needed = reply.prompt_tokens + settings.max_tokens
    if window is not None and window < needed:
        fix = "load it with a longer context"
        if settings.load:  # the server knew better, and has a setting for it
            fix = f"set its default under My Models in LM Studio to {needed:,} or more"
        raise IgakuError(
            f"{settings.model} is loaded with a context of {window:,} tokens, but the "
            f"longest prompt ({reply.prompt_tokens:,}) and max_tokens "
            f"({settings.max_tokens:,}) need {needed:,}: {fix}."
        )
    return needed


def _proven(found: Identity | None) -> str:
    """On whose word the weights are those of the card."""
    if found is None or found.status != "verified":
        return f"unverified: {found.why if found else 'nobody was asked'}"
    agreed = ", ".join(check.what for check in found.checks if check.agrees)
    return f"verified by {found.fingerprint.source}: {agreed}"


def _counted(tokens: int | None) -> str:
    return "the server does not say" if tokens is None else f"{tokens:,} tokens"


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length]}…"
