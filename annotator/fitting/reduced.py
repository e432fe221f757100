"""A body model reduced to the points of one stage: joints affine in shape, attachments instead of vertices.

Everything is exact: the points equal those of the full mesh. What it leaves out is what the stage does not look at.

Legend: as in `layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import PointMap
from annotator.bodies.posing import axis_angle_to_matrix, rest_pose
from annotator.fitting.layout import ARM, ARM_PAD, SHAPE_PAD, SHAPES

_FEW = 4
"""Points below an anchor that are not worth a group of their own."""


@dataclass(frozen=True)
class Arm:
    """An articulation: numbers that turn some joints by axis-angle = mean + parts x numbers.

    Attributes:
        joints: that it turns. parts: `(joints, 3, width)`.
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


def reduce_body(
    body: BodyModelData,
    points: PointMap,
    rows: np.ndarray,
    *,
    arms: Sequence[Arm],
    still: Sequence[bool],
    pose_joints: np.ndarray,
    extra: np.ndarray,
) -> Reduced:
    """A body reduced to some rows of its points.

    Args:
        rows: of `points` that are evaluated.
        still: of each articulation, whether its numbers are not varied.
        pose_joints: joints that the pose turns.
        extra: joints whose local rotation is needed beside those that carry points.
    """
    attached = _Attachments.of(body, points, rows)
    features = attached.feature_joints()
    keep = _with_ancestors(body.parents, np.concatenate([attached.joint, features, extra, [0]]).astype(int))
    number = np.full(len(body.parents), -1)
    number[keep] = np.arange(len(keep))
    above = body.parents[keep]
    order, groups = _groups(body, attached, arms, still, pose_joints)
    attached = attached.sorted(order)
    rest = rest_pose(body).astype(np.float64)
    turned_by = np.full(len(body.parents), -1)
    parts = np.zeros((len(body.parents), 3, ARM_PAD))
    for which, arm in enumerate(arms):
        turned_by[list(arm.joints)] = which
        parts[list(arm.joints), :, : arm.width] = arm.parts
    chain = turned_by.copy()
    for joint in np.argsort(_depth(body.parents)):
        if chain[joint] < 0 and body.parents[joint] >= 0:
            chain[joint] = chain[body.parents[joint]]
    moving = np.array([which >= 0 and not still[which] for which in chain])
    pose_row = np.full(len(body.parents), -1)
    pose_row[pose_joints] = np.arange(len(pose_joints))
    joint_template = body.joint_regressor.astype(np.float64) @ body.v_template.astype(np.float64)
    joint_shapes = _shapes(body.joint_regressor.astype(np.float64) @ _flat_shapes(body), len(body.parents))
    root = above < 0
    bones = joint_template[keep] - np.where(root[:, None], 0.0, joint_template[above])
    bone_shapes = joint_shapes[keep] - np.where(root[:, None, None], 0.0, joint_shapes[above])
    long = -(-3 * (len(keep) + len(attached.joint)) // 64) * 64
    group_tables, feature_parts = _grouped(attached, groups, number)
    tables = {
        "parent": np.where(root, -1, number[above]),
        "pose_joint": pose_row[keep],
        "pose_moves": np.isin(keep, _with_ancestors(body.parents, _carriers(attached, groups, extra))).astype(np.int64),
        "arm": turned_by[keep],
        "arm_chain": np.where(moving, chain, -1)[keep],
        "feature_joint": number[features],
        "point_row": rows[order],
        "point_first": attached.first,
        "at_joint": number[attached.joint],
        "at_solid": attached.solid.astype(np.int64),
        **group_tables,
    }
    numbers = {
        "fixed": axis_angle_to_matrix(rest[keep]).astype(np.float64).reshape(-1, 9),
        "arm_mean": rest[keep],
        "arm_parts": parts[keep],
        "rest": _padded([bones, attached.rest(joint_template)], long),
        "rest_shapes": np.stack(
            [
                _padded([bone_shapes[..., c], attached.rest_shapes(joint_shapes)[..., c]], long)
                for c in range(SHAPES)
            ]
        ),
        "bone_shapes": _wide(bone_shapes),
        "at_shapes": _wide(attached.rest_shapes(joint_shapes)),
        "rest_features": _rest_features(attached, features, len(keep), long),
        "at_weight": attached.weight,
        "feature_parts": feature_parts,
    }
    return Reduced(keep, tables, numbers)


@dataclass(frozen=True)
class _Attachments:
    """Points as sums over joints; see `kernels_points.py`.

    Attributes:
        first: `(K + 1,)`. joint, weight, solid: `(A,)`.
        levers: `(A, 3)` weighted rest vertices, without the joint's place. shapes: `(A, 3, 20)`.
        features: `(A, 3, 9 (J - 1))` of the pose correctives.
    """

    first: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    solid: np.ndarray
    levers: np.ndarray
    shapes: np.ndarray
    features: np.ndarray

    @classmethod
    def of(cls, body: BodyModelData, points: PointMap, rows: np.ndarray) -> _Attachments:
        on_vertices = points.vertex_weights[rows].tocsr()
        used = np.unique(on_vertices.indices)
        skin = body.weights[used].toarray().astype(np.float64)
        columns = (3 * used[:, None] + np.arange(3)).ravel()
        correctives = body.posedirs[:, columns].toarray().astype(np.float64).reshape(-1, len(used), 3)
        template = body.v_template[used].astype(np.float64)
        shapes = _flat_shapes(body)[used].reshape(len(used), 3, -1)
        found: list[tuple[int, float, bool, np.ndarray, np.ndarray, np.ndarray]] = []
        first = [0]
        for row, of_joints in enumerate(points.joint_weights[rows]):
            start, end = on_vertices.indptr[row : row + 2]
            at = np.searchsorted(used, on_vertices.indices[start:end])
            shares = on_vertices.data[start:end].astype(np.float64)
            blended = shares[:, None] * skin[at]
            for joint in np.flatnonzero((blended != 0).any(axis=0) | (of_joints != 0)):
                share = blended[:, joint]
                found.append(
                    (
                        *(int(joint), float(share.sum() + of_joints[joint]), bool((share != 0).any())),
                        *(share @ template[at], np.tensordot(share, shapes[at], 1)),
                        np.tensordot(share, correctives[:, at], (0, 1)).T,
                    )
                )
            first.append(len(found))
        joint, weight, solid, levers, rest_shapes, features = zip(*found, strict=True) if found else ((),) * 6
        width = len(body.posedirs.indptr) - 1
        return cls(
            np.array(first),
            np.array(joint, np.int64),
            np.array(weight, np.float64),
            np.array(solid, bool),
            np.array(levers, np.float64).reshape(-1, 3),
            _first_twenty(np.array(rest_shapes, np.float64).reshape(len(found), 3, -1)),
            np.array(features, np.float64).reshape(len(found), 3, width),
        )

    def vertex_share(self) -> np.ndarray:
        """`(A,)` the weight of vertices alone: a joint's own place needs no lever."""
        return np.where(self.solid, self.weight, 0.0)

    def rest(self, joint_template: np.ndarray) -> np.ndarray:
        """`(A, 3)` levers in the joint's frame at the mean shape."""
        return self.levers - self.vertex_share()[:, None] * joint_template[self.joint]

    def rest_shapes(self, joint_shapes: np.ndarray) -> np.ndarray:
        """`(A, 3, 20)` how they change with shape."""
        return self.shapes - self.vertex_share()[:, None, None] * joint_shapes[self.joint]

    def feature_joints(self) -> np.ndarray:
        """Joints whose rotation changes any attachment."""
        blocks = (self.features != 0).reshape(len(self.joint), 3, -1, 9).any(axis=(0, 1, 3))
        return np.flatnonzero(blocks) + 1

    def of_point(self, point: int) -> slice:
        """The attachments of a point."""
        return slice(self.first[point], self.first[point + 1])

    def sorted(self, order: np.ndarray) -> _Attachments:
        """The same with the points in another order."""
        rows = [np.arange(self.first[p], self.first[p + 1]) for p in order]
        taken = np.concatenate([np.zeros(0, int), *rows]).astype(int)
        counts = np.array([len(row) for row in rows], int)
        columns = (self.joint, self.weight, self.solid, self.levers, self.shapes, self.features)
        return _Attachments(np.concatenate([[0], np.cumsum(counts)]), *(column[taken] for column in columns))


@dataclass(frozen=True)
class _Group:
    """Points whose rows have the same columns: how many, the joint that carries them or -1, and their articulation or -1."""

    count: int
    anchor: int
    arm: int


def _groups(
    body: BodyModelData,
    attached: _Attachments,
    arms: Sequence[Arm],
    still: Sequence[bool],
    pose_joints: np.ndarray,
) -> tuple[np.ndarray, list[_Group]]:
    """An order of the points, and the groups that they fall into one after the other."""
    count = len(attached.first) - 1
    arm_of = np.full(count, -1)
    bent_by_pose = np.zeros(count, bool)
    for point in range(count):
        rows = attached.of_point(point)
        bent = (attached.features[rows] != 0).reshape(-1, 3, len(body.parents) - 1, 9).any(axis=(0, 1, 3))
        bent_by_pose[point] = np.isin(np.flatnonzero(bent) + 1, pose_joints).any()
        for which, arm in enumerate(arms):
            touched = [j for j in attached.joint[rows] if _below(body.parents, j, arm.joints)]
            bends = np.isin(np.flatnonzero(bent) + 1, arm.joints).any()
            if (touched or bends) and not still[which]:
                arm_of[point] = which
    anchored = np.full(count, -1)
    for which, arm in enumerate(arms):
        anchor = int(body.parents[arm.joints[0]]) if len(pose_joints) else 0
        for point in range(count):
            inside = all(_below(body.parents, j, (anchor,)) for j in attached.joint[attached.of_point(point)])
            if inside and not bent_by_pose[point] and arm_of[point] in (-1, which) and anchored[point] < 0:
                anchored[point] = which
        if (anchored == which).sum() < _FEW and len(pose_joints):
            anchored[anchored == which] = -1
    order: list[int] = []
    groups: list[_Group] = []
    for which, arm in enumerate(arms):
        members = np.flatnonzero(anchored == which)
        if len(members):
            anchor = int(body.parents[arm.joints[0]]) if len(pose_joints) else 0
            order += members.tolist()
            groups.append(_Group(len(members), anchor, -1 if still[which] else which))
    for which in range(-1, len(arms)):
        members = np.flatnonzero((anchored < 0) & (arm_of == which))
        if len(members):
            order += members.tolist()
            groups.append(_Group(len(members), -1, which))
    return np.array(order, np.int64), groups


def _grouped(
    attached: _Attachments, groups: Sequence[_Group], number: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The tables of groups, and the correctives of attachments in the order of their group's joints."""
    first = np.concatenate([[0], np.cumsum([group.count for group in groups])]).astype(np.int64)
    at = np.full(len(attached.joint), -1)
    joints: list[int] = []
    starts, flat, length = [0], [np.zeros(0)], 0
    for group, start in zip(groups, first, strict=False):
        rows = slice(attached.first[start], attached.first[start + group.count])
        blocks = attached.features[rows].reshape(rows.stop - rows.start, 3, -1, 9)
        own = np.flatnonzero((blocks != 0).any(axis=(0, 1, 3)))
        wide = -(-9 * len(own) // 8) * 8
        for row in range(rows.start, rows.stop):
            block = blocks[row - rows.start][:, own].reshape(3, -1)
            if (block != 0).any():
                at[row] = length
                flat.append(np.pad(block, ((0, 0), (0, wide - block.shape[1]))).ravel())
                length += 3 * wide
        joints += number[own + 1].tolist()
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


def _rest_features(attached: _Attachments, features: np.ndarray, joints: int, long: int) -> np.ndarray:
    """`(9 C, L)` what each number of a joint's rotation adds to the attachments at rest."""
    chosen = (9 * (features[:, None] - 1) + np.arange(9)).ravel()
    out = np.zeros((len(chosen), long))
    parts = attached.features[:, :, chosen]
    out[:, 3 * joints : 3 * joints + parts.shape[0] * 3] = np.moveaxis(parts, 2, 0).reshape(len(chosen), -1)
    return out


def _carriers(attached: _Attachments, groups: Sequence[_Group], extra: np.ndarray) -> np.ndarray:
    """Joints whose rates by the pose are asked for: anchors, what carries points without one, and `extra`."""
    joints = [extra.astype(int)]
    start = 0
    for group in groups:
        if group.anchor >= 0:
            joints.append(np.array([group.anchor]))
        else:
            joints.append(attached.joint[attached.first[start] : attached.first[start + group.count]])
        if group.anchor < 0:
            rows = slice(attached.first[start], attached.first[start + group.count])
            bent = (attached.features[rows] != 0).reshape(rows.stop - rows.start, 3, -1, 9).any(axis=(0, 1, 3))
            joints.append(np.flatnonzero(bent) + 1)
        start += group.count
    return np.concatenate(joints).astype(int)


def _below(parents: np.ndarray, joint: int, above: Sequence[int]) -> bool:
    """Whether a joint is one of `above` or hangs below one."""
    while joint >= 0:
        if joint in above:
            return True
        joint = int(parents[joint])
    return False


def _with_ancestors(parents: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Joints and all above them, ascending by depth and number, so that parents come first."""
    found: set[int] = set()
    for joint in joints.tolist():
        while joint >= 0 and joint not in found:
            found.add(joint)
            joint = int(parents[joint])  # noqa: PLW2901 - climbs the tree
    depth = _depth(parents)
    return np.array(sorted(found, key=lambda j: (depth[j], j)), np.int64)


def _depth(parents: np.ndarray) -> np.ndarray:
    depth = np.zeros(len(parents), int)
    for joint in range(len(parents)):
        above = int(parents[joint])
        while above >= 0:
            depth[joint] += 1
            above = int(parents[above])
    return depth


def _flat_shapes(body: BodyModelData) -> np.ndarray:
    """`(V, 3 S)` betas and expression."""
    shapes = np.concatenate([body.shapedirs, body.exprdirs], axis=2).astype(np.float64)
    return shapes.reshape(len(shapes), -1)


def _shapes(flat: np.ndarray, count: int) -> np.ndarray:
    return _first_twenty(flat.reshape(count, 3, -1))


def _first_twenty(shapes: np.ndarray) -> np.ndarray:
    """`(..., S)` padded to betas and expression; a model without expression has zeros there."""
    return np.concatenate([shapes, np.zeros((*shapes.shape[:-1], SHAPES - shapes.shape[-1]))], axis=-1)


def _wide(shapes: np.ndarray) -> np.ndarray:
    return np.concatenate([shapes, np.zeros((*shapes.shape[:-1], SHAPE_PAD - SHAPES))], axis=-1)


def _padded(parts: Sequence[np.ndarray], length: int) -> np.ndarray:
    joined = np.concatenate([part.ravel() for part in parts])
    return np.concatenate([joined, np.zeros(length - len(joined))])
