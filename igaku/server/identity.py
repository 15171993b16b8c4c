"""Identity: the server's own word on which weights answer, held against the card.

Names prove little: one server answers to any name, another echoes the one it was asked
for. A format, a quantization and a size in bytes are harder to mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from igaku.server.client import instances_of, listed_rows, names_of, served_as

if TYPE_CHECKING:
    from igaku.params.settings import Settings
    from igaku.server.reply import Reply

MOST = 10**18  # no size, length or count of a server's is larger
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
        told = asdict(self.fingerprint).items()
        said = {name: value for name, value in told if value not in (None, False)}
        return {
            "status": self.status,
            "source": self.fingerprint.source,
            "why": self.why,
            "checks": [asdict(check) for check in self.checks],
            "fingerprint": said,
        }


def identify(
    settings: Settings,
    facts: Mapping[str, Any],
    raw: object = None,
    doubt: bool = True,
) -> Identity:
    """The identity of what a server serves, by its listings and one reply's body.

    Every source is held against the card by itself, and one that disagrees outweighs
    all that agree. `doubt=False` leaves out what a reply may yet clear up.
    """
    listed = fingerprints(facts, settings.model, settings.identifier)
    replied = _of_reply(raw)
    sources = [*listed, *([replied] if replied.source else [])]
    merged = _merged(sources)
    held = list(_weighty(settings, sources, doubt))
    checks = tuple(_checks(settings, held))
    agreed = {check.what: check.agrees for check in checks}
    if False in agreed.values():
        return Identity("wrong_model", checks, _wrong(settings, checks), merged)
    by_reply = "variant" in agreed and _is_of_reply(settings, replied)
    if agreed.get("size") or by_reply:
        return Identity("verified", checks, None, merged)
    return Identity("unverified", checks, _unknown(settings, merged), merged)


def _weighty(
    settings: Settings, sources: list[Fingerprint], doubt: bool
) -> Iterator[Fingerprint]:
    """The sources that count: a mere choice only where nothing better is known.

    One that chose the variant asked for lends its size to a reply that agrees, and by
    itself confirms nothing; one that chose another accuses, unless a reply acquits.
    """
    better = [s for s in sources if not s.is_choice and (s.format or s.quantization)]
    for said in sources:
        if not said.is_choice:
            yield said
        elif said.variant == _variant(settings.model):
            yield replace(said, is_choice=not better)
        elif doubt and not better:
            yield said
        else:
            yield replace(said, variant=None, **NOTHING)


# What a listing of another variant than the loaded one does not tell.
NOTHING: dict[str, Any] = {
    "format": None,
    "quantization": None,
    "bits_per_weight": None,
    "size_bytes": None,
}


def _is_of_reply(settings: Settings, replied: Fingerprint) -> bool:
    """Whether a reply names both format and quantization of the card's weights."""
    checks = (_format(settings.card, replied), _quantization(settings.card, replied))
    return all(check.agrees for check in checks)


def later(before: Identity, after: Identity) -> Identity:
    """The identity of a whole run from that before it and that after it.

    A server that says less after the run takes nothing back.
    """
    worst = min(before, after, key=lambda found: STATUSES.index(found.status))
    silent = after.status == "unverified" and after.fingerprint.size_bytes is None
    return before if silent or worst is before else after


def rank(identity: Mapping[str, Any]) -> int:
    """How good an identity of the manifest is: 0 for the wrong model."""
    status = identity.get("status")
    return STATUSES.index(status) if status in STATUSES else 1


def names_weights(raw: object) -> bool:
    """Whether a reply's body says of which weights it is."""
    return _of_reply(raw).source is not None


def contradiction(
    settings: Settings, reply: Reply, facts: Mapping[str, Any] | None = None
) -> str | None:
    """The sentence that another model gave this reply; None where nothing says so."""
    served = reply.served_model
    rows = listed_rows(facts or {})
    listed = any(served == i.get("id") for row in rows for i in instances_of(row))
    is_own = served == settings.identifier and not listed
    if not is_own and not served_as(settings.model, served, facts):
        return (
            f"{settings.base_url} answered as {served}, not as {settings.model}: load "
            "the model that was asked for, unload the other one, and run again."
        )
    said = _of_reply(reply.raw)
    checks = (_format(settings.card, said), _quantization(settings.card, said))
    if any(check.agrees is False for check in checks):
        return _wrong(settings, checks)
    return None


# --- what servers say -----------------------------------------------------------------


def fingerprint(
    facts: Mapping[str, Any], model: str, identifier: str | None = None
) -> Fingerprint:
    """What the answers to `server_facts` say of one model, the first word counting.

    >>> listed = {"data": [{"id": "m", "meta": {"size": 856112}}]}
    >>> fingerprint({"/v1/models": listed}, "m").size_bytes
    856112
    """
    return _merged(fingerprints(facts, model, identifier))


