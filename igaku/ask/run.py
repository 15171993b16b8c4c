"""The run: the questions that settings choose, and the server that is asked them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from igaku.ask import manifest
from igaku.ask.folder import ANSWERS, Manifest, Row, run_folder
from igaku.ask.plan import PROBE_FACTOR, is_finished, plan_of
from igaku.ask.preflight import check
from igaku.ask.rows import read_rows
from igaku.ask.session import run_exam
from igaku.ask.shape import examined
from igaku.errors import EngineCrashed, IgakuError, NotLoaded
from igaku.exam.questions import Question, load_exam, stratified
from igaku.params.fields import LAB
from igaku.params.settings import Settings
from igaku.server import lmstudio

T = TypeVar("T")

RELOAD_PAUSE = 3.0  # seconds
RELOADS = 2  # of a model whose engine crashed, before the run is given up
ROOM = 4096  # tokens for the longest prompt
LOST = ("truncated", "empty")  # a failed request is asked again by the run itself


def questions_of(settings: Settings) -> list[Question]:
    """The questions that the settings choose, in exam order.

    With `lost_of` they are chosen from those that run lost to its budget.
    """
    where = (settings.sections, settings.data_dir, settings.serial_context)
    questions = load_exam(settings.exam, *where, settings.language)
    if settings.lost_of is not None:
        questions = lost_questions(settings, questions)
    return stratified(questions, settings.limit)


# --- a run's lost questions, asked again ----------------------------------------------


@dataclass(frozen=True)
class Base:
    """The run whose lost questions are asked again: its manifest and its rows."""

    name: str
    manifest: Manifest
    rows: Sequence[Row]

    @property
    def budget(self) -> int:
        """The token budget that lost the questions."""
        return int(self.manifest["condition"]["max_tokens"])

    @property
    def lost(self) -> set[str]:
        """The questions whose replies were cut or blank."""
        return {row["problem_id"] for row in self.rows if row["outcome"] in LOST}


def base_of(name: str, outputs_dir: Path) -> Base:
    """The run of that name, which must have been asked here."""
    folder = run_folder(outputs_dir, name)
    found, trouble = examined(folder)
    asked_under, told = found.get("condition"), found.get("settings")
    is_told = asked_under and told and "max_tokens" in asked_under
    if trouble or not is_told or (found.get("rebuilt") or {}).get("unknown"):
        raise IgakuError(
            f"The lost questions of {name} cannot be asked again as they were, because "
            "its manifest.json does not say how: choose a run that was asked here."
        )
    return Base(name, found, read_rows(folder / ANSWERS))


def lost_questions(settings: Settings, questions: Sequence[Question]) -> list[Question]:
    """Those of the questions that the run `lost_of` lost to its budget, in exam order.

    Settings that differ from that run's in more than `max_tokens` are refused.
    """
    base = base_of(str(settings.lost_of), settings.outputs_dir)
    if settings.max_tokens < base.budget:
        raise IgakuError(
            f"max_tokens is {settings.max_tokens:,}, but {base.name} lost its "
            f"questions at {base.budget:,}: give more for a rescue, or as many for a "
            "control."
        )
    lost = [q for q in questions if q.problem_id in base.lost]
    plan, free = plan_of(settings, lost), dict.fromkeys(("max_tokens", "lost_of"))
    old, new = base.manifest["condition"] | free, manifest.condition(plan) | free
    changed = manifest.differences(old, new) or manifest.reworded(plan, base.rows)
    if changed:
        raise IgakuError(
            f"The run {base.name} was made under other settings: {'; '.join(changed)}. "
            "Ask its lost questions with nothing changed but max_tokens."
        )
    if not lost:
        raise IgakuError(
            f"The run {base.name} lost no question of sections {settings.sections} to "
            f"its budget of {base.budget:,} tokens: there is nothing to ask again."
        )
    return lost


# --- the server -----------------------------------------------------------------------


class Served:
    """A server as settings name it, started or told to load where it has to be."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self._settings, self._stack = settings, stack
        self._is_ready = False
        self._loaded: lmstudio.Loaded | None = None

    @property
    def base_url(self) -> str:
        """The address: "lab" until an embedded model's engine is there."""
        return self._settings.base_url

    def check(
        self,
        questions: Sequence[Question],
        tell: Callable[[str, Any], object] = lambda what, found: None,
    ) -> dict[str, Any]:
        """What is found before the first question, see `preflight.check`."""
        return self._persistently(
            lambda: check(self._ready(questions), questions, self._record, tell)
        )

    def run_exam(self, questions: Sequence[Question], progress: bool = True) -> Path:
        """Ask every question that has no reply yet; the folder of the run."""
        return self._persistently(
            lambda: run_exam(self._ready(questions), questions, progress, self._record)
        )

    @property
    def _record(self) -> dict[str, Any] | None:
        """What is put on record of the loading, once the server is ready."""
        return asdict(self._loaded) if self._loaded else None

    def _persistently(self, work: Callable[[], T]) -> T:
        """What work gives; a crashed model of igaku's loading is loaded again twice."""
        for _ in range(RELOADS):
            try:
                return work()
            except EngineCrashed as crash:
                if self._loaded is None:
                    raise
                time.sleep(RELOAD_PAUSE)  # for the dead engine's memory to come back
                try:
                    self._load()
                except NotLoaded as again:
                    failed = f"{crash} Loading it again failed: {again}"
                    raise EngineCrashed(failed) from again
        return work()

    def _ready(self, questions: Sequence[Question]) -> Settings:
        """The settings once the server is there; a finished run needs none."""
        if self._is_ready or is_finished(plan_of(self._settings, questions)):
            return self._settings
        self._is_ready = True
        if self._settings.base_url == LAB:
            from igaku.lab.serve import serving

            server = self._stack.enter_context(serving(self._settings.slug))
            self._settings = replace(self._settings, base_url=server.base_url)
        elif self._settings.load:
            self._stack.callback(self._unload)
            self._load()
        if self._settings.origin == "lab":
            self._settings = weighed(self._settings)
        return self._settings

    def _load(self) -> None:
        """Have LM Studio load the model, in the place of one that igaku has loaded."""
        settings = self._settings
        self._unload()
        self._loaded = lmstudio.load(
            settings.base_url,
            settings.model,
            settings.context_length or room_for(settings),
            settings.concurrency,
            f"igaku-{settings.slug}",
        )
        self._settings = replace(settings, identifier=self._loaded.instance)

    def _unload(self) -> None:
        if self._loaded is not None:
            lmstudio.unload(self._settings.base_url, self._loaded)
        self._loaded = None


