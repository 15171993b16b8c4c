"""The document: what the runs show, once, as a page, as Markdown and as tables."""

from __future__ import annotations

from pathlib import Path

from igaku import paths
from igaku.pages.html import page, put, tabled
from igaku.pages.index import marks
from igaku.study import frames
from igaku.study.study import Study


def write(study: Study) -> Path:
    """Write `report.html` into the folder of the runs; returns its path."""
    target = (study.folder or paths.OUTPUTS) / "report.html"
    shown = ["label", "accuracy", "right", "asked", "lost", "status"]
    runs = tabled(frames.runs(study)[shown], study.lang)
    told = page(
        "report.html.j2", study.lang, "igaku: report", runs=runs, marks=marks(study)
    )
    put(target, told)
    return target
