"""The paper's two losses, term by term: L_ax (section 3.1) and L_tg (section 3.2).

Every mean runs over valid elements alone, so that a rare label weighs as much as a common one (the sibling code divides
by all elements, masked ones too), of all processes together where several train. Rotations are compared as matrices: axis-angle jumps by 2 pi.

Legend: B people, K 2D points, J 3D joints, R rotations (root first), S shape numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from annotator import ranks
from annotator.network import Prediction
from annotator.recipe import PartRecipe


@dataclass(frozen=True)
class Targets:
    """What a batch is taught; a weight of 0 leaves a row or a point out.

    Attributes:
        pixels: `(B, K, 3)` px of the 256 crop and confidence.
        joints: `(B, J, 4)` root-relative metres in the crop frame and validity.
        rotations: `(B, R, 3, 3)` and betas: `(B, S)` of an earlier fit; of a face its expression after the betas.
        imitate: `(B,)` 1 where the earlier fit teaches. regularise: `(B,)` 1 where the regulariser holds (1_tg).
    """

    pixels: Tensor
    joints: Tensor
    rotations: Tensor
    betas: Tensor
    imitate: Tensor
    regularise: Tensor


def masked_l1(predicted: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean |difference| over elements whose weight is positive, weighted by it; 0 if there are none."""
    weight = weight.expand_as(predicted)
    return ((predicted - wanted).abs() * weight).sum() / ranks.mean(weight.sum()).clamp_min(1e-6)


def auxiliary_loss(recipe: PartRecipe, prediction: Prediction, joints: Tensor, targets: Targets) -> dict[str, Tensor]:
    """L_ax = |P3D - P3D*| + lambda theta^2, weighted; `joints` `(B, J, 3)` root-relative metres. Returns terms by name.

    theta is how far the 6D rotations are from the pose at rest: no rotation, or the mean hand.
    """
    size = (_from_rest(prediction) ** 2).mean() + (prediction.betas**2).mean()
    return {
        "3d": recipe.weight_3d * masked_l1(joints, targets.joints[..., :3], targets.joints[..., 3:]),
        "regulariser": recipe.regulariser_auxiliary * size,
    }


def target_loss(
    recipe: PartRecipe, prediction: Prediction, joints: Tensor, pixels: Tensor, targets: Targets
) -> dict[str, Tensor]:
    """L_tg = |P2D - P2D*| + 1_tg lambda theta^2 + (1 - 1_tg)(|P3D - P3D*| + |theta - theta*|), weighted.

    Args:
        joints: `(B, J, 3)` root-relative metres. pixels: `(B, K, 2)` px of the 256 crop.

    The regulariser excludes the root rotation and its weight is relative to that of the 2D loss. Where rotations are
    predicted directly, theta is what it is in L_ax.
    """
    pose = prediction.latent if prediction.latent is not None else _from_rest(prediction)
    size = (pose**2).mean(dim=1) + (prediction.betas**2).mean(dim=1)
    imitate = targets.imitate[:, None]
    return {
        "2d": recipe.weight_2d * masked_l1(pixels, targets.pixels[..., :2], targets.pixels[..., 2:]),
        "3d": recipe.weight_3d * masked_l1(joints, targets.joints[..., :3], targets.joints[..., 3:]),
        "pose": recipe.weight_pose * masked_l1(prediction.rotations, targets.rotations, imitate[..., None, None]),
        "shape": recipe.weight_shape * masked_l1(prediction.betas, targets.betas, imitate),
        "regulariser": recipe.regulariser
        * recipe.weight_2d
        * (size * targets.regularise).sum()
        / ranks.mean(targets.regularise.sum()).clamp_min(1e-6),
    }


def _from_rest(prediction: Prediction) -> Tensor:
    """`(B, 6 L)` how far the 6D rotations are from those of the pose at rest."""
    assert prediction.sixd is not None, "this network predicts rotations directly"
    rest = prediction.rest
    if rest is None:
        rest = torch.tensor([1.0, 0, 0, 0, 1.0, 0], device=prediction.sixd.device)
    return (prediction.sixd - rest).flatten(1)
