"""Runs as frames: what they hold, and what their comparison supports."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.study.families import open_study

_FRAMES = ()
_HOMES = {
    "open_study": "igaku.study.families",
    **dict.fromkeys(_FRAMES, "igaku.study.frames"),
}
__all__ = ["open_study"]

__getattr__, __dir__ = _attach("igaku.study", _HOMES)
