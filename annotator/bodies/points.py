"""Named points of a body model, as affine combinations of kinematic joints and posed vertices.

Body and finger joints are the kinematic ones; nose, eyes, ears, feet and finger tips are the vertices that the smplx
package names; the face is its 51 landmarks and the contour. So one table serves official files and the open body.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M

SMPLX_VERTICES = {
    **{"nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6},
    **{"left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846},
    **{"right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635},
    **{"left_thumb4": 5361, "left_index4": 4933, "left_middle4": 5058, "left_ring4": 5169, "left_pinky4": 5286},
    **{"right_thumb4": 8079, "right_index4": 7669, "right_middle4": 7794, "right_ring4": 7905, "right_pinky4": 8022},
}
"""Vertex of each extra joint in SMPL-X topology (facts 2.5: the smplx package's own table)."""

SMPLX_JOINTS = {
    **{"pelvis": 0, "left_hip": 1, "right_hip": 2, "spine1": 3, "left_knee": 4, "right_knee": 5, "spine2": 6},
    **{"left_ankle": 7, "right_ankle": 8, "spine3": 9, "left_foot": 10, "right_foot": 11, "neck": 12},
    **{"left_collar": 13, "right_collar": 14, "head": 15, "left_shoulder": 16, "right_shoulder": 17},
    **{"left_elbow": 18, "right_elbow": 19, "left_wrist": 20, "right_wrist": 21, "jaw": 22, "left_eyeball": 23},
    "right_eyeball": 24,
    **{
        f"{side}_{finger}{k}": first + 3 * f + k - 1
        for side, first in (("left", 25), ("right", 40))
        for f, finger in enumerate(("index", "middle", "pinky", "ring", "thumb"))
        for k in (1, 2, 3)
    },
}
"""Joint order of SMPL-X (facts 2.6)."""

_H36M_ALIASES = {"torso": "spine2"}


@dataclass(frozen=True)
class PointMap:
    """Points as weights over joints and vertices.

    Attributes:
        joint_weights: `(K, J)` float32.
        vertex_weights: `(K, V)` sparse float32.
    """

    joint_weights: np.ndarray
    vertex_weights: sparse.csr_array

    def apply(self, joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """`(..., J, 3)` joints and `(..., V, 3)` vertices -> `(..., K, 3)` points."""
        chosen = vertices[..., self.vertex_ids, :]
        return self.joint_weights @ joints + self.weights_of_used @ chosen

    @cached_property
    def vertex_ids(self) -> np.ndarray:
        """The vertices that any point needs, ascending."""
        return np.unique(self.vertex_weights.indices)

    @cached_property
    def weights_of_used(self) -> np.ndarray:
        """`(K, U)` weights over `vertex_ids`."""
        return self.vertex_weights[:, self.vertex_ids].toarray().astype(np.float32)


@dataclass(frozen=True)
class Landmarks:
    """Face landmarks on the surface: face indices and barycentric weights."""

    faces: np.ndarray
    landmark_faces: np.ndarray
    landmark_bary: np.ndarray
    contour_faces: np.ndarray
    contour_bary: np.ndarray


def smplx_points(joint_count: int, vertex_count: int, landmarks: Landmarks, head_top: int) -> dict[str, PointMap]:
    """The point maps of a model in SMPL-X topology, by skeleton name.

    Args:
        head_top: vertex at the top of the head (Human3.6M's Head_top; smplx names none).
    """
    builder = _Builder(joint_count, vertex_count)
    coco = [builder.named(_smplx_name(name)) for name in COCO_WHOLEBODY.points[:23]]
    contour = [
        builder.surface(landmarks.faces[f], b)
        for f, b in zip(landmarks.contour_faces[0], landmarks.contour_bary[0], strict=True)
    ]
    inner = [
        builder.surface(landmarks.faces[f], b)
        for f, b in zip(landmarks.landmark_faces, landmarks.landmark_bary, strict=True)
    ]
    hands = [builder.named(_smplx_name(name)) for name in COCO_WHOLEBODY.points[91:]]
    h36m = [
        builder.vertex(head_top) if n == "head_top" else builder.named(_H36M_ALIASES.get(n, n)) for n in HUMAN36M.points
    ]
    return {
        COCO_WHOLEBODY.name: builder.map([*coco, *contour, *inner, *hands]),
        HUMAN36M.name: builder.map(h36m),
    }


def _smplx_name(name: str) -> str:
    if "_hand_wrist" in name:
        return name.replace("_hand_wrist", "_wrist")
    return name.replace("_hand_", "_")


_Row = tuple[dict[int, float], dict[int, float]]


class _Builder:
    def __init__(self, joint_count: int, vertex_count: int) -> None:
        self._joints, self._vertices = joint_count, vertex_count

    def named(self, name: str) -> _Row:
        if name in SMPLX_VERTICES:
            return self.vertex(SMPLX_VERTICES[name])
        return {SMPLX_JOINTS[name]: 1.0}, {}

    def vertex(self, index: int) -> _Row:
        return {}, {index: 1.0}

    def surface(self, corners: np.ndarray, bary: np.ndarray) -> _Row:
        weights: dict[int, float] = {}
        for corner, weight in zip(corners.tolist(), bary.tolist(), strict=True):
            weights[corner] = weights.get(corner, 0.0) + weight
        return {}, weights

    def map(self, rows: list[_Row]) -> PointMap:
        joints = np.zeros((len(rows), self._joints), np.float32)
        vertices = sparse.lil_array((len(rows), self._vertices), dtype=np.float32)
        for number, (of_joints, of_vertices) in enumerate(rows):
            for index, weight in of_joints.items():
                joints[number, index] = weight
            for index, weight in of_vertices.items():
                vertices[number, index] = weight
        return PointMap(joints, vertices.tocsr())
