"""Points of many people, how far they are from where they were seen, and the rows of the Jacobian, in torch.

The arithmetic is that of `kernels_points.py`, a group of points at a time: points below a wrist or the head move with it
rigidly but for their own articulation, so six numbers of its twist stand for the pose.

Legend: N people, K points, d = 2 px or 3 metres, R points of a group, T slots, C joints that bend it, s numbers of the state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.kernels_points import FLOOR, NEAREST
from annotator.fitting.torch_chain import Posed, Rates, carrier, rotated
from annotator.fitting.torch_plan import Group, TorchPlan


@dataclass(frozen=True)
class Seen:
    """What was seen of people, for the points of a plan.

    Attributes:
        focal, center: `(N, 2)`. scale: `(N,)` data weight, not squared. target: `(N, K, d)`. weight: `(N, K)` of the stage
            times the confidence.
    """

    focal: Tensor
    center: Tensor
    scale: Tensor
    target: Tensor
    weight: Tensor

    @classmethod
    def of(cls, plan: TorchPlan, people: Tensor) -> Seen:
        """From rows of `make_people`."""
        points = people[:, at.TARGETS :].reshape(len(people), -1, 4)[:, plan.rows]
        return cls(
            people[:, at.FOCAL : at.FOCAL + 2],
            people[:, at.CENTER : at.CENTER + 2],
            people[:, at.DATA_WEIGHT],
            points[..., : plan.dims],
            points[..., 3] * plan.weights,
        )


@dataclass(frozen=True)
class Placed:
    """Points of people; `levers` and `slot_weights` are `(N or 1, R, T, ...)` of each group's slots.

    Attributes:
        points: `(N, K, 3)`. residual: `(N, K, d)`, zeros where a point does not count.
    """

    points: Tensor
    residual: Tensor
    turned: tuple[Tensor, ...]
    slot_weights: tuple[Tensor, ...]


def place_points(plan: TorchPlan, states: Tensor, posed: Posed, seen: Seen) -> Placed:
    """Where the points are."""
    shape = states[:, plan.shape_at : plan.shape_at + at.SHAPES]
    eye = torch.eye(3, dtype=states.dtype, device=states.device)
    points: list[Tensor] = []
    levers: list[Tensor] = []
    weights: list[Tensor] = []
    for group in plan.groups:
        bends = (posed.local[:, group.bends] - eye).flatten(1)
        numbers = torch.cat([torch.ones_like(shape[:, :1]), shape, bends], dim=1)
        if group.outline:
            own, weight = group.numbers[posed.outline], group.weights[posed.outline]
            lever = torch.matmul(own, numbers[:, None, :, None])
        else:
            weight = group.weights[None]
            lever = numbers @ group.numbers.reshape(-1, numbers.shape[1]).T
        turned = rotated(posed.turn[:, group.joints], lever.reshape(len(states), *group.joints.shape, 3))
        points.append((turned + weight[..., None] * posed.place[:, group.joints]).sum(dim=2))
        levers.append(turned)
        weights.append(weight)
    placed = torch.cat(points, dim=1)
    target = placed
    if plan.dims == 2:
        target = placed[..., :2] / placed[..., 2:] * seen.focal[:, None] + seen.center[:, None]
    residual = torch.where(seen.weight[..., None] > 0, target - seen.target, 0.0)
    return Placed(placed, residual, tuple(levers), tuple(weights))


def points_value(plan: TorchPlan, placed: Placed, seen: Seen) -> Tensor:
    """`(N,)` float64 data term; infinite where a point that counts is behind the camera."""
    residual = placed.residual.double()
    squared, rho = residual**2, plan.rho**2
    away = rho * squared / (squared + rho) if plan.rho > 0 else residual.abs()
    total = seen.scale.double() ** 2 * (seen.weight.double() ** 2 * away.sum(dim=2)).sum(dim=1)
    if plan.dims == 2:
        behind = ((placed.points[..., 2] < NEAREST) & (seen.weight > 0)).any(dim=1)
        total = torch.where(behind, torch.inf, total)
    return total


def jacobian(plan: TorchPlan, posed: Posed, rates: Rates, placed: Placed, seen: Seen) -> Tensor:
    """`(N, K d, n + 1)` rows of what is varied, scaled by the root of their curvature; last the residual, scaled likewise.

    So the Gram matrix of the rows is the curvature of the data term, and its last column the gradient.
    """
    direction, residual = _directions(plan, placed, seen)
    count, points, dims = residual.shape
    rows = direction.new_zeros(count, points, dims, plan.size + 1)
    for group, turned, weight in zip(plan.groups, placed.turned, placed.slot_weights, strict=True):
        own = slice(group.first, group.first + group.count)
        _fill_group(
            _Own(plan, group, posed, rates, turned, weight, placed.points[:, own], direction[:, own]), rows[:, own]
        )
    rows[..., plan.last] = residual
    return rows.flatten(1, 2)[..., plan.first : plan.last + 1]


def _directions(plan: TorchPlan, placed: Placed, seen: Seen) -> tuple[Tensor, Tensor]:
    """`(N, K, d, 3)` what a motion of a point adds to its scaled residual, and that residual."""
    r = placed.residual
    if plan.rho > 0:
        squared, rho = r * r, plan.rho**2
        bend = rho / (squared + rho)
        slope = 2 * bend * bend
        curvature = torch.maximum(slope * (rho - 3 * squared) / (squared + rho), FLOOR * slope)
    else:
        slope = curvature = 1 / r.abs().clamp_min(1e-5)
    weight = (seen.weight.clamp_min(0) * seen.scale[:, None])[..., None]
    root = weight * curvature.sqrt()
    scaled = weight * slope * r / curvature.sqrt()
    if plan.dims == 3:
        return torch.diag_embed(root), scaled
    depth = torch.where(seen.weight > 0, placed.points[..., 2], 1.0)[..., None]
    scale = root * seen.focal[:, None] / depth
    along = -scale * placed.points[..., :2] / depth
    return torch.cat([torch.diag_embed(scale), along[..., None]], dim=3), scaled


@dataclass(frozen=True)
class _Own:
    """A group of people's points.

    Attributes:
        turned: `(N, R, T, 3)` levers in camera space. weight: `(N or 1, R, T)`. points: `(N, R, 3)`.
        direction: `(N, R, d, 3)`.
    """

    plan: TorchPlan
    group: Group
    posed: Posed
    rates: Rates
    turned: Tensor
    weight: Tensor
    points: Tensor
    direction: Tensor


def _fill_group(own: _Own, rows: Tensor) -> None:
    """Fills `(N, R, d, s)` rows of a group."""
    plan, group, rates = own.plan, own.group, own.rates
    by_numbers = _by_numbers(own)
    weight = own.weight.expand(len(own.turned), -1, -1)
    at_joint = torch.matmul(weight[:, :, None], group.at_joint).squeeze(2)
    moved = torch.matmul(at_joint, rates.shape).unflatten(2, (3, at.SHAPES))
    rows[..., plan.shape_at : plan.pose_at] = by_numbers[..., : at.SHAPES] + own.direction @ moved
    bent = by_numbers[..., at.SHAPES :].unflatten(3, (-1, 9))
    for turned in group.arms:
        arm, local, world = plan.arms[turned.arm], rates.arms[turned.arm], rates.arms_world[turned.arm]
        assert local is not None
        assert world is not None
        turning = _by_turning(own, turned.below, arm.joints) @ world.flatten(1, 2)
        bending = _by_bending(own, bent[..., turned.bends, :], arm.joints[turned.of], local[:, turned.of])
        rows[..., arm.first : arm.first + arm.width] = (turning + bending).reshape(*rows.shape[:3], arm.width)
    _fill_core(own, bent, rows)


def _fill_core(own: _Own, bent: Tensor, rows: Tensor) -> None:
    """Pose, root and translation."""
    plan, group, rates = own.plan, own.group, own.rates
    about = own.posed.place[:, max(group.anchor, 0)]
    turning = torch.linalg.cross(
        (own.points - about[:, None])[:, :, None].expand_as(own.direction), own.direction, dim=3
    )
    if group.anchor >= 0:
        twist = torch.cat([own.direction, turning], dim=3).flatten(1, 2)
        carried = twist @ carrier(plan, own.posed, rates, group.anchor)
        rows[..., plan.pose_at : plan.size] = carried.reshape(*rows.shape[:3], -1)
        return
    rows[..., plan.root_at : plan.transl_at] = turning
    rows[..., plan.transl_at : plan.size] = own.direction
    if len(plan.pose_joints):
        posed = _by_turning(own, group.below_pose, plan.pose_joints) @ rates.pose_world.flatten(1, 2)
        bending = _by_bending(
            own, bent[..., group.pose_bends, :], plan.pose_joints[group.pose_of], rates.pose[:, group.pose_of]
        )
        rows[..., plan.pose_at : plan.root_at] = (posed + bending).reshape(*rows.shape[:3], -1)


def _by_numbers(own: _Own) -> Tensor:
    """`(N, R, d, 20 + 9 C)` what shape and the bending joints' rotations do through the levers at rest."""
    group = own.group
    count, points, dims, _ = own.direction.shape
    local = own.direction[:, :, None] @ own.posed.turn[:, group.joints]
    local = local.permute(0, 1, 3, 2, 4).reshape(count, points, dims, -1)
    if group.outline:
        return local @ group.numbers[own.posed.outline][..., 1:]
    by_point = local.transpose(0, 1).reshape(points, count * dims, -1) @ group.numbers[..., 1:]
    return by_point.reshape(points, count, dims, -1).transpose(0, 1)


def _by_turning(own: _Own, below: Tensor, joints: Tensor) -> Tensor:
    """`(N, R d, 3 j)` per angular velocity, in camera space, of `joints` with all that hangs below them."""
    contributed = own.turned + own.weight[..., None] * own.posed.place[:, own.group.joints]
    carried = torch.matmul(below.transpose(1, 2), contributed)
    share = torch.matmul(own.weight[:, :, None], below).squeeze(2)
    away = carried - share[..., None] * own.posed.place[:, None, joints]
    shape = (*own.direction.shape[:3], len(joints), 3)
    turning = torch.linalg.cross(away[:, :, None].expand(shape), own.direction[:, :, :, None].expand(shape), dim=4)
    return turning.flatten(3).flatten(1, 2)


def _by_bending(own: _Own, bent: Tensor, joints: Tensor, rates: Tensor) -> Tensor:
    """`(N, R d, width)` what turning `joints` does through the correctives; `rates` are `(N, C, 3, width)`, local."""
    by_rotation = own.rates.spins[:, joints] @ rates
    return bent.flatten(3).flatten(1, 2) @ by_rotation.flatten(1, 2)
