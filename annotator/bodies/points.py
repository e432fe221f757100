"""Named points of a body model, as affine combinations of kinematic joints and posed vertices.

Body and finger joints are the kinematic ones; nose, eyes, ears, feet and finger tips are the vertices that the smplx
package names (FreiHAND's for MANO); the face is its 51 landmarks and the contour. So one table serves official files
and the open body. A point that a family does not have (SMPL: face and finger joints) keeps its place and is not
`present`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from annotator.skeleton import COCO_WHOLEBODY, FACE, HAND, HUMAN36M

SMPLX_VERTICES = {
    **{"nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6},
    **{"left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846},
    **{"right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635},
    **{"left_thumb4": 5361, "left_index4": 4933, "left_middle4": 5058, "left_ring4": 5169, "left_pinky4": 5286},
    **{"right_thumb4": 8079, "right_index4": 7669, "right_middle4": 7794, "right_ring4": 7905, "right_pinky4": 8022},
}
"""Vertex of each extra joint in SMPL-X topology (the smplx package's own table)."""

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
"""Joint order of SMPL-X."""

SMPL_VERTICES = {
    **{"nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583},
    **{"left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387},
    **{"right_big_toe": 6617, "right_small_toe": 6624, "right_heel": 6787},
    **{"left_thumb4": 2746, "left_index4": 2319, "left_middle4": 2445, "left_ring4": 2556, "left_pinky4": 2673},
    **{"right_thumb4": 6191, "right_index4": 5782, "right_middle4": 5905, "right_ring4": 6016, "right_pinky4": 6133},
}
"""Vertex of each extra joint in SMPL topology."""

SMPL_JOINTS = {**{name: joint for name, joint in SMPLX_JOINTS.items() if joint < 22}, "left_hand": 22, "right_hand": 23}
"""Joint order of SMPL."""

SMPLH_JOINTS = {name: joint - 3 * (joint > 24) for name, joint in SMPLX_JOINTS.items() if not 22 <= joint <= 24}
"""Joint order of SMPL-H: SMPL-X's without jaw and eyes."""

MANO_VERTICES = {"thumb4": 744, "index4": 333, "middle4": 444, "ring4": 555, "pinky4": 672}
"""Finger tips in MANO topology: FreiHAND's, to whose joints they belong to 0.0000 mm."""

MANO_PACKAGE_VERTICES = {"thumb4": 744, "index4": 320, "middle4": 443, "ring4": 554, "pinky4": 671}
"""The smplx package's table of the same tips, 2 to 4 mm from FreiHAND's."""

MANO_JOINTS = {
    "wrist": 0,
    **{
        f"{finger}{k}": 1 + 3 * f + k - 1
        for f, finger in enumerate(("index", "middle", "pinky", "ring", "thumb"))
        for k in (1, 2, 3)
    },
}
"""Joint order of MANO."""

FLAME_JOINTS = {"neck": 0, "head": 1, "jaw": 2, "left_eyeball": 3, "right_eyeball": 4}
"""Joint order of FLAME, by anatomy."""

CONTOUR_START = {COCO_WHOLEBODY.name: 23, FACE.name: 0}
"""First of the 17 outline points in the skeletons that have them."""

NECK_JOINT = {"smplx": SMPLX_JOINTS["neck"], "flame": FLAME_JOINTS["neck"]}
"""The joint whose rotation chooses the outline; the smplx package does not count the head joint above it."""

HAND_POINTS = {side: f"{HAND.name}_{side}" for side in ("left", "right")}
"""Name under which a body keeps the points of one of its hands."""

_NAMES: dict[str, tuple[Mapping[str, int], Mapping[str, int]]] = {
    "smplx": (SMPLX_JOINTS, SMPLX_VERTICES),
    "smplh": (SMPLH_JOINTS, SMPL_VERTICES),
    "smpl": (SMPL_JOINTS, SMPL_VERTICES),
    "mano": (MANO_JOINTS, MANO_VERTICES),
    "flame": (FLAME_JOINTS, {}),
}
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
        degrees = np.rint(np.clip(-np.rad2deg(np.arctan2(sine, cosine)), -39, 39)).astype(int)
        row = np.where(degrees < 0, 39 - degrees, degrees)
        chosen = people[np.arange(len(people))[:, None, None], self.faces[self.contour_faces[row]]]
        outline = np.einsum("nkc,nkcx->nkx", self.contour_bary[row], chosen)
        return outline.reshape(*vertices.shape[:-2], -1, 3)


def model_points(family: str, vertex_count: int, *, landmarks: Landmarks | None, head_top: int) -> dict[str, PointMap]:
    """The point maps of a model, by skeleton name; both hands of SMPL-X by `HAND_POINTS`.

    Args:
        head_top: vertex at the top of the head (Human3.6M's Head_top; smplx names none).
    """
    joints, vertices = _NAMES[family]
    builder = _Builder(joints, {**vertices, "head_top": head_top}, vertex_count)
    face = _face_rows(builder, landmarks)
    if family == "mano":
        return {HAND.name: builder.map([builder.named(name) for name in HAND.points])}
    if family == "flame":
        return {FACE.name: builder.map(face)}
    coco = [builder.named(_joint_name(name)) for name in COCO_WHOLEBODY.points]
    coco[23:91] = face
    maps = {
        COCO_WHOLEBODY.name: builder.map(coco),
        HUMAN36M.name: builder.map([builder.named(_H36M_ALIASES.get(name, name)) for name in HUMAN36M.points]),
    }
    if family == "smplx":
        maps[FACE.name] = builder.map(face)
    if family in {"smplx", "smplh"}:
        maps |= {
            HAND_POINTS[side]: builder.map([builder.named(f"{side}_{name}") for name in HAND.points])
            for side in HAND_POINTS
        }
    return maps


def vertices_needed(family: str) -> int:
    """How many vertices a mesh of the family has at least: those that its points name."""
    return max(_NAMES[family][1].values(), default=0) + 1


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


def _joint_name(name: str) -> str:
    if "_hand_wrist" in name:
        return name.replace("_hand_wrist", "_wrist")
    return name.replace("_hand_", "_")


_Row = tuple[dict[int, float], dict[int, float]]


class _Builder:
    def __init__(self, joints: Mapping[str, int], vertices: Mapping[str, int], vertex_count: int) -> None:
        self._joints, self._vertices, self._count = joints, vertices, vertex_count

    def named(self, name: str) -> _Row:
        """A joint or vertex by name; no weights at all where the family has neither."""
        if name in self._vertices:
            return {}, {self._vertices[name]: 1.0}
        return ({self._joints[name]: 1.0}, {}) if name in self._joints else ({}, {})

    def surface(self, corners: np.ndarray, bary: np.ndarray) -> _Row:
        """A point in a triangle."""
        weights: dict[int, float] = {}
        for corner, weight in zip(corners.tolist(), bary.tolist(), strict=True):
            weights[corner] = weights.get(corner, 0.0) + weight
        return {}, weights

    def map(self, rows: list[_Row]) -> PointMap:
        """Rows put together."""
        joints = np.zeros((len(rows), len(self._joints)), np.float32)
        vertices = sparse.lil_array((len(rows), self._count), dtype=np.float32)
        for number, (of_joints, of_vertices) in enumerate(rows):
            for index, weight in of_joints.items():
                joints[number, index] = weight
            for index, weight in of_vertices.items():
                vertices[number, index] = weight
        return PointMap(joints, vertices.tocsr())
