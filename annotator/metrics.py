"""The numbers of docs/CONVENTIONS.md: joint and vertex errors in mm, 2D errors in px of the 256 crop and of the image.

Every function works over any leading batch shape and returns one number per person; averaging is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotator.camera import VIRTUAL_SIZE, Crop

MM = 1000.0


def joint_error_mm(
    predicted: np.ndarray, true: np.ndarray, predicted_root: np.ndarray, true_root: np.ndarray
) -> np.ndarray:
    """Mean distance after moving both roots to the origin (MPJPE for joints, MPVPE for vertices).

    Args:
        predicted, true: `(..., N, 3)` metres.
        predicted_root, true_root: `(..., 3)` the pelvis of each.

    Returns:
        `(...,)` mm.
    """
    difference = (predicted - predicted_root[..., None, :]) - (true - true_root[..., None, :])
    return MM * np.linalg.norm(difference, axis=-1).mean(axis=-1)


def aligned_error_mm(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean distance after the similarity that brings `predicted` nearest to `true` (PA-MPJPE, PA-MPVPE).

    Args:
        predicted, true: `(..., N, 3)` metres.

    Returns:
        `(...,)` mm.
    """
    return MM * np.linalg.norm(similarity_align(predicted, true) - true, axis=-1).mean(axis=-1)


def similarity_align(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """`moving` after the scale, rotation and translation of least squares onto `fixed`; never a reflection.

    If `moving` is a single point all its copies land on `fixed`'s mean.
    """
    return Similarity.of(moving, fixed)(moving)


@dataclass(frozen=True)
class Similarity:
    """Scale `(..., 1, 1)`, rotation `(..., 3, 3)`, and the middles `(..., 1, 3)` that it takes onto each other."""

    scale: np.ndarray
    rotation: np.ndarray
    middle: np.ndarray
    onto: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """`(..., N, 3)` points, moved."""
        return self.scale * ((points - self.middle) @ np.swapaxes(self.rotation, -1, -2)) + self.onto

    @classmethod
    def of(cls, moving: np.ndarray, fixed: np.ndarray) -> Similarity:
        """Of least squares (Umeyama's closed form)."""
        moving_mean, fixed_mean = moving.mean(axis=-2, keepdims=True), fixed.mean(axis=-2, keepdims=True)
        a, b = moving - moving_mean, fixed - fixed_mean
        u, s, vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
        sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
        flip = np.stack([np.ones_like(sign), np.ones_like(sign), sign], axis=-1)
        rotation = np.swapaxes(u * flip[..., None, :] @ vt, -1, -2)
        variance = (a**2).sum(axis=(-1, -2))
        scale = (s * flip).sum(axis=-1) / np.where(variance > 0, variance, 1.0)
        return cls(scale[..., None, None], rotation, moving_mean, fixed_mean)


def error_2d(projected: np.ndarray, keypoints: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """Mean 2D distance over the labelled points.

    Args:
        projected: `(..., N, 2)` px.
        keypoints: `(..., N, 3)` px and confidence; points with confidence 0 do not count.
        crop: of each person.

    Returns:
        `(...,)` px of the 256 crop and `(...,)` image px; NaN where no point is labelled.
    """
    labelled = keypoints[..., 2] > 0
    distance = np.where(labelled, np.linalg.norm(projected - keypoints[..., :2], axis=-1), 0.0)
    count = labelled.sum(axis=-1)
    image_px = np.where(count > 0, distance.sum(axis=-1) / np.maximum(count, 1), np.nan)
    return image_px * VIRTUAL_SIZE / crop.side, image_px
