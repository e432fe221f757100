"""The objective of one person as the solver sees it: its value, its gradient and curvature, and how a step is taken."""

# pyright: reportArgumentType=false, reportReturnType=false
# (numpy's stubs take an element of an array for an array)

from __future__ import annotations

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled, part
from annotator.fitting.kernels_chain import joint_rates, pose_joints, turn_root
from annotator.fitting.kernels_points import group_rows, points_value
from annotator.fitting.kernels_priors import add_priors, priors_value
from annotator.fitting.kernels_spheres import add_spheres, spheres_value
from annotator.fitting.tiles import add_gram, add_product, add_row, copy, zero

_ANCHORED, _POSE_AT, _SHAPE_AT, _SHAPES, _RESIDUAL, _ARM = (
    *(at.ANCHORED, at.POSE_AT, at.SHAPE_AT, at.SHAPES, at.RESIDUAL, at.ARM),
)


@compiled
def evaluate(task: at.Task, work: np.ndarray, state: np.ndarray) -> float:
    """The objective."""
    pose_joints(task.whole, task.body, task.net, work, state)
    data = points_value(task.whole, task.body, work, task.people, task.person)
    work[task.whole[at.TERM]] = data
    value = data + priors_value(task.whole, task.body, work, state)
    work[task.whole[at.TERM] + at.PENETRATION] = 0
    if task.whole[at.PAIRS] > 0:
        value += spheres_value(task.whole, task.body, work)
    return value


@compiled
def linearise(task: at.Task, work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray) -> None:
    """Gradient and the upper part of the curvature, at the state that `evaluate` saw last."""
    whole, body = task.whole, task.body
    for i in range(matrix.shape[0]):
        gradient[i] = 0
        for j in range(matrix.shape[1]):
            matrix[i, j] = 0
    joint_rates(whole, body, task.net, work, state)
    for group in range(whole[at.GROUPS]):
        rows = group_rows(whole, body, work, task.people, task.person, group)
        if rows:
            _add_group(whole, work, group, rows, matrix, gradient)
    add_priors(whole, body, work, state, matrix, gradient)
    if whole[at.PAIRS] > 0:
        add_spheres(whole, body, work, matrix, gradient)
    _hold(whole, body[whole[at.SHAPE_MOST]], state, matrix, gradient)


@compiled
def _hold(whole: np.ndarray, most: float, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray) -> None:
    """Takes numbers of the shape that stand at their bound and would go beyond out of the system: the others step without them."""
    first = whole[at.FIRST]
    for i in range(max(first, whole[at.SHAPE_START]), whole[at.POSE_START]):
        row = i - first
        if (state[i] >= most and gradient[row] < 0) or (state[i] <= -most and gradient[row] > 0):
            for j in range(matrix.shape[0]):
                matrix[row, j] = 0
                matrix[j, row] = 0
            matrix[row, row] = 1
            gradient[row] = 0


@compiled
def retract(task: at.Task, work: np.ndarray, state: np.ndarray, step: np.ndarray, moved: np.ndarray) -> None:
    """`moved` becomes `state` after `step`."""
    whole = task.whole
    first, root = whole[at.FIRST], whole[at.ROOT_START]
    copy(moved, 0, state, 0, whole[at.SIZE] + 9)
    for i in range(first, whole[at.LAST]):
        if i < root or i >= whole[at.TRANSL_START]:
            moved[i] += step[i - first]
    most = task.body[whole[at.SHAPE_MOST]]
    for i in range(max(first, whole[at.SHAPE_START]), whole[at.POSE_START]):
        moved[i] = min(max(moved[i], -most), most)
    to = root - first
    turn_root(moved, whole[at.SIZE], float(step[to]), float(step[to + 1]), float(step[to + 2]), work, whole[at.FRAME])


