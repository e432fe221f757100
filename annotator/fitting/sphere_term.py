"""Self-penetration in torch: the readable twin of `kernels_spheres.py`, differentiable in shape and pose.

It walks the joints of the body itself, so it needs neither a mesh nor the points of a problem; turning and moving the body as
a whole changes no distance, so it leaves both out.

Legend: N people, J joints, S spheres.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from annotator.bodies.files import BodyModelData
from annotator.fitting.attachments import rest_joints
from annotator.fitting.spheres import BODY_JOINTS, Spheres, spheres_of
from annotator.rotations import axis_angle_to_matrix

_NEAREST_SQUARED = 1e-12


def spheres_in(body: BodyModelData, penetration: float) -> SphereCentres | None:
    """The spheres of a body where self-penetration weighs anything and the body has some."""
    spheres = spheres_of(body) if penetration > 0 else None
    return SphereCentres(body, spheres) if spheres is not None else None


class SphereCentres(nn.Module):
    """Where the spheres of a body are, from its root joint, turned as the root is at rest."""

    bones: Tensor
    bone_shapes: Tensor
    joint: Tensor
    child: Tensor
    share: Tensor
    lever: Tensor
    pairs: Tensor
    reach: Tensor

    def __init__(self, body: BodyModelData, spheres: Spheres) -> None:
        super().__init__()
        self.parents = [int(parent) for parent in body.parents[:BODY_JOINTS]]
        joints, shapes = rest_joints(body)
        above = np.maximum(self.parents, 0)
        arrays = {
            "bones": joints[:BODY_JOINTS] - joints[above],
            "bone_shapes": shapes[:BODY_JOINTS] - shapes[above],
            **{name: getattr(spheres, name) for name in ("joint", "child", "share", "lever", "pairs", "reach")},
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.as_tensor(values), persistent=False)

    def forward(self, decoded: Mapping[str, Tensor]) -> Tensor:
        """`(N, S, 3)` metres, from parameters by the smplx package's names."""
        shape = decoded["betas"]
        if "expression" in decoded:
            shape = torch.cat([shape, decoded["expression"]], dim=1)
        bones = self.bones + torch.einsum("jcs,ns->njc", self.bone_shapes[..., : shape.shape[1]], shape)
        pose = decoded["body_pose"].unflatten(1, (-1, 3))[:, : BODY_JOINTS - 1]
        local = axis_angle_to_matrix(pose)
        turns = [torch.eye(3, dtype=local.dtype, device=local.device).expand(len(local), 3, 3)]
        places = [torch.zeros_like(bones[:, 0])]
        for j in range(1, BODY_JOINTS):
            above = turns[self.parents[j]]
            places.append(places[self.parents[j]] + (above @ bones[:, j, :, None])[..., 0])
            turns.append(above @ local[:, j - 1])
        turn, place = torch.stack(turns, dim=1), torch.stack(places, dim=1)
        start, end = place[:, self.joint], place[:, self.child]
        levers = (turn[:, self.joint] @ self.lever[..., None])[..., 0]
        return start + self.share[:, None] * (end - start) + levers

    def term(self, decoded: Mapping[str, Tensor]) -> Tensor:
        """`(N,)` sum of the squared overlaps of its pairs, square metres."""
        return overlap_term(self(decoded), self.pairs, self.reach)


def overlap_term(centres: Tensor, pairs: Tensor, reach: Tensor) -> Tensor:
    """`(N, S, 3)` centres -> `(N,)` sum over pairs of max(0, reach - distance)^2; `pairs` is `(P, 2)`, `reach` `(P,)` metres."""
    away = centres[:, pairs[:, 0]] - centres[:, pairs[:, 1]]
    distance = (away.square().sum(dim=-1) + _NEAREST_SQUARED).sqrt()
    return (reach - distance).clamp(min=0).square().sum(dim=-1)
