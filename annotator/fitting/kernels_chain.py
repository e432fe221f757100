"""Forward kinematics and its exact rates.

Every joint keeps how it moves and turns per unknown: for the pose as its `twist`, six rows (velocity of the joint, then
angular velocity) of one column a number of the pose; for an articulation the same below its own joints, `arm_twist`; for
shape the velocity alone, `shape_place`. The root's own rotation and translation are written down where they are used.
What is attached to a joint moves as velocity + angular velocity x lever.
"""

# pyright: reportArgumentType=false, reportReturnType=false
# (numpy's stubs take an element of an array for an array)

from __future__ import annotations

import math

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled, part
from annotator.fitting.kernels_decoder import decode, follow
from annotator.fitting.kernels_rotations import left_jacobian, to_frame, to_rotation
from annotator.fitting.tiles import add_row, copy, three_rows, tile_3x16, tile_3x24, zero

_LATENT, _SHAPES, _WIDE, _ARM = at.LATENT, at.SHAPES, at.SHAPE_PAD, at.ARM_PAD
_SIDES, _OUTLINE_ROOM = at.SIDES, at.OUTLINE_ROOM


@compiled
def pose_joints(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Local rotations, levers at rest, and where every joint is and how it is turned."""
    _local_rotations(whole, body, net, work, state)
    rest, long, features = whole[at.POSED_REST], whole[at.REST_LONG], whole[at.FEATURES]
    copy(work, rest, body, whole[at.REST], long)
    add_row(work, rest, state, whole[at.SHAPE_START], 1, body, whole[at.REST_SHAPES], long, long, _SHAPES)
    for i in range(features):
        joint, feature = whole[at.LOCAL] + 9 * whole[whole[at.FEATURE_JOINT] + i], whole[at.FEATURE] + 9 * i
        copy(work, feature, work, joint, 9)
        for c in range(0, 9, 4):
            work[feature + c] -= 1
    add_row(work, rest, work, whole[at.FEATURE], 1, body, whole[at.REST_FEATURES], long, long, 9 * features)
    copy(work, whole[at.TURN], work, whole[at.LOCAL], 9)
    for c in range(3):
        work[whole[at.PLACE] + c] = work[rest + c] + state[whole[at.TRANSL_START] + c]
    for j in range(1, whole[at.JOINTS]):
        p = whole[whole[at.PARENT] + j]
        turn, place, local, bone = (
            whole[at.TURN] + 9 * j,
            whole[at.PLACE] + 3 * j,
            whole[at.LOCAL] + 9 * j,
            rest + 3 * j,
        )
        x, y, z = work[bone], work[bone + 1], work[bone + 2]
        for r in range(3):
            above = whole[at.TURN] + 9 * p + 3 * r
            a, b, c = work[above], work[above + 1], work[above + 2]
            work[place + r] = work[whole[at.PLACE] + 3 * p + r] + a * x + b * y + c * z
            for k in range(3):
                work[turn + 3 * r + k] = a * work[local + k] + b * work[local + 3 + k] + c * work[local + 6 + k]
    if whole[at.NECK] >= 0:
        _outline(whole, body, work, state)


@part
def _outline(whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """The row of the face's outline that the neck's yaw shows, and the levers of its points."""
    neck, count = whole[at.TURN] + 9 * whole[at.NECK], whole[at.OUTLINE]
    across = math.sqrt(float(work[neck]) ** 2 + float(work[neck + 3]) ** 2)
    yaw = math.degrees(math.atan2(float(work[neck + 6]), across))
    degrees = math.floor(min(max(yaw, -_SIDES), _SIDES) + 0.5)
    row = degrees if degrees >= 0 else _SIDES - degrees
    work[whole[at.OUTLINE_ROW]] = row
    bends = whole[whole[at.GROUP_FEATURES] + whole[at.OUTLINE_GROUP]]
    count_bends = whole[whole[at.GROUP_FEATURES] + whole[at.OUTLINE_GROUP] + 1] - bends
    wide = (9 * count_bends + 7) // 8 * 8
    for o in range(count):
        first = whole[whole[at.OUTLINE_FIRST] + row * count + o]
        for t in range(first, whole[whole[at.OUTLINE_FIRST] + row * count + o + 1]):
            lever, parts = (
                whole[at.OUTLINE_LEVER] + 3 * (o * _OUTLINE_ROOM + t - first),
                whole[whole[at.AT_FEATURES] + t],
            )
            for c in range(3):
                shapes = whole[at.AT_SHAPES] + (3 * t + c) * _WIDE
                total = body[whole[at.AT_LEVER] + 3 * t + c]
                for i in range(_SHAPES):
                    total += body[shapes + i] * state[whole[at.SHAPE_START] + i]
                if parts >= 0:
                    for i in range(count_bends):
                        local = whole[at.LOCAL] + 9 * whole[whole[at.GROUP_FEATURE_JOINT] + bends + i]
                        part = whole[at.FEATURE_PARTS] + parts + c * wide + 9 * i
                        total -= body[part] + body[part + 4] + body[part + 8]
                        for k in range(9):
                            total += body[part + k] * work[local + k]
                work[lever + c] = total


@compiled
def lever_of(whole: np.ndarray, work: np.ndarray, point: int) -> tuple[int, int, int]:
    """First and last attachment of a point, and where the levers of these begin in `work`."""
    o, first = whole[whole[at.POINT_OUTLINE] + point], whole[at.POINT_FIRST] + point
    if o < 0:
        return whole[first], whole[first + 1], whole[at.POSED_REST] + 3 * (whole[at.JOINTS] + whole[first])
    first = whole[at.OUTLINE_FIRST] + int(work[whole[at.OUTLINE_ROW]]) * whole[at.OUTLINE] + o
    return whole[first], whole[first + 1], whole[at.OUTLINE_LEVER] + 3 * o * _OUTLINE_ROOM


@compiled
def arm_angle(whole: np.ndarray, body: np.ndarray, state: np.ndarray, joint: int, axis: int) -> float:
    """One number of the axis-angle of a joint that an articulation turns."""
    which = whole[whole[at.ARM_OF] + joint]
    first, parts = whole[whole[at.ARM_START] + which], whole[at.ARM_PARTS] + (3 * joint + axis) * _ARM
    total = float(body[whole[at.ARM_MEAN] + 3 * joint + axis])
    for c in range(whole[whole[at.ARM_WIDTH] + which]):
        total += float(body[parts + c]) * float(state[first + c])
    return total


@part
def _local_rotations(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """And, for joints that a latent turns, their angular velocity per output of the decoder, kept in `twist` for `joint_rates`."""
    latent = whole[at.POSE_KIND] == _LATENT
    if latent:
        decode(whole, net, work, state)
    copy(work, whole[at.LOCAL], state, whole[at.SIZE], 9)
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
            copy(work, to, body, whole[at.FIXED] + 9 * j, 9)


@compiled
def joint_rates(whole: np.ndarray, body: np.ndarray, net: np.ndarray, work: np.ndarray, state: np.ndarray) -> None:
    """Rates of every joint by pose, articulation and shape, at the state that `pose_joints` saw last."""
    if whole[at.POSE_KIND] == _LATENT:
        follow(whole, net, work, state)
    shape, bones = whole[at.SHAPE_PLACE], whole[at.BONE_SHAPES]
    copy(work, shape, body, bones, 3 * _WIDE)
    zero(work, whole[at.TWIST], 6 * whole[at.POSE_PAD])
    zero(work, whole[at.ARM_TWIST], 6 * _ARM)
    for j in range(1, whole[at.JOINTS]):
        p = whole[whole[at.PARENT] + j]
        own, turn = 3 * j * _WIDE, whole[at.TURN] + 9 * p
        tile_3x24(work, shape + own, shape + 3 * p * _WIDE, _WIDE, work, turn, 1, 3, body, bones + own, _WIDE, 3)
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


@part
def _pose_rates(whole: np.ndarray, work: np.ndarray, state: np.ndarray, j: int, p: int) -> None:
    """The twist of a joint; sums begin with the twist above it, or with that of the root, which is zero."""
    pad, frame, b = whole[at.POSE_PAD], whole[at.FRAME], whole[whole[at.POSE_JOINT] + j]
    nothing = whole[at.TWIST]
    own, above = nothing + 6 * j * pad, nothing + 6 * p * pad
    rates, angular = whole[at.POSE_RATES] + 3 * b * pad, above + 3 * pad
    if b >= 0 and whole[at.POSE_KIND] == _LATENT:
        copy(work, frame, work, own, 24)
        three_rows(work, rates, nothing, pad, work, frame, 1, 8, work, whole[at.J6] + 6 * b * pad, pad, pad, 6)
    elif b >= 0:
        first = whole[at.POSE_START] + 3 * b
        left_jacobian(float(state[first]), float(state[first + 1]), float(state[first + 2]), work, frame)
        zero(work, rates, 3 * pad)
        for r in range(3):
            for c in range(3):
                work[rates + r * pad + 3 * b + c] = work[frame + 8 * r + c]
    _lever(whole, work, p, j)
    three_rows(work, own, above, pad, work, frame, 1, 8, work, angular, pad, pad, 3)
    if b >= 0:
        three_rows(work, own + 3 * pad, angular, pad, work, whole[at.TURN] + 9 * p, 1, 3, work, rates, pad, pad, 3)
    else:
        copy(work, own + 3 * pad, work, angular, 3 * pad)


@part
def _arm_rates(whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray, j: int, p: int) -> None:
    """The same by the numbers of an articulation; nothing where what is above it hangs on none."""
    nothing, frame, turn = whole[at.ARM_TWIST], whole[at.FRAME], whole[at.TURN] + 9 * p
    own, above = nothing + 6 * j * _ARM, nothing
    rates, parts = whole[at.ARM_RATES] + 3 * j * _ARM, whole[at.ARM_PARTS] + 3 * j * _ARM
    if whole[whole[at.ARM_CHAIN] + p] >= 0:
        above += 6 * p * _ARM
    _lever(whole, work, p, j)
    angular = above + 3 * _ARM
    tile_3x16(work, own, above, _ARM, work, frame, 1, 8, work, angular, _ARM, 3)
    if whole[whole[at.ARM_OF] + j] < 0:
        copy(work, own + 3 * _ARM, work, angular, 3 * _ARM)
        return
    x, y = arm_angle(whole, body, state, j, 0), arm_angle(whole, body, state, j, 1)
    left_jacobian(x, y, arm_angle(whole, body, state, j, 2), work, frame)
    tile_3x16(work, rates, nothing, _ARM, work, frame, 1, 8, body, parts, _ARM, 3)
    tile_3x16(work, own + 3 * _ARM, angular, _ARM, work, turn, 1, 3, work, rates, _ARM, 3)


@compiled
def turn_root(state: np.ndarray, first: int, x: float, y: float, z: float, work: np.ndarray, turn: int) -> None:
    """The rotation at `state[first:]`, turned on the left by an axis-angle; `work[turn:]` is room for nine numbers."""
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
