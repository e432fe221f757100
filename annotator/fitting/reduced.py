"""A body model reduced to the points of one stage: joints affine in shape, attachments instead of vertices.

Everything is exact: the points equal those of the full mesh. What it leaves out is what the stage does not look at.

Legend: as in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import axis_angle_to_matrix, rest_pose
from annotator.fitting.attachments import Attachments, rest_joints
from annotator.fitting.layout import ARM, ARM_PAD, SHAPE_PAD, SHAPES

_FEW = 4
"""Points below an anchor that are not worth a group of their own."""


@dataclass(frozen=True)
class Arm:
    """An articulation: numbers that turn some joints by axis-angle = mean + parts x numbers.

    Attributes:
        joints: that it turns; the first hangs on the joint that carries it. parts: `(joints, 3, width)`.
    """

    name: str
    joints: tuple[int, ...]
    parts: np.ndarray

    @property
    def width(self) -> int:
        """How many numbers it has."""
        return self.parts.shape[2]


def arms_of(body: BodyModelData, components: int) -> tuple[Arm, ...]:
    """Hands by their first `components`, then jaw and eyes; those that a family has and its fits vary."""
    arms = [_hand(body, side, components) for side in ("left", "right") if side in body.hand_components]
    face = {"smplx": (22, 23, 24), "flame": (2,)}.get(body.family, ())
    if face:
        arms.append(Arm("face", face, np.eye(3 * len(face)).reshape(len(face), 3, -1)))
    assert all(arm.width <= ARM for arm in arms)
    return tuple(arms)


def _hand(body: BodyModelData, side: str, components: int) -> Arm:
    first = {"smplx": {"left": 25, "right": 40}, "mano": {"left": 1, "right": 1}}[body.family][side]
    parts = body.hand_components[side][:components].astype(np.float64).T.reshape(15, 3, -1)
    return Arm(f"{side}_hand", tuple(range(first, first + 15)), parts)


@dataclass(frozen=True)
class Reduced:
    """The arrays of `layout.py` that describe a body.

    Attributes:
        joint_of: its joints' numbers in the file. tables: of whole numbers. numbers: float64.
    """

    joint_of: np.ndarray
    tables: dict[str, np.ndarray]
    numbers: dict[str, np.ndarray]


@dataclass(frozen=True)
class Articulated:
    """A body's tree and what turns its joints, whatever the stage.

    Attributes:
        parents, depth: `(J,)`. arms: its articulations. pose_joints: that the pose turns, in its order.
        turned_by, chain: `(J,)` the articulation that turns a joint, or it or one above it; -1 if none.
        above: `(J, J)` bool: whether the second joint is the first or hangs below it.
    """

    body: BodyModelData
    arms: tuple[Arm, ...]
    pose_joints: np.ndarray
    turned_by: np.ndarray
    chain: np.ndarray
    depth: np.ndarray
    above: np.ndarray

    @classmethod
    def of(cls, body: BodyModelData, arms: tuple[Arm, ...], pose_joints: np.ndarray) -> Articulated:
        """From the body model's tree."""
        count = len(body.parents)
        above = np.eye(count, dtype=bool)
        for joint in range(count):
            parent = int(body.parents[joint])
            while parent >= 0:
                above[parent, joint] = True
                parent = int(body.parents[parent])
        turned_by = np.full(count, -1)
        chain = np.full(count, -1)
        for which, arm in enumerate(arms):
            turned_by[list(arm.joints)] = which
            chain[above[list(arm.joints)].any(axis=0)] = which
        return cls(body, arms, pose_joints, turned_by, chain, above.sum(axis=0) - 1, above)

    def anchor(self, which: int) -> int:
        """The joint that an articulation hangs on; the root where no pose moves it."""
        return int(self.body.parents[self.arms[which].joints[0]]) if len(self.pose_joints) else 0

    def folded(self, attached: Attachments) -> Attachments:
        """Attachments to joints that no fit ever turns (FLAME's head and eyes), moved to the joint that they hang on."""
        parents = self.body.parents
        turned = np.isin(np.arange(len(parents)), self.pose_joints) | (self.turned_by >= 0) | (parents < 0)
        turned |= rest_pose(self.body).any(axis=1)
        joints, shapes = rest_joints(self.body)
        deepest_first = np.argsort(-self.depth, kind="stable")
        onto = np.where(turned, -1, parents)
        return attached.folded(deepest_first, onto, joints - joints[parents], shapes - shapes[parents])

    def with_ancestors(self, joints: np.ndarray) -> np.ndarray:
        """Joints and all above them, by depth and number, so that parents come first."""
        found = np.flatnonzero(self.above[:, joints].any(axis=1))
        return found[np.lexsort((found, self.depth[found]))]


