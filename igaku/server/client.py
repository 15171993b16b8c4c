"""The server: asking it for one chat completion, and for what it says of itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from igaku.errors import IgakuError, ServerUnreachable
from igaku.params.settings import Settings
from igaku.redaction import KEYS, OPEN_KEYS
from igaku.server.bodies import said_in
from igaku.server.fingerprint import Facts, is_llama_cpp, is_lm_studio, listed_rows
from igaku.server.parts import Parts, at, parts_of, text_of, with_way_out

if TYPE_CHECKING:
    from openai import OpenAI

OPENAI, OPENROUTER = "api.openai.com", "openrouter.ai"
HOSTED = (OPENAI, OPENROUTER, "api.groq.com", "openai.azure.com")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

OVERFLOW = re.compile(
    r"context (?:length|size|window|overflow)|context the overflows|exceed_context"
    r"|maximum context|prompt is too long",
    re.IGNORECASE,
)
CRASHED = re.compile(r"channel error|has crashed|crashed without", re.IGNORECASE)
PASSING = re.compile(
    r"channel error|crash|loading|failed to load|no models? loaded|unloaded|overloaded"
    r"|operation cancell?ed|rate.?limit|temporarily|try again|has no choices"
    r"|command buffer|server stopped|broke off",
    re.IGNORECASE,
)
# What an omitted field would be filled in with differs between servers, and a repeat
# penalty of 1.1 even between LM Studio's two engines: so each is sent, and off. Servers
# name the penalty in two ways and ignore the other name.
SAMPLER = {
    "top_k": 0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
# What LM Studio fills in for a field that a request leaves out, by its own sources; the
# page of openai/gpt-oss-20b adds a top_p of 0.8.
LM_STUDIO_DEFAULTS = {
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
}
BUDGETS = ("max_tokens", "max_completion_tokens")
CHAT, RESPONSES = "/chat/completions", "/responses"
DOWN = "no answer at all"
FACT_PATIENCE = 5.0  # seconds for what a server says of itself


def connect(base_url: str, timeout: float = 600) -> OpenAI:
    """The client of one server; it is safe to share between threads.

    Retries belong to the run: it makes none.
    """
    import openai

    from igaku.server.wire import transport

    # Anybody on the way may read what is sent without https: no hosted key goes there.
    keys = KEYS if urlsplit(base_url).scheme == "https" else OPEN_KEYS
    is_here = urlsplit(base_url).hostname in LOOPBACK
    return openai.OpenAI(
        base_url=base_url,
        api_key=next(filter(None, map(os.environ.get, keys)), "not-needed"),
        timeout=openai.Timeout(timeout, connect=min(timeout, 10)),
        max_retries=0,
        http_client=openai.DefaultHttpxClient(transport=transport(base_url, is_here)),
    )


def request_body(
    settings: Settings,
    messages: Sequence[Mapping[str, Any]],
    max_tokens: int | None = None,
    told_by: str = "field",
    facts: Facts | None = None,
) -> dict[str, Any]:
    """The body of one request; `extra_body` has the last word, and its null removes.

    `told_by` is the way the effort is told, see `igaku.ask.preflight`; `facts`
    are what the server says of itself. llama.cpp is told to compute each prompt anew:
    from its cache it may answer with another prompt's state (llama.cpp #27148).
    """
    url = settings.base_url
    # Hosted reasoning models refuse the budget's older name, and any name they do not
    # know: of the two names, the one that is not removed.
    older, newer = BUDGETS if not _is_host(url, OPENAI) else BUDGETS[::-1]
    budget = newer if settings.extra_body.get(older, ...) is None else older
    body: dict[str, Any] = {
        "model": settings.identifier or settings.model,
        "messages": list(messages),
        budget: max_tokens or settings.max_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        **({} if _is_host(url, *HOSTED) else SAMPLER),
        **({"cache_prompt": False} if is_llama_cpp(facts or {}) else {}),
        **(_effort(settings) if told_by == "field" else {}),
    }
    for key, value in settings.extra_body.items():
        both = isinstance(value, Mapping) and isinstance(body.get(key), dict)
        body[key] = {**body[key], **value} if both else value
    body = {key: value for key, value in body.items() if value is not None}
    return _told(body, settings.reasoning_effort, told_by)


def _told(body: dict[str, Any], effort: str | None, told_by: str) -> dict[str, Any]:
    """The body with the effort where `told_by` puts it."""
    if told_by == "system":
        system, chat = f"Reasoning: {effort}", body["messages"]
        if chat[0]["role"] == "system":
            system, chat = f"{chat[0]['content']}\n\n{system}", chat[1:]
        return body | {"messages": [{"role": "system", "content": system}, *chat]}
    if told_by == "responses":
        renamed = {"messages": "input", **dict.fromkeys(BUDGETS, "max_output_tokens")}
        body = {renamed.get(key, key): value for key, value in body.items()}
        return body | {"reasoning": {"effort": effort}, "store": False}
    return body


def _effort(settings: Settings) -> dict[str, Any]:
    """The reasoning effort, in every place where the server at hand may look for it."""
    if settings.reasoning_effort is None:
        return {}
    if _is_host(settings.base_url, OPENROUTER):
        return {"reasoning": {"effort": settings.reasoning_effort}}
    told = {"reasoning_effort": settings.reasoning_effort}
    # mlx_lm reads only the second; hosted services refuse keys they do not know.
    is_hosted = _is_host(settings.base_url, *HOSTED)
    return told if is_hosted else told | {"chat_template_kwargs": told}


def _is_host(base_url: str, *hosts: str) -> bool:
    named = urlsplit(base_url).hostname or ""
    return any(named == host or named.endswith(f".{host}") for host in hosts)


def chat_path(facts: Facts, base_url: str, told_by: str = "field") -> str:
    """Where this server is asked: LM Studio's older path tells most with each reply.

    >>> chat_path({"/api/v0/models": {"data": []}}, "http://127.0.0.1:1234/v1")
    'http://127.0.0.1:1234/api/v0/chat/completions'
    """
    if told_by == "responses":
        return RESPONSES
    root = base_url.rstrip("/").removesuffix("/v1")
    is_older = is_lm_studio({"/api/v0/models": facts.get("/api/v0/models")})
    return f"{root}/api/v0{CHAT}" if is_older else CHAT


def complete(client: OpenAI, body: Mapping[str, Any], path: str = CHAT) -> Parts:
    """The parts of one reply, whatever the server's status and shape of error."""
    return with_way_out(answer(client, path, body), body)


