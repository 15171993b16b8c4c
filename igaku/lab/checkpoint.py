"""A gpt-oss checkpoint: a folder laid out as Hugging Face lays one out.

Its safetensors files, a JSON header and then the bytes of each tensor, are read through
a memory map and written one tensor after another, so that a checkpoint larger than
memory passes through; numpy has no bfloat16, so it travels as its bits.

The experts may be plain (expert, in, out), as igaku trains them, or MXFP4 `_blocks` and
`_scales`, as they were released; gate and up lie interleaved either way.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError
from igaku.lab import mxfp4

COMPONENTS = ("attention", "embedding", "lm_head", "router", "experts")
EXPERT_PARTS = ("gate", "up", "down")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)

NUMPY: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "U8": np.dtype("u1"),
}


class Encoded(NamedTuple):
    """A tensor as a file holds it: the format's name for its type, and its numbers."""

    dtype: str
    data: np.ndarray


@dataclass(frozen=True)
class Checkpoint:
    """An open checkpoint: its config, and its tensors, read when they are used."""

    folder: Path
    config: dict[str, Any]
    shards: list[str]
    tensors: dict[str, Encoded]

    @property
    def released(self) -> bool:
        """Whether the experts are already MXFP4."""
        return "model.layers.0.mlp.experts.down_proj_blocks" in self.tensors

    @property
    def parameters(self) -> int:
        """How many weights there are, biases, norms and sinks included."""
        each = {"blocks": 2, "scales": 0}  # a byte of blocks holds two codes
        return sum(
            tensor.data.size * each.get(name.rpartition("_")[2], 1)
            for name, tensor in self.tensors.items()
        )

    def expert(self, path: str, suffix: str = "") -> Encoded:
        """What is stored of the experts' matrix at `path`, (expert, out, …).

        Gate is every even row of the interleaved tensor, up every odd one.
        """
        stem, _, name = path.rpartition(".")
        stored = "down_proj" if name == "down_proj" else "gate_up_proj"
        dtype, data = self.tensors[f"{stem}.{stored}{suffix}"]
        if not suffix:  # plain weights are (expert, in, out)
            data = data.swapaxes(1, 2)
        if name != "down_proj":
            data = data[:, {"gate_proj": 0, "up_proj": 1}[name] :: 2]
        return Encoded(dtype, np.ascontiguousarray(data))

    def expert_codes(self, path: str) -> mxfp4.Mxfp4:
        """The experts' matrix at `path` in MXFP4.

        Released codes are passed on untouched; plain weights are coded here, once for
        every recipe, so that "native MXFP4" names the same numbers in each format.
        """
        if not self.released:
            return mxfp4.encode(self.expert_values(path))
        blocks, scales = self.expert(path, "_blocks"), self.expert(path, "_scales")
        return mxfp4.Mxfp4(blocks.data, scales.data)

    def expert_values(self, path: str) -> np.ndarray:
        """The same in float32 as the checkpoint has it: plain, or decoded."""
        if self.released:
            return self.expert_codes(path).decode()
        return as_float32(self.expert(path))

    def parts(self) -> Iterator[tuple[str, str]]:
        """Every weight matrix, or an expert's three, by module path and component."""
        yield "model.embed_tokens", "embedding"
        for layer in range(self.config["num_hidden_layers"]):
            stem = f"model.layers.{layer}"
            for letter in "qkvo":
                yield f"{stem}.self_attn.{letter}_proj", "attention"
            yield f"{stem}.mlp.router", "router"
            for part in EXPERT_PARTS:
                yield f"{stem}.mlp.experts.{part}_proj", "experts"
        yield "lm_head", "lm_head"

    def plain_tensors(self) -> Iterator[str]:
        """The names no recipe touches: norms, sinks, and biases outside the experts."""
        coded = {f"{path}.weight" for path, _ in self.parts()}
        return (n for n in self.tensors if ".experts." not in n and n not in coded)

    def rope(self) -> tuple[float, dict[str, Any] | None]:
        """The base of the rotary positions, and their scaling (None for none).

        transformers 5 keeps both under `rope_parameters`, earlier ones apart.
        """
        scaling = dict(self.config.get("rope_parameters") or {})
        scaling.update(self.config.get("rope_scaling") or {})
        theta = scaling.pop("rope_theta", None) or self.config.get("rope_theta", 150000)
        kind = scaling.get("rope_type") or scaling.get("type", "default")
        return float(theta), None if kind == "default" else scaling


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """The checkpoint in `folder`; anything but a whole gpt-oss is an error."""
    folder = Path(folder)
    config = _config(folder)
    index, shards = folder / "model.safetensors.index.json", ["model.safetensors"]
    if index.exists():
        places = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(places.values()))
    tensors: dict[str, Encoded] = {}
    for shard in shards:
        if not (folder / shard).is_file():
            raise IgakuError(f"{folder / shard} is missing: fetch the folder again.")
        tensors |= read_tensors(folder / shard)
    found = Checkpoint(folder, config, shards, tensors)
    for name in _needed(found):
        if name not in tensors:
            raise IgakuError(
                f"{folder} lacks the tensor {name}: fetch the folder again."
            )
    return found


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError) as missing:
        raise IgakuError(
            f"{folder} is not a checkpoint folder, it has no readable config.json: "
            f"pass the folder of a gpt-oss as Hugging Face lays one out."
        ) from missing
    if kind != "gpt_oss":
        raise IgakuError(
            f"{folder} holds a model of type {kind!r}: these recipes are for gpt_oss."
        )
    if "quantization" in config:
        raise IgakuError(
            f"{folder} is quantized for MLX already: pass the checkpoint it came from."
        )
    return dict(config)


