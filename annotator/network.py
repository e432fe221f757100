"""NeuralAnnot: image feature (+ pose feature) -> body-model parameters of one part (paper, sections 3 and 4).

Networks work in the crop frame: a virtual camera looks through the crop's centre. All hands are right hands here.

Legend: B people, J joints of the GT 3D pose, K labelled 2D points, L local rotations, R = 1 + L, S shape numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from annotator.backbone import Backbone
from annotator.bodies.files import BodyModelData
from annotator.camera import BODY_SPAN, VIRTUAL_FOCAL, VIRTUAL_SIZE
from annotator.part import BODY, Part
from annotator.prior import LATENT, HandPca, PosePrior
from annotator.rotations import axis_angle_to_matrix, matrix_to_sixd, sixd_to_matrix

_POSE_FEATURE = 512
_IDENTITY_6D = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_FACING_6D = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Upright and facing the camera: y up turned to y down."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of a batch.

    Attributes:
        rotations: `(B, R, 3, 3)` root, then local rotations (21 of a body, 15 of a hand, the jaw of a face).
        betas: `(B, S)`; of a face its expression after them.
        latent: `(B, Z)` low-dimensional pose, or None where rotations are predicted directly.
        sixd: `(B, L, 6)` where they are, else None. rest: likewise of the pose at rest; None is no rotation anywhere.
        transl: `(B, 3)` metres, or None from the auxiliary network, which has no camera.
    """

    rotations: Tensor
    betas: Tensor
    latent: Tensor | None = None
    sixd: Tensor | None = None
    transl: Tensor | None = None
    rest: Tensor | None = None


class HandDecoder(nn.Module):
    """MANO's pose space: `(B, Z)` coefficients of its components about the mean hand -> 15 rotations."""

    mean: Tensor

    def __init__(self, components: Tensor, mean: Tensor, count: int) -> None:
        super().__init__()
        self.pca = HandPca(components, count)
        self.width = count
        self.register_buffer("mean", mean.clone())

    def decode(self, coefficients: Tensor) -> Tensor:
        """`(B, Z)` -> `(B, 15, 3, 3)`; zeros are the mean hand."""
        return axis_angle_to_matrix((self.pca.decode(coefficients) + self.mean).unflatten(1, (-1, 3)))


def hand_decoder(hand: BodyModelData, count: int) -> HandDecoder:
    """The first components of a hand model."""
    components, mean = hand.hand_components[hand.side], hand.hand_mean[hand.side]
    return HandDecoder(torch.as_tensor(components), torch.as_tensor(mean), count)


def rest_sixd(part: Part, model: BodyModelData | None = None) -> Tensor:
    """`(L, 6)` of the pose at rest: the mean hand, no rotation elsewhere."""
    if model is None or part.family != "mano":
        return torch.tensor(_IDENTITY_6D).repeat(len(part.joints), 1)
    mean = torch.as_tensor(model.hand_mean[model.side]).unflatten(0, (-1, 3))
    return matrix_to_sixd(axis_angle_to_matrix(mean))


class PoseFeature(nn.Sequential):
    """A pose as the network sees it: `(B, n, d)` whose last number is validity -> `(B, 512)`, by two layers.

    Points that are missing are masked, and the validity is an input, so that they are not guessed to be at the root.

    Args:
        scale: of the coordinates, so that a hand's are as large as a body's.
    """

    def __init__(self, points: int, numbers: int, *, scale: float = 1.0) -> None:
        super().__init__(
            *(nn.Linear(numbers * points, _POSE_FEATURE), nn.ReLU(), nn.Linear(_POSE_FEATURE, _POSE_FEATURE), nn.ReLU())
        )
        self._scale = scale

    def forward(self, pose: Tensor) -> Tensor:  # type: ignore[override]  # named for what it is
        """The feature."""
        masked = torch.cat([self._scale * pose[..., :-1] * pose[..., -1:], pose[..., -1:]], dim=-1)
        return super().forward(masked.flatten(1))


