"""PNG files with a palette: a sheet is grey clay with few colours, and takes a third of the bytes that way."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_GREY_STEP, _COLOR_STEP = 3, 255 / 4
"""86 greys and 125 colours at most, so that one byte names them all."""


def palette_png(picture: np.ndarray) -> bytes:
    """`(H, W, 3)` uint8 RGB -> PNG; greys in 86 steps, other colours in five a channel."""
    greys = np.rint(picture[..., :1] / _GREY_STEP) * _GREY_STEP
    colors = np.rint(picture / _COLOR_STEP) * _COLOR_STEP
    is_grey = np.ptp(picture, axis=-1, keepdims=True) == 0
    reduced = np.where(is_grey, greys, colors).astype(np.uint32)
    keys = reduced[..., 0] << 16 | reduced[..., 1] << 8 | reduced[..., 2]
    palette, index = np.unique(keys, return_inverse=True)
    height, width = keys.shape
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", b"".join(int(key).to_bytes(3, "big") for key in palette)),
            _chunk(b"IDAT", zlib.compress(_filtered(index.reshape(height, width).astype(np.uint8)), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _filtered(rows: np.ndarray) -> bytes:
    """Each row as differences to its left neighbours: palette numbers follow the greys, so shading packs well."""
    out = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    out[:, 0] = 1
    out[:, 1] = rows[:, 0]
    out[:, 2:] = rows[:, 1:] - rows[:, :-1]
    return out.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
