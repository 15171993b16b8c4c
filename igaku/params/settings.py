"""Models as files: `params/<slug>.yaml` holds how to ask a model and its card.

A file serves `papermill -f params/<slug>.yaml` and `-p model <slug>` alike: its keys
are the parameters of `run.ipynb`, and all of them end in one validated `Settings`.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from igaku import paths
from igaku.errors import IgakuError, meant
from igaku.params import fields as kinds
from igaku.redaction import redacted
from igaku.words import word

if TYPE_CHECKING:
    import pandas as pd

EXAM = 2022  # the exam of the seed, the 116th


class Role(Enum):
    """What a parameter is to a run that goes on."""

    KEPT = "a reply depends on it, or it says whose lost questions are asked"
    SITTING = "how many are asked, where and how patiently: each sitting has its own"


KEPT, SITTING = Role.KEPT, Role.SITTING


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """Everything a run depends on, validated; `settings_from` fills it in.

    This is the one place where a parameter is known: its name, its kind, its default
    and its role. What it means stands in `text/words.params.yaml`.
    """

    model: Annotated[kinds.Text, KEPT]
    slug: kinds.Folder = ""
    run: kinds.Folder = ""
    base_url: Annotated[kinds.Address, SITTING] = "http://127.0.0.1:1234/v1"
    load: Annotated[kinds.Truth, SITTING] = False
    identifier: Annotated[kinds.Text | None, SITTING] = None
    context_length: Annotated[int | None, kinds.whole(1, 10_000_000), SITTING] = None
    exam: Annotated[kinds.Exam, KEPT] = EXAM
    sections: Annotated[kinds.Sections, SITTING] = "ABCDEF"
    limit: Annotated[int | None, kinds.whole(1, 10_000), SITTING] = None
    lost_of: Annotated[kinds.RunName | None, KEPT] = None
    shots: Annotated[int, kinds.whole(0, 3), KEPT] = 2
    prompt: kinds.Wording = "baseline"  # a run keeps its words, by their hash
    language: Annotated[str, kinds.one_of("ja", "en"), KEPT] = "ja"
    serial_context: Annotated[str, kinds.one_of("as_released", "joined"), KEPT] = (
        "as_released"
    )
    choice_order: Annotated[kinds.ChoiceOrder, KEPT] = "as_released"
    max_tokens: Annotated[int, kinds.whole(1, 1_000_000), KEPT] = 1024
    temperature: Annotated[float, kinds.number(0, 2), KEPT] = 0.0
    top_p: Annotated[float, kinds.above(0, 1), KEPT] = 1.0
    seed: Annotated[int | None, kinds.whole(0, 2**63 - 1), KEPT] = None
    reasoning_effort: Annotated[str | None, kinds.one_of(*kinds.EFFORTS), KEPT] = None
    extra_body: Annotated[kinds.ExtraBody, KEPT] = field(default_factory=dict)
    concurrency: Annotated[int, kinds.whole(1, 256), SITTING] = 1
    timeout: Annotated[float, kinds.above(0, 86_400), SITTING] = 600.0
    stop_when_broken: Annotated[kinds.Truth, SITTING] = True
    outputs_dir: kinds.Place = field(default_factory=lambda: paths.OUTPUTS)
    data_dir: kinds.Place | None = None
    card: kinds.Card = field(default_factory=dict)
    published: kinds.Published = field(default_factory=dict)

    _refuse = kinds.IN_A_SENTENCE

    def __post_init__(self) -> None:
        for name in FIELDS:
            told = str(getattr(self, name))
            if redacted(told) != told:  # as by a wrong paste
                raise IgakuError(
                    f"{name} holds the key that the environment sets, and would be "
                    "written into notebooks and manifests: leave it out there."
                )
        if not self.slug:
            object.__setattr__(self, "slug", slugified(self.model))
        if not self.run:
            object.__setattr__(self, "run", run_name(self.slug, self.exam))
        if self.lost_of is not None:  # that all is lost again is what it may find
            object.__setattr__(self, "stop_when_broken", False)

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.outputs_dir / self.run

    @property
    def label(self) -> str:
        """The model's display name."""
        return str(self.card.get("label") or self.slug)

    @property
    def origin(self) -> str:
        """The kind of number a run with these settings makes: measured, or lab."""
        return "lab" if self.card.get("origin") == "lab" else "measured"

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON would hold them."""
        plain = {name: deepcopy(getattr(self, name)) for name in FIELDS}
        return {n: str(v) if isinstance(v, Path) else v for n, v in plain.items()}


FIELDS = tuple(field.name for field in fields(Settings))


def of_role(role: Role) -> tuple[str, ...]:
    """The parameters that are this to a run that goes on."""
    kinds = get_type_hints(Settings, include_extras=True)
    return tuple(n for n in FIELDS if role in getattr(kinds[n], "__metadata__", ()))


@cache
def _adapter(parameter: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(Settings, include_extras=True)[parameter])


def checked(parameter: str, value: Any, called: str | None = None) -> Any:
    """A value as a parameter takes it; a refusal names it as it is `called`."""
    try:
        return _adapter(parameter).validate_python(value)
    except ValidationError as broken:
        kinds.refuse(broken, called or parameter)


@dataclass(frozen=True)
class ModelFile:
    """One file of `params/`: the slug is its name, the values are its keys."""

    slug: str
    values: dict[str, Any]

    @property
    def names(self) -> set[str]:
        """What the model is called: slug, LM Studio's names and Hugging Face id."""
        card = self.values.get("card") or {}
        names = [self.slug, self.values.get("model")]
        names += [card.get("lm_studio_name"), card.get("huggingface_id")]
        return {_folded(name) for name in names if isinstance(name, str)}


