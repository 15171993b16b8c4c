"""Going through a sweep: papermill for every job, one lane beside the other.

What may pass is tried again; what will not is left with a sentence, and the next job is
begun. A server does one run at a time, whoever asks. The state of a job is on disk, so
the same command goes on after any end.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from igaku import errors, workbook
from igaku.ask.folder import locked, now
from igaku.errors import IgakuError
from igaku.params.settings import settings_from
from igaku.server import lmstudio
from igaku.sweep import sweep_report
from igaku.sweep.sweep import Job, Sweep, read_sweep
from igaku.sweep.sweep_status import (
    JOB_LOCK,
    Record,
    held,
    is_held,
    lane_lock,
    read_job,
    read_manifest,
    standings,
    totals,
    write_job,
)

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

ATTEMPTS = 3
PAUSE = 5.0  # seconds before another attempt, for a server to come back in
LONGEST_PAUSE = 60.0  # to which it doubles while no server answers
PATIENCE = 15 * 60.0  # seconds in which a server may restart, or a Mac wake up
POLL = 1.0  # seconds between two looks at a lock that another process has
LOG_LINES = 20
WITHDRAWAL = 3.0  # seconds for a load that was broken off to turn up

# What the classes of errors are called in a record; a class not among them is "other".
KINDS = {
    name: each.kind
    for name, each in vars(errors).items()
    if isinstance(each, type) and issubclass(each, IgakuError)
}
FINAL = ("wrong_model", "not_loaded", "refused")  # trying again would end alike
WRITTEN = "is being written by process"  # of a folder that was free a moment before
INTERRUPTED = {"state": "waiting", "why": "it was interrupted"}
# tqdm's own time left knows nothing of lanes.
BAR = "{desc}: {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
FINISHED = {"OK": "done", "BROKEN": "broken"}


class Stopped(Exception):
    """The sweep was interrupted, and this job with it."""


def sweep(
    name: str,
    outputs_dir: str | Path | None = None,
    lang: str = "en",
    analyse: bool = True,
) -> Path:
    """Make every run of a sweep, then analyse and render what there is; the report.

    A job that fails is named and does not hold up the others; after all of them it is
    an IgakuError, as the report says too.
    """
    plan = read_sweep(name, outputs_dir)
    failed = _all_lanes(plan, lang)
    page = finish(plan, lang, analyse, failed)
    if failed:
        raise IgakuError(
            f"{' and '.join(failed)} did not finish: see {page}, and run the same "
            "command again once that is seen to."
        )
    return page


def finish(
    plan: Sweep,
    lang: str,
    analyse: bool = True,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Analyse and render the runs there are, and write the report; its page.

    `failed` holds the reasons of runs whose folders may not be able to tell them.
    """
    page = sweep_report.write_report(plan, lang, failed)
    if analyse and any(each.rows for each in standings(plan)):
        try:
            print(workbook.analyse(plan.outputs_dir, lang))
        except IgakuError as problem:
            workbook.say(f"The comparison could not be written: {problem}")
    return page


def attempt_one(plan: Sweep, run: str, attempt: int, lang: str) -> None:
    """One attempt at one job; what failed for good is not tried in a later attempt."""
    job = plan.job(run)
    record = read_job(plan.folder(job)) if attempt > 1 else {}
    if record.get("kind") not in FINAL:
        if record.get("kind"):
            time.sleep(PAUSE)
        record = sit(plan, job, lang, is_patient=record.get("kind") != "unreachable")
    if record["state"] == "failed":
        raise IgakuError(f"{run}: {record['why']}")
    workbook.say(_ending(job, record))


# --- lanes ----------------------------------------------------------------------------


def _all_lanes(plan: Sweep, lang: str) -> dict[str, str]:
    """Go through all lanes at once; the runs that failed, in the file's order."""
    from tqdm import tqdm

    stop = Event()
    pace = 0.5 if sys.stderr.isatty() else 15  # a log keeps every line of a bar
    with (
        tqdm(desc=plan.name, mininterval=pace, bar_format=BAR) as bar,
        ThreadPoolExecutor(len(plan.lanes)) as pool,
    ):
        lanes = [
            pool.submit(_one_lane, plan, lane, lang, stop, bar) for lane in plan.lanes
        ]
        try:
            _watch(plan, lanes, bar, pace)
        finally:  # a lane that breaks down, or Ctrl-C, ends the others too
            stop.set()
        failed = {run: why for lane in lanes for run, why in lane.result().items()}
    return {job.run: failed[job.run] for job in plan.jobs if job.run in failed}


