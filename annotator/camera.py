"""Every pixel and frame convention: pinhole cameras, square crops, the crop frame. Nothing else decides one.

Camera space is x right, y down, z forward, in metres. A pixel's centre is its integer coordinate. `x_from_y` names
a transform that takes y to x. Sources: the authors' sibling code (Pose2Pose) for boxes and the virtual camera; docs/CONVENTIONS.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

CROP_SCALE = 1.25
VIRTUAL_FOCAL = 5000.0
VIRTUAL_SIZE = 256.0
BODY_SPAN = 2.5
"""Metres that fill the crop at the greatest depth of the camera head (S for bodies in the authors' sibling code)."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in full-image pixels: `focal` and `princpt` are `(..., 2)`."""

    focal: np.ndarray
    princpt: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """`(..., N, 3)` in camera space -> `(..., N, 2)` px. A point with z <= 0 has no meaning there."""
        return points[..., :2] / points[..., 2:3] * self.focal[..., None, :] + self.princpt[..., None, :]

    @property
    def matrix(self) -> np.ndarray:
        """`(..., 3, 3)` K."""
        k = np.zeros((*self.focal.shape[:-1], 3, 3))
        k[..., 0, 0], k[..., 1, 1] = self.focal[..., 0], self.focal[..., 1]
        k[..., :2, 2], k[..., 2, 2] = self.princpt, 1.0
        return k

    @classmethod
    def of_matrix(cls, k: np.ndarray) -> Camera:
        """The camera of `(..., 3, 3)` K without skew."""
        return cls(np.stack([k[..., 0, 0], k[..., 1, 1]], axis=-1), np.asarray(k[..., :2, 2]))


@dataclass(frozen=True)
class Crop:
    """A square of the image: `center` `(..., 2)` and `side` `(...,)` in full-image px. It may leave the photo."""

    center: np.ndarray
    side: np.ndarray

    @property
    def origin(self) -> np.ndarray:
        """`(..., 2)` the corner with the least coordinates."""
        return self.center - self.side[..., None] / 2

    def virtual_camera(self) -> Camera:
        """The camera that sees this crop as 256 px with focal length 5000, in full-image px (as the released files do)."""
        focal = VIRTUAL_FOCAL / VIRTUAL_SIZE * self.side
        return Camera(np.stack([focal, focal], axis=-1), self.center)

    def to_crop_px(self, pixels: np.ndarray, size: float = VIRTUAL_SIZE) -> np.ndarray:
        """`(..., N, 2)` full-image px -> px of the crop resized to `size`."""
        return (pixels - self.origin[..., None, :]) * (size / self.side[..., None, None])

    def cut(self, photo: np.ndarray, size: int) -> np.ndarray:
        """The crop of `(H, W, 3)` resized to `(size, size, 3)`; black outside the photo. One crop only.

        Shrinking by more than 2 averages over areas first, so that thin limbs do not alias away.
        """
        scale = size / float(self.side)
        origin = self.origin
        if scale < 0.5:
            step = min(int(1 / scale), *photo.shape[:2])  # a photo may be smaller than its annotations say
            photo, origin, scale = _shrink(photo, origin, step, scale)
        affine = np.array([[scale, 0, -scale * origin[0]], [0, scale, -scale * origin[1]]])
        return cv2.warpAffine(photo, affine, (size, size), flags=cv2.INTER_LINEAR)


def _shrink(photo: np.ndarray, origin: np.ndarray, step: int, scale: float) -> tuple[np.ndarray, np.ndarray, float]:
    # Pixel i of the small photo averages pixels [step * i, step * i + step), so its centre is at step * i + (step - 1) / 2.
    height, width = (photo.shape[0] // step) * step, (photo.shape[1] // step) * step
    small = cv2.resize(photo[:height, :width], (width // step, height // step), interpolation=cv2.INTER_AREA)
    return small, (origin - (step - 1) / 2) / step, scale * step


def crop_of_box(box: np.ndarray, size: np.ndarray, *, drawn: bool) -> Crop:
    """The crop of a person's box: clipped to the photo if people drew it, made square, 1.25 times as large.

    Args:
        box: `(..., 4)` x, y, w, h in px.
        size: `(..., 2)` width and height of the photo.
        drawn: True for boxes that people drew, False for boxes from joints, which are not clipped (as the sibling code).
    """
    box = np.asarray(box, np.float64)
    low, extent = box[..., :2], box[..., 2:]
    if drawn:
        high = np.minimum(np.asarray(size, np.float64) - 1, low + extent - 1)
        low = np.maximum(low, 0.0)
        extent = np.maximum(high - low, 1.0)
    return Crop(low + extent / 2, CROP_SCALE * extent.max(axis=-1))


def crop_from_camera(camera: Camera, crop: Crop) -> np.ndarray:
    """`(..., 3, 3)`: the smallest rotation that takes the ray through the crop's centre to +z.

    Every ray of a pinhole camera has z > 0, so the rotation is unique.
    """
    ray = np.concatenate(
        [(crop.center - camera.princpt) / camera.focal, np.ones((*crop.center.shape[:-1], 1))], axis=-1
    )
    ray = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    x, y, z = ray[..., 0], ray[..., 1], ray[..., 2]
    zero = np.zeros_like(x)
    # v = ray x (0, 0, 1) = (y, -x, 0);  R = I + [v]x + [v]x^2 / (1 + z)
    skew = np.stack([np.stack([zero, zero, -x], -1), np.stack([zero, zero, -y], -1), np.stack([x, y, zero], -1)], -2)
    return np.eye(3) + skew + skew @ skew / (1 + z)[..., None, None]


def solve_translation(
    points: np.ndarray,
    pixels: np.ndarray,
    confidence: np.ndarray,
    camera: Camera,
    *,
    start: np.ndarray,
    steps: int = 20,
    within: float = math.inf,
) -> np.ndarray:
    """Translations that bring `points` onto `pixels`: confidence-weighted least squares in px, by Gauss-Newton.

    Args:
        points: `(B, N, 3)` metres, without translation.
        pixels: `(B, N, 2)`.
        confidence: `(B, N)`; 0 leaves a point out. With fewer than two points `start` is returned.
        camera: fields `(B, 2)`.
        start: `(B, 3)`; a step that would bring a point nearer than a tenth of its depth is halved.
        within: who ends nearer or farther than this factor of his start's depth keeps his start. A pose that is far from
            the one in the photo may fit best as a point at infinity.

    Returns:
        `(B, 3)` metres.
    """
    transl = np.array(start, np.float64)
    solvable = (confidence > 0).sum(axis=-1) >= 2
    for _ in range(steps):
        posed = points + transl[:, None, :]
        depth = np.maximum(posed[..., 2], 1e-3)
        residual = camera.project(np.concatenate([posed[..., :2], depth[..., None]], -1)) - pixels
        jacobian = np.zeros((*posed.shape[:2], 2, 3))
        for axis in (0, 1):
            jacobian[..., axis, axis] = camera.focal[:, None, axis] / depth
            jacobian[..., axis, 2] = -camera.focal[:, None, axis] * posed[..., axis] / depth**2
        weight = confidence[..., None, None]
        normal = np.einsum("bnij,bnik->bjk", jacobian * weight, jacobian) + 1e-9 * np.eye(3)
        step = -np.linalg.solve(normal, np.einsum("bnij,bni->bj", jacobian * weight, residual)[..., None])[..., 0]
        nearest = posed[..., 2].min(axis=-1)
        limit = 0.9 * nearest / np.maximum(-step[:, 2], 1e-12)
        step *= np.where((step[:, 2] < 0) & (limit < 1), np.maximum(limit, 0.1), 1.0)[:, None]
        transl = np.where(solvable[:, None], transl + step, transl)
    if math.isinf(within):
        return transl
    ratio = transl[:, 2] / start[:, 2]
    return np.where(((ratio * within >= 1) & (ratio <= within))[:, None], transl, start)


def between_cameras(to: Camera, of: Camera, crop: Crop) -> np.ndarray:
    """`(..., 3, 3)`: turns what was seen through `of` so that it looks the same through `to`, at the crop's centre.

    Each camera's crop frame is the same place in the photo, so the turn goes through it: a fit made under a virtual
    camera, or under f = 5000 at the image's centre, comes into the photo's own camera frame.
    """
    return np.swapaxes(crop_from_camera(to, crop), -1, -2) @ crop_from_camera(of, crop)
