"""The sweep: one file of `params/sweeps` that names many runs, and who serves each.

Runs on one server stand in one lane and are made one after the other; lanes go side by
side. A job is a run with every parameter of run.ipynb that it takes.
"""

from __future__ import annotations

import hashlib
import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, groupby, product
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from igaku import paths
from igaku.ask.prompt import load_prompt
from igaku.errors import IgakuError
from igaku.params import settings as params
from igaku.params.fields import LAB, reject_unknown
from igaku.params.settings import ModelFile, checked, files_in, settings_from

# The lists of a sweep, and the parameter of a run that takes one value of each.
AXES = {
    "exams": "exam",
    "prompts": "prompt",
    "budgets": "max_tokens",
    "efforts": "reasoning_effort",
}
KEYS = ("models", "endpoints", *AXES, "repeats", "suffix", "settings")
OF_THE_SWEEP = ("model", "slug", "run", "base_url", "outputs_dir", *AXES.values())
MOST_REPEATS = 100
JOB_LOCK = ".job.lock"
HERE = ("127.0.0.1", "::1", "0.0.0.0", "::")  # this machine, however it is called


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its folder, the lane it stands in, and its parameters."""

    folder: Path
    lane: int
    endpoint: str
    parameters: Mapping[str, Any]

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.folder.name


@dataclass(frozen=True)
class Sweep:
    """The jobs of one file, in the order they are made, and where their runs go."""

    name: str
    jobs: tuple[Job, ...]
    outputs_dir: Path

    @property
    def lanes(self) -> list[list[Job]]:
        """The jobs of each server, in the order they are made."""
        lane = attrgetter("lane")
        return [list(jobs) for _, jobs in groupby(sorted(self.jobs, key=lane), lane)]

    def job(self, run: str) -> Job:
        """The job whose run has this name."""
        jobs = {job.run: job for job in self.jobs}
        reject_unknown([run], jobs, f"run of {self.name}")
        return jobs[run]


def read_sweep(name: str, outputs_dir: str | Path | None = None) -> Sweep:
    """The sweep that a name of `params/sweeps` or the path of a file stands for.

    What run.ipynb would refuse in the night is refused now.

    >>> [job.run for job in read_sweep("noise-floor").jobs]
    ['openai-8bit', 'openai-8bit-r2']
    """
    path, told = _told(name)
    folder = Path(outputs_dir or paths.OUTPUTS).expanduser().absolute()
    try:
        jobs = tuple(_jobs(told, folder))
        for job in jobs:
            settings = settings_from(**job.parameters)
            load_prompt(settings.prompt, settings.language)
            if settings.base_url == LAB and settings.origin != "lab":
                raise IgakuError(
                    f"{settings.slug} is not an embedded model, so the endpoint {LAB} "
                    "cannot serve it: give it the address of a server."
                )
    except IgakuError as wrong:
        raise IgakuError(f"{path.name}: {wrong}") from wrong
    twice = [run for run, n in Counter(job.run for job in jobs).items() if n > 1]
    if twice:
        raise IgakuError(
            f"{path.name} has more than one run called {', '.join(twice)}: name each "
            "model and each value once, or give `repeats`."
        )
    return Sweep(path.stem, jobs, folder)


def server_of(endpoint: str) -> str:
    """The server behind an address of settings, the same however that is spelled.

    >>> server_of("http://LOCALHOST:1234/v1/"), server_of("http://[::1]:1234")
    ('localhost:1234', 'localhost:1234')
    """
    if endpoint == LAB:
        return LAB
    parts = urlsplit(endpoint.lower())
    host = "localhost" if parts.hostname in HERE else parts.hostname
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    return f"{host}:{port}{parts.path.rstrip('/').removesuffix('/v1')}"


def lane_lock(endpoint: str) -> Path | None:
    """The file whose lock a run holds for as long as it keeps a server busy.

    It lies in the cache, as two sweeps may have two output folders. The lab has none:
    each of its runs starts an engine of its own.
    """
    if endpoint == LAB:
        return None
    server = server_of(endpoint)
    if server.startswith("localhost:"):  # a cache may be shared by several machines
        server = f"{platform.node()} {server}"
    name = hashlib.sha256(server.encode()).hexdigest()[:16]
    return paths.cache_dir() / "lanes" / f"{name}.lock"


def _told(name: str) -> tuple[Path, dict[str, Any]]:
    """The file of a sweep, and what it holds."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        if not path.is_file():
            raise IgakuError(f"There is no file {path}: give the path of a sweep.")
    else:
        own = {path.stem: path for path in files_in("sweeps")}
        reject_unknown([name], own, "sweep")
        path = own[name]
    return path, params.read_yaml(path, KEYS)


