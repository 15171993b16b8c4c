"""The kinds of parameters: what each may be, and the sentence that refuses the rest.

A kind is an annotation: pydantic looks at the value, and whatever it has against it is
told in one sentence, with the parameter's name and what it must be. What may stand in
a card and in published results is here too, key by key.
"""

from __future__ import annotations

import json
import re
import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    PlainValidator,
    Strict,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from igaku import paths
from igaku.errors import IgakuError, meant
from igaku.exam import igakuqa
from igaku.exam.choices import AS_RELEASED
from igaku.redaction import carrier_in, credential_in

EXAMS = (*igakuqa.EXAMS, "calibration")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
LAB = "lab"  # the base_url of an embedded model: its notebook starts the server

# What a reply is asked with stands in `settings`; `extra_body` adds to it, never twice.
OWN_BODY_KEYS = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature"),
    *("top_p", "seed", "reasoning_effort", "stream", "n"),
)

SHELL = "$`!;&'(){}[]%^*?\"<>|\\/:"  # a space everyone quotes, and these few do
JOINERS = "\u200d"  # inside one emoji

HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})*\.?")
REQUEST_PATH = re.compile(r"/(?:chat/completions|completions|responses|models)/?$")
SECRET = re.compile(r"api_?(key|token)|secret|password|authoriz", re.IGNORECASE)


# --- sentences ------------------------------------------------------------------------


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
        hint = meant(str(name), known) or f"known are {', '.join(known)}."
        raise IgakuError(f"There is no {what} {name}: {hint}")


def refuse(broken: ValidationError, called: str = "") -> NoReturn:
    """Raise the sentence for the first value that pydantic refused.

    `called` names what was checked as a whole, where that has a name.
    """
    first = broken.errors(include_url=False)[0]
    name = ".".join(filter(None, [called, *map(str, first["loc"])]))
    told, value = first.get("ctx", {}), first["input"]
    if first["type"] == "unknown":
        reject_unknown([told["key"]], told["known"], f"key of {name}")
    if first["type"] == "told":
        raise IgakuError(f"{name} {told['words']}") from None
    wanted = told.get("words", first["msg"])
    if wanted == TEXT and isinstance(value, bool | int | float):
        wanted = "text (papermill -r keeps what looks like a number)"
    if wanted.startswith("a number") and isinstance(value, str):
        wanted = f"{wanted} (in YAML write 0.001 or 1.0e-3)"
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    raise IgakuError(f"{name} is {shown}, but must be {wanted}.") from None


def _accepted(_: object, given: Any, accept: Callable[[Any], Any]) -> Any:
    try:
        return accept(given)
    except ValidationError as broken:
        refuse(broken)


_BOUND: Any = classmethod(_accepted)
# Of a class: what pydantic has against its values is a sentence.
IN_A_SENTENCE = model_validator(mode="wrap")(_BOUND)


def _wanted(words: str, kind: str = "wanted") -> PydanticCustomError:
    """What a value must be, or, of the kind "told", what is wrong with it."""
    return PydanticCustomError(kind, "{words}", {"words": words})


# --- kinds ----------------------------------------------------------------------------


@dataclass(eq=False)
class Wanted:
    """What a value must be, in words, whatever pydantic has against it.

    `schema` is how pydantic looks at it, where the annotated type does not say.
    """

    words: str
    schema: CoreSchema | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        worded = core_schema.custom_error_schema(
            self.schema or handler(source),
            "wanted",
            custom_error_message="{words}",
            custom_error_context={"words": self.words},
        )
        takes_none = type(None) in get_args(source)
        return core_schema.nullable_schema(worded) if takes_none else worded


def whole(low: int, high: int) -> Wanted:
    """A whole number from low to high."""
    schema = core_schema.int_schema(strict=True, ge=low, le=high)
    return Wanted(f"a whole number from {low} to {high}", schema)


def number(low: float, high: float) -> Wanted:
    """A number from low to high."""
    schema = core_schema.float_schema(strict=True, ge=low, le=high)
    return Wanted(f"a number from {low:g} to {high:g}", schema)


def above(low: float, high: float) -> Wanted:
    """A number above low, up to high."""
    schema = core_schema.float_schema(strict=True, gt=low, le=high)
    return Wanted(f"a number above {low:g} to {high:g}", schema)


def one_of(*words: str) -> Wanted:
    """One of a few words."""
    schema = core_schema.literal_schema(list(words))
    return Wanted(f"one of {', '.join(words)}", schema)


