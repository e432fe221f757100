"""VPoser's decoder and its exact Jacobian, followed from latent to latent instead of computed anew.

With leaky rectifiers the network is linear wherever no unit changes sign. So a new latent costs one product with
M = W2 D1 W1 and a correction for each unit of the first layer that flipped, and the Jacobian W3 D2 M changes by one
rank for each flipped unit of either layer: some ten out of a thousand between two steps of a solver. Both are exact.
"""

from __future__ import annotations

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled
from annotator.fitting.tiles import add_product, add_row

_OUT, _FLIPS = at.OUT, at.FLIPS


@compiled
def decoder_reset(whole: np.ndarray, net: np.ndarray, work: np.ndarray) -> None:
    """Back to the latent zero."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    h1, h2, s1, s2 = whole[at.H1], whole[at.H2], whole[at.S1], whole[at.S2]
    negative, positive = net[whole[at.SLOPE]], net[whole[at.SLOPE] + 1]
    for c in range(pad):
        work[whole[at.AT_LATENT] + c] = 0
        work[whole[at.CHANGE] + c] = 0
    for k in range(hidden):
        first, second = net[whole[at.H10] + k], net[whole[at.H20] + k]
        work[h1 + k], work[h2 + k] = first, second
        work[s1 + k] = negative if first < 0 else positive
        work[s2 + k] = negative if second < 0 else positive
    for i in range(hidden * pad):
        work[whole[at.M] + i] = net[whole[at.M0] + i]
    for i in range(_OUT * pad):
        work[whole[at.J6] + i] = net[whole[at.J0] + i]


@compiled
def decode(whole: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Outputs and layers of the state's latent; the place where the Jacobian stands is left alone."""
    hidden, pad, width = whole[at.HIDDEN], whole[at.POSE_PAD], whole[at.POSE]
    h1, h2, m, change, out = whole[at.H1_NEXT], whole[at.H2_NEXT], whole[at.M], whole[at.CHANGE], whole[at.DECODED]
    s1, s1_next, s2_next, active = whole[at.S1], whole[at.S1_NEXT], whole[at.S2_NEXT], whole[at.ACTIVATION]
    negative, positive = net[whole[at.SLOPE]], net[whole[at.SLOPE] + 1]
    for k in range(hidden):
        work[h1 + k] = net[whole[at.B1] + k]
    add_row(work, h1, state, whole[at.POSE_START], 1, net, whole[at.W1T], hidden, hidden, width)
    for c in range(width):
        work[change + c] = state[whole[at.POSE_START] + c] - work[whole[at.AT_LATENT] + c]
    for k in range(hidden):
        total = work[whole[at.H2] + k]
        for c in range(pad):
            total += work[m + k * pad + c] * work[change + c]
        work[h2 + k] = total
    for k in range(hidden):
        value = work[h1 + k]
        slope = negative if value < 0 else positive
        work[s1_next + k] = slope
        if slope != work[s1 + k]:
            work[change + pad] = (slope - work[s1 + k]) * value
            add_row(work, h2, work, change + pad, 0, net, whole[at.W2T] + k * hidden, 0, hidden, 1)
    for k in range(hidden):
        value = work[h2 + k]
        slope = negative if value < 0 else positive
        work[s2_next + k] = slope
        work[active + k] = slope * value
    for k in range(_OUT):
        work[out + k] = net[whole[at.B3] + k]
    add_row(work, out, work, active, 1, net, whole[at.W3T], _OUT, _OUT, hidden)


@compiled
def follow(whole: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Moves the Jacobian of the outputs by the latent to where `decode` was last."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    m, j6, w3t, s2 = whole[at.M], whole[at.J6], whole[at.W3T], whole[at.S2]
    s1, s1_next, s2_next = whole[at.S1], whole[at.S1_NEXT], whole[at.S2_NEXT]
    latents, outs = whole[at.FLIPS_LATENT], whole[at.FLIPS_OUT]
    for c in range(whole[at.POSE]):
        work[whole[at.AT_LATENT] + c] = state[whole[at.POSE_START] + c]
    first = second = 0
    for k in range(hidden):
        work[whole[at.H1] + k] = work[whole[at.H1_NEXT] + k]
        work[whole[at.H2] + k] = work[whole[at.H2_NEXT] + k]
        first += work[s1 + k] != work[s1_next + k]
        second += work[s2 + k] != work[s2_next + k]
    anew = first > _FLIPS // 2 or second > _FLIPS
    filled = 0
    for k in range(hidden):  # units of the second layer, before any of the first
        more = work[s2_next + k] - work[s2 + k]
        work[s2 + k] = work[s2_next + k]
        if more != 0 and not anew:
            for c in range(pad):
                work[latents + filled * pad + c] = work[m + k * pad + c]
            for c in range(_OUT):
                work[outs + filled * _OUT + c] = more * net[w3t + k * _OUT + c]
            filled += 1
    add_product(work, j6, pad, work, outs, _OUT, 1, work, latents, pad, _OUT, pad, filled)
    filled = 0
    for k in range(hidden):
        more = work[s1_next + k] - work[s1 + k]
        work[s1 + k] = work[s1_next + k]
        if more != 0:
            for c in range(hidden):
                work[whole[at.FLIPS_HIDDEN] + filled * hidden + c] = more * net[whole[at.W2T] + k * hidden + c]
            for c in range(pad):
                work[latents + filled * pad + c] = net[whole[at.W1] + k * pad + c]
            filled += 1
        if filled == _FLIPS or (k == hidden - 1 and filled):
            _flip_first(whole, net, work, filled, anew)
            filled = 0
    if anew:
        _jacobian_anew(whole, net, work)


@compiled
def _flip_first(whole: np.ndarray, net: np.ndarray, work: np.ndarray, count: int, anew: bool) -> None:
    """M, and the Jacobian unless it is made `anew`, after `count` units of the first layer changed sign."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    columns, latents, outs = whole[at.FLIPS_HIDDEN], whole[at.FLIPS_LATENT], whole[at.FLIPS_OUT]
    add_product(work, whole[at.M], pad, work, columns, hidden, 1, work, latents, pad, hidden, pad, count)
    if anew:
        return
    for i in range(count):
        for c in range(hidden):
            work[columns + i * hidden + c] *= work[whole[at.S2] + c]
    for i in range(count * _OUT):
        work[outs + i] = 0
    rows = (count + 3) // 4 * 4
    add_product(work, outs, _OUT, work, columns, 1, hidden, net, whole[at.W3T], _OUT, rows, _OUT, hidden)
    add_product(work, whole[at.J6], pad, work, outs, _OUT, 1, work, latents, pad, _OUT, pad, count)


@compiled
def _jacobian_anew(whole: np.ndarray, net: np.ndarray, work: np.ndarray) -> None:
    """W3 D2 M as one product."""
    hidden, pad = whole[at.HIDDEN], whole[at.POSE_PAD]
    j6, latents = whole[at.J6], whole[at.FLIPS_LATENT]
    for i in range(_OUT * pad):
        work[j6 + i] = 0
    done = 0
    while done < hidden:
        count = min(_FLIPS, hidden - done)
        for i in range(count):
            for c in range(pad):
                work[latents + i * pad + c] = work[whole[at.S2] + done + i] * work[whole[at.M] + (done + i) * pad + c]
        add_product(work, j6, pad, net, whole[at.W3T] + done * _OUT, _OUT, 1, work, latents, pad, _OUT, pad, count)
        done += count
