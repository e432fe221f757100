"""Posing a few people in numpy, for the desk and for exports; torch is not needed.

Linear blend skinning with shape, expression and pose blend shapes (SMPL and its relatives); equal to the smplx package.

Legend: `...` any batch shape, N people in it, J joints, V vertices, S components, P = 9 (J - 1) pose features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import CONTOUR_START, NECK_JOINT

PoseParts = tuple[tuple[str, int], ...]
_FACE_POSE = (("jaw_pose", 3), ("leye_pose", 3), ("reye_pose", 3))
_HANDS_POSE = (("left_hand_pose", 45), ("right_hand_pose", 45))
_POSE: dict[str, PoseParts] = {
    "smplx": (("global_orient", 3), ("body_pose", 63), *_FACE_POSE, *_HANDS_POSE),
    "smplh": (("global_orient", 3), ("body_pose", 63), *_HANDS_POSE),
    "smpl": (("global_orient", 3), ("body_pose", 69)),
    "mano": (("global_orient", 3), ("hand_pose", 45)),
    "flame": (("global_orient", 3), ("neck_pose", 3), *_FACE_POSE),
}
"""Full pose of each family, in its joint order."""


def full_pose_parts(family: str) -> PoseParts:
    """Names and widths of the parameters whose concatenation is the full pose, in the order of the joints."""
    return _POSE[family]


def parameter_widths(family: str, *, betas: int = 10, expressions: int = 10) -> dict[str, int]:
    """Every parameter that `Poser.pose` takes for a family, with its width.

    Args:
        betas, expressions: components that the model was loaded with.
    """
    expression = {"expression": expressions} if family in ("smplx", "flame") else {}
    return {**dict(_POSE[family]), "betas": betas, **expression, "transl": 3}


def widths_of(body: BodyModelData) -> dict[str, int]:
    """Every parameter that a loaded model takes, with its width."""
    return parameter_widths(body.family, betas=body.shapedirs.shape[2], expressions=body.exprdirs.shape[2])


@dataclass(frozen=True)
class Posed:
    """People posed by a body model: `vertices` `(..., V, 3)`, `joints` `(..., J, 3)`, `rotations` `(..., J, 3, 3)` global."""

    vertices: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    body: BodyModelData

    def points(self, skeleton: str) -> np.ndarray:
        """`(..., K, 3)` points of a skeleton by name; the face's outline is that which the head's yaw shows."""
        points = self.body.points[skeleton].apply(self.joints, self.vertices)
        first, landmarks = CONTOUR_START.get(skeleton), self.body.landmarks
        if first is not None and landmarks is not None and len(landmarks.contour_faces):
            neck = self.rotations[..., NECK_JOINT[self.body.family], :, :]
            points[..., first : first + 17, :] = landmarks.contour(self.vertices, neck)
        return points


class Poser:
    """Poses one body model; it keeps the arrays in the order that makes one person quick.

    Blend shapes are kept coordinate by coordinate, `(S, 3 V)` with all x first: imported files lie on disk like that, so
    that nothing is copied and one product runs through them at the speed of memory.

    Args:
        flat_hand_mean: True: zero hand pose is the flat hand, as the smplx package's option of that name says. Parameters
            of fits here belong to False, the mean hand.
    """

    def __init__(self, body: BodyModelData, *, flat_hand_mean: bool = False) -> None:
        self.body = body
        self._rest_pose = rest_pose(body, flat_hand_mean=flat_hand_mean)
        self._template = np.ascontiguousarray(body.v_template.T).reshape(-1)
        self._shapes = np.concatenate([_planar(body.shapedirs), _planar(body.exprdirs)])
        self._correctives = _planar_correctives(body)
        self._joint_template = body.joint_regressor @ body.v_template
        shapes = np.concatenate([body.shapedirs, body.exprdirs], axis=2)
        of_joints = body.joint_regressor @ shapes.reshape(len(shapes), 3 * shapes.shape[2])
        self._joint_shapes = of_joints.reshape(3 * len(body.parents), shapes.shape[2]).T
        self._levels = [(level, body.parents[level]) for level in tree_levels(body.parents)[1:]]

    def pose(self, parameters: Mapping[str, np.ndarray]) -> Posed:
        """Poses people.

        Args:
            parameters: `(..., d)` by the smplx package's names; axis-angle in radians, hand pose without the mean,
                `transl` in metres. Those not named are zeros.

        Raises:
            ValueError: there is none, a name is unknown to the family, or a width is wrong.
        """
        if not parameters:
            raise ValueError("no parameter was given, so nothing says how many people there are")
        batch = np.shape(next(iter(parameters.values())))[:-1]
        given = _checked(parameters, widths_of(self.body), batch)
        count = len(next(iter(given.values())))
        shape = np.concatenate([given[name] for name in ("betas", "expression") if name in given], axis=1)
        rotations = axis_angle_to_matrix(self._full_pose(given, count))
        rest_joints = self._joint_template + (shape @ self._joint_shapes).reshape(count, len(self.body.parents), 3)
        turned, joints = self._chain(rotations, rest_joints)
        joints = joints + given["transl"][:, None]
        offsets = joints - (turned @ rest_joints[..., None])[..., 0]
        transforms = np.concatenate([turned, offsets[..., None]], axis=-1).reshape(*joints.shape[:2], 12)
        vertices = np.empty((count, len(self.body.v_template), 3), np.float32)
        for person, rest, of_joints in zip(vertices, self._rest(shape, rotations), transforms, strict=True):
            person[:] = self._skin(rest, of_joints).T
        placed, placed_joints, kept = (v.reshape(*batch, *v.shape[1:]) for v in (vertices, joints, turned))
        return Posed(placed, placed_joints, kept, self.body)

    def _full_pose(self, given: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        parts = [given[name] for name, _ in _POSE[self.body.family]]
        return np.concatenate(parts, axis=1).reshape(count, *self._rest_pose.shape) + self._rest_pose

    def _chain(self, rotations: np.ndarray, rest_joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations `(N, J, 3, 3)` and places `(N, J, 3)` of the joints, level by level of the tree."""
        local = np.zeros((*rotations.shape[:2], 4, 4), np.float32)
        local[..., :3, :3], local[..., :3, 3], local[..., 3, 3] = rotations, rest_joints, 1
        local[:, 1:, :3, 3] -= rest_joints[:, self.body.parents[1:]]
        placed = local.copy()
        for level, above in self._levels:
            placed[:, level] = placed[:, above] @ local[:, level]
        return placed[..., :3, :3], placed[..., :3, 3]

    def _rest(self, shape: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """`(N, 3, V)` vertices before skinning."""
        rest = shape @ self._shapes
        rest += self._template
        feature = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(len(shape), 9 * (rotations.shape[1] - 1))
        if isinstance(self._correctives, np.ndarray):
            rest += feature @ self._correctives
        elif self._correctives.nnz:
            rest += (self._correctives.T @ feature.T).T
        return rest.reshape(len(shape), 3, len(self.body.v_template))

    def _skin(self, rest: np.ndarray, transforms: np.ndarray) -> np.ndarray:
        """`(3, V)` vertices of one person moved by `(J, 12)` transforms."""
        blended = np.ascontiguousarray((self.body.weights @ transforms).T).reshape(3, 4, -1)
        moved = blended[:, 3] + blended[:, 0] * rest[0]
        moved += blended[:, 1] * rest[1]
        moved += blended[:, 2] * rest[2]
        return moved


def rest_pose(body: BodyModelData, *, flat_hand_mean: bool = False) -> np.ndarray:
    """`(J, 3)` what is added to the full pose: the mean of the hands unless it is flat, nothing elsewhere."""
    parts: list[np.ndarray] = []
    for name, width in _POSE[body.family]:
        side = body.side if name == "hand_pose" else name.removesuffix("_hand_pose")
        parts.append(body.hand_mean.get(side, np.zeros(width, np.float32)))
    return np.concatenate(parts).reshape(-1, 3) * np.float32(not flat_hand_mean)


def axis_angle_to_matrix(vectors: np.ndarray) -> np.ndarray:
    """`(..., 3)` axis-angle -> `(..., 3, 3)` by Rodrigues' formula; a series near zero keeps it exact there."""
    squared = (vectors.astype(np.float64) ** 2).sum(axis=-1)
    angle = np.sqrt(squared)
    small = squared < 1e-8
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1 - squared / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5 - squared / 24, (1 - np.cos(safe)) / safe**2)
    wide = vectors.astype(np.float64)
    turned = (b[..., None] * wide)[..., None] * wide[..., None, :]
    x, y, z = np.moveaxis(a[..., None] * wide, -1, 0)
    flat = turned.reshape(*angle.shape, 9)
    flat[..., ::4] += (1 - b * squared)[..., None]
    flat[..., 1] -= z
    flat[..., 3] += z
    flat[..., 2] += y
    flat[..., 6] -= y
    flat[..., 5] -= x
    flat[..., 7] += x
    return turned.astype(np.float32)


