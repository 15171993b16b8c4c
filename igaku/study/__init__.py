"""Runs as frames: what they hold, and what their comparison supports."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.study.families import open_study
    from igaku.study.frames import cards, official, published, sections, strata

_HOMES = {
    "cards": "igaku.study.frames",
    "official": "igaku.study.frames",
    "open_study": "igaku.study.families",
    "published": "igaku.study.frames",
    "sections": "igaku.study.frames",
    "strata": "igaku.study.frames",
}
__all__ = ["cards", "official", "open_study", "published", "sections", "strata"]

__getattr__, __dir__ = _attach("igaku.study", _HOMES)
