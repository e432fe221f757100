"""A body model in torch: batched, with gradients, evaluating only the points that a loss needs (house 4.3).

The points of a loss touch a dozen vertices, so template, shapes, pose correctives and skinning are kept for those rows
alone, and joints are an affine function of shape. Equal to the smplx package.

Legend: B people, J joints, U used vertices, K points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import PointMap
from annotator.bodies.posing import axis_angle_to_matrix

BODY_JOINTS = 22
"""Root and the 21 body joints; those after them (jaw, eyes, fingers) are still at rest in a body fit."""


def select_points(point_map: PointMap, rows: np.ndarray) -> PointMap:
    """Some rows of a point map."""
    return PointMap(point_map.joint_weights[rows], point_map.vertex_weights[rows])


class BodyPoints(nn.Module):
    """Joints and named points of posed bodies, hands at their mean.

    Args:
        data: the body model.
        maps: point maps; their points come out one after the other.
    """

    template: Tensor
    shapes: Tensor
    correctives: Tensor
    skin: Tensor
    joint_template: Tensor
    joint_shapes: Tensor
    joint_weights: Tensor
    vertex_weights: Tensor
    rest_rotations: Tensor

    def __init__(self, data: BodyModelData, maps: Sequence[PointMap]) -> None:
        super().__init__()
        used = np.unique(np.concatenate([m.vertex_ids for m in maps]))
        shapedirs, regressor = data.shapedirs, data.joint_regressor
        joint_shapes = (regressor @ shapedirs.reshape(len(shapedirs), -1)).reshape(len(data.parents), 3, -1)
        columns = (3 * used[:, None] + np.arange(3)).ravel()
        arrays = {
            "template": data.v_template[used],
            "shapes": shapedirs[used],
            "correctives": data.posedirs[:, columns].toarray(),
            "skin": data.weights[used].toarray(),
            "joint_template": regressor @ data.v_template,
            "joint_shapes": joint_shapes,
            "joint_weights": np.concatenate([m.joint_weights for m in maps]),
            "vertex_weights": np.concatenate([m.vertex_weights[:, used].toarray() for m in maps]),
            "rest_rotations": _rest_rotations(data),
        }
        for name, values in arrays.items():
            self.register_buffer(
                name, torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32), persistent=False
            )
        self.parents: list[int] = data.parents.tolist()
        self.levels = _levels(self.parents)

    def forward(self, rotations: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Poses people, without translation.

        Args:
            rotations: `(B, 22, 3, 3)` root and local body rotations.
            betas: `(B, 10)`.

        Returns:
            Joints `(B, J, 3)` and points `(B, K, 3)`, metres.
        """
        local = torch.cat([rotations, self.rest_rotations.expand(len(rotations), -1, -1, -1)], dim=1)
        rest_joints = self.joint_template + torch.einsum("jcs,bs->bjc", self.joint_shapes, betas)
        turned, joints = self._chain(local, rest_joints)
        vertices = self._skinned(local, turned, joints, rest_joints, betas)
        return joints, self.joint_weights @ joints + self.vertex_weights @ vertices

    def _chain(self, local: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
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

    def _skinned(self, local: Tensor, turned: Tensor, joints: Tensor, rest_joints: Tensor, betas: Tensor) -> Tensor:
        feature = (local[:, 1:] - torch.eye(3, device=local.device)).flatten(1)
        rest = self.template + torch.einsum("ucs,bs->buc", self.shapes, betas)
        rest = rest + (feature @ self.correctives).unflatten(1, (-1, 3))
        offsets = joints - (turned @ rest_joints[..., None])[..., 0]
        transforms = torch.cat([turned, offsets[..., None]], dim=-1).flatten(2)
        blended = (self.skin @ transforms).unflatten(2, (3, 4))
        return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]


def _rest_rotations(data: BodyModelData) -> np.ndarray:
    """`(J - 22, 3, 3)`: jaw and eyes straight, fingers at the mean hand."""
    pose = np.zeros((len(data.parents) - BODY_JOINTS, 3), np.float32)
    pose[3:18] = data.hand_mean["left"].reshape(15, 3)
    pose[18:33] = data.hand_mean["right"].reshape(15, 3)
    return axis_angle_to_matrix(pose)


def _levels(parents: list[int]) -> list[list[int]]:
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents):
        depth[joint] = depth[parent] + 1 if parent >= 0 else 0
    return [[joint for joint, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
