"""Runs: what the folders of `outputs/` hold, each with its replies as one table.

Nothing here reads an executed notebook, and nothing here guesses: a value that a run
did not record is missing, never 0.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from igaku.ask import health
from igaku.ask.folder import ANSWERS, PROBE, holder, unfit
from igaku.ask.repair import facts_of
from igaku.ask.shape import advice, examined
from igaku.errors import IgakuError
from igaku.exam.igakuqa import SECTIONS
from igaku.paths import outputs_folder
from igaku.server.fingerprint import context_length
from igaku.server.parts import at, maps
from igaku.study.adjudication import adjudicate
from igaku.study.again import Exams, Sat, read_again
from igaku.study.answers import (
    Readings,
    cleaned,
    columns_of,
    plan_frame,
    read_answers,
    rows_of,
    typed,
)

SHOWN = "the run is shown without what that would tell"
GRADED = ("problem_id", "section", "outcome", "answer", "correct")
JOB = "job.json"  # what a sweep writes of a run, also of one that never began
WHOLE_EXAM = 400  # questions in each of the exams 112-116 and in the calibration exam


class Status(NamedTuple):
    """What can be said of a run as a whole, with the cause of a broken one."""

    name: str
    cause: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.cause})" if self.cause else self.name


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One model's sitting of an exam: its replies, its manifest, and its questions."""

    name: str
    folder: Path
    manifest: dict[str, Any]
    rows: pd.DataFrame
    plan: pd.DataFrame | None
    label: str
    notes: tuple[str, ...] = ()
    is_running: bool = False  # another process was asking when it was read

    def __repr__(self) -> str:
        right = int(self.rows["correct"].fillna(False).sum())
        return f"Run {self.name}: {right}/{self.asked}, {status(self)}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run; imports until fe0f26e had the prompt beside them."""
        settings = _mapping(self.manifest.get("settings"))
        if "prompt" in settings or not isinstance(self.manifest.get("prompt"), str):
            return settings
        return settings | {"prompt": self.manifest["prompt"]}

    @property
    def card(self) -> dict[str, Any]:
        """The model's card: the rows of its table, its label, colour and marker."""
        return _mapping(self.manifest.get("card") or self.settings.get("card"))

    @property
    def published(self) -> dict[str, Any]:
        """Figures printed elsewhere for this model, with their source."""
        published = self.manifest.get("published") or self.settings.get("published")
        told = _mapping(published)
        sections = _mapping(told.get("sections")).items()
        kept = {n: s for n, s in sections if n in SECTIONS and isinstance(s, dict)}
        return told | {"sections": kept, "summary": _mapping(told.get("summary"))}

    @property
    def model(self) -> str | None:
        """The model that was asked for."""
        return self.settings.get("model") or self.manifest.get("model")

    @property
    def exam(self) -> str | None:
        """The exam's year, or "calibration"."""
        exam = self.settings.get("exam", self.manifest.get("exam"))
        exam = exam.get("name") if isinstance(exam, dict) else exam
        return str(exam) if isinstance(exam, str | int) else None

    @property
    def origin(self) -> str:
        """Which of the four kinds of number this run's are."""
        if told := self.manifest.get("origin"):
            return str(told)
        is_lab = "lab" in (self.card.get("origin"), self.settings.get("base_url"))
        return "lab" if is_lab else "measured"

    @cached_property
    def identity(self) -> str:
        """What is on record of the weights: verified, unverified or wrong_model.

        A run without a word of its server's, as every recorded one, is unverified; one
        that is being asked and has none yet is unsettled.
        """
        told = at(self.manifest, "identity.status")
        if told == "wrong_model" or self.rows["outcome"].eq("wrong_model").any():
            return "wrong_model"
        if told is None and self.is_running:
            return "unsettled"
        return "verified" if told == "verified" else "unverified"

    @property
    def budget(self) -> int | None:
        """The token budget of a reply, where it is known."""
        return cleaned("max_tokens", self.settings.get("max_tokens"))

    @property
    def seed(self) -> int:
        """The seed that shuffled its choices; −1 where they are as released."""
        told = self.settings.get("choice_order")
        return told if isinstance(told, int) else -1

    @property
    def is_lab(self) -> bool:
        """Whether the numbers speak of the embedded tiny model."""
        return self.origin == "lab"

    @property
    def planned(self) -> int | None:
        """How many questions the run was to ask; None where no manifest says."""
        return None if self.plan is None else len(self.plan)

    @property
    def asked(self) -> int:
        """How many questions have a reply, or a recorded failure."""
        return len(self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether every question that was to be asked has a reply."""
        if self.planned is None:
            return self.asked == WHOLE_EXAM
        return self.asked >= self.planned > 0

    @property
    def is_whole_exam(self) -> bool:
        """Whether a complete run would be the exam itself, not a part of it."""
        planned = self.asked if self.planned is None else self.planned
        return planned == WHOLE_EXAM and self.exam != "calibration"


def status(run: Run) -> Status:
    """The status of a run: as its manifest says, else as its replies show.

    RUNNING: a process is asking, and nothing is decided. BROKEN: so many replies are
    lost that the rule of `ask.health` would stop asking; its cause is the most frequent
    loss. INCOMPLETE: questions are left. OK: neither.
    """
    if run.is_running:
        return Status("RUNNING")
    outcomes = Counter(run.rows["outcome"].tolist())
    failed = run.rows.loc[run.rows["outcome"] == "api_error", "attempts"]
    left = int((failed.fillna(0) >= health.ATTEMPTS).sum())
    outcomes["api_error"] -= left
    told = run.manifest.get("status") == "BROKEN"
    if told or health.is_broken(outcomes):
        return Status("BROKEN", run.manifest.get("cause") or health.cause(outcomes))
    is_whole = run.is_complete and not left
    return Status("OK" if is_whole else "INCOMPLETE")


def load_runs(
    outputs_dir: str | Path | None = None, raw: bool = True, texts: bool = True
) -> pd.DataFrame:
    """Every reply of every run under a folder: one row per (run, problem_id).

    `run model label origin exam max_tokens` say whose reply it is; `problem_id section
    outcome answer correct content reasoning blank` what became of the question, and
    `gold points kind text_only stem category kinki human_accuracy` what is known of it;
    `finish_reason prompt_tokens completion_tokens reasoning_tokens seconds
    tokens_per_second served_model error raw asked_at …` what the server told. What each
    holds is in `igaku.study.answers.COLUMNS`; what is not on record is missing.

    A row whose grade is not what its answer and the gold give is shown as it stands:
    the audit `wrong_grades` names it and takes its run out of every comparison, while
    without it the run would merely seem a question short. A run that goes on sets such
    a row aside, as `igaku repair` does, since it asks the question again.

    Lines that cannot be read are left out, and each file that has some is named in a
    warning. `raw=False` leaves the servers' bodies out and `texts=False` replies and
    reasoning, which together are most of the memory.

    >>> replies = load_runs("outputs", raw=False)  # doctest: +SKIP
    >>> replies.groupby(["run", "outcome"]).size()  # doctest: +SKIP
    """
    runs = find_runs(outputs_dir, raw=raw, texts=texts)
    for note in (note for run in runs for note in run.notes):
        warnings.warn(note, stacklevel=2)
    if not runs:
        warnings.warn(f"{outputs_folder(outputs_dir)} holds no runs yet.", stacklevel=2)
        return rows_of([], {}, None, columns_of(raw, texts))
    return pd.concat([run.rows for run in runs], ignore_index=True)


def find_runs(
    outputs_dir: str | Path | None = None, raw: bool = False, texts: bool = True
) -> list[Run]:
    """The runs under a folder, by name; what could not be read is in their `notes`.

    A relative path that is not here is looked for from the root of the checkout, as
    JupyterLab starts a notebook in the notebook's own folder.
    """
    folder = outputs_folder(outputs_dir)
    if outputs_dir is not None and not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: give the folder of your runs.")
    _freeze()
    known = Known({}, {}, Exams())
    refused = unreadable(folder)
    for why in refused.values():
        warnings.warn(f"{why} The run is left out.", stacklevel=3)
    found = [path.parent for path in sorted(folder.glob(f"*/{ANSWERS}"))]
    read = [each for each in found if each.name not in refused]
    return _told_apart([_run(each, raw, texts, known) for each in read])


@cache
def _freeze() -> None:
    """What is imported stays: the collector need not walk it again.

    Once a process, and without asking whether it was done: that is such a walk.
    """
    gc.freeze()


def unreadable(outputs_dir: str | Path | None = None) -> dict[str, str]:
    """The runs that nobody can read, by name: what stands where a file belongs."""
    paths = sorted(outputs_folder(outputs_dir).glob(f"*/{ANSWERS}"))
    told = {path.parent.name: unfit(path) for path in paths}
    return {name: why for name, why in told.items() if why}


def unmeasured(outputs_dir: str | Path | None = None) -> list[dict[str, Any]]:
    """The jobs of a sweep that failed before their first answer, as recorded there."""
    found = []
    for path in sorted(outputs_folder(outputs_dir).glob(f"*/{JOB}")):
        answers, job = path.with_name(ANSWERS), read_job(path.parent)
        is_begun = answers.is_file() and answers.stat().st_size
        if job.get("state") == "failed" and not is_begun:
            found.append(job | {"run": path.parent.name})
    return found


def read_job(folder: Path) -> dict[str, Any]:
    """What is on record of a job; empty when it never began."""
    if unfit(folder / JOB):
        return {}
    try:
        return _mapping(json.loads((folder / JOB).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return {}


def load_run(folder: str | Path, raw: bool = False, texts: bool = True) -> Run:
    """One run, read from its folder."""
    return _run(Path(folder), raw, texts, Known({}, {}, Exams()))


class Plan(NamedTuple):
    """The questions that a manifest lists: as told, and as a table."""

    listed: Any
    told: dict[str, dict[str, Any]]
    ways: dict[str, list[tuple[str, ...]]]  # the answers that count as right
    frame: pd.DataFrame | None


class Known(NamedTuple):
    """What runs that are loaded together share: lists of questions, and the exams."""

    listed: dict[bytes, Any]  # by their text in a manifest
    plans: dict[int, Plan]  # by the identity of the list, which each holds
    exams: Exams


def _run(folder: Path, raw: bool, texts: bool, known: Known) -> Run:
    is_running = holder(folder) is not None  # before what it may be adding to is read
    manifest, plan, notes = _read_manifest(folder, known)
    columns = columns_of(raw, texts)
    answers, complaints = read_answers(folder / ANSWERS, plan.told, columns)
    if plan.frame is None and notes:
        plan = _of_exam(answers)
    planned = facts = None
    if plan.frame is not None:
        # Of many runs of one exam each has its own table over the same questions.
        planned = facts = plan.frame.copy(deep=False)
        # A run is asked in another order than the exam's, and read in the exam's.
        answered = {answer.problem_id: answer for answer in answers}
        answers = [answered[name] for name in plan.told if name in answered]
        if len(answers) < len(planned):
            is_asked = planned["problem_id"].isin(answered.keys())
            facts = planned[is_asked].reset_index(drop=True)
    if notes and not manifest.get("questions"):
        planned = None  # what was still to be asked, nobody knows
    run = Run(folder.name, folder, manifest, plan_frame({}), planned, "")
    asked = sat(run, plan.told)
    reread, lacking = read_again(answers, asked, known.exams)
    strict, faults = adjudicate(answers, asked, plan.ways, known.exams)
    label = run.card.get("label") or run.settings.get("slug") or run.model or run.name
    if run.seed >= 0:
        label = f"{label} (choice_order {run.seed})"
    about = {
        "run": run.name, "model": run.model, "label": label, "origin": run.origin,
        "exam": run.exam, "max_tokens": run.budget,
    }  # fmt: skip
    readings = Readings(plan.ways, strict, reread)
    rows = rows_of(answers, about, facts, columns, readings)
    beside = [f"{why} {SHOWN.capitalize()}." for why in [unfit(folder / PROBE)] if why]
    told = (*notes, *complaints, *lacking, *faults, *beside)
    return replace(run, label=label, rows=rows, notes=told, is_running=is_running)


def sat(run: Run, told: dict[str, dict[str, Any]] | None = None) -> Sat:
    """How a run was asked, as far as its replies are read by it."""
    questions = _told(run.manifest.get("questions")) if told is None else told
    is_recorded = run.origin == "recorded"
    window = context_length(_mapping(run.manifest.get("server_before")), str(run.model))
    asked = (run.folder, run.exam, run.settings, questions)
    return Sat(*asked, run.budget, window, is_recorded)


# --- the manifest ---------------------------------------------------------------------


def _read_manifest(
    folder: Path, known: Known
) -> tuple[dict[str, Any], Plan, list[str]]:
    """The manifest and its plan; empty, with a sentence, where there is none to read.

    Runs that were to ask the same share one list and one plan.
    """
    try:
        manifest, trouble = examined(folder, known.listed)
    except IgakuError as refused:  # of a later format
        return {}, _plan(None), [f"{str(refused).rstrip('.')}: {SHOWN}."]
    listed = manifest.get("questions")
    plan = known.plans.get(id(listed))
    if plan is None:
        plan = known.plans[id(listed)] = _plan(listed)
    notes = [f"{trouble}: {SHOWN}; {advice(folder)}."] if trouble else []
    return manifest, plan, notes


def _of_exam(answers: Sequence[Any]) -> Plan:
    """What the exam that rows are surely of says of their questions; else nothing."""
    told = [{n: getattr(a, n) for n in GRADED} for a in answers]
    rows = [row | {"answer": list(row["answer"] or ())} for row in told]
    return _plan(list(facts_of(rows).values()))


def _plan(listed: Any) -> Plan:
    """What a manifest says of each question to ask, by problem_id."""
    questions = _told(listed)
    ways = {name: ways_of(told) for name, told in questions.items()}
    frame = plan_frame(questions) if questions else None
    return Plan(listed, questions, ways, frame)


def _told(listed: Any) -> dict[str, dict[str, Any]]:
    return {str(q["problem_id"]): q for q in maps(listed) if "problem_id" in q}


def ways_of(question: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The answers that count as right, as a manifest lists them of a question.

    >>> ways_of({"gold": ["a"], "accepted": [["a"], ["d"]]}), ways_of({"gold": []})
    ([('a',), ('d',)], [])
    """
    listed = question.get("accepted") or [question.get("gold")]
    return [tuple(map(str, way)) for way in listed if isinstance(way, list) and way]


def _told_apart(runs: list[Run]) -> list[Run]:
    """The same runs with labels made unique: by the budget, or by the name."""
    alike: dict[str, list[int | None]] = {}
    for run in runs:
        alike.setdefault(run.label, []).append(run.budget)
    labelled = []
    for run in runs:
        budgets = alike[run.label]
        if len(budgets) > 1:
            is_told = run.budget is not None and len({*budgets}) == len(budgets)
            mark = f"max_tokens {run.budget}" if is_told else run.name
            label = f"{run.label} ({mark})"
            rows = run.rows.assign(label=typed([label] * run.asked, "text"))
            run = replace(run, label=label, rows=rows)
        labelled.append(run)
    return labelled


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