def _watch(
    plan: Sweep, lanes: list[Future[dict[str, str]]], bar: Bar, pace: float
) -> None:
    """Keep the bar at what the folders say until every lane has ended."""
    left, seen = set(lanes), 0.0
    while left:
        ended, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        for lane in ended:
            lane.result()
        if not left or time.monotonic() - seen >= max(pace, 2):
            found, seen = standings(plan), time.monotonic()
            bar.total = sum(each.asked + each.left for each in found) or None
            bar.set_postfix_str(str(totals(found)), refresh=False)
            bar.update(sum(each.asked for each in found) - bar.n)


def _one_lane(
    plan: Sweep, lane: tuple[Job, ...], lang: str, stop: Event, bar: Bar
) -> dict[str, str]:
    """Make the runs of one lane, one after the other; those that failed, and why.

    What may have passed in the meantime is tried once more in the end.
    """
    failed: dict[str, str] = {}
    for attempt in (_persistently, _once_more):
        for job in lane:
            try:
                record = attempt(plan, job, lang, stop)
            except Stopped:
                return failed
            except IgakuError as problem:
                record = {"state": "failed", "why": str(problem)}
            if record.get("state") == "failed":
                failed[job.run] = str(record["why"])
            elif record:
                failed.pop(job.run, None)
            if record:
                bar.write(_ending(job, record), file=sys.stderr)
    return failed


def _persistently(plan: Sweep, job: Job, lang: str, stop: Event) -> Record:
    """Attempt a job until it is finished, will never be, or was tried often enough."""
    for _ in range(ATTEMPTS - 1):
        record = sit(plan, job, lang, stop)
        # With a server that is gone `sit` has already been patient.
        is_over = record.get("kind") in (*FINAL, "unreachable")
        if record["state"] != "failed" or is_over:
            return record
        if stop.wait(PAUSE):
            raise Stopped
    return sit(plan, job, lang, stop)


def _once_more(plan: Sweep, job: Job, lang: str, stop: Event) -> Record:
    """Attempt a job that may have failed by chance; empty where it did not."""
    record = read_job(plan.folder(job))
    if record.get("state") != "failed" or record.get("kind") in FINAL:
        return {}
    return sit(plan, job, lang, stop, is_patient=False)


def _ending(job: Job, record: Mapping[str, Any]) -> str:
    why = f": {record['why']}" if record.get("why") else ""
    return f"{job.run}: {record['state']}{why}"


# --- one job --------------------------------------------------------------------------


def sit(
    plan: Sweep,
    job: Job,
    lang: str,
    stop: Event | None = None,
    is_patient: bool = True,
) -> Record:
    """Make the run of a job, unless it is finished; what is on record of it afterwards.

    A job or a server that another process is at work on is waited for, and so, with
    patience, is a server that does not answer.
    """
    folder, stop = plan.folder(job), stop or Event()
    if is_finished(job, read_job(folder), folder):  # that waits for no server
        return read_job(folder)
    try:
        with _turn(plan, job, stop) as locks:
            if is_finished(job, read_job(folder), folder):
                return read_job(folder)
            try:
                attempt = Attempt(plan, job, lang, stop, locks)
                return _patiently(attempt) if is_patient else attempt.make()
            except (KeyboardInterrupt, Stopped):
                write_job(folder, read_job(folder) | INTERRUPTED | {"ended": now()})
                _withdraw(job)
                raise
    except OSError as refused:
        path = refused.filename2 or refused.filename or folder
        raise IgakuError(
            f"{path} cannot be used ({refused.strerror}): see what is in its place, "
            "whether you may write there and whether the disk is full, then run the "
            "same command again."
        ) from refused


@contextmanager
def _turn(plan: Sweep, job: Job, stop: Event) -> Iterator[tuple[int, ...]]:
    """The turn of a job, once its server and its folder are free: the locks of both.

    Every process takes the server's first, so no two wait for each other.
    """
    folder, lane = plan.folder(job), lane_lock(job.endpoint)
    told = f"{folder} (process {os.getpid()} of {platform.node()})"

    def taken(lock: Path) -> AbstractContextManager[int]:
        if is_held(lock):
            workbook.say(f"{job.run} waits for {lock.read_text(encoding='utf-8')}")
        return held(lock, told, lambda: _pause(stop, POLL))

    with ExitStack() as stack:
        locks = []
        if lane:
            with suppress(OSError):  # a cache that cannot be written locks nothing
                locks.append(stack.enter_context(taken(lane)))
        locks.append(stack.enter_context(taken(folder / JOB_LOCK)))
        yield tuple(locks)


def _pause(stop: Event, seconds: float) -> None:
    if stop.wait(seconds):
        raise Stopped


def _withdraw(job: Job) -> None:
    """Leave nothing in LM Studio's memory of a load whose notebook has ended."""
    if job.parameters.get("load"):
        settings = settings_from(**job.parameters)
        identifier = f"igaku-{settings.slug}"
        lmstudio.withdraw(settings.base_url, settings.model, identifier, WITHDRAWAL)


