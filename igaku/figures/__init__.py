"""A frame drawn: every function takes a DataFrame and `ax=None` and returns the Axes.

Frames are those of `igaku.runs`, `igaku.pairs`, `igaku.load_runs` and `igaku.study`,
or any part of them. Nothing here reads a file, closes a figure or changes a setting of
matplotlib but `style.use`, which is there to.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from igaku.lazy import attach as _attach

if _TYPE_CHECKING:
    from igaku.figures.lengths import budget, survival, token_usage
    from igaku.figures.levels import sections, strata, verdict
    from igaku.figures.paired import forest, partings, plan, power
    from igaku.figures.scores import accuracy, crossed, memory

_HOMES = {
    **dict.fromkeys(("accuracy", "crossed", "memory"), "igaku.figures.scores"),
    **dict.fromkeys(("forest", "partings", "plan", "power"), "igaku.figures.paired"),
    **dict.fromkeys(("sections", "strata", "verdict"), "igaku.figures.levels"),
    **dict.fromkeys(("budget", "survival", "token_usage"), "igaku.figures.lengths"),
}
__all__ = [*_HOMES]
__getattr__, __dir__ = _attach("igaku.figures", _HOMES, ("style",))
