"""MXFP4, the coding of gpt-oss's experts: 4-bit floats that share a scale per 32.

A code is E2M1 (sign, two exponent bits, one mantissa bit); the scale is a power of two
kept as its exponent plus 127. Source: OCP Microscaling Formats specification 1.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUP = 32
MAGNITUDES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)
VALUES = np.concatenate([MAGNITUDES, -MAGNITUDES])
MIDPOINTS = (MAGNITUDES[:-1] + MAGNITUDES[1:]) / 2
# A tie goes to the even code: every second midpoint already belongs to the upper one.
MIDPOINTS[1::2] = np.nextafter(MIDPOINTS[1::2], np.float32(0))


@dataclass(frozen=True)
class Mxfp4:
    """A coded tensor: `blocks` (…, groups, 16) hold two codes a byte, the even one low.

    This is the layout of the released checkpoints' `_blocks` and `_scales`.
    """

    blocks: np.ndarray
    scales: np.ndarray

    def decode(self) -> np.ndarray:
        """The float32 values, exact: every one is a code times a power of two."""
        exponent = self.scales.astype(np.int32)[..., None] - 127
        values = np.ldexp(VALUES[codes(self.blocks)], exponent)
        return values.reshape(*self.scales.shape[:-1], -1)


def codes(blocks: np.ndarray) -> np.ndarray:
    """The 32 codes of each block, in order."""
    pairs = np.stack([blocks & 15, blocks >> 4], axis=-1)
    return pairs.reshape(*blocks.shape[:-1], GROUP)


def encode(values: np.ndarray) -> Mxfp4:
    """Nearest codes under the specification's scale, the peak's exponent less two.

    A tensor that MXFP4 can hold comes back unchanged, whatever scales it had before.

    >>> encode(np.full((1, 32), 3.0)).decode()[0, 0]
    np.float32(3.0)
    """
    groups = values.astype(np.float32).reshape(*values.shape[:-1], -1, GROUP)
    _, exponent = np.frexp(np.abs(groups).max(axis=-1))  # peak < 2 ** exponent
    scales = np.clip(exponent - 3 + 127, 0, 254)
    scaled = np.ldexp(groups, 127 - scales[..., None])
    magnitude = np.searchsorted(MIDPOINTS, np.abs(scaled))
    code = (magnitude + 8 * np.signbit(scaled)).astype(np.uint8)
    blocks = code[..., 0::2] | (code[..., 1::2] << 4)
    return Mxfp4(blocks, scales.astype(np.uint8))
