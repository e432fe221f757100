"""Terms of the objective that look at the parameters alone, each with its gradient and curvature."""

# pyright: reportArgumentType=false, reportReturnType=false
# (numpy's stubs take an element of an array for an array)

from __future__ import annotations

import math

import numpy as np

from annotator.fitting import layout as at
from annotator.fitting.compiled import compiled, part
from annotator.fitting.kernels_rotations import axis_angle, inverse_left_jacobian_row
from annotator.fitting.tiles import add_product, zero

_LATENT, _AXIS_ANGLE, _ARM, _BETAS = at.LATENT, at.AXIS_ANGLE, at.ARM_PAD, at.SHAPES // 2


@compiled
def priors_value(whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray) -> float:
    """Pose, bending, shape, expression and articulations, after `pose_joints`; each is kept in `terms` too."""
    term, total = whole[at.TERM] + 1, 0.0
    work[term] = _mixture(whole, body, state)[1] + _squares(whole, body, state, whole[at.POSE_START], whole[at.POSE])
    work[term + 1] = 0
    for i in range(whole[at.BENDS]):
        work[term + 1] += _bending(whole, body, work, state, i)
    for i in range(2):
        work[term + 2 + i] = _squares(whole, body, state, whole[at.SHAPE_START] + i * _BETAS, _BETAS)
    for a in range(whole[at.ARMS]):
        first, prior, value = whole[whole[at.ARM_START] + a], whole[at.ARM_PRIOR] + a * _ARM * _ARM, 0.0
        for i in range(whole[whole[at.ARM_WIDTH] + a]):
            for j in range(whole[whole[at.ARM_WIDTH] + a]):
                value += float(state[first + i]) * float(body[prior + i * _ARM + j]) * float(state[first + j])
        work[term + 4 + a] = value
    for i in range(4 + whole[at.ARMS]):
        total += float(work[term + i])
    return total


@compiled
def _squares(whole: np.ndarray, body: np.ndarray, state: np.ndarray, first: int, count: int) -> float:
    total = 0.0
    for i in range(first, first + count):
        total += float(body[whole[at.PRIOR] + i]) * float(state[i]) * float(state[i])
    return total


@compiled
def add_priors(
    whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """Their gradient and curvature, after `joint_rates`; the matrix's upper part."""
    origin = whole[at.FIRST]
    for i in range(whole[at.SHAPE_START], whole[at.ROOT_START]):
        prior = body[whole[at.PRIOR] + i]
        gradient[i - origin] += (prior + prior) * state[i]
        matrix[i - origin, i - origin] += prior + prior
    for a in range(whole[at.ARMS]):
        first, prior = whole[whole[at.ARM_START] + a], whole[at.ARM_PRIOR] + a * _ARM * _ARM
        if first < origin:
            continue
        for i in range(whole[whole[at.ARM_WIDTH] + a]):
            slope = 0.0
            for j in range(whole[whole[at.ARM_WIDTH] + a]):
                weight = 2.0 * float(body[prior + i * _ARM + j])
                slope += weight * float(state[first + j])
                if j >= i:
                    matrix[first - origin + i, first - origin + j] += weight
            gradient[first - origin + i] += slope
    _add_mixture(whole, body, state, matrix, gradient)
    _add_bending(whole, body, work, state, matrix, gradient)


@compiled
def _mixture(whole: np.ndarray, body: np.ndarray, state: np.ndarray) -> tuple[int, float]:
    """The component that explains the pose best, and its energy; 0 where there is no mixture."""
    count, first = whole[at.POSE], whole[at.POSE_START]
    best, least = 0, 0.0
    for k in range(whole[at.COMPONENTS]):
        mean = whole[at.MIXTURE_MEAN] + k * count
        precision = whole[at.MIXTURE_PRECISION] + k * count * count
        energy = float(body[whole[at.MIXTURE_CONSTANT] + k])
        for i in range(count):
            part = 0.0
            for j in range(count):
                part += float(body[precision + i * count + j]) * (float(state[first + j]) - float(body[mean + j]))
            energy += 0.5 * (float(state[first + i]) - float(body[mean + i])) * part
        if k == 0 or energy < least:
            best, least = k, energy
    return best, least


@part
def _add_mixture(
    whole: np.ndarray, body: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    if whole[at.COMPONENTS] == 0:
        return
    count, first, to = whole[at.POSE], whole[at.POSE_START], whole[at.POSE_START] - whole[at.FIRST]
    k = _mixture(whole, body, state)[0]
    mean, precision = whole[at.MIXTURE_MEAN] + k * count, whole[at.MIXTURE_PRECISION] + k * count * count
    for i in range(count):
        slope = 0.0
        for j in range(count):
            weight = body[precision + i * count + j]
            slope += float(weight) * (float(state[first + j]) - float(body[mean + j]))
            if j >= i:
                matrix[to + i, to + j] += weight
        gradient[to + i] += slope


@compiled
def _bending(whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray, i: int) -> float:
    """exp(2 s angle) of the i-th bending joint, weighted."""
    axis = whole[whole[at.BEND_AXIS] + i]
    if whole[at.POSE_KIND] == _AXIS_ANGLE:
        angle = float(state[whole[at.POSE_START] + 3 * whole[whole[at.BEND_JOINT] + i] + axis])
    else:
        x, y, z = axis_angle(work, whole[at.LOCAL] + 9 * whole[whole[at.BEND_ROW] + i])
        angle = x if axis == 0 else y if axis == 1 else z
    return float(body[whole[at.BEND_WEIGHT]]) * math.exp(2.0 * float(body[whole[at.BEND_SIGN] + i]) * angle)


@part
def _add_bending(
    whole: np.ndarray, body: np.ndarray, work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray
) -> None:
    """With its exact curvature in the angle; the angle's own curvature in the pose is left out."""
    to, pad, core, carrier = (
        whole[at.POSE_START] - whole[at.FIRST],
        whole[at.POSE_PAD],
        whole[at.CORE_PAD],
        whole[at.CARRIER],
    )
    for i in range(whole[at.BENDS]):
        b, axis, sign = (
            whole[whole[at.BEND_JOINT] + i],
            whole[whole[at.BEND_AXIS] + i],
            float(body[whole[at.BEND_SIGN] + i]),
        )
        value = _bending(whole, body, work, state, i)
        if whole[at.POSE_KIND] == _AXIS_ANGLE:
            gradient[to + 3 * b + axis] += 2.0 * sign * value
            matrix[to + 3 * b + axis, to + 3 * b + axis] += 4.0 * value
            continue
        x, y, z = axis_angle(work, whole[at.LOCAL] + 9 * whole[whole[at.BEND_ROW] + i])
        u, v, w = inverse_left_jacobian_row(x, y, z, axis)
        rates, root = whole[at.POSE_RATES] + 3 * b * pad, 2.0 * math.sqrt(value)
        zero(work, carrier + i * core, core)
        for c in range(whole[at.POSE]):
            rate = u * work[rates + c] + v * work[rates + pad + c] + w * work[rates + 2 * pad + c]
            gradient[to + c] += 2.0 * sign * value * rate
            work[carrier + i * core + c] = root * rate
    if whole[at.POSE_KIND] == _LATENT:
        ld = matrix.shape[1]
        add_product(
            matrix, to * ld + to, ld, work, carrier, core, 1, work, carrier, core, core, core, whole[at.BENDS]
        )  # fmt: skip
