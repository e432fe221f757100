"""Who teaches what: GT, earlier fits and verdicts -> targets and weights per sample, in the crop frame, as plain arrays.

Legend: N samples, K 2D points of the loss, J 3D joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import PointMap
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.camera import Camera, Crop, crop_from_camera, crop_of_box
from annotator.fit import Fits
from annotator.recipe import BodyRecipe
from annotator.sample import Samples
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M, Skeleton, loss_points
from annotator.verdict import Verdict

POINT_SETS: tuple[Skeleton, ...] = (COCO_WHOLEBODY, HUMAN36M)
"""Skeletons whose 2D points the body's networks may be taught, in the order of the loss's points."""
JOINTS = len(HUMAN36M)
_CHUNK = 256


@dataclass(frozen=True)
class Lessons:
    """What each sample of one table teaches; see `losses.Targets` for the fields, here as numpy arrays over N.

    Attributes:
        crop: of every sample. turn: `(N, 3, 3)` crop frame from the camera that GT 3D is in; identity without GT 3D.
        roots: `(N, 3)` GT root in camera space, metres; zeros without GT 3D.
    """

    crop: Crop
    turn: np.ndarray
    roots: np.ndarray
    pixels: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    imitate: np.ndarray
    regularise: np.ndarray


def loss_maps(body: BodyModelData) -> list[PointMap]:
    """Point maps of the 2D loss, one per skeleton of `POINT_SETS`; the last is also the 3D pose's."""
    from annotator.bodies.body_model import select_points

    return [select_points(body.points[skeleton.name], loss_points(skeleton, "body")) for skeleton in POINT_SETS]


def lessons(samples: Samples, recipe: BodyRecipe, *, auxiliary: bool) -> Lessons:
    """What a table of samples teaches before there are any fits: its 2D, and its GT 3D turned into the crop frame."""
    count = len(samples)
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    turn = np.tile(np.eye(3), (count, 1, 1))
    roots, joints = np.zeros((count, 3)), np.zeros((count, JOINTS, 4), np.float32)
    if auxiliary and samples.joints is not None:
        if recipe.frame == "crop":
            turn = crop_from_camera(_camera(samples, crop), crop)
        roots = samples.joints[:, 0, :3].astype(np.float64)
        relative = samples.joints[..., :3] - roots[:, None]
        joints[..., :3] = relative @ np.swapaxes(turn, -1, -2)
        joints[..., 3] = samples.joints[..., 3] * samples.joints[:, :1, 3]
    return Lessons(
        crop=crop,
        turn=turn,
        roots=roots,
        pixels=_pixels(samples, crop),
        joints=joints,
        rotations=np.tile(np.eye(3, dtype=np.float32), (count, 22, 1, 1)),
        betas=np.zeros((count, 10), np.float32),
        imitate=np.zeros(count, np.float32),
        regularise=np.full(count, float(not auxiliary), np.float32),
    )


def with_fits(taught: Lessons, samples: Samples, fits: Fits, recipe: BodyRecipe) -> Lessons:
    """`taught` plus the auxiliary fits of its samples as targets (Theta* of the paper)."""
    rotations, betas, found = _fitted(taught, samples, fits, recipe)
    return _replace(taught, rotations, betas, imitate=found.astype(np.float32))


def with_verdicts(
    taught: Lessons,
    samples: Samples,
    fits: Fits,
    verdicts: Mapping[str, Verdict],
    recipe: BodyRecipe,
    body: BodyModelData,
) -> Lessons:
    """What a target set teaches in a later round.

    An accepted fit is imitated in the auxiliary form, with its 3D pose and without the regulariser; a rejected one
    teaches its 2D alone; one that nobody judged, or of which somebody is unsure, follows the recipe's `unseen`.

    Args:
        verdicts: in force, by sample key.
    """
    rotations, betas, found = _fitted(taught, samples, fits, recipe)
    unseen = recipe.unseen == "imitate"
    wanted = [_imitated(verdicts.get(key), unseen) for key in samples.keys]
    imitate = (found & np.array(wanted, bool)).astype(np.float32)
    joints = taught.joints.copy()
    rows = np.flatnonzero(imitate)
    joints[rows] = _joints_of(rotations[rows], betas[rows], body)
    learnt = _replace(taught, rotations, betas, imitate=imitate)
    return replace(learnt, joints=joints, regularise=1 - imitate)


def _imitated(verdict: Verdict | None, unseen: bool) -> bool:
    return unseen if verdict in (None, Verdict.UNSURE) else verdict is Verdict.ACCEPT


def _replace(taught: Lessons, rotations: np.ndarray, betas: np.ndarray, *, imitate: np.ndarray) -> Lessons:
    return replace(taught, rotations=rotations, betas=betas, imitate=imitate)


def _fitted(
    taught: Lessons, samples: Samples, fits: Fits, recipe: BodyRecipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations in the crop frame, betas, and which samples have a fit that did not fail."""
    rows = np.array([fits.index_of.get(key, -1) for key in samples.keys])
    found = (rows >= 0) & fits.ok[rows]
    pose = np.concatenate([fits.column("global_orient"), fits.column("body_pose")], axis=1)[rows].reshape(-1, 22, 3)
    rotations = axis_angle_to_matrix(pose)
    if recipe.frame == "crop":
        camera = Camera(fits.column("focal")[rows].astype(np.float64), fits.column("princpt")[rows].astype(np.float64))
        safe = Camera(np.where(found[:, None], camera.focal, 1.0), camera.princpt)
        rotations[:, 0] = crop_from_camera(safe, taught.crop) @ rotations[:, 0]
    return rotations.astype(np.float32), fits.column("betas")[rows], found


def _joints_of(rotations: np.ndarray, betas: np.ndarray, body: BodyModelData) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    poser = Poser(body)
    out = np.ones((len(rotations), JOINTS, 4), np.float32)
    for start in range(0, len(rotations), _CHUNK):
        rows = slice(start, start + _CHUNK)
        vectors = Rotation.from_matrix(rotations[rows].reshape(-1, 3, 3)).as_rotvec().reshape(-1, 66)
        posed = poser.pose({"global_orient": vectors[:, :3], "body_pose": vectors[:, 3:], "betas": betas[rows]})
        points = posed.points(HUMAN36M.name)
        out[rows, :, :3] = points - points[:, :1]
    return out


def _camera(samples: Samples, crop: Crop) -> Camera:
    """The photo's camera; the virtual one where K is unknown, so that the turn is none."""
    known = samples.intrinsics[:, 2, 2] > 0
    given, virtual = Camera.of_matrix(samples.intrinsics.astype(np.float64)), crop.virtual_camera()
    return Camera(
        np.where(known[:, None], given.focal, virtual.focal), np.where(known[:, None], given.princpt, virtual.princpt)
    )


def _pixels(samples: Samples, crop: Crop) -> np.ndarray:
    """`(N, K, 3)` px of the 256 crop and confidence; points of other skeletons have confidence 0."""
    parts: list[np.ndarray] = []
    for skeleton in POINT_SETS:
        rows = loss_points(skeleton, "body")
        points = np.zeros((len(samples), len(rows), 3), np.float32)
        if skeleton is samples.skeleton:
            points[..., :2] = crop.to_crop_px(samples.keypoints[:, rows, :2].astype(np.float64))
            points[..., 2] = samples.keypoints[:, rows, 2]
        parts.append(points)
    return np.concatenate(parts, axis=1)
