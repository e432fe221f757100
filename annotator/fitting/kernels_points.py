"""Points of a body, how far they are from where they were seen, and the rows of the Jacobian.

A point is a sum of attachments: G_j a + w p_j for a joint j that is turned by G_j and lies at p_j, with a weight w and a
lever a in the joint's frame, linear in shape and pose correctives. All skinning weights and all corners of a landmark's
triangle are folded into that.

Points whose joints all hang below one joint (a hand below its wrist, a face below the head) move with it rigidly, but
for their own articulation, shape and correctives. Their rows hold the six numbers of that joint's twist in place of those
of the pose; the whole group is carried over to the pose at once (`kernels_system.py`).
"""

# pyright: reportArgumentType=false, reportReturnType=false
# (numpy's stubs take an element of an array for an array)

from __future__ import annotations

import math

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled, part
from annotator.fitting.kernels_chain import lever_of
from annotator.fitting.tiles import three_rows, tile_3x16, tile_3x24, zero

FLOOR = 0.05
"""Least curvature of the robust function, as a share of the weight that iterative reweighting would give."""
NEAREST = 1e-3
"""Metres in front of the camera that a point needs."""
_WIDE, _ARM, _SHAPE_AT, _POSE_AT, _RESIDUAL = at.SHAPE_PAD, at.ARM_PAD, at.SHAPE_AT, at.POSE_AT, at.RESIDUAL


@compiled
def points_value(whole: np.ndarray, body: np.ndarray, work: np.ndarray, people: np.ndarray, person: int) -> float:
    """Places the points, after `pose_joints`, and gives the data term; infinite where one that counts is behind the camera."""
    rho = float(body[whole[at.RHO]])
    squared_rho, total = rho * rho, 0.0
    for k in range(whole[at.POINTS]):
        x = y = z = 0.0
        first, last, levers = lever_of(whole, work, k)
        for t in range(first, last):
            j, w = whole[whole[at.AT_JOINT] + t], float(body[whole[at.AT_WEIGHT] + t])
            turn, place, lever = whole[at.TURN] + 9 * j, whole[at.PLACE] + 3 * j, levers + 3 * (t - first)
            a, b, c = float(work[lever]), float(work[lever + 1]), float(work[lever + 2])
            x += w * work[place] + work[turn] * a + work[turn + 1] * b + work[turn + 2] * c
            y += w * work[place + 1] + work[turn + 3] * a + work[turn + 4] * b + work[turn + 5] * c
            z += w * work[place + 2] + work[turn + 6] * a + work[turn + 7] * b + work[turn + 8] * c
        point, residual = whole[at.POINT] + 3 * k, whole[at.RESIDUALS] + 3 * k
        work[point], work[point + 1], work[point + 2] = x, y, z
        target = at.TARGETS + 4 * whole[whole[at.POINT_ROW] + k]
        weight = float(body[whole[at.POINT_WEIGHT] + k]) * float(people[person, target + 3])
        if weight <= 0.0:
            continue
        if whole[at.DIMS] == 2:
            if z < NEAREST:
                return math.inf
            x = people[person, at.FOCAL] * x / z + people[person, at.CENTER]
            y = people[person, at.FOCAL + 1] * y / z + people[person, at.CENTER + 1]
        away = 0.0
        for c in range(whole[at.DIMS]):
            r = (x if c == 0 else y if c == 1 else z) - float(people[person, target + c])
            work[residual + c] = r
            away += squared_rho * r * r / (r * r + squared_rho) if rho > 0.0 else abs(r)
        total += weight * weight * away
    scale = float(people[person, at.DATA_WEIGHT])
    return total * scale * scale