@dataclass(eq=False)
class Keyed:
    """A mapping whose keys are known, each with its kind; a None is left out."""

    known: Mapping[str, Any]

    def __get_pydantic_core_schema__(
        self, _: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        fields = {
            key: core_schema.typed_dict_field(handler.generate_schema(kind))
            for key, kind in self.known.items()
        }
        schema = core_schema.typed_dict_schema(fields, total=False)
        return core_schema.no_info_before_validator_function(self.given, schema)

    def given(self, value: Any) -> dict[str, Any]:
        """What a mapping gives, once its keys are known."""
        found = _mapping(value)
        for key in found:
            if key not in self.known:
                told = {"key": key, "known": list(self.known)}
                raise PydanticCustomError("unknown", "unknown", told)
        return {key: each for key, each in found.items() if each is not None}


def _keyed(known: Mapping[str, Any]) -> Any:
    return Annotated[dict[str, Any], Keyed(known)]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wanted("a mapping, which only a YAML file can give (-f)")
    for key in value:
        if not isinstance(key, str):
            raise _wanted(f"has the key {key!r}: put it in quotes.", "told")
    return dict(value)


def _folder(text: str) -> str:
    if text.startswith(".") or text.endswith(".") or len(text) > 100:
        raise _wanted("a plain folder name, such as openai-8bit-low")
    if odd := _misread(text):
        told = "which a shell, a terminal or a disk misreads: give a plain folder name"
        raise _wanted(f"has {odd}, {told}, such as openai-8bit-low.", "told")
    return text


def _misread(name: str) -> str | None:
    """The character of a folder's name that a shell or a terminal takes for another.

    >>> _misread("第116回 🩺 low"), _misread("$HOME"), _misread("-p")
    (None, "'$'", "'-' at its start")
    """
    for character in name:
        # Marks of direction, of control and of nothing; joiners belong to emoji.
        is_unseen = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        if is_unseen and character not in JOINERS:
            return f"the character U+{ord(character):04X}"
        if character in SHELL:
            return f"{character!r}"
    ends = {name[:1], name[-1:]}
    if blank := next((c for c in ends if c.isspace()), ""):
        return f"the blank U+{ord(blank):04X} at an end"
    return f"{name[0]!r} at its start" if name[:1] in ("-", "~", "#") else None


def _address(text: str) -> str:
    if text == LAB:
        return text
    _refuse_secret(credential_in(text))
    if not re.match(r"https?://[^/\s]+", text) or re.search(r"\s", text):
        raise _wanted("a server's address, such as http://127.0.0.1:1234/v1")
    if broken := _broken_address(text):
        raise _wanted(f"is {text[:60]!r}, {broken}", "told")
    return text.rstrip("/")


def _broken_address(text: str) -> str | None:
    """Why no server can be at an address, with the way out; None where one can."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "where brackets must be as in http://[::1]:1234/v1."
    try:
        is_port = parts.port != 0
    except ValueError:
        is_port = False
    if not is_port:
        return "whose port must be a number from 1 to 65535."
    host = parts.hostname or ""
    if ":" not in host and (len(host) > 253 or not HOST.fullmatch(host)):
        return "whose host is no name that a server can have: see which was meant."
    if said := REQUEST_PATH.search(parts.path):
        return f"where {said[0]} is igaku's to add: leave it out."
    return None


def _refuse_secret(found: str | None) -> None:
    """Refuse what would be written down, by what of it may be told."""
    if found:
        raise _wanted(
            f"holds {found}, and would be written into notebooks and manifests: set "
            "the environment variable IGAKU_API_KEY instead, and delete the "
            "notebook that was executed with it, if one was.",
            "told",
        )


def _exam(value: Any) -> int | str:
    year = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(year) is int and (found := igakuqa.by_number(year)) != year:
        told = f"{year} is the exam of {found}, by which igaku names it."
        warnings.warn(told, stacklevel=2)
        year = found
    if type(year) not in (int, str) or year not in EXAMS:
        raise _wanted("a year from 2018 to 2022, or calibration")
    return year


def _choice_order(value: Any) -> int | str:
    is_seed = type(value) is int and value >= 0
    if not is_seed and value != AS_RELEASED:
        raise _wanted(f"{AS_RELEASED}, or a whole number from 0 that shuffles choices")
    return int(value) if is_seed else AS_RELEASED


def _sections(text: str) -> str:
    letters = text.upper()
    if not re.fullmatch("[A-F]{1,6}", letters) or len(set(letters)) < len(letters):
        raise _wanted("letters from A to F, each once, such as ABCDEF")
    return "".join(sorted(letters))


def _place(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip():
        raise _wanted("the path of a folder")
    path = Path(value).expanduser()
    return path if path.is_absolute() else (paths.ROOT / path)


def _wording(text: str) -> str:
    """The name of a prompt, or of a file; a relative path starts at the checkout."""
    path, mark, key = text.partition("#")
    is_file = path.endswith((".yaml", ".yml", ".json"))
    return f"{_place(path)}{mark}{key}" if is_file else text


def _extra_body(value: Any) -> dict[str, Any]:
    body = _mapping(value)
    for key in body:
        # A null takes a parameter out of the request: some models refuse temperature.
        removed = body[key] is None and key not in ("model", "messages")
        if key in OWN_BODY_KEYS and not removed:
            raise _wanted(
                f"sets {key}: that is igaku's to send, so use the parameter of that "
                "name where there is one, and leave it out here.",
                "told",
            )
    where = carrier_in(body)
    _refuse_secret(where and f"what may be a key, in {where}")
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as broken:
        raise _wanted(f"a mapping that JSON can hold ({broken})") from None
    return deepcopy(body)


TEXT = "text, and not empty"

Text = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1),
    Wanted(TEXT),
]
_AsGiven = Annotated[str, StringConstraints(strict=True, pattern=r"\S"), Wanted(TEXT)]
_Maybe = Annotated[str, StringConstraints(strict=True, pattern=r"^$|\S"), Wanted(TEXT)]
MaybeText = Annotated[_Maybe, AfterValidator(str.strip)]
Folder = Annotated[_Maybe, AfterValidator(_folder)]
RunName = Annotated[_AsGiven, AfterValidator(_folder)]
Address = Annotated[Text, AfterValidator(_address)]
Sections = Annotated[Text, AfterValidator(_sections)]
Wording = Annotated[Text, AfterValidator(_wording)]
ChoiceOrder = Annotated[int | str, PlainValidator(_choice_order)]
Exam = Annotated[int | str, PlainValidator(_exam)]
Place = Annotated[Path, PlainValidator(_place)]
ExtraBody = Annotated[dict[str, Any], PlainValidator(_extra_body)]
Truth = Annotated[
    bool, Strict(), Wanted("True or False, with a capital after papermill -p")
]
Texts = Annotated[list[Text], Strict(), Wanted("a list of texts")]
Colour = Annotated[
    str,
    StringConstraints(strict=True, pattern="^#[0-9A-Fa-f]{6}$"),
    Wanted('a colour such as "#0072B2", in quotes'),
]
Count = Annotated[int, whole(0, 10**9)]
Percent = Annotated[float, number(0, 100)]
# A count as it was printed, which may be "60+".
Printed = Annotated[
    Count | Annotated[str, StringConstraints(strict=True, pattern=r"^\d+\+$")],
    Wanted("a whole number from 0 to 1000000000"),
]

# --- what is known of a model ---------------------------------------------------------

# In the order in which a card is printed; the last seven are not printed by themselves.
CARD: dict[str, Any] = {
    **dict.fromkeys(("lm_studio_name", "huggingface_id", "base_model"), Text),
    **dict.fromkeys(("format", "quantization", "recipe", "study", "engine"), Text),
    "file_name": Text,
    "size_gb": Annotated[float, above(0, 1e6)],
    "size_bytes": Count,
    "tensor_bytes": Count,
    "bits_per_weight": Annotated[float, above(0, 32)],
    "parameters": Text,
    "architecture": Text,
    "context_length": Count,
    "vision": Truth,
    "tool_use": Truth,
    "reasoning_efforts": Texts,
    "tokenizer": _keyed(dict.fromkeys(("bos", "eos", "pad"), Text)),
    "license": Text,
    "knowledge_cutoff": Text,
    "downloads": Count,
    "released": Text,
    "note": Text,
    **dict.fromkeys(("note_en", "label", "label_en"), Text),
    "color": Colour,
    "marker": Annotated[str, one_of(*"os^vDP*XphHd8<>")],
    "origin": Annotated[str, one_of("seed", "reference", "lab")],
    "tools": Texts,
}
PRINTED = tuple(CARD)[:-7]
SECTION = {
    "questions": Count,
    "correct": Count,
    "accuracy": Percent,
    "blank": Printed,
    "api_errors": Count,
}
SUMMARY = {
    "number": Count,
    **dict.fromkeys(
        ("model", "format", "quantization", "size", "accuracy", "state", "downloads"),
        Text,
    ),
}
# How the results in files of a name were asked, so that they can be imported.
RECORDED = {
    "max_tokens": Annotated[int, whole(1, 1_000_000)],
    "shots": Annotated[int, whole(0, 3)],
}
PUBLISHED: dict[str, Any] = {
    "source": Text,
    "evaluated": Text,
    "exam": Exam,
    "condition": Text,
    "questions": Count,
    "correct": Count,
    "accuracy": Percent,
    "blank": Printed,
    "verdict": Annotated[str, one_of("PASS", "FAIL", "BROKEN")],
    "remark": Text,
    "failure": Text,
    "sections": _keyed(dict.fromkeys(igakuqa.SECTIONS, _keyed(SECTION))),
    "summary": _keyed(SUMMARY),
    "recorded": Annotated[
        dict[str, Annotated[dict[str, Any], Keyed(RECORDED)]], BeforeValidator(_mapping)
    ],
}
Card = Annotated[dict[str, Any], Keyed(CARD)]
Published = Annotated[dict[str, Any], Keyed(PUBLISHED)]
