"""What a sweep says of itself: a table for a terminal, a report in two languages."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igaku.ask.folder import replace
from igaku.shown import (
    MISSING,
    Shown,
    columns,
    figure_of,
    heading,
    joined,
    plain,
    say,
    sentence,
    table,
)
from igaku.sweep.sweep import Sweep
from igaku.sweep.sweep_status import Standing, standings, totals, when

# The kinds of failure in words, Japanese and English.
KINDS = {
    "wrong_model": ("別のモデル", "wrong model"),
    "not_loaded": ("読み込めず", "not loaded"),
    "crashed": ("クラッシュ", "crashed"),
    "unreachable": ("接続できず", "unreachable"),
    "refused": ("始められず", "could not begin"),
    "other": ("失敗", "failed"),
}
STOPPED = ("停止", "stopped")
STATES = {
    "done": ("完了", "done"),
    "running": ("実行中", "running"),
    "broken": ("故障", "broken"),
    "failed": ("失敗", "failed"),
    "waiting": ("待機", "waiting"),
}


@dataclass(frozen=True)
class Trouble:
    """Something that stopped a job: its kind, when, after how many questions, why."""

    kind: str | None
    moment: str
    asked: int
    why: str


def status_text(sweep: Sweep) -> str:
    """The table of a sweep's jobs for a terminal, and its totals in a line."""
    found = standings(sweep)
    head = ["run", "lane", "state", "asked", "lost", "why"]
    rows = [
        [
            each.job.run,
            each.job.endpoint,
            each.state,
            asked_of(each),
            str(each.lost),
            plain(each.why or ""),
        ]
        for each in found
    ]
    return "\n".join([*_aligned([head, *rows]), "", str(totals(found))])


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(c + " " * (width - columns(c)) for c, width in cells).rstrip()


def asked_of(each: Standing) -> str:
    """How many questions were asked of how many.

    The total of a job that has not begun may not be known.
    """
    return f"{each.asked}/{each.total or MISSING}"


def write_report(
    sweep: Sweep, lang: str = "ja", failed: Mapping[str, str] | None = None
) -> Path:
    """Write `sweep-<name>.md` and its page into the folder of the runs; the page.

    `failed` holds the reasons of runs that their own folders may not tell.
    """
    from igaku.pages.render import page_of

    found = [_as_told(each, failed or {}) for each in standings(sweep)]
    body = report(sweep, found, lang)
    page = sweep.outputs_dir / f"sweep-{sweep.name}.html"
    sweep.outputs_dir.mkdir(parents=True, exist_ok=True)
    replace(page.with_suffix(".md"), (body.markdown + "\n").encode())
    html = page_of(f"igaku: sweep {sweep.name}", body.html, lang)
    replace(page, html.encode())
    return page


def _as_told(each: Standing, failed: Mapping[str, str]) -> Standing:
    """A job as its sweep saw it end, where its folder could not take that down."""
    why = failed.get(each.job.run)
    if why is None or each.state == "failed":
        return each
    past = {"kind": "other", "moment": "", "asked": each.asked, "why": why}
    history = [*(each.record.get("history") or []), past]
    record = each.record | {"why": why, "history": history}
    return dataclasses.replace(each, state="failed", record=record)


def report(sweep: Sweep, found: Sequence[Standing], lang: str) -> Shown:
    """What was run, when and on which lanes, and how each run came out."""
    title = say(lang, f"スイープ {sweep.name}", f"Sweep {sweep.name}")
    names = say(
        lang,
        "実行|状態|何が起きたか|質問|失われた返答|問/分|試行|レーン",
        "Run|State|What happened|Asked|Lost|Questions/min|Attempts|Lane",
    ).split("|")
    rows = [
        [
            each.job.run,
            say(lang, *STATES[each.state]),
            story(each, lang),
            asked_of(each),
            each.lost,
            figure_of(speed(each), 1),
            each.attempts,
            each.job.endpoint,
        ]
        for each in found
    ]
    return joined(
        [
            heading(title, 1),
            sentence(_outcome(found, lang)),
            sentence(_span(sweep, found, lang)),
            table(names, rows, left=(0, 1, 2, 7)),
            *_reasons(found, lang),
        ]
    )


def _reasons(found: Sequence[Standing], lang: str) -> Iterator[Shown]:
    """Every sentence that a run ended with, under the run's name."""
    told = [(each, list(_runs_of(list(troubles_of(each))))) for each in found]
    if any(troubles for _, troubles in told):
        yield heading(say(lang, "理由", "Reasons"), 2)
    for each, troubles in told:
        for trouble, _ in troubles:
            yield sentence(f"{each.job.run}: {trouble.why}")


def _outcome(found: Sequence[Standing], lang: str) -> str:
    states = totals(found).states
    told = [f"{say(lang, *STATES[state])} {n}" for state, n in states.items()]
    n = len(found)
    return say(
        lang,
        f"実行 {n}: {'、'.join(told)}。",
        f"{counted(n, 'run')}: {', '.join(told)}.",
    )


