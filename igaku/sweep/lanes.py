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
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from igaku import errors, workbook
from igaku.ask.folder import locked, now, read_manifest
from igaku.errors import IgakuError
from igaku.params.settings import settings_from
from igaku.server import lmstudio
from igaku.sweep.file import Job, Sweep, read_sweep
from igaku.sweep.locks import JOB_LOCK, held, holder, lane_lock
from igaku.sweep.report import write_report
from igaku.sweep.status import (
    Record,
    read_job,
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
    page = write_report(plan, lang, failed)
    if analyse and standings(plan).asked.any():
        try:
            print(workbook.analyse(plan.outputs_dir, lang))
        except IgakuError as problem:
            workbook.say(f"The comparison could not be written: {problem}")
    return page


def attempt_one(plan: Sweep, run: str, attempt: int, lang: str) -> None:
    """One attempt at one job; what failed for good is not tried in a later attempt."""
    sitting = Sitting(plan, plan.job(run), lang)
    record = sitting.record if attempt > 1 else {}
    if record.get("kind") not in FINAL:
        if record.get("kind"):
            time.sleep(PAUSE)
        record = sitting.make(is_patient=record.get("kind") != "unreachable")
    if record["state"] == "failed":
        raise IgakuError(f"{run}: {record['why']}")
    workbook.say(_ending(run, record))


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
        sittings = [[Sitting(plan, job, lang, stop) for job in x] for x in plan.lanes]
        lanes = [pool.submit(_one_lane, lane, bar) for lane in sittings]
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
            bar.total = int(found.asked.sum() + found.left.sum()) or None
            bar.set_postfix_str(totals(found), refresh=False)
            bar.update(int(found.asked.sum()) - bar.n)


def _one_lane(lane: list[Sitting], bar: Bar) -> dict[str, str]:
    """Make the runs of one lane, one after the other; those that failed, and why.

    What may have passed in the meantime is tried once more in the end.
    """
    failed: dict[str, str] = {}
    for attempt in (Sitting.persist, Sitting.make_once_more):
        for sitting in lane:
            run = sitting.job.run
            try:
                record = attempt(sitting)
            except Stopped:
                return failed
            except IgakuError as problem:
                record = {"state": "failed", "why": str(problem)}
            if record.get("state") == "failed":
                failed[run] = str(record["why"])
            elif record:
                failed.pop(run, None)
            if record:
                bar.write(_ending(run, record), file=sys.stderr)
    return failed


def _ending(run: str, record: Mapping[str, Any]) -> str:
    why = f": {record['why']}" if record.get("why") else ""
    return f"{run}: {record['state']}{why}"


# --- one job --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sitting:
    """One job of a sweep, about to be made, in a language, unless it is stopped."""

    plan: Sweep
    job: Job
    lang: str
    stop: Event = field(default_factory=Event)

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.plan.folder(self.job)

    @property
    def record(self) -> Record:
        """What is on record of the job."""
        return read_job(self.folder)

    def persist(self) -> Record:
        """Make the run until it is finished, will never be, or was tried enough."""
        record: Record = {}
        for attempt in range(ATTEMPTS):
            if attempt:
                self.pause(PAUSE)
            record = self.make()
            # With a server that is gone `make` has already been patient.
            if record["state"] != "failed" or record["kind"] in (*FINAL, "unreachable"):
                break
        return record

    def make_once_more(self) -> Record:
        """Make a run that may have failed by chance; empty where it did not."""
        record = self.record
        if record.get("state") != "failed" or record.get("kind") in FINAL:
            return {}
        return self.make(is_patient=False)

    def make(self, is_patient: bool = True) -> Record:
        """Make the run, unless it is finished; what is on record of it afterwards.

        A job or a server that another process is at work on is waited for, and so, with
        patience, is a server that does not answer.
        """
        if self.is_finished():  # that waits for no server
            return self.record
        try:
            with self._turn() as locks:
                if self.is_finished():
                    return self.record
                try:
                    made = self._patiently(locks) if is_patient else self._once(locks)
                except (KeyboardInterrupt, Stopped):
                    left = self.record | INTERRUPTED | {"ended": now()}
                    write_job(self.folder, left)
                    self._withdraw()
                    raise
                return made
        except OSError as refused:
            path = refused.filename2 or refused.filename or self.folder
            raise IgakuError(
                f"{path} cannot be used ({refused.strerror}): see what is in its "
                "place, whether you may write there and whether the disk is full, then "
                "run the same command again."
            ) from refused

    def is_finished(self) -> bool:
        """Whether the run is on record as finished with just these parameters.

        Whatever other weights have answered is never a finished run.
        """
        told, record = read_manifest(self.folder) or {}, self.record
        same = record.get("parameters") == dict(self.job.parameters)
        state = FINISHED.get(str(told.get("status")), "")
        return same and record.get("state") == state and not _wrong(told)

    def pause(self, seconds: float) -> None:
        """Wait, unless the sweep is stopped meanwhile."""
        if self.stop.wait(seconds):
            raise Stopped

    @contextmanager
    def _turn(self) -> Iterator[list[int]]:
        """The turn of a job, once its server and its folder are free: both locks.

        Every process takes the server's first, so no two wait for each other.
        """
        told = f"{self.folder} (process {os.getpid()} of {platform.node()})"
        lane, locks = lane_lock(self.job.endpoint), []
        with ExitStack() as stack:
            for lock in filter(None, (lane, self.folder / JOB_LOCK)):
                if other := holder(lock):
                    workbook.say(f"{self.job.run} waits for {other}")
                # A cache that cannot be written locks nothing.
                with suppress(OSError) if lock == lane else nullcontext():
                    taken = held(lock, told, lambda: self.pause(POLL))
                    locks.append(stack.enter_context(taken))
            yield locks

    def _withdraw(self) -> None:
        """Leave nothing in LM Studio's memory of a load whose notebook has ended."""
        if self.job.parameters.get("load"):
            settings = settings_from(**self.job.parameters)
            name = f"igaku-{settings.slug}"
            lmstudio.withdraw(settings.base_url, settings.model, name, WITHDRAWAL)

    def _patiently(self, locks: list[int]) -> Record:
        """Execute run.ipynb, again and again while its server may come back."""
        pause, asked, since = PAUSE, -1, 0.0
        while True:
            record = self._once(locks)
            if record["kind"] != "unreachable":
                return record
            if workbook.replies(self.folder) > asked:  # it came back, and is gone again
                pause, since = PAUSE, time.monotonic()
                asked = workbook.replies(self.folder)
            if time.monotonic() - since >= PATIENCE:
                return record
            why = f"waiting for the server: {record['why']}"
            write_job(self.folder, record | {"state": "running", "why": why})
            self.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, locks: list[int]) -> Record:
        """Execute run.ipynb; what is on record of the job afterwards."""
        record, began = self._begun(), now()
        write_job(self.folder, record)
        self._await_folder(record)
        write_job(self.folder, record)
        place = {"outputs_dir": str(self.plan.outputs_dir), "lang": self.lang}
        status, log = workbook.execution(
            "run.ipynb",
            self.folder / "run.ipynb",
            {**self.job.parameters, **place},
            lambda: self.pause(0),
            locks,
        )
        lines = workbook.COLOURS.sub("", log).splitlines()[-LOG_LINES:]
        record |= self._outcome(status, log, began) | {"log": lines, "ended": now()}
        write_job(self.folder, record)
        return record

    def _begun(self) -> Record:
        record, job = self.record, self.job
        return {
            "sweep": self.plan.name,
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

    def _await_folder(self, record: Record) -> None:
        """Wait while a process writes the run: a notebook, or the kernel of one killed.

        Whatever else is wrong with the folder is for run.ipynb to refuse.
        """
        why = None
        while True:
            try:
                with locked(self.folder):
                    return
            except IgakuError as refused:
                if not isinstance(refused.__cause__, BlockingIOError):
                    return
                if not why:
                    why = str(refused)
                    write_job(self.folder, record | {"why": why})
            self.pause(POLL)

    def _outcome(self, status: int, log: str, began: str) -> Record:
        """State, kind and reason after an execution that ended with this status."""
        told = read_manifest(self.folder) or {}
        if not status:
            if why := _wrong(told):
                return self._failed("wrong_model", why)
            state = FINISHED.get(str(told.get("status")), "done")
            return {"state": state, "why": told.get("why")}
        name, why = workbook.failure(log) or ("", workbook.last_sentence(log))
        kind = KINDS.get(name, "other")
        # A sentence before the first question is the user's to solve.
        if name == "IgakuError" and not (_has_asked(told, began) or WRITTEN in why):
            kind = "refused"
        return self._failed(kind, why or f"papermill ended with {status}.")

    def _failed(self, kind: str, why: str) -> Record:
        asked = workbook.replies(self.folder)
        past = {"kind": kind, "why": why, "asked": asked, "moment": now()}
        history = [*self.record.get("history", []), past]
        return {"state": "failed", "kind": kind, "why": why, "history": history}


def _wrong(told: Mapping[str, Any]) -> str | None:
    """Why the weights of a run are the wrong ones, where its manifest says so."""
    identity = told.get("identity") or {}
    is_wrong = identity.get("status") == "wrong_model"
    return str(identity.get("why")) if is_wrong else None


def _has_asked(told: Mapping[str, Any], began: str) -> bool:
    """Whether a session of the run was begun since that moment."""
    sessions = told.get("sessions") or [{}]
    return str(sessions[-1].get("start", "")) >= began
