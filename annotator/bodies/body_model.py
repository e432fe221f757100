"""A body model in torch: batched, with gradients, as a full mesh or only as the points that a loss needs.

The points of a loss touch a few hundred vertices, so template, blend shapes and skinning are kept for those rows alone, and
joints are an affine function of shape. Every skinning weight of the file counts. Equal to the smplx package and to its
numpy sister `posing.py`. On the CPU in float32 the work is done by compiled loops (`compiled.py`), elsewhere by torch.

Legend: `...` any batch shape, B all of it flattened, J joints, U vertices evaluated, K points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from annotator.bodies.compiled import CompiledBody, Rows, usable
from annotator.bodies.compiled import axis_angle_to_matrix as quick_matrices
from annotator.bodies.files import BodyModelData
from annotator.bodies.points import NECK_JOINT, PointMap
from annotator.bodies.posing import full_pose_parts, rest_pose, tree_levels, widths_of
from annotator.bodies.skinning import MANY, QuickMesh
from annotator.rotations import axis_angle_to_matrix

CONTOUR_ROWS = 39
"""Rows of the contour table on each side of the frontal one: one a degree of the neck's yaw."""


@dataclass(frozen=True)
class BodyOutput:
    """Bodies, in metres.

    Attributes:
        joints: `(..., J, 3)` kinematic joints. rotations: `(..., J, 3, 3)` their global rotations.
        points: `(..., K, 3)`, those of all maps one after the other.
        vertices: `(..., V, 3)`, or None where only points are evaluated.
        contour: `(..., 17, 3)` the face's contour at the neck's yaw, or None where it was not asked for.
    """

    joints: Tensor
    rotations: Tensor
    points: Tensor
    vertices: Tensor | None = None
    contour: Tensor | None = None


def select_points(point_map: PointMap, rows: np.ndarray) -> PointMap:
    """Some rows of a point map."""
    return PointMap(point_map.joint_weights[rows], point_map.vertex_weights[rows])


