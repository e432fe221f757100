"""Posing a few people in numpy, for the desk and for exports; torch is not needed.

Linear blend skinning with shape, expression and pose blend shapes (SMPL and its relatives); equal to the smplx package.

Legend: N people, J joints, V vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import CONTOUR_START, NECK_JOINT

PoseParts = tuple[tuple[str, int], ...]
_FACE_POSE = (("jaw_pose", 3), ("leye_pose", 3), ("reye_pose", 3))
_POSE: dict[str, PoseParts] = {
    "smplx": (
        *(("global_orient", 3), ("body_pose", 63), *_FACE_POSE),
        *(("left_hand_pose", 45), ("right_hand_pose", 45)),
    ),
    "smpl": (("global_orient", 3), ("body_pose", 69)),
    "mano": (("global_orient", 3), ("hand_pose", 45)),
    "flame": (("global_orient", 3), ("neck_pose", 3), *_FACE_POSE),
}
"""Full pose of each family, in its joint order."""


def full_pose_parts(family: str) -> PoseParts:
    """Names and widths of the parameters whose concatenation is the full pose, in the order of the joints."""
    return _POSE[family]


def parameter_widths(family: str) -> dict[str, int]:
    """Every parameter that `Poser.pose` takes for a family, with its width."""
    expression = {"expression": 10} if family in ("smplx", "flame") else {}
    return {**dict(_POSE[family]), "betas": 10, **expression, "transl": 3}


@dataclass(frozen=True)
class Posed:
    """People posed by a body model: `vertices` `(N, V, 3)`, `joints` `(N, J, 3)`, `rotations` `(N, J, 3, 3)` global."""

    vertices: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    body: BodyModelData

    def points(self, skeleton: str) -> np.ndarray:
        """`(N, K, 3)` points of a skeleton by name (one person without N gives `(K, 3)`); the face's outline is that which the head's yaw shows."""
        points = self.body.points[skeleton].apply(self.joints, self.vertices)
        first, landmarks = CONTOUR_START.get(skeleton), self.body.landmarks
        if first is not None and landmarks is not None and len(landmarks.contour_faces):
            neck = self.rotations[..., NECK_JOINT[self.body.family], :, :]
            points[..., first : first + 17, :] = landmarks.contour(self.vertices, neck)
        return points


class Poser:
    """Poses one body model; it keeps the arrays in the order that makes one person quick."""

    def __init__(self, body: BodyModelData) -> None:
        self.body = body
        count = len(body.v_template)
        self._shapes = np.concatenate([body.shapedirs, body.exprdirs], axis=2).reshape(3 * count, -1)
        self._joint_template = body.joint_regressor @ body.v_template
        shapes = self._shapes.reshape(count, -1)
        self._joint_shapes = (body.joint_regressor @ shapes).reshape(len(body.parents), 3, -1)
        self._levels = tree_levels(body.parents)

    def pose(self, parameters: Mapping[str, np.ndarray]) -> Posed:
        """Poses people.

        Args:
            parameters: `(N, d)` by the smplx package's names; axis-angle in radians, hand pose without the mean,
                `transl` in metres. Those not named are zeros.
        """
        count = len(next(iter(parameters.values())))
        given = {name: np.asarray(values, np.float32) for name, values in parameters.items()}
        expression = _take(given, "expression", count, 10)[:, : self.body.exprdirs.shape[2]]
        shape = np.concatenate([_take(given, "betas", count, 10), expression], axis=1)
        rotations = axis_angle_to_matrix(self._full_pose(given, count))
        rest_joints = self._joint_template + np.einsum("jcs,ns->njc", self._joint_shapes, shape)
        global_rotations, joints = self._chain(rotations, rest_joints)
        rest = self.body.v_template + (shape @ self._shapes.T).reshape(count, -1, 3)
        if self.body.posedirs.nnz:
            feature = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(count, -1)
            rest += (self.body.posedirs.T @ feature.T).T.reshape(count, -1, 3)
        offsets = joints - np.einsum("njab,njb->nja", global_rotations, rest_joints)
        vertices = np.stack([self._skin(r, g, o) for r, g, o in zip(rest, global_rotations, offsets, strict=True)])
        transl = _take(given, "transl", count, 3)[:, None]
        return Posed(vertices + transl, joints + transl, global_rotations, self.body)

    def _full_pose(self, given: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        parts = [_take(given, name, count, width) for name, width in _POSE[self.body.family]]
        return np.concatenate(parts, axis=1).reshape(count, -1, 3) + rest_pose(self.body)

    def _chain(self, rotations: np.ndarray, rest_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations `(N, J, 3, 3)` and places `(N, J, 3)` of the joints, level by level of the tree."""
        parents = self.body.parents
        turned, placed = rotations.copy(), rest_joints.copy()
        for level in self._levels[1:]:
            above = parents[level]
            turned[:, level] = turned[:, above] @ rotations[:, level]
            bones = rest_joints[:, level] - rest_joints[:, above]
            placed[:, level] = placed[:, above] + np.einsum("njab,njb->nja", turned[:, above], bones)
        return turned, placed

    def _skin(self, rest: np.ndarray, rotations: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        transforms = np.concatenate([rotations, offsets[:, :, None]], axis=2).reshape(len(rotations), 12)
        blended = (self.body.weights @ transforms).reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", blended[:, :, :3], rest) + blended[:, :, 3]


def rest_pose(body: BodyModelData) -> np.ndarray:
    """`(J, 3)` what is added to the full pose: the mean of the hands, nothing elsewhere."""
    parts: list[np.ndarray] = []
    for name, width in _POSE[body.family]:
        side = body.side if name == "hand_pose" else name.removesuffix("_hand_pose")
        parts.append(body.hand_mean.get(side, np.zeros(width, np.float32)))
    return np.concatenate(parts).reshape(-1, 3)


def axis_angle_to_matrix(vectors: np.ndarray) -> np.ndarray:
    """`(..., 3)` axis-angle -> `(..., 3, 3)` by Rodrigues' formula; a series near zero keeps it exact there."""
    squared = (vectors.astype(np.float64) ** 2).sum(axis=-1)
    angle = np.sqrt(squared)
    small = squared < 1e-8
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1 - squared / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5 - squared / 24, (1 - np.cos(safe)) / safe**2)
    x, y, z = (vectors[..., i].astype(np.float64) for i in range(3))
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape[:-1], 3, 3)
    return (np.eye(3) + a[..., None, None] * k + b[..., None, None] * (k @ k)).astype(np.float32)


def _take(given: Mapping[str, np.ndarray], name: str, count: int, width: int) -> np.ndarray:
    values = given.get(name)
    if values is None:
        return np.zeros((count, width), np.float32)
    if values.shape != (count, width):
        raise ValueError(f"{name} has shape {values.shape}, expecting {(count, width)}")
    return values


def tree_levels(parents: np.ndarray) -> list[np.ndarray]:
    """Joints by their depth in the tree: each level is posed at once, after the one above it."""
    depth = np.zeros(len(parents), int)
    for joint, parent in enumerate(parents):
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return [np.flatnonzero(depth == level) for level in range(depth.max() + 1)]
