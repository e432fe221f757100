"""Samples -> the people to fit: which points count, through which camera, in which unit of length.

Published: OpenPose's 25 points of the body, 21 of each hand, and 51 of the face without its outline, in that order. Other
skeletons fill the places that they have; one with points of its own (Human3.6M) is taken as it is.

Legend: N people, K points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting.problem import (
    BODY_GROUP,
    FACE_GROUP,
    GEMAN_MCCLURE,
    HAND_GROUP,
    RHO_PX,
    Problem,
    outline_rows,
)
from annotator.fitting.spheres import FAMILIES
from annotator.sample import Samples
from annotator.skeleton import COCO_WHOLEBODY, FACE, Skeleton

BODY25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
"""OpenPose's points of the body, in its order."""
WHOLE_POINTS = (*BODY25, *COCO_WHOLEBODY.points[91:], *FACE.points[17:])
"""The 118 points of a whole body without the outline of the face."""
IGNORED = ("neck", "right_hip", "left_hip")
"""Points of OpenPose that the data term leaves out, as every published settings file does; its middle of the hips counts."""
_OPENPOSE = ("openpose", "body25")
"""How the names of its skeletons begin."""

PUBLISHED_FOCAL = 5000.0
SIDE_VIEW_PX = 25.0
LEAST_POINTS = 3
_BOX_SCALE = 1.25

_TORSO = ("right_hip", "left_hip", "right_shoulder", "left_shoulder")
_KNUCKLES = ("index1", "middle1", "ring1", "pinky1")
_CORNERS, _CHIN = ("right_face36", "left_face36"), "face8"
_ANCHORS: Mapping[str, tuple[str, ...]] = {"mano": ("wrist", *_KNUCKLES), "flame": (*_CORNERS, _CHIN)}
_EDGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "mano": tuple(("wrist", knuckle) for knuckle in _KNUCKLES),
    "flame": tuple((corner, _CHIN) for corner in _CORNERS),
}
_TORSO_EDGES = (("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"))


@dataclass(frozen=True)
class Fitting:
    """How samples become people to fit.

    Attributes:
        in_3d: fit GT 3D joints, not keypoints.
        focal: px, of the camera at the photo's centre where K is unknown or not wanted.
        known_camera: whether a photo's K is used where it is known.
        contour: whether the outline of a whole body's face counts.
        robust, rho_3d: of 3D residuals: "geman_mcclure" and where it bends in metres, or "l1".
        weight_3d: of squared 3D residuals, per square metre; its root is the data weight, which alone counts with "l1".
        penetration: of self-penetration, as `Problem` has it.
    """

    in_3d: bool = False
    focal: float = PUBLISHED_FOCAL
    known_camera: bool = False
    contour: bool = False
    robust: str = GEMAN_MCCLURE
    rho_3d: float = 0.15
    weight_3d: float = 1e6
    penetration: float = 0.0


def people_of(samples: Samples, body: BodyModelData, fitting: Fitting) -> tuple[Problem, tuple[str, ...]]:
    """The people of `samples`, and for each why he cannot be fitted (empty where he can).

    One who cannot be fitted keeps his row, with no point seen.
    """
    skeleton = samples.joint_skeleton if fitting.in_3d else samples.skeleton
    assert skeleton is not None, "samples without joints are not fitted in 3D"
    published = published_names(skeleton, body.family, contour=fitting.contour)
    names = published or skeleton.points
    targets, given = _targets(samples, skeleton, names, in_3d=fitting.in_3d)
    focal, center = _camera(samples, fitting)
    problem = Problem(
        model=model_of(body),
        names=names,
        pixels=np.zeros((len(samples), len(names), 2)),
        confidence=given,
        seen=given > 0,
        group=groups(names, body.family),
        focal=focal,
        center=center,
        data_weight=np.full(len(samples), fitting.weight_3d**0.5) if fitting.in_3d else 1000.0 / _height(samples, body),
        side_view=np.zeros(len(samples), bool),
        anchors=anchor_rows(names, body.family),
        edges=edge_rows(names, body.family),
        outline=outline_rows(names) if body.landmarks is not None and len(body.landmarks.contour_faces) else (),
        free_translation=fitting.in_3d or body.family in _ANCHORS,
        robust=fitting.robust if fitting.in_3d else GEMAN_MCCLURE,
        rho=fitting.rho_3d if fitting.in_3d else RHO_PX,
        skeleton="" if published else skeleton.name,
        penetration=fitting.penetration if body.family in FAMILIES else 0.0,
    )
    seen = problem.seen & problem.point_map(body).present
    reasons = tuple(_reason(target, row, mask) for target, row, mask in zip(targets, given, seen, strict=True))
    sound = np.array([not reason for reason in reasons], bool)[:, None]
    seen &= sound
    targets = np.where(seen[..., None], targets, 0.0)
    counted = ~np.isin(names, IGNORED) if skeleton.name.startswith(_OPENPOSE) else np.ones(len(names), bool)
    placed = {"joints" if fitting.in_3d else "pixels": targets}
    problem = replace(problem, confidence=np.where(seen & counted, given, 0.0), seen=seen, **placed)
    return replace(problem, side_view=side_views(problem)), reasons