def tree_levels(parents: np.ndarray) -> list[np.ndarray]:
    """Joints by their depth in the tree: each level is posed at once, after the one above it."""
    depth = np.zeros(len(parents), int)
    for joint, parent in enumerate(parents):
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return [np.flatnonzero(depth == level) for level in range(depth.max() + 1)]


def _checked(
    parameters: Mapping[str, np.ndarray], widths: Mapping[str, int], batch: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Every parameter as `(N, d)` float32, zeros where it was not given."""
    if unknown := [name for name in parameters if name not in widths]:
        raise ValueError(f"there is no parameter {unknown[0]}; there are {', '.join(widths)}")
    count = int(np.prod(batch))
    given: dict[str, np.ndarray] = {}
    for name, width in widths.items():
        values = np.asarray(parameters.get(name, np.zeros((*batch, width))), np.float32)
        if values.shape != (*batch, width):
            raise ValueError(f"{name} has shape {values.shape}, expecting {(*batch, width)}")
        given[name] = values.reshape(count, width)
    return given


def _planar(shapes: np.ndarray) -> np.ndarray:
    """`(V, 3, S)` -> `(S, 3 V)`, all x before all y before all z; a view if components lie in one piece each."""
    return shapes.transpose(2, 1, 0).reshape(shapes.shape[2], 3 * len(shapes))


def _planar_correctives(body: BodyModelData) -> sparse.csr_array | np.ndarray:
    found, count = body.posedirs, len(body.v_template)
    if isinstance(found, np.ndarray):
        return np.ascontiguousarray(found.transpose(0, 2, 1)).reshape(len(found), 3 * count)
    places = found.indices // 3 + found.indices % 3 * count
    return sparse.csr_array((found.data, places, found.indptr), shape=found.shape)
