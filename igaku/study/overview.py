"""The runs side by side: what each is and what it scored, and the models' cards."""

from __future__ import annotations

from typing import Any

import pandas as pd

from igaku.ask.folder import holder
from igaku.params.settings import card_frame
from igaku.study.audits import wrong_runs
from igaku.study.families import Source, Study, named, role, size_gb, study_in
from igaku.study.runs import Run, status
from igaku.study.scoring import (
    blank,
    correct,
    is_lost,
    points_short,
    verdict,
    with_share,
)

RUNS = (
    "run", "label", "status", "cause", "role", "origin", "exam", "planned", "asked",
    "right", "accuracy", "low", "high", "blank", "lost", "api_error", "verdict",
    "short", "conditional", "identity", "counted", "same_as", "format",
    "quantization", "size_gb", "max_tokens", "reasoning_effort", "seconds",
    "completion_tokens", "hf_downloads", "started", "color", "marker", "doubtful",
    "adjudicated", "right_strict", "right_permissive", "reread",
)  # fmt: skip
WHOLE = ("planned", "short", "max_tokens", "hf_downloads", "right_permissive")
NUMBERS = ("size_gb", "seconds", "completion_tokens")


def runs(outputs_dir: Source = None) -> pd.DataFrame:
    """One row per run, the reference first: what it is, what it scored, what it lost.

    `run label status cause role origin exam`: its folder and display name; OK, RUNNING,
    INCOMPLETE or BROKEN with a cause; finished, stopped, reference or follow-up;
    measured, recorded or lab. `planned asked right`: questions. `accuracy low
    high`: right/asked with Wilson's 95 % interval (fractions). `blank lost
    api_error`: replies without text; cut, blank or failed ones; failed requests.
    `verdict short`: PASS or FAIL at 75 % of a whole exam, and the questions missing
    to it. `conditional`: it was stopped for its losses, so that its shares hold
    given that stop. `identity`: verified, unverified, wrong_model or unsettled.
    `counted same_as`: False for a run that is shown to be wrong or is the same replies
    as the run `same_as`. `format quantization size_gb hf_downloads`: its card.
    `max_tokens reasoning_effort`: as asked. `seconds completion_tokens`: medians of
    its replies. `started`: the first request. `color marker`: the run's in every
    figure, as its card has them. `doubtful adjudicated reread`: replies on which
    the readers differ or unknown marks remain; those that a human decided; those
    read otherwise today than when they were asked. `right_strict right_permissive`:
    right answers as each reader alone has them; `right` is the strict reader's with
    what a human decided.

    >>> shown = ["label", "right", "asked", "accuracy", "low", "high"]
    >>> igaku.runs("outputs")[shown].head(2).round(3)  # doctest: +SKIP
               label  right  asked  accuracy    low   high
    0   openai @8bit    286    400     0.715  0.669  0.757
    1  openai @mxfp4    284    400     0.710  0.664  0.752
    """
    return study_in(outputs_dir).once(_runs).copy()


LISTED = (
    "run", "status", "cause", "running", "asked", "planned", "right", "accuracy",
    "lost", "identity", "last",
)  # fmt: skip


def listing(outputs_dir: Source = None) -> pd.DataFrame:
    """The runs in few columns, as a terminal lists them, those of the folder.

    As `runs`, with `running`, the process that asks now, and `last`, the moment of the
    last reply.
    """
    study = study_in(outputs_dir)
    found = runs(study)
    found["running"] = [holder(run.folder) for run in study.runs]
    found["accuracy"] = found["accuracy"].round(3)
    last = [run.rows["asked_at"].dropna().max() for run in study.runs]
    moments = pd.to_datetime(pd.Series(last, found.index), utc=True)
    found["last"] = moments.dt.strftime("%Y-%m-%d %H:%M").where(moments.notna(), None)
    return found[list(LISTED)]


def _runs(study: Study) -> pd.DataFrame:
    wrong = wrong_runs(study)
    rows = [_row(study, run) for run in study.runs]
    frame = pd.DataFrame(rows, columns=list(RUNS))
    frame["counted"] = ~frame["run"].isin(list(wrong))
    frame["same_as"] = frame["run"].map(wrong)
    frame["started"] = pd.to_datetime(frame["started"], utc=True)
    frame[list(NUMBERS)] = frame[list(NUMBERS)].astype(float)
    return with_share(frame, "asked").astype(dict.fromkeys(WHOLE, "Int64"))


def _row(study: Study, run: Run) -> dict[str, Any]:
    rows, state, told = run.rows, status(run), run.card.get("downloads")
    is_sat = run.is_whole_exam and run.is_complete
    about = named(study, run, "format", "quantization", "color", "marker")
    numbers = rows[["seconds", "completion_tokens"]].astype(float)
    medians: dict[Any, Any] = numbers.median().to_dict()
    return about | medians | {
        "status": state.name, "cause": state.cause, "role": role(run),
        "origin": run.origin, "exam": run.exam, "planned": run.planned,
        "asked": run.asked, "right": correct(rows), "blank": int(blank(rows).sum()),
        "lost": int(is_lost(rows).sum()),
        "api_error": int((rows["outcome"] == "api_error").sum()),
        "conditional": state.name == "BROKEN" and not run.is_complete,
        "verdict": verdict(run), "short": points_short(run) if is_sat else None,
        "identity": run.identity, "size_gb": size_gb(run), "max_tokens": run.budget,
        "reasoning_effort": run.settings.get("reasoning_effort"),
        "hf_downloads": told if isinstance(told, int) else None,
        "started": rows["asked_at"].min(), "right_permissive": _permissive(rows),
        "right_strict": int(rows["strict_correct"].sum()),
        **{name: int(rows[name].sum()) for name in ("doubtful", "adjudicated",
                                                    "reread")},
    }  # fmt: skip


def _permissive(rows: pd.DataFrame) -> int | None:
    """Right answers as the permissive reader has them; None where none is on record."""
    if rows["reader"].isna().all():
        return None
    return int(rows["permissive_correct"].fillna(rows["strict_correct"]).sum())


def cards(outputs_dir: Source = None) -> pd.DataFrame:
    """The models' cards in the study's language: a row per item, a column per run."""
    study = study_in(outputs_dir)
    told = {
        run.name: card_frame(run.card, study.lang).set_index("what")["value"].to_dict()
        for run in study.runs
    }
    items = dict.fromkeys(item for card in told.values() for item in card)
    return pd.DataFrame(told, index=pd.Index(list(items), name="item"), dtype=object)
