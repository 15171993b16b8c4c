"""Where a sweep stands: one frame, told as a table in a terminal and as a page.

It is read from the folders of the runs and nothing else, so it can be asked of a sweep
on other machines, or of one that was killed: a job is under way only while a process
holds its lock, which may be a papermill that outlived its sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from igaku import writing
from igaku.ask.folder import ANSWERS, Row, holder_of, unfit
from igaku.ask.rows import read_rows
from igaku.ask.shape import read_manifest
from igaku.pages import html
from igaku.study.runs import JOB, read_job
from igaku.sweep.file import JOB_LOCK, Job, Sweep, lane_lock
from igaku.words import CAUSES, MISSING, aligned, is_missing, say, word

STATES = ("done", "running", "broken", "failed", "waiting")
PACE = timedelta(minutes=10)  # what came in since then tells how fast it goes now

# How the files of a run write a moment; what is none becomes NaT.
MOMENT: dict[str, Any] = {"format": "ISO8601", "utc": True, "errors": "coerce"}

Record = dict[str, Any]


def standings(
    sweep: Sweep,
    moment: datetime | None = None,
    failed: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row a job, in the file's order: its state, its answers, what happened to it.

    `total` is how many questions it has, where that can be told, `left` how many of
    them it has still to ask, and `recent` how many it has asked since `since`, in the
    ten minutes before the moment, which is now unless told. `troubles` are what stopped
    it, in order; `failed` holds the reasons of runs whose folders may not tell them.
    """
    moment, why = moment or datetime.now(UTC), failed or {}
    found = pd.DataFrame(
        [_standing(sweep, job, moment, why.get(job.run)) for job in sweep.jobs]
    )
    for name in ("started", "ended", "since"):
        found[name] = pd.to_datetime(found[name], **MOMENT)
    total = found.total.astype("Int64")
    alike = found.extent.map(total.groupby(found.extent).first())
    found["total"] = total.fillna(alike)
    left = (found.total - found.asked).clip(lower=0).fillna(0).astype(int)
    found["left"] = left.where(found.state.isin(["waiting", "running"]), 0)
    return found


def _standing(sweep: Sweep, job: Job, moment: datetime, failure: str | None) -> Record:
    record, told = read_job(job.folder), read_manifest(job.folder)
    asked = job.parameters
    damage = unfit(job.folder / ANSWERS)
    if not damage and job.folder.is_file():
        damage = f"{job.folder} is a file where a folder belongs: move it away."
    rows = [] if damage else read_rows(job.folder / ANSWERS)
    state, why = _state(sweep, job, record)
    sessions = told.get("sessions") or []
    troubles = _troubles(record, sessions, rows)
    if (failure or damage) and state not in ("failed", "running"):
        state, why = "failed", failure or damage
        troubles.append({"kind": "other", "asked": len(rows), "why": why})
    width = (told.get("settings") or {}).get("concurrency") or 1
    return _progress(rows, width, moment) | {
        "run": job.run,
        "lane": job.lane,
        "endpoint": job.endpoint,
        "state": state,
        "why": why or "",
        "total": len(told.get("questions") or ()) or None,
        "attempts": int(record.get("attempts", 0)),
        "started": record.get("started"),
        "ended": record.get("ended"),
        "cause": told.get("cause") or "",
        "loads": bool(asked.get("load")),
        "troubles": troubles,
        "went_on": any(s.get("ended") == "finished" for s in sessions),
        # What decides how many questions a run has; jobs alike in it ask as many.
        "extent": str([asked.get(name) for name in ("exam", "sections", "limit")]),
    }


def _progress(rows: list[Row], width: int, moment: datetime) -> Record:
    """What the answers alone tell, of a run that asks so many questions at once."""
    replies = pd.DataFrame(rows, columns=["outcome", "asked_at", "seconds"])
    recent = pd.to_datetime(replies.asked_at, **MOMENT)
    recent = recent[recent.between(moment - PACE, moment)]
    seconds = replies.seconds.sum() / width  # while it asked, pauses left out
    return {
        "asked": len(rows),
        "lost": int(replies.outcome.isin(CAUSES).sum()),
        "recent": len(recent),
        "since": recent.min(),
        "speed": 60 * len(rows) / seconds if seconds else None,
    }


def _state(sweep: Sweep, job: Job, record: Record) -> tuple[str, str | None]:
    """The state of a job, and the sentence that goes with it."""
    state, why = str(record.get("state", "waiting")), record.get("why")
    if holder_of(job.folder / JOB_LOCK) is not None:
        return "running", why
    if state == "running":
        state, why = "waiting", "it was interrupted"
    lock = lane_lock(job.endpoint)
    if state == "waiting" and lock and (other := holder_of(lock)):
        own = [str(each.folder) for each in sweep.jobs]
        if other.partition(" (")[0] not in own:
            why = f"its server is at work on {other}"
    return state, why


