"""Variants: folders of a checkpoint under a recipe, as its engine loads them.

`quantize` writes one of any checkpoint folder; `variant` keeps the embedded model's,
built when first asked for.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from igaku.errors import IgakuError
from igaku.lab.checkpoint import TOKENIZER_FILES, Checkpoint, open_checkpoint
from igaku.lab.engines import missing_writer
from igaku.lab.recipes import MLX, Recipe, find_recipe
from igaku.paths import cache_dir

EMBEDDED = Path(__file__).parent / "weights"
CARD = "recipe.json"
FORMAT = 1  # raised when a writer changes, so that no cached variant outlives it


def quantize(
    recipe: str | Recipe,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
) -> Path:
    """The folder of `checkpoint` under `recipe`, written unless it is there already.

    The folder appears under its name only when it is whole. Without `out` it lies in
    the cache, under a key of everything it was made from.
    """
    recipe = find_recipe(recipe) if isinstance(recipe, str) else recipe
    source = open_checkpoint(checkpoint or EMBEDDED)
    if reason := missing_writer(recipe.engine):
        raise IgakuError(f"{recipe.slug} cannot be written here: {reason}.")
    key = _key(recipe, source)
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


def variant(slug: str) -> Path:
    """The folder of the embedded model under the recipe that `slug` names."""
    return quantize(slug, EMBEDDED)


def model_card(folder: str | Path) -> dict[str, Any]:
    """What recipe.json says of a quantized folder: layout, bytes, bits per weight."""
    card: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
    return card


def _key(recipe: Recipe, source: Checkpoint) -> str:
    """A hash of everything that decides what is written."""
    digest = hashlib.sha256(repr((FORMAT, recipe, _tools(recipe))).encode())
    shards = {stored.path.name for stored in source.tensors.values()}
    for name in sorted(shards | {"config.json", *TOKENIZER_FILES}):
        path = source.folder / name
        if path.exists():
            digest.update(name.encode() + _sha256(path).encode())
    return digest.hexdigest()


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    """A file's hash, worked out again only after the file has changed."""
    about = path.stat()
    return _hashed(path, about.st_size, about.st_mtime_ns)


def _tools(recipe: Recipe) -> dict[str, str]:
    """The versions of the packages that a recipe's bytes may depend on."""
    names = ("mlx",) if recipe.engine == MLX else ("gguf",)
    return {name: version(name) for name in names}


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
        _check_room(recipe, source, target)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    except OSError as refused:
        raise IgakuError(_not_written(target, refused)) from refused
    try:
        size = _write_tensors(recipe, source, building)
        _write_card(recipe, source, building, key, size)
        building.chmod(0o755)  # mkdtemp's is for its owner alone
        _put(building, target, key)
    except OSError as refused:
        raise IgakuError(_not_written(target, refused)) from refused
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _put(building: Path, target: Path, key: str) -> None:
    """Rename into place; a twin that was quicker is as good, a torn one goes."""
    if target.exists() and not _is_whole(target, key):
        shutil.rmtree(target)
    try:
        building.rename(target)
    except OSError:
        if not _is_whole(target, key):
            raise


def _check_room(recipe: Recipe, source: Checkpoint, target: Path) -> None:
    """Refuse before minutes of work; experts are nine tenths of a gpt-oss."""
    experts = recipe.codings["experts"]
    bits = experts.bits + 1.2 if experts else 32
    need, free = source.parameters * bits / 8, shutil.disk_usage(target.parent).free
    if free < need:
        raise OSError(f"{free / 1e6:,.0f} MB are free, {need / 1e6:,.0f} may be needed")


def _not_written(target: Path, refused: OSError) -> str:
    reason = refused.strerror or str(refused)
    return (
        f"{target} could not be written ({reason}): free space or name another folder."
    )


def _write_tensors(recipe: Recipe, source: Checkpoint, folder: Path) -> int:
    if recipe.engine == MLX:
        from igaku.lab.mlx_folder import write_mlx

        return write_mlx(source, recipe.codings, folder)
    from igaku.lab.gguf_file import FILE_NAME, write_gguf

    return write_gguf(source, folder / FILE_NAME, f"{source.folder.name} {recipe.slug}")


def _write_card(
    recipe: Recipe, source: Checkpoint, folder: Path, key: str, size: int
) -> None:
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
            p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files
        },
        "made_with": _tools(recipe),
        "key": key,
    }
    text = json.dumps(card, indent=2)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
