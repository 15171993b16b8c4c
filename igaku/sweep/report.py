"""What a sweep says of itself: a table for a terminal, a page in two languages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from igaku import writing
from igaku.pages import html
from igaku.sweep.file import Sweep
from igaku.sweep.status import standings, totals
from igaku.words import MISSING, aligned, is_missing, say, word


def status_text(sweep: Sweep) -> str:
    """The table of a sweep's jobs for a terminal, and its totals in a line."""
    found = standings(sweep)
    shown = found.assign(asked=_progress(found), lane=found.endpoint)
    table = aligned(shown[["run", "lane", "state", "asked", "lost", "why"]])
    return f"{table}\n\n{totals(found)}"


def _progress(found: pd.DataFrame) -> pd.Series:
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
    shown = found.assign(story=stories, asked=_progress(found))
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
