"""Self-penetration: how far spheres that ride on a body overlap, its gradient and its curvature.

A sphere's centre is (1 - s) p_j + s p_k + G_j a for a joint j, its child k and a lever a in the joint's frame. The overlap of
two depends on shape and pose alone: turned and moved as a whole, a body keeps its distances.
"""

# pyright: reportArgumentType=false, reportReturnType=false
# (numpy's stubs take an element of an array for an array)

from __future__ import annotations

import math

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled
from annotator.fitting.tiles import zero

NEAREST_SQUARED = 1e-12
"""Square metres that are added to a squared distance, so that centres in one place have a direction of no length."""
_WIDE, _SHAPES = at.SHAPE_PAD, at.SHAPES


@compiled
def spheres_value(whole: np.ndarray, body: np.ndarray, work: np.ndarray) -> float:
    """Places the spheres, after `pose_joints`, and gives the weighted sum of squared overlaps; it is kept in `terms` too."""
    for s in range(whole[at.SPHERES]):
        j, k = whole[whole[at.SPHERE_JOINT] + s], whole[whole[at.SPHERE_CHILD] + s]
        share, lever = float(body[whole[at.SPHERE_SHARE] + s]), whole[at.SPHERE_LEVER] + 3 * s
        for r in range(3):
            turn, own, child = whole[at.TURN] + 9 * j + 3 * r, whole[at.PLACE] + 3 * j + r, whole[at.PLACE] + 3 * k + r
            arm = work[turn] * body[lever] + work[turn + 1] * body[lever + 1] + work[turn + 2] * body[lever + 2]
            work[whole[at.SPHERE_ARM] + 3 * s + r] = arm
            work[whole[at.CENTRE] + 3 * s + r] = work[own] + share * (work[child] - work[own]) + arm
    total = 0.0
    for p in range(whole[at.PAIRS]):
        overlap = _overlap(whole, body, work, p)[0]
        if overlap > 0.0:
            total += overlap * overlap
    total *= float(body[whole[at.OVERLAP_WEIGHT]])
    work[whole[at.TERM] + at.PENETRATION] = total
    return total


@compiled
def _overlap(whole: np.ndarray, body: np.ndarray, work: np.ndarray, p: int) -> tuple[float, float, float, float]:
    """Metres by which a pair overlaps (below zero: it is apart), and from the second centre towards the first, length 1."""
    pair = whole[at.PAIR] + 2 * p
    one, other = whole[at.CENTRE] + 3 * whole[pair], whole[at.CENTRE] + 3 * whole[pair + 1]
    x = float(work[one]) - float(work[other])
    y = float(work[one + 1]) - float(work[other + 1])
    z = float(work[one + 2]) - float(work[other + 2])
    reach, squared = float(body[whole[at.PAIR_REACH] + p]), x * x + y * y + z * z + NEAREST_SQUARED
    if squared >= reach * reach:
        return -1.0, 0.0, 0.0, 0.0
    away = math.sqrt(squared)
    return reach - away, x / away, y / away, z / away


@compiled
def add_spheres(
    whole: np.ndarray, body: np.ndarray, work: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Gradient and curvature (as of least squares), after `joint_rates`; the matrix's upper part."""
    to, row, count = whole[at.SHAPE_START] - whole[at.FIRST], whole[at.OVERLAP_ROW], _SHAPES + whole[at.POSE]
    weight = 2.0 * float(body[whole[at.OVERLAP_WEIGHT]])
    for p in range(whole[at.PAIRS]):
        overlap, x, y, z = _overlap(whole, body, work, p)
        if overlap <= 0.0:
            continue
        zero(work, row, whole[at.OVERLAP_WIDE])
        pair = whole[at.PAIR] + 2 * p
        _add_rates(whole, body, work, whole[pair], x, y, z)
        _add_rates(whole, body, work, whole[pair + 1], -x, -y, -z)
        for i in range(count):
            slope = weight * float(work[row + i])
            gradient[to + i] -= overlap * slope
            for j in range(i, count):
                matrix[to + i, to + j] += slope * work[row + j]


@compiled
def _add_rates(whole: np.ndarray, body: np.ndarray, work: np.ndarray, s: int, x: float, y: float, z: float) -> None:
    """Adds to `overlap_row` how fast a sphere's centre moves along a direction, by shape and pose."""
    j, k, share = (
        whole[whole[at.SPHERE_JOINT] + s],
        whole[whole[at.SPHERE_CHILD] + s],
        float(body[whole[at.SPHERE_SHARE] + s]),
    )
    arm = whole[at.SPHERE_ARM] + 3 * s
    a, b, c = float(work[arm]), float(work[arm + 1]), float(work[arm + 2])
    _along(whole, work, j, 1.0 - share, x, y, z)
    if share != 0.0:
        _along(whole, work, k, share, x, y, z)
    pad, to = whole[at.POSE_PAD], whole[at.OVERLAP_ROW] + _SHAPES
    turning = whole[at.TWIST] + 6 * j * pad + 3 * pad
    u, v, w = b * z - c * y, c * x - a * z, a * y - b * x
    for i in range(whole[at.POSE]):
        work[to + i] += u * work[turning + i] + v * work[turning + pad + i] + w * work[turning + 2 * pad + i]


@compiled
def _along(whole: np.ndarray, work: np.ndarray, j: int, share: float, x: float, y: float, z: float) -> None:
    """The velocity of a joint along a direction."""
    row, pad = whole[at.OVERLAP_ROW], whole[at.POSE_PAD]
    shape, moving = whole[at.SHAPE_PLACE] + 3 * j * _WIDE, whole[at.TWIST] + 6 * j * pad
    x, y, z = share * x, share * y, share * z
    for i in range(_SHAPES):
        work[row + i] += x * work[shape + i] + y * work[shape + _WIDE + i] + z * work[shape + 2 * _WIDE + i]
    for i in range(whole[at.POSE]):
        work[row + _SHAPES + i] += x * work[moving + i] + y * work[moving + pad + i] + z * work[moving + 2 * pad + i]
