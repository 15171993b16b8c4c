"""Going through a sweep: papermill for every job, one lane beside the other.

What may pass is tried again; what will not is left with a sentence, and the next job is
begun. A server does one run at a time, whoever asks. The state of a job is on disk, so
the same command goes on after any end.
"""

from __future__ import annotations

import fcntl
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from igaku import workbook
from igaku.ask import progress
from igaku.ask.folder import holder_of, now
from igaku.ask.progress import replies
from igaku.ask.shape import read_manifest
from igaku.errors import IgakuError
from igaku.params.settings import settings_from
from igaku.server import lmstudio
from igaku.study.runs import read_job
from igaku.sweep.file import JOB_LOCK, Job, Sweep, lane_lock
from igaku.sweep.status import Record, standings, totals, write_job, write_report
from igaku.writing import guarded

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

ATTEMPTS = 3
PAUSE = 5.0  # seconds before another attempt, for a server to come back in
LONGEST_PAUSE = 60.0  # to which it doubles while no server answers
PATIENCE = 15 * 60.0  # seconds in which a server may restart, or a Mac wake up
POLL = 1.0  # seconds between two looks at a lock that another process has
LOOK = 2.0  # seconds between two looks at the folders, for the bar
WITHDRAWAL = 3.0  # seconds for a load that was broken off to turn up

# Trying again would end alike; a server that is gone was waited for already.
FINAL = ("wrong_model", "not_loaded", "refused", "unreachable")
WRITTEN = "is being written by process"  # of a folder that was free a moment before
INTERRUPTED = {"state": "waiting", "why": "it was interrupted"}
# tqdm's own time left knows nothing of lanes.
BAR = "{desc}{percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
FINISHED = {"OK": "done", "BROKEN": "broken"}


class Stopped(Exception):
    """The sweep was interrupted, and this job with it."""


def sweep(plan: Sweep, lang: str = "en", analyse: bool = True) -> Path:
    """Make every run of a sweep, then analyse and render what there is; the report.

    A job that fails is named and does not hold up the others; after all of them it is
    an IgakuError, as the report says too.
    """
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
    sitting = Sitting(plan.job(run), lang)
    record = sitting.record
    if attempt == 1 or record.get("kind") not in FINAL:
        record = sitting.make(tries=1)
    if record["state"] == "failed":
        raise IgakuError(f"{run}: {record['why']}")
    workbook.say(f"{run}: {record['state']}")


# --- lanes ----------------------------------------------------------------------------


def _all_lanes(plan: Sweep, lang: str) -> dict[str, str]:
    """Go through all lanes at once; the runs that failed, in the file's order.

    The bar is kept at what the folders say until every lane has ended.
    """
    stop = Event()
    failed: dict[str, str] = {}
    with (
        progress.bar(desc=plan.name, bar_format=BAR) as bar,
        ThreadPoolExecutor(len(plan.lanes)) as pool,
    ):
        sittings = [[Sitting(job, lang, stop) for job in lane] for lane in plan.lanes]
        left = {pool.submit(_one_lane, lane, bar) for lane in sittings}
        try:
            while left:
                ended, left = wait(left, LOOK, FIRST_COMPLETED)
                for lane in ended:
                    failed |= lane.result()
                found = standings(plan)
                bar.total = int(found.asked.sum() + found.left.sum()) or None
                bar.set_postfix_str(totals(found), refresh=False)
                bar.update(int(found.asked.sum()) - bar.n)
        finally:  # a lane that breaks down, or Ctrl-C, ends the others too
            stop.set()
    return {job.run: failed[job.run] for job in plan.jobs if job.run in failed}


def _one_lane(lane: list[Sitting], bar: Bar) -> dict[str, str]:
    """Make the runs of one lane, one after the other; those that failed, and why."""
    failed: dict[str, str] = {}
    for sitting in lane:
        run = sitting.job.run
        try:
            record = sitting.make()
        except Stopped:
            break
        except IgakuError as problem:
            record = {"state": "failed", "why": str(problem)}
        told = filter(None, (run, record["state"], record.get("why")))
        bar.write(": ".join(told), file=sys.stderr)
        if record["state"] == "failed":
            failed[run] = str(record["why"])
    return failed


