"""Damped Levenberg-Marquardt for one problem, compiled; it knows nothing of what it minimises.

The objective is three functions: `evaluate(task, scratch, state) -> value`, `linearise(task, scratch, state, matrix,
gradient)` (at the state evaluated last; the upper part of a curvature that need not be exact but should be positive) and
`retract(task, scratch, state, step, moved)`.

Damping is lambda times the matrix's own diagonal, led by Nielsen's gain ratio (Madsen, Nielsen, Tingleff, Methods for
non-linear least squares problems, 2004, section 3.2). What the curvature leaves out is learnt from the gradients along the
way by the secant update of NL2SOL (Dennis, Gay, Welsch, 1981), and counts in a step when it foretold the step before
better: without it the last percent takes four times as many steps.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from annotator.fitting.compiled import compiled, part
from annotator.fitting.tiles import add_product, copy, subtract_gram, zero

CONVERGED, EXHAUSTED, NOT_FINITE, STUCK = 0, 1, 2, 3
"""Why `minimise` stopped: nothing more to gain, no iterations left, a value that is no number, no step that gains."""

_GREATEST_DAMPING = 1e9
SHORT_STEPS = 100.0
"""A damping that leaves about a hundredth of a step: that it gains little then says nothing of a minimum."""
_PANEL = 8


class System(NamedTuple):
    """Linear system and states of one problem of at most n unknowns, padded to whole panels of eight.

    `matrix` `(L, L)` and `gradient` are the objective's; `secant` `(L L,)` is what the gradients add to the matrix.
    """

    matrix: np.ndarray
    gradient: np.ndarray
    factor: np.ndarray
    panel: np.ndarray
    secant: np.ndarray
    before: np.ndarray
    bent: np.ndarray
    step: np.ndarray
    moved: np.ndarray


class Limits(NamedTuple):
    """When to stop and how to begin.

    Attributes:
        iterations: most steps tried, rejected ones too.
        gain: a step that gains less than this share of the value, or of 1, is a small one.
        patience: small steps in a row after which it has converged.
        damping: first lambda.
        floor: least value of the diagonal that lambda multiplies, as a share of the diagonal's mean: what hardly moves the
            objective would otherwise run away.
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
        gradient=np.zeros(size, dtype),
        factor=np.zeros(size * size, dtype),
        panel=np.zeros(_PANEL * (_PANEL + size), dtype),
        secant=np.zeros(size * size, dtype),
        before=np.zeros(size, dtype),
        bent=np.zeros(size, dtype),
        step=np.zeros(size, dtype),
        moved=np.zeros(state, dtype),
    )


def minimiser(evaluate: Any, linearise: Any, retract: Any) -> Any:  # noqa: C901  (the loop of the method, whole)
    """The solver of one objective, compiled with it.

    Returns:
        `minimise(task, scratch, room, state, unknowns, limits)`, which lowers the objective from `state`, moves that, and
        returns the value, the steps tried and why it stopped.
    """

    @part
    def minimise(  # noqa: C901
        task: Any, scratch: Any, room: System, state: np.ndarray, unknowns: int, limits: Limits
    ) -> tuple[float, int, int]:
        value = evaluate(task, scratch, state)
        if not math.isfinite(value):
            return value, 0, NOT_FINITE
        linearise(task, scratch, state, room.matrix, room.gradient)
        zero(room.secant, 0, len(room.secant))
        damping, growth, small, curved = limits.damping, 2.0, 0, False
        for iteration in range(1, limits.iterations + 1):
            floor = _floor(room, unknowns, limits.floor)
            promised = damped_step(room, unknowns, damping, floor, curved)
            if promised <= 0.0 and curved:
                curved = False
                promised = damped_step(room, unknowns, damping, floor, False)
            gained, bend, tried_with = -math.inf, _bend(room, unknowns), damping
            if promised > 0.0:
                retract(task, scratch, state, room.step, room.moved)
                reached = evaluate(task, scratch, room.moved)
                if math.isfinite(reached):
                    gained = value - reached
            straight = promised + (bend if curved else 0.0)
            curved = abs(straight - bend - gained) < abs(straight - gained)
            if abs(gained) < limits.gain * max(abs(value), 1.0):
                small += 1
            elif gained > 0.0:
                small = 0
            if gained > 0.0:
                copy(state, 0, room.moved, 0, len(state))
                value = value - gained
                damping *= max(1.0 / 3.0, 1.0 - (2.0 * gained / promised - 1.0) ** 3)
                growth = 2.0
            else:
                damping *= growth
                growth *= 2.0
            if damping > _GREATEST_DAMPING:
                return value, iteration, STUCK
            if small >= limits.patience:
                return value, iteration, STUCK if tried_with > SHORT_STEPS else CONVERGED
            if gained > 0.0 and iteration < limits.iterations:
                copy(room.before, 0, room.gradient, 0, unknowns)
                linearise(task, scratch, state, room.matrix, room.gradient)
                _learn(room, unknowns, 2.0 * bend)
        return value, limits.iterations, EXHAUSTED

    return minimise