def _needed(found: Checkpoint) -> Iterator[str]:
    yield "model.norm.weight"
    for path, component in found.parts():
        if component != "experts":
            yield f"{path}.weight"
        if component in ("attention", "router"):
            yield f"{path}.bias"
    for layer in range(found.config["num_hidden_layers"]):
        stem = f"model.layers.{layer}"
        yield f"{stem}.input_layernorm.weight"
        yield f"{stem}.post_attention_layernorm.weight"
        yield f"{stem}.self_attn.sinks"
        for name in ("gate_up_proj", "down_proj"):
            expert = f"{stem}.mlp.experts.{name}"
            yield f"{expert}_bias"
            codes = [f"{expert}_blocks", f"{expert}_scales"]
            yield from codes if found.released else [expert]


# --- safetensors files ----------------------------------------------------------------


def read_tensors(path: Path) -> dict[str, Encoded]:
    """Every tensor of a file by name; a cut or foreign file is an error."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max(entry["data_offsets"][1] for entry in header.values())
    except (ValueError, struct.error, MemoryError, KeyError, TypeError) as broken:
        raise IgakuError(
            f"{path} is not a safetensors file: fetch it again."
        ) from broken
    if path.stat().st_size != end:
        raise IgakuError(f"{path} is cut short or altered: fetch it again.")
    whole = np.asarray(np.memmap(path, mode="r", offset=8 + length))
    found = {}
    for name, entry in header.items():
        if entry["dtype"] not in NUMPY:
            raise IgakuError(
                f"{path} holds {name} as {entry['dtype']}: pass a checkpoint in "
                f"float32 or bfloat16, as it was released or trained."
            )
        numbers = whole[slice(*entry["data_offsets"])].view(NUMPY[entry["dtype"]])
        found[name] = Encoded(entry["dtype"], numbers.reshape(entry["shape"]))
    return found


def as_float32(tensor: Encoded) -> np.ndarray:
    """The tensor's values in float32, exact for bfloat16 and float16."""
    if tensor.dtype == "BF16":
        return (tensor.data.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(tensor.data, dtype=np.float32)


def write_tensors(path: Path, tensors: Mapping[str, Encoded], origin: str) -> None:
    """Write one file; `origin` is the metadata's format, "mlx" or "pt"."""
    header: dict[str, object] = {"__metadata__": {"format": origin}}
    offset = 0
    for name, (dtype, data) in tensors.items():
        span = [offset, offset := offset + data.nbytes]
        header[name] = {"dtype": dtype, "shape": data.shape, "data_offsets": span}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # readers map the data, which must lie aligned
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for dtype, data in tensors.values():
            file.write(np.ascontiguousarray(data, dtype=NUMPY[dtype]).tobytes())
