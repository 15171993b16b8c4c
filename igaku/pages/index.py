"""The index: every run of a folder with its score first, and the pages beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from igaku.pages.html import page, put, tabled
from igaku.study import frames
from igaku.study.families import Study, open_study
from igaku.study.runs import Run, unmeasured
from igaku.words import MARKS, is_missing, labelled, say, word

# The pages beside the index that have a sentence of their own in it, in this order.
PAGES = ("report", "analysis", "mechanism")
COLUMNS = (
    "label", "accuracy", "score", "state", "lost", "weights", "exam", "max_tokens",
    "origin", "started", "run",
)  # fmt: skip


def write_index(outputs_dir: str | Path, lang: str = "en") -> Path:
    """The page that lists the runs by score, links each, and what could not begin."""
    import pandas as pd

    folder = Path(outputs_dir).expanduser()
    study = open_study(folder, lang=lang)
    scores = score_rows(study)
    jobs = [_job(job, lang) for job in unmeasured(folder)]
    table = pd.DataFrame([*scores, *jobs], columns=list(COLUMNS))
    target = folder / "index.html"
    told = page(
        "index.html.j2", lang, say("index_title", lang), table=tabled(table, lang),
        headline=_headline(scores, lang), pages=_pages(folder, lang),
        marks=marks(study),
        is_lab=any(run.is_lab for run in study.runs),
    )  # fmt: skip
    put(target, told)
    return target


def score_rows(study: Study) -> list[dict[str, Any]]:
    """The runs of a study as an index lists them, the best score first."""
    told = frames.runs(study).sort_values("accuracy", ascending=False, kind="stable")
    return [_row(study.run(row["run"]), row, study.lang) for _, row in told.iterrows()]


def _row(run: Run, row: Any, lang: str) -> dict[str, Any]:
    told = run.manifest.get("identity")
    source = told.get("source") if isinstance(told, dict) else None
    path = f" ({source})" if source and run.identity == "verified" else ""
    name = labelled(row["label"], run.identity)
    return {
        "label": _link(f"{run.name}/run.html", name, run.folder / "run.html"),
        "accuracy": row["accuracy"], "score": f"{row['right']}/{row['asked']}",
        "state": state(row, lang), "lost": row["lost"],
        "weights": word("identity", run.identity, lang) + path,
        "exam": run.exam, "max_tokens": run.budget, "origin": run.origin,
        "started": day(row["started"]), "run": run.name,
    }  # fmt: skip


def state(row: Any, lang: str) -> str:
    """The status of a run in words, with the cause of a broken one."""
    told = word("status", row["status"], lang)
    # That its replies are blank is no cause, and stands in a column of its own.
    if row["status"] != "BROKEN" or row["cause"] not in ("budget", "api"):
        return told
    return say("page_broken", lang, state=told, cause=word("cause", row["cause"], lang))


def day(moment: Any) -> str | None:
    """The minute of a moment, in the record's own time."""
    return None if is_missing(moment) else f"{moment:%Y-%m-%d %H:%M}"


def marks(study: Study) -> list[str]:
    """What the marks behind the labels mean, each that occurs once."""
    met = {run.identity for run in study.runs}
    return [
        f"{sign} {say(f'mark_{name}', study.lang)}"
        for name, sign in MARKS.items()
        if name in met
    ]


def _headline(rows: list[dict[str, Any]], lang: str) -> str:
    if not rows:
        return say("index_empty", lang)
    best = rows[0]
    return say("index_headline", lang, n=len(rows), best=best["label"],
               score=best["score"], accuracy=best["accuracy"] or 0,
               lost=sum(row["lost"] > 0 for row in rows))  # fmt: skip


def _job(job: dict[str, Any], lang: str) -> dict[str, Any]:
    """A run that a sweep could not begin: why, where a run has its status."""
    why = say("index_not_measured", lang, why=job.get("why"))
    return {"label": job.get("model") or job["run"], "state": why, "run": job["run"]}


def _pages(folder: Path, lang: str) -> list[tuple[str, str, str]]:
    """The pages beside the index: address, name, and what is in it."""
    stems = {p.stem for p in folder.glob("*.html")} - {"index"}
    known = [stem for stem in PAGES if stem in stems]
    return [
        (f"{stem}.html", *_named(stem, lang))
        for stem in [*known, *sorted(stems - {*known})]
    ]


def _named(stem: str, lang: str) -> tuple[str, str]:
    if stem in PAGES:
        return say(f"index_{stem}", lang), say(f"index_{stem}_is", lang)
    kind, _, name = stem.partition("-")
    if kind == "sweep" and name:
        return say("index_sweep", lang, name=name), say("index_sweep_is", lang)
    return stem, ""


def _link(address: str, words: str, file: Path) -> Any:
    """A label that leads to its run's page, where there is one."""
    from markupsafe import Markup

    if not file.is_file():
        return words
    return Markup('<a href="{}">{}</a>').format(quote(address), words)
