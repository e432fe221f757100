"""One stage's plan as tensors: what `plans.py` packs for the kernels, unpacked for many people at once.

Everything is read from the packed arrays, so both ways of solving have the same body, weights and priors by construction.

Legend: J joints, B of them driven by the pose, K points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.plans import Plan
from annotator.fitting.torch_groups import (
    ArmPart,
    Group,
    Overlaps,
    Packed,
    arms_of,
    groups_of,
    overlaps_of,
    whole_numbers,
)


@dataclass(frozen=True)
class Net:
    """VPoser's decoder: two hidden layers with leaky rectifiers; weights by output unit."""

    slope: Tensor
    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor


@dataclass(frozen=True)
class TorchPlan:
    """What one stage evaluates.

    Attributes:
        shape_at ... size: places in the state. first, last: what is varied. dims: 2 px or 3 metres.
        levels: first and last joint of each depth below the root. parents: `(J,)`; above: `(J, J)` 1 where the first is the
            second or above it.
        pose_joints: `(B,)`. pose_rows: `(B,)` rows among all rotations of the pose. pose_above: `(J, B)` 1 where the b-th
            joint of the pose carries a joint.
        bones: `(3 J, 1 + 20)` at rest and by shape. shape_bones: `(J, 3, 20)`.
        rows: `(K,)` of the points among the people's. weights: `(K,)` of the stage.
        overlaps: of self-penetration; None where it is off.
        neck: joint whose yaw chooses the outline, or -1. rho: where Geman-McClure bends; 0 is the plain distance.
        shape_most: how far a number of the shape may be from 0.
        prior: `(size,)` weight of the square of every number.
        mean, precision, constant: `(G, P)`, `(G, P, P)` and `(G,)` of a mixture of poses, weighted; G = 0 for none.
        bend_rows, bend_axes, bend_signs: of the angles that should not bend the wrong way, rows among B. bend_weight: of all.
    """

    shape_at: int
    pose_at: int
    root_at: int
    transl_at: int
    size: int
    first: int
    last: int
    dims: int
    pose_kind: int
    neck: int
    rho: float
    bend_weight: float
    shape_most: float
    levels: tuple[tuple[int, int], ...]
    arms: tuple[ArmPart, ...]
    groups: tuple[Group, ...]
    net: Net | None
    overlaps: Overlaps | None
    parents: Tensor
    above: Tensor
    fixed: Tensor
    pose_joints: Tensor
    pose_parents: Tensor
    pose_rows: Tensor
    pose_above: Tensor
    bones: Tensor
    shape_bones: Tensor
    rows: Tensor
    weights: Tensor
    prior: Tensor
    mean: Tensor
    precision: Tensor
    constant: Tensor
    bend_rows: Tensor
    bend_axes: Tensor
    bend_signs: Tensor

    @property
    def unknowns(self) -> int:
        """Numbers that the solver varies."""
        return self.last - self.first

    def numbers_per_person(self) -> int:
        """About how many numbers the tensors of one person's linear system hold together; see `torch_memory.py`."""
        rows, joints = self.dims * len(self.rows), len(self.parents)
        total = 3 * rows * self.size + 6 * self.unknowns**2 + joints * (60 * 3 + 9 * 6)
        if self.net is not None:
            total += 3 * self.net.w1.numel()
        turned = 2 * len(self.pose_joints) + sum(len(arm.joints) for arm in self.arms)
        total += turned * 12 * (self.root_at - self.pose_at + at.ARM)
        if self.overlaps is not None:
            pose = self.root_at - self.pose_at
            total += len(self.overlaps.reach) * (3 * (at.SHAPES + pose) + 9 * len(self.pose_joints) + 3 * at.SHAPES)
        for group in self.groups:
            slots, inner = group.joints.shape[1], group.numbers.shape[-1]
            of_row = (
                6 * slots
                + 2 * inner
                + 12 * (group.below_pose.shape[2] + sum(turned.below.shape[2] for turned in group.arms))
            )
            total += group.count * (self.dims * of_row + slots * (30 + 3 * inner * group.outline))
        return total

    def to(self, device: torch.device) -> TorchPlan:
        """The same with its tensors on a device."""
        return _moved(self, device)


def _moved(part: Any, device: torch.device) -> Any:
    """A dataclass, tuple or tensor on a device; anything else as it is."""
    if isinstance(part, Tensor):
        return part.to(device)
    if isinstance(part, tuple):
        return tuple(_moved(item, device) for item in cast("tuple[Any, ...]", part))
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: _moved(getattr(part, f.name), device) for f in fields(part)})
    return part


