"""What a server's answers say: the models that it lists, and the weights of one.

A fingerprint is read path by path. Who says what where is one table; what a table
cannot say follows it, a server each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from igaku.server.bodies import said_in
from igaku.server.parts import at, first, maps, positive, text_of, whole

# LM Studio numbers a second instance, Ollama and OpenRouter tag, OpenAI dates.
INSTANCE = re.compile(r":(?:\d+|latest|free|nitro|floor|online)$")
SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
ANY_MODEL = ("", "default", "default_model")
# LM Studio's v0, vLLM's; Ollama's of what is in memory, a router's of the model.
LENGTHS = ("loaded_context_length", "max_model_len", "context_length")
V0_CHAT = "/api/v0/chat/completions"

Row = dict[str, Any]
Facts = Mapping[str, Any]  # the answers of a server, each whole, by their paths


# --- the models of a listing ----------------------------------------------------------


def is_lm_studio(facts: Facts) -> bool:
    """Whether these facts are LM Studio's, by the listings that it alone has."""
    places = ("/api/v1/models.models", "/api/v0/models.data")
    return any(isinstance(at(facts, place), list) for place in places)


def is_llama_cpp(facts: Facts) -> bool:
    """Whether these facts are llama.cpp's, by what it alone tells of its requests."""
    return isinstance(at(facts, "/props.default_generation_settings"), dict)


def listed_models(facts: Facts) -> list[str]:
    """Every name under which the server offers a model, each once, in its order."""
    return list(
        dict.fromkeys(name for row in listed_rows(facts) for name in names_of(row))
    )


def listed_rows(facts: Facts) -> Iterator[Row]:
    """Every model that any of the server's listings names, as it stands there."""
    for said in facts.values():  # some servers call them `data`, and some `models`
        if isinstance(said, dict):
            yield from maps(said.get("data") or said.get("models"))


def rows_of(facts: Facts, model: str) -> list[Row]:
    """What the listings say of one model, by whichever name they have it."""
    return [
        row
        for row in listed_rows(facts)
        if any(served_as(model, name, facts) for name in names_of(row))
    ]


def names_of(row: Row) -> Iterator[str]:
    """The names one listed model answers to."""
    given = [row.get("id"), row.get("key"), row.get("name"), row.get("model")]
    variants = row.get("variants")
    given += variants if isinstance(variants, list) else []
    given += [instance.get("id") for instance in instances_of(row)]
    return (name for name in given if isinstance(name, str))


def instances_of(row: Mapping[str, Any]) -> list[Row]:
    """The loaded instances of a model that LM Studio lists."""
    return maps(row.get("loaded_instances"))


def is_in_memory(row: Mapping[str, Any]) -> bool:
    """Whether a listed model is loaded, as either of LM Studio's listings has it."""
    return bool(instances_of(row)) or row.get("state") == "loaded"


def is_loaded(facts: Facts, model: str) -> bool | None:
    """Whether a model is in a server's memory; None where the server does not say."""
    if "/props" in facts:
        return True  # llama.cpp serves what it was started with
    rows = rows_of(facts, model)
    told = [row for row in rows if "loaded_instances" in row or "state" in row]
    return any(map(is_in_memory, told)) if told else None


def context_length(facts: Facts, model: str) -> int | None:
    """The tokens that prompt and reply may fill together, None where nobody says."""
    told = [at(facts, "/props.default_generation_settings.n_ctx")]
    for row in listed_rows(facts):
        if any(_same_model(model, name) for name in names_of(row)):
            told += [row.get(name) for name in LENGTHS]
            told += [at(i, "config.context_length") for i in instances_of(row)]
    return min(filter(None, map(whole, told)), default=None)


def is_idle(facts: Facts, model: str) -> bool:
    """Whether the server, which tells of what is in memory, may tell more when asked.

    LM Studio and Ollama load a model with its first question.
    """
    is_such = "/api/ps" in facts or is_lm_studio(facts)
    return is_such and context_length(facts, model) is None


def served_as(requested: str, served: str | None, facts: Facts | None = None) -> bool:
    """Whether the model that answered is the one that was asked for.

    A server that names no model cannot be caught: only a wrong name is a no. Which
    variant of a model is loaded is for `igaku.server.identity` to find out.

    >>> served_as("openai/gpt-oss-20b", "openai/gpt-oss-20b:2")
    True
    >>> served_as("mlx-community/gpt-oss-20b", "openai/gpt-oss-20b")
    False
    """
    if not served or served == requested or requested in ANY_MODEL:
        return True
    for row in listed_rows(facts or {}):
        if any(served == instance.get("id") for instance in instances_of(row)):
            # Its instance may name the variant, which its key does not.
            _, mark, variant = served.partition("@")
            return _same_model(requested, f"{row.get('key')}{mark}{variant}")
    return _same_model(requested, served)


def _same_model(requested: str, served: str) -> bool:
    """Whether two names mean one model, as far as names can tell."""
    wanted, given = _plain_name(requested), _plain_name(served)
    if SNAPSHOT.sub("", given) == wanted:
        return True
    wanted_name, _, wanted_variant = wanted.partition("@")
    given_name, _, given_variant = given.partition("@")
    if wanted_variant and given_variant and wanted_variant != given_variant:
        return False
    # llama.cpp reports a place on the server's disk.
    is_path = served.startswith(("/", "./", "~")) or served.count("/") > 1
    is_path = is_path or "\\" in served
    if "/" in wanted_name and "/" in given_name and not is_path:
        return wanted_name == given_name
    return wanted_name.split("/")[-1] == given_name.split("/")[-1]


