"""A rescue: the questions that a run lost to its token budget, asked again with more.

A larger budget is the cause of a new answer only where the old budget would have lost
the question once more. So the same questions are asked at the old budget too, which is
the control; all else stays as it was. Both are runs like any other, with `lost_of`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from igaku import paths, words, workbook
from igaku.ask.plan import PROBE_FACTOR
from igaku.ask.progress import bar as bar_of
from igaku.ask.run import Base, base_of, questions_of
from igaku.errors import IgakuError
from igaku.params.fields import LAB
from igaku.params.settings import checked, settings_from

# What the two sittings share with the run: all that a reply depends on, and the pace,
# as a reply may depend on which others were being made beside it.
SHARED = (
    *(name for name in words.HELD_FIXED if name != "max_tokens"),
    *("model", "exam", "slug", "base_url", "concurrency", "data_dir"),
)


def rescue(
    run: str,
    max_tokens: int | None = None,
    base_url: str | None = None,
    outputs_dir: Path | None = None,
    lang: str = "en",
) -> Iterator[Path]:
    """Ask a run's lost questions with a larger budget, then with its own; the folders.

    Without `max_tokens` the larger budget is four times the run's. What cannot work is
    refused before anything is asked.
    """
    given = sittings(run, max_tokens, base_url, outputs_dir)
    chosen = [settings_from(**sitting) for sitting in given]
    asked = [len(questions_of(settings)) for settings in chosen]
    for settings, sitting, total in zip(chosen, given, asked, strict=True):
        with bar_of(total=total, desc=settings.run) as bar:
            workbook.ask(settings, sitting | {"lang": lang}, bar)
        yield settings.folder


def sittings(
    run: str,
    max_tokens: int | None = None,
    base_url: str | None = None,
    outputs_dir: Path | None = None,
) -> list[dict[str, Any]]:
    """The parameters of a rescue and of its control; see `rescue`."""
    outputs_dir = (outputs_dir or paths.OUTPUTS).absolute()
    base = base_of(checked("lost_of", run, "the run"), outputs_dir)
    larger = PROBE_FACTOR * base.budget if max_tokens is None else max_tokens
    if larger <= base.budget:
        raise IgakuError(
            f"{larger:,} tokens would rescue nothing that {base.name} lost at "
            f"{base.budget:,}: give a larger --max-tokens."
        )
    causes = {row.get("cause") for row in base.rows if row["problem_id"] in base.lost}
    if causes == {"window"}:
        raise IgakuError(
            f"{base.name} lost its {len(base.lost)} questions to the context window of "
            "the server, not to its budget: load the model with a longer context and "
            "ask again in a run of another name."
        )
    place = {"outputs_dir": str(outputs_dir)}
    place |= {"base_url": base_url} if base_url else {}
    return [parameters(base, budget) | place for budget in (larger, base.budget)]


def parameters(base: Base, max_tokens: int) -> dict[str, Any]:
    """The parameters of run.ipynb that ask a run's lost questions as the run did."""
    told = base.manifest["settings"]
    given = {name: told[name] for name in SHARED if told.get(name) is not None}
    if base.manifest.get("origin") == LAB:  # its server ended with the run
        given["base_url"] = LAB
    # A reply that may be four times as long may take four times as long.
    timeout = min(told["timeout"] * max_tokens / base.budget, 86_400)
    card = base.manifest.get("card") or {}
    kind = "control" if max_tokens == base.budget else "rescue"
    return given | {
        "run": f"{base.name}-{kind}",
        "lost_of": base.name,
        "max_tokens": max_tokens,
        "timeout": timeout,
        "card": card,
    }
