"""`make run`: every embedded model sits its exam, and the comparison is rendered."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths, workbook
from igaku.errors import IgakuError
from igaku.workbook import replies, say

if TYPE_CHECKING:
    from igaku.params.settings import Settings

LIMIT = 60


def demo(lang: str = "en", limit: int = LIMIT, outputs_dir: Path | None = None) -> Path:
    """Ask every embedded model, analyse and render; the page to look at.

    A model whose engine is not installed is left out with a sentence. What failed is
    named at the end, after everything else has been rendered.
    """
    place = {"outputs_dir": str(outputs_dir.absolute())} if outputs_dir else {}
    sittings = [s for s in lab_settings(limit=limit, **place) if has_engine(s)]
    if not sittings:
        raise IgakuError(
            "No engine of the lab is installed: see the sentences above, or give "
            "run.ipynb the address of a server of your own as base_url."
        )
    failed = ask_all(sittings, {"limit": limit, "lang": lang, **place})
    page = workbook.analyse(sittings[0].outputs_dir, lang)
    say(f"Every reply is kept under {page.parent}; report, workbook, and all pages:")
    for name in ("report.html", page.name, "index.html"):
        print(page.with_name(name))
    if failed:
        raise IgakuError(f"{' and '.join(failed)} did not finish: see above.")
    return page


def lab_settings(**given: Any) -> list[Settings]:
    """The settings of the embedded models, one for each file in `params/lab`."""
    from igaku.params.settings import settings_from

    slugs = sorted(path.stem for path in (paths.PARAMS / "lab").glob("*.yaml"))
    return [settings_from(model=slug, **given) for slug in slugs]


def has_engine(settings: Settings) -> bool:
    """Whether the model can be served here; where not, the reason is said."""
    from igaku.lab.engines import missing_engine

    reason = missing_engine(settings.slug)
    if reason:
        say(f"{settings.slug} is left out: {reason}")
    return not reason


def ask_all(sittings: Sequence[Settings], parameters: Mapping[str, Any]) -> list[str]:
    """Ask one model after the other; the slugs of those that failed."""
    from tqdm import tqdm

    failed = []
    total = sum(settings.limit or 0 for settings in sittings)
    with tqdm(total=total, unit="q", smoothing=0, mininterval=workbook.PACE) as bar:
        for number, settings in enumerate(sittings, 1):
            bar.set_description(f"{number}/{len(sittings)} {settings.slug}")
            try:
                workbook.ask(settings, {"model": settings.slug, **parameters}, bar)
            except IgakuError as problem:
                bar.write(f"{settings.slug}: {problem}", file=sys.stderr)
                failed.append(settings.slug)
            # A run that stopped early leaves questions that nobody will ask.
            unasked = (settings.limit or 0) - replies(settings.folder)
            bar.total = (bar.total or 0) - unasked
    return failed