def is_finished(job: Job, record: Mapping[str, Any], folder: Path) -> bool:
    """Whether a run is on record as finished with just these parameters.

    Whatever other weights have answered is never a finished run.
    """
    told = read_manifest(folder)
    same = record.get("parameters") == dict(job.parameters)
    state = FINISHED.get(str(told.get("status")), "")
    return same and record.get("state") == state and not _wrong(told)


def _wrong(told: Mapping[str, Any]) -> str | None:
    """Why the weights of a run are the wrong ones, where its manifest says so."""
    identity = told.get("identity") or {}
    is_wrong = identity.get("status") == "wrong_model"
    return str(identity.get("why")) if is_wrong else None


def _patiently(attempt: Attempt) -> Record:
    """Attempt a job, again and again for as long as its server may come back."""
    folder, pause, asked, since = attempt.folder, PAUSE, -1, 0.0
    while True:
        record = attempt.make()
        if record["kind"] != "unreachable":
            return record
        if workbook.replies(folder) > asked:  # it came back, and is gone again
            pause, asked, since = PAUSE, workbook.replies(folder), time.monotonic()
        if time.monotonic() - since >= PATIENCE:
            return record
        why = f"waiting for the server: {record['why']}"
        write_job(folder, record | {"state": "running", "why": why})
        _pause(attempt.stop, pause)
        pause = min(2 * pause, LONGEST_PAUSE)


@dataclass(frozen=True)
class Attempt:
    """One execution of run.ipynb for a job, by a process that holds its locks."""

    plan: Sweep
    job: Job
    lang: str
    stop: Event
    locks: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.plan.folder(self.job)

    def make(self) -> Record:
        """Execute run.ipynb; what is on record of the job afterwards."""
        record = _begun(self.plan, self.job, read_job(self.folder))
        write_job(self.folder, record)
        _await_folder(self.folder, record, self.stop)
        write_job(self.folder, record)
        record |= self._execute() | {"ended": now()}
        write_job(self.folder, record)
        return record

    def _execute(self) -> Record:
        began = now()
        place = {"outputs_dir": str(self.plan.outputs_dir), "lang": self.lang}
        status, log = workbook.execution(
            "run.ipynb",
            self.folder / "run.ipynb",
            {**self.job.parameters, **place},
            lambda: _pause(self.stop, 0),
            self.locks,
        )
        lines = workbook.COLOURS.sub("", log).splitlines()[-LOG_LINES:]
        return _outcome(self.folder, status, log, began) | {"log": lines}


def _begun(plan: Sweep, job: Job, record: Record) -> Record:
    return {
        "sweep": plan.name,
        "run": job.run,
        "model": job.model,
        "endpoint": job.endpoint,
        "state": "running",
        "kind": None,
        "why": None,
        "attempts": record.get("attempts", 0) + 1,
        "history": record.get("history", []),
        "started": record.get("started") or now(),
        "ended": None,
        "pid": os.getpid(),
        "host": platform.node(),
        "parameters": dict(job.parameters),
        "log": [],
    }


def _await_folder(folder: Path, record: Record, stop: Event) -> None:
    """Wait while a process writes the run: a notebook, or the kernel of one killed.

    Whatever else is wrong with the folder is for run.ipynb to refuse.
    """
    is_told = False
    while True:
        try:
            with locked(folder):
                return
        except IgakuError as refused:
            if not isinstance(refused.__cause__, BlockingIOError):
                return
            if not is_told:
                write_job(folder, record | {"why": str(refused)})
        is_told = True
        _pause(stop, POLL)


def _outcome(folder: Path, status: int, log: str, began: str) -> Record:
    """State, kind and reason after an execution that ended with this status."""
    told = read_manifest(folder)
    if not status:
        if why := _wrong(told):
            return _failed(folder, "wrong_model", why)
        state = FINISHED.get(str(told.get("status")), "done")
        return {"state": state, "why": told.get("why")}
    name, why = workbook.failure(log) or ("", workbook.last_sentence(log))
    kind = KINDS.get(name, "other")
    if name == "IgakuError" and not (_has_asked(told, began) or WRITTEN in why):
        kind = "refused"  # a sentence before the first question is the user's to solve
    return _failed(folder, kind, why or f"papermill ended with {status}.")


def _failed(folder: Path, kind: str, why: str) -> Record:
    past = {
        "kind": kind,
        "why": why,
        "asked": workbook.replies(folder),
        "moment": now(),
    }
    earlier = read_job(folder).get("history", [])
    failed = {"state": "failed", "kind": kind, "why": why}
    return failed | {"history": [*earlier, past]}


def _has_asked(told: Mapping[str, Any], began: str) -> bool:
    """Whether a session of the run was begun since that moment."""
    sessions = told.get("sessions") or [{}]
    return str(sessions[-1].get("start", "")) >= began
