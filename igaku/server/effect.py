"""A request is not its effect: what was asked of a server, beside what it has loaded.

LM Studio's MLX engine may fit another context than the one that was asked for, drop a
seed, or know other efforts; Ollama may hold an older model under a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from igaku.params.settings import Settings
from igaku.server.fingerprint import (
    Facts,
    Fingerprint,
    context_length,
    fingerprints,
    is_lm_studio,
    of_reply,
    rows_of,
)
from igaku.server.parts import Parts, at, parts_of, shortened

EFFORTS = "capabilities.reasoning.allowed_options"
MOST = 8  # efforts of a listing that are believed
TOLD = ("context_length", "parallel", "runtime", "digest", "effort")
# Not such as speak of a field that is not known at all.
ABOUT_EFFORT = re.compile(r"reason|effort|thinking", re.IGNORECASE)
NO_FIELD = re.compile(r"extra|unrecogni|unknown|unexpected", re.IGNORECASE)


def effect_of(
    settings: Settings,
    facts: Facts,
    said: Fingerprint,
    raw: object,
    loaded: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What is on record of a loading, with what was `asked`, what `got`, `differing`.

    `said` and `raw` are the server's fingerprint and the body of one reply. A seed that
    the engine does not look at differs with None for `got`.
    """
    asked, got = _asked(settings, loaded), _got(settings, facts, said, raw)
    differing = [
        {"what": what, "asked": one, "got": other}
        for what, one, other in _pairs(settings, facts, asked, got)
        if one is not None and one != other
    ]
    effect = {"asked": asked, "got": got, "differing": differing}
    return dict(loaded or {}) | effect


def _asked(settings: Settings, loaded: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was asked of the server: at the loading, and with every request."""
    asked = dict((loaded or {}).get("asked") or {})
    if settings.context_length is not None:
        asked["context_length"] = settings.context_length
    if settings.reasoning_effort is not None:
        asked["effort"] = settings.reasoning_effort
    if settings.temperature > 0 and settings.seed is not None:
        asked["seed"] = settings.seed
    return asked


def _got(
    settings: Settings, facts: Facts, said: Fingerprint, raw: object
) -> dict[str, Any]:
    """What the server tells of what is loaded, by its listing and one reply's body.

    `effort` is what it does unasked, `efforts` what it allows. `engine` is that of MLX
    in LM Studio, which the parallelism chooses: `batched` above 1, else `sequential`.
    """
    got = {name: value for name in TOLD if (value := getattr(said, name)) is not None}
    if window := context_length(facts, settings.model):
        got["context_length"] = window
    if efforts := efforts_of(settings, facts):
        got["efforts"] = efforts
    # A listing may tell of another variant than the loaded one.
    form = of_reply(raw).format or (None if said.is_choice else said.format)
    if is_lm_studio(facts) and form == "mlx" and said.parallel is not None:
        got["engine"] = "batched" if said.parallel > 1 else "sequential"
    return got


def efforts_of(settings: Settings, facts: Facts) -> list[str]:
    """The reasoning efforts that a listing allows the model; none where it is silent.

    Of LM Studio only what its makers publish says so.
    """
    told = (at(row, EFFORTS) for row in rows_of(facts, settings.model))
    efforts = next((each for each in told if isinstance(each, list)), [])
    return [shortened(each, 20) for each in efforts if isinstance(each, str)][:MOST]


def _pairs(
    settings: Settings,
    facts: Facts,
    asked: Mapping[str, Any],
    got: Mapping[str, Any],
) -> Iterator[tuple[str, Any, Any]]:
    for what in ("context_length", "parallel"):
        if what in got:
            yield what, asked.get(what), got[what]
    efforts, effort = got.get("efforts"), asked.get("effort")
    if efforts and effort not in efforts:
        yield "effort", effort, ", ".join(efforts)
    if got.get("engine") == "batched":
        yield "seed", asked.get("seed"), None
    told = fingerprints(facts, settings.model, settings.identifier)
    digests = {said.source: said.digest for said in told if said.digest}
    if held := digests.get("/api/ps"):
        yield "digest", digests.get("/api/tags"), held


def longer_context(settings: Settings, effect: Mapping[str, Any], needed: int) -> str:
    """What to do for a context of `needed` tokens, by who loaded the model and how."""
    asked, got = effect["asked"], effect["got"]
    lower = settings.max_tokens - needed + int(got["context_length"])
    less = f", or lower `max_tokens` to {lower:,}" if lower > 0 else ""
    is_as_asked = asked.get("context_length") == got["context_length"]
    if got.get("engine") == "batched" and not is_as_asked:
        runtime = f", {got['runtime']} here" if got.get("runtime") else ""
        return (
            "LM Studio's MLX engine for several requests at once fits the context to "
            f"the memory (runtimes 1.9 to 1.11{runtime}), and the default under My "
            f"Models does not help: run `lms load {settings.model.partition('@')[0]} "
            f"--context-length {needed} --parallel 1` and leave `load` out, choose "
            f"runtime 1.8.5 in LM Studio{less}"
        )
    if not settings.load:
        return f"load it with a longer context{less}"
    if is_as_asked:
        return f"raise `context_length` to {needed:,} or more{less}"
    # It takes no settings: the server's own are used.
    if effect.get("by") == "request":
        default = "set its default under My Models in LM Studio to"
        return f"{default} {needed:,} or more{less}"
    return f"load it by hand with {needed:,} or more and leave `load` out{less}"


def effort_refused(reply: Parts, effort: str | None) -> str | None:
    """The server's words where it refuses this reasoning effort, None where not."""
    if effort is None or reply.status not in (400, 422):
        return None
    said = parts_of(reply.raw, reply.status).error or ""
    is_named = re.search(rf"(?<!\w){re.escape(effort)}(?!\w)", said)
    is_such = is_named and ABOUT_EFFORT.search(said) and not NO_FIELD.search(said)
    return said if is_such else None


def refused_effort(settings: Settings, facts: Facts, said: str) -> str:
    """The sentence for a refused effort, with those that the listing allows."""
    allowed = ", ".join(efforts_of(settings, facts))
    choice = f"its listing allows {allowed}" if allowed else "its listing names none"
    return (
        f"{settings.model} does not take the reasoning effort "
        f"{settings.reasoning_effort} ({shortened(said, 300).rstrip('.')}); {choice}: "
        "choose another `reasoning_effort`, or leave it out"
    )
