"""Models: of `params/`, of a server, and a card made of the server's word.

A server may call a model by any name, so a file of `params/` is held against what is
listed as a run would be: by format, quantization and size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths, writing
from igaku.errors import IgakuError
from igaku.params.settings import Settings, files_in, read_file, settings_from, slugs
from igaku.server.client import server_facts
from igaku.server.effect import EFFORTS
from igaku.server.fingerprint import (
    Facts,
    Fingerprint,
    fingerprint,
    is_loaded,
    listed_models,
    listed_rows,
    names_of,
    rows_of,
    served_as,
)
from igaku.server.identity import differing, identify, size_key
from igaku.server.parts import at, text_of, whole

if TYPE_CHECKING:
    import pandas as pd

MODELS = (
    "slug", "server", "fit", "loaded", "format", "quantization", "size_gb", "differs",
)  # fmt: skip
FITS = {"verified": "fits", "wrong_model": "differs", "unverified": "not told"}
# Where servers tell the longest context a model was made for, and what it can do.
LONGEST = ("max_context_length", "meta.n_ctx_train", "max_model_len")
CAN = {"vision": "vision", "tool_use": "trained_for_tool_use"}
TO_FILL_IN = {
    "label": "what tables and figures call it",
    "huggingface_id": "owner/name, where the weights come from",
    "base_model": "the model that was quantized",
    "size_gb": "of the files, in GB of 10⁹ bytes",
    "reasoning_efforts": "[low, medium, high], where it has any",
    "license": "as its page says",
}


def models(base_url: str | None = None) -> tuple[pd.DataFrame, str]:
    """Every model of `params/`, then those that only the server has; and its address.

    `slug`: of its file, missing where it has none. `server`: what the server calls it,
    missing where it is not there. `fit`: "fits" (the server's word confirms the card),
    "differs" (`differs` says in what), or "not told". `loaded`: whether it is in
    memory, missing where nobody says. `format quantization size_gb`: the card's, or the
    server's; GB are 10⁹ bytes. Embedded models count where this server has them.

    >>> found, address = models()  # doctest: +SKIP
    >>> found[["slug", "server", "fit"]].head(1)  # doctest: +SKIP
              slug                   server   fit
    0  openai-8bit  openai/gpt-oss-20b@8bit  fits
    """
    import pandas as pd

    address = settings_from(model="any", base_url=base_url).base_url
    facts = server_facts(address)
    own = [settings_from(model=slug, base_url=base_url) for slug in slugs()]
    rows = [
        row
        for settings in own
        if (row := _of_file(settings, facts))["server"] or settings.origin != "lab"
    ]
    rows += [
        _of_server(name, facts)
        for name in _first_names(facts)
        if not any(served_as(settings.model, name, facts) for settings in own)
    ]
    return pd.DataFrame(rows, columns=list(MODELS)), address


def _of_file(settings: Settings, facts: Facts) -> dict[str, Any]:
    name = next(
        (n for n in listed_models(facts) if served_as(settings.model, n, facts)), None
    )
    card, size = settings.card, settings.card.get("size_gb")
    size = size or _gb(card.get("size_bytes") or card.get("tensor_bytes"))
    row: dict[str, Any] = {"slug": settings.slug, "size_gb": size, "server": name}
    row |= {key: card.get(key) for key in ("format", "quantization")}
    if name is None:
        return row
    found = identify(settings, facts, doubt=False)
    wrong = "; ".join(differing(found.checks))
    fits = {"fit": FITS[found.status], "differs": wrong or None}
    return row | fits | {"loaded": is_loaded(facts, settings.model)}


def _of_server(name: str, facts: Facts) -> dict[str, Any]:
    said = fingerprint(facts, name)
    row = {"server": name, "loaded": is_loaded(facts, name), "format": said.format}
    return row | {"quantization": said.quantization, "size_gb": _gb(said.size_bytes)}


def _first_names(facts: Facts) -> list[str]:
    """One name for every model that is listed, whatever path lists it."""
    first = (next(names_of(row), None) for row in listed_rows(facts))
    return list(dict.fromkeys(name for name in first if name))


def _gb(size: int | None) -> float | None:
    return float(f"{size / 1e9:.3g}") if size else None


# --- a card from the server's word ----------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A model's file of `params/`, made of what a server says.

    `text` is YAML; what the server does not say is a commented line. `card` holds the
    keys that it did say.
    """

    slug: str
    card: dict[str, Any]
    text: str


def card_from(model: str, base_url: str | None = None) -> Written:
    """What a server says of a model, as the file of its own that it could have."""
    settings = settings_from(model=model, base_url=base_url)
    facts = server_facts(settings.base_url, settings.model)
    said, rows = fingerprint(facts, settings.model), rows_of(facts, settings.model)
    if not rows:
        known = ", ".join(_first_names(facts)) or "no model"
        raise IgakuError(
            f"{settings.base_url} says nothing of {settings.model}: it lists {known}. "
            "Start it, load the model, give its name as listed, or another server's "
            "address as base_url."
        )
    found = _card(said, rows)
    asked = {"model": settings.model, "base_url": settings.base_url}
    head = f"# By `igaku card`, of what the server said at {said.source}."
    lines = [head, *_yaml(asked), "", "card:" if found else "card: {}"]
    lines += [f"  {line}" for line in _yaml(found)]
    missing = {name: why for name, why in TO_FILL_IN.items() if name not in found}
    if {"size_bytes", "tensor_bytes"} & found.keys():
        missing.pop("size_gb")
    lines += [f"  # {name}:  # {why}" for name, why in missing.items()]
    return Written(settings.slug, found, "\n".join(lines) + "\n")


def save_card(model: str, base_url: str | None = None) -> Path:
    """Write the file of a model, where it has none; else say what differs."""
    made = card_from(model, base_url)
    if paths.WORKBOOK is None:
        raise IgakuError(
            f"{Path.cwd()} is no workbook folder: make one with `igaku new FOLDER` and "
            "write the card in it."
        )
    there = {file.stem: file for file in (*files_in("lab"), *files_in())}
    path = there.get(made.slug, paths.PARAMS / f"{made.slug}.yaml")
    if path.exists():
        told = read_file(path).values.get("card") or {}
        lines = [
            f"{name}: {value} (there: {told.get(name, 'nothing')})"
            for name, value in made.card.items()
            if told.get(name) != value
        ]
        differs = "; ".join(lines) or "nothing differs"
        raise IgakuError(
            f"{path} is there already and stays as it is. The server says {differs}."
        )
    writing.create(path, made.text)
    return path


def _card(said: Fingerprint, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The keys of a card that the server's word fills, in the order of cards."""
    longest = [whole(at(row, place)) for row in rows for place in LONGEST]
    names = (text_of(row.get("architecture")) for row in rows)
    found: dict[str, Any] = {
        "format": said.format,
        "quantization": said.quantization,
        size_key(said): said.size_bytes,
        "bits_per_weight": said.bits_per_weight,
        "architecture": next(filter(None, names), None),
        "context_length": max(filter(None, longest), default=None),
    }
    for name, place in CAN.items():
        told = (at(row, f"capabilities.{place}") for row in rows)
        found[name] = next((each for each in told if isinstance(each, bool)), None)
    efforts = next((e for row in rows if (e := at(row, EFFORTS))), None)
    is_list = isinstance(efforts, list) and all(isinstance(e, str) for e in efforts)
    found["reasoning_efforts"] = efforts if is_list else None
    return {name: value for name, value in found.items() if value is not None}


def _yaml(mapping: Mapping[str, Any]) -> list[str]:
    import yaml

    told = {
        name: yaml.safe_dump(value, allow_unicode=True, default_flow_style=True)
        for name, value in mapping.items()
    }
    return [f"{name}: {text.splitlines()[0]}" for name, text in told.items()]
