"""Safetensors files: a JSON header, then the bytes of each tensor.

Read through a memory map and written one tensor after another, so that a checkpoint
larger than memory passes through; numpy has no bfloat16, so it travels as its bits.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from igaku.errors import IgakuError

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