# --- from lists to jobs ---------------------------------------------------------------


def _jobs(told: Mapping[str, Any], folder: Path) -> Iterator[Job]:
    """Every job: model by model, so that a server need load each only once."""
    settings = told.get("settings") or {}
    _check_settings(settings)
    repeats = told.get("repeats", 1)
    if type(repeats) is not int or not 1 <= repeats <= MOST_REPEATS:
        raise IgakuError(f"`repeats` must be a whole number from 1 to {MOST_REPEATS}.")
    axes = {axis: _listed(told, axis) for axis in AXES}
    several = [AXES[axis] for axis in ("budgets", "efforts") if len(axes[axis]) > 1]
    suffix = checked("run", told.get("suffix") or "", "suffix")
    lanes: dict[str, int] = {}
    for model, endpoint in _served(told):
        lane = lanes.setdefault(server_of(endpoint), len(lanes))
        for values in product(*(axes[axis] or [None] for axis in AXES)):
            chosen = dict(zip(AXES.values(), values, strict=True))
            given = {name: v for name, v in chosen.items() if v is not None}
            parts = [*_name(model, given), *(str(given[x]) for x in several), suffix]
            for repeat in range(1, repeats + 1):
                words = [*parts, f"r{repeat}" if repeat > 1 else ""]
                run = "-".join(filter(None, words))
                asked = {"model": model.slug, "run": run, "base_url": endpoint}
                yield Job(folder / run, lane, endpoint, settings | asked | given)


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, dict):
        raise IgakuError("`settings` must be a mapping of parameters of run.ipynb.")
    for parameter in settings:
        if parameter in OF_THE_SWEEP:
            axis = {p: axis for axis, p in AXES.items()}.get(parameter)
            fix = f"list its values under `{axis}`" if axis else "leave it out"
            raise IgakuError(f"`settings` holds {parameter}: {fix}.")
    reject_unknown(settings, params.FIELDS, "parameter")


def _name(model: ModelFile, given: Mapping[str, Any]) -> Iterator[str]:
    """The parts of a run's name, which no other model of the sweep has a say in."""
    own_exam = model.values.get("exam", params.EXAM)
    yield params.run_name(model.slug, given.get("exam", own_exam), own_exam)
    prompt = str(given.get("prompt", "baseline"))
    if prompt != "baseline":
        path, _, key = prompt.partition("#")
        yield params.slugified("-".join(filter(None, (Path(path).stem, key))))


def _served(told: Mapping[str, Any]) -> Iterator[tuple[ModelFile, str]]:
    """Each model with its endpoint: its own, else the sweep's in turn, else its file's.

    A model has one endpoint for all of its runs, as only there it is loaded.
    """
    if not (entries := _listed(told, "models")):
        raise IgakuError(
            f"List under `models` one or more of {', '.join(params.slugs())}."
        )
    turns = cycle(_listed(told, "endpoints"))
    for entry in entries:
        told_of = entry if isinstance(entry, dict) else {"model": entry}
        reject_unknown(told_of, ("model", "endpoint"), "key of a model")
        name = told_of.get("model")
        model = params.find_card(name) if isinstance(name, str) else None
        if model is None:
            reject_unknown([str(name)], params.slugs(), "model in params/")
        assert model is not None  # a slug is always found
        if (own := told_of.get("endpoint")) is None:
            own = next(turns, model.values.get("base_url", params.Settings.base_url))
        yield model, checked("base_url", own, "endpoint")


def _listed(told: Mapping[str, Any], key: str) -> list[Any]:
    found = told.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not found:
        raise IgakuError(f"`{key}` must be a list, such as [{found or '...'}].")
    return found
