"""Identity: the server's own word on which weights answer, held against the card.

Names prove little: one server answers to any name, another echoes the one it was asked
for. A format, a quantization and a size in bytes are harder to mistake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from igaku.errors import WrongModel
from igaku.params.settings import Settings
from igaku.server.fingerprint import (
    NOTHING,
    Facts,
    Fingerprint,
    fingerprints,
    instances_of,
    listed_rows,
    merged,
    of_reply,
    served_as,
    variant_of,
)
from igaku.server.parts import Parts

TOLERANCE = 0.01  # of the size; two recipes of one model can be 0.5 % apart
ROUNDED = 5e6  # bytes that two decimals of a GB may hide
SIZES = ("size_bytes", "tensor_bytes", "size_gb")  # GB are 10⁹ bytes
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
class Compared:
    """One thing of the card beside the server's word; None where one is silent."""

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
        told = asdict(self)
        said = told.pop("fingerprint").items()
        return told | {
            "source": self.fingerprint.source,
            "fingerprint": {n: v for n, v in said if v not in (None, False)},
        }

    def accepted(self) -> Identity:
        """The identity itself; other weights than the card's are refused."""
        if self.status == "wrong_model":
            raise WrongModel(str(self.why))
        return self


def identify(
    settings: Settings,
    facts: Facts,
    raw: object = None,
    doubt: bool = True,
) -> Identity:
    """The identity of what a server serves, by its listings and one reply's body.

    Every source is held against the card by itself, and one that disagrees outweighs
    all that agree. `doubt=False` leaves out what a reply may yet clear up.
    """
    sources = fingerprints(facts, settings.model, settings.identifier)
    replied = of_reply(raw)
    sources += [replied] if replied.source else []
    said = merged(sources)
    held = list(_weighty(settings, sources, doubt))
    checks = tuple(_checks(settings, held))
    agreed = {check.what: check.agrees for check in checks}
    if False in agreed.values():
        return Identity("wrong_model", checks, _wrong(settings, checks, said), said)
    of_card = (_format(settings, replied), _quantization(settings, replied))
    by_reply = "variant" in agreed and all(check.agrees for check in of_card)
    if agreed["size"] or by_reply:
        return Identity("verified", checks, None, said)
    return Identity("unverified", checks, _unknown(settings, said), said)


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
        elif said.variant == variant_of(settings.model):
            yield replace(said, is_choice=not better)
        elif doubt and not better:
            yield said
        else:
            yield replace(said, variant=None, **NOTHING)


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


