"""Variants: folders of a checkpoint under a recipe, as its engine loads them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from igaku.errors import IgakuError
from igaku.exam.igakuqa import file_sha256
from igaku.lab.checkpoint import TOKENIZER_FILES, Checkpoint, open_checkpoint
from igaku.lab.engines import missing_writer
from igaku.lab.gguf_file import FILE_NAME, write_gguf
from igaku.lab.mlx_folder import write_mlx
from igaku.lab.recipes import MLX, Recipe, find_recipe
from igaku.paths import cache_dir

EMBEDDED = Path(__file__).parent / "weights"
CARD = "recipe.json"
FORMAT = 2  # raised when a writer changes, so that no cached variant outlives it


def quantize(
    slug: str, checkpoint: str | Path | None = None, out: str | Path | None = None
) -> Path:
    """The folder of `checkpoint` under a recipe, written unless it is there already.

    The folder appears under its name only when it is whole. Without `out` it lies in
    the cache, under a key of everything it was made from.
    """
    recipe = find_recipe(slug)
    source = open_checkpoint(checkpoint or EMBEDDED)
    if reason := missing_writer(recipe.engine):
        raise IgakuError(f"{recipe.slug} cannot be written here: {reason}.")
    _check_fit(recipe, source)
    told = hashlib.sha256(repr((FORMAT, recipe, _made_with(recipe))).encode())
    for name in sorted({"config.json", *source.shards, *TOKENIZER_FILES}):
        if (path := source.folder / name).exists():
            told.update(name.encode() + file_sha256(path).encode())
    key = told.hexdigest()
    target = Path(out) if out else cache_dir() / "lab" / key[:16] / recipe.slug
    if _is_whole(target, key):
        return target
    if out and target.exists() and (target.is_file() or any(target.iterdir())):
        raise IgakuError(
            f"{target} is there already and is not {recipe.slug} of this checkpoint, "
            f"whole: name another folder, or remove that one."
        )
    _write(recipe, source, target, key)
    return target


def model_card(folder: str | Path) -> dict[str, Any]:
    """What recipe.json says of a quantized folder: layout, bytes, bits per weight."""
    card: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
    return card


def _check_fit(recipe: Recipe, source: Checkpoint) -> None:
    """Rows must be whole groups of their coding."""
    for path, component in source.parts():
        size = "intermediate_size" if path.endswith("down_proj") else "hidden_size"
        width = source.config[size]
        if component != "experts":
            width = source.tensors[f"{path}.weight"].data.shape[-1]
        coding = recipe.codings[component]
        if coding and width % coding.group:
            raise IgakuError(
                f"{path} has rows of {width}, and {coding} codes {coding.group} at a "
                f"time: this checkpoint does not fit the recipe."
            )


def _made_with(recipe: Recipe) -> dict[str, str]:
    """The version of the package that the engine's bytes depend on."""
    tool = "mlx" if recipe.engine == MLX else "gguf"
    return {tool: version(tool)}


def _is_whole(folder: Path, key: str) -> bool:
    """Whether the folder is what `key` names and every file has its recorded size."""
    try:
        card = model_card(folder)
        return card["key"] == key and all(
            (folder / name).stat().st_size == about["bytes"]
            for name, about in card["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(recipe: Recipe, source: Checkpoint, target: Path, key: str) -> None:
    """Build beside the target and rename: a half-written folder never has the name."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        experts = recipe.codings["experts"]  # nine tenths of a gpt-oss
        need = source.parameters * (experts.bits + 1.2 if experts else 32) / 8e6
        if (free := shutil.disk_usage(target.parent).free / 1e6) < need:
            raise OSError(f"{free:,.0f} MB are free, {need:,.0f} may be needed")
        with tempfile.TemporaryDirectory(prefix=".building-", dir=target.parent) as new:
            building = Path(new)
            _fill(recipe, source, building, key)
            building.chmod(0o755)  # a temporary folder is for its owner alone
            if target.exists() and not _is_whole(target, key):
                shutil.rmtree(target)
            try:
                building.rename(target)
            except OSError:
                if not _is_whole(target, key):  # a twin that was quicker is as good
                    raise
    except OSError as refused:
        raise IgakuError(
            f"{target} could not be written ({refused.strerror or refused}): free "
            f"space or name another folder."
        ) from refused


def _fill(recipe: Recipe, source: Checkpoint, folder: Path, key: str) -> None:
    """Write the model's files, and the card that says what they are."""
    if recipe.engine == MLX:
        size = write_mlx(source, recipe.codings, folder)
    else:
        name = f"{source.folder.name} {recipe.slug}"
        size = write_gguf(source, folder / FILE_NAME, name)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    card = {
        "recipe": recipe.slug,
        "engine": recipe.engine,
        "layout": {n: str(c or "not quantized") for n, c in recipe.codings.items()},
        "parameters": source.parameters,
        "tensor_bytes": size,
        "bits_per_weight": round(8 * size / source.parameters, 3),
        "size_bytes": sum(path.stat().st_size for path in files),
        "files": {
            p.name: {"bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in files
        },
        "made_with": _made_with(recipe),
        "key": key,
    }
    text = json.dumps(card, indent=2)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