@compiled
def _add_group(  # noqa: C901  (a block of the matrix at a time)
    whole: np.ndarray, work: np.ndarray, group: int, rows: int, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """The Gram matrix of a group's rows, added where its columns belong."""
    anchor, arm, origin = whole[whole[at.GROUP_ANCHOR] + group], whole[whole[at.GROUP_ARM] + group], whole[at.FIRST]
    width, gram = _ANCHORED if anchor >= 0 else whole[at.DENSE_WIDTH], whole[at.GRAM]
    zero(work, gram, width * width)
    add_gram(work, gram, width, work, whole[at.ROWS], width, 0 if arm >= 0 else 8, width, rows)
    shape, core, count = whole[at.SHAPE_START] - origin, whole[at.POSE_START] - origin, 0
    if anchor < 0:
        count = whole[at.LAST] - whole[at.POSE_START]
    for i in range(_SHAPES):
        row = gram + (_SHAPE_AT + i) * width
        gradient[shape + i] += work[gram + _RESIDUAL * width + _SHAPE_AT + i]
        for j in range(i, _SHAPES):
            matrix[shape + i, shape + j] += work[row + _SHAPE_AT + j]
        for j in range(count):
            matrix[shape + i, core + j] += work[row + _POSE_AT + j]
    if arm >= 0:
        to = whole[whole[at.ARM_START] + arm] - origin
        for i in range(whole[whole[at.ARM_WIDTH] + arm]):
            row = gram + i * width
            gradient[to + i] += work[row + _RESIDUAL]
            for j in range(i, whole[whole[at.ARM_WIDTH] + arm]):
                matrix[to + i, to + j] += work[row + j]
            for j in range(_SHAPES):
                matrix[to + i, shape + j] += work[row + _SHAPE_AT + j]
            for j in range(count):
                matrix[to + i, core + j] += work[row + _POSE_AT + j]
    for i in range(count):
        row = gram + (_POSE_AT + i) * width + _POSE_AT
        gradient[core + i] += work[gram + _RESIDUAL * width + _POSE_AT + i]
        for j in range(i, count):
            matrix[core + i, core + j] += work[row + j]
    if anchor >= 0:
        _carry(whole, work, anchor, arm, matrix, gradient)


@part
def _carry(
    whole: np.ndarray, work: np.ndarray, anchor: int, arm: int, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """The six columns of the anchor's twist become those of pose, root and translation: T' (G T), T' g and so on."""
    _carrier(whole, work, anchor)
    pad, ld, gram, carrier, carried = (
        whole[at.CORE_PAD],
        matrix.shape[1],
        whole[at.GRAM],
        whole[at.CARRIER],
        whole[at.CARRIED],
    )
    shape, core = whole[at.SHAPE_START] - whole[at.FIRST], whole[at.POSE_START] - whole[at.FIRST]
    for i in range(6):
        row = gram + (_POSE_AT + i) * _ANCHORED + _POSE_AT
        for j in range(i):
            work[row + j] = work[gram + (_POSE_AT + j) * _ANCHORED + _POSE_AT + i]
        zero(work, carried + i * pad, pad)
        add_row(work, carried + i * pad, work, row, 1, work, carrier, pad, pad, 6)
    add_row(gradient, core, work, gram + _RESIDUAL * _ANCHORED + _POSE_AT, 1, work, carrier, pad, pad, 6)
    add_product(matrix, core * ld + core, ld, work, carrier, pad, 1, work, carried, pad, pad, pad, 6)
    by_shape = gram + _SHAPE_AT * _ANCHORED + _POSE_AT
    add_product(matrix, shape * ld + core, ld, work, by_shape, 1, _ANCHORED, work, carrier, pad, _SHAPES, pad, 6)
    if arm >= 0:
        to = whole[whole[at.ARM_START] + arm] - whole[at.FIRST]
        add_product(matrix, to * ld + core, ld, work, gram + _POSE_AT, 1, _ANCHORED, work, carrier, pad, _ARM, pad, 6)


@part
def _carrier(whole: np.ndarray, work: np.ndarray, anchor: int) -> None:
    """Velocity and angular velocity of the anchor per number of pose, root and translation, `(6, core)`."""
    pad, core, count, to = whole[at.POSE_PAD], whole[at.CORE_PAD], whole[at.POSE], whole[at.CARRIER]
    twist, place, about = whole[at.TWIST] + 6 * anchor * pad, whole[at.PLACE] + 3 * anchor, whole[at.PLACE]
    zero(work, to, 6 * core)
    for r in range(6):
        copy(work, to + r * core, work, twist + r * pad, count)
    x, y, z = work[place] - work[about], work[place + 1] - work[about + 1], work[place + 2] - work[about + 2]
    root = to + count
    work[root + 1], work[root + 2] = z, -y
    work[root + core], work[root + core + 2] = -z, x
    work[root + 2 * core], work[root + 2 * core + 1] = y, -x
    for r in range(3):
        work[root + (3 + r) * core + r] = 1
        if whole[at.LAST] > whole[at.TRANSL_START]:
            work[root + 3 + r * core + r] = 1