# --- finding and filling in -----------------------------------------------------------


def settings_from(**given: Any) -> Settings:
    """The settings of a run: what is given, then the model's file, then the defaults.

    None means that a parameter was not given, so a notebook passes all of its own. A
    run with `lost_of` is called after that run and its own budget, unless told.
    """
    given = {name: value for name, value in given.items() if value is not None}
    kinds.reject_unknown(given, FIELDS, "parameter")
    if "model" not in given:
        raise IgakuError(
            "No model is named: pass -p model with a slug of params/ "
            f"({', '.join(slugs())}) or the name your server knows."
        )
    merged = dict(given)
    if known := find_card(str(given.get("slug") or given["model"])):
        merged = {"slug": known.slug, **known.values, **given}
        if "slug" not in given:  # else the name is the one this server knows it by
            merged["model"] = known.values["model"]
        exam, own_exam = (m.get("exam", EXAM) for m in (merged, known.values))
        merged.setdefault("run", run_name(merged["slug"], exam, own_exam))
    settings = Settings(**merged)
    if settings.lost_of is None or "run" in given:
        return settings
    return replace(settings, run=f"{settings.lost_of}-{settings.max_tokens}")


def find_card(model: str) -> ModelFile | None:
    """The file of a model, by slug, LM Studio name or Hugging Face id, in any case.

    >>> find_card("OpenAI/gpt-oss-20b @8bit").slug
    'openai-8bit'
    """
    files = {path.stem: path for path in _files()}
    if exact := files.get(model.strip()):
        return read_file(exact)
    wanted = _folded(model)
    known = list(_readable(files.values()))
    found = [m for m in known if wanted in m.names] or [
        m for m in known if wanted in {name.partition("@")[0] for name in m.names}
    ]
    if len(found) > 1:
        raise IgakuError(
            f"{model!r} is the name of more than one model: write "
            f"{' or '.join(m.slug for m in found)}, or pass one of them as `slug` "
            "beside the name that your server knows."
        )
    return found[0] if found else None


def _readable(files: Iterable[Path]) -> Iterator[ModelFile]:
    """The files that can be read: a broken one stops its own model, and no other."""
    for path in files:
        try:
            yield read_file(path)
        except IgakuError as broken:
            warnings.warn(f"{path.name} is passed over: {broken}", stacklevel=2)


def slug_meant(model: str) -> str:
    """The question whether a slug was meant by a name that no file has; else nothing.

    >>> slug_meant("openai8bit"), slug_meant("my-own-model"), slug_meant("openai-8bit")
    (' (did you mean the slug openai-8bit?)', '', '')
    """
    if find_card(model):
        return ""
    near = meant(model, slugs(), 0.8)
    return f" ({near.replace('mean', 'mean the slug')})" if near else ""


def slugs() -> list[str]:
    """The slugs of `params/`, those of the lab last."""
    return [path.stem for path in _files()]


