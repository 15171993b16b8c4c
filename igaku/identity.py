"""Identity: the server's own word on which weights answer, held against the card.

Names prove little: one server answers to any name, another echoes the one it was asked
for. A format, a quantization and a size in bytes are harder to mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from igaku.server import instances_of, listed_rows, names_of, served_as

if TYPE_CHECKING:
    from igaku.card import Settings
    from igaku.reply import Reply

TOLERANCE = 0.01  # of the size; two recipes of one model can be 0.5 % apart
SIZES = ("size_bytes", "tensor_bytes", "size_gb")  # GB are 10⁹ bytes
V0_CHAT = "/api/v0/chat/completions"
STATUSES = ("wrong_model", "unverified", "verified")

BITS = (
    (r"(\d+)[ -]?bits?\b", None),
    (r"\bI?Q(\d)(?:_|\b)", None),
    (r"(?:MX|NV)?FP4", 4),
    (r"(?:MX)?FP8", 8),
    (r"\bB?F(?:P)?16", 16),
    (r"\bF(?:P)?32", 32),
)


@dataclass(frozen=True)
class Fingerprint:
    """What a server says of the weights it serves; None is what it does not say.

    `source` names the paths that said it. Sizes are bytes; `context_length` is tokens;
    `effort` is the reasoning effort that the server uses where none is asked for.
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


@dataclass(frozen=True)
class Compared:
    """One thing of the card beside the server's word; `agrees` is None: one is silent.

    >>> Compared("format", "GGUF", "gguf", True).agrees
    True
    """

    what: str
    card: Any
    server: Any
    agrees: bool | None


@dataclass(frozen=True)
class Identity:
    """Whether the weights that answer are those of the card, and on whose word.

    `status` is "verified" (nothing disagrees, and the size or everything else agrees),
    "wrong_model" (something disagrees) or "unverified"; `why` is a sentence for the
    last two.
    """

    status: str
    checks: tuple[Compared, ...] = ()
    why: str | None = None
    fingerprint: Fingerprint = field(default_factory=Fingerprint)

    def to_dict(self) -> dict[str, Any]:
        """The identity as the manifest holds it."""
        said = {n: v for n, v in asdict(self.fingerprint).items() if v is not None}
        return {
            "status": self.status,
            "source": self.fingerprint.source,
            "why": self.why,
            "checks": [asdict(check) for check in self.checks],
            "fingerprint": said,
        }


def identify(
    settings: Settings, facts: Mapping[str, Any], raw: object = None
) -> Identity:
    """The identity of what a server serves, by its listings and one reply's body."""
    said = fingerprint(facts, settings.model, settings.identifier)
    said = _filled(said, _of_reply(raw))
    checks = tuple(_checks(settings, said))
    agreed = {check.what: check.agrees for check in checks}
    if False in agreed.values():
        return Identity("wrong_model", checks, _wrong(settings, checks), said)
    if agreed.get("size") or all(
        agreed.get(n) for n in ("format", "quantization", "variant")
    ):
        return Identity("verified", checks, None, said)
    return Identity("unverified", checks, _unknown(settings, said), said)


def later(before: Identity, after: Identity) -> Identity:
    """The identity of a whole run from that before it and that after it.

    A server that says less after the run takes nothing back.
    """
    worst = min(before, after, key=lambda found: STATUSES.index(found.status))
    silent = after.status == "unverified" and after.fingerprint.size_bytes is None
    return before if silent or worst is before else after


def contradiction(
    settings: Settings, reply: Reply, facts: Mapping[str, Any] | None = None
) -> str | None:
    """The sentence that another model gave this reply; None where nothing says so."""
    served = reply.served_model
    listed = any(
        served == i.get("id") for r in listed_rows(facts or {}) for i in instances_of(r)
    )
    is_own = served == settings.identifier and not listed
    if not is_own and not served_as(settings.model, served, facts):
        return (
            f"{settings.base_url} answered as {served}, not as {settings.model}: load "
            "the model that was asked for, unload the other one, and run again."
        )
    said = _of_reply(reply.raw)
    checks = [_format(settings.card, said), _quantization(settings.card, said)]
    if any(check.agrees is False for check in checks):
        return _wrong(settings, tuple(checks))
    return None


# --- what servers say -----------------------------------------------------------------


def fingerprint(
    facts: Mapping[str, Any], model: str, identifier: str | None = None
) -> Fingerprint:
    """What the answers to `server_facts` say of one model.

    >>> listed = {"data": [{"id": "m", "meta": {"size": 856112}}]}
    >>> fingerprint({"/v1/models": listed}, "m").size_bytes
    856112
    """
    found = Fingerprint()
    for path, read in READERS:
        said = facts.get(path)
        row = (
            _row(said, model, identifier)
            if path.endswith(("/models", "/tags"))
            else said
        )
        if isinstance(row, dict) and (told := read(row, model, identifier)):
            named = replace(told, source=path)
            found = _filled(found, named) if found.source else named
    return found


