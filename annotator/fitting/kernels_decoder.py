"""VPoser's decoder and its exact Jacobian, followed from latent to latent instead of computed anew.

With leaky rectifiers the network is linear wherever no unit changes sign. So a new latent costs one product with
M = W2 D1 W1 and a correction for each unit of the first layer that flipped, and the Jacobian W3 D2 M changes by one
rank for each flipped unit of either layer: some ten out of a thousand between two steps of a solver. Both are exact.
"""

from __future__ import annotations

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled, part
from annotator.fitting.tiles import add_product, add_row, copy, zero

_OUT, _FLIPS = at.OUT, at.FLIPS


@compiled
def decoder_reset(whole: np.ndarray, net: np.ndarray, work: np.ndarray) -> None:
    """Back to the latent zero; nothing where there is no latent."""
    if whole[at.POSE_KIND] != at.LATENT:
        return
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    negative, positive = net[whole[at.SLOPE]], net[whole[at.SLOPE] + 1]
    zero(work, whole[at.AT_LATENT], pad)
    zero(work, whole[at.CHANGE], pad)
    copy(work, whole[at.H2], net, whole[at.H20], hidden)
    for k in range(hidden):
        work[whole[at.S1] + k] = negative if net[whole[at.H10] + k] < 0 else positive
        work[whole[at.S2] + k] = negative if net[whole[at.H20] + k] < 0 else positive
    copy(work, whole[at.M], net, whole[at.M0], hidden * pad)
    copy(work, whole[at.J6], net, whole[at.J0], _OUT * pad)


@part
def decode(whole: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Outputs and layers of the state's latent; the place where the Jacobian stands is left alone."""
    hidden, pad, width, latent = whole[at.HIDDEN], whole[at.POSE_PAD], whole[at.POSE], whole[at.POSE_START]
    h1, h2, change, out = whole[at.H1_NEXT], whole[at.H2_NEXT], whole[at.CHANGE], whole[at.DECODED]
    s1, s1_next, s2_next, active = whole[at.S1], whole[at.S1_NEXT], whole[at.S2_NEXT], whole[at.ACTIVATION]
    negative, positive = net[whole[at.SLOPE]], net[whole[at.SLOPE] + 1]
    copy(work, h1, net, whole[at.B1], hidden)
    add_row(work, h1, state, latent, 1, net, whole[at.W1T], hidden, hidden, width)
    for c in range(width):
        work[change + c] = state[latent + c] - work[whole[at.AT_LATENT] + c]
    copy(work, h2, work, whole[at.H2], hidden)
    add_row(work, h2, work, change, 1, work, whole[at.M], hidden, hidden, width)
    for k in range(hidden):
        work[s1_next + k] = negative if work[h1 + k] < 0 else positive
    for k in range(hidden):
        if work[s1_next + k] != work[s1 + k]:
            work[change + pad] = (work[s1_next + k] - work[s1 + k]) * work[h1 + k]
            add_row(work, h2, work, change + pad, 0, net, whole[at.W2T] + k * hidden, 0, hidden, 1)
    for k in range(hidden):
        work[s2_next + k] = negative if work[h2 + k] < 0 else positive
        work[active + k] = work[s2_next + k] * work[h2 + k]
    copy(work, out, net, whole[at.B3], _OUT)
    add_row(work, out, work, active, 1, net, whole[at.W3T], _OUT, _OUT, hidden)


@compiled
def follow(  # noqa: C901  (one pass over either layer)
    whole: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray
) -> None:
    """Moves the Jacobian of the outputs by the latent to where `decode` was last."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    m, j6, w3t, s2 = whole[at.M], whole[at.J6], whole[at.W3T], whole[at.S2]
    s1, s1_next, s2_next = whole[at.S1], whole[at.S1_NEXT], whole[at.S2_NEXT]
    latents, outs, columns = whole[at.FLIPS_LATENT], whole[at.FLIPS_OUT], whole[at.FLIPS_HIDDEN]
    copy(work, whole[at.AT_LATENT], state, whole[at.POSE_START], whole[at.POSE])
    copy(work, whole[at.H2], work, whole[at.H2_NEXT], hidden)
    first = second = 0
    for k in range(hidden):
        first += work[s1 + k] != work[s1_next + k]
        second += work[s2 + k] != work[s2_next + k]
    anew = first > _FLIPS // 2 or second > _FLIPS
    filled = 0
    for k in range(hidden):  # units of the second layer, before any of the first
        more = work[s2_next + k] - work[s2 + k]
        if more != 0 and not anew:
            for c in range(pad):
                work[latents + filled * pad + c] = more * work[m + c * hidden + k]
            copy(work, outs + filled * _OUT, net, w3t + k * _OUT, _OUT)
            filled += 1
    copy(work, s2, work, s2_next, hidden)
    add_product(work, j6, pad, work, outs, _OUT, 1, work, latents, pad, _OUT, pad, filled)
    filled = 0
    for k in range(hidden):
        more = work[s1_next + k] - work[s1 + k]
        if more != 0:
            for c in range(pad):
                work[latents + filled * pad + c] = more * net[whole[at.W1] + k * pad + c]
            copy(work, columns + filled * hidden, net, whole[at.W2T] + k * hidden, hidden)
            filled += 1
        if filled == _FLIPS or (k == hidden - 1 and filled):
            add_product(work, m, hidden, work, latents, pad, 1, work, columns, hidden, pad, hidden, filled)
            if not anew:
                _flip_first(whole, net, work, filled)
            filled = 0
    copy(work, s1, work, s1_next, hidden)
    if anew:
        _jacobian_anew(whole, net, work)


@part
def _flip_first(whole: np.ndarray, net: np.ndarray, work: np.ndarray, count: int) -> None:
    """The Jacobian after `count` units of the first layer changed sign: W3 D2 (columns of W2) (rows of W1)."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    columns, latents, outs = whole[at.FLIPS_HIDDEN], whole[at.FLIPS_LATENT], whole[at.FLIPS_OUT]
    for i in range(count):
        for c in range(hidden):
            work[columns + i * hidden + c] *= work[whole[at.S2] + c]
    zero(work, outs, count * _OUT)
    rows = (count + 3) // 4 * 4
    add_product(work, outs, _OUT, work, columns, 1, hidden, net, whole[at.W3T], _OUT, rows, _OUT, hidden)
    add_product(work, whole[at.J6], pad, work, outs, _OUT, 1, work, latents, pad, _OUT, pad, count)


@part
def _jacobian_anew(whole: np.ndarray, net: np.ndarray, work: np.ndarray) -> None:
    """W3 D2 M as one product."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    j6, latents = whole[at.J6], whole[at.FLIPS_LATENT]
    zero(work, j6, _OUT * pad)
    for done in range(0, hidden, _FLIPS):
        for i in range(_FLIPS):
            for c in range(pad):
                work[latents + i * pad + c] = work[whole[at.S2] + done + i] * work[whole[at.M] + c * hidden + done + i]
        add_product(work, j6, pad, net, whole[at.W3T] + done * _OUT, _OUT, 1, work, latents, pad, _OUT, pad, _FLIPS)