def unpack(plan: Plan) -> TorchPlan:
    """A plan as tensors on the CPU, with its own type of numbers."""
    packed = Packed(plan)
    size, table, numbers = packed.size, packed.table, packed.numbers
    joints, pose, parents = size(at.JOINTS), size(at.POSE), table(at.PARENT)
    above = _above(parents)
    pose_row = table(at.POSE_JOINT)
    pose_joints = np.flatnonzero(pose_row >= 0)
    shape_bones = numbers(at.BONE_SHAPES, joints, 3, at.SHAPE_PAD)[..., : at.SHAPES]
    bones = np.concatenate([numbers(at.REST, joints, 3)[..., None], shape_bones], axis=2).reshape(3 * joints, -1)
    number = np.full(joints, -1)
    number[pose_joints] = np.arange(len(pose_joints))
    components, bends = size(at.COMPONENTS), size(at.BENDS)
    arms = arms_of(packed, parents)
    pose_above = _number(above[pose_joints].T, plan)
    return TorchPlan(
        shape_at=size(at.SHAPE_START),
        pose_at=size(at.POSE_START),
        root_at=size(at.ROOT_START),
        transl_at=size(at.TRANSL_START),
        size=size(at.SIZE),
        first=size(at.FIRST),
        last=size(at.LAST),
        dims=size(at.DIMS),
        pose_kind=size(at.POSE_KIND),
        neck=size(at.NECK),
        rho=float(numbers(at.RHO, 1)[0]),
        shape_most=float(numbers(at.SHAPE_MOST, 1)[0]),
        bend_weight=float(numbers(at.BEND_WEIGHT, 1)[0]),
        levels=_levels(parents),
        arms=arms,
        groups=tuple(groups_of(packed, above, pose_joints, arms)),
        net=_net(packed) if size(at.POSE_KIND) == at.LATENT else None,
        overlaps=overlaps_of(packed, whole_numbers(pose_joints), pose_above),
        parents=whole_numbers(parents),
        above=_number(above, plan),
        fixed=_number(numbers(at.FIXED, joints, 3, 3), plan),
        pose_joints=whole_numbers(pose_joints),
        pose_parents=whole_numbers(parents[pose_joints]),
        pose_rows=whole_numbers(pose_row[pose_joints]),
        pose_above=pose_above,
        bones=_number(bones, plan),
        shape_bones=_number(shape_bones, plan),
        rows=whole_numbers(table(at.POINT_ROW)),
        weights=_number(numbers(at.POINT_WEIGHT, size(at.POINTS)), plan),
        prior=_number(numbers(at.PRIOR, size(at.SIZE)), plan),
        mean=_number(numbers(at.MIXTURE_MEAN, components, pose), plan),
        precision=_number(numbers(at.MIXTURE_PRECISION, components, pose, pose), plan),
        constant=_number(numbers(at.MIXTURE_CONSTANT, components), plan),
        bend_rows=whole_numbers(number[table(at.BEND_ROW)[:bends]]),
        bend_axes=whole_numbers(table(at.BEND_AXIS)[:bends]),
        bend_signs=_number(numbers(at.BEND_SIGN, bends), plan),
    )


def _number(values: np.ndarray, plan: Plan) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values, plan.body.dtype))


def _above(parents: np.ndarray) -> np.ndarray:
    """`(J, J)` whether the first joint is the second or above it; parents come first."""
    above = np.eye(len(parents))
    for joint in range(1, len(parents)):
        above[:, joint] += above[:, parents[joint]]
    return above


def _levels(parents: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Runs of joints, in their order, whose parents all come before the run."""
    levels, start = [], 1
    for joint in range(1, len(parents) + 1):
        if joint == len(parents) or parents[joint] >= start:
            if joint > start:
                levels.append((start, joint))
            start = joint
    return tuple(levels)


def _net(packed: Packed) -> Net:
    hidden, pose, pad = packed.size(at.HIDDEN), packed.size(at.POSE), packed.size(at.POSE_PAD)
    arrays = (
        packed.weights(at.SLOPE, 2),
        packed.weights(at.W1, hidden, pad)[:, :pose],
        packed.weights(at.B1, hidden),
        packed.weights(at.W2T, hidden, hidden).T,
        packed.weights(at.B2, hidden),
        packed.weights(at.W3T, hidden, at.OUT).T,
        packed.weights(at.B3, at.OUT),
    )
    return Net(*(torch.as_tensor(np.ascontiguousarray(array)) for array in arrays))
