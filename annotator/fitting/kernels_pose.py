"""Body poses to latents and back outside of a fit: VPoser's decoder where no fit stands, and its encoder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from annotator.fitting import kernels_decoder, layout, tiles
from annotator.fitting.compiled import entry
from annotator.fitting.kernels_decoder import decode, decoder_reset
from annotator.fitting.tiles import add_row, copy


class Encoder(NamedTuple):
    """The mean of VPoser's encoder as three layers, its batch norms folded into them.

    Attributes:
        w1, w2, w3: by input unit. slopes: `(2,)` of negative numbers behind the first and the second layer.
    """

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    slopes: np.ndarray


@entry(kernels_decoder, layout, tiles)
def decode_poses(whole: np.ndarray, net: np.ndarray, work: np.ndarray, states: np.ndarray, out: np.ndarray) -> None:
    """`out` `(M, 128)` becomes what the decoder makes of the latents of `states`."""
    for i in range(len(states)):
        decoder_reset(whole, net, work)
        decode(whole, net, work, states[i])
        for c in range(out.shape[1]):
            out[i, c] = work[whole[layout.DECODED] + c]


@entry(layout, tiles)
def encode_poses(encoder: Encoder, poses: np.ndarray, rooms: np.ndarray, latents: np.ndarray) -> None:
    """`latents` `(M, 32)` of `poses` `(M, 63)`; `rooms` `(2, H)` is scratch."""
    first, second = rooms[0], rooms[1]
    for i in range(len(poses)):
        pose, latent = poses[i], latents[i]
        copy(first, 0, encoder.b1, 0, len(first))
        add_row(first, 0, pose, 0, 1, encoder.w1, 0, len(first), len(first), len(pose))
        for k in range(len(first)):
            if first[k] < 0:
                first[k] *= encoder.slopes[0]
        copy(second, 0, encoder.b2, 0, len(second))
        add_row(second, 0, first, 0, 1, encoder.w2, 0, len(second), len(second), len(first))
        for k in range(len(second)):
            if second[k] < 0:
                second[k] *= encoder.slopes[1]
        copy(latent, 0, encoder.b3, 0, len(latent))
        add_row(latent, 0, second, 0, 1, encoder.w3, 0, len(latent), len(latent), len(second))