def model_of(body: BodyModelData) -> str:
    """The name that `load_body_model` takes."""
    return f"{body.family}_{body.side}" if body.side else body.family


def published_names(skeleton: Skeleton, family: str, *, contour: bool = False) -> tuple[str, ...]:
    """The published points, where they are all that a skeleton has; empty where it has others, which are then taken as they are.

    The outline of a whole body's face is left out, as in the published settings, unless it is asked for.
    """
    if family not in ("smplx", "smpl") or not {*WHOLE_POINTS, *FACE.points}.issuperset(skeleton.points):
        return ()
    if family == "smplx" and contour and set(FACE.points) <= set(skeleton.points):
        return (*WHOLE_POINTS, *FACE.points[:17])
    return WHOLE_POINTS if family == "smplx" else BODY25


def groups(names: tuple[str, ...], family: str) -> np.ndarray:
    """`(K,)` of each point: body, hand or face."""
    hand = np.array([family == "mano" or "_hand_" in name for name in names])
    face = np.array([family == "flame" or "face" in name for name in names])
    return np.where(face, FACE_GROUP, np.where(hand, HAND_GROUP, BODY_GROUP)).astype(np.int64)


def edge_rows(names: tuple[str, ...], family: str) -> tuple[tuple[int, int], ...]:
    """Pairs of rows whose length guesses the depth."""
    pairs = [_rows(names, edge) for edge in _EDGES.get(family, _TORSO_EDGES)]
    return tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2)


def anchor_rows(names: tuple[str, ...], family: str) -> tuple[int, ...]:
    """Rows of the points that start the camera."""
    return _rows(names, _ANCHORS.get(family, _TORSO))


def side_views(problem: Problem) -> np.ndarray:
    """`(N,)` bool: the shoulders are less than 25 px apart, or neither is seen (then, as published, nothing tells them apart).

    Only whole people in 2D have a second start.
    """
    shoulders = _rows(problem.names, ("left_shoulder", "right_shoulder"))
    if problem.in_3d or len(shoulders) < 2:
        return np.zeros(len(problem), bool)
    left, right = shoulders
    apart = np.linalg.norm(problem.pixels[:, left] - problem.pixels[:, right], axis=-1)
    both, neither = problem.seen[:, left] & problem.seen[:, right], ~(problem.seen[:, left] | problem.seen[:, right])
    return (both & (apart < SIDE_VIEW_PX)) | neither


def _rows(names: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(names.index(name) for name in wanted if name in names)


def _targets(
    samples: Samples, skeleton: Skeleton, names: tuple[str, ...], *, in_3d: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`(N, K, D)` px or metres and `(N, K)` confidence or validity; zeros for points that the skeleton lacks."""
    values = (samples.joints if in_3d else samples.keypoints).astype(np.float64)  # type: ignore[union-attr]
    out = np.zeros((len(samples), len(names), values.shape[-1]))
    for column, name in enumerate(names):
        if name in skeleton.index_of:
            out[:, column] = values[:, skeleton.index_of[name]]
    return out[..., :-1], out[..., -1]


def _reason(target: np.ndarray, given: np.ndarray, seen: np.ndarray) -> str:
    if not (np.isfinite(target).all() and np.isfinite(given).all()):
        return "a keypoint is not a number"
    count = int(seen.sum())
    if count < LEAST_POINTS:
        return f"{count} labelled points; a fit needs {LEAST_POINTS}"
    return "" if np.ptp(target[seen], axis=0).any() else "all labelled points lie at one place"


def _camera(samples: Samples, fitting: Fitting) -> tuple[np.ndarray, np.ndarray]:
    """`(N, 2)` focal length and centre. GT 3D is in the frame of the photo's own camera, so there K counts wherever it is known."""
    count = len(samples)
    focal, center = np.full((count, 2), fitting.focal), samples.sizes.astype(np.float64) / 2
    matrix = samples.intrinsics.astype(np.float64)
    known = (matrix[:, 2, 2] > 0) & (fitting.known_camera or fitting.in_3d)
    focal[known] = np.stack([matrix[known, 0, 0], matrix[known, 1, 1]], axis=1)
    center[known] = matrix[known, :2, 2]
    return focal, center


def _height(samples: Samples, body: BodyModelData) -> np.ndarray:
    """`(N,)` H of the data weight 1000 / H: of the photo, or 1.25 times the box's longer side of one hand or face."""
    if body.family in _ANCHORS:
        return _BOX_SCALE * samples.boxes[:, 2:].max(axis=1).astype(np.float64)
    return samples.sizes[:, 1].astype(np.float64)
