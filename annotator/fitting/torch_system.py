"""The objective of many people as the torch solver sees it: values, gradients and curvatures, and how steps are taken.

The terms are those of `kernels_system.py` and `kernels_priors.py`.

Legend: N people, n unknowns, s numbers of the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.torch_chain import Posed, Rates, bending_angles, bending_rates, joint_rates, pose_joints
from annotator.fitting.torch_plan import TorchPlan
from annotator.fitting.torch_points import Seen, jacobian, place_points, points_value
from annotator.fitting.torch_rotations import straightened, to_rotation
from annotator.fitting.torch_spheres import add_overlaps, overlap_value

_HALF = at.SHAPES // 2


@dataclass(frozen=True)
class FitProblems:
    """N people in one stage.

    Attributes:
        people: `(N, ...)` rows of `plans.make_people`.
    """

    plan: TorchPlan
    people: Tensor

    def take(self, rows: Tensor) -> FitProblems:
        """Some of them."""
        return FitProblems(self.plan, self.people[rows])

    def evaluate(self, states: Tensor) -> Tensor:
        """`(N,)` float64 objective."""
        return self.terms(states).sum(dim=1)

    def terms(self, states: Tensor) -> Tensor:
        """`(N, 9)` float64, in the order of `layout.TERMS`, then the articulations; the last is self-penetration."""
        plan, seen = self.plan, Seen.of(self.plan, self.people)
        posed = pose_joints(plan, states)
        data = points_value(plan, place_points(plan, states, posed, seen), seen)
        squares = plan.prior.double() * states[:, : plan.size].double() ** 2
        shape = squares[:, plan.shape_at : plan.pose_at]
        pose = squares[:, plan.pose_at : plan.root_at].sum(dim=1)
        if len(plan.constant):
            pose = pose + _mixture(plan, states)[1]
        columns = [data, pose, _bending(plan, states, posed).sum(dim=1)]
        columns += [shape[:, :_HALF].sum(dim=1), shape[:, _HALF:].sum(dim=1)]
        for arm in plan.arms:
            values = states[:, arm.first : arm.first + arm.width].double()
            columns.append(((values @ arm.prior.double()) * values).sum(dim=1))
        columns += [torch.zeros_like(data)] * (at.ALL_TERMS - len(columns))
        if plan.overlaps is not None:
            columns[at.PENETRATION] = overlap_value(plan.overlaps, posed)
        return torch.stack(columns, dim=1)

    def linearise(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, n, n)` curvature and `(N, n)` gradient."""
        plan, seen = self.plan, Seen.of(self.plan, self.people)
        posed = pose_joints(plan, states)
        rates = joint_rates(plan, states, posed)
        rows = jacobian(plan, posed, rates, place_points(plan, states, posed, seen), seen)
        gram = rows.transpose(1, 2) @ rows
        matrix, gradient = gram[:, :-1, :-1].contiguous(), gram[:, :-1, -1].contiguous()
        _add_priors(plan, states, posed, rates, matrix, gradient)
        if plan.overlaps is not None:
            own = slice(plan.shape_at - plan.first, plan.root_at - plan.first)
            add_overlaps(plan.overlaps, posed, rates, matrix, gradient, own)
        if plan.shape_most < math.inf:
            _hold(plan, states, matrix, gradient)
        return matrix, gradient

    def retract(self, states: Tensor, steps: Tensor) -> Tensor:
        """The states after `(N, n)` steps."""
        plan, moved = self.plan, states.clone()
        moved[:, plan.first : plan.root_at] += steps[:, : plan.root_at - plan.first]
        shape = slice(max(plan.first, plan.shape_at), plan.pose_at)
        moved[:, shape] = moved[:, shape].clamp(-plan.shape_most, plan.shape_most)
        root = plan.root_at - plan.first
        if plan.last > plan.transl_at:
            moved[:, plan.transl_at : plan.size] += steps[:, root + 3 :]
        moved[:, plan.size :] = turned_root(states[:, plan.size :], steps[:, root : root + 3])
        return moved


