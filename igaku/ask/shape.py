"""What a manifest must look like to be believed: one rule for all who read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from igaku.ask.folder import MANIFEST, Manifest, is_file
from igaku.ask.rows import check_text, is_deep, strictly
from igaku.errors import IgakuError

FORMAT = 1

_DICT, _TEXT = dict | None, str | None
SHAPES: dict[str, Any] = {
    **dict.fromkeys(("run", "origin", "status", "cause", "why", "start", "end"), _TEXT),
    **dict.fromkeys(("prompt_sha256", "condition_sha256"), _TEXT),
    **dict.fromkeys(("outcomes", "early_stop", "condition", "order"), _DICT),
    **dict.fromkeys(("settings", "card", "published", "sampling"), _DICT),
    **dict.fromkeys(("server_before", "server_after", "identity"), _DICT),
    **dict.fromkeys(("effort", "declared", "rebuilt"), _DICT),
    "exam": dict | str | int | None,
    "correct": int | None,
    "sessions": list | None,
    "questions": list | None,
}

# What tables and figures are grouped by, or call a run.
NAMED = {
    "settings": ("model", "slug", "run", "base_url"),
    "card": ("label", "label_en", "lm_studio_name", "huggingface_id", "base_model",
             "origin", "format", "quantization", "color", "marker"),
}  # fmt: skip


class Newer(IgakuError):
    """A manifest that a later igaku wrote, which this one cannot understand."""


def read_manifest(folder: Path) -> Manifest:
    """What can be believed of a run's manifest; empty where there is none to read."""
    try:
        return examined(folder)[0]
    except IgakuError:
        return {}


def examined(folder: Path) -> tuple[Manifest, str | None]:
    """What can be believed of a run's manifest, and what is wrong with it in words.

    Raises `Newer` where it is of a later format, which nobody may write over.
    """
    path = folder / MANIFEST
    name = f"{folder.name}/{MANIFEST}"
    if not is_file(path):
        return {}, f"{name} is missing"
    try:
        data = path.read_bytes()
        check_text(data)
    except OSError as refused:
        return {}, f"{name} cannot be read ({refused.strerror})"
    except ValueError:
        return {}, f"{name} cannot be read (it is not text in UTF-8)"
    told = strictly(data)
    if not isinstance(told, dict):
        return {}, f"{name} cannot be read ({unreadable(data, told)})"
    return believed(told, name)


def unreadable(data: bytes, told: Any) -> str:
    """Why the bytes of a manifest are none."""
    if not data.strip(b" \r\n\t\0"):
        return "it is empty"
    if is_deep(data):
        return "it is nested too deep"
    return "it is not a JSON object" if told is not None else "it is torn, or not JSON"


def believed(told: Mapping[str, Any], name: str) -> tuple[Manifest, str | None]:
    """The parts of a manifest that are of their kind, and which are not, in words."""
    version = told.get("format", FORMAT)
    if type(version) is int and version > FORMAT:
        raise Newer(
            f"{name} is of format {version}, and this igaku knows those up to "
            f"{FORMAT}: update igaku, then go on; nothing was changed."
        )
    wrong = [] if type(version) is int and version > 0 else ["format"]
    wrong += [n for n, kind in SHAPES.items() if not isinstance(told.get(n), kind)]
    parts = ("sessions", "questions", "exam", "order", *NAMED)
    wrong += [n for n in parts if n not in wrong and not _is_whole(n, told.get(n))]
    sound = {n: value for n, value in told.items() if n not in wrong}
    said = (
        f"{name} holds something else than it should under {', '.join(sorted(wrong))}"
    )
    return sound, said if wrong else None


def _is_whole(name: str, told: Any) -> bool:
    """Whether what a list, the exam or a part with names holds is of its kind too."""
    if name == "exam":
        return not isinstance(told, dict) or isinstance(told.get("files", {}), dict)
    if name == "order":
        return told is None or type(told.get("seed")) is int
    if name in NAMED:
        texts = ((told or {}).get(text) for text in NAMED[name])
        return all(isinstance(text, _TEXT) for text in texts)
    entries = told or []
    if name == "sessions":
        return all(isinstance(each, dict) for each in entries)
    return all(
        isinstance(each, dict) and isinstance(each.get("problem_id"), str)
        for each in entries
    )


def advice(folder: Path) -> str:
    """The one command that heals a run's folder, as every message names it."""
    return f"`igaku repair {folder.name}` shows what can be rebuilt from its answers"
