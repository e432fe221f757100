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

from annotator.fitting.compiled import compiled, part
from annotator.fitting.tiles import add_product, copy, subtract_gram, zero

CONVERGED, EXHAUSTED, NOT_FINITE = 0, 1, 2
"""Why `minimise` stopped: nothing more to gain, no iterations left, a value that is no number."""

_GREATEST_DAMPING = 1e9
_PANEL = 8


class System(NamedTuple):
    """Linear system and states of one problem of at most n unknowns; rows are padded to whole panels of eight."""

    matrix: np.ndarray
    factor: np.ndarray
    gradient: np.ndarray
    panel: np.ndarray
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
        factor=np.zeros(size * size, dtype),
        gradient=np.zeros(size, dtype),
        panel=np.zeros(_PANEL * (_PANEL + size), dtype),
        step=np.zeros(size, dtype),
        moved=np.zeros(state, dtype),
    )


def minimiser(evaluate: Any, linearise: Any, retract: Any) -> Any:
    """The solver of one objective, compiled with it.

    Returns:
        `minimise(task, scratch, room, state, unknowns, limits)`, which lowers the objective from `state`, moves that, and
        returns the value, the steps tried and why it stopped.
    """

    @part
    def minimise(
        task: Any, scratch: Any, room: System, state: np.ndarray, unknowns: int, limits: Limits
    ) -> tuple[float, int, int]:
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

    return minimise


@compiled
def damped_step(room: System, unknowns: int, damping: float, floor: float) -> float:
    """`step` solves (H + damping D) step = -gradient; returns the decrease that the quadratic model promises.

    D is H's diagonal, at least `floor`. 0 where the damped matrix is not positive. The right-hand side stands in the
    column behind the matrix, so that factoring carries it along.
    """
    size = (unknowns + _PANEL - 1) // _PANEL * _PANEL
    matrix, factor, ld = room.matrix, room.factor, room.matrix.shape[1]
    for i in range(size):
        row = i * ld
        for j in range(i, size):
            factor[row + j] = matrix[i, j]
        zero(factor, row + size, _PANEL)
        if i < unknowns:
            factor[row + i] += damping * max(matrix[i, i], floor)
            factor[row + size] = -room.gradient[i]
        else:
            factor[row + i] = 1
    for panel in range(0, size, _PANEL):
        if not _factor_panel(factor, ld, room.panel, panel, size + _PANEL):
            return 0.0
        subtract_gram(factor, ld, panel + _PANEL, size, size + _PANEL, panel)
    for back in range(size):
        i = size - 1 - back
        rest = factor[i * ld + size]
        for j in range(i + 1, size):
            rest -= factor[i * ld + j] * room.step[j]
        room.step[i] = rest / factor[i * ld + i]
    promised = 0.0
    for i in range(unknowns):
        s = float(room.step[i])
        promised += 0.5 * s * (damping * max(float(matrix[i, i]), floor) * s - float(room.gradient[i]))
    return promised


@part
def _factor_panel(factor: np.ndarray, ld: int, room: np.ndarray, panel: int, columns: int) -> bool:
    """Eight rows of the upper Cholesky factor: the block on the diagonal, whose inverse takes the rest of the rows along.

    `room` holds that inverse, transposed, and behind it a copy of the rows.
    """
    corner = panel * ld + panel
    for p in range(_PANEL):
        for q in range(p, _PANEL):
            total = float(factor[corner + p * ld + q])
            for k in range(p):
                total -= float(factor[corner + k * ld + p]) * float(factor[corner + k * ld + q])
            if p == q:
                if not total > 0.0:
                    return False
                factor[corner + p * ld + p] = math.sqrt(total)
            else:
                factor[corner + p * ld + q] = total / float(factor[corner + p * ld + p])
    zero(room, 0, _PANEL * _PANEL)
    for p in range(_PANEL):  # row p of the inverse of the lower factor, at room[k, p]
        diagonal = 1.0 / float(factor[corner + p * ld + p])
        room[p * _PANEL + p] = diagonal
        for k in range(p):
            total = 0.0
            for q in range(k, p):
                total += float(factor[corner + q * ld + p]) * float(room[k * _PANEL + q])
            room[k * _PANEL + p] = -total * diagonal
    wide, rows = columns - panel - _PANEL, _PANEL * _PANEL
    for p in range(_PANEL):
        copy(room, rows + p * wide, factor, corner + p * ld + _PANEL, wide)
        zero(factor, corner + p * ld + _PANEL, wide)
    add_product(factor, corner + _PANEL, ld, room, 0, _PANEL, 1, room, rows, wide, _PANEL, wide, _PANEL)
    return True
