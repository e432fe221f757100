"""The solver of `solver.py` for many problems at once, in torch; it knows nothing of what it minimises.

Each problem has a damping, a curvature learnt from its own gradients and a verdict of its own; those that are done are
taken out of the batch when they are many enough. Problems never mix, but a product of many rows may round otherwise than
one of few, so a fit depends on who else is there in its last digits.

Legend: N problems, n unknowns.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol, Self

import torch
from torch import Tensor

from annotator.fitting.solver import CONVERGED, EXHAUSTED, NOT_FINITE, SHORT_STEPS, STUCK, Limits

_GREATEST_DAMPING = 1e9
_WORTH_LEAVING = 0.15
"""Share of the batch that must be done before the others go on without it."""
_GOING_ON = -1


class Problems(Protocol):
    """N problems of the same kind."""

    def take(self, rows: Tensor) -> Self:
        """Some of them, in the order of `rows`."""
        ...

    def evaluate(self, states: Tensor) -> Tensor:
        """`(N,)` float64 values."""
        ...

    def linearise(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, n, n)` a curvature that need not be exact but should be positive, and the `(N, n)` gradient."""
        ...

    def retract(self, states: Tensor, steps: Tensor) -> Tensor:
        """The states after `(N, n)` steps."""
        ...


@dataclass
class _Batch:
    """What is known of each problem that is still in the batch.

    `row` is its place among all; `along` is S step for the secant S, and `bend` half of step' S step.
    """

    row: Tensor
    state: Tensor
    value: Tensor
    matrix: Tensor
    gradient: Tensor
    secant: Tensor
    damping: Tensor
    growth: Tensor
    small: Tensor
    curved: Tensor
    stop: Tensor
    step: Tensor
    along: Tensor
    bend: Tensor

    def take(self, rows: Tensor) -> _Batch:
        return _Batch(*(getattr(self, field.name)[rows] for field in fields(self)))


