"""What each parameter of a run may be: its type, its range, its spelling.

A rule takes the name and the value, and returns the value or refuses it in a sentence.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from igaku import paths
from igaku.errors import IgakuError
from igaku.exam import igakuqa

EXAMS = (*igakuqa.EXAMS, "calibration")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
LAB = "lab"  # the base_url of an embedded model: its notebook starts the server

# What a reply is asked with stands in `settings`; `extra_body` adds to it, never twice.
OWN_BODY_KEYS = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature"),
    *("top_p", "seed", "reasoning_effort", "stream", "n"),
)

SECRET = re.compile(r"api_?(key|token)|secret|password|authoriz", re.IGNORECASE)

Rule = Callable[[str, Any], Any]


def reject_unknown(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Refuse a name that is not known, and say which one was probably meant."""
    for name in names:
        if name in known:
            continue
        if SECRET.search(str(name)):
            raise IgakuError(
                f"The {what} {name} would be written into notebooks and manifests: "
                "set the environment variable IGAKU_API_KEY instead."
            )
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
        raise IgakuError(f"There is no {what} {name}: {hint}")


def _refuse(name: str, value: Any, wanted: str) -> IgakuError:
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return IgakuError(f"{name} is {shown}, but must be {wanted}.")


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool | int | float):
        raise _refuse(name, value, "text (papermill -r keeps what looks like a number)")
    if not isinstance(value, str) or not value.strip():
        raise _refuse(name, value, "text, and not empty")
    return value.strip()


def _maybe_text(name: str, value: Any) -> str:
    """Text, or nothing written at all."""
    return "" if value == "" else _text(name, value)


def _folder(name: str, value: Any) -> str:
    text = _maybe_text(name, value)
    plain = re.fullmatch(r"[^\\/:*?\"<>|\x00-\x1f]{0,100}", text)
    if not plain or text.startswith(".") or text.endswith("."):
        raise _refuse(name, value, "a plain folder name, such as openai-8bit-low")
    return text


def _run(name: str, value: Any) -> str:
    """The name of a run that is there, which is never empty."""
    return _folder(name, _text(name, value))


def _address(name: str, value: Any) -> str:
    text = _text(name, value)
    if text == LAB:
        return text
    if not re.match(r"https?://[^/\s]+", text) or re.search(r"\s", text):
        raise _refuse(
            name, value, "a server's address, such as http://127.0.0.1:1234/v1"
        )
    if re.match(r"https?://[^/]*@", text):
        raise IgakuError(
            f"{name} holds a user name or password, and would be written into "
            "manifests: set the environment variable IGAKU_API_KEY instead."
        )
    return text.rstrip("/")


def _exam(name: str, value: Any) -> int | str:
    year = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(year) not in (int, str) or year not in EXAMS:
        raise _refuse(name, value, "a year from 2018 to 2022, or calibration")
    return year


def _sections(name: str, value: Any) -> str:
    letters = _text(name, value).upper()
    if not re.fullmatch("[A-F]{1,6}", letters) or len(set(letters)) < len(letters):
        raise _refuse(name, value, "letters from A to F, each once, such as ABCDEF")
    return "".join(sorted(letters))


def _whole(low: int, high: int, name: str, value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not low <= value <= high
    ):
        raise _refuse(name, value, f"a whole number from {low} to {high}")
    return value


def _number(low: float, high: float, above: bool, name: str, value: Any) -> float:
    wanted = f"a number {'above' if above else 'from'} {low:g} to {high:g}"
    if isinstance(value, str):
        raise _refuse(name, value, f"{wanted} (in YAML write 0.001 or 1.0e-3)")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(name, value, wanted)
    # NaN compares false with everything, and so fails here as well.
    if not (low < value <= high if above else low <= value <= high):
        raise _refuse(name, value, wanted)
    return float(value)