def answer(client: OpenAI, path: str, body: Mapping[str, Any] | None = None) -> Parts:
    """The parts of what a server answers, refusals included; without a body, to a GET.

    The client is asked for the bytes alone, so that the body stays whole and its form
    counts, not the content type.
    """
    import openai

    try:
        if body is None:
            return parts_of(client.get(path, cast_to=bytes))
        return parts_of(client.post(path, cast_to=bytes, body=dict(body)))
    except openai.APIStatusError as refused:
        reply = parts_of(refused.response.content, refused.status_code)
        told = refused.response.headers.get("retry-after", "").strip()
        return replace(reply, retry_after=_wait(told))
    except openai.APIConnectionError as broken:
        raise _unreachable(client, broken) from broken


def _wait(told: str) -> float | None:
    """The seconds of a Retry-After: a number, or a date; None of anything else."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", told):
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0), 1e9 - 1)


def _unreachable(client: OpenAI, broken: Exception) -> IgakuError:
    """The error for a connection that failed or was silent for too long."""
    import openai

    if isinstance(broken, openai.APITimeoutError):
        return ServerUnreachable(
            f"{client.base_url} sent no reply in time: see whether the server still "
            "works, raise `timeout`, or lower `max_tokens` or `concurrency`."
        )
    reason = broken.__cause__ or broken
    if isinstance(reason, IgakuError):
        return reason
    if type(reason).__name__ == "RemoteProtocolError":
        return ServerUnreachable(
            f"{client.base_url} answers, but not with a whole reply ({reason}): see "
            "whether the server still works and `base_url` is its address."
        )
    return ServerUnreachable(
        f"No server answers at {client.base_url} ({reason}): start it and load the "
        "model, or set `base_url` to where it is."
    )


def reach(base_url: str) -> None:
    """Raise ServerUnreachable where no server answers; any HTTP answer will do."""
    with connect(base_url, FACT_PATIENCE) as client:
        answer(client, "/models")


def is_retryable(reply: Parts) -> bool:
    """Whether asking again may go better: busy, crashed or rubbish, never cut short."""
    if reply.error is None or OVERFLOW.search(reply.error):
        return False
    if reply.status in (408, 425, 429) or (reply.status or 0) >= 500:
        return True
    if (reply.status or 400) < 300 and said_in(reply.raw)[1] is None:
        return True
    return bool(PASSING.search(reply.error))


def is_crash(reply: Parts) -> bool:
    """Whether the engine behind the server died: its model has to be loaded again."""
    return reply.error is not None and bool(CRASHED.search(reply.error))


def server_facts(base_url: str, model: str | None = None) -> dict[str, Any]:
    """What the server says of itself, each answer whole, by the path that gave it.

    Paths the server does not know are left out; a server that is down says nothing.
    """
    base = base_url.rstrip("/")
    root = base.removesuffix("/v1")
    with connect(base, FACT_PATIENCE) as client:
        listed = _fact(client, f"{base}/models")
        if _is_host(base, *HOSTED):
            # A hosted catalogue is long, and all but one entry beside the point.
            rows = [r for r in listed_rows({"": listed}) if r.get("id") == model]
            return {"/v1/models": {"data": rows}} if rows else {}
        facts = {"/v1/models": listed}
        if listed is not DOWN:
            paths = ("/api/v1/models", "/api/v0/models", "/props", "/api/version")
            # At once: a slow server would otherwise hold up the run four times.
            with ThreadPoolExecutor(len(paths)) as pool:
                said = pool.map(lambda path: _fact(client, root + path), paths)
                facts |= dict(zip(paths, said, strict=True))
        # A server that answers everything is not Ollama.
        if model and text_of(at(facts, "/api/version.version")):
            facts["/api/tags"] = _fact(client, f"{root}/api/tags")
            facts["/api/ps"] = _fact(client, f"{root}/api/ps")
            facts["/api/show"] = _fact(client, f"{root}/api/show", {"model": model})
    # LM Studio refuses unknown paths with status 200.
    answers = {path: said for path, said in facts.items() if isinstance(said, dict)}
    return {path: a for path, a in answers.items() if a and not a.get("error")}


def _fact(client: OpenAI, url: str, body: Mapping[str, Any] | None = None) -> object:
    """The answer to one request for information, None for a refusal, DOWN for none."""
    try:
        said = answer(client, url, body)
    except IgakuError:
        return DOWN
    return said.raw if said.status == 200 else None


def defaults_of(facts: Facts) -> tuple[str | None, dict[str, Any]]:
    """What the server fills in for fields that are not sent, and who says so.

    llama.cpp tells it in `/props`, LM Studio only in its documentation.
    """
    params = at(facts, "/props.default_generation_settings.params")
    if isinstance(params, dict):
        told = ("seed", "temperature", "top_p", *SAMPLER)
        return "/props", {name: params[name] for name in told if name in params}
    if is_lm_studio(facts):
        return "documentation", dict(LM_STUDIO_DEFAULTS)
    return None, {}
