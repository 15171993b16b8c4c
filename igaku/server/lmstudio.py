"""LM Studio loads a model under known settings, and unloads it after the run.

Its REST interface does it (LM Studio 0.4), else its `lms` program on this machine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from igaku.errors import IgakuError, NotLoaded, ServerUnreachable
from igaku.server import lms
from igaku.server.client import answer, connect
from igaku.server.fingerprint import instances_of, is_lm_studio, listed_rows
from igaku.server.lms import BRIEF
from igaku.server.parts import Parts, shortened, whole

LISTING, OLDER_LISTING = "/api/v1/models", "/api/v0/models"
LOAD, UNLOAD = "/api/v1/models/load", "/api/v1/models/unload"
PAUSE = 0.5  # seconds between two looks at the listing
LINGER = 10.0  # seconds, after an interrupted load, for the model to turn up
OURS = "igaku-"  # the start of every identifier that a run asks for
SHOWN = 8  # names of other models in a sentence

TOO_BIG = re.compile(
    r"insufficient (?:system resources|memory)|not enough (?:system )?(?:resources|mem)"
    r"|out ?of ?memory|unable to allocate|failed to allocate",
    re.IGNORECASE,
)
UNKNOWN_PATH = re.compile(
    r"unexpected endpoint|cannot (?:get|post) /|^not found$", re.IGNORECASE
)
# While a model is being loaded, more words tell of a crash than in a reply.
DIED = re.compile(r"channel error|crash|exit code|sigabrt|sigsegv", re.IGNORECASE)


Brought = tuple[str, str, dict[str, Any]]  # by whom, the instance, its settings


@dataclass(frozen=True)
class Loaded:
    """A model that LM Studio loaded for this run, and the settings it did so with."""

    instance: str  # the name that requests must carry
    model: str  # as asked for
    by: str  # rest, lms or request
    seconds: float
    config: dict[str, Any]  # as the server tells it, {} where it does not
    asked: dict[str, Any]  # of the loading, which does not always obey


@dataclass(frozen=True)
class _Order:
    """What is to be loaded, where and how, and until when to wait for it."""

    base_url: str
    model: str
    context_length: int
    parallel: int
    identifier: str
    patience: float
    deadline: float
    row: Mapping[str, Any]  # what the server lists of the model

    @property
    def key(self) -> str:
        """The model without its variant."""
        told = self.row.get("key")
        return told if _is_name(told) else self.model.partition("@")[0]

    @property
    def anew(self) -> _Order:
        return replace(self, deadline=time.monotonic() + self.patience)

    @property
    def left(self) -> float:
        """The seconds that are left, with a moment to spare for a last look."""
        return max(self.deadline - time.monotonic(), 1.0)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.deadline


def load(
    base_url: str,
    model: str,
    context_length: int,
    parallel: int,
    identifier: str,
    patience: float = 900,
) -> Loaded:
    """The model, freshly loaded: whatever of it was loaded before goes first.

    The REST interface takes neither `identifier` nor `parallel`. Where the listing then
    shows another parallelism, `lms` loads it again, if it steers that server.
    """
    began = time.monotonic()
    for row in _listed(base_url) or []:
        for instance in _ids(row):
            if instance.startswith(OURS):  # of a run that was killed
                with suppress(NotLoaded):  # there may be room beside it
                    _drop(base_url, instance)
    row, until = _row(base_url, model), began + patience
    order = _Order(
        base_url, model, context_length, parallel, identifier, patience, until, row
    )
    try:
        for instance in _ids(row):
            _drop(base_url, instance)
        by, name, config = _brought(order)
    except BaseException as broken:
        # The server goes on loading for somebody who has gone.
        is_coming = order.is_over or not isinstance(broken, Exception)
        withdraw(base_url, model, identifier, LINGER if is_coming else 0.0)
        raise
    asked = {"context_length": context_length, "parallel": parallel}
    return Loaded(name, model, by, time.monotonic() - began, config, asked)


def unload(base_url: str, loaded: Loaded) -> None:
    """Free the memory of a loaded model; that it or its server has gone is no error."""
    with suppress(IgakuError):
        _drop(base_url, loaded.instance)


def withdraw(
    base_url: str, model: str, identifier: str, patience: float = LINGER
) -> None:
    """Unload whatever there is of a model, waiting a while for it to turn up.

    It is for a load that was broken off, of which nobody knows how far it came.
    """
    until = time.monotonic() + patience
    with suppress(IgakuError):
        while True:
            found = [
                instance
                for row in _listed(base_url, LINGER) or []
                for instance in _ids(row)
                if instance == identifier or _is_of(model, row)
            ]
            for instance in found:
                _drop(base_url, instance, LINGER)
            if found or time.monotonic() >= until:
                return
            time.sleep(PAUSE)


def _as_new(row: Mapping[str, Any]) -> dict[str, Any]:
    """One model of the older listing in the shape of the newer one."""
    length = row.get("loaded_context_length")
    config = {} if length is None else {"context_length": length}
    instance = {"id": row.get("id"), "config": config}
    held = [instance] if row.get("state") == "loaded" else []
    return {"key": row.get("id"), "type": row.get("type"), "loaded_instances": held}


def _listed(base_url: str, patience: float = BRIEF) -> list[dict[str, Any]] | None:
    """The models as LM Studio 0.4 lists them; None for another server."""
    for path in (LISTING, OLDER_LISTING):
        facts = {path: asked(base_url, path, patience=patience).raw}
        if is_lm_studio(facts):  # which no refusal is
            rows = list(listed_rows(facts))
            return rows if path == LISTING else list(map(_as_new, rows))
    return None


def _row(base_url: str, model: str) -> dict[str, Any]:
    """What the server lists of the model; that it lists no such model raises."""
    rows = _listed(base_url)
    if rows is None:
        raise NotLoaded(
            f"{base_url} is not LM Studio, and `load` works with LM Studio only: leave "
            f"`load` out, and start that server with {model}."
        )
    if row := next((row for row in rows if _is_of(model, row)), None):
        return row
    raise NotLoaded(
        f"{base_url} has not downloaded {model}{_others(rows)}: get it with "
        f"`lms get {model}` or in LM Studio, or pass `model` as LM Studio names it."
    )


def _is_of(model: str, row: Mapping[str, Any]) -> bool:
    key, variants = row.get("key"), _variants(row)
    # A listing that keeps its variants to itself leaves the word to the loading.
    is_told = bool(variants) or model.partition("@")[0] != key
    return not is_told or model == key or model in variants


def _others(rows: list[dict[str, Any]]) -> str:
    """The models that are there instead, as a clause."""
    names: list[str] = []
    for row in rows:
        if not str(row.get("type")).startswith("embedding"):
            names += _variants(row) or filter(_is_name, [row.get("key")])
    if not names:
        return " nor any other model"
    more = " ..." if len(names) > SHOWN else ""
    return f", only {', '.join(names[:SHOWN])}{more}"


def _variants(row: Mapping[str, Any]) -> list[str]:
    told = row.get("variants")
    return list(filter(_is_name, told)) if isinstance(told, list) else []


def _ids(row: Mapping[str, Any]) -> Iterator[str]:
    return filter(_is_name, (held.get("id") for held in instances_of(row)))


def _is_name(value: object) -> TypeGuard[str]:
    """Whether it can name a model in a request and in a sentence."""
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _brought(order: _Order) -> Brought:
    """Who loaded the model, the instance it became, and its settings."""
    is_selected = order.row.get("selected_variant") == order.model
    # What is selected, the key alone means too.
    for name in dict.fromkeys([order.model, order.key][: 1 + is_selected]):
        said = _asked_by_rest(order, name)
        if _is_unknown_path(said):
            return _by_lms(order, order.model)
        if "@" not in name or not _refusal(said) or "not_found" not in str(said.raw):
            return _paralleled(order, name, _by_rest(order, said))
    return _by_request(order)


def _paralleled(order: _Order, name: str, brought: Brought) -> Brought:
    """What REST loaded; loaded again by `lms` where it has another parallelism.

    If that fails, the other parallelism it is: a reload takes no model away.
    """
    _, instance, config = brought
    is_right = config.get("parallel") in (None, order.parallel)
    if is_right or lms.program_of(order.base_url) is None:
        return brought
    try:
        _drop(order.base_url, instance)
    except NotLoaded:
        return brought
    try:
        return _by_lms(order.anew, name)
    except NotLoaded:
        # It may have loaded it all the same.
        withdraw(order.base_url, order.model, order.identifier, patience=0.0)
        again = order.anew
        return _by_rest(again, _asked_by_rest(again, name))


def _asked_by_rest(order: _Order, name: str) -> Parts:
    body = {
        "model": name,
        "context_length": order.context_length,
        "echo_load_config": True,
    }
    return _asked_to_load(order, LOAD, body)


def _by_rest(order: _Order, said: Parts) -> Brought:
    """What the server loaded by a request for it; a refusal raises."""
    told, refused = said.raw, _refusal(said)
    if refused or not isinstance(told, dict):
        raise _not_loaded(order, str(refused))
    if not _is_name(instance := told.get("instance_id")):
        raise _not_loaded(order, "the reply names no instance")
    config = told.get("load_config")
    echoed = config if isinstance(config, dict) else {}
    return "rest", instance, echoed | _awaited(order, instance)


def _by_request(order: _Order) -> Brought:
    """Load a listed variant by asking it for one token, which takes no settings."""
    chat = [{"role": "user", "content": "1"}]
    body = {"model": order.model, "messages": chat, "max_tokens": 1}
    # LM Studio finds no variant by a load request, see lmstudio-bug-tracker#1462.
    said = _asked_to_load(order, "/v1/chat/completions", body)
    held = next(_ids(_row(order.base_url, order.model)), None)
    if held is not None:
        return "request", held, _shown(order.base_url, held) or {}
    refused = _refusal(said) or ""
    if TOO_BIG.search(refused) or DIED.search(refused):
        raise _not_loaded(order, refused)
    raise NotLoaded(
        f"{order.base_url} lists {order.model} and does not load it by that name: "
        f"choose this variant of {order.key} under My Models in LM Studio, and run "
        "again."
    )


def _asked_to_load(order: _Order, path: str, body: Mapping[str, Any]) -> Parts:
    try:
        return asked(order.base_url, path, body, order.left)
    except ServerUnreachable as silent:
        raise (_too_slow(order) if order.is_over else silent) from silent


def _awaited(
    order: _Order, instance: str, program: str | None = None
) -> dict[str, Any]:
    """The settings of an instance, once the server shows it."""
    while True:
        shown = _shown(order.base_url, instance)
        told = lms.told_of(program, instance) if program else None
        if shown is not None or told is not None:
            return (told or {}) | (shown or {})
        if order.is_over:
            with suppress(IgakuError):
                _drop(order.base_url, instance)
            raise NotLoaded(
                f"{order.base_url} says that it loaded {order.model} as {instance}, "
                f"but does not list it after {order.patience:g} s: see in LM Studio "
                "whether it is loaded, and run again."
            )
        time.sleep(PAUSE)


def _shown(base_url: str, instance: str) -> dict[str, Any] | None:
    """The settings of a listed instance, None where it is not listed."""
    rows = _listed(base_url) or []
    held = (h for row in rows for h in instances_of(row) if h.get("id") == instance)
    if (found := next(held, None)) is None:
        return None
    return dict(config) if isinstance(config := found.get("config"), dict) else {}


def _drop(base_url: str, instance: str, patience: float = BRIEF) -> None:
    """Unload an instance; one that stays all the same raises."""
    said = asked(base_url, UNLOAD, {"instance_id": instance}, patience)
    refused = _refusal(said)
    if _is_unknown_path(said) and (program := lms.program_of(base_url)):
        _, refused = lms.ran(program, patience, "unload", instance)
    if refused and _shown(base_url, instance) is not None:
        told = shortened(refused, 300).rstrip(".")
        raise NotLoaded(
            f"{base_url} does not unload {instance} ({told}): unload it in "
            "LM Studio, so that its settings are known when it is loaded again."
        )


def _not_loaded(order: _Order, text: str) -> NotLoaded:
    """The sentence for a refused load, by what the server says of its cause."""
    told = shortened(text, 300).rstrip(".")
    if TOO_BIG.search(text):
        size, own = whole(order.row.get("size_bytes")), (None, order.model)
        # The row may tell of another variant.
        is_it = order.row.get("selected_variant") in own or order.model == order.key
        large = f" ({size / 1e9:.2f} GB)" if size and is_it else ""
        return NotLoaded(
            f"{order.model}{large} is too big for the memory that {order.base_url} has "
            f"left for it ({told}): unload other models, lower `context_length` "
            f"({order.context_length:,} now), or loosen the guardrails in LM Studio's "
            "settings."
        )
    if DIED.search(text):
        return NotLoaded(
            f"The engine of {order.base_url} crashed while it loaded {order.model} "
            f"({told}): update the runtime in LM Studio, and load the model there by "
            "hand to see that it works."
        )
    return NotLoaded(
        f"{order.base_url} could not load {order.model} ({told}): load it by hand in "
        "LM Studio to see why, or download it again."
    )


def _too_slow(order: _Order) -> NotLoaded:
    return NotLoaded(
        f"{order.base_url} did not load {order.model} within {order.patience:g} s: see "
        "in LM Studio what it waits for, and load the model there by hand once."
    )


def _by_lms(order: _Order, name: str) -> Brought:
    """Load the model with the `lms` program."""
    program = lms.program_of(order.base_url)
    if program is None:
        raise NotLoaded(
            f"{order.base_url} is an LM Studio that loads nothing over its REST "
            "interface, and no `lms` program steers it from here: update LM Studio to "
            f"0.4, or load {order.model} by hand and leave `load` out."
        )
    settings = ["--context-length", str(order.context_length)]
    settings += ["--parallel", str(order.parallel), "--identifier", order.identifier]
    _, refused = lms.ran(program, order.left, "load", name, *settings, "-y")
    if refused:
        raise _too_slow(order) if order.is_over else _not_loaded(order, refused)
    return "lms", order.identifier, _awaited(order, order.identifier, program)


def asked(
    base_url: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    patience: float = BRIEF,
) -> Parts:
    """The answer to one request, refusals included."""
    url = base_url.rstrip("/").removesuffix("/v1") + path
    with connect(base_url, patience) as client:
        said = answer(client, url, body)
    if said.status in (401, 403):
        raise NotLoaded(
            f"{base_url} wants an API token other than the one it was sent, if any: "
            "make one in LM Studio's server settings and set LM_API_TOKEN to it, or "
            "IGAKU_API_KEY, which goes first over https."
        )
    return said


def _is_unknown_path(said: Parts) -> bool:
    """Whether the server refuses the request itself, and not what it asks for."""
    # A server that has the path tells in JSON that it misses a model.
    is_missing = said.status in (404, 405) and not isinstance(said.raw, dict)
    return is_missing or UNKNOWN_PATH.search(said.error or "") is not None


def _refusal(said: Parts) -> str | None:
    """What the server has against the request, None for nothing."""
    is_done = isinstance(said.raw, dict) and not said.raw.get("error")
    is_done = is_done and said.status == 200
    return None if is_done else said.error or f"HTTP {said.status}"