# --- one job --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sitting:
    """One job of a sweep, about to be made, in a language, unless it is stopped."""

    job: Job
    lang: str
    stop: Event = field(default_factory=Event)

    @property
    def record(self) -> Record:
        """What is on record of the job."""
        return read_job(self.job.folder)

    def make(self, tries: int = ATTEMPTS) -> Record:
        """Make the run, unless it is finished; what is on record of it afterwards.

        A job or a server that another process is at work on is waited for.
        """
        if self.is_finished():  # that waits for no server
            return self.record
        with self._turn() as locks:
            if self.is_finished():
                return self.record
            try:
                return self._persist(locks, tries)
            except (KeyboardInterrupt, Stopped):
                left = self.record | INTERRUPTED | {"ended": now()}
                write_job(self.job.folder, left)
                if self.job.parameters.get("load"):  # no notebook unloads it any more
                    told = settings_from(**self.job.parameters)
                    ours = f"igaku-{told.slug}"
                    lmstudio.withdraw(told.base_url, told.model, ours, WITHDRAWAL)
                raise

    def is_finished(self) -> bool:
        """Whether the run is on record as finished with just these parameters.

        Whatever other weights have answered is never a finished run.
        """
        told, record = read_manifest(self.job.folder), self.record
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
        folder = self.job.folder
        told = f"{folder} (process {os.getpid()} of {platform.node()})"
        lane, locks = lane_lock(self.job.endpoint), []
        with guarded(folder), ExitStack() as stack:
            for lock in filter(None, (lane, folder / JOB_LOCK)):
                if other := holder_of(lock):
                    workbook.say(f"{self.job.run} waits for {other}")
                # A cache that cannot be written locks nothing.
                with suppress(OSError) if lock == lane else nullcontext():
                    taken = held(lock, told, lambda: self.pause(POLL))
                    locks.append(stack.enter_context(taken))
            yield locks

    def _persist(self, locks: list[int], tries: int) -> Record:
        """Execute run.ipynb until it ends well, never will, or was tried enough.

        A server that does not answer may be restarting: it has a while to come back.
        """
        pause, asked, since = PAUSE, -1, 0.0
        while True:
            record = self._once(locks)
            if record["kind"] != "unreachable":
                tries -= 1
                if record["kind"] in (None, *FINAL) or not tries:
                    return record
                self.pause(PAUSE)
                continue
            if replies(self.job.folder) > asked:  # it came back, and is gone
                pause, since = PAUSE, time.monotonic()
                asked = replies(self.job.folder)
            if time.monotonic() - since >= PATIENCE:
                return record
            why = f"waiting for the server: {record['why']}"
            write_job(self.job.folder, record | {"state": "running", "why": why})
            self.pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, locks: list[int]) -> Record:
        """Execute run.ipynb; what is on record of the job afterwards."""
        job, known, began = self.job, self.record, now()
        record: Record = {
            "model": job.parameters["model"],
            "state": "running",
            "kind": None,
            "why": None,
            "attempts": known.get("attempts", 0) + 1,
            "history": known.get("history", []),
            "started": known.get("started") or now(),
            "ended": None,
            "parameters": dict(job.parameters),
        }
        write_job(job.folder, record)
        place = {"outputs_dir": str(job.folder.parent), "lang": self.lang}
        status, log = workbook.execution(
            "run.ipynb",
            job.folder / "run.ipynb",
            {**job.parameters, **place},
            lambda: self.pause(0),
            locks,
        )
        told = read_manifest(job.folder)
        kind, why = _failure(told, status, log, began)
        if kind:
            asked = replies(job.folder)
            past = {"kind": kind, "why": why, "asked": asked, "moment": now()}
            record |= {"state": "failed", "history": [*record["history"], past]}
        else:
            record["state"] = FINISHED.get(str(told.get("status")), "done")
        record |= {"kind": kind, "why": why, "ended": now()}
        write_job(job.folder, record)
        return record


@contextmanager
def held(path: Path, told: str, wait: Callable[[], object]) -> Iterator[int]:
    """A lock for the time of a `with`, and what is told of its holder: its descriptor.

    `wait` is called for as long as another has it. The system frees it once every
    process that was given the descriptor is gone, killed or not: papermill is, so that
    a run stays under way, and its server busy, when the sweep is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                wait()
            except OSError:  # a disk without locks is for run.ipynb to refuse
                break
        file.truncate(0)
        file.write(told)
        file.flush()
        yield file.fileno()


def _failure(
    told: Mapping[str, Any], status: int, log: str, began: str
) -> tuple[str | None, str | None]:
    """Kind and reason of an execution that failed; of another what its run says."""
    if not status:
        why = _wrong(told)
        return ("wrong_model", why) if why else (None, told.get("why"))
    kind, sentence = workbook.failure(log)
    sessions = told.get("sessions") or [{}]
    has_asked = str(sessions[-1].get("start", "")) >= began
    # A sentence before the first question is the user's to solve.
    if kind == "other" and not (has_asked or WRITTEN in sentence):
        kind = "refused"
    return kind or "other", sentence or f"papermill ended with {status}."


def _wrong(told: Mapping[str, Any]) -> str | None:
    """Why the weights of a run are the wrong ones, where its manifest says so."""
    identity = told.get("identity") or {}
    is_wrong = identity.get("status") == "wrong_model"
    return str(identity.get("why")) if is_wrong else None
