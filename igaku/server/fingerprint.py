"""The fingerprint: what a server says of the weights it serves, path by path.

Who says what where is one table; what a table cannot say follows it, a server each.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from igaku.server.client import instances_of, listed_rows, names_of, served_as

MOST = 10**18  # no size, length or count of a server's is larger
V0_CHAT = "/api/v0/chat/completions"

Row = dict[str, Any]


@dataclass(frozen=True)
class Fingerprint:
    """What a server says of the weights it serves; None is what it does not say.

    `source` names the paths that said it. Sizes are bytes; `context_length` is tokens;
    `effort` is the reasoning effort that the server uses where none is asked for. A
    listing that tells of the variant chosen for a model, and not of the loaded one, has
    `is_choice`: it can raise a doubt and settle none.
    """

    source: str | None = None
    name: str | None = None
    instance: str | None = None
    variant: str | None = None
    format: str | None = None
    quantization: str | None = None
    bits_per_weight: float | None = None
    size_bytes: int | None = None
    digest: str | None = None
    context_length: int | None = None
    parallel: int | None = None
    runtime: str | None = None
    effort: str | None = None
    is_choice: bool = False


# Path → what it tells of → where that stands in its answer, the first that is there.
# The paths are in the order of how much they tell.
SAYS = {
    "/api/v1/models": {  # LM Studio 0.4
        "name": "key",
        "format": "format",
        "quantization": "quantization.name",
        "bits_per_weight": "quantization.bits_per_weight",
        "size_bytes": "size_bytes",
        "effort": "capabilities.reasoning.default",
    },
    "/api/v0/models": {  # LM Studio before, which tells only of what is in memory
        "name": "id",
        "format": "compatibility_type",
        "quantization": "quantization",
        "context_length": "loaded_context_length",
    },
    "/props": {  # llama.cpp
        "name": "model_alias model_path",
        "quantization": "model_ftype",
        "context_length": "default_generation_settings.n_ctx",
        "parallel": "total_slots",
    },
    "/api/show": {  # Ollama
        "format": "details.format",
        "quantization": "details.quantization_level",
    },
    "/api/tags": {"name": "name", "size_bytes": "size", "digest": "digest"},  # Ollama
    "/v1/models": {  # any: llama.cpp adds the bytes of its tensors, vLLM a length
        "name": "id",
        "quantization": "meta.ftype",
        "size_bytes": "meta.size_bytes meta.size",
        "context_length": "max_model_len",
    },
    V0_CHAT: {  # a reply of LM Studio's
        "format": "model_info.format",
        "quantization": "model_info.quant",
        "context_length": "model_info.context_length",
    },
}
# What a listing of another variant than the loaded one does not tell.
NOTHING: dict[str, Any] = {
    "format": None,
    "quantization": None,
    "bits_per_weight": None,
    "size_bytes": None,
}


def fingerprint(
    facts: Mapping[str, Any], model: str, identifier: str | None = None
) -> Fingerprint:
    """What the answers to `server_facts` say of one model, the first word counting.

    >>> listed = {"data": [{"id": "m", "meta": {"size": 856112}}]}
    >>> fingerprint({"/v1/models": listed}, "m").size_bytes
    856112
    """
    return merged(fingerprints(facts, model, identifier))


def fingerprints(
    facts: Mapping[str, Any], model: str, identifier: str | None = None
) -> list[Fingerprint]:
    """What each path says of one model, in the order of how much it tells."""
    found = []
    for path in SAYS:
        said = facts.get(path)
        is_list = path.endswith(("/models", "/tags"))
        row = _row(said, model, identifier) if is_list else said
        if isinstance(row, dict):
            told: Fingerprint | None = _read(path, row)
            if told and path in MORE:
                told = MORE[path](told, row, model, identifier)
            found += [told] if told else []
    return found


def of_reply(raw: object) -> Fingerprint:
    """What one reply says of the model that gave it, as LM Studio's v0 path does."""
    if not isinstance(raw, dict) or not isinstance(raw.get("model_info"), dict):
        return Fingerprint()
    named = (_text(_at(raw, f"runtime.{key}")) for key in ("name", "version"))
    return replace(_read(V0_CHAT, raw), runtime=" ".join(filter(None, named)) or None)


def merged(sources: list[Fingerprint]) -> Fingerprint:
    """One fingerprint of all that several sources say, the first word counting."""
    if not sources:
        return Fingerprint()
    found, *others = sources
    for said in others:
        found = _filled(found, said)
    return found


