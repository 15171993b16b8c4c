"""Where a sweep stands, read from the folders of its runs and from nothing else.

So it can be asked from another terminal, of a sweep on other machines, or of one that
was killed: a job is under way only while a process holds the lock of `job.json`, which
may be a papermill that outlived its sweep.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from igaku import paths
from igaku.ask import health, manifest
from igaku.ask.folder import ANSWERS, Row, read_rows, replace
from igaku.errors import IgakuError
from igaku.params.fields import LAB
from igaku.study.runs import JOB
from igaku.sweep.sweep import Job, Sweep, server_of

JOB_LOCK = ".job.lock"
STATES = ("done", "running", "broken", "failed", "waiting")
PACE = timedelta(minutes=10)  # what came in since then tells how fast it goes now

Record = dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """Where one job of a sweep stands: its state, its answers, and what happened."""

    job: Job
    state: str
    record: Record
    manifest: Mapping[str, Any]
    rows: Sequence[Row]
    total: int | None
    damage: str | None = None

    @property
    def asked(self) -> int:
        """How many questions have a row."""
        return len(self.rows)

    @property
    def lost(self) -> int:
        """How many of the replies are lost."""
        return health.lost(Counter(row["outcome"] for row in self.rows))

    @property
    def left(self) -> int:
        """How many questions this job has still to ask, as far as that is known."""
        is_open = self.state in ("waiting", "running")
        return max((self.total or 0) - self.asked, 0) if is_open else 0

    @property
    def attempts(self) -> int:
        """How often run.ipynb was started for it."""
        return int(self.record.get("attempts", 0))

    @property
    def why(self) -> str | None:
        """The sentence that goes with the state, where there is one."""
        return self.damage or self.record.get("why")


def standings(sweep: Sweep) -> list[Standing]:
    """Where every job of a sweep stands, in the order of its file."""
    found = [_standing(sweep, job) for job in sweep.jobs]
    sizes: dict[tuple[Any, ...], int] = {}
    for each in found:
        if each.total:
            sizes.setdefault(_extent(each.job), each.total)
    return [
        each if each.total else _with_total(each, sizes.get(_extent(each.job)))
        for each in found
    ]


def _standing(sweep: Sweep, job: Job) -> Standing:
    folder = sweep.folder(job)
    record, told = read_job(folder), read_manifest(folder)
    rows, damage = _rows_of(folder)
    total = len(told.get("questions") or ()) or None
    state = str(record.get("state", "waiting"))
    if is_held(folder / JOB_LOCK):
        state = "running"
    elif state == "running":
        state, record = "waiting", record | {"why": "it was interrupted"}
    if state == "waiting" and (other := _busy_with(sweep, job)):
        record |= {"why": f"its server is at work on {other}"}
    return Standing(job, state, record, told, rows, total, damage)


def _with_total(each: Standing, total: int | None) -> Standing:
    parts = (each.job, each.state, each.record, each.manifest, each.rows)
    limit = each.job.parameters.get("limit")
    return Standing(*parts, total or limit, each.damage)


def _extent(job: Job) -> tuple[Any, ...]:
    """What decides how many questions a run has; jobs alike in it ask as many."""
    return tuple(job.parameters.get(name) for name in ("exam", "sections", "limit"))


def _rows_of(folder: Path) -> tuple[list[Row], str | None]:
    try:
        if folder.is_file():
            return [], f"{folder} is a file where a folder belongs: move it away."
        return read_rows(folder / ANSWERS), None
    except IgakuError as damaged:
        return [], str(damaged)
    except OSError as refused:
        return [], f"{folder} cannot be read: {refused.strerror}."


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a job's run; empty where there is none to read."""
    try:
        return manifest.read(folder) or {}
    except OSError:
        return {}


# --- the file of a job ----------------------------------------------------------------