def _plain_name(name: str) -> str:
    plain = INSTANCE.sub("", name.replace("\\", "/").casefold().rstrip("/"))
    return plain.removesuffix(".gguf")


# --- the weights of one model ---------------------------------------------------------


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
    "/api/ps": {  # Ollama, of what is in memory
        "name": "name",
        "context_length": "context_length",
        "digest": "digest",
    },
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
# What is told in numbers; all else is text.
NUMBERS = {
    "bits_per_weight": positive,
    **dict.fromkeys(("size_bytes", "context_length", "parallel"), whole),
}
# What a listing of another variant than the loaded one does not tell.
NOTHING: Row = dict.fromkeys(
    ("format", "quantization", "bits_per_weight", "size_bytes")
)


def fingerprint(facts: Facts, model: str, identifier: str | None = None) -> Fingerprint:
    """What the answers to `server_facts` say of one model, the first word counting."""
    return merged(fingerprints(facts, model, identifier))


def fingerprints(
    facts: Facts, model: str, identifier: str | None = None
) -> list[Fingerprint]:
    """What each path says of one model, in the order of how much it tells."""
    found = []
    for path in SAYS:
        said = facts.get(path)
        is_list = path.endswith(("/models", "/tags", "/ps"))
        row = _row(said, model, identifier) if is_list else said
        if isinstance(row, dict) and (told := _told(path, row, model, identifier)):
            found.append(told)
    return found


def of_reply(raw: object) -> Fingerprint:
    """What one reply says of the model that gave it, as LM Studio's v0 path does."""
    told = said_in(raw)[1]
    if told is None or not isinstance(told.get("model_info"), dict):
        return Fingerprint()
    named = (text_of(at(told, f"runtime.{key}")) for key in ("name", "version"))
    return replace(_read(V0_CHAT, told), runtime=" ".join(filter(None, named)) or None)


def merged(sources: list[Fingerprint]) -> Fingerprint:
    """One fingerprint of all that several sources say, the first word counting."""
    told: Row = {}
    named: list[str] = []
    for said in sources:
        new = {n: v for n, v in vars(said).items() if v is not None and n not in told}
        if said.source and new.keys() - {"source", "name"}:
            named.append(said.source)
        told |= new
    return Fingerprint(**told | {"source": ", ".join(named) or None})


def variant_of(name: object) -> str | None:
    """The variant that a name ends in: `8bit` of `openai/gpt-oss-20b@8bit:2`."""
    text = name if isinstance(name, str) else ""
    return re.sub(r":\d+$", "", text.partition("@")[2]).casefold() or None


def _row(said: object, model: str, identifier: str | None) -> Row | None:
    """The listed model that answers: by instance, else loaded, else by name."""
    for row in listed_rows({"": said}):
        ids = [row.get("id"), *(i.get("id") for i in instances_of(row))]
        if identifier and identifier in ids:
            return row
    named = rows_of({"": said}, model)
    return min(named, key=lambda row: not is_in_memory(row), default=None)


def _read(path: str, row: Row) -> Fingerprint:
    """What one answer says, by the table."""
    told: Row = {"source": path}
    for what, places in SAYS[path].items():
        told[what] = first(row, NUMBERS.get(what, text_of), *places.split())
    return Fingerprint(**told)


def _told(
    path: str, row: Row, model: str, identifier: str | None
) -> Fingerprint | None:
    """What one answer says, with what the table cannot say of each server."""
    told, owner = _read(path, row), row.get("owned_by")
    if path == "/api/v1/models":
        return _lm_studio(told, row, identifier or model)
    if path == "/api/v0/models" and row.get("state") == "not-loaded":
        return Fingerprint(told.source, told.name)
    if path == "/props":
        build = ["llama.cpp", text_of(row.get("build_info"))]
        runtime = " ".join(filter(None, build))
        is_own = text_of(row.get("model_path")) is not None
        return replace(told, format="gguf", runtime=runtime) if is_own else None
    if path == "/api/show":
        is_own = isinstance(row.get("details"), dict)
        return replace(told, name=model, runtime="ollama") if is_own else None
    if path == "/v1/models" and owner == "llamacpp":
        return replace(told, format="gguf")
    is_vllm = path == "/v1/models" and owner == "vllm"
    return replace(told, runtime="vllm") if is_vllm else told


def _lm_studio(told: Fingerprint, row: Row, name: str) -> Fingerprint:
    """A row of LM Studio's own listing.

    Of a model with several variants it tells what is chosen in LM Studio, which is what
    is loaded as a rule, and need not be: only an instance named by its variant says.
    """
    loaded = instances_of(row)
    own = [i for i in loaded if i.get("id") == name]
    instance: Row = next(iter(own or loaded), {})
    named = variant_of(instance.get("id"))
    selected = variant_of(row.get("selected_variant"))
    told = replace(
        told,
        instance=text_of(instance.get("id")),
        variant=named or selected,
        context_length=whole(at(instance, "config.context_length")),
        parallel=whole(at(instance, "config.parallel")),
        is_choice=selected is not None and named is None,
    )
    if not loaded and selected:  # nothing is in memory yet that could be told of
        return replace(told, variant=None, **NOTHING)
    # Size and format are the chosen variant's, which is not the one in memory.
    return replace(told, **NOTHING) if named not in (None, selected) else told
