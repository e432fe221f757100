"""Articulations and groups of points of a packed plan, as tensors.

Points keep the plan's groups (`reduced.py`); their attachments are padded to slots, those of the face's outline to the
same joints for every row of its table.

Legend: J joints, B of them driven by the pose, R points of a group, T slots, C joints whose rotation bends a group, M rows
of the outline's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.plans import Plan


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
class TurnedBy:
    """What an articulation that is varied does to a group.

    Attributes:
        arm: its number. below: `(R, T, j)` 1 where turning its joint moves the slot.
        bends, of: which of C it turns, and their rows among its joints.
    """

    arm: int
    below: Tensor
    bends: Tensor
    of: Tensor


@dataclass(frozen=True)
class Group:
    """Points whose rows of the Jacobian have the same columns.

    Attributes:
        first: its first point. count: R.
        anchor: the joint that carries it but for articulation and shape, or -1.
        outline: whether its points slide with the neck's yaw; then `weights` and `numbers` have M leading rows.
        bends: `(C,)` joints whose rotation bends it.
        joints: `(R, T)`. weights: `(R, T)`. numbers: `(R, 3 T, 1 + 20 + 9 C)` levers at rest, by shape and by rotations.
        at_joint: `(R, T, J)` 1 at each slot's joint.
        below_pose: `(R, T, B)` 1 where turning the b-th joint of the pose moves the slot.
        pose_bends, pose_of: which of C the pose turns, and their rows among B. arms: the articulations that move it.
    """

    first: int
    count: int
    anchor: int
    outline: bool
    bends: Tensor
    joints: Tensor
    weights: Tensor
    numbers: Tensor
    at_joint: Tensor
    below_pose: Tensor
    pose_bends: Tensor
    pose_of: Tensor
    arms: tuple[TurnedBy, ...]


class Packed:
    """The arrays of a plan by their slots."""

    def __init__(self, plan: Plan) -> None:
        self.whole, self.body, self.net = plan.whole, plan.body, plan.net

    def size(self, slot: int) -> int:
        return int(self.whole[slot])

    def table(self, slot: int) -> np.ndarray:
        """A table of whole numbers; it ends where the next begins."""
        first = self.whole[slot]
        after = self.whole[slot + 1] if slot < at.PAIR else len(self.whole)
        return self.whole[first:after]

    def numbers(self, slot: int, *shape: int) -> np.ndarray:
        first = self.whole[slot]
        return self.body[first : first + int(np.prod(shape))].reshape(shape)

    def weights(self, slot: int, *shape: int) -> np.ndarray:
        first = self.whole[slot]
        return self.net[first : first + int(np.prod(shape))].reshape(shape)


def whole_numbers(values: np.ndarray) -> Tensor:
    """Indices as a tensor."""
    return torch.as_tensor(values.astype(np.int64))


def arms_of(packed: Packed, parents: np.ndarray) -> tuple[ArmPart, ...]:
    """The articulations of a plan."""
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
        made.append(ArmPart(first, width, still, whole_numbers(rows), whole_numbers(parents[rows]), *tensors))
    return tuple(made)


def groups_of(packed: Packed, above: np.ndarray, pose_joints: np.ndarray, arms: tuple[ArmPart, ...]) -> list[Group]:
    """The groups of a plan's points, cut where the outline begins or ends."""
    firsts, outlines = packed.table(at.GROUP_FIRST), packed.table(at.POINT_OUTLINE)
    made: list[Group] = []
    for which in range(packed.size(at.GROUPS)):
        points = np.arange(firsts[which], firsts[which + 1])
        of_outline = outlines[points] >= 0
        edges = [0, *(np.flatnonzero(np.diff(of_outline)) + 1).tolist(), len(points)]
        for start, end in pairwise(edges):
            made.append(_group(packed, which, points[start:end], above, pose_joints, arms))
    return made