def _row(said: object, model: str, identifier: str | None) -> dict[str, Any] | None:
    """The listed model that answers: by instance, else loaded, else by name."""
    rows = list(listed_rows({"": said}))
    for row in rows:
        ids = [row.get("id"), *(i.get("id") for i in instances_of(row))]
        if identifier and identifier in ids:
            return row
    named = [r for r in rows if any(served_as(model, name) for name in names_of(r))]
    named.sort(key=lambda row: not (instances_of(row) or row.get("state") == "loaded"))
    return next(iter(named), None)


def _lm_studio(row: dict[str, Any], model: str, identifier: str | None) -> Fingerprint:
    """A row of LM Studio's own listing; what it says is of the selected variant."""
    loaded = instances_of(row)
    chosen = next((i for i in loaded if i.get("id") == (identifier or model)), None)
    instance = chosen or (loaded[0] if loaded else {})
    config = instance.get("config")
    config = config if isinstance(config, dict) else {}
    selected = _variant(row.get("selected_variant"))
    variant = _variant(instance.get("id")) or selected
    about = Fingerprint(
        name=_text(row.get("key")),
        instance=_text(instance.get("id")),
        variant=variant,
        context_length=_whole(config.get("context_length")),
        parallel=_whole(config.get("parallel")),
        effort=_default_effort(row),
    )
    if selected and variant != selected:  # size and format are another variant's
        return about
    quantization = row.get("quantization")
    quantization = quantization if isinstance(quantization, dict) else {}
    bits = quantization.get("bits_per_weight")
    return replace(
        about,
        format=_text(row.get("format")),
        quantization=_text(quantization.get("name")),
        bits_per_weight=float(bits) if isinstance(bits, int | float) else None,
        size_bytes=_whole(row.get("size_bytes")),
    )


def _lm_studio_v0(row: dict[str, Any], *_: object) -> Fingerprint:
    return Fingerprint(
        name=_text(row.get("id")),
        format=_text(row.get("compatibility_type")),
        quantization=_text(row.get("quantization")),
        context_length=_whole(row.get("loaded_context_length")),
    )


def _llama_cpp(props: dict[str, Any], *_: object) -> Fingerprint | None:
    path = _text(props.get("model_path"))
    if path is None:
        return None
    defaults = props.get("default_generation_settings")
    defaults = defaults if isinstance(defaults, dict) else {}
    build = _text(props.get("build_info"))
    return Fingerprint(
        name=_text(props.get("model_alias")) or path,
        format="gguf",
        quantization=_text(props.get("model_ftype")),
        context_length=_whole(defaults.get("n_ctx")),
        parallel=_whole(props.get("total_slots")),
        runtime=f"llama.cpp {build}" if build else "llama.cpp",
    )


def _openai(row: dict[str, Any], *_: object) -> Fingerprint | None:
    """A row of `/v1/models`: llama.cpp adds the bytes of its tensors, vLLM a length."""
    meta = row.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    owner = _text(row.get("owned_by"))
    is_llama = owner == "llamacpp"
    return Fingerprint(
        name=_text(row.get("id")),
        format="gguf" if is_llama else None,
        quantization=_text(meta.get("ftype")),
        size_bytes=_whole(meta.get("size_bytes") or meta.get("size")),
        context_length=_whole(row.get("max_model_len")),
        runtime=owner if owner == "vllm" else None,
    )


def _ollama_show(said: dict[str, Any], model: str, *_: object) -> Fingerprint | None:
    details = said.get("details")
    if not isinstance(details, dict):
        return None
    return Fingerprint(
        name=model,
        format=_text(details.get("format")),
        quantization=_text(details.get("quantization_level")),
        runtime="ollama",
    )


def _ollama_tag(row: dict[str, Any], *_: object) -> Fingerprint:
    return Fingerprint(
        name=_text(row.get("name")),
        size_bytes=_whole(row.get("size")),
        digest=_text(row.get("digest")),
    )


def _of_reply(raw: object) -> Fingerprint:
    """What one reply says of the model that gave it, as LM Studio's v0 path does."""
    info = raw.get("model_info") if isinstance(raw, dict) else None
    if not isinstance(info, dict):
        return Fingerprint()
    runtime = raw.get("runtime") if isinstance(raw, dict) else None
    runtime = runtime if isinstance(runtime, dict) else {}
    named = filter(None, (_text(runtime.get(key)) for key in ("name", "version")))
    return Fingerprint(
        source=V0_CHAT,
        format=_text(info.get("format")),
        quantization=_text(info.get("quant")),
        context_length=_whole(info.get("context_length")),
        runtime=" ".join(named) or None,
    )