def reduce_body(
    tree: Articulated,
    attached: Attachments,
    outline: Attachments | None,
    slots: np.ndarray,
    *,
    still: Sequence[bool],
    extra: np.ndarray,
) -> Reduced:
    """A body reduced to some points.

    Args:
        attached: of the points. outline: of every row of the face's outline, in rows of `len(slots)` points.
        slots: which of the points are the outline's.
        still: of each articulation, whether its numbers are not varied.
        extra: joints whose local rotation is needed beside those that carry points.
    """
    body = tree.body
    candidates = attached if outline is None else _joined(attached, outline)
    bends = candidates.bends()
    features = np.flatnonzero(bends.any(axis=0))
    keep = tree.with_ancestors(np.concatenate([candidates.joint, features, extra, [0]]).astype(int))
    number = np.full(len(body.parents), -1)
    number[keep] = np.arange(len(keep))
    order, groups = _groups(tree, attached, still, outline, slots)
    attached = attached.take(order)
    whole = attached if outline is None else _joined(attached, outline)
    moving = np.array([which >= 0 and not still[which] for which in tree.chain])
    pose_row = np.full(len(body.parents), -1)
    pose_row[tree.pose_joints] = np.arange(len(tree.pose_joints))
    of_slots = _group_of(groups, int(np.flatnonzero(order == slots[0])[0])) if outline is not None else -1
    group_tables, feature_parts = _grouped(whole, len(attached), groups, of_slots, number)
    above, root = body.parents[keep], body.parents[keep] < 0
    places, of_outline = np.argsort(order), np.full(len(order), -1)
    of_outline[places[slots]] = np.arange(len(slots)) if outline is not None else -1
    tables = {
        "parent": np.where(root, -1, number[above]),
        "pose_joint": pose_row[keep],
        "pose_moves": np.isin(keep, tree.with_ancestors(_carriers(whole, groups, extra))).astype(np.int64),
        "arm": tree.turned_by[keep],
        "arm_chain": np.where(moving, tree.chain, -1)[keep],
        "feature_joint": number[features],
        "point_row": order,
        "point_first": attached.first,
        "point_outline": of_outline,
        "outline_group": np.array([of_slots]),
        "outline_first": len(attached) + outline.first if outline is not None else np.zeros(0, np.int64),
        "at_joint": number[whole.joint],
        "at_solid": whole.solid.astype(np.int64),
        **group_tables,
    }
    rest = rest_pose(body).astype(np.float64)
    parts = np.zeros((len(body.parents), 3, ARM_PAD))
    for arm in tree.arms:
        parts[list(arm.joints), :, : arm.width] = arm.parts
    joint_template, joint_shapes = rest_joints(body)
    bones = joint_template[keep] - np.where(root[:, None], 0.0, joint_template[above])
    bone_shapes = joint_shapes[keep] - np.where(root[:, None, None], 0.0, joint_shapes[above])
    long = -(-3 * (len(keep) + len(attached)) // 64) * 64
    by_shape = [_padded([bone_shapes[..., c], attached.lever_shapes[..., c]], long) for c in range(SHAPES)]
    numbers = {
        "fixed": axis_angle_to_matrix(rest[keep]).astype(np.float64),
        "arm_mean": rest[keep],
        "arm_parts": parts[keep],
        "rest": _padded([bones, attached.lever], long),
        "rest_shapes": np.stack(by_shape),
        "rest_features": _rest_features(attached, features, len(keep), long),
        "bone_shapes": _wide(bone_shapes),
        "at_lever": whole.lever,
        "at_shapes": _wide(whole.lever_shapes),
        "at_weight": whole.weight,
        "feature_parts": feature_parts,
    }
    return Reduced(keep, tables, numbers)


@dataclass(frozen=True)
class _Group:
    """Points whose rows have the same columns.

    Attributes:
        count: of points. anchor: the joint that carries them, or -1. arm: their articulation, or -1.
        joints: whose rotation changes any of them.
    """

    count: int
    anchor: int
    arm: int
    joints: np.ndarray


def _groups(
    tree: Articulated, attached: Attachments, still: Sequence[bool], outline: Attachments | None, slots: np.ndarray
) -> tuple[np.ndarray, list[_Group]]:
    """An order of the points, and the groups that they fall into one after the other.

    Points of the outline belong together: any of them may come to be what any row of the outline is.
    """
    count, all_bends = len(attached.first) - 1, attached.bends()
    carried = np.stack(
        [np.bincount(attached.joint[attached.of_point(p)], minlength=len(tree.depth)) > 0 for p in range(count)]
    ).reshape(count, len(tree.depth))
    bent = np.stack([all_bends[attached.of_point(p)].any(axis=0) for p in range(count)]).reshape(carried.shape)
    if outline is not None:
        carried[slots] = np.bincount(outline.joint, minlength=len(tree.depth)) > 0
        bent[slots] = outline.bends().any(axis=0)
    arm_of = np.full(count, -1)
    anchored = np.full(count, -1)
    for which in range(len(tree.arms)):
        own = np.zeros(len(tree.depth), bool)
        own[list(tree.arms[which].joints)] = True
        touched = carried[:, tree.chain == which].any(axis=1) | bent[:, own].any(axis=1)
        if not still[which]:
            arm_of[touched] = which
        below = tree.above[tree.anchor(which)]
        inside = ~carried[:, ~below].any(axis=1) & ~bent[:, tree.pose_joints].any(axis=1)
        inside &= (anchored < 0) & np.isin(arm_of, (-1, which))
        if inside.sum() >= _FEW or not len(tree.pose_joints):
            anchored[inside] = which
    order: list[int] = []
    groups: list[_Group] = []

    def add(members: np.ndarray, anchor: int, arm: int) -> None:
        if members.any():
            order.extend(np.flatnonzero(members).tolist())
            groups.append(_Group(int(members.sum()), anchor, arm, np.flatnonzero(bent[members].any(axis=0))))

    for which in range(len(tree.arms)):
        add(anchored == which, tree.anchor(which), -1 if still[which] else which)
    for which in range(-1, len(tree.arms)):
        add((anchored < 0) & (arm_of == which), -1, which)
    return np.array(order, np.int64), groups


def _group_of(groups: Sequence[_Group], place: int) -> int:
    """The group that a point lies in, by its place in the order."""
    return int(np.searchsorted(np.cumsum([group.count for group in groups]), place, side="right"))


def _grouped(
    whole: Attachments, count: int, groups: Sequence[_Group], of_outline: int, number: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The tables of groups, and the correctives of attachments in the order of their group's joints.

    Attachments from `count` on are those of the face's outline, which belong to group `of_outline`.
    """
    first = np.concatenate([[0], np.cumsum([group.count for group in groups])]).astype(np.int64)
    at = np.full(len(whole), -1)
    starts, flat, length = [0], [np.zeros(0)], 0
    joints: list[int] = []
    for which, (group, start) in enumerate(zip(groups, first.tolist(), strict=False)):
        rows = np.arange(int(whole.first[start]), int(whole.first[start + group.count]))
        if which == of_outline:
            rows = np.concatenate([rows, np.arange(count, len(whole))])
        blocks = (
            whole.lever_features[rows].reshape(len(rows), 3, -1, 9)[:, :, group.joints - 1].reshape(len(rows), 3, -1)
        )
        wide = -(-blocks.shape[2] // 8) * 8
        for row, block in zip(rows.tolist(), blocks, strict=True):
            if block.any():
                at[row] = length
                flat.append(np.pad(block, ((0, 0), (0, wide - block.shape[1]))).ravel())
                length += 3 * wide
        joints += number[group.joints].tolist()
        starts.append(len(joints))
    tables = {
        "group_first": first,
        "group_anchor": np.array([number[g.anchor] if g.anchor >= 0 else -1 for g in groups], np.int64),
        "group_arm": np.array([g.arm for g in groups], np.int64),
        "group_features": np.array(starts, np.int64),
        "group_feature_joint": np.array(joints, np.int64),
        "at_features": at,
    }
    return tables, np.concatenate(flat)


def _rest_features(attached: Attachments, features: np.ndarray, joints: int, long: int) -> np.ndarray:
    """`(9 C, L)` what each number of a joint's rotation adds to the attachments at rest."""
    chosen = (9 * (features[:, None] - 1) + np.arange(9)).ravel()
    out = np.zeros((len(chosen), long))
    parts = attached.lever_features[:, :, chosen]
    out[:, 3 * joints : 3 * joints + 3 * len(parts)] = np.moveaxis(parts, 2, 0).reshape(len(chosen), 3 * len(parts))
    return out


def _carriers(attached: Attachments, groups: Sequence[_Group], extra: np.ndarray) -> np.ndarray:
    """Joints whose rates by the pose are asked for: anchors, what carries or bends points without one, and `extra`."""
    joints, start = [extra.astype(int)], 0
    for group in groups:
        if group.anchor >= 0:
            joints.append(np.array([group.anchor]))
        else:
            joints += [attached.joint[attached.first[start] : attached.first[start + group.count]], group.joints]
        start += group.count
    return np.concatenate(joints).astype(int)


def _joined(one: Attachments, other: Attachments) -> Attachments:
    """The attachments of both, one after the other; `first` is that of the first."""
    names = ("joint", "weight", "solid", "lever", "lever_shapes", "lever_features")
    return Attachments(one.first, *(np.concatenate([getattr(one, n), getattr(other, n)]) for n in names))


def _wide(shapes: np.ndarray) -> np.ndarray:
    return np.concatenate([shapes, np.zeros((*shapes.shape[:-1], SHAPE_PAD - SHAPES))], axis=-1)


def _padded(parts: Sequence[np.ndarray], length: int) -> np.ndarray:
    joined = np.concatenate([part.ravel() for part in parts])
    return np.concatenate([joined, np.zeros(length - len(joined))])