def _one_of(words: Sequence[str], name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in words:
        raise _refuse(name, value, f"one of {', '.join(words)}")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refuse(name, value, "True or False, with a capital after papermill -p")
    return value


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise _refuse(name, value, "the path of a folder")
    path = Path(value).expanduser()
    return path if path.is_absolute() else (paths.ROOT / path)


def _prompt(name: str, value: Any) -> str:
    """The name of a prompt, or of a file; a relative path starts at the checkout."""
    text = _text(name, value)
    path, mark, key = text.partition("#")
    is_file = path.endswith((".yaml", ".yml", ".json"))
    return f"{_path(name, path)}{mark}{key}" if is_file else text


def _optional(rule: Rule, name: str, value: Any) -> Any:
    return None if value is None else rule(name, value)


def _extra_body(name: str, value: Any) -> dict[str, Any]:
    body = _mapping(name, value)
    for key in body:
        # A null takes a parameter out of the request: some models refuse temperature.
        removed = body[key] is None and key not in ("model", "messages")
        if key in OWN_BODY_KEYS and not removed:
            raise IgakuError(
                f"{name} sets {key}: that is igaku's to send, so use the parameter of "
                "that name where there is one, and leave it out here."
            )
    reject_unknown((key for key in body if SECRET.search(key)), (), f"key of {name}")
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as broken:
        raise _refuse(name, value, f"a mapping that JSON can hold ({broken})") from None
    return deepcopy(body)


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _refuse(name, value, "a mapping, which only a YAML file can give (-f)")
    for key in value:
        if not isinstance(key, str):
            raise IgakuError(f"{name} has the key {key!r}: put it in quotes.")
    return dict(value)


def _keyed(rules: Mapping[str, Rule], name: str, value: Any) -> dict[str, Any]:
    """A mapping whose keys are known and whose values are each checked."""
    found = _mapping(name, value)
    reject_unknown(found, rules, f"key of {name}")
    return {
        key: rules[key](f"{name}.{key}", each)
        for key, each in found.items()
        if each is not None
    }


def _each(rule: Rule, name: str, value: Any) -> dict[str, Any]:
    """A mapping whose keys are free and whose values are all of one kind."""
    found = _mapping(name, value)
    return {key: rule(f"{name}.{key}", each) for key, each in found.items()}


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _refuse(name, value, "a list of texts")
    return [_text(name, each) for each in value]


def _colour(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
        raise _refuse(name, value, 'a colour such as "#0072B2", in quotes')
    return value


def _printed(name: str, value: Any) -> int | str:
    """A count as it was printed, which may be "60+"."""
    if isinstance(value, str) and re.fullmatch(r"\d+\+", value):
        return value
    return _count(name, value)


MARKERS = tuple("os^vDP*XphHd8<>")

_count = partial(_whole, 0, 10**9)
_percent = partial(_number, 0, 100, False)
_size = partial(_number, 0, 1e6, True)

CARD: dict[str, Rule] = {
    "label": _text,
    "label_en": _text,
    "color": _colour,
    "marker": partial(_one_of, MARKERS),
    "origin": partial(_one_of, ("seed", "reference", "lab")),
    "lm_studio_name": _text,
    "huggingface_id": _text,
    "base_model": _text,
    "format": _text,
    "quantization": _text,
    "file_name": _text,
    "size_gb": _size,
    "size_bytes": _count,
    "tensor_bytes": _count,
    "bits_per_weight": partial(_number, 0, 32, True),
    "parameters": _text,
    "architecture": _text,
    "context_length": _count,
    "vision": _truth,
    "tool_use": _truth,
    "tools": _texts,
    "reasoning_efforts": _texts,
    "tokenizer": partial(_keyed, {"bos": _text, "eos": _text, "pad": _text}),
    "license": _text,
    "knowledge_cutoff": _text,
    "downloads": _count,
    "released": _text,
    "note": _text,
    "note_en": _text,
    "recipe": _text,
    "study": _text,
    "engine": _text,
}
SECTION: dict[str, Rule] = {
    "questions": _count,
    "correct": _count,
    "accuracy": _percent,
    "blank": _printed,
    "api_errors": _count,
}
SUMMARY: dict[str, Rule] = {
    "number": _count,
    "model": _text,
    "format": _text,
    "quantization": _text,
    "size": _text,
    "accuracy": _text,
    "state": _text,
    "downloads": _text,
}
# How the results in files of a name were asked, so that they can be imported.
RECORDED: dict[str, Rule] = {
    "max_tokens": partial(_whole, 1, 1_000_000),
    "shots": partial(_whole, 0, 3),
}
PUBLISHED: dict[str, Rule] = {
    "source": _text,
    "evaluated": _text,
    "exam": _exam,
    "condition": _text,
    "questions": _count,
    "correct": _count,
    "accuracy": _percent,
    "blank": _printed,
    "verdict": partial(_one_of, ("PASS", "FAIL", "BROKEN")),
    "remark": _text,
    "failure": _text,
    "sections": partial(
        _keyed, {s: partial(_keyed, SECTION) for s in igakuqa.SECTIONS}
    ),
    "summary": partial(_keyed, SUMMARY),
    "recorded": partial(_each, partial(_keyed, RECORDED)),
}
RULES: dict[str, Rule] = {
    "model": _text,
    "slug": _folder,
    "run": _folder,
    "base_url": _address,
    "load": _truth,
    "identifier": partial(_optional, _text),
    "context_length": partial(_optional, partial(_whole, 1, 10_000_000)),
    "exam": _exam,
    "sections": _sections,
    "limit": partial(_optional, partial(_whole, 1, 10_000)),
    "lost_of": partial(_optional, _run),
    "shots": partial(_whole, 0, 3),
    "prompt": _prompt,
    "language": partial(_one_of, ("ja", "en")),
    "serial_context": partial(_one_of, ("as_released", "joined")),
    "max_tokens": partial(_whole, 1, 1_000_000),
    "temperature": partial(_number, 0, 2, False),
    "top_p": partial(_number, 0, 1, True),
    "seed": partial(_optional, partial(_whole, 0, 2**63 - 1)),
    "reasoning_effort": partial(_optional, partial(_one_of, EFFORTS)),
    "extra_body": _extra_body,
    "concurrency": partial(_whole, 1, 256),
    "timeout": partial(_number, 0, 86_400, True),
    "stop_when_broken": _truth,
    "outputs_dir": _path,
    "data_dir": partial(_optional, _path),
    "card": partial(_keyed, CARD),
    "published": partial(_keyed, PUBLISHED),
}