def _hold(plan: TorchPlan, states: Tensor, matrix: Tensor, gradient: Tensor) -> None:
    """Takes numbers of the shape that stand at their bound and would go beyond out of the system, as `kernels_system` does."""
    own = slice(max(plan.first, plan.shape_at), plan.pose_at)
    rows = slice(own.start - plan.first, own.stop - plan.first)
    shape, slope = states[:, own], gradient[:, rows]
    held = torch.zeros_like(gradient, dtype=torch.bool)
    held[:, rows] = ((shape >= plan.shape_most) & (slope < 0)) | ((shape <= -plan.shape_most) & (slope > 0))
    matrix.masked_fill_(held[:, :, None] | held[:, None, :], 0)
    matrix.diagonal(dim1=1, dim2=2)[held] = 1
    gradient.masked_fill_(held, 0)


def turned_root(turns: Tensor, steps: Tensor) -> Tensor:
    """`(N, 9)` rotations turned on the left by `(N, 3)` axis-angle."""
    return straightened(to_rotation(steps) @ turns.reshape(-1, 3, 3)).reshape(-1, 9)


def _add_priors(plan: TorchPlan, states: Tensor, posed: Posed, rates: Rates, matrix: Tensor, gradient: Tensor) -> None:
    diagonal, origin = matrix.diagonal(dim1=1, dim2=2), plan.first
    own = slice(plan.shape_at - origin, plan.root_at - origin)
    prior = 2 * plan.prior[plan.shape_at : plan.root_at]
    gradient[:, own] += prior * states[:, plan.shape_at : plan.root_at]
    diagonal[:, own] += prior
    for arm in plan.arms:
        if arm.still:
            continue
        own = slice(arm.first - origin, arm.first - origin + arm.width)
        gradient[:, own] += states[:, arm.first : arm.first + arm.width] @ (2 * arm.prior)
        matrix[:, own, own] += 2 * arm.prior
    pose = slice(plan.pose_at - origin, plan.root_at - origin)
    if len(plan.constant):
        best = _mixture(plan, states)[0]
        precision, away = plan.precision[best], states[:, plan.pose_at : plan.root_at] - plan.mean[best]
        gradient[:, pose] += torch.matmul(precision, away[..., None]).squeeze(2)
        matrix[:, pose, pose] += precision
    if not len(plan.bend_axes):
        return
    value = _bending(plan, states, posed).to(states.dtype)
    if plan.pose_kind == at.AXIS_ANGLE:
        columns = 3 * plan.pose_rows[plan.bend_rows] + plan.bend_axes
        gradient[:, pose].index_add_(1, columns, 2 * plan.bend_signs * value)
        diagonal[:, pose].index_add_(1, columns, 4 * value)
        return
    by_pose = bending_rates(plan, posed, rates)
    gradient[:, pose] += ((2 * plan.bend_signs * value)[..., None] * by_pose).sum(dim=1)
    scaled = 2 * value.sqrt()[..., None] * by_pose
    matrix[:, pose, pose] += scaled.transpose(1, 2) @ scaled


def _bending(plan: TorchPlan, states: Tensor, posed: Posed) -> Tensor:
    """`(N, bends)` float64 exp(2 s angle), weighted; with its exact curvature in the angle, its own in the pose left out."""
    if not len(plan.bend_axes):
        return states.new_zeros(len(states), 0, dtype=torch.float64)
    angles = bending_angles(plan, states, posed).double()
    return plan.bend_weight * torch.exp(2 * plan.bend_signs.double() * angles)


def _mixture(plan: TorchPlan, states: Tensor) -> tuple[Tensor, Tensor]:
    """`(N,)` the component that explains each pose best, and its energy in float64."""
    away = (states[:, None, plan.pose_at : plan.root_at] - plan.mean).double()
    energy = plan.constant.double() + 0.5 * (torch.einsum("ngp,gpq->ngq", away, plan.precision.double()) * away).sum(2)
    best = energy.argmin(dim=1)
    return best, energy.gather(1, best[:, None]).squeeze(1)
