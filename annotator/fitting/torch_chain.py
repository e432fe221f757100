"""Forward kinematics of many people and its exact rates, in torch: what `kernels_chain.py` does for one.

Legend: N people, J joints, B of them turned by the pose of P numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from annotator.fitting.layout import LATENT, SHAPES, SIDES
from annotator.fitting.torch_plan import ArmPart, Net, TorchPlan
from annotator.fitting.torch_rotations import axis_angle, inverse_left_jacobian, left_jacobian, to_frame, to_rotation


@dataclass(frozen=True)
class Posed:
    """People posed.

    Attributes:
        local, turn: `(N, J, 3, 3)` rotations against the parent and in camera space. place: `(N, J, 3)`.
        outline: `(N,)` row of the outline's table that the neck's yaw shows; zeros where there is none.
        layers: signs' slopes of the decoder's two layers, and the `(N, B, 3, 6)` rates of the frames; None without a latent.
    """

    local: Tensor
    turn: Tensor
    place: Tensor
    outline: Tensor
    layers: tuple[Tensor, Tensor, Tensor] | None


def pose_joints(plan: TorchPlan, states: Tensor) -> Posed:
    """Where every joint is and how it is turned."""
    count, joints = len(states), len(plan.parents)
    local = plan.fixed.expand(count, joints, 3, 3).clone()
    local[:, 0] = states[:, plan.size :].reshape(count, 3, 3)
    layers = None
    if plan.net is not None:
        six, slopes = _decoded(plan.net, states[:, plan.pose_at : plan.root_at])
        frames, rates = to_frame(six[:, plan.pose_rows])
        local[:, plan.pose_joints], layers = frames, (*slopes, rates)
    elif len(plan.pose_joints):
        local[:, plan.pose_joints] = to_rotation(_pose_angles(plan, states))
    for arm in plan.arms:
        local[:, arm.joints] = to_rotation(_arm_angles(arm, states))
    shape = states[:, plan.shape_at : plan.shape_at + SHAPES]
    bones = (plan.bones[:, 0] + shape @ plan.bones[:, 1:].T).reshape(count, joints, 3)
    turn, place = torch.empty_like(local), torch.empty_like(bones)
    turn[:, 0], place[:, 0] = local[:, 0], bones[:, 0] + states[:, plan.transl_at : plan.size]
    for first, last in plan.levels:
        above = plan.parents[first:last]
        turn[:, first:last] = turn[:, above] @ local[:, first:last]
        place[:, first:last] = place[:, above] + rotated(turn[:, above], bones[:, first:last])
    return Posed(local, turn, place, _outline_rows(plan, turn), layers)


def rotated(matrices: Tensor, vectors: Tensor) -> Tensor:
    """`(..., 3, 3)` times `(..., 3)`."""
    return torch.matmul(matrices, vectors[..., None]).squeeze(-1)


def _outline_rows(plan: TorchPlan, turn: Tensor) -> Tensor:
    if plan.neck < 0:
        return torch.zeros(len(turn), dtype=torch.long, device=turn.device)
    neck = turn[:, plan.neck].double()
    yaw = torch.rad2deg(torch.atan2(neck[:, 2, 0], torch.hypot(neck[:, 0, 0], neck[:, 1, 0])))
    degrees = torch.floor(yaw.clamp(-SIDES, SIDES) + 0.5).nan_to_num().long()
    return torch.where(degrees >= 0, degrees, SIDES - degrees)


def _pose_angles(plan: TorchPlan, states: Tensor) -> Tensor:
    """`(N, B, 3)` axis-angle of the joints that the pose turns."""
    return states[:, plan.pose_at : plan.root_at].reshape(len(states), -1, 3)[:, plan.pose_rows]


def _arm_angles(arm: ArmPart, states: Tensor) -> Tensor:
    """`(N, j, 3)` axis-angle of the joints that an articulation turns."""
    values = states[:, arm.first : arm.first + arm.width]
    return arm.mean + (values @ arm.parts.reshape(-1, arm.width).T).reshape(len(states), -1, 3)


def _decoded(net: Net, latent: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """`(N, 21, 6)` outputs of the decoder, and `(N, H)` slopes of each layer's units."""
    first = latent @ net.w1.T + net.b1
    one = torch.where(first < 0, net.slope[0], net.slope[1])
    second = (one * first) @ net.w2.T + net.b2
    two = torch.where(second < 0, net.slope[0], net.slope[1])
    out = (two * second) @ net.w3.T + net.b3
    return out[:, :126].reshape(len(latent), 21, 6), (one, two)