class BodyModel(nn.Module):
    """One body model.

    Args:
        data: the arrays.
        maps: point maps; their points come out one after the other.
        vertices: whether to evaluate the full mesh.
        contour: whether to evaluate the face's contour at the neck's yaw.
        flat_hand_mean: True: zero hand pose is the flat hand; parameters of fits here belong to False, the mean hand.

    Raises:
        ValueError: `contour` of a model that has none.
    """

    template: Tensor
    blend: Tensor
    skin: Tensor
    joint_template: Tensor
    joint_shapes: Tensor
    joint_weights: Tensor
    point_vertices: Tensor
    point_weights: Tensor
    contour_vertices: Tensor
    contour_weights: Tensor
    rest_pose: Tensor

    def __init__(
        self,
        data: BodyModelData,
        maps: Sequence[PointMap] = (),
        *,
        vertices: bool = False,
        contour: bool = False,
        flat_hand_mean: bool = False,
    ) -> None:
        super().__init__()
        self.family, self.parents = data.family, data.parents.tolist()
        self.levels: list[list[int]] = [level.tolist() for level in tree_levels(data.parents)]
        self._widths, self._pose = widths_of(data), full_pose_parts(data.family)
        self._neck = NECK_JOINT.get(data.family, 0)
        self.full, self.contour = vertices, contour
        self._compiled: CompiledBody | None = None
        self._mesh: QuickMesh | None = None
        of_points = np.unique(np.concatenate([np.zeros(0, np.int64), *(m.vertex_ids for m in maps)]))
        of_contour = _contour_vertices(data) if contour else np.zeros((0, 17, 3), np.int64)
        used = np.arange(len(data.v_template)) if vertices else np.union1d(of_points, of_contour)
        arrays = _rows(data, used) | {
            "joint_weights": np.concatenate([np.zeros((0, len(self.parents))), *(m.joint_weights for m in maps)]),
            "point_weights": np.concatenate(
                [np.zeros((0, len(of_points))), *(m.vertex_weights[:, of_points].toarray() for m in maps)]
            ),
            "contour_weights": data.landmarks.contour_bary if contour and data.landmarks else np.zeros((0, 17, 3)),
            "rest_pose": rest_pose(data, flat_hand_mean=flat_hand_mean),
        }
        for name, values in arrays.items():
            self.register_buffer(
                name, torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32), persistent=False
            )
        for name, ids in (("point_vertices", of_points), ("contour_vertices", of_contour)):
            self.register_buffer(name, torch.as_tensor(np.searchsorted(used, ids)), persistent=False)

    def forward(self, parameters: Mapping[str, Tensor]) -> BodyOutput:
        """Poses people.

        Args:
            parameters: `(..., d)` by the smplx package's names (`posing.widths_of`); axis-angle in radians, hand
                pose without the mean, `transl` in metres. Those not named are zeros.

        Raises:
            ValueError: there is none, a name is unknown to the family, or a width is wrong.
        """
        pose, shape, transl = self._gathered(parameters)
        quick = usable(pose, self.template)
        turn = _turned_quickly if quick else axis_angle_to_matrix
        return self.turned(turn(pose), shape, transl=transl)

    def turned(self, rotations: Tensor, shape: Tensor, *, transl: Tensor | None = None) -> BodyOutput:
        """Poses people from rotation matrices.

        Args:
            rotations: `(..., R, 3, 3)` of the first R joints, local; those after them are at rest (hands at their mean).
            shape: `(..., S)` betas, or betas and expression.
            transl: `(..., 3)` metres, or None.

        Raises:
            ValueError: a shape is wrong, or numbers are of another type than the model's.
        """
        self._require(rotations, shape, transl)
        batch, count = rotations.shape[:-3], rotations.shape[-3]
        rotations, shape = rotations.reshape(-1, count, 3, 3), shape.reshape(batch.numel(), shape.shape[-1])
        if count < len(self.parents):
            rest = axis_angle_to_matrix(self.rest_pose[count:]).expand(len(rotations), -1, -1, -1)
            rotations = torch.cat([rotations, rest], dim=1)
        moved = None if transl is None else transl.reshape(-1, 3).expand(len(rotations), 3)
        with torch.autocast(self.template.device.type, enabled=False):
            joints, turned, points, skinned = self._posed(rotations, shape, moved)
        contour = self._contour(turned, skinned) if self.contour else None

        def back(values: Tensor) -> Tensor:
            return values.reshape(*batch, *values.shape[1:])

        return BodyOutput(
            back(joints),
            back(turned),
            back(points),
            back(skinned) if self.full else None,
            back(contour) if contour is not None else None,
        )

    def _gathered(self, parameters: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Full pose `(..., J, 3)` with the mean hands added, shape and translation."""
        if not parameters:
            raise ValueError("no parameter was given, so nothing says how many people there are")
        first, widths = next(iter(parameters.values())), self._widths
        for name, values in parameters.items():
            if values.shape[-1] != widths.get(name):
                raise ValueError(
                    f"{name} has {values.shape[-1]} numbers, expecting {widths.get(name, 'no such parameter')}"
                )
            if values.shape[:-1] != first.shape[:-1]:
                raise ValueError(f"{name} is of {tuple(values.shape[:-1])} people, others of {tuple(first.shape[:-1])}")

        def take(name: str, width: int) -> Tensor:
            return parameters[name] if name in parameters else first.new_zeros(*first.shape[:-1], width)

        pose = torch.cat([take(name, width) for name, width in self._pose], dim=-1).unflatten(-1, (-1, 3))
        shape = [take(name, widths[name]) for name in ("betas", "expression") if name in widths]
        return pose + self.rest_pose, torch.cat(shape, dim=-1), parameters.get("transl")

    def _require(self, rotations: Tensor, shape: Tensor, transl: Tensor | None) -> None:
        batch, most = rotations.shape[:-3], self.joint_shapes.shape[2]
        if rotations.ndim < 3 or rotations.shape[-2:] != (3, 3) or rotations.shape[-3] > len(self.parents):
            raise ValueError(f"rotations have shape {tuple(rotations.shape)}, expecting (..., R, 3, 3)")
        if shape.shape[:-1] != batch or shape.shape[-1] > most:
            raise ValueError(f"shape has shape {tuple(shape.shape)}, expecting {(*batch, most)} or fewer numbers")
        if transl is not None and transl.shape[-1] != 3:
            raise ValueError(f"transl has shape {tuple(transl.shape)}, expecting {(*batch, 3)}")
        for name, values in (("rotations", rotations), ("shape", shape), ("transl", transl)):
            if values is not None and values.dtype != self.template.dtype:
                raise ValueError(
                    f"{name} are {values.dtype}, and this model is {self.template.dtype}; convert one of them"
                )

    def _posed(self, rotations: Tensor, shape: Tensor, transl: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Joints, their global rotations, points, and the vertices evaluated: the quickest way that may be taken."""
        inputs = [rotations, shape] + ([] if transl is None else [transl])
        if usable(*inputs, self.template):
            body = self._compiled = self._compiled or self._arrays_for_loops()
            wants_gradients = torch.is_grad_enabled() and any(values.requires_grad for values in inputs)
            if self.full and not wants_gradients and len(rotations) >= MANY:
                mesh = self._mesh = self._mesh or QuickMesh(body)
                return mesh.posed(rotations, shape, transl)
            posed = body.posed(rotations, shape)
        else:
            posed = self._plainly(rotations, shape)
        return posed if transl is None else self._moved(posed, transl[:, None])

    def _moved(self, posed: tuple[Tensor, ...], offset: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        joints, turned, points, skinned = posed
        sums = self.joint_weights.sum(dim=1) + self.point_weights.sum(dim=1)  # 0 of points that are not present
        return joints + offset, turned, points + sums[:, None] * offset, skinned + offset

    def _arrays_for_loops(self) -> CompiledBody:
        used = len(self.template)
        of_vertices = sparse.csr_array(self.point_weights.numpy())
        places = self.point_vertices.numpy()[of_vertices.indices]
        return CompiledBody(
            parents=np.array(self.parents, np.int32),
            joint_template=self.joint_template.flatten(),
            joint_shapes=self.joint_shapes.flatten(0, 1).T.contiguous(),
            template=self.template.flatten(),
            blend=self.blend,
            skin=Rows.of(self.skin.numpy()),
            of_joints=Rows.of(self.joint_weights.numpy()),
            of_vertices=Rows.of(
                sparse.csr_array((of_vertices.data, places, of_vertices.indptr), shape=(len(self.point_weights), used))
            ),
            plain=self._plainly,
        )

    def _plainly(self, local: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same by torch alone: on any device, in any precision, to any order of differentiation."""
        rest_joints = self.joint_template + torch.einsum("jcs,bs->bjc", self.joint_shapes[..., : shape.shape[1]], shape)
        turned, joints = self._chain(local, rest_joints)
        feature = (local[:, 1:] - torch.eye(3, device=local.device, dtype=local.dtype)).flatten(1)
        offsets = joints - (turned @ rest_joints[..., None])[..., 0]
        transforms = torch.cat([turned, offsets[..., None]], dim=-1).flatten(2)
        blend = torch.cat([self.blend[: shape.shape[1]], self.blend[self.joint_shapes.shape[2] :]])
        rest = self.template + (torch.cat([shape, feature], dim=1) @ blend).unflatten(1, (len(self.template), 3))
        blended = (self.skin @ transforms).unflatten(2, (3, 4))
        skinned = (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]
        points = self.joint_weights @ joints + self.point_weights @ skinned[:, self.point_vertices]
        return joints, turned, points, skinned

    def _chain(self, local: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Global rotations and places of the joints, level by level of the tree."""
        turned: list[Tensor] = [local[:, 0]] * len(self.parents)
        placed: list[Tensor] = [rest[:, 0]] * len(self.parents)
        for level in self.levels[1:]:
            above = [self.parents[joint] for joint in level]
            parent_turn = torch.stack([turned[p] for p in above], dim=1)
            turn = parent_turn @ local[:, level]
            bone = (rest[:, level] - rest[:, above])[..., None]
            place = torch.stack([placed[p] for p in above], dim=1) + (parent_turn @ bone)[..., 0]
            for column, joint in enumerate(level):
                turned[joint], placed[joint] = turn[:, column], place[:, column]
        return torch.stack(turned, dim=1), torch.stack(placed, dim=1)

    def _contour(self, turned: Tensor, skinned: Tensor) -> Tensor:
        """`(B, 17, 3)`: the row of the table is the yaw of the neck in whole degrees, clamped to 39 either way."""
        neck = turned[:, self._neck].detach()
        yaw = torch.rad2deg(torch.atan2(neck[:, 2, 0], (neck[:, 0, 0] ** 2 + neck[:, 1, 0] ** 2).sqrt()))
        degrees = torch.round(yaw.clamp(max=CONTOUR_ROWS)).long()
        row = torch.where(degrees < 0, CONTOUR_ROWS - degrees.clamp_min(-CONTOUR_ROWS), degrees)
        people = torch.arange(len(skinned), device=skinned.device)[:, None, None]
        corners = skinned[people, self.contour_vertices[row]]
        return (corners * self.contour_weights[row][..., None]).sum(dim=-2)


def _turned_quickly(vectors: Tensor) -> Tensor:
    return quick_matrices(vectors, axis_angle_to_matrix)


def _rows(data: BodyModelData, used: np.ndarray) -> dict[str, np.ndarray]:
    shapes = np.concatenate([data.shapedirs, data.exprdirs], axis=2)
    count = shapes.shape[2]
    joint_shapes = data.joint_regressor @ shapes.reshape(len(shapes), 3 * count)
    return {
        "template": data.v_template[used],
        "blend": np.concatenate([shapes[used].reshape(3 * len(used), count).T, _correctives(data, used)]),
        "skin": data.weights[used].toarray(),
        "joint_template": data.joint_regressor @ data.v_template,
        "joint_shapes": joint_shapes.reshape(len(data.parents), 3, count),
    }


def _correctives(data: BodyModelData, used: np.ndarray) -> np.ndarray:
    """`(9 (J - 1), 3 U)` pose correctives of some vertices."""
    if isinstance(data.posedirs, np.ndarray):
        return data.posedirs[:, used].reshape(len(data.posedirs), 3 * len(used))
    return data.posedirs[:, (3 * used[:, None] + np.arange(3)).ravel()].toarray()


def _contour_vertices(data: BodyModelData) -> np.ndarray:
    """`(79, 17, 3)` corners of the triangles of every row of the contour."""
    if data.landmarks is None or not len(data.landmarks.contour_faces):
        raise ValueError(f"the {data.family} model has no contour")
    return data.landmarks.faces[data.landmarks.contour_faces].astype(np.int64)
