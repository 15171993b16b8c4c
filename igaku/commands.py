"""`igaku run`, `new`, `analyse`, `report` and `open`: from a model's name to a page.

Each does what papermill and `igaku render` do by hand, with the same files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths, workbook, writing
from igaku.ask import progress
from igaku.errors import IgakuError
from igaku.params.fields import reject_unknown
from igaku.params.settings import FIELDS, settings_from
from igaku.words import aligned, say, word

if TYPE_CHECKING:
    from igaku.params.settings import Settings

PAGES = ("report", "analysis", "mechanism", "index", "replies")
BEGINNING = "the notebook starts, then the server is checked"


# --- igaku run ------------------------------------------------------------------------


def run(model: str, named: Mapping[str, Any], told: Sequence[str], lang: str) -> Path:
    """Ask a model its exam by run.ipynb, as papermill does, and render it; the page.

    `named` are parameters of the notebook, None where not given, `told` more of them as
    `name=value`. A run that is there goes on, and a finished one is not asked again.
    """
    from igaku.pages.notebooks import render_notebook

    given = {"model": model, "lang": lang} | parameters(named, told)
    lang = given.pop("lang")
    settings = settings_from(**given)
    folder, before = settings.folder, progress.replies(settings.folder)
    refuse_other(settings)
    try:
        with progress.bar(desc=settings.run, initial=before, postfix=BEGINNING) as bar:
            workbook.ask(settings, given | {"lang": lang}, bar)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(progress.kept(folder)) from None
    if before and progress.replies(folder) == before:
        workbook.say("It was finished before: nothing was asked.")
    print(summary(folder, lang))
    return render_notebook(folder / "run.ipynb")


def refuse_other(settings: Settings) -> None:
    """Refuse what the run would, before its executed notebook is written over."""
    from igaku.ask.folder import ANSWERS, locked
    from igaku.ask.manifest import opened
    from igaku.ask.plan import plan_of
    from igaku.ask.rows import read_rows
    from igaku.ask.run import questions_of

    if rows := read_rows(settings.folder / ANSWERS):
        with locked(settings.folder):  # another process may be at it
            opened(plan_of(settings, questions_of(settings)), rows)


def parameters(named: Mapping[str, Any], told: Sequence[str]) -> dict[str, Any]:
    """The parameters of run.ipynb that were given, by option or as `name=value`.

    A value is read as in a file of `params/`, as YAML.

    >>> parameters({"limit": 3, "exam": None}, ["load=true", "exam=2021"])
    {'limit': 3, 'load': True, 'exam': 2021}
    """
    import yaml

    given = {name: value for name, value in named.items() if value is not None}
    for each in told:
        name, mark, value = each.partition("=")
        if not mark:
            raise IgakuError(f"-p {each} has no value: write it as -p {each}=VALUE.")
        reject_unknown([name], (*FIELDS, "lang"), "parameter")
        if name in given or name == "model":
            raise IgakuError(f"{name} is given twice: leave one of the two out.")
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise IgakuError(
                f"-p {each} cannot be read as YAML: put the value in quotes."
            ) from None
    return given


def summary(folder: Path, lang: str) -> str:
    """What a run came to: a row per section, then its score, status and weights."""
    import pandas as pd

    from igaku.pages.html import tabled
    from igaku.study.families import study_of
    from igaku.study.overview import runs
    from igaku.study.runs import load_run
    from igaku.study.scoring import is_lost

    sitting = load_run(folder)
    row: Any = runs(study_of([sitting], lang=lang)).iloc[0].to_dict()
    right, lost = sitting.rows["correct"].fillna(False), is_lost(sitting.rows)
    marks = pd.DataFrame({"asked": 1, "right": right, "lost": lost}).astype(int)
    counts = marks.groupby(sitting.rows["section"]).sum()
    counts.loc[word("section", "total", lang)] = counts.sum()
    counts.insert(2, "accuracy", counts["right"] / counts["asked"])
    table = tabled(counts.reset_index(), lang)
    assert table is not None
    blocks = ("run_score", "run_status", "run_identity")
    told = [say(block, lang, **row, manifest=sitting.manifest) for block in blocks]
    return "\n".join([aligned(pd.DataFrame(table.rows, columns=table.head)), "", *told])


# --- the others -----------------------------------------------------------------------


def new(folder: Path) -> tuple[list[Path], list[Path]]:
    """Make a folder with notebooks, params and outputs; the files made, those kept.

    What is there already stays as it is.
    """
    made: list[Path] = []
    kept: list[Path] = []
    for name, pattern in (("notebooks", "*.ipynb"), ("params", "**/*.yaml")):
        source = paths.READ / name
        files = sorted(source.glob(pattern))
        if not files:
            raise IgakuError(
                f"There is nothing to copy from {source}: install igaku again, or run "
                "this in its checkout."
            )
        for file in files:
            target = folder / name / file.relative_to(source)
            (kept if target.exists() else made).append(target)
            if target in made:
                writing.put(target, file.read_bytes())
    writing.folder(folder / "outputs")
    return made, kept


def analyse(outputs: Path | None, lang: str) -> Path:
    """Compare the runs of a folder by analysis.ipynb, render all of it; the page."""
    return workbook.analyse(_folder(outputs), lang)


def report(outputs: Path | None, lang: str) -> Path:
    """Write the report of a folder's runs, as the analysis does; its page."""
    from igaku.pages.document import write
    from igaku.study.families import open_study

    study = open_study(_folder(outputs), lang=lang)
    if not study.runs:
        raise IgakuError(say("no_runs", lang, folder=study.folder))
    return write(study)


def page_of(what: str | None, outputs: Path | None) -> Path:
    """A page by its name, or by that of a run; else the first of `PAGES` that is there.

    A run or a notebook without a page is rendered, and the page of replies is written
    anew where a run has gone on since.
    """
    from igaku.pages.notebooks import render_notebook, renew_replies

    folder = _folder(outputs)
    runs = sorted(path.parent.name for path in folder.glob("*/run.ipynb"))
    if what is None:
        there = [name for name in PAGES if (folder / f"{name}.html").is_file()]
        what = next(iter([*there, *runs]), "report")
    if what not in PAGES:
        reject_unknown([what], [*runs, *PAGES], "page of")
    if what == "replies":
        renew_replies(folder)
    notebook = folder / what / "run.ipynb" if what in runs else folder / f"{what}.ipynb"
    page = notebook.with_suffix(".html")
    if not page.is_file() and notebook.is_file():
        return render_notebook(notebook)
    if not page.is_file():
        raise IgakuError(f"There is no {page}: make it with `igaku analyse`.")
    return page


def show(page: Path) -> None:
    """Open a page in the browser where there is one, and say where it is."""
    import webbrowser

    print(page.absolute().as_uri())
    is_seen = sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    if not (is_seen and webbrowser.open(page.absolute().as_uri())):
        workbook.say("No browser was found: open that address yourself.")


def _folder(outputs: Path | None) -> Path:
    folder = paths.outputs_folder(outputs).absolute()
    if not folder.is_dir():
        raise IgakuError(f"There is no folder {folder}: ask a model with `igaku run`.")
    return folder
