"""Forward kinematics and its exact rates.

Every joint keeps how it moves and turns per unknown: for the pose as its `twist`, six rows (velocity of the joint, then
angular velocity) of one column a number of the pose; for an articulation the same below its own joints, `arm_twist`; for
shape the velocity alone, `shape_place`. The root's own rotation and translation are written down where they are used.
What is attached to a joint moves as velocity + angular velocity x lever.
"""

from __future__ import annotations

import math

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled
from annotator.fitting.kernels_decoder import decode, follow
from annotator.fitting.kernels_rotations import left_jacobian, to_frame, to_rotation
from annotator.fitting.tiles import add_row, row_16, row_24

_LATENT, _SHAPES, _WIDE, _ARM = at.LATENT, at.SHAPES, at.SHAPE_PAD, at.ARM_PAD


@compiled
def pose_joints(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Local rotations, levers at rest, and where every joint is and how it is turned."""
    _local_rotations(whole, body, net, work, state)
    rest, long, features = whole[at.POSED_REST], whole[at.REST_LONG], whole[at.FEATURES]
    for c in range(long):
        work[rest + c] = body[whole[at.REST] + c]
    add_row(work, rest, state, whole[at.SHAPE_START], 1, body, whole[at.REST_SHAPES], long, long, _SHAPES)
    for i in range(features):
        joint, feature = whole[at.LOCAL] + 9 * whole[whole[at.FEATURE_JOINT] + i], whole[at.FEATURE] + 9 * i
        for c in range(9):
            work[feature + c] = work[joint + c]
        for c in range(0, 9, 4):
            work[feature + c] -= 1
    add_row(work, rest, work, whole[at.FEATURE], 1, body, whole[at.REST_FEATURES], long, long, 9 * features)
    for c in range(9):
        work[whole[at.TURN] + c] = work[whole[at.LOCAL] + c]
    for c in range(3):
        work[whole[at.PLACE] + c] = work[rest + c] + state[whole[at.TRANSL_START] + c]
    for j in range(1, whole[at.JOINTS]):
        p = whole[whole[at.PARENT] + j]
        turn, place, local, bone = whole[at.TURN] + 9 * j, whole[at.PLACE] + 3 * j, whole[at.LOCAL] + 9 * j, rest + 3 * j
        x, y, z = work[bone], work[bone + 1], work[bone + 2]
        for r in range(3):
            above = whole[at.TURN] + 9 * p + 3 * r
            a, b, c = work[above], work[above + 1], work[above + 2]
            work[place + r] = work[whole[at.PLACE] + 3 * p + r] + a * x + b * y + c * z
            for k in range(3):
                work[turn + 3 * r + k] = a * work[local + k] + b * work[local + 3 + k] + c * work[local + 6 + k]


@compiled
def arm_angle(whole: np.ndarray, body: np.ndarray, state: np.ndarray, joint: int, axis: int) -> float:
    """One number of the axis-angle of a joint that an articulation turns."""
    which = whole[whole[at.ARM_OF] + joint]
    first, parts = whole[whole[at.ARM_START] + which], whole[at.ARM_PARTS] + (3 * joint + axis) * _ARM
    total = float(body[whole[at.ARM_MEAN] + 3 * joint + axis])
    for c in range(whole[whole[at.ARM_WIDTH] + which]):
        total += float(body[parts + c]) * float(state[first + c])
    return total


@compiled
def _local_rotations(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """And, for joints that a latent turns, their angular velocity per output of the decoder, kept in `twist` for `joint_rates`."""
    latent = whole[at.POSE_KIND] == _LATENT
    if latent:
        decode(whole, net, work, state)
    for c in range(9):
        work[whole[at.LOCAL] + c] = state[whole[at.SIZE] + c]
    for j in range(1, whole[at.JOINTS]):
        to, b = whole[at.LOCAL] + 9 * j, whole[whole[at.POSE_JOINT] + j]
        if b >= 0 and latent:
            to_frame(work, whole[at.DECODED] + 6 * b, work, to, whole[at.TWIST] + 6 * j * whole[at.POSE_PAD])
        elif b >= 0:
            first = whole[at.POSE_START] + 3 * b
            to_rotation(float(state[first]), float(state[first + 1]), float(state[first + 2]), work, to)
        elif whole[whole[at.ARM_OF] + j] >= 0:
            x, y = arm_angle(whole, body, state, j, 0), arm_angle(whole, body, state, j, 1)
            to_rotation(x, y, arm_angle(whole, body, state, j, 2), work, to)
        else:
            for c in range(9):
                work[to + c] = body[whole[at.FIXED] + 9 * j + c]


@compiled
def joint_rates(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Rates of every joint by pose, articulation and shape, at the state that `pose_joints` saw last."""
    if whole[at.POSE_KIND] == _LATENT:
        follow(whole, net, work, state)
    pad, shape, bones = whole[at.POSE_PAD], whole[at.SHAPE_PLACE], whole[at.BONE_SHAPES]
    for c in range(3 * _WIDE):
        work[shape + c] = body[bones + c]
    for c in range(6 * pad):
        work[whole[at.TWIST] + c] = 0
    for c in range(6 * _ARM):
        work[whole[at.ARM_TWIST] + c] = 0
    for j in range(1, whole[at.JOINTS]):
        p = whole[whole[at.PARENT] + j]
        for c in range(3 * _WIDE):
            work[shape + 3 * j * _WIDE + c] = work[shape + 3 * p * _WIDE + c]
        for r in range(3):
            to, turn = shape + (3 * j + r) * _WIDE, whole[at.TURN] + 9 * p + 3 * r
            row_24(work, to, 0, work, turn, 1, 0, body, bones + 3 * j * _WIDE, _WIDE, 3)
        if whole[whole[at.POSE_MOVES] + j]:
            _pose_rates(whole, work, state, j, p)
        if whole[whole[at.ARM_CHAIN] + j] >= 0:
            _arm_rates(whole, body, work, state, j, p)


@compiled
def _lever(whole: np.ndarray, work: np.ndarray, parent: int, joint: int) -> None:
    """`frame` becomes the matrix that takes an angular velocity to the velocity of `joint` about its parent."""
    frame, place, about = whole[at.FRAME], whole[at.PLACE] + 3 * joint, whole[at.PLACE] + 3 * parent
    x, y, z = work[place] - work[about], work[place + 1] - work[about + 1], work[place + 2] - work[about + 2]
    work[frame], work[frame + 1], work[frame + 2] = 0, z, -y
    work[frame + 8], work[frame + 9], work[frame + 10] = -z, 0, x
    work[frame + 16], work[frame + 17], work[frame + 18] = y, -x, 0


@compiled
def _pose_rates(whole: np.ndarray, work: np.ndarray, state: np.ndarray, j: int, p: int) -> None:
    pad, frame, b = whole[at.POSE_PAD], whole[at.FRAME], whole[whole[at.POSE_JOINT] + j]
    own, above = whole[at.TWIST] + 6 * j * pad, whole[at.TWIST] + 6 * p * pad
    rates = whole[at.POSE_RATES] + 3 * b * pad
    if b >= 0 and whole[at.POSE_KIND] == _LATENT:
        for c in range(24):
            work[frame + c] = work[own + c]
        for c in range(3 * pad):
            work[rates + c] = 0
        for r in range(3):
            add_row(work, rates + r * pad, work, frame + 8 * r, 1, work, whole[at.J6] + 6 * b * pad, pad, pad, 6)
    elif b >= 0:
        first = whole[at.POSE_START] + 3 * b
        left_jacobian(float(state[first]), float(state[first + 1]), float(state[first + 2]), work, frame)
        for c in range(3 * pad):
            work[rates + c] = 0
        for r in range(3):
            for c in range(3):
                work[rates + r * pad + 3 * b + c] = work[frame + 8 * r + c]
    _lever(whole, work, p, j)
    for c in range(6 * pad):
        work[own + c] = work[above + c]
    for r in range(3):
        add_row(work, own + r * pad, work, frame + 8 * r, 1, work, above + 3 * pad, pad, pad, 3)
        if b >= 0:
            add_row(work, own + (3 + r) * pad, work, whole[at.TURN] + 9 * p + 3 * r, 1, work, rates, pad, pad, 3)


@compiled
def _arm_rates(whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray, j: int, p: int) -> None:
    frame, rates = whole[at.FRAME], whole[at.ARM_RATES] + 3 * j * _ARM
    own, above = whole[at.ARM_TWIST] + 6 * j * _ARM, whole[at.ARM_TWIST] + 6 * p * _ARM
    inside = whole[whole[at.ARM_CHAIN] + p] >= 0
    for c in range(6 * _ARM):
        work[own + c] = work[above + c] if inside else 0
    if inside:
        _lever(whole, work, p, j)
        for r in range(3):
            row_16(work, own + r * _ARM, 0, work, frame + 8 * r, 1, 0, work, above + 3 * _ARM, _ARM, 3)
    if whole[whole[at.ARM_OF] + j] < 0:
        return
    x, y = arm_angle(whole, body, state, j, 0), arm_angle(whole, body, state, j, 1)
    left_jacobian(x, y, arm_angle(whole, body, state, j, 2), work, frame)
    for c in range(3 * _ARM):
        work[rates + c] = 0
    for r in range(3):
        parts = whole[at.ARM_PARTS] + 3 * j * _ARM
        row_16(work, rates + r * _ARM, 0, work, frame + 8 * r, 1, 0, body, parts, _ARM, 3)
    for r in range(3):
        turn = whole[at.TURN] + 9 * p + 3 * r
        row_16(work, own + (3 + r) * _ARM, 0, work, turn, 1, 0, work, rates, _ARM, 3)


@compiled
def turn_root(whole: np.ndarray, work: np.ndarray, state: np.ndarray, x: float, y: float, z: float) -> None:
    """The root's rotation at the end of a state, turned on the left by an axis-angle."""
    first, turn = whole[at.SIZE], whole[at.FRAME]
    to_rotation(x, y, z, work, turn)
    for c in range(3):
        a, b, d = float(state[first + c]), float(state[first + 3 + c]), float(state[first + 6 + c])
        for r in range(3):
            row = turn + 3 * r
            state[first + 3 * r + c] = work[row] * a + work[row + 1] * b + work[row + 2] * d
    # Products of hundreds of rotations drift off the rotations; one step of Gram-Schmidt brings each back.
    for r in range(2):
        row, along = first + 3 * r, 0.0
        for c in range(3):
            along += r * float(state[first + c]) * float(state[row + c])
        for c in range(3):
            state[row + c] -= along * float(state[first + c])
        length = math.sqrt(float(state[row]) ** 2 + float(state[row + 1]) ** 2 + float(state[row + 2]) ** 2)
        for c in range(3):
            state[row + c] /= length
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        state[first + 6 + c] = state[first + d] * state[first + 3 + e] - state[first + e] * state[first + 3 + d]