def room_for(settings: Settings) -> int:
    """The context to load a model with: a long prompt and a probe's budget.

    >>> room_for(Settings(model="m", max_tokens=1024))
    8192
    """
    most = settings.card.get("context_length")
    wanted = ROOM + PROBE_FACTOR * settings.max_tokens
    return min(wanted, most) if isinstance(most, int) and most > 0 else wanted


def weighed(settings: Settings) -> Settings:
    """Settings of an embedded model, with the sizes that its recipe gives it here."""
    from igaku.lab.engines import missing_engine
    from igaku.lab.variants import model_card, quantize

    recipe = settings.card.get("recipe")
    # Without an engine here it is served by a machine that has one.
    if recipe is None or missing_engine(settings.slug):
        return settings
    about = model_card(quantize(str(recipe)))
    sizes = ("size_bytes", "tensor_bytes", "bits_per_weight")
    return replace(settings, card=settings.card | {name: about[name] for name in sizes})


@contextmanager
def server_of(settings: Settings) -> Iterator[Served]:
    """The server that settings name, for the time of a `with`."""
    with ExitStack() as stack:
        yield Served(settings, stack)


def asked_by_one(runs: Sequence[Settings]) -> Iterator[Path]:
    """Ask several runs of one embedded model by one engine; their folders.

    It starts with the first run that has a question left.
    """
    with ExitStack() as stack:
        url = LAB
        for settings in runs:
            served = Served(replace(settings, base_url=url), stack)
            yield served.run_exam(questions_of(settings), progress=False)
            url = served.base_url