def minimise(
    problems: Problems, states: Tensor, limits: Limits, *, compaction: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lowers every problem's value from its state.

    Args:
        states: `(N, s)`; not changed.
        compaction: whether problems that are done leave the batch. Without it nobody's bits depend on what the others hold.

    Returns:
        The states reached, `(N,)` values (float64), `(N,)` steps tried and `(N,)` why each stopped, as `solver.py` has it.
    """
    reached, stops = states.clone(), torch.full((len(states),), EXHAUSTED, device=states.device)
    tried = torch.zeros_like(stops)
    values = problems.evaluate(states)
    sound = torch.isfinite(values)
    stops[~sound] = NOT_FINITE
    rows = sound.nonzero().squeeze(1) if compaction else torch.arange(len(states), device=states.device)
    if not len(rows):
        return reached, values, tried, stops
    problems = problems.take(rows)
    batch = _begin(problems, rows, states[rows], values[rows], limits)
    batch.stop = torch.where(sound[rows], _GOING_ON, NOT_FINITE)
    for iteration in range(1, limits.iterations + 1):
        going = batch.stop == _GOING_ON
        left = int(going.sum())
        if compaction and left < (1 - _WORTH_LEAVING) * len(going):
            _write(batch, reached, values, stops)
            keep = going.nonzero().squeeze(1)
            batch, problems = batch.take(keep), problems.take(keep)
            going = batch.stop == _GOING_ON
        if not left:
            break
        tried[batch.row[going]] += 1
        better = _iterate(problems, batch, going, limits)
        if iteration < limits.iterations:
            _look_around(problems, batch, better, all_rows=not compaction)
    batch.stop = torch.where(batch.stop == _GOING_ON, EXHAUSTED, batch.stop)
    _write(batch, reached, values, stops)
    return reached, values, tried, stops


def _begin(problems: Problems, rows: Tensor, states: Tensor, values: Tensor, limits: Limits) -> _Batch:
    matrix, gradient = problems.linearise(states)
    return _Batch(
        row=rows,
        state=states,
        value=values,
        matrix=matrix,
        gradient=gradient,
        secant=torch.zeros_like(matrix),
        damping=torch.full_like(values, limits.damping),
        growth=torch.full_like(values, 2.0),
        small=torch.zeros_like(rows),
        curved=torch.zeros_like(rows, dtype=torch.bool),
        stop=torch.full_like(rows, _GOING_ON),
        step=torch.zeros_like(gradient),
        along=torch.zeros_like(gradient),
        bend=torch.zeros_like(values),
    )


def _write(batch: _Batch, states: Tensor, values: Tensor, stops: Tensor) -> None:
    states[batch.row], values[batch.row], stops[batch.row] = batch.state, batch.value, batch.stop


def _iterate(problems: Problems, batch: _Batch, going: Tensor, limits: Limits) -> Tensor:
    """One step of every problem that is `going`; the others stay as they are. Returns who moved and goes on, `(N,)`."""
    diagonal = batch.matrix.diagonal(dim1=1, dim2=2)
    floored = torch.maximum(diagonal, limits.floor * diagonal.mean(dim=1, keepdim=True))
    step, promised = _damped_step(batch, floored)
    along = _times(batch.secant, step)
    bend = 0.5 * _dot(step, along)
    moved = problems.retract(batch.state, step)
    reached = problems.evaluate(moved)
    gained = torch.where(torch.isfinite(reached) & (promised > 0), batch.value - reached, -torch.inf)
    straight = promised + torch.where(batch.curved, bend, 0.0)
    batch.curved = (straight - bend - gained).abs() < (straight - gained).abs()
    better = going & (gained > 0)
    tiny = gained.abs() < limits.gain * batch.value.abs().clamp_min(1.0)
    batch.small = torch.where(tiny, batch.small + 1, torch.where(gained > 0, 0, batch.small))
    batch.state = torch.where(better[:, None], moved, batch.state)
    batch.value = torch.where(better, batch.value - gained, batch.value)
    short = batch.damping > SHORT_STEPS
    shrink = (1 - (2 * gained / promised - 1) ** 3).clamp_min(1 / 3)
    batch.damping = torch.where(going, batch.damping * torch.where(gained > 0, shrink, batch.growth), batch.damping)
    batch.growth = torch.where(gained > 0, 2.0, 2 * batch.growth)
    still, lost = batch.small >= limits.patience, batch.damping > _GREATEST_DAMPING
    done = still | lost
    batch.stop = torch.where(going & done, torch.where(lost | short, STUCK, CONVERGED), batch.stop)
    batch.step, batch.along, batch.bend = step, along, bend
    return better & ~done


def _look_around(problems: Problems, batch: _Batch, better: Tensor, *, all_rows: bool) -> None:
    """Curvature and gradient of those who moved, where they are now, and what these say of the step."""
    rows = torch.arange(len(better), device=better.device) if all_rows else better.nonzero().squeeze(1)
    if not len(rows):
        return
    whole = len(rows) == len(better)
    some, states = (problems, batch.state) if whole else (problems.take(rows), batch.state[rows])
    matrix, gradient = some.linearise(states)
    learnt = _learnt(batch, rows, matrix, gradient)
    if all_rows:
        matrix = torch.where(better[:, None, None], matrix, batch.matrix)
        gradient = torch.where(better[:, None], gradient, batch.gradient)
        learnt = torch.where(better[:, None, None], learnt, batch.secant)
    batch.matrix = batch.matrix.index_copy(0, rows, matrix)
    batch.gradient = batch.gradient.index_copy(0, rows, gradient)
    batch.secant = batch.secant.index_copy(0, rows, learnt)


def _damped_step(batch: _Batch, floored: Tensor) -> tuple[Tensor, Tensor]:
    """Steps that solve (H + damping D [+ S]) step = -gradient, and `(N,)` the decrease that each promises; 0 if there is none.

    Where a learnt curvature leaves no positive matrix or promise the step is made again without it, and `curved` falls.
    """
    damped = batch.damping[:, None].to(floored.dtype) * floored
    step, promised = _solved(batch, damped, batch.curved)
    again = batch.curved & ~(promised > 0)
    if bool(again.any()):
        batch.curved = batch.curved & ~again
        other, other_promised = _solved(batch, damped, batch.curved)
        step, promised = torch.where(again[:, None], other, step), torch.where(again, other_promised, promised)
    return step, promised


def _solved(batch: _Batch, damped: Tensor, curved: Tensor) -> tuple[Tensor, Tensor]:
    matrix = batch.matrix + curved[:, None, None] * batch.secant + torch.diag_embed(damped)
    factor, wrong = torch.linalg.cholesky_ex(matrix)
    step = torch.cholesky_solve(-batch.gradient[..., None], factor).squeeze(-1)
    fine = (wrong == 0) & torch.isfinite(step).all(dim=1)
    step = torch.where(fine[:, None], step, 0.0)
    return step, torch.where(fine, 0.5 * _dot(step, damped * step - batch.gradient), 0.0)


def _learnt(batch: _Batch, rows: Tensor, matrix: Tensor, gradient: Tensor) -> Tensor:
    """The secant update of NL2SOL after the last step, sized so that it forgets what no longer holds.

    S becomes that symmetric matrix near it with (H + S) step = change of the gradient. Args: matrix, gradient: where `rows` are now.
    """
    secant, step, along, bend = batch.secant[rows], batch.step[rows], batch.along[rows], 2 * batch.bend[rows]
    change = gradient - batch.gradient[rows]
    missing = change - _times(matrix, step)
    wanted, slope = _dot(step, missing), _dot(step, change)
    size = torch.where(bend == 0, 1.0, (wanted.abs() / bend.abs()).clamp_max(1.0)).to(step.dtype)[:, None]
    missing = missing - size * along
    first = change / slope.to(step.dtype)[:, None]
    over = (_dot(missing, step) / slope).to(step.dtype)[:, None]
    second = missing / slope.to(step.dtype)[:, None] - over * first
    outer = first[:, :, None] * missing[:, None, :] + second[:, :, None] * change[:, None, :]
    return torch.where((slope > 0)[:, None, None], size[..., None] * secant + outer, secant)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return torch.matmul(matrix, vector[..., None]).squeeze(-1)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """`(N,)` float64."""
    return (one.double() * other.double()).sum(dim=-1)
