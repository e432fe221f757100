"""The camera's start: orientation and translation of the mean pose, by plain squares of a few points and a guess of the depth.

The state is translation (3), then the nine numbers of the root's rotation; the solver varies an angular velocity in camera
space and the translation. Nearly coplanar points have two mirrored minima, so several orientations are tried and the two
best minima that differ are kept: local minima of the whole objective mostly come from the wrong one of the two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from annotator.fitting.compiled import compiled
from annotator.fitting.kernels_chain import turn_root
from annotator.fitting.layout import CENTER, DATA_WEIGHT, FOCAL, TARGETS

DEPTH_WEIGHT = 100.0
"""Of the guessed depth, per metre; inside the square."""
UNKNOWNS, STATE = 6, 12
_NEAREST = 1e-3


class CameraTask(NamedTuple):
    """One person's camera start.

    Attributes:
        points: `(K, 3)` of the mean pose, relative to the root joint. root: `(3,)`.
        weight: `(N, K)` of the points that count. depth: `(N,)` metres.
    """

    points: np.ndarray
    root: np.ndarray
    weight: np.ndarray
    depth: np.ndarray
    people: np.ndarray
    person: int


@compiled
def _placed(task: CameraTask, state: np.ndarray, k: int) -> tuple[float, float, float]:
    a, b, c = float(task.points[k, 0]), float(task.points[k, 1]), float(task.points[k, 2])
    x = float(task.root[0]) + state[3] * a + state[4] * b + state[5] * c + state[0]
    y = float(task.root[1]) + state[6] * a + state[7] * b + state[8] * c + state[1]
    z = float(task.root[2]) + state[9] * a + state[10] * b + state[11] * c + state[2]
    return x, y, z


@compiled
def camera_value(task: CameraTask, _work: np.ndarray, state: np.ndarray) -> float:
    """The camera's objective."""
    n, total = task.person, 0.0
    for k in range(task.points.shape[0]):
        if task.weight[n, k] <= 0.0:
            continue
        x, y, z = _placed(task, state, k)
        if z < _NEAREST:
            return math.inf
        for c in range(2):
            r = task.people[n, FOCAL + c] * (x if c == 0 else y) / z + task.people[n, CENTER + c]
            r -= task.people[n, TARGETS + 4 * k + c]
            total += r * r
    away = DEPTH_WEIGHT * (float(state[2]) - float(task.depth[n]))
    return float(task.people[n, DATA_WEIGHT]) ** 2 * total + away * away


@compiled
def camera_system(
    task: CameraTask, work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Its gradient and Gauss-Newton curvature."""
    n = task.person
    for i in range(UNKNOWNS):
        gradient[i] = 0
        for j in range(UNKNOWNS):
            matrix[i, j] = 0
    scale = float(task.people[n, DATA_WEIGHT])
    for k in range(task.points.shape[0]):
        if task.weight[n, k] <= 0.0:
            continue
        x, y, z = _placed(task, state, k)
        dx, dy, dz = x - state[0] - task.root[0], y - state[1] - task.root[1], z - state[2] - task.root[2]
        for c in range(2):
            along = x if c == 0 else y
            f = float(task.people[n, FOCAL + c]) / z
            r = scale * (f * along + float(task.people[n, CENTER + c]) - float(task.people[n, TARGETS + 4 * k + c]))
            u, v, w = scale * f * (1 - c), scale * f * c, -scale * f * along / z
            work[0], work[1], work[2] = dy * w - dz * v, dz * u - dx * w, dx * v - dy * u
            work[3], work[4], work[5] = u, v, w
            for i in range(UNKNOWNS):
                gradient[i] += 2.0 * work[i] * r
                for j in range(i, UNKNOWNS):
                    matrix[i, j] += 2.0 * work[i] * work[j]
    gradient[5] += 2.0 * DEPTH_WEIGHT**2 * (float(state[2]) - float(task.depth[n]))
    matrix[5, 5] += 2.0 * DEPTH_WEIGHT**2


@compiled
def camera_moved(_task: CameraTask, work: np.ndarray, state: np.ndarray, step: np.ndarray, moved: np.ndarray) -> None:
    """`moved` becomes `state` after `step`."""
    for i in range(STATE):
        moved[i] = state[i]
    for i in range(3):
        moved[i] += step[3 + i]
    turn_root(moved, 3, float(step[0]), float(step[1]), float(step[2]), work, 8)


@compiled
def centred(task: CameraTask, state: np.ndarray) -> None:
    """A translation at the guessed depth that brings the mean of the points over that of their targets."""
    n, total = task.person, 0.0
    state[0] = state[1] = 0
    state[2] = task.depth[n]
    for k in range(task.points.shape[0]):
        if task.weight[n, k] > 0.0:
            total += 1.0
    x = y = 0.0
    for k in range(task.points.shape[0]):
        if task.weight[n, k] > 0.0:
            u, v, w = _placed(task, state, k)
            depth = max(w, _NEAREST)
            x += (
                depth * (task.people[n, TARGETS + 4 * k] - task.people[n, CENTER]) / task.people[n, FOCAL] - u
            ) / total
            y += (
                depth * (task.people[n, TARGETS + 4 * k + 1] - task.people[n, CENTER + 1]) / task.people[n, FOCAL + 1]
                - v
            ) / total
    state[0], state[1] = x, y
