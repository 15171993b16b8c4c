"""A quantized MLX folder: safetensors with the network's names as mlx_lm has them.

config.json lists the coding of every layer under `quantization`, which is where mlx_lm,
and LM Studio with it, looks. Scales of affine groups take the checkpoint's own type.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from igaku.errors import IgakuError
from igaku.lab.checkpoint import TOKENIZER_FILES, Checkpoint, Part, expert_place
from igaku.lab.recipes import Coding
from igaku.lab.tensorfile import Encoded, write_tensors

SHARD_BYTES = 2 * 2**30
Codings = Mapping[str, Coding | None]  # by component; None leaves it as it is


def write_mlx(checkpoint: Checkpoint, codings: Codings, folder: Path) -> int:
    """Write the checkpoint under `codings`; returns the bytes its tensors take."""
    size = _write_shards(_tensors(checkpoint, codings), folder)
    config = json.dumps(_config(checkpoint, codings), indent=2)
    (folder / "config.json").write_text(config + "\n", encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (source := checkpoint.folder / name).exists():
            shutil.copyfile(source, folder / name)
    return size


def _tensors(checkpoint: Checkpoint, codings: Codings) -> Iterator[tuple[str, Encoded]]:
    # A recipe that codes nothing is the reference: everything in float32.
    plain = checkpoint.raw if any(codings.values()) else _float32(checkpoint)
    for name in checkpoint.plain_tensors():
        yield name, plain(name)
    for part in checkpoint.parts():
        coding, name = codings[part.component], f"{part.path}.weight"
        if part.component == "experts":
            yield from _experts(checkpoint, part, coding)
        elif coding is None:
            yield name, plain(name)
        else:
            yield from coded(part.path, checkpoint.float32(name), coding, checkpoint)


def _float32(checkpoint: Checkpoint) -> Callable[[str], Encoded]:
    return lambda name: Encoded("F32", checkpoint.float32(name))


def _experts(
    checkpoint: Checkpoint, part: Part, coding: Coding | None
) -> Iterator[tuple[str, Encoded]]:
    layer, kind = expert_place(part.path)
    if coding is None:
        bias = checkpoint.expert_bias32(layer, kind)
        yield f"{part.path}.bias", Encoded("F32", bias)
        values = checkpoint.expert_values(layer, kind)
        yield f"{part.path}.weight", Encoded("F32", values)
        return
    yield f"{part.path}.bias", checkpoint.expert_bias(layer, kind)
    codes = checkpoint.expert_codes(layer, kind)
    if coding.mode == "mxfp4":
        # The released bytes as they are, eight codes to a word.
        words = codes.blocks.reshape(*codes.scales.shape[:-1], -1)
        words = np.ascontiguousarray(words).view(np.uint32)
        yield f"{part.path}.weight", Encoded("U32", words)
        yield f"{part.path}.scales", Encoded("U8", codes.scales)
    else:
        yield from coded(part.path, codes.decode(), coding, checkpoint)


def coded(
    path: str, values: np.ndarray, coding: Coding, checkpoint: Checkpoint
) -> Iterator[tuple[str, Encoded]]:
    """What MLX keeps of a matrix: codes, scales, and the floors of affine groups."""
    import mlx.core as mx

    if values.shape[-1] % coding.group:
        raise IgakuError(
            f"{path} has rows of {values.shape[-1]}, and {coding} codes {coding.group} "
            f"at a time: this checkpoint does not fit the recipe."
        )
    kind = mx.bfloat16 if checkpoint.dtype == "BF16" else mx.float32
    whole = mx.array(values).astype(kind)
    pieces = mx.quantize(whole, coding.group, coding.bits, mode=coding.mode)
    for name, piece in zip(("weight", "scales", "biases"), pieces, strict=False):
        yield f"{path}.{name}", _encoded(piece)


def _encoded(piece: Any) -> Encoded:
    import mlx.core as mx

    if piece.dtype == mx.bfloat16:
        return Encoded("BF16", np.array(piece.view(mx.uint16)))
    data = np.array(piece)
    return Encoded({"f": "F32", "u": f"U{8 * data.itemsize}"}[data.dtype.kind], data)


def _config(checkpoint: Checkpoint, codings: Codings) -> dict[str, Any]:
    config = {k: v for k, v in checkpoint.config.items() if k != "quantization_config"}
    theta, scaling = checkpoint.rope()
    # mlx_lm reads these two, not the newer `rope_parameters`.
    config |= {"rope_theta": theta, "rope_scaling": scaling}
    layers: dict[str, Any] = {}
    for part in checkpoint.parts():
        coding = codings[part.component]
        if coding is not None:
            layers[part.path] = coding.as_mlx()
    if layers:
        common = codings["attention"] or next(c for c in codings.values() if c)
        config["quantization"] = {**common.as_mlx(), **layers}
        config["quantization_config"] = config["quantization"]
    return config


def _write_shards(tensors: Iterator[tuple[str, Encoded]], folder: Path) -> int:
    """One file, or for a large model numbered ones and their index."""
    shards: list[list[str]] = []
    pending: dict[str, Encoded] = {}
    total = 0
    for name, tensor in tensors:
        held = sum(other.data.nbytes for other in pending.values())
        if pending and held + tensor.data.nbytes > SHARD_BYTES:
            shards.append(_flush(pending, folder, len(shards)))
        pending[name] = tensor
        total += tensor.data.nbytes
    shards.append(_flush(pending, folder, len(shards)))
    _name_shards(shards, folder, total)
    return total


def _flush(pending: dict[str, Encoded], folder: Path, number: int) -> list[str]:
    """Write what is held as one more shard; its final name waits for their count."""
    write_tensors(folder / f"shard-{number}", pending, "mlx")
    names = list(pending)
    pending.clear()
    return names


def _name_shards(shards: list[list[str]], folder: Path, total: int) -> None:
    if len(shards) == 1:
        (folder / "shard-0").rename(folder / "model.safetensors")
        return
    places: dict[str, str] = {}
    for number, names in enumerate(shards):
        name = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (folder / f"shard-{number}").rename(folder / name)
        places |= dict.fromkeys(names, name)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    text = json.dumps(index, indent=2)
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