@compiled
def group_rows(
    whole: np.ndarray, body: np.ndarray, work: np.ndarray, people: np.ndarray, person: int, group: int
) -> int:
    """Fills `rows` with the Jacobian of the points of a group that count; returns how many rows there are.

    A row is scaled by the root of its curvature, so that the Gram matrix of the rows is the Hessian of the data term, and
    its column RESIDUAL makes the same product give the gradient.
    """
    anchor, dims = whole[whole[at.GROUP_ANCHOR] + group], whole[at.DIMS]
    width = at.ANCHORED if anchor >= 0 else whole[at.DENSE_WIDTH]
    bent = whole[whole[at.GROUP_FEATURES] + group + 1] > whole[whole[at.GROUP_FEATURES] + group]
    rows = 0
    for k in range(whole[whole[at.GROUP_FIRST] + group], whole[whole[at.GROUP_FIRST] + group + 1]):
        target = at.TARGETS + 4 * whole[whole[at.POINT_ROW] + k]
        weight = float(body[whole[at.POINT_WEIGHT] + k]) * float(people[person, target + 3])
        if weight <= 0.0:
            continue
        first = whole[at.ROWS] + rows * width
        zero(work, first, dims * width)
        if bent:
            zero(work, whole[at.FEATURE_ROW], 3 * whole[at.FEATURE_WIDE])
        weight *= float(people[person, at.DATA_WEIGHT])
        for c in range(dims):
            work[first + c * width + _RESIDUAL] = _direction(whole, body, work, people, person, k, c, weight)
        begin, end, levers = lever_of(whole, work, k)
        for t in range(begin, end):
            _attachment(whole, body, work, group, t, levers + 3 * (t - begin), first, width)
        if bent:
            _correctives(whole, work, group, first, width)
        for c in range(dims):
            _carried_columns(whole, work, anchor, k, c, first + c * width + _POSE_AT)
        rows += dims
    return rows


@part
def _direction(
    whole: np.ndarray,
    body: np.ndarray,
    work: np.ndarray,
    people: np.ndarray,
    person: int,
    k: int,
    c: int,
    weight: float,
) -> float:
    """`factors[9:12, c]` becomes what a motion of the point adds to its scaled residual, which is returned."""
    r, rho = float(work[whole[at.RESIDUALS] + 3 * k + c]), float(body[whole[at.RHO]])
    if rho > 0.0:
        bend = rho * rho / (r * r + rho * rho)
        slope = 2.0 * bend * bend
        curvature = max(slope * (rho * rho - 3.0 * r * r) / (r * r + rho * rho), FLOOR * slope)
    else:
        slope = curvature = 1.0 / max(abs(r), 1e-5)
    root = weight * math.sqrt(curvature)
    to = whole[at.FACTORS] + 27 + c
    work[to] = work[to + 3] = work[to + 6] = 0
    if whole[at.DIMS] == 2:
        point = whole[at.POINT] + 3 * k
        scale = root * float(people[person, at.FOCAL + c]) / float(work[point + 2])
        work[to + 3 * c] = scale
        work[to + 6] = -scale * float(work[point + c]) / float(work[point + 2])
    else:
        work[to + 3 * c] = root
    return weight * weight * slope * r / root


@part
def _attachment(
    whole: np.ndarray, body: np.ndarray, work: np.ndarray, group: int, t: int, lever: int, first: int, width: int
) -> None:
    """Adds one attachment's columns of shape, articulation and, in a group without an anchor, of the pose.

    `factors[:9]` are what a motion of its joint adds: along its velocity, its angular velocity, and in its own frame. The
    third row is nothing in 2D; it falls on the next point's first, which is emptied later.
    """
    j, w = whole[whole[at.AT_JOINT] + t], body[whole[at.AT_WEIGHT] + t]
    turn = whole[at.TURN] + 9 * j
    a, b, c = work[lever], work[lever + 1], work[lever + 2]
    lever_x = work[turn] * a + work[turn + 1] * b + work[turn + 2] * c
    lever_y = work[turn + 3] * a + work[turn + 4] * b + work[turn + 5] * c
    lever_z = work[turn + 6] * a + work[turn + 7] * b + work[turn + 8] * c
    for i in range(whole[at.DIMS]):
        f = whole[at.FACTORS] + i
        x, y, z = work[f + 27], work[f + 30], work[f + 33]
        work[f], work[f + 3], work[f + 6] = w * x, w * y, w * z
        work[f + 9] = lever_y * z - lever_z * y
        work[f + 12] = lever_z * x - lever_x * z
        work[f + 15] = lever_x * y - lever_y * x
        for r in range(3):
            work[f + 18 + 3 * r] = work[turn + r] * x + work[turn + 3 + r] * y + work[turn + 6 + r] * z
    f, shape, pad = whole[at.FACTORS], first + _SHAPE_AT, whole[at.POSE_PAD]
    tile_3x24(work, shape, shape, width, work, f, 3, 1, work, whole[at.SHAPE_PLACE] + 3 * j * _WIDE, _WIDE, 3)
    if whole[whole[at.AT_SOLID] + t]:
        tile_3x24(work, shape, shape, width, work, f + 18, 3, 1, body, whole[at.AT_SHAPES] + 3 * t * _WIDE, _WIDE, 3)
    bent = whole[whole[at.AT_FEATURES] + t]
    if bent >= 0:
        to, wide, long = whole[at.FEATURE_ROW], whole[at.FEATURE_WIDE], _feature_width(whole, group)
        three_rows(work, to, to, wide, work, f + 18, 3, 1, body, whole[at.FEATURE_PARTS] + bent, long, long, 3)
    if whole[whole[at.GROUP_ARM] + group] >= 0 and whole[whole[at.ARM_CHAIN] + j] >= 0:
        tile_3x16(work, first, first, width, work, f, 3, 1, work, whole[at.ARM_TWIST] + 6 * j * _ARM, _ARM, 6)
    if whole[whole[at.GROUP_ANCHOR] + group] < 0:
        pose = first + _POSE_AT
        three_rows(work, pose, pose, width, work, f, 3, 1, work, whole[at.TWIST] + 6 * j * pad, pad, pad, 6)


