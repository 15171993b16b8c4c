"""A frame drawn: every function takes a DataFrame and `ax=None` and returns the Axes.

Frames are those of `igaku.runs`, `igaku.pairs`, `igaku.load_runs` and `igaku.study`,
or any part of them. Nothing here reads a file, closes a figure or changes a setting of
matplotlib but `style.use`, which is there to.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _TYPE_CHECKING:
    from igaku.figures.lengths import budget, survival, token_usage
    from igaku.figures.levels import sections, strata, verdict
    from igaku.figures.paired import forest, power
    from igaku.figures.scores import accuracy, memory

_HOMES = {
    **dict.fromkeys(("accuracy", "memory"), "scores"),
    **dict.fromkeys(("forest", "power"), "paired"),
    **dict.fromkeys(("sections", "strata", "verdict"), "levels"),
    **dict.fromkeys(("budget", "survival", "token_usage"), "lengths"),
}
__all__ = [
    "accuracy",
    "budget",
    "forest",
    "memory",
    "power",
    "sections",
    "strata",
    "survival",
    "token_usage",
    "verdict",
]


def __getattr__(name: str) -> _Any:
    """A figure from the module that owns it, or a module of this room."""
    if name in _HOMES:
        return getattr(_import_module(f"igaku.figures.{_HOMES[name]}"), name)
    try:
        return _import_module(f"igaku.figures.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != f"igaku.figures.{name}":
            raise
        raise AttributeError(
            f"module 'igaku.figures' has no attribute {name!r}"
        ) from None


def __dir__() -> list[str]:
    """The figures and their style, for completion in a notebook."""
    return [*__all__, "style"]