def contradiction(
    settings: Settings, reply: Parts, facts: Facts | None = None
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
    said = of_reply(reply.raw)
    checks = (_format(settings, said), _quantization(settings, said))
    is_other = any(check.agrees is False for check in checks)
    return _wrong(settings, checks, said) if is_other else None


# --- held against the card ------------------------------------------------------------


def _checks(settings: Settings, sources: list[Fingerprint]) -> Iterator[Compared]:
    """Each thing of the card beside what the sources say of it.

    A source that disagrees counts before one that agrees, and that before a silent one.
    """
    ranks = (False, True, None)
    looks = [_format, _quantization, _size]
    looks = [_variant, *looks] if variant_of(settings.model) else looks
    for look in [_name, *looks]:
        told = [look(settings, Fingerprint())]
        for said in sources:
            check = look(settings, said)
            # That a variant is chosen is no proof that it is loaded.
            is_proof = look is _name or not (said.is_choice and check.agrees)
            told.append(check if is_proof else replace(check, agrees=None))
        counted = min(told, key=lambda check: ranks.index(check.agrees))
        if look is not _name or counted.server:
            yield counted


def _name(settings: Settings, said: Fingerprint) -> Compared:
    is_own = said.name == settings.identifier or served_as(settings.model, said.name)
    agrees = is_own if said.name else None
    return Compared("name", settings.model, said.name, agrees)


def _variant(settings: Settings, said: Fingerprint) -> Compared:
    wanted = variant_of(settings.model)
    agrees = None if said.variant is None else said.variant == wanted
    return Compared("variant", wanted, said.variant, agrees)


def _format(settings: Settings, said: Fingerprint) -> Compared:
    told = settings.card.get("format")
    pair = (_family(told), _family(said.format))
    agrees = None if None in pair else pair[0] == pair[1]
    return Compared("format", told, said.format, agrees)


def _family(name: object) -> str | None:
    """The file format behind a name: LM Studio calls a folder of safetensors mlx."""
    text = str(name or "").casefold()
    if "gguf" in text:
        return "gguf"
    return "safetensors" if "safetensors" in text or "mlx" in text else None


def _quantization(settings: Settings, said: Fingerprint) -> Compared:
    """By bits, as each program has words of its own for a mixed recipe."""
    told = settings.card.get("quantization")
    wanted, given = bits_in(told), bits_in(said.quantization)
    agrees = given <= wanted if wanted and given else None
    return Compared("quantization", told, said.quantization, agrees)


def bits_in(text: object) -> frozenset[int]:
    """The bit widths that the name of a quantization speaks of."""
    return frozenset(
        int(match[1]) if bits is None else bits
        for pattern, bits in BITS
        for match in re.finditer(pattern, str(text or ""), re.IGNORECASE)
    )


def _size(settings: Settings, said: Fingerprint) -> Compared:
    """By bytes, of the files or of the tensors alone: servers count either."""
    card = settings.card
    told = card.get("size_gb")
    known = [card.get("size_bytes"), card.get("tensor_bytes")]
    known += [told * 1e9] if isinstance(told, int | float) else []
    sizes = [size for size in known if isinstance(size, int | float) and size > 0]
    if not sizes or said.size_bytes is None:
        return Compared("size", next(iter(sizes), None), said.size_bytes, None)
    given = said.size_bytes
    nearest = min(sizes, key=lambda size: abs(given / size - 1))
    rounded = ROUNDED if isinstance(told, float) and nearest == told * 1e9 else 0
    agrees = abs(given - nearest) <= max(TOLERANCE * nearest, rounded)
    return Compared("size", round(nearest), given, agrees)


def differing(checks: Iterable[Compared]) -> list[str]:
    """What disagrees, in words: the server's, and the card's."""
    return [
        f"{check.what} {shown(check.what, check.server)}, not "
        f"{shown(check.what, check.card)}"
        for check in checks
        if check.agrees is False
    ]


def size_key(said: Fingerprint) -> str:
    """The key of a card that holds a size as this server counts it.

    llama.cpp counts the bytes of the tensors alone, all others those of the files.
    """
    by_tensors = said.format == "gguf" and "/v1/models" in (said.source or "")
    is_other = "/api/" in (said.source or "")
    return "tensor_bytes" if by_tensors and not is_other else "size_bytes"


def _wrong(settings: Settings, checks: tuple[Compared, ...], said: Fingerprint) -> str:
    mends = [
        f"{size_key(said) if check.what == 'size' else check.what}: {check.server}"
        for check in checks
        if check.agrees is False and check.what in ("format", "quantization", "size")
    ]
    card = f"the card in params/ ({', '.join(mends)})" if mends else "the card"
    return (
        f"{settings.base_url} does not serve the weights of {settings.slug}'s card "
        f"({', '.join(differing(checks))}): load {settings.model}, or, where these are "
        f"the weights that are meant, correct {card}."
    )


def _unknown(settings: Settings, said: Fingerprint) -> str:
    if not settings.card:
        return (
            f"There is no params/{settings.slug}.yaml to hold the server's word "
            f"against: `igaku card {settings.model} --write` makes one of it."
        )
    if not any(settings.card.get(name) for name in SIZES):
        size = f" ({size_key(said)}: {said.size_bytes})" if said.size_bytes else ""
        return (
            f"The card of {settings.slug} has no size to compare the server's{size} "
            "with: add it."
        )
    if said.size_bytes is None and said.format is None and said.quantization is None:
        return f"{settings.base_url} says nothing of the weights it serves."
    if said.is_choice:
        return (
            f"{settings.base_url} says which variant of {said.name} is chosen, not "
            "which one is loaded."
        )
    return f"{settings.base_url} does not say enough to tell the weights from others."


def shown(what: str, value: Any) -> str | None:
    """One side of a comparison in words; sizes in GB (10⁹ bytes)."""
    if what == "size" and isinstance(value, int | float):
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{value:,.0f} bytes"
    return None if value is None else str(value)