def read_yaml(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The mapping that a YAML file holds, with every key of it known."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except (yaml.YAMLError, UnicodeDecodeError) as broken:
        mark = getattr(broken, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise IgakuError(f"{path}{where} is not readable as YAML: mend it.") from broken
    if not isinstance(told, dict):
        raise IgakuError(
            f"{path} must be a mapping with the key `{next(iter(known))}`."
        )
    kinds.reject_unknown(told, known, f"key of {path.name}")
    return told


def read_file(path: Path) -> ModelFile:
    """One file of `params/`: how a model is asked, and its card."""
    values = read_yaml(path, FIELDS)
    if not isinstance(values.get("model"), str):
        raise IgakuError(f"{path} must be a mapping with the text key `model`.")
    for name, value in values.items():
        if value is not None:
            checked(name, value, f"{path.name}: {name}")
    return ModelFile(path.stem, values)


def run_name(slug: str, exam: int | str, own_exam: int | str = EXAM) -> str:
    """The folder of a run: the slug, with the exam where it is not the model's own."""
    return slug if str(exam) == str(own_exam) else f"{slug}-{exam}"


def slugified(model: str) -> str:
    """A model's name as the name of a folder; of a file's path only its last part.

    >>> slugified("Qwen/Qwen3-30B @q4_K_M"), slugified("/home/me/models/tiny.gguf")
    ('qwen-qwen3-30b-q4_k_m', 'tiny')
    """
    if re.match(r"[/\\~.]|[A-Za-z]:[/\\]", model):
        model = re.split(r"[/\\]", model.rstrip("/\\"))[-1]
        model = re.sub(r"(?<=.)\.gguf$", "", model, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9._]+", "-", model.lower()).strip("-.") or "model"


def check_parameter_names(cells: Iterable[str]) -> None:
    """Refuse a parameter that papermill injected but the notebook does not read.

    papermill only warns of such a typo and goes on with the default. `cells` are the
    notebook's inputs, `In`. A cell of papermill's has the first line "# Parameters";
    the notebook's own cell of defaults begins with the same word and says more.
    """
    own: list[str] = []
    injected: list[str] = []
    for cell in cells:
        first_line = cell.lstrip().partition("\n")[0].rstrip()
        if first_line.startswith("# Parameters"):
            (injected if first_line == "# Parameters" else own).extend(_assigned(cell))
    names = [name for name in injected if not name.startswith("PAPERMILL_")]
    kinds.reject_unknown(names, own or FIELDS, "parameter")


def _files() -> list[Path]:
    return files_in() + files_in("lab")


def files_in(folder: str = "") -> list[Path]:
    """The YAML files of `params/` or of a folder in it, in the order of their names."""
    if not paths.PARAMS.is_dir():
        raise IgakuError(
            f"There is no folder {paths.PARAMS}, and without it no model's settings "
            "are known: put it back, or make a folder by `igaku new FOLDER` and work "
            "in that."
        )
    return sorted((paths.PARAMS / folder).glob("*.yaml"))


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def _assigned(cell: str) -> Iterator[str]:
    with suppress(SyntaxError):  # a cell with a magic; papermill writes none
        for statement in ast.parse(cell).body:
            named: list[Any] = getattr(statement, "targets", [])
            if isinstance(statement, ast.AnnAssign):
                named = [statement.target]
            yield from (each.id for each in named if isinstance(each, ast.Name))


# --- as frames ------------------------------------------------------------------------


def card_frame(card: Mapping[str, Any], lang: str = "en") -> pd.DataFrame:
    """A card as a frame: `key`, `what` it is in a language, and the `value` as printed.

    >>> card_frame({"size_gb": 22.26, "vision": False})[["what", "value"]].to_numpy()
    array([['Size', '22.26 GB'],
           ['Vision', 'No']], dtype=object)
    """
    import pandas as pd

    told = {key: card.get(f"{key}_{lang}", card.get(key)) for key in kinds.PRINTED}
    rows = [
        (key, word("card_row", key, lang), _as_printed(key, value, card))
        for key, value in told.items()
        if value is not None
    ]
    return pd.DataFrame(rows, columns=["key", "what", "value"], dtype=object)


def settings_frame(settings: Settings, lang: str = "en") -> pd.DataFrame:
    """Settings as a frame: each `name`, its `value` as text, and its `meaning`.

    A path inside the checkout is told from there, without the reader's home folder.
    """
    import pandas as pd

    told = settings.to_dict()
    del told["card"], told["published"]
    rows = []
    for name, value in told.items():
        shown = str(value).replace(f"{paths.ROOT}{os.sep}", "")
        meaning = word("parameter", name, lang)
        rows.append((name, None if value in (None, {}) else shown, meaning))
    return pd.DataFrame(rows, columns=["name", "value", "meaning"], dtype=object)


def _as_printed(key: str, value: Any, card: Mapping[str, Any]) -> str:
    if key == "size_gb" and isinstance(value, int | float):
        return f"{value:.2f} GB"
    if key == "tool_use" and value and card.get("tools"):
        return f"Yes ({', '.join(card['tools'])})"
    if key == "reasoning_efforts":
        return f"Yes (reasoning effort: {'/'.join(value)})"
    if key == "tokenizer":
        return ", ".join(f"{name.upper()}: {token}" for name, token in value.items())
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return f"{value:,}" if isinstance(value, int) else str(value)
