"""Damped Levenberg-Marquardt for one problem, compiled; it knows nothing of what it minimises.

The objective is three functions: `evaluate(task, scratch, state) -> value`, `linearise(task, scratch, state, matrix,
gradient)` (at the state evaluated last; the upper part of a curvature that need not be exact but should be positive) and
`retract(task, scratch, state, step, moved)`. Damping is lambda times the matrix's own diagonal, led by Nielsen's gain ratio
(Madsen, Nielsen, Tingleff, Methods for non-linear least squares problems, 2004, section 3.2).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from annotator.fitting.compiled import compiled
from annotator.fitting.tiles import subtract_gram

CONVERGED, EXHAUSTED, NOT_FINITE = 0, 1, 2
"""Why `minimise` stopped: nothing more to gain, no iterations left, a value that is no number."""

_GREATEST_DAMPING = 1e9
_PANEL = 8


class System(NamedTuple):
    """Linear system and states of one problem of at most n unknowns; rows are padded to whole panels of eight."""

    matrix: np.ndarray
    factor: np.ndarray
    gradient: np.ndarray
    right: np.ndarray
    step: np.ndarray
    moved: np.ndarray


class Limits(NamedTuple):
    """When to stop and how to begin.

    Attributes:
        iterations: most steps tried, rejected ones too.
        gain: a step that gains less than this share of the value is a small one.
        patience: small steps in a row after which it has converged.
        damping: first lambda. floor: least value of the diagonal that lambda multiplies.
    """

    iterations: int
    gain: float
    patience: int
    damping: float
    floor: float


def system(unknowns: int, state: int, dtype: type) -> System:
    """Room for a problem of `unknowns` numbers to vary and a state of `state` numbers."""
    size = (unknowns + _PANEL - 1) // _PANEL * _PANEL + 2 * _PANEL
    return System(
        matrix=np.zeros((size, size), dtype),
        factor=np.zeros((size, size), dtype),
        gradient=np.zeros(size, dtype),
        right=np.zeros(size, dtype),
        step=np.zeros(size, dtype),
        moved=np.zeros(state, dtype),
    )


@compiled
def minimise(
    evaluate: Any,
    linearise: Any,
    retract: Any,
    task: Any,
    scratch: Any,
    room: System,
    state: np.ndarray,
    unknowns: int,
    limits: Limits,
) -> tuple[float, int, int]:
    """Lowers the objective from `state`, which is moved; returns its value, the steps tried and why it stopped."""
    value = evaluate(task, scratch, state)
    if not math.isfinite(value):
        return value, 0, NOT_FINITE
    linearise(task, scratch, state, room.matrix, room.gradient)
    damping, growth, small = limits.damping, 2.0, 0
    for iteration in range(1, limits.iterations + 1):
        promised = damped_step(room, unknowns, damping, limits.floor)
        gained = -math.inf
        if promised > 0.0:
            retract(task, scratch, state, room.step, room.moved)
            reached = evaluate(task, scratch, room.moved)
            if math.isfinite(reached):
                gained = value - reached
        if abs(gained) < limits.gain * abs(value):
            small += 1
        elif gained > 0.0:
            small = 0
        if gained > 0.0:
            for i in range(len(state)):
                state[i] = room.moved[i]
            value = value - gained
            damping *= max(1.0 / 3.0, 1.0 - (2.0 * gained / promised - 1.0) ** 3)
            growth = 2.0
        else:
            damping *= growth
            growth *= 2.0
        if small >= limits.patience or damping > _GREATEST_DAMPING:
            return value, iteration, CONVERGED
        if gained > 0.0 and iteration < limits.iterations:
            linearise(task, scratch, state, room.matrix, room.gradient)
    return value, limits.iterations, EXHAUSTED


@compiled
def damped_step(room: System, unknowns: int, damping: float, floor: float) -> float:
    """`step` solves (H + damping D) step = -gradient; returns the decrease that the quadratic model promises.

    D is H's diagonal, at least `floor`. 0 where the damped matrix is not positive.
    """
    size = (unknowns + _PANEL - 1) // _PANEL * _PANEL
    matrix, factor = room.matrix, room.factor
    for i in range(size):
        for j in range(i, size):
            factor[i, j] = matrix[i, j]
        if i < unknowns:
            factor[i, i] += damping * max(matrix[i, i], floor)
            room.right[i] = -room.gradient[i]
        else:
            factor[i, i] = 1
            room.right[i] = 0
    for panel in range(0, size, _PANEL):
        if not _factor_panel(factor, room.right, panel, size):
            return 0.0
        subtract_gram(factor, factor.shape[1], panel + _PANEL, size, panel)
    for back in range(size):
        i = size - 1 - back
        rest = room.right[i]
        for j in range(i + 1, size):
            rest -= factor[i, j] * room.step[j]
        room.step[i] = rest / factor[i, i]
    promised = 0.0
    for i in range(unknowns):
        s = float(room.step[i])
        promised += 0.5 * s * (damping * max(float(matrix[i, i]), floor) * s - float(room.gradient[i]))
    return promised


@compiled
def _factor_panel(factor: np.ndarray, right: np.ndarray, panel: int, size: int) -> bool:
    """Eight rows of the upper Cholesky factor, and the forward substitution that belongs to them."""
    for p in range(panel, panel + _PANEL):
        for q in range(panel, p):
            above = factor[q, p]
            right[p] -= above * right[q]
            for j in range(p, size):
                factor[p, j] -= above * factor[q, j]
        pivot = factor[p, p]
        if not pivot > 0.0:
            return False
        scale = factor.dtype.type(1.0 / math.sqrt(pivot))
        right[p] *= scale
        for j in range(p, size):
            factor[p, j] *= scale
    for i in range(panel + _PANEL, size):
        for p in range(panel, panel + _PANEL):
            right[i] -= factor[p, i] * right[p]
    return True