def _span(sweep: Sweep, found: Sequence[Standing], lang: str) -> str:
    begun = [m for each in found if (m := when(each.record.get("started")))]
    ended = [m for each in found if (m := when(each.record.get("ended")))]
    if not begun:
        return say(lang, "まだ始まっていません。", "It has not begun.")
    first, last = min(begun), max(ended, default=None)
    until = f"{last:%Y-%m-%d %H:%M}" if last else ""
    n = len(sweep.lanes)
    return say(
        lang,
        f"{first:%Y-%m-%d %H:%M}〜{until} (UTC)、レーン {n}。",
        f"From {first:%Y-%m-%d %H:%M} to {until or 'now'} (UTC), on "
        f"{counted(n, 'lane')}.",
    )


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "lane"), counted(4, "lane")
    ('1 lane', '4 lanes')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def speed(each: Standing) -> float | None:
    """Questions per minute while it asked, pauses left out."""
    seconds = sum(row.get("seconds") or 0 for row in each.rows)
    width = (each.manifest.get("settings") or {}).get("concurrency") or 1
    return each.asked * 60 * width / seconds if seconds else None


# --- what happened --------------------------------------------------------------------


def story(each: Standing, lang: str) -> str:
    """What happened to a job, in a few words; "–" where all went by itself."""
    troubles = list(troubles_of(each))
    last = troubles[-1] if troubles and each.state == "failed" else None
    told = [_told(trouble, n, lang) for trouble, n in _runs_of(troubles)]
    if each.state == "done" and troubles and _went_on(each, troubles[-1]):
        told.append(_resumed(each, troubles[-1], lang))
    if each.state == "broken" or (each.damage and last is None):
        told.append(_broken(each, lang))
    if each.state == "waiting" and each.why:
        told.append(say(lang, "中断", "interrupted"))
    return say(lang, "、", "; ").join(told) or MISSING


def _went_on(each: Standing, trouble: Trouble) -> bool:
    """Whether a session that was begun after a trouble has finished the run."""
    return any(
        session.get("ended") == "finished"
        and str(session.get("start", "")) >= trouble.moment
        for session in each.manifest.get("sessions") or []
    )


def _resumed(each: Standing, trouble: Trouble, lang: str) -> str:
    if trouble.kind == "crashed" and each.job.parameters.get("load"):
        return say(lang, "再読み込み、完了", "loaded again, finished")
    if trouble.asked:
        return say(lang, "続きから再開、完了", "resumed, finished")
    return say(lang, "その後完了", "then finished")


def _broken(each: Standing, lang: str) -> str:
    if each.damage:
        return each.damage
    lost, cause = each.lost, each.manifest.get("cause")
    return say(
        lang,
        f"{each.asked}問のうち{lost}問の返答が失われた (原因: {cause})",
        f"{lost} of {each.asked} replies were lost (cause: {cause})",
    )


def _told(trouble: Trouble, times: int, lang: str) -> str:
    word = say(lang, *KINDS.get(trouble.kind or "", STOPPED))
    count = f" ({times}×)" if times > 1 else ""
    n = trouble.asked
    if not n:
        return f"{word}{count}"
    return say(
        lang,
        f"{n}問のあと{word}{count}",
        f"{word}{count} after {counted(n, 'question')}",
    )


def _runs_of(troubles: Sequence[Trouble]) -> Iterator[tuple[Trouble, int]]:
    """Each trouble with how often it came in a row, told as it was the last time."""
    from itertools import groupby

    for _, group in groupby(troubles, key=lambda t: (t.kind, t.why)):
        same = list(group)
        yield same[-1], len(same)


def troubles_of(each: Standing) -> Iterator[Trouble]:
    """What stopped a job, in order: attempts that failed, and sessions within one."""
    history = each.record.get("history") or []
    known = {past.get("why") for past in history}
    found = [_attempted(past) for past in history]
    for session in each.manifest.get("sessions") or []:
        if session.get("ended") == "stopped" and session.get("why") not in known:
            found.append(_sat(each, session))
    yield from sorted(found, key=lambda trouble: trouble.moment)


def _attempted(past: Mapping[str, Any]) -> Trouble:
    told = {name: past.get(name) for name in ("kind", "moment", "asked", "why")}
    return Trouble(
        told["kind"], str(told["moment"]), told["asked"] or 0, str(told["why"])
    )


def _sat(each: Standing, session: Mapping[str, Any]) -> Trouble:
    """A session that ended before the run did, and the questions asked until then."""
    end = str(session.get("end"))
    asked = sum(str(row.get("asked_at")) <= end for row in each.rows)
    return Trouble(session.get("kind"), end, asked, str(session.get("why")))
