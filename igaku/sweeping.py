"""Going through a sweep: papermill for every job, one lane beside the other.

What may pass is tried again; what will not is left with a sentence, and the next job is
begun. The state of a job is on disk, so the same command goes on after any end.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from igaku import demo, manifest, sweep_report
from igaku.errors import IgakuError
from igaku.folder import ANSWERS, locked, now
from igaku.sweep import Job, Sweep, read_sweep
from igaku.sweep_status import (
    Record,
    held,
    read_job,
    standings,
    totals,
    write_job,
)

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

ATTEMPTS = 3
PAUSE = 5.0  # seconds before another attempt, for a server to come back in
LOG_LINES = 20
ORPHAN_PATIENCE = 15.0  # seconds that the kernel of a killed papermill may live on

# An exception of a run, and the kind of failure it stands for; any other is "other".
KINDS = {
    "WrongModel": "wrong_model",
    "NotLoaded": "not_loaded",
    "EngineCrashed": "crashed",
    "ServerUnreachable": "unreachable",
}
FINAL = ("wrong_model", "not_loaded", "refused")  # trying again would end alike
# tqdm's own time left knows nothing of lanes.
BAR = "{desc}: {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
FINISHED = {"OK": "done", "BROKEN": "broken"}


class Stopped(Exception):
    """The sweep was interrupted, and this job with it."""


def sweep(
    name: str,
    outputs_dir: str | Path | None = None,
    lang: str = "ja",
    analyse: bool = True,
) -> Path:
    """Make every run of a sweep, then analyse and render what there is; the report.

    A job that fails is named and does not hold up the others; after all of them it is
    an IgakuError, as the report says too.
    """
    plan = read_sweep(name, outputs_dir)
    failed = _all_lanes(plan, lang)
    page = finish(plan, lang, analyse)
    if failed:
        raise IgakuError(
            f"{' and '.join(failed)} did not finish: see {page}, and run the same "
            "command again once that is seen to."
        )
    return page


def finish(plan: Sweep, lang: str, analyse: bool = True) -> Path:
    """Analyse and render the runs there are, and write the report; its page."""
    answered = any((plan.folder(job) / ANSWERS).is_file() for job in plan.jobs)
    page = sweep_report.write_report(plan, lang)
    if analyse and answered:
        try:
            place = {"lang": lang, "outputs_dir": str(plan.outputs_dir)}
            print(demo.write_report(plan.outputs_dir, place))
        except IgakuError as problem:
            demo.say(f"The comparison could not be written: {problem}")
    return page


def attempt_one(plan: Sweep, run: str, attempt: int, lang: str) -> None:
    """One attempt at one job; what failed for good is not tried in a later attempt."""
    job = plan.job(run)
    record = read_job(plan.folder(job))
    if attempt == 1 or record.get("kind") not in FINAL:
        time.sleep(PAUSE if attempt > 1 else 0)
        record = sit(plan, job, lang)
    if record["state"] == "failed":
        raise IgakuError(f"{run}: {record['why']}")
    demo.say(_ending(job, record))


# --- lanes ----------------------------------------------------------------------------


def _all_lanes(plan: Sweep, lang: str) -> list[str]:
    """Go through all lanes at once; the runs that failed, in the order of the file."""
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
        failed = {run for lane in lanes for run in lane.result()}
    return [job.run for job in plan.jobs if job.run in failed]


def _watch(plan: Sweep, lanes: list[Future[list[str]]], bar: Bar, pace: float) -> None:
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
) -> list[str]:
    """Make the runs of one lane, one after the other; those that failed."""
    failed: list[str] = []
    for job in lane:
        try:
            record = _persistently(plan, job, lang, stop)
        except Stopped:
            return failed
        except IgakuError as problem:
            record = {"state": "failed", "why": str(problem)}
        bar.write(_ending(job, record), file=sys.stderr)
        if record["state"] == "failed":
            failed.append(job.run)
    return failed


def _persistently(plan: Sweep, job: Job, lang: str, stop: Event) -> Record:
    """Attempt a job until it is finished, will never be, or was tried often enough."""
    for _ in range(ATTEMPTS - 1):
        record = sit(plan, job, lang, stop)
        if record["state"] != "failed" or record["kind"] in FINAL:
            return record
        if stop.wait(PAUSE):
            raise Stopped
    return sit(plan, job, lang, stop)


def _ending(job: Job, record: Mapping[str, Any]) -> str:
    why = f": {record['why']}" if record.get("why") else ""
    return f"{job.run}: {record['state']}{why}"


# --- one attempt ----------------------------------------------------------------------


def sit(plan: Sweep, job: Job, lang: str, stop: Event | None = None) -> Record:
    """Attempt a job once, unless it is finished; what is on record of it afterwards."""
    folder = plan.folder(job)
    with held(folder) as is_mine:
        record = read_job(folder)
        if not is_mine:
            raise IgakuError(
                f"{job.run} is under way in process {record.get('pid', '?')} of "
                f"{record.get('host', '?')}: let it finish, or end it first."
            )
        if is_finished(job, record, folder):
            return record
        record = _begun(plan, job, record)
        write_job(folder, record)
        try:
            record |= _execute(plan, job, lang, stop or Event())
        except (KeyboardInterrupt, Stopped):
            record |= {"state": "waiting", "why": "it was interrupted"}
            raise
        finally:
            write_job(folder, record | {"ended": now()})
    return read_job(folder)


def is_finished(job: Job, record: Mapping[str, Any], folder: Path) -> bool:
    """Whether a run is on record as finished with just these parameters."""
    status = str((manifest.read(folder) or {}).get("status"))
    same = record.get("parameters") == dict(job.parameters)
    return same and record.get("state") == FINISHED.get(status, "")


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


def _execute(plan: Sweep, job: Job, lang: str, stop: Event) -> Record:
    """Execute run.ipynb for a job; what that makes of its record."""
    import yaml

    def watch() -> None:
        if stop.is_set():
            raise Stopped

    folder, began = plan.folder(job), now()
    _await_orphan(folder, stop)
    place = {"outputs_dir": str(plan.outputs_dir), "lang": lang}
    # Not -p: papermill makes text of False and numbers of some texts.
    given = yaml.safe_dump({**job.parameters, **place}, allow_unicode=True)
    notebook = folder / "run.ipynb"
    status, log = demo.execution("run.ipynb", notebook, ["-y", given], watch)
    lines = demo.COLOURS.sub("", log).splitlines()[-LOG_LINES:]
    return _outcome(folder, status, log, began) | {"log": lines}


def _await_orphan(folder: Path, stop: Event) -> None:
    """Wait until the kernel of a killed papermill has gone too, which takes a second.

    Whatever else holds the run's lock is for run.ipynb to refuse.
    """
    deadline = time.monotonic() + ORPHAN_PATIENCE
    while time.monotonic() < deadline:
        with suppress(IgakuError), locked(folder):
            return
        if stop.wait(0.2):
            raise Stopped


def _outcome(folder: Path, status: int, log: str, began: str) -> Record:
    """State, kind and reason after an execution that ended with this status."""
    told = manifest.read(folder) or {}
    if not status:
        state = FINISHED.get(str(told.get("status")), "done")
        return {"state": state, "why": told.get("why")}
    name, why = demo.failure(log) or ("", demo.last_sentence(log))
    kind = KINDS.get(name, "other")
    if name == "IgakuError" and not _has_asked(told, began):
        kind = "refused"  # a sentence before the first question is the user's to solve
    why = why or f"papermill ended with {status}."
    past = {"kind": kind, "why": why, "asked": demo.replies(folder), "moment": now()}
    earlier = read_job(folder).get("history", [])
    failed = {"state": "failed", "kind": kind, "why": why}
    return failed | {"history": [*earlier, past]}


def _has_asked(told: Mapping[str, Any], began: str) -> bool:
    """Whether a session of the run was begun since that moment."""
    sessions = told.get("sessions") or [{}]
    return str(sessions[-1].get("start", "")) >= began