def _group(
    packed: Packed,
    which: int,
    points: np.ndarray,
    above: np.ndarray,
    pose_joints: np.ndarray,
    arms: tuple[ArmPart, ...],
) -> Group:
    """A run of a group's points, all of the outline or none."""
    feature_starts = packed.table(at.GROUP_FEATURES)
    bends = packed.table(at.GROUP_FEATURE_JOINT)[feature_starts[which] : feature_starts[which + 1]]
    anchor = int(packed.table(at.GROUP_ANCHOR)[which])
    outline = bool(packed.table(at.POINT_OUTLINE)[points[0]] >= 0)
    joints, weights, numbers = _slots(packed, points, len(bends), outline=outline)
    plan_type = packed.body.dtype

    def number(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(values, plan_type))

    of_pose = np.isin(bends, pose_joints) & (anchor < 0)
    turned_by: list[TurnedBy] = []
    for number_of, arm in enumerate(arms):
        turned = arm.joints.numpy()
        below, bent = np.moveaxis(above[turned][:, joints], 0, -1), np.isin(bends, turned)
        if not arm.still and (below.any() or bent.any()):
            own = whole_numbers(np.flatnonzero(bent)), whole_numbers(np.searchsorted(turned, bends[bent]))
            turned_by.append(TurnedBy(number_of, number(below), *own))
    driven = pose_joints if anchor < 0 else pose_joints[:0]
    return Group(
        first=int(points[0]),
        count=len(points),
        anchor=anchor,
        outline=outline,
        bends=whole_numbers(bends),
        joints=whole_numbers(joints),
        weights=number(weights),
        numbers=number(numbers),
        at_joint=number(np.eye(len(above))[joints]),
        below_pose=number(np.moveaxis(above[driven][:, joints], 0, -1)),
        pose_bends=whole_numbers(np.flatnonzero(of_pose)),
        pose_of=whole_numbers(np.searchsorted(pose_joints, bends[of_pose])),
        arms=tuple(turned_by),
    )


def _slots(
    packed: Packed, points: np.ndarray, bends: int, *, outline: bool
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
    used = np.unique(at_joint[starts.min() : ends.max()])
    if outline:
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


def _attachments(packed: Packed, rows: np.ndarray, bends: int) -> tuple[np.ndarray, np.ndarray]:
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


@dataclass(frozen=True)
class Overlaps:
    """The spheres of a plan.

    Attributes:
        joint, child: `(S,)`. share, lever: `(S,)` of the way from one to the other, `(S, 3)` from there in the joint's frame.
        one, other: `(Q,)` spheres of a pair. reach: `(Q,)` metres. weight: per square metre.
        pose_joints: `(B,)`. joint_turned, child_turned: `(S, B)` 1 where a joint of the pose carries the joint or child of a sphere.
    """

    joint: Tensor
    child: Tensor
    share: Tensor
    lever: Tensor
    one: Tensor
    other: Tensor
    reach: Tensor
    weight: float
    pose_joints: Tensor
    joint_turned: Tensor
    child_turned: Tensor


def overlaps_of(packed: Packed, pose_joints: Tensor, pose_above: Tensor) -> Overlaps | None:
    """What a plan says of self-penetration; None where it is off.

    Args:
        pose_joints, pose_above: as `TorchPlan` has them.
    """
    spheres, pairs = packed.size(at.SPHERES), packed.size(at.PAIRS)
    if not pairs:
        return None
    joint, child = (whole_numbers(packed.table(slot)) for slot in (at.SPHERE_JOINT, at.SPHERE_CHILD))
    pair = whole_numbers(packed.table(at.PAIR)).reshape(pairs, 2)
    share, lever, reach = (
        torch.as_tensor(packed.numbers(slot, *shape)).to(pose_above.dtype)
        for slot, shape in ((at.SPHERE_SHARE, (spheres,)), (at.SPHERE_LEVER, (spheres, 3)), (at.PAIR_REACH, (pairs,)))
    )
    weight = float(packed.numbers(at.OVERLAP_WEIGHT, 1)[0])
    return Overlaps(
        *(joint, child, share, lever, pair[:, 0], pair[:, 1], reach, weight),
        *(pose_joints, pose_above[joint], pose_above[child]),
    )
