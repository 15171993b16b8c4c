"""Names looked up and patterns compiled on first use: importing a room is cheap."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, cast


class _Pattern:
    """A regular expression that is compiled when something is first asked of it."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._told = pattern, flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(*self._told)

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__[name] = getattr(self._compiled, name)
        return found


def pattern(words: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern as `re.compile` gives it, compiled on first use.

    Long patterns take longer to compile than most replies take to read.

    >>> pattern("[a-h]").findall("b, d")
    ['b', 'd']
    """
    return cast("re.Pattern[str]", _Pattern(words, flags))


def attach(
    package: str, homes: Mapping[str, str], rooms: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names live in `homes`.

    `homes` maps a name to the module that owns it, as in `{"load_exam":
    "igaku.exam.questions"}`. Modules of the package are found by their own names; those
    in `rooms` are listed too.
    """

    def __getattr__(name: str) -> Any:
        if home := homes.get(name):
            return getattr(import_module(home), name)
        try:
            return import_module(f"{package}.{name}")
        except ModuleNotFoundError as missing:
            if missing.name != f"{package}.{name}":
                raise
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}"
            ) from None

    def __dir__() -> list[str]:
        return sorted({*homes, *rooms})

    return __getattr__, __dir__
