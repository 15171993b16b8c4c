"""The index: every run of a folder with its score first, and the pages beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd

import igaku
from igaku.ask.folder import ANSWERS
from igaku.pages.html import page, tabled
from igaku.pages.notebooks import failed
from igaku.study.families import Study, open_study
from igaku.study.runs import Run, unmeasured, unreadable
from igaku.words import MARKS, is_missing, labelled, plain, say, word
from igaku.writing import put

if TYPE_CHECKING:
    from markupsafe import Markup

# The pages beside the index that have a sentence of their own in it, in this order.
PAGES = ("report", "analysis", "replies", "mechanism")
PART = re.compile(r"replies-\d+")  # of the replies, which lead to it
COLUMNS = (
    "label", "accuracy", "state", "lost", "weights", "score", "exam", "max_tokens",
    "origin", "started",
)  # fmt: skip


def write_index(outputs_dir: str | Path, lang: str = "en") -> Path:
    """The page that lists the runs by score, links each, and what could not begin."""
    return index_of(open_study(outputs_dir, lang=lang), Path(outputs_dir).expanduser())


def index_of(study: Study, folder: Path) -> Path:
    """The same of a study that is open already, whose runs are in that folder."""
    lang = study.lang
    rows = score_rows(study)
    table = tabled(pd.DataFrame(rows, columns=list(COLUMNS)), lang)
    target = folder / "index.html"
    told = page(
        "index.html.j2", lang, say("index_title", lang), table=table,
        headlines=_headlines(rows, lang), pages=_pages(folder, lang),
        not_begun=_not_begun(folder), unread=unreadable(folder), marks=marks(study),
        is_lab=any(run.is_lab for run in study.runs),
    )  # fmt: skip
    put(target, told)
    return target


def _not_begun(folder: Path) -> list[dict[str, Any]]:
    """The runs without an answer: what a sweep, or else their notebook, says of why."""
    jobs = {job["run"]: job for job in unmeasured(folder)}
    for path, why in failed(folder).items():
        place = path.parent
        if place != folder and not (place / ANSWERS).exists():
            jobs.setdefault(place.name, {"run": place.name, "why": why})
    return list(jobs.values())


def score_rows(study: Study) -> list[dict[str, Any]]:
    """The runs of a study as an index lists them: by exam, the best score first."""
    by_score = ["exam", "accuracy"]
    told = igaku.runs(study).sort_values(by_score, ascending=[True, False])
    return [_row(study.run(row["run"]), row, study.lang) for _, row in told.iterrows()]


def _row(run: Run, row: Any, lang: str) -> dict[str, Any]:
    known, began = run.manifest.get("identity"), row["started"]
    source = known.get("source") if isinstance(known, dict) else None
    path = f" ({source})" if source and run.identity == "verified" else ""
    name = labelled(row["label"], run.identity)
    if is_missing(began):
        began = run.manifest.get("start")
    return {
        "name": name, "label": _linked(name, run), "accuracy": row["accuracy"],
        "score": f"{row['right']}/{row['asked']}", "state": state(row, lang),
        "lost": row["lost"], "weights": word("identity", run.identity, lang) + path,
        "exam": str(run.exam), "max_tokens": run.budget, "origin": run.origin,
        "started": str(began)[:10] if began is not None else None,
    }  # fmt: skip


def state(row: Any, lang: str) -> str:
    """The status of a run in words, with the cause of a broken one."""
    told = word("status", row["status"], lang)
    # That its replies are blank is no cause, and stands in a column of its own.
    if row["status"] == "BROKEN" and row["cause"] in ("budget", "api"):
        cause = word("cause", row["cause"], lang)
        told = say("page_broken", lang, state=told, cause=cause)
    return say("page_conditional", lang, state=told) if row["conditional"] else told


def marks(study: Study) -> list[str]:
    """What the marks behind the labels mean, each that occurs once."""
    met = {run.identity for run in study.runs}
    return [
        f"{sign} {say(f'mark_{name}', study.lang)}"
        for name, sign in MARKS.items()
        if name in met
    ]


def _headlines(rows: list[dict[str, Any]], lang: str) -> list[str]:
    """How many runs sat each exam, and the best of them."""
    told = []
    for exam in dict.fromkeys(row["exam"] for row in rows):
        runs = [row for row in rows if row["exam"] == exam]
        lost = sum(row["lost"] > 0 for row in runs)
        told.append(
            say("index_headline", lang, **runs[0] | {"exam": exam_name(exam, lang)},
                n=len(runs), losing=lost)
        )  # fmt: skip
    return told or [say("index_empty", lang)]


def exam_name(exam: str, lang: str) -> str:
    """An exam in words: the 116th national exam, or the lab's own."""
    if exam.isdecimal():
        return say("exam_national", lang, year=exam, number=int(exam) - 1906)
    return say("exam_lab", lang) if exam == "calibration" else exam


def _pages(folder: Path, lang: str) -> list[tuple[str, str, str]]:
    """The pages beside the index: address, name, and what is in it."""
    stems = {p.stem for p in folder.glob("*.html") if not PART.fullmatch(p.stem)}
    stems -= {"index"}
    known = [stem for stem in PAGES if stem in stems]
    return [
        (f"{stem}.html", *_named(stem, lang))
        for stem in [*known, *sorted(stems - {*known})]
    ]


def _named(stem: str, lang: str) -> tuple[str, str]:
    """What a page beside the index is called there, and what is in it."""
    kind, _, name = stem.partition("-")
    if kind == "sweep" and name:
        return say("index_sweep", lang, name=name), say("index_sweep_is", lang)
    bare = stem.removesuffix(".ja")
    if bare not in PAGES:
        return stem, ""
    name = say(f"index_{bare}", lang, is_japanese=bare != stem)
    return name, say(f"index_{bare}_is", lang)


def _linked(name: str, run: Run) -> Markup:
    """A label that leads to its run's page, where there is one, above its folder."""
    from markupsafe import Markup

    words = Markup("{}").format(plain(name))
    if (run.folder / "run.html").is_file():
        address = quote(f"{run.name}/run.html")
        words = Markup('<a href="{}">{}</a>').format(address, words)
    return Markup('{}<br><small class="note">{}</small>').format(words, plain(run.name))
