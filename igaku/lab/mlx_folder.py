"""A quantized MLX folder: safetensors with the network's names as mlx_lm has them.

config.json lists the coding of every layer under `quantization`, which is where mlx_lm,
and LM Studio with it, looks. Scales of affine groups take the checkpoint's own type.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from igaku.lab.checkpoint import (
    TOKENIZER_FILES,
    Checkpoint,
    Encoded,
    as_float32,
    write_tensors,
)
from igaku.lab.recipes import Coding

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
    is_coded = any(codings.values())

    def plain(name: str) -> tuple[str, Encoded]:
        stored = checkpoint.tensors[name]
        return name, stored if is_coded else Encoded("F32", as_float32(stored))

    for name in checkpoint.plain_tensors():
        yield plain(name)
    for path, component in checkpoint.parts():
        coding = codings[component]
        if component == "experts":
            yield from _experts(checkpoint, path, coding)
        elif coding is None:
            yield plain(f"{path}.weight")
        else:
            values = as_float32(checkpoint.tensors[f"{path}.weight"])
            yield from _coded(path, values, coding, checkpoint)


def _experts(
    checkpoint: Checkpoint, path: str, coding: Coding | None
) -> Iterator[tuple[str, Encoded]]:
    bias = checkpoint.expert(path, "_bias")
    if coding is None:
        yield f"{path}.bias", Encoded("F32", as_float32(bias))
        yield f"{path}.weight", Encoded("F32", checkpoint.expert_values(path))
        return
    yield f"{path}.bias", bias
    codes = checkpoint.expert_codes(path)
    if coding.mode == "mxfp4":
        # The released bytes as they are, eight codes to a word.
        words = codes.blocks.reshape(*codes.scales.shape[:-1], -1)
        words = np.ascontiguousarray(words).view(np.uint32)
        yield f"{path}.weight", Encoded("U32", words)
        yield f"{path}.scales", Encoded("U8", codes.scales)
    else:
        yield from _coded(path, codes.decode(), coding, checkpoint)


def _coded(
    path: str, values: np.ndarray, coding: Coding, checkpoint: Checkpoint
) -> Iterator[tuple[str, Encoded]]:
    """What MLX keeps of a matrix: codes, scales, and the floors of affine groups."""
    import mlx.core as mx

    is_half = checkpoint.tensors["model.embed_tokens.weight"].dtype == "BF16"
    whole = mx.array(values).astype(mx.bfloat16 if is_half else mx.float32)
    pieces = mx.quantize(whole, coding.group, coding.bits, mode=coding.mode)
    for name, piece in zip(("weight", "scales", "biases"), pieces, strict=False):
        if piece.dtype == mx.bfloat16:
            yield f"{path}.{name}", Encoded("BF16", np.array(piece.view(mx.uint16)))
        else:
            data = np.array(piece)
            kind = {"float32": "F32", "uint32": "U32", "uint8": "U8"}[str(data.dtype)]
            yield f"{path}.{name}", Encoded(kind, data)


def _config(checkpoint: Checkpoint, codings: Codings) -> dict[str, Any]:
    config = {k: v for k, v in checkpoint.config.items() if k != "quantization_config"}
    theta, scaling = checkpoint.rope()
    # mlx_lm reads these two, not the newer `rope_parameters`.
    config |= {"rope_theta": theta, "rope_scaling": scaling}
    # Every MLX recipe that codes anything codes the attention.
    if common := codings["attention"]:
        layers = {
            path: coding.as_mlx()
            for path, component in checkpoint.parts()
            if (coding := codings[component])
        }
        config["quantization"] = {**common.as_mlx(), **layers}
        config["quantization_config"] = config["quantization"]
    return config


def _write_shards(tensors: Iterator[tuple[str, Encoded]], folder: Path) -> int:
    """One file, or for a large model numbered ones and their index."""
    shards: list[list[str]] = []
    pending: dict[str, Encoded] = {}
    total = held = 0
    for name, tensor in tensors:
        if pending and held + tensor.data.nbytes > SHARD_BYTES:
            write_tensors(folder / f"shard-{len(shards)}", pending, "mlx")
            shards.append(list(pending))
            pending, held = {}, 0
        pending[name] = tensor
        held += tensor.data.nbytes
        total += tensor.data.nbytes
    if not shards:
        write_tensors(folder / "model.safetensors", pending, "mlx")
        return total
    write_tensors(folder / f"shard-{len(shards)}", pending, "mlx")
    places: dict[str, str] = {}
    for number, names in enumerate([*shards, list(pending)]):
        name = f"model-{number + 1:05}-of-{len(shards) + 1:05}.safetensors"
        (folder / f"shard-{number}").rename(folder / name)
        places |= dict.fromkeys(names, name)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    text = json.dumps(index, indent=2)
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    return total