def _troubles(record: Record, sessions: list[Record], rows: list[Row]) -> list[Record]:
    """What stopped a job, in order: attempts that failed, and sessions within one."""
    history = list(record.get("history") or [])
    known = {past.get("why") for past in history}
    for session in sessions:
        if session.get("ended") == "stopped" and session.get("why") not in known:
            end = str(session.get("end"))
            asked = sum(str(row.get("asked_at")) <= end for row in rows)
            past = {"kind": session.get("kind"), "why": str(session.get("why"))}
            history.append(past | {"moment": end, "asked": asked})
    return sorted(history, key=lambda trouble: str(trouble.get("moment")))


def write_job(folder: Path, record: Record) -> None:
    """Put the record of a job in the place of the old one."""
    writing.put(folder / JOB, writing.as_json(record, indent=1) + "\n")


# --- what is said of it ---------------------------------------------------------------


def totals(found: pd.DataFrame, moment: datetime | None = None) -> str:
    """A sweep in one line: its jobs by state, its pace, and the time that is left."""
    lanes = found.groupby("lane").agg(
        recent=("recent", "sum"), since=("since", "min"), left=("left", "sum")
    )
    seconds = ((moment or datetime.now(UTC)) - lanes.since).dt.total_seconds()
    paces = (60 * lanes.recent / seconds.clip(lower=1)).dropna()
    told = [f"{(found.state == state).sum()} {state}" for state in STATES]
    if len(paces):
        told.append(f"{paces.sum():.1f} questions/min")
        if found.state.isin(["running", "waiting"]).any():
            # A lane that has not begun goes as the others; the slowest ends last.
            usual = paces.reindex(lanes.index).fillna(paces.mean())
            hours, minutes = divmod(round((lanes.left / usual).max()), 60)
            told.append(f"{f'{hours} h ' if hours else ''}{minutes} min left")
    return ", ".join(told)


def status_text(sweep: Sweep) -> str:
    """The table of a sweep's jobs for a terminal, and its totals in a line."""
    found = standings(sweep)
    shown = found.assign(asked=_of_all(found), lane=found.endpoint)
    table = aligned(shown[["run", "lane", "state", "asked", "lost", "why"]])
    return f"{table}\n\n{totals(found)}"


def _of_all(found: pd.DataFrame) -> pd.Series:
    """How many questions were asked of how many, where the total is known."""
    total = found.total.astype("string").fillna(MISSING)
    return found.asked.astype("string") + "/" + total


def write_report(
    sweep: Sweep, lang: str = "en", failed: Mapping[str, str] | None = None
) -> Path:
    """Write `sweep-<name>.html` into the folder of the runs; the page.

    It says what was run, when and on which lanes, and how each run came out. `failed`
    holds the reasons of runs that their own folders may not tell.
    """
    found = standings(sweep, failed=failed)
    stories = [story(row, lang) for row in found.to_dict("records")]
    shown = found.assign(story=stories, asked=_of_all(found))
    names = ["run", "state", "story", "asked", "lost", "speed", "attempts", "endpoint"]
    states = found.state.value_counts(sort=False)
    text = html.page(
        "sweep.html.j2",
        lang,
        f"igaku: sweep {sweep.name}",
        name=sweep.name,
        states=[(word("state", state, lang), n) for state, n in states.items()],
        runs=len(found),
        first=_minute(found.started.min()),
        last=_minute(found.ended.max()),
        lanes=len(sweep.lanes),
        table=html.tabled(shown[names], lang),
        reasons=[
            (run, trouble["why"])
            for run, troubles in zip(found.run, found.troubles, strict=True)
            for trouble, _ in _in_a_row(troubles)
        ],
    )
    page = sweep.outputs_dir / f"sweep-{sweep.name}.html"
    writing.put(page, text)
    return page


def _minute(moment: pd.Timestamp) -> str:
    return "" if is_missing(moment) else f"{moment:%Y-%m-%d %H:%M}"


def story(job: Mapping[Any, Any], lang: str) -> str:
    """What happened to a job, in a few words; "–" where all went by itself."""
    troubles = job["troubles"]
    told = [
        say("sweep_trouble", lang, times=times, asked=trouble.get("asked") or 0,
            what=word("trouble", trouble.get("kind") or "stopped", lang))
        for trouble, times in _in_a_row(troubles)
    ]  # fmt: skip
    if job["state"] == "done" and troubles and job["went_on"]:
        last = troubles[-1]
        loads = last.get("kind") == "crashed" and job["loads"]
        told.append(say("sweep_went_on", lang, loads=loads, asked=last["asked"]))
    if job["state"] == "broken":
        cause = word("cause", job["cause"], lang)
        counts = {"asked": job["asked"], "lost": job["lost"]}
        told.append(say("sweep_broken", lang, cause=cause, **counts))
    if job["state"] == "waiting" and job["why"]:
        told.append(say("sweep_interrupted", lang))
    return say("sweep_story", lang, told=told) if told else MISSING


def _in_a_row(troubles: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Each trouble with how often it came in a row, told as it was the last time."""
    for _, group in groupby(troubles, key=lambda t: (t.get("kind"), t.get("why"))):
        same = list(group)
        yield same[-1], len(same)
