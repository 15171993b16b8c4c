"""The declared analysis: `study.yaml` says what is compared, and how, before it is run.

It stands in the folder of the runs. Its hash is over all that it says, its date too,
so whoever changes a word of it afterwards changes the hash that the manifests hold.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict
from pydantic.dataclasses import dataclass as pydantic_dataclass

from igaku.errors import IgakuError
from igaku.params import fields as kinds
from igaku.params.settings import EXAM, read_yaml
from igaku.words import LEVEL

STUDY = "study.yaml"
MARGIN = 0.025  # 10 of 400 questions
ALL = "all"
STOPPING = ("when-broken", "never")


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    return [value] if isinstance(value, int) else value


def _each_once(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if not names or len({*names}) < len(names) or (ALL in names and len(names) > 1):
        raise ValueError("none, one twice, or all with others")
    return names


@pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Declared:
    """What a study asks and how it will be analysed, told before it is run.

    `family` names the runs or models of the main family. `stopping` says whether a run
    ends early once most of its replies are lost (when-broken), or never. `at` is when
    this was written, `begun` how many runs had begun by then, `sha256` its hash then.
    """

    question: kinds.Text
    reference: kinds.Text | None = None
    family: Annotated[
        tuple[kinds.Text, ...],
        BeforeValidator(_listed),
        AfterValidator(_each_once),
        kinds.Wanted(f"{ALL}, or names of runs or models, each once"),
    ] = (ALL,)
    margin: Annotated[float, kinds.above(0, 0.5)] = MARGIN
    level: Annotated[float, kinds.above(0, 0.5)] = LEVEL
    exams: Annotated[
        tuple[kinds.Exam, ...],
        BeforeValidator(_listed),
        AfterValidator(_each_once),
        kinds.Wanted("years from 2018 to 2022, or calibration, each once"),
    ] = (EXAM,)
    repeats: Annotated[int, kinds.whole(1, 100)] = 1
    stopping: Annotated[str, kinds.one_of(*STOPPING)] = STOPPING[0]
    at: kinds.MaybeText = ""
    begun: kinds.Count = 0
    sha256: kinds.MaybeText = ""

    _refuse = kinds.IN_A_SENTENCE

    @property
    def said(self) -> dict[str, Any]:
        """What is declared, without when."""
        return {name: getattr(self, name) for name in SAID}

    @property
    def digest(self) -> str:
        """The hash of what is declared and when; the file's own was, when written."""
        told = {**self.said, "at": self.at, "begun": self.begun}
        dumped = json.dumps(told, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(dumped.encode()).hexdigest()


FIELDS = tuple(field.name for field in fields(Declared))
SAID = FIELDS[: FIELDS.index("at")]
HEAD = """\
# The analysis as it was declared. A change shows: every run's manifest holds the hash.
"""


def read_declared(folder: Path) -> Declared | None:
    """What the runs of a folder were declared to be for; None where nothing was."""
    path = folder / STUDY
    if not path.is_file():
        return None
    told = read_yaml(path, FIELDS)
    if lacking := [n for n in ("question", "at", "begun", "sha256") if n not in told]:
        raise IgakuError(
            f"{path} lacks {', '.join(lacking)}: have it written by `igaku declare`, "
            "which dates it."
        )
    try:
        return Declared(**told)
    except IgakuError as wrong:
        raise IgakuError(f"{path.name}: {wrong}") from wrong


def as_yaml(declared: Declared) -> str:
    """The text of `study.yaml`."""
    import yaml

    told = {**declared.said, "at": declared.at, "begun": declared.begun}
    plain = json.loads(json.dumps(told | {"sha256": declared.digest}))
    return HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