class AuxiliaryNetwork(nn.Module):
    """For data sets with GT 3D pose: F and a 512-d feature of the pose -> one layer -> parameters (paper 3.1).

    Args:
        backbone: None: the network sees the 3D pose alone (Figure 4).
        joints: J; the pose comes with a validity per joint, so missing joints are masked, not guessed.
        rest: `(L, 6)` of the part's pose at rest; networks begin with it.
    """

    rest: Tensor

    def __init__(
        self, backbone: Backbone | None, joints: int, part: Part = BODY, *, rest: Tensor | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pose = PoseFeature(joints, 4, scale=BODY_SPAN / part.span)
        self._part = part
        rest = rest_sixd(part) if rest is None else rest
        self.register_buffer("rest", rest, persistent=False)
        width = backbone.width if backbone is not None else 0
        self.head = nn.Linear(width + _POSE_FEATURE, 6 + rest.numel() + part.shape_width)
        _begin(self.head, part, rest.flatten(), part.shape_width)

    def forward(self, crops: Tensor, pose: Tensor) -> Prediction:
        """`crops` `(B, 3, S, S)`; `pose` `(B, J, 4)` root-relative metres in the crop frame and validity."""
        features = [self.pose(pose)] if self.backbone is None else [self.backbone(crops), self.pose(pose)]
        out = self.head(torch.cat(features, dim=1))
        sixd, betas = out[:, 6:].split([self.rest.numel(), self._part.shape_width], dim=1)
        sixd = sixd.unflatten(1, (-1, 6))
        rotations = torch.cat([sixd_to_matrix(out[:, None, :6]), sixd_to_matrix(sixd)], dim=1)
        return Prediction(rotations, betas, sixd=sixd, rest=self.rest.expand_as(sixd))


class TargetNetwork(nn.Module):
    """For data sets in the wild: F -> root rotation, pose, shape, camera (paper 3.2). The pose space is frozen.

    Args:
        backbone: None: the network sees the labelled 2D pose alone (Table 2).
        prior: decodes the low-dimensional pose; None: 6D rotations are predicted directly (the supplement's Table 11).
        rest: `(L, 6)` of the part's pose at rest; networks without a prior begin with it.
        slots: `(K,)` place of each labelled point in the 2D pose that the network sees; None: it sees none.
    """

    rest: Tensor
    slots: Tensor

    def __init__(
        self,
        backbone: Backbone | None,
        prior: PosePrior | HandDecoder | None,
        part: Part = BODY,
        *,
        rest: Tensor | None = None,
        slots: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.prior = prior.requires_grad_(False) if prior is not None else None
        self._part = part
        rest = rest_sixd(part) if rest is None else rest
        self.register_buffer("rest", rest, persistent=False)
        self.register_buffer(
            "slots", torch.as_tensor([] if slots is None else slots, dtype=torch.int64), persistent=False
        )
        self._points = int(slots.max()) + 1 if slots is not None else 0
        self.pose = PoseFeature(self._points, 3) if slots is not None else None
        self._latent = rest.numel() if prior is None else getattr(prior, "width", LATENT)
        width = (backbone.width if backbone is not None else 0) + (_POSE_FEATURE if slots is not None else 0)
        self.head = nn.Linear(width, 6 + self._latent + part.shape_width + 3)
        begin = rest.flatten() if prior is None else torch.zeros(self._latent)
        _begin(self.head, part, begin, part.shape_width + 3)

    def train(self, mode: bool = True) -> TargetNetwork:
        """Like any module, but the prior always decodes as in evaluation."""
        super().train(mode)
        if self.prior is not None:
            self.prior.eval()
        return self

    def forward(self, crops: Tensor, pixels: Tensor | None = None) -> Prediction:
        """`crops` `(B, 3, S, S)` uint8; `pixels` `(B, K, 3)` px of the 256 crop and confidence, where they are seen."""
        out = self.head(self._feature(crops, pixels))
        numbers, betas, k = out[:, 6:].split([self._latent, self._part.shape_width, 3], dim=1)
        transl = torch.stack([k[:, 0], k[:, 1], torch.sigmoid(k[:, 2]) * self._part.max_depth], dim=1)
        root = sixd_to_matrix(out[:, None, :6])
        if self.prior is not None:
            rotations = torch.cat([root, self.prior.decode(numbers)], dim=1)
            return Prediction(rotations, betas, latent=numbers, transl=transl)
        sixd = numbers.unflatten(1, (-1, 6))
        rotations = torch.cat([root, sixd_to_matrix(sixd)], dim=1)
        return Prediction(rotations, betas, sixd=sixd, transl=transl, rest=self.rest.expand_as(sixd))

    def _feature(self, crops: Tensor, pixels: Tensor | None) -> Tensor:
        features = [self.backbone(crops)] if self.backbone is not None else []
        if self.pose is not None:
            assert pixels is not None, "a network that sees the 2D pose is given it"
            features.append(self.pose(self._seen(pixels)))
        return torch.cat(features, dim=1) if len(features) > 1 else features[0]

    def _seen(self, pixels: Tensor) -> Tensor:
        """`(B, P, 3)` labelled points in half crops from its centre, and whether they are labelled."""
        valid = (pixels[..., 2:] > 0).to(pixels.dtype)
        labelled = torch.cat([(pixels[..., :2] / (VIRTUAL_SIZE / 2) - 1) * valid, valid], dim=-1)
        seen = pixels.new_zeros(len(pixels), self._points, 3)
        return seen.index_add(1, self.slots, labelled)


def _begin(head: nn.Linear, part: Part, pose: Tensor, others: int) -> None:
    """Small weights, and a bias that says: facing the camera, at rest, the mean shape."""
    nn.init.normal_(head.weight, std=0.01)
    with torch.no_grad():
        root = torch.tensor(_FACING_6D if part.facing else _IDENTITY_6D)
        head.bias.copy_(torch.cat([root, pose, torch.zeros(others)]))


def project_to_crop(points: Tensor, transl: Tensor) -> Tensor:
    """`(B, K, 3)` metres and `(B, 3)` -> `(B, K, 2)` px of the 256 crop, through the virtual camera."""
    placed = points + transl[:, None]
    return placed[..., :2] / placed[..., 2:].clamp_min(0.1) * VIRTUAL_FOCAL + VIRTUAL_SIZE / 2
