"""Who teaches what: GT, earlier fits and verdicts -> targets and weights per sample, in the crop frame, as plain arrays.

Left hands stay left here; they are mirrored where batches are made (`batches.py`).

Legend: N samples, K 2D points of the loss, J 3D joints, R rotations (root first).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.camera import Camera, Crop, crop_from_camera, crop_of_box
from annotator.fit import Fits
from annotator.part import Part, parameters_of, pose_vectors, root_of, shape_numbers
from annotator.recipe import CROP_FRAME, PartRecipe
from annotator.sample import Samples
from annotator.taught import BODY_POINTS, TaughtPoints, relabelled
from annotator.verdict import Verdict

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


def lessons(
    samples: Samples,
    recipe: PartRecipe,
    *,
    auxiliary: bool,
    points: TaughtPoints = BODY_POINTS,
    body: BodyModelData | None = None,
) -> Lessons:
    """What a table of samples teaches before there are any fits: its 2D, and its GT 3D turned into the crop frame.

    Args:
        points: that are taught. body: the model, which may lack some of them; None has them all.
    """
    count, part = len(samples), points.part
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    turn = np.tile(np.eye(3), (count, 1, 1))
    roots, joints = np.zeros((count, 3)), np.zeros((count, points.joint_count, 4), np.float32)
    if auxiliary and samples.joints is not None and samples.joint_skeleton is not None:
        if recipe.frame == CROP_FRAME:
            turn = crop_from_camera(camera_of(samples, crop), crop)
        given, skeleton = relabelled(samples.joints, samples.joint_skeleton)
        root, columns = root_of(skeleton), points.joint_columns(skeleton)
        roots = given[:, root, :3].astype(np.float64)
        relative = given[..., :3] - roots[:, None]
        joints[:, columns, :3] = relative @ np.swapaxes(turn, -1, -2)
        joints[:, columns, 3] = given[..., 3] * given[:, root : root + 1, 3]
    pixels = _pixels(samples, crop, points)
    if body is not None:
        of_points, of_joints = points.present(body)
        pixels[..., 2] *= of_points
        joints[..., 3] *= of_joints
    return Lessons(
        crop=crop,
        turn=turn,
        roots=roots,
        pixels=pixels,
        joints=joints,
        rotations=np.tile(np.eye(3, dtype=np.float32), (count, part.rotations, 1, 1)),
        betas=np.zeros((count, part.shape_width), np.float32),
        imitate=np.zeros(count, np.float32),
        regularise=np.full(count, float(not auxiliary), np.float32),
    )


def with_fits(
    taught: Lessons,
    samples: Samples,
    fits: Fits,
    recipe: PartRecipe,
    *,
    points: TaughtPoints = BODY_POINTS,
    body: BodyModelData | None = None,
) -> Lessons:
    """`taught` plus the auxiliary fits of its samples as targets (Theta* of the paper); hands need their `body`."""
    rotations, betas, found = _fitted(taught, samples, fits, recipe, points.part, body)
    return replace(taught, rotations=rotations, betas=betas, imitate=found.astype(np.float32))


def with_verdicts(
    taught: Lessons,
    samples: Samples,
    fits: Fits,
    verdicts: Mapping[str, Verdict],
    recipe: PartRecipe,
    body: BodyModelData,
    *,
    points: TaughtPoints = BODY_POINTS,
) -> Lessons:
    """What a target set teaches in a later round.

    An accepted fit is imitated in the auxiliary form, with its 3D pose and without the regulariser; a rejected one
    teaches its 2D alone; one that nobody judged, or of which somebody is unsure, follows the recipe's `unseen`.

    Args:
        verdicts: in force, by sample key.
    """
    rotations, betas, found = _fitted(taught, samples, fits, recipe, points.part, body)
    unseen = recipe.unseen == "imitate"
    wanted = [_imitated(verdicts.get(key), unseen) for key in samples.keys]
    imitate = (found & np.array(wanted, bool)).astype(np.float32)
    joints = taught.joints.copy()
    rows = np.flatnonzero(imitate)
    joints[rows, points.joint_columns(points.part.pose_skeleton)] = _joints_of(
        rotations[rows], betas[rows], body, points.part
    )
    return replace(taught, rotations=rotations, betas=betas, imitate=imitate, joints=joints, regularise=1 - imitate)


def _imitated(verdict: Verdict | None, unseen: bool) -> bool:
    return unseen if verdict in (None, Verdict.UNSURE) else verdict is Verdict.ACCEPT


def _fitted(
    taught: Lessons, samples: Samples, fits: Fits, recipe: PartRecipe, part: Part, body: BodyModelData | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotations in the crop frame, shape numbers, and which samples have a fit that did not fail."""
    rows = np.array([fits.index_of.get(key, -1) for key in samples.keys])
    found = (rows >= 0) & fits.ok[rows]
    given = {name: fits.column(name)[rows] for name in part.parameters}
    rotations = axis_angle_to_matrix(pose_vectors(part, given, body))
    if recipe.frame == CROP_FRAME:
        camera = Camera(fits.column("focal")[rows].astype(np.float64), fits.column("princpt")[rows].astype(np.float64))
        safe = Camera(np.where(found[:, None], camera.focal, 1.0), camera.princpt)
        rotations[:, 0] = crop_from_camera(safe, taught.crop) @ rotations[:, 0]
    return rotations.astype(np.float32), shape_numbers(part, given), found


def _joints_of(rotations: np.ndarray, shapes: np.ndarray, body: BodyModelData, part: Part) -> np.ndarray:
    """`(N, J, 4)` root-relative 3D pose of the part's own skeleton, all of it valid that the model has."""
    from scipy.spatial.transform import Rotation

    poser, skeleton = Poser(body), part.pose_skeleton
    out = np.ones((len(rotations), len(skeleton), 4), np.float32)
    out[..., 3] = body.points[skeleton.name].present
    root = root_of(skeleton)
    for start in range(0, len(rotations), _CHUNK):
        rows = slice(start, start + _CHUNK)
        vectors = Rotation.from_matrix(rotations[rows].reshape(-1, 3, 3)).as_rotvec().reshape(-1, part.rotations, 3)
        posed = poser.pose(parameters_of(part, vectors, shapes[rows], body))
        points = posed.points(skeleton.name)
        out[rows, :, :3] = points - points[:, root : root + 1]
    return out


def camera_of(samples: Samples, crop: Crop) -> Camera:
    """The photo's camera; the virtual one where K is unknown, so that the turn is none."""
    known = samples.intrinsics[:, 2, 2] > 0
    given, virtual = Camera.of_matrix(samples.intrinsics.astype(np.float64)), crop.virtual_camera()
    return Camera(
        np.where(known[:, None], given.focal, virtual.focal), np.where(known[:, None], given.princpt, virtual.princpt)
    )


def _pixels(samples: Samples, crop: Crop, points: TaughtPoints) -> np.ndarray:
    """`(N, K, 3)` px of the 256 crop and confidence; points of other skeletons have confidence 0."""
    out = np.zeros((len(samples), points.count, 3), np.float32)
    keypoints, skeleton = relabelled(samples.keypoints, samples.skeleton)
    rows, columns = points.rows(skeleton), points.columns(skeleton)
    out[:, columns, :2] = crop.to_crop_px(keypoints[:, rows, :2].astype(np.float64))
    out[:, columns, 2] = keypoints[:, rows, 2]
    return out
