"""What a manifest must look like to be believed: one rule for all who read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from igaku.ask.folder import MANIFEST, Manifest, is_file
from igaku.ask.rows import strictly
from igaku.errors import IgakuError
from igaku.params.settings import Role, checked, of_role

FORMAT = 1
STATUSES = ("OK", "INCOMPLETE", "BROKEN")

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


def examined(
    folder: Path, known: dict[bytes, Any] | None = None
) -> tuple[Manifest, str | None]:
    """What can be believed of a run's manifest, and what is wrong with it in words.

    Questions that are among the `known` by their very bytes are not parsed again, and
    others are added there. Raises `Newer` where it is of a later format, which nobody
    may write over.
    """
    path = folder / MANIFEST
    name = f"{folder.name}/{MANIFEST}"
    if not is_file(path):
        return {}, f"{name} is missing"
    try:
        data = path.read_bytes()
    except OSError as refused:
        return {}, f"{name} cannot be read ({refused.strerror})"
    listed = b"" if known is None else _listed(data)
    again = (known or {}).get(listed)
    told = strictly(data.replace(listed, b"null", 1) if again else data)
    if not isinstance(told, dict):
        return {}, f"{name} cannot be read (it is torn, or no JSON object)"
    found, trouble = believed(told, name)
    if again:
        found["questions"] = again
    elif known is not None and listed and found.get("questions"):
        known[listed] = found["questions"]
    return found, trouble


class _Listed(msgspec.Struct):
    questions: msgspec.Raw = msgspec.Raw(b"")


def _listed(data: bytes) -> bytes:
    """The part of a manifest that lists its questions, as it stands; empty for none."""
    try:
        return bytes(msgspec.json.decode(data, type=_Listed).questions)
    except (ValueError, RecursionError):
        return b""


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
    parts = ("sessions", "questions", "exam", "order", "condition", *NAMED)
    wrong += [n for n in parts if n not in wrong and not _is_whole(n, told.get(n))]
    if "status" not in wrong and told.get("status") not in (None, *STATUSES):
        wrong.append("status")
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
    if name == "condition":
        return _is_condition(told or {})
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


def _is_condition(told: Mapping[str, Any]) -> bool:
    """Whether what a run was asked under could be settings; null is not known."""
    try:
        for name in of_role(Role.KEPT):
            if told.get(name) is not None:
                checked(name, told[name])
    except IgakuError:
        return False
    return True


def advice(folder: Path) -> str:
    """The one command that heals a run's folder, as every message names it."""
    return f"`igaku repair {folder.name}` shows what can be rebuilt from its answers"
