"""NeuralAnnot: image feature (+ 3D-pose feature) -> body-model parameters (paper, sections 3 and 4).

Networks work in the crop frame: a virtual camera looks through the crop's centre.

Legend: B people, J joints of the GT 3D pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from annotator.backbone import Backbone
from annotator.camera import BODY_SPAN, VIRTUAL_FOCAL, VIRTUAL_SIZE
from annotator.prior import LATENT, PosePrior
from annotator.rotations import sixd_to_matrix

MAX_DEPTH = VIRTUAL_FOCAL * BODY_SPAN / VIRTUAL_SIZE
"""Depth in metres at which `BODY_SPAN` metres fill the crop: the camera head's sigmoid times this is t_z."""
_POSE_FEATURE = 512
_IDENTITY_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_FACING_6D = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Upright and facing the camera: y up turned to y down."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of a batch.

    Attributes:
        rotations: `(B, 22, 3, 3)` root, then 21 local body rotations.
        betas: `(B, 10)`.
        latent: `(B, 32)` z of the prior, or None from the auxiliary network.
        sixd: `(B, 21, 6)` of the auxiliary network, or None.
        transl: `(B, 3)` metres, or None from the auxiliary network, which has no camera.
    """

    rotations: Tensor
    betas: Tensor
    latent: Tensor | None = None
    sixd: Tensor | None = None
    transl: Tensor | None = None


class AuxiliaryNetwork(nn.Module):
    """For data sets with GT 3D pose: F and a 512-d feature of the pose -> one layer -> parameters (paper 3.1).

    Args:
        joints: J; the pose comes with a validity per joint, so missing joints are masked, not guessed.
    """

    def __init__(self, backbone: Backbone, joints: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.pose = nn.Sequential(
            nn.Linear(4 * joints, _POSE_FEATURE), nn.ReLU(), nn.Linear(_POSE_FEATURE, _POSE_FEATURE), nn.ReLU()
        )
        self.head = nn.Linear(backbone.width + _POSE_FEATURE, 6 + 21 * 6 + 10)
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([*_FACING_6D, *(_IDENTITY_6D * 21), *([0.0] * 10)]))

    def forward(self, crops: Tensor, pose: Tensor) -> Prediction:
        """`crops` `(B, 3, S, S)`; `pose` `(B, J, 4)` root-relative metres in the crop frame and validity."""
        masked = torch.cat([pose[..., :3] * pose[..., 3:], pose[..., 3:]], dim=-1)
        feature = torch.cat([self.backbone(crops), self.pose(masked.flatten(1))], dim=1)
        out = self.head(feature)
        sixd = out[:, 6:132].unflatten(1, (21, 6))
        rotations = torch.cat([sixd_to_matrix(out[:, None, :6]), sixd_to_matrix(sixd)], dim=1)
        return Prediction(rotations, out[:, 132:], sixd=sixd)


class TargetNetwork(nn.Module):
    """For data sets in the wild: F -> root rotation, latent pose, shape, camera (paper 3.2). The prior is frozen."""

    def __init__(self, backbone: Backbone, prior: PosePrior) -> None:
        super().__init__()
        self.backbone = backbone
        self.prior = prior.requires_grad_(False)
        self.head = nn.Linear(backbone.width, 6 + LATENT + 10 + 3)
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([*_FACING_6D, *([0.0] * (LATENT + 13))]))

    def train(self, mode: bool = True) -> TargetNetwork:
        """Like any module, but the prior always decodes as in evaluation."""
        super().train(mode)
        self.prior.eval()
        return self

    def forward(self, crops: Tensor) -> Prediction:
        """`crops` `(B, 3, S, S)` uint8."""
        out = self.head(self.backbone(crops))
        latent, betas, k = out[:, 6:38], out[:, 38:48], out[:, 48:]
        rotations = torch.cat([sixd_to_matrix(out[:, None, :6]), self.prior.decode(latent)], dim=1)
        transl = torch.stack([k[:, 0], k[:, 1], torch.sigmoid(k[:, 2]) * MAX_DEPTH], dim=1)
        return Prediction(rotations, betas, latent=latent, transl=transl)


def project_to_crop(points: Tensor, transl: Tensor) -> Tensor:
    """`(B, K, 3)` metres and `(B, 3)` -> `(B, K, 2)` px of the 256 crop, through the virtual camera."""
    placed = points + transl[:, None]
    return placed[..., :2] / placed[..., 2:].clamp_min(0.1) * VIRTUAL_FOCAL + VIRTUAL_SIZE / 2
