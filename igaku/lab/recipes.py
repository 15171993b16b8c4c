"""The recipes: how the six variants of the comparison were quantized, layer by layer.

A recipe says how each component of a gpt-oss is coded, and which engine it is for.
`igaku.lab.variants` writes what it says. Two are no variant's: the reference, and a
positive control, coarse enough for bits to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from igaku.errors import IgakuError, meant
from igaku.lab.checkpoint import COMPONENTS

MLX, LLAMA_CPP = "mlx", "llama.cpp"


@dataclass(frozen=True)
class Coding:
    """How a weight matrix is coded: `bits` a weight, `group` weights to a scale."""

    mode: str
    bits: int
    group: int

    def as_mlx(self) -> dict[str, Any]:
        """The coding as an entry of an MLX config."""
        return {"group_size": self.group, "bits": self.bits, "mode": self.mode}

    def __str__(self) -> str:
        if self.mode == "affine":
            return f"affine {self.bits}-bit, group {self.group}"
        return f"{self.mode.upper()}, group {self.group}"


AFFINE8 = Coding("affine", 8, 64)
AFFINE4 = Coding("affine", 4, 64)
AFFINE2 = Coding("affine", 2, 64)
MXFP4 = Coding("mxfp4", 4, 32)
Q8_0 = Coding("q8_0", 8, 32)


@dataclass(frozen=True)
class Recipe:
    """How each component is coded, None for not at all, and the engine it is for.

    Experts are first put into MXFP4, in which the release has them, and coded again
    from there where the recipe wants another coding; only the reference skips that.
    """

    slug: str
    engine: str
    codings: Mapping[str, Coding | None]


RECIPES = {
    slug: Recipe(
        slug,
        engine,
        dict(zip(COMPONENTS, (rest, rest, rest, router, experts), strict=True)),
    )
    for slug, engine, rest, router, experts in (
        ("mlx-8bit", MLX, AFFINE8, AFFINE8, AFFINE8),
        ("gguf-mxfp4", LLAMA_CPP, Q8_0, None, MXFP4),
        ("mxfp4-q8", MLX, AFFINE8, AFFINE8, MXFP4),
        ("mxfp4-q4", MLX, AFFINE4, AFFINE8, MXFP4),
        ("mlx-4bit", MLX, AFFINE4, AFFINE4, AFFINE4),
        ("all-mxfp4", MLX, MXFP4, AFFINE8, MXFP4),
        ("mxfp4-q2", MLX, AFFINE2, AFFINE8, MXFP4),
        ("float32", MLX, None, None, None),
    )
}
VARIANTS = tuple(slug for slug in RECIPES if slug not in ("mxfp4-q2", "float32"))


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or of an embedded model's slug ("lab-mxfp4-q4")."""
    recipe = RECIPES.get(name.removeprefix("lab-"))
    if recipe is None:
        hint = meant(name.removeprefix("lab-"), list(RECIPES))
        known = hint or f"choose one of {', '.join(RECIPES)}."
        raise IgakuError(f"There is no recipe {name!r}: {known}")
    return recipe