@compiled
def _floor(room: System, unknowns: int, share: float) -> float:
    total = 0.0
    for i in range(unknowns):
        total += float(room.matrix[i, i])
    return share * total / unknowns


@compiled
def _bend(room: System, unknowns: int) -> float:
    """`bent` becomes S step; returns half of step' S step, which the secant's curvature takes off a promise."""
    ld, total = room.matrix.shape[1], 0.0
    for i in range(unknowns):
        along = room.step[0] * room.secant[i * ld]
        for j in range(1, unknowns):
            along += room.secant[i * ld + j] * room.step[j]
        room.bent[i] = along
        total += 0.5 * float(along) * float(room.step[i])
    return total


@compiled
def _learn(room: System, unknowns: int, bend: float) -> None:
    """The secant update of NL2SOL after `step`, sized so that it forgets what no longer holds.

    S becomes that symmetric matrix near it with (H + S) step = change of the gradient. Args: bend: step' S step.
    """
    ld, step, bent, before = room.matrix.shape[1], room.step, room.bent, room.before
    for i in range(unknowns):
        before[i] = room.gradient[i] - before[i]
    wanted = along = 0.0
    missing = room.panel
    for i in range(unknowns):
        missing[i] = before[i]
    for i in range(unknowns):
        missing[i] -= room.matrix[i, i] * step[i]
        for j in range(i + 1, unknowns):
            missing[i] -= room.matrix[i, j] * step[j]
            missing[j] -= room.matrix[i, j] * step[i]
    for i in range(unknowns):
        wanted += float(step[i]) * float(missing[i])
        along += float(step[i]) * float(before[i])
    if not along > 0.0:
        return
    size = 1.0 if bend == 0.0 else min(1.0, abs(wanted) / abs(bend))
    over = 0.0
    for i in range(unknowns):
        missing[i] -= size * bent[i]
        over += float(missing[i]) * float(step[i])
    for i in range(unknowns):
        kept, first = missing.dtype.type(size), missing.dtype.type(before[i] / along)
        second = missing.dtype.type((missing[i] - over / along * before[i]) / along)
        for j in range(unknowns):
            at = i * ld + j
            room.secant[at] = kept * room.secant[at] + first * missing[j] + second * before[j]


@compiled
def damped_step(  # noqa: C901  (fill, factor, substitute)
    room: System, unknowns: int, damping: float, floor: float, curved: bool
) -> float:
    """`step` solves (H + damping D) step = -gradient, or with H + S if `curved`; returns the decrease that is promised.

    D is H's diagonal, at least `floor`. 0 where the damped matrix is not positive. The right-hand side stands in the
    column behind the matrix, so that factoring carries it along.
    """
    size = (unknowns + _PANEL - 1) // _PANEL * _PANEL
    matrix, factor, ld = room.matrix, room.factor, room.matrix.shape[1]
    for i in range(size):
        row = i * ld
        for j in range(i, size):
            factor[row + j] = matrix[i, j]
        if curved:
            for j in range(i, size):
                factor[row + j] += room.secant[row + j]
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