@compiled
def _feature_width(whole: np.ndarray, group: int) -> int:
    """Numbers of a group's correctives, padded."""
    first = whole[at.GROUP_FEATURES] + group
    return (9 * (whole[first + 1] - whole[first]) + 7) // 8 * 8


@part
def _correctives(whole: np.ndarray, work: np.ndarray, group: int, row: int, width: int) -> None:
    """Adds what the turning of joints does through the correctives, from `feature_row`."""
    first, pad = whole[whole[at.GROUP_FEATURES] + group], whole[at.POSE_PAD]
    for i in range(whole[whole[at.GROUP_FEATURES] + group + 1] - first):
        j = whole[whole[at.GROUP_FEATURE_JOINT] + first + i]
        for c in range(whole[at.DIMS]):
            feature, f = whole[at.FEATURE_ROW] + c * whole[at.FEATURE_WIDE] + 9 * i, whole[at.FACTORS] + 36 + c
            x = y = z = 0.0
            for col in range(3):
                local = whole[at.LOCAL] + 9 * j + col
                u, v, w = work[feature + col], work[feature + col + 3], work[feature + col + 6]
                x += work[local + 3] * w - work[local + 6] * v
                y += work[local + 6] * u - work[local] * w
                z += work[local] * v - work[local + 3] * u
            work[f], work[f + 3], work[f + 6] = x, y, z
        b, arm, f = whole[whole[at.POSE_JOINT] + j], whole[whole[at.ARM_OF] + j], whole[at.FACTORS] + 36
        if b >= 0 and whole[whole[at.GROUP_ANCHOR] + group] < 0:
            pose, rates = row + _POSE_AT, whole[at.POSE_RATES] + 3 * b * pad
            three_rows(work, pose, pose, width, work, f, 3, 1, work, rates, pad, pad, 3)
        elif arm >= 0 and arm == whole[whole[at.GROUP_ARM] + group]:
            tile_3x16(work, row, row, width, work, f, 3, 1, work, whole[at.ARM_RATES] + 3 * j * _ARM, _ARM, 3)


@part
def _carried_columns(whole: np.ndarray, work: np.ndarray, anchor: int, k: int, c: int, to: int) -> None:
    """The anchor's twist, or root and translation where there is no anchor."""
    about, point, f = whole[at.PLACE] + 3 * max(anchor, 0), whole[at.POINT] + 3 * k, whole[at.FACTORS] + 27 + c
    x, y, z = work[point] - work[about], work[point + 1] - work[about + 1], work[point + 2] - work[about + 2]
    u, v, w = work[f], work[f + 3], work[f + 6]
    turn, move = to + 3, to
    if anchor < 0:
        turn = to + whole[at.POSE]
        move = turn + 3
    work[turn] += y * w - z * v
    work[turn + 1] += z * u - x * w
    work[turn + 2] += x * v - y * u
    work[move] += u
    work[move + 1] += v
    work[move + 2] += w
