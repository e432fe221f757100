"""One stage's plan as tensors: what `plans.py` packs for the kernels, unpacked for many people at once.

Everything is read from the packed arrays, so both ways of solving have the same body, weights and priors by construction.
Points keep the plan's groups (`reduced.py`); their attachments are padded to slots, those of the face's outline to the
same joints for every row of its table.

Legend: J joints, B of them driven by the pose, R points of a group, T slots, C joints whose rotation bends a group, O points
of the outline, M rows of its table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.plans import Plan

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class ArmPart:
    """One articulation: its place in the state and what its numbers turn.

    Attributes:
        joints: `(j,)`. parents: `(j,)`. mean: `(j, 3)`. parts: `(j, 3, width)`. prior: `(width, width)`, weighted.
        still: whether it is not varied.
    """

    first: int
    width: int
    still: bool
    joints: Tensor
    parents: Tensor
    mean: Tensor
    parts: Tensor
    prior: Tensor


@dataclass(frozen=True)
class Group:
    """Points whose rows of the Jacobian have the same columns.

    Attributes:
        first: its first point. count: R.
        anchor: the joint that carries it but for articulation and shape, or -1. arm: number of its articulation, or -1.
        outline: whether its points slide with the neck's yaw; then `weights` and `numbers` have M leading rows.
        bends: `(C,)` joints whose rotation bends it.
        joints: `(R, T)`. weights: `(R, T)`. numbers: `(R, 3 T, 1 + 20 + 9 C)` levers at rest, by shape and by rotations.
        at_joint: `(R, T, J)` 1 at each slot's joint.
        below_pose: `(R, T, B)` 1 where turning the b-th joint of the pose moves the slot. below_arm: of the articulation's.
        pose_bends, pose_of: which of C the pose turns, and their rows among B. arm_bends, arm_of: the articulation's.
    """

    first: int
    count: int
    anchor: int
    arm: int
    outline: bool
    bends: Tensor
    joints: Tensor
    weights: Tensor
    numbers: Tensor
    at_joint: Tensor
    below_pose: Tensor
    below_arm: Tensor
    pose_bends: Tensor
    pose_of: Tensor
    arm_bends: Tensor
    arm_of: Tensor


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
        neck: joint whose yaw chooses the outline, or -1. rho: where Geman-McClure bends; 0 is the plain distance.
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
    levels: tuple[tuple[int, int], ...]
    arms: tuple[ArmPart, ...]
    groups: tuple[Group, ...]
    net: Net | None
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
        for group in self.groups:
            slots, inner = group.joints.shape[1], group.numbers.shape[-1]
            of_row = 6 * slots + 2 * inner + 12 * (group.below_pose.shape[2] + group.below_arm.shape[2])
            total += group.count * (self.dims * of_row + slots * (30 + 3 * inner * group.outline))
        return total

    def to(self, device: torch.device) -> TorchPlan:
        """The same with its tensors on a device."""
        return _moved(self, device)


def _moved(part: _Part, device: torch.device) -> _Part:
    """A dataclass, tuple or tensor on a device; anything else as it is."""
    found: Any = part
    if isinstance(found, Tensor):
        found = found.to(device)
    elif isinstance(found, tuple):
        found = tuple(_moved(item, device) for item in found)
    elif is_dataclass(found) and not isinstance(found, type):
        found = replace(found, **{f.name: _moved(getattr(found, f.name), device) for f in fields(found)})
    return found


class _Packed:
    """The arrays of a plan by their slots."""

    def __init__(self, plan: Plan) -> None:
        self.whole, self.body, self.net = plan.whole, plan.body, plan.net

    def size(self, slot: int) -> int:
        return int(self.whole[slot])

    def table(self, slot: int) -> np.ndarray:
        """A table of whole numbers; it ends where the next begins."""
        first = self.whole[slot]
        after = self.whole[slot + 1] if slot < at.BEND_AXIS else len(self.whole)
        return self.whole[first:after]

    def numbers(self, slot: int, *shape: int) -> np.ndarray:
        first = self.whole[slot]
        return self.body[first : first + int(np.prod(shape))].reshape(shape)

    def weights(self, slot: int, *shape: int) -> np.ndarray:
        first = self.whole[slot]
        return self.net[first : first + int(np.prod(shape))].reshape(shape)


def unpack(plan: Plan) -> TorchPlan:
    """A plan as tensors on the CPU, with its own type of numbers."""
    packed = _Packed(plan)
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
    arms = _arms(packed, parents)
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
        bend_weight=float(numbers(at.BEND_WEIGHT, 1)[0]),
        levels=_levels(parents),
        arms=arms,
        groups=tuple(_groups(packed, above, pose_joints, arms)),
        net=_net(packed) if size(at.POSE_KIND) == at.LATENT else None,
        parents=_whole(parents),
        above=_number(above, plan),
        fixed=_number(numbers(at.FIXED, joints, 3, 3), plan),
        pose_joints=_whole(pose_joints),
        pose_parents=_whole(parents[pose_joints]),
        pose_rows=_whole(pose_row[pose_joints]),
        pose_above=_number(above[pose_joints].T, plan),
        bones=_number(bones, plan),
        shape_bones=_number(shape_bones, plan),
        rows=_whole(table(at.POINT_ROW)),
        weights=_number(numbers(at.POINT_WEIGHT, size(at.POINTS)), plan),
        prior=_number(numbers(at.PRIOR, size(at.SIZE)), plan),
        mean=_number(numbers(at.MIXTURE_MEAN, components, pose), plan),
        precision=_number(numbers(at.MIXTURE_PRECISION, components, pose, pose), plan),
        constant=_number(numbers(at.MIXTURE_CONSTANT, components), plan),
        bend_rows=_whole(number[table(at.BEND_ROW)[:bends]]),
        bend_axes=_whole(table(at.BEND_AXIS)[:bends]),
        bend_signs=_number(numbers(at.BEND_SIGN, bends), plan),
    )


def _whole(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values.astype(np.int64))


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


def _net(packed: _Packed) -> Net:
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


def _arms(packed: _Packed, parents: np.ndarray) -> tuple[ArmPart, ...]:
    count, joints = packed.size(at.ARMS), packed.size(at.JOINTS)
    arm_of, starts, widths = packed.table(at.ARM_OF), packed.table(at.ARM_START), packed.table(at.ARM_WIDTH)
    mean = packed.numbers(at.ARM_MEAN, joints, 3)
    parts = packed.numbers(at.ARM_PARTS, joints, 3, at.ARM_PAD)
    priors = packed.numbers(at.ARM_PRIOR, count, at.ARM_PAD, at.ARM_PAD)
    made: list[ArmPart] = []
    for which in range(count):
        first, width, rows = int(starts[which]), int(widths[which]), np.flatnonzero(arm_of == which)
        floats = (mean[rows], parts[rows, :, :width], priors[which, :width, :width])
        tensors = (torch.as_tensor(np.ascontiguousarray(array)) for array in floats)
        still = first < packed.size(at.FIRST)
        made.append(ArmPart(first, width, still, _whole(rows), _whole(parents[rows]), *tensors))
    return tuple(made)


def _groups(packed: _Packed, above: np.ndarray, pose_joints: np.ndarray, arms: tuple[ArmPart, ...]) -> list[Group]:
    firsts, outlines = packed.table(at.GROUP_FIRST), packed.table(at.POINT_OUTLINE)
    made: list[Group] = []
    for which in range(packed.size(at.GROUPS)):
        points = np.arange(firsts[which], firsts[which + 1])
        of_outline = outlines[points] >= 0
        edges = [0, *(np.flatnonzero(np.diff(of_outline)) + 1).tolist(), len(points)]
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            made.append(_group(packed, which, points[start:end], above, pose_joints, arms))
    return made


def _group(
    packed: _Packed,
    which: int,
    points: np.ndarray,
    above: np.ndarray,
    pose_joints: np.ndarray,
    arms: tuple[ArmPart, ...],
) -> Group:
    """A run of a group's points, all of the outline or none."""
    feature_starts = packed.table(at.GROUP_FEATURES)
    bends = packed.table(at.GROUP_FEATURE_JOINT)[feature_starts[which] : feature_starts[which + 1]]
    anchor, arm = int(packed.table(at.GROUP_ANCHOR)[which]), int(packed.table(at.GROUP_ARM)[which])
    outline = bool(packed.table(at.POINT_OUTLINE)[points[0]] >= 0)
    joints, weights, numbers = _slots(packed, points, len(bends), outline=outline)
    plan_type = packed.body.dtype

    def number(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, plan_type))

    turned = arms[arm].joints.numpy() if arm >= 0 else np.zeros(0, np.int64)
    of_pose = np.isin(bends, pose_joints) & (anchor < 0)
    of_arm = np.isin(bends, turned) & ~of_pose
    driven = pose_joints if anchor < 0 else pose_joints[:0]
    return Group(
        first=int(points[0]),
        count=len(points),
        anchor=anchor,
        arm=arm,
        outline=outline,
        bends=_whole(bends),
        joints=_whole(joints),
        weights=number(weights),
        numbers=number(numbers),
        at_joint=number(np.eye(len(above))[joints]),
        below_pose=number(np.moveaxis(above[driven][:, joints], 0, -1)),
        below_arm=number(np.moveaxis(above[turned][:, joints], 0, -1)),
        pose_bends=_whole(np.flatnonzero(of_pose)),
        pose_of=_whole(np.searchsorted(pose_joints, bends[of_pose])),
        arm_bends=_whole(np.flatnonzero(of_arm)),
        arm_of=_whole(np.searchsorted(turned, bends[of_arm])),
    )