READERS = (
    ("/api/v1/models", _lm_studio),
    ("/api/v0/models", _lm_studio_v0),
    ("/props", _llama_cpp),
    ("/api/show", _ollama_show),
    ("/api/tags", _ollama_tag),
    ("/v1/models", _openai),
)


def _filled(first: Fingerprint, other: Fingerprint) -> Fingerprint:
    """The first fingerprint with what only the other says."""
    told = {
        f.name: getattr(other, f.name)
        for f in fields(Fingerprint)
        if getattr(first, f.name) is None and getattr(other, f.name) is not None
    }
    sources = [first.source, other.source if set(told) - {"source", "name"} else None]
    return replace(first, **told | {"source": ", ".join(filter(None, sources)) or None})


def _default_effort(row: dict[str, Any]) -> str | None:
    able = row.get("capabilities")
    reasoning = able.get("reasoning") if isinstance(able, dict) else None
    return _text(reasoning.get("default")) if isinstance(reasoning, dict) else None


def _variant(name: object) -> str | None:
    text = name if isinstance(name, str) else ""
    return re.sub(r":\d+$", "", text.partition("@")[2]).casefold() or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_whole and isinstance(value, int) else None


# --- held against the card ------------------------------------------------------------


def _checks(settings: Settings, said: Fingerprint) -> Iterator[Compared]:
    asked = settings.model
    if said.name:
        agrees = said.name == settings.identifier or served_as(asked, said.name)
        yield Compared("name", asked, said.name, agrees)
    if wanted := _variant(asked):
        agrees_too = None if said.variant is None else said.variant == wanted
        yield Compared("variant", wanted, said.variant, agrees_too)
    yield _format(settings.card, said)
    yield _quantization(settings.card, said)
    yield _size(settings.card, said)


def _format(card: Mapping[str, Any], said: Fingerprint) -> Compared:
    told = card.get("format")
    pair = (_family(told), _family(said.format))
    agrees = None if None in pair else pair[0] == pair[1]
    return Compared("format", told, said.format, agrees)


def _family(name: object) -> str | None:
    """The file format behind a name: LM Studio calls a folder of safetensors mlx."""
    text = str(name or "").casefold()
    if "gguf" in text:
        return "gguf"
    return "safetensors" if "safetensors" in text or "mlx" in text else None


def _quantization(card: Mapping[str, Any], said: Fingerprint) -> Compared:
    """By bits, as each program has words of its own for a mixed recipe.

    >>> _quantization({"quantization": "MXFP4 + Q8"}, Fingerprint(quantization="8bit"))
    Compared(what='quantization', card='MXFP4 + Q8', server='8bit', agrees=True)
    """
    told = card.get("quantization")
    wanted, given = bits_in(told), bits_in(said.quantization)
    agrees = given <= wanted if wanted and given else None
    return Compared("quantization", told, said.quantization, agrees)


def bits_in(text: object) -> frozenset[int]:
    """The bit widths that the name of a quantization speaks of.

    >>> sorted(bits_in("MXFP4 (4bit weights) + Q8 (non-weights)"))
    [4, 8]
    """
    found: set[int] = set()
    for pattern, bits in BITS:
        for match in re.finditer(pattern, str(text or ""), re.IGNORECASE):
            found.add(int(match[1]) if bits is None else bits)
    return frozenset(found)


def _size(card: Mapping[str, Any], said: Fingerprint) -> Compared:
    """By bytes, of the files or of the tensors alone: servers count either."""
    told = card.get("size_gb")
    known = [card.get("size_bytes"), card.get("tensor_bytes")]
    known += [told * 1e9] if isinstance(told, int | float) else []
    sizes = [size for size in known if isinstance(size, int | float) and size > 0]
    if not sizes or said.size_bytes is None:
        return Compared("size", next(iter(sizes), None), said.size_bytes, None)
    given = said.size_bytes
    nearest = min(sizes, key=lambda size: abs(given / size - 1))
    agrees = abs(given / nearest - 1) <= TOLERANCE
    return Compared("size", round(nearest), given, agrees)


def _wrong(settings: Settings, checks: tuple[Compared, ...]) -> str:
    told = ", ".join(
        f"{check.what} {_shown(check.what, check.server)}, not "
        f"{_shown(check.what, check.card)}"
        for check in checks
        if check.agrees is False
    )
    return (
        f"{settings.base_url} does not serve the weights of {settings.slug}'s card "
        f"({told}): load {settings.model}, or correct the card in params/."
    )


def _unknown(settings: Settings, said: Fingerprint) -> str:
    if not any(settings.card.get(name) for name in SIZES):
        return f"The card of {settings.slug} has no size to compare the server's with."
    if said.size_bytes is None and said.format is None and said.quantization is None:
        return f"{settings.base_url} says nothing of the weights it serves."
    return f"{settings.base_url} does not say enough to tell the weights from others."


def _shown(what: str, value: Any) -> str:
    if what == "size" and isinstance(value, int):
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value:,} bytes"
    return str(value)
