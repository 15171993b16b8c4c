"""Public names that are looked up on first use, so that importing a room is cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


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