# -- rates -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """How joints move per number of the state.

    Attributes:
        pose: `(N, B, 3, P)` angular velocity in the parent's frame. pose_world: the same in camera space.
        arms: of each articulation that is varied `(N, j, 3, width)` in the parent's frame, None for the others. arms_world:
            in camera space.
        shape: `(N, J, 60)` velocity of joints by shape, three rows of 20.
        spins: `(N, J, 9, 3)` change of a local rotation's nine numbers per angular velocity in its parent's frame.
    """

    pose: Tensor
    pose_world: Tensor
    arms: tuple[Tensor | None, ...]
    arms_world: tuple[Tensor | None, ...]
    shape: Tensor
    spins: Tensor


def joint_rates(plan: TorchPlan, states: Tensor, posed: Posed) -> Rates:
    """Rates by pose, articulation and shape."""
    count, joints = len(states), len(plan.parents)
    pose = _pose_rates(plan, states, posed)
    arms = tuple(None if arm.still else left_jacobian(_arm_angles(arm, states)) @ arm.parts for arm in plan.arms)
    arms_world = tuple(
        None if rates is None else posed.turn[:, arm.parents] @ rates
        for arm, rates in zip(plan.arms, arms, strict=True)
    )
    carried = posed.turn[:, plan.parents[1:]] @ plan.shape_bones[1:]
    bones = torch.cat([plan.shape_bones[:1].expand(count, 1, 3, SHAPES), carried], dim=1)
    shape = torch.matmul(plan.above.T, bones.reshape(count, joints, -1))
    return Rates(pose, posed.turn[:, plan.pose_parents] @ pose, arms, arms_world, shape, _spins(posed.local))


def _pose_rates(plan: TorchPlan, states: Tensor, posed: Posed) -> Tensor:
    count, width = len(states), plan.root_at - plan.pose_at
    if plan.net is not None and posed.layers is not None:
        first, second, frames = posed.layers
        net = plan.net
        outputs = (6 * plan.pose_rows[:, None] + torch.arange(6, device=states.device)).flatten()
        hidden = ((first[:, None] * net.w1.T).flatten(0, 1) @ net.w2.T).unflatten(0, (count, width))
        six = (second[:, None] * hidden).flatten(0, 1) @ net.w3[outputs].T
        return frames @ six.reshape(count, width, -1, 6).permute(0, 2, 3, 1)
    rates = states.new_zeros(count, len(plan.pose_joints), 3, width // 3, 3)
    if len(plan.pose_joints):
        own = left_jacobian(_pose_angles(plan, states))
        number = torch.arange(len(plan.pose_joints), device=states.device)
        rates[:, number, :, plan.pose_rows] = own.transpose(0, 1)
    return rates.reshape(count, len(plan.pose_joints), 3, width)


def _spins(local: Tensor) -> Tensor:
    """Column i of the i-th axis cross each column of the rotation."""
    out = local.new_zeros(*local.shape[:2], 3, 3, 3)
    x, y, z = local[..., 0, :], local[..., 1, :], local[..., 2, :]
    out[..., 1, :, 0], out[..., 2, :, 0] = -z, y
    out[..., 0, :, 1], out[..., 2, :, 1] = z, -x
    out[..., 0, :, 2], out[..., 1, :, 2] = -y, x
    return out.reshape(*local.shape[:2], 9, 3)


def carrier(plan: TorchPlan, posed: Posed, rates: Rates, anchor: int) -> Tensor:
    """`(N, 6, P + 6)` velocity, then angular velocity of a joint per number of pose, root and translation."""
    count, width = len(posed.place), plan.root_at - plan.pose_at
    out = posed.place.new_zeros(count, 6, width + 6)
    turning = rates.pose_world * plan.pose_above[anchor][:, None, None]
    away = posed.place[:, anchor, None] - posed.place[:, plan.pose_joints]
    moving = torch.linalg.cross(turning, away[..., None].expand_as(turning), dim=2)
    out[:, :3, :width], out[:, 3:, :width] = moving.sum(dim=1), turning.sum(dim=1)
    eye = torch.eye(3, dtype=out.dtype, device=out.device)
    x, y, z = (posed.place[:, anchor] - posed.place[:, 0]).unbind(-1)
    none = torch.zeros_like(x)
    out[:, :3, width : width + 3] = torch.stack([none, z, -y, -z, none, x, y, -x, none], dim=-1).reshape(-1, 3, 3)
    out[:, 3:, width : width + 3] = eye
    if plan.last > plan.transl_at:
        out[:, :3, width + 3 :] = eye
    return out


def bending_angles(plan: TorchPlan, states: Tensor, posed: Posed) -> Tensor:
    """`(N, bends)` angles of the joints that should not bend the wrong way."""
    if plan.pose_kind == LATENT:
        vectors = axis_angle(posed.local[:, plan.pose_joints[plan.bend_rows]])
    else:
        vectors = _pose_angles(plan, states)[:, plan.bend_rows]
    return vectors.gather(2, plan.bend_axes[None, :, None].expand(len(states), -1, 1)).squeeze(2)


def bending_rates(plan: TorchPlan, posed: Posed, rates: Rates) -> Tensor:
    """`(N, bends, P)` of those angles where the pose is a latent."""
    vectors = axis_angle(posed.local[:, plan.pose_joints[plan.bend_rows]])
    by_turn = inverse_left_jacobian(vectors)
    rows = by_turn.gather(2, plan.bend_axes[None, :, None, None].expand(len(vectors), -1, 1, 3))
    return (rows @ rates.pose[:, plan.bend_rows]).squeeze(2)
