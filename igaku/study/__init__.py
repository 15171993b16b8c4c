"""Runs as frames: what they hold, and what their comparison supports."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.study.families import open_study
    from igaku.study.frames import (
        budget_curves,
        cards,
        gates,
        lengths,
        loops,
        official,
        patterns,
        planning,
        published,
        rescues,
        sections,
        strata,
        survival,
    )

__all__ = [
    "budget_curves",
    "cards",
    "gates",
    "lengths",
    "loops",
    "official",
    "open_study",
    "patterns",
    "planning",
    "published",
    "rescues",
    "sections",
    "strata",
    "survival",
]

_HOMES = dict.fromkeys(__all__, "igaku.study.frames") | {
    "open_study": "igaku.study.families"
}
__getattr__, __dir__ = _attach("igaku.study", _HOMES)
