"""Named points of a body model, as affine combinations of kinematic joints and posed vertices.

`anatomy.py` says which joint and vertex has which name, `places.py` where a skeleton's points lie among them; the face is its
51 landmarks and the contour. So one table serves official files and the open body. A point that a family does not have (SMPL:
face and finger joints) keeps its place and is not `present`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from annotator.bodies.anatomy import (
    FLAME_JOINTS,
    MANO_JOINTS,
    MANO_PACKAGE_VERTICES,
    MANO_VERTICES,
    NAMES,
    NECK_JOINT,
    SMPL_JOINTS,
    SMPL_VERTICES,
    SMPLH_JOINTS,
    SMPLX_JOINTS,
    SMPLX_VERTICES,
    VERTEX_SET,
)
from annotator.bodies.places import HIP_WIDTH, SKELETONS_OF, Mix, hands_of, places
from annotator.skeleton import COCO_WHOLEBODY, FACE, FLAME, HAND, OPENPOSE, Skeleton

__all__ = [
    "CONTOUR_START",
    "FLAME_JOINTS",
    "HAND_POINTS",
    "MANO_JOINTS",
    "MANO_PACKAGE_VERTICES",
    "MANO_VERTICES",
    "NECK_JOINT",
    "SMPLH_JOINTS",
    "SMPLX_JOINTS",
    "SMPLX_VERTICES",
    "SMPL_JOINTS",
    "SMPL_VERTICES",
    "VERTEX_SET",
    "Landmarks",
    "PointMap",
    "model_points",
    "regressed",
    "vertices_needed",
]

CONTOUR_START = {COCO_WHOLEBODY.name: 23, OPENPOSE.name: 118, FLAME.name: 56, FACE.name: 0}
"""First of the 17 outline points in the skeletons that have them."""

HAND_POINTS = {side: f"{HAND.name}_{side}" for side in ("left", "right")}
"""Name under which a body keeps the points of one of its hands."""


@dataclass(frozen=True)
class PointMap:
    """Points as weights over joints and vertices.

    Attributes:
        joint_weights: `(K, J)` float32.
        vertex_weights: `(K, V)` sparse float32.
        vertex_set: which vertices stand for face, feet and tips.
    """

    joint_weights: np.ndarray
    vertex_weights: sparse.csr_array
    vertex_set: str = VERTEX_SET

    def apply(self, joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """`(..., J, 3)` joints and `(..., V, 3)` vertices -> `(..., K, 3)` points; zeros where not `present`."""
        chosen = vertices[..., self.vertex_ids, :]
        return self.joint_weights @ joints + self.weights_of_used @ chosen

    @cached_property
    def present(self) -> np.ndarray:
        """`(K,)` bool: whether the model has the point at all; what uses points gives the others confidence 0."""
        return (self.joint_weights != 0).any(axis=1) | (np.diff(self.vertex_weights.indptr) > 0)

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
    """Face landmarks on the surface: face indices and barycentric weights.

    Attributes:
        contour_faces, contour_bary: `(79, 17)` and `(79, 17, 3)` by the head's yaw; no rows where there is no contour.
    """

    faces: np.ndarray
    landmark_faces: np.ndarray
    landmark_bary: np.ndarray
    contour_faces: np.ndarray
    contour_bary: np.ndarray

    def contour(self, vertices: np.ndarray, neck: np.ndarray) -> np.ndarray:
        """The outline as the head's yaw shows it: `(..., 17, 3)` for `(..., V, 3)` vertices and `(..., 3, 3)` neck rotations.

        The look-up of the smplx package: whole degrees about y, from 39 to one side to 39 to the other.
        """
        turns, people = neck.reshape(-1, 3, 3), vertices.reshape(-1, *vertices.shape[-2:])
        sine, cosine = -turns[:, 2, 0], np.hypot(turns[:, 0, 0], turns[:, 1, 0])
        degrees = np.rint(np.clip(-np.rad2deg(np.nan_to_num(np.arctan2(sine, cosine))), -39, 39)).astype(int)
        row = np.where(degrees < 0, 39 - degrees, degrees)
        chosen = people[np.arange(len(people))[:, None, None], self.faces[self.contour_faces[row]]]
        outline = np.einsum("nkc,nkcx->nkx", self.contour_bary[row], chosen)
        return outline.reshape(*vertices.shape[:-2], *outline.shape[1:])


def model_points(
    family: str,
    vertex_count: int,
    *,
    landmarks: Landmarks | None,
    head_top: int,
    rest_joints: np.ndarray | None = None,
) -> dict[str, PointMap]:
    """The point maps of a model, by skeleton name; both hands of a body by `HAND_POINTS`.

    Args:
        head_top: vertex at the top of the head (smplx names none).
        rest_joints: `(J, 3)` of the mean body at rest, by which the hips of motion capture are placed.
    """
    joints, vertices = NAMES[family]
    spread = 1.0 if rest_joints is None else _hip_spread(joints, rest_joints)
    builder = _Builder(joints, {**vertices, "head_top": head_top}, vertex_count)
    face = dict(zip(FACE.points, _face_rows(builder, landmarks), strict=True))

    def rows(skeleton: Skeleton) -> list[_Row]:
        found = zip(skeleton.points, places(skeleton, spread), strict=True)
        return [face[point] if point in face else builder.mixed(mix) for point, mix in found]

    maps = {skeleton.name: builder.map(rows(skeleton)) for skeleton in SKELETONS_OF[family]}
    if family in ("smplx", "smplh"):
        for side, name in HAND_POINTS.items():
            maps[name] = builder.map([builder.mixed({f"{side}_{point}": 1.0}) for point in HAND.points])
    return maps


def regressed(rows: np.ndarray, joints: int) -> PointMap:
    """Points as a data set's own regressor has them, for a model of so many joints.

    Args:
        rows: `(K, V)`; those whose sum is not quite 1 would move with the body's place and are mended.
    """
    weights = sparse.csr_array(rows / rows.sum(axis=1, keepdims=True), dtype=np.float32)
    return PointMap(np.zeros((len(rows), joints), np.float32), weights)


def vertices_needed(family: str) -> int:
    """How many vertices a mesh of the family has at least: those that its points name."""
    return max(NAMES[family][1].values(), default=0) + 1


def _hip_spread(joints: Mapping[str, int], rest: np.ndarray) -> float:
    if "left_knee" not in joints:
        return 1.0
    hip, other, knee, ankle = rest[[joints[name] for name in ("left_hip", "right_hip", "left_knee", "left_ankle")]]
    leg = np.linalg.norm(hip - knee) + np.linalg.norm(knee - ankle)
    return float(HIP_WIDTH * leg / (np.linalg.norm(hip - other) / 2))


def _face_rows(builder: _Builder, landmarks: Landmarks | None) -> list[_Row]:
    rows: list[_Row] = [({}, {}) for _ in FACE.points]
    if landmarks is None:
        return rows
    if len(landmarks.contour_faces):
        frontal = zip(landmarks.contour_faces[0], landmarks.contour_bary[0], strict=True)
        rows[:17] = [builder.surface(landmarks.faces[face], bary) for face, bary in frontal]
    inner = zip(landmarks.landmark_faces, landmarks.landmark_bary, strict=True)
    rows[17:] = [builder.surface(landmarks.faces[face], bary) for face, bary in inner]
    return rows


_Row = tuple[dict[int, float], dict[int, float]]


class _Builder:
    def __init__(self, joints: Mapping[str, int], vertices: Mapping[str, int], vertex_count: int) -> None:
        self._joints, self._vertices, self._count = joints, vertices, vertex_count
        self._hands = hands_of(joints)

    def mixed(self, mix: Mix) -> _Row:
        """A mixture of joints and vertices by name; no weights at all where the family lacks one of them."""
        of_joints: dict[int, float] = {}
        of_vertices: dict[int, float] = {}
        for name, weight in mix.items():
            if name in self._vertices:
                of_vertices[self._vertices[name]] = weight
            elif name in self._joints:
                of_joints[self._joints[name]] = weight
            elif name in self._hands:
                return self.mixed(self._hands[name])
            else:
                return {}, {}
        return of_joints, of_vertices

    def surface(self, corners: np.ndarray, bary: np.ndarray) -> _Row:
        """A point in a triangle."""
        weights: dict[int, float] = {}
        for corner, weight in zip(corners.tolist(), bary.tolist(), strict=True):
            weights[corner] = weights.get(corner, 0.0) + weight
        return {}, weights

    def map(self, rows: list[_Row]) -> PointMap:
        """Rows put together."""
        joints = np.zeros((len(rows), len(self._joints)), np.float32)
        for number, (of_joints, _) in enumerate(rows):
            joints[number, list(of_joints)] = list(of_joints.values())
        ends = np.cumsum([0, *(len(of_vertices) for _, of_vertices in rows)])
        vertices = [vertex for _, of_vertices in rows for vertex in of_vertices]
        weights = np.array([weight for _, of_vertices in rows for weight in of_vertices.values()], np.float32)
        matrix = sparse.csr_array((weights, np.array(vertices, np.int64), ends), shape=(len(rows), self._count))
        matrix.sort_indices()
        return PointMap(joints, matrix)