def fingerprints(
    facts: Mapping[str, Any], model: str, identifier: str | None = None
) -> list[Fingerprint]:
    """What each path says of one model, in the order of how much it tells."""
    found = []
    for path, read in READERS:
        said = facts.get(path)
        is_list = path.endswith(("/models", "/tags"))
        row = _row(said, model, identifier) if is_list else said
        if isinstance(row, dict) and (told := read(row, model, identifier)):
            found.append(replace(told, source=path))
    return found


def _merged(sources: list[Fingerprint]) -> Fingerprint:
    if not sources:
        return Fingerprint()
    found, *others = sources
    for said in others:
        found = _filled(found, said)
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
    """A row of LM Studio's own listing.

    Of a model with several variants it tells what is chosen in LM Studio, which is what
    is loaded as a rule, and need not be: only an instance named by its variant says.
    """
    loaded = instances_of(row)
    chosen = next((i for i in loaded if i.get("id") == (identifier or model)), None)
    instance = chosen or (loaded[0] if loaded else {})
    config = instance.get("config")
    config = config if isinstance(config, dict) else {}
    named, selected = (
        _variant(instance.get("id")),
        _variant(row.get("selected_variant")),
    )
    quantization = row.get("quantization")
    quantization = quantization if isinstance(quantization, dict) else {}
    bits = quantization.get("bits_per_weight")
    about = Fingerprint(
        name=_text(row.get("key")),
        instance=_text(instance.get("id")),
        variant=named or selected,
        format=_text(row.get("format")),
        quantization=_text(quantization.get("name")),
        bits_per_weight=_number(bits),
        size_bytes=_whole(row.get("size_bytes")),
        context_length=_whole(config.get("context_length")),
        parallel=_whole(config.get("parallel")),
        effort=_default_effort(row),
        is_choice=selected is not None and named is None,
    )
    if not loaded and selected:  # nothing is in memory yet that could be told of
        return replace(about, variant=None, **NOTHING)
    # Size and format are the chosen variant's, which is not the one in memory.
    return replace(about, **NOTHING) if named not in (None, selected) else about


def _lm_studio_v0(row: dict[str, Any], *_: object) -> Fingerprint:
    """A row of LM Studio's older listing, which tells only of what is in memory."""
    if row.get("state") == "not-loaded":
        return Fingerprint(name=_text(row.get("id")))
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


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < MOST else None


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
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value < MOST else None


# --- held against the card ------------------------------------------------------------


def _checks(settings: Settings, sources: list[Fingerprint]) -> Iterator[Compared]:
    """Each thing of the card beside what the sources say of it."""
    wanted = _variant(settings.model)
    named = [said for said in sources if said.name]
    if named:
        yield _worst([_name(settings, said) for said in named])
    if wanted:
        told = [_its_variant(wanted, said) for said in sources]
        yield _worst([Compared("variant", wanted, None, None), *told])
    for check in (_format, _quantization, _size):
        silent = check(settings.card, Fingerprint())
        told = [_weighed(check(settings.card, said), said) for said in sources]
        yield _worst([silent, *told])


def _worst(checks: list[Compared]) -> Compared:
    """The check that counts: one that disagrees, else one that agrees, else any."""
    ranks = (False, True, None)
    return min(checks, key=lambda check: ranks.index(check.agrees))


def _name(settings: Settings, said: Fingerprint) -> Compared:
    agrees = said.name == settings.identifier or served_as(settings.model, said.name)
    return Compared("name", settings.model, said.name, agrees)


def _its_variant(wanted: str, said: Fingerprint) -> Compared:
    agrees = None if said.variant is None else said.variant == wanted
    return _weighed(Compared("variant", wanted, said.variant, agrees), said)


def _weighed(check: Compared, said: Fingerprint) -> Compared:
    """A check by its source: that a variant is chosen is no proof that it is loaded."""
    return replace(check, agrees=None) if said.is_choice and check.agrees else check


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
        f"{check.what} {shown(check.what, check.server)}, not "
        f"{shown(check.what, check.card)}"
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
    if said.is_choice:
        return (
            f"{settings.base_url} says which variant of {said.name} is chosen, not "
            "which one is loaded."
        )
    return f"{settings.base_url} does not say enough to tell the weights from others."


def shown(what: str, value: Any) -> str:
    """One side of a comparison in words; sizes in GB (10⁹ bytes)."""
    if what == "size" and isinstance(value, int):
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value:,} bytes"
    return str(value)