def variant_of(name: object) -> str | None:
    """The variant that a name ends in: `8bit` of `openai/gpt-oss-20b@8bit:2`."""
    text = name if isinstance(name, str) else ""
    return re.sub(r":\d+$", "", text.partition("@")[2]).casefold() or None


def _filled(first: Fingerprint, other: Fingerprint) -> Fingerprint:
    """The first fingerprint with what only the other says."""
    told = {
        f.name: getattr(other, f.name)
        for f in fields(Fingerprint)
        if getattr(first, f.name) is None and getattr(other, f.name) is not None
    }
    sources = [first.source, other.source if set(told) - {"source", "name"} else None]
    return replace(first, **told | {"source": ", ".join(filter(None, sources)) or None})


def _row(said: object, model: str, identifier: str | None) -> Row | None:
    """The listed model that answers: by instance, else loaded, else by name."""
    rows = list(listed_rows({"": said}))
    for row in rows:
        ids = [row.get("id"), *(i.get("id") for i in instances_of(row))]
        if identifier and identifier in ids:
            return row
    named = [r for r in rows if any(served_as(model, name) for name in names_of(r))]
    named.sort(key=lambda row: not (instances_of(row) or row.get("state") == "loaded"))
    return next(iter(named), None)


def _read(path: str, row: Row) -> Fingerprint:
    """What one answer says, by the table."""
    told: dict[str, Any] = {"source": path}
    for what, places in SAYS[path].items():
        values = (KINDS[what](_at(row, place)) for place in places.split())
        told[what] = next(filter(None, values), None)
    return Fingerprint(**told)


def _at(row: object, place: str) -> object:
    for key in place.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


# --- what the table cannot say --------------------------------------------------------


def _lm_studio(
    told: Fingerprint, row: Row, model: str, identifier: str | None
) -> Fingerprint:
    """A row of LM Studio's own listing.

    Of a model with several variants it tells what is chosen in LM Studio, which is what
    is loaded as a rule, and need not be: only an instance named by its variant says.
    """
    loaded = instances_of(row)
    own = [i for i in loaded if i.get("id") == (identifier or model)]
    instance: Row = next(iter(own or loaded), {})
    named = variant_of(instance.get("id"))
    selected = variant_of(row.get("selected_variant"))
    told = replace(
        told,
        instance=_text(instance.get("id")),
        variant=named or selected,
        context_length=_whole(_at(instance, "config.context_length")),
        parallel=_whole(_at(instance, "config.parallel")),
        is_choice=selected is not None and named is None,
    )
    if not loaded and selected:  # nothing is in memory yet that could be told of
        return replace(told, variant=None, **NOTHING)
    # Size and format are the chosen variant's, which is not the one in memory.
    return replace(told, **NOTHING) if named not in (None, selected) else told


def _lm_studio_v0(told: Fingerprint, row: Row, *_: object) -> Fingerprint:
    is_loaded = row.get("state") != "not-loaded"
    return told if is_loaded else Fingerprint(told.source, told.name)


def _llama_cpp(told: Fingerprint, row: Row, *_: object) -> Fingerprint | None:
    if _text(row.get("model_path")) is None:
        return None
    build = _text(row.get("build_info"))
    return replace(
        told, format="gguf", runtime=f"llama.cpp {build}" if build else "llama.cpp"
    )


def _ollama(told: Fingerprint, row: Row, model: str, *_: object) -> Fingerprint | None:
    if not isinstance(row.get("details"), dict):
        return None
    return replace(told, name=model, runtime="ollama")


def _openai(told: Fingerprint, row: Row, *_: object) -> Fingerprint:
    owner = row.get("owned_by")
    return replace(
        told,
        format="gguf" if owner == "llamacpp" else None,
        runtime="vllm" if owner == "vllm" else None,
    )


MORE: dict[str, Callable[[Fingerprint, Row, str, str | None], Fingerprint | None]] = {
    "/api/v1/models": _lm_studio,
    "/api/v0/models": _lm_studio_v0,
    "/props": _llama_cpp,
    "/api/show": _ollama,
    "/v1/models": _openai,
}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value < MOST else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < MOST else None


# How what is told has to look; all else is text.
KINDS: dict[str, Callable[[object], object]] = defaultdict(
    lambda: _text,
    {
        "bits_per_weight": _number,
        **dict.fromkeys(("size_bytes", "context_length", "parallel"), _whole),
    },
)