def _slots(
    packed: _Packed, points: np.ndarray, bends: int, *, outline: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints, weights and numbers of the points' attachments, as `Group` has them."""
    if outline:
        firsts, count = packed.table(at.OUTLINE_FIRST), packed.size(at.OUTLINE)
        slots = packed.table(at.POINT_OUTLINE)[points]
        entries = np.arange(len(firsts) // count)[:, None] * count + slots
    else:
        firsts, entries = packed.table(at.POINT_FIRST), points[None]
    starts, ends = firsts[entries], firsts[entries + 1]
    at_joint = packed.table(at.AT_JOINT)
    if outline:
        used = np.unique(at_joint[starts.min() : ends.max()])
        joints = np.tile(used, (len(points), 1))
    else:
        joints = np.zeros((len(points), int((ends - starts).max())), np.int64)
        for row, (start, end) in enumerate(zip(starts[0].tolist(), ends[0].tolist(), strict=True)):
            joints[row, : end - start] = at_joint[start:end]
    lengths = (ends - starts).ravel()
    place = np.repeat(np.arange(entries.size), lengths)
    slot = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    attachment = np.repeat(starts.ravel(), lengths) + slot
    if outline:
        slot = np.searchsorted(used, at_joint[attachment])
    weights = np.zeros((entries.size, joints.shape[1]))
    numbers = np.zeros((*weights.shape, 3, 1 + at.SHAPES + 9 * bends))
    weights[place, slot], numbers[place, slot] = _attachments(packed, attachment, bends)
    shape = entries.shape if outline else entries.shape[1:]
    return joints, weights.reshape(*shape, -1), numbers.reshape(*shape, -1, numbers.shape[-1])


def _attachments(packed: _Packed, rows: np.ndarray, bends: int) -> tuple[np.ndarray, np.ndarray]:
    """`(A,)` weights and `(A, 3, 1 + 20 + 9 C)` numbers of attachments."""
    total = len(packed.table(at.AT_JOINT))
    lever = packed.numbers(at.AT_LEVER, total, 3)[rows]
    shapes = packed.numbers(at.AT_SHAPES, total, 3, at.SHAPE_PAD)[rows, :, : at.SHAPES]
    wide = -(-9 * bends // 8) * 8
    parts, first = packed.table(at.AT_FEATURES)[rows], packed.size(at.FEATURE_PARTS)
    of_bends = np.zeros((len(rows), 3, 9 * bends))
    bent = parts >= 0
    places = first + parts[bent, None, None] + wide * np.arange(3)[:, None] + np.arange(9 * bends)
    of_bends[bent] = packed.body[places]
    numbers = np.concatenate([lever[..., None], shapes, of_bends], axis=2)
    return packed.numbers(at.AT_WEIGHT, total)[rows], numbers