def read_job(folder: Path) -> Record:
    """What is on record of a job; empty when it never began."""
    try:
        found = json.loads((folder / JOB).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_job(folder: Path, record: Record) -> None:
    """Put the record of a job in the place of the old one."""
    text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    replace(folder / JOB, text.encode("utf-8", "replace"))


# --- locks ----------------------------------------------------------------------------


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


@contextmanager
def held(path: Path, told: str, wait: Callable[[], object]) -> Iterator[int]:
    """A lock for the time of a `with`, and what is told of its holder: its descriptor.

    `wait` is called for as long as another has it. The system frees it once every
    process that was given the descriptor is gone, killed or not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        while not _has_locked(file, fcntl.LOCK_EX):
            wait()
        file.truncate(0)
        file.write(told)
        file.flush()
        yield file.fileno()


def is_held(path: Path) -> bool:
    """Whether a process that is alive holds a lock."""
    try:
        with path.open("rb") as file:
            return not _has_locked(file, fcntl.LOCK_SH)
    except OSError:
        return False


def _has_locked(file: IO[Any], how: int) -> bool:
    """Whether the lock of a file could be had at once."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks, which run.ipynb refuses in a sentence
        return True
    return True


def _busy_with(sweep: Sweep, job: Job) -> str | None:
    """The run of another sweep that keeps a job's server busy."""
    lock = lane_lock(job.endpoint)
    if lock is None or not is_held(lock):
        return None
    with suppress(OSError, ValueError):
        told = lock.read_text(encoding="utf-8")
        own = [str(sweep.folder(each)) for each in sweep.jobs]
        return None if told.partition(" (")[0] in own else told
    return None


# --- pace -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Totals:
    """A sweep in one line: its jobs by state, its pace, and the time that is left."""

    states: Counter[str]
    per_minute: float | None
    left: timedelta | None

    def __str__(self) -> str:
        told = [f"{self.states[state]} {state}" for state in STATES]
        if self.per_minute is not None:
            told.append(f"{self.per_minute:.1f} questions/min")
        if self.left is not None:
            told.append(f"{duration(self.left)} left")
        return ", ".join(told)


def totals(found: Sequence[Standing], moment: datetime | None = None) -> Totals:
    """The totals of a sweep at a moment, which is now unless told."""
    moment = moment or datetime.now(UTC)
    states = Counter(each.state for each in found)
    paces = _paces(found, moment)
    total = sum(paces.values()) if paces else None
    is_over = not states["running"] and not states["waiting"]
    return Totals(states, total, None if is_over else _time_left(found, paces))


def _paces(found: Sequence[Standing], moment: datetime) -> dict[int, float]:
    """Questions per minute of each lane that has asked any in the last ten minutes."""
    recent: dict[int, list[datetime]] = {}
    for each in found:
        for row in each.rows:
            asked = when(row.get("asked_at"))
            if asked and timedelta() <= moment - asked <= PACE:
                recent.setdefault(each.job.lane, []).append(asked)
    return {
        lane: len(times) / max((moment - min(times)) / timedelta(minutes=1), 1 / 60)
        for lane, times in recent.items()
    }


def _time_left(
    found: Sequence[Standing], paces: Mapping[int, float]
) -> timedelta | None:
    """The time that the slowest lane needs; a lane not yet begun goes as the others."""
    if not paces:
        return None
    usual = sum(paces.values()) / len(paces)
    left: Counter[int] = Counter()
    for each in found:
        left[each.job.lane] += each.left
    return max(
        timedelta(minutes=n / paces.get(lane, usual)) for lane, n in left.items()
    )


def when(text: object) -> datetime | None:
    """A moment as the files of a run write it; None where there is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def duration(span: timedelta) -> str:
    """A length of time as one says it.

    >>> duration(timedelta(minutes=95))
    '1 h 35 min'
    """
    minutes = round(span / timedelta(minutes=1))
    if minutes < 1:
        return f"{round(span.total_seconds())} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
