"""`make run`: the study in miniature, on the embedded model, and its report.

Six recipes are asked as the seed asked its models if its efforts differed; then models,
efforts and budgets are crossed, with a control for bits, and what was lost is asked
again with a larger budget.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby, product
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igaku import paths, workbook
from igaku.ask import progress
from igaku.ask.progress import replies
from igaku.ask.run import asked_by_one, base_of
from igaku.errors import IgakuError
from igaku.workbook import say

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

    from igaku.params.settings import Settings

# The recipes by the seed's numbers. Its first three gave short replies, the others most
# often none: as if those had been told low, and these nothing, which is medium here.
TOLD_LOW = ("lab-mlx-8bit", "lab-gguf-mxfp4", "lab-mxfp4-q8")
TOLD_NOTHING = ("lab-mxfp4-q4", "lab-mlx-4bit", "lab-all-mxfp4")
RECIPES = (*TOLD_LOW, *TOLD_NOTHING)
LIMIT = 30
# Every reply at low takes 16 to 34 tokens, at medium 32 to 80, one half of them 51 or
# more, at high 53 to 151: so 48 leaves low whole and cuts most of medium, as 1,024 may
# have done to gpt-oss-20b. Four times as many is the rescue's budget, and enough.
BUDGET, LARGER = 48, 192
CROSSED = ("lab-mxfp4-q8", "lab-mxfp4-q4")
CONTROL = "lab-mxfp4-q2"  # few enough bits to show what bits do
EFFORTS = ("low", "medium", "high")
QUESTIONS = 40  # other ones than above: a run of each condition, asked to its end
TOGETHER = 8  # requests in flight
RUNS = "{desc}{n_fmt}/{total_fmt} runs, {remaining} left |{bar:12}|"
LOST = f"{CONTROL}-medium-{BUDGET}"  # what the control lost, for its rescue


def demo(lang: str = "en") -> Path:
    """Ask, cross and rescue the embedded models, then analyse; the page to look at.

    A model whose engine is not installed is left out with a sentence. What failed is
    named at the end, after everything else has been rendered.
    """
    from igaku.params.settings import files_in

    files_in("lab")  # without them nothing can be asked, and that is said first
    there = {slug for slug in (*RECIPES, CONTROL) if has_engine(slug)}
    asked = [given for given in as_asked() if given["model"] in there]
    if not asked:
        raise IgakuError(
            "No engine of the lab is installed: see the sentences above, or give "
            "run.ipynb the address of a server of your own as base_url."
        )
    with progress.bar(total=LIMIT * len(asked), desc="Asking") as bar:
        failed = ask_all(asked, lang, bar)
    both = [slug for slug in (*CROSSED, CONTROL) if slug in there]
    failed += ask_here(crossed(both), "crossing")
    failed += rescue([given["model"] for given in asked])
    page = workbook.analyse(paths.OUTPUTS, lang)
    say(f"Every reply is kept under {page.parent}; report, workbook, and all pages:")
    for name in ("report.html", page.name, "index.html"):
        print(page.with_name(name))
    if failed:
        raise IgakuError(f"{' and '.join(failed)} did not finish: see above.")
    return page


def has_engine(slug: str) -> bool:
    """Whether the model can be served here; where not, the reason is said."""
    from igaku.lab.engines import missing_engine

    reason = missing_engine(slug)
    if reason:
        say(f"{slug} is left out: {reason}")
    return not reason


def as_asked() -> list[dict[str, Any]]:
    """The parameters of the six runs: as the seed's, if its efforts differed."""
    told = [{"model": slug, "reasoning_effort": "low"} for slug in TOLD_LOW]
    told += [{"model": slug} for slug in TOLD_NOTHING]
    return [given | {"max_tokens": BUDGET, "limit": LIMIT} for given in told]


def ask_all(asked: Sequence[Mapping[str, Any]], lang: str, bar: Bar) -> list[str]:
    """Ask one model after the other by run.ipynb; the slugs of those that failed."""
    from igaku.params.settings import settings_from

    failed = []
    for number, given in enumerate(asked, 1):
        settings = settings_from(**given)
        bar.set_postfix_str("", refresh=False)  # it is the last run's
        bar.set_description(f"{number}/{len(asked)} {settings.slug}")
        try:
            workbook.ask(settings, {**given, "lang": lang}, bar)
        except IgakuError as problem:
            bar.write(f"{settings.slug}: {problem}", file=sys.stderr)
            failed.append(settings.slug)
        # A run that stopped early leaves questions that nobody will ask.
        unasked = (settings.limit or 0) - replies(settings.folder)
        bar.total = (bar.total or 0) - unasked
    return failed


# --- the controlled runs: one engine a model, and no notebook -------------------------


def crossed(slugs: Sequence[str]) -> list[Settings]:
    """The settings of every model, effort and budget, model by model."""
    from igaku.params.settings import settings_from

    return [
        settings_from(
            model=slug, reasoning_effort=effort, max_tokens=budget, limit=QUESTIONS,
            run=f"{slug}-{effort}-{budget}", stop_when_broken=False,
            concurrency=TOGETHER,
        )
        for slug, budget, effort in product(slugs, (BUDGET, LARGER), EFFORTS)
    ]  # fmt: skip


def rescue(slugs: Sequence[str]) -> list[str]:
    """Ask again what the models as asked, and the control for bits, have lost."""
    from igaku.params.settings import settings_from
    from igaku.rescue import sittings

    begun = [run for run in (*slugs, LOST) if replies(paths.OUTPUTS / run)]
    runs = [run for run in begun if base_of(run, paths.OUTPUTS).lost]
    again = [one for run in runs for one in sittings(run)]
    return ask_here([settings_from(**given) for given in again], "asking again")


def ask_here(chosen: Sequence[Settings], doing: str) -> list[str]:
    """Ask runs in this process, one engine a model; the names of those that failed."""
    failed = []
    with progress.bar(desc=doing, total=len(chosen), bar_format=RUNS) as bar:
        for slug, runs in groupby(chosen, attrgetter("slug")):
            bar.set_description(f"{doing} {slug}")
            try:
                for _ in asked_by_one(list(runs)):
                    bar.update()
            except IgakuError as problem:
                bar.write(f"{slug}: {problem}", file=sys.stderr)
                failed.append(f"{doing} {slug}")
    return failed
