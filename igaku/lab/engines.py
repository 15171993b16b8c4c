"""The two engines, and whether this machine can have them."""

from __future__ import annotations

import platform
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from igaku.lab.recipes import LLAMA_CPP, MLX, find_recipe

# To write a folder and to serve it.
PACKAGES = {MLX: ("mlx.core", "mlx_lm"), LLAMA_CPP: ("gguf", "xllamacpp")}
# Importing these takes seconds, or brings nothing that looking for them does not.
ONLY_LOOKED_FOR = ("mlx_lm", "gguf")


def missing_engine(slug: str) -> str | None:
    """Why an embedded model cannot be served on this machine; None where it can."""
    return _missing(PACKAGES[find_recipe(slug).engine])


def missing_writer(engine: str) -> str | None:
    """Why an engine's folders cannot be written here; None where they can."""
    return _missing(PACKAGES[engine][:1])


def _missing(names: tuple[str, ...]) -> str | None:
    name = next((name for name in names if not _is_there(name)), None)
    if name is None:
        return None
    package = name.removesuffix(".core").replace("_", "-")
    return (_no_mlx() if package.startswith("mlx") else None) or (
        f"{package} cannot be imported (python -m pip install 'igaku[lab]' brings it)"
    )


def _no_mlx() -> str | None:
    """MLX has wheels for Apple silicon, and for Linux with a recent glibc."""
    system, machine = platform.system(), platform.machine()
    if system == "Darwin" and machine == "arm64":
        return None
    if system != "Linux":
        return f"MLX has no build for {system} on {machine}"
    libc, found = platform.libc_ver()
    if libc == "glibc" and tuple(map(int, found.split(".")[:2])) >= (2, 35):
        return None
    return f"MLX needs glibc 2.35 or newer, and this is {libc or 'no glibc'} {found}"


@cache
def _is_there(name: str) -> bool:
    try:
        if name in ONLY_LOOKED_FOR:
            return find_spec(name) is not None
        import_module(name)
    except (ImportError, OSError, ValueError):
        return False
    return True
