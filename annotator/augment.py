"""Augmentation: crops and all that they teach, changed alike. Off by default, as in the paper; the recipe says what of it is wanted.

A crop is moved, turned about its centre, made larger or smaller, mirrored and tinted. It is the crop that is changed, not
the photo, so what it did not show is black. Every change depends on the seed, the step and the person alone: neither the
number of processes nor the rest of the batch has a say.

Legend: B people, K labelled 2D points, J 3D joints, R rotations (root first), S side of the crop in px.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from annotator.batches import mirrored_crops, mirrored_lessons
from annotator.bodies.anatomy import SMPLX_JOINTS
from annotator.camera import VIRTUAL_SIZE, Camera, Crop, crop_from_camera
from annotator.recipe import PartRecipe
from annotator.skeleton import Skeleton
from annotator.taught import TaughtPoints

_STREAM = 47
_DRAWS = 8
_CENTER = VIRTUAL_SIZE / 2


@dataclass(frozen=True)
class Changes:
    """How the crops of some people are changed.

    Attributes:
        affine: `(B, 2, 3)` px of the changed 256 crop from px of the crop.
        turn: `(B, 3, 3)` frame of the changed crop from that of the crop.
        gain: `(B, 3)` of red, green and blue.
        flip: `(B,)` whether the changed crop is mirrored in the end, and everybody's left and right with it.
    """

    affine: np.ndarray
    turn: np.ndarray
    gain: np.ndarray
    flip: np.ndarray

    def of_crops(self, crops: np.ndarray) -> np.ndarray:
        """`(B, S, S, 3)` uint8 crops, changed."""
        size = crops.shape[1]
        out = np.empty_like(crops)
        for place, crop in enumerate(crops):
            affine = self.affine[place].copy()
            affine[:, 2] *= size / VIRTUAL_SIZE
            moved = crop if np.array_equal(affine, _STILL) else cv2.warpAffine(crop, affine, (size, size))
            tinted = (self.gain[place] != 1).any()
            out[place] = np.clip(np.rint(moved * self.gain[place]), 0, 255) if tinted else moved
        out[self.flip] = mirrored_crops(out[self.flip])
        return out

    def of_lessons(self, points: TaughtPoints, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the changed crops teach (columns of `losses.Targets`)."""
        out = dict(columns)
        out["pixels"] = columns["pixels"].copy()
        out["pixels"][..., :2] = columns["pixels"][..., :2] @ np.swapaxes(self.affine[:, :, :2], 1, 2)
        out["pixels"][..., :2] += self.affine[:, None, :, 2]
        out["joints"] = columns["joints"].copy()
        out["joints"][..., :3] = columns["joints"][..., :3] @ np.swapaxes(self.turn, 1, 2)
        out["rotations"] = columns["rotations"].copy()
        out["rotations"][:, 0] = self.turn @ columns["rotations"][:, 0]
        if self.flip.any():
            rows = np.flatnonzero(self.flip)
            twins = mirrored_lessons({name: out[name][rows] for name in ("pixels", "joints", "rotations")})
            out["pixels"][rows] = twins["pixels"][:, _twins([(s, points.rows(s)) for s in points.skeletons])]
            out["joints"][rows] = twins["joints"][:, _twins([(s, np.arange(len(s))) for s in points.joint_skeletons])]
            out["rotations"][rows] = twins["rotations"][:, _ROTATION_TWINS]
        return out


_STILL = np.eye(2, 3)


def drawn_changes(recipe: PartRecipe, keys: Sequence[str], step: int, crop: Crop, camera: Camera) -> Changes:
    """The changes of these people at a step.

    Args:
        keys: of their samples. crop, camera: `(B, ...)` of them; the camera is that in which their 3D lies.
    """
    draws = np.stack([_uniform(recipe.seed, step, key) for key in keys])
    scale = 1 + recipe.augment_scale * draws[:, 0]
    angle = np.deg2rad(recipe.augment_rotation) * draws[:, 1]
    shift = VIRTUAL_SIZE * recipe.augment_translation * draws[:, 2:4]
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    linear = scale[:, None, None] * rotation
    # The point that comes to the centre is the centre less the shift; the rest is turned and scaled about it.
    center = _CENTER - shift
    affine = np.concatenate([linear, (_CENTER - np.einsum("bij,bj->bi", linear, center))[..., None]], axis=-1)
    turn = np.tile(np.eye(3), (len(keys), 1, 1))
    turn[:, :2, :2] = rotation
    if recipe.frame == "crop" and recipe.augment_translation:
        moved = Crop(crop.origin + center * (crop.side / VIRTUAL_SIZE)[:, None], crop.side)
        turn = turn @ crop_from_camera(camera, moved) @ np.swapaxes(crop_from_camera(camera, crop), -1, -2)
    flip = (draws[:, 7] + 1) / 2 < recipe.augment_flip
    return Changes(affine, turn, 1 + recipe.augment_colour * draws[:, 4:7], flip)


def _uniform(seed: int, step: int, key: str) -> np.ndarray:
    """Numbers from -1 to 1; each field has places of its own, so that one more of them changes no other."""
    return np.random.default_rng([seed, _STREAM, step, zlib.crc32(key.encode())]).uniform(-1, 1, _DRAWS)


def _twins(sets: Sequence[tuple[Skeleton, np.ndarray]]) -> np.ndarray:
    """Of points that are those of several skeletons one after the other: the index of each one's twin on the other side."""
    found: list[int] = []
    for skeleton, rows in sets:
        start, place = len(found), {row: place for place, row in enumerate(rows.tolist())}
        found += [start + place[twin] for twin in skeleton.mirror[rows].tolist()]
    return np.array(found, np.int64)


def _rotation_twins() -> np.ndarray:
    """`(22,)` of a body's root and 21 joints: the place of each one's twin."""
    names = {joint: name for name, joint in SMPLX_JOINTS.items() if joint < 22}
    swapped = {"left": "right", "right": "left"}
    sides = {joint: name.partition("_") for joint, name in names.items()}
    twins = {j: SMPLX_JOINTS[f"{swapped[s]}_{rest}"] if s in swapped else j for j, (s, _, rest) in sides.items()}
    return np.array([twins[joint] for joint in range(22)], np.int64)


_ROTATION_TWINS = _rotation_twins()
