"""The mean-pose predictor: the floor that learning is measured against.

Everybody gets the chordal mean of the auxiliary fits' local rotations and their mean shape; only the root rotation and
the camera are solved, per person, on his 2D keypoints.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.camera import BODY_SPAN, VIRTUAL_FOCAL, VIRTUAL_SIZE, Camera, crop_of_box
from annotator.fit import FitHeader, Fits
from annotator.sample import Samples
from annotator.skeleton import loss_points

_YAWS = np.deg2rad(np.arange(0, 360, 45))
_STEPS = 15
_CHUNK = 512


def mean_parameters(fits: list[Fits]) -> dict[str, np.ndarray]:
    """Chordal mean of every joint's rotation (`body_pose`, `(63,)`) and mean `betas` `(10,)` of all fits that did not fail.

    The chordal mean is the rotation nearest, in Frobenius norm, to the mean of the rotation matrices.
    """
    poses = np.concatenate([f.column("body_pose")[f.ok] for f in fits]).reshape(-1, 21, 3)
    betas = np.concatenate([f.column("betas")[f.ok] for f in fits])
    matrices = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(-1, 21, 3, 3)
    u, _, vt = np.linalg.svd(matrices.mean(axis=0))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return {"body_pose": Rotation.from_matrix(u @ vt).as_rotvec().ravel(), "betas": betas.mean(axis=0)}


def mean_pose_fits(samples: Samples, auxiliary: list[Fits], body: BodyModelData) -> Fits:
    """Fits of the mean pose to everybody's 2D, through the virtual camera of each crop."""
    mean = mean_parameters(auxiliary)
    rest = Poser(body).pose({name: value[None] for name, value in mean.items()})
    chosen = loss_points(samples.skeleton, "body")
    points = rest.points(samples.skeleton.name)[0, chosen].astype(np.float64)
    pelvis = rest.joints[0, 0].astype(np.float64)
    keypoints = samples.keypoints[:, chosen].astype(np.float64)
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    camera = crop.virtual_camera()
    orient, transl = np.zeros((len(samples), 3)), np.zeros((len(samples), 3))
    for start in range(0, len(samples), _CHUNK):
        rows = slice(start, start + _CHUNK)
        part = Camera(camera.focal[rows], camera.princpt[rows])
        orient[rows], transl[rows] = solve_root(points - pelvis, keypoints[rows], part)
    count = len(samples)
    return Fits.of(
        FitHeader("smplx", "body", body.hash),
        samples.keys,
        {"global_orient": orient, **{name: np.tile(value, (count, 1)) for name, value in mean.items()}},
        focal=camera.focal,
        princpt=camera.princpt,
        transl=transl - pelvis,
    )


def solve_root(points: np.ndarray, keypoints: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Root rotation and place of a rigid set of points that best explain 2D keypoints.

    Gauss-Newton with damping on rotation and translation, from eight yaws; the best of them is kept.

    Args:
        points: `(N, 3)` metres about the pelvis, in the body's frame (y up).
        keypoints: `(B, N, 3)` px and confidence.
        camera: fields `(B, 2)`.

    Returns:
        `(B, 3)` axis-angle and `(B, 3)` place of the pelvis in camera space, metres.
    """
    people = len(keypoints)
    upright = Rotation.from_rotvec([np.pi, 0, 0])
    best_cost = np.full(people, np.inf)
    best_orient, best_place = np.zeros((people, 3)), np.zeros((people, 3))
    depth = VIRTUAL_FOCAL * BODY_SPAN / VIRTUAL_SIZE / 2
    for yaw in _YAWS:
        start = (upright * Rotation.from_rotvec([0, yaw, 0])).as_matrix()
        rotation, place, cost = _descend(points, keypoints, camera, np.tile(start, (people, 1, 1)), depth)
        better = cost < best_cost
        best_orient[better] = Rotation.from_matrix(rotation[better]).as_rotvec()
        best_place[better], best_cost[better] = place[better], cost[better]
    return best_orient, best_place


def _descend(
    points: np.ndarray, keypoints: np.ndarray, camera: Camera, rotation: np.ndarray, depth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weight = (keypoints[..., 2] > 0).astype(float)
    place = np.tile([0.0, 0.0, depth], (len(keypoints), 1))
    damping = np.full(len(keypoints), 1e-2)
    residual, jacobian = _linearise(points, keypoints, camera, rotation, place)
    cost = (weight[..., None] * residual**2).sum(axis=(1, 2))
    for _ in range(_STEPS):
        normal = np.einsum("bnij,bn,bnik->bjk", jacobian, weight, jacobian)
        gradient = np.einsum("bnij,bn,bni->bj", jacobian, weight, residual)
        diagonal = np.einsum("bjj->bj", normal)
        damped = normal + (damping[:, None] * diagonal + 1e-9)[:, :, None] * np.eye(6)
        step = -np.linalg.solve(damped, gradient[..., None])[..., 0]
        tried_rotation = Rotation.from_rotvec(step[:, :3]).as_matrix() @ rotation
        tried_place = place + step[:, 3:]
        tried_place[:, 2] = np.maximum(tried_place[:, 2], 1.5)
        tried_residual, tried_jacobian = _linearise(points, keypoints, camera, tried_rotation, tried_place)
        tried_cost = (weight[..., None] * tried_residual**2).sum(axis=(1, 2))
        good = tried_cost < cost
        rotation[good], place[good], cost[good] = tried_rotation[good], tried_place[good], tried_cost[good]
        residual[good], jacobian[good] = tried_residual[good], tried_jacobian[good]
        damping = np.where(good, damping / 3, damping * 5)
    return rotation, place, cost


def _linearise(
    points: np.ndarray, keypoints: np.ndarray, camera: Camera, rotation: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals `(B, N, 2)` px and their Jacobian `(B, N, 2, 6)` by a small rotation on the left and by the place."""
    turned = points @ np.swapaxes(rotation, -1, -2)
    posed = turned + place[:, None, :]
    residual = camera.project(posed) - keypoints[..., :2]
    by_point = np.zeros((*posed.shape[:2], 2, 3))
    for axis in (0, 1):
        by_point[..., axis, axis] = camera.focal[:, None, axis] / posed[..., 2]
        by_point[..., axis, 2] = -camera.focal[:, None, axis] * posed[..., axis] / posed[..., 2] ** 2
    x, y, z = turned[..., 0], turned[..., 1], turned[..., 2]
    zero = np.zeros_like(x)
    by_rotation = np.stack(  # d(w x p) / dw = -[p]x
        [np.stack([zero, z, -y], -1), np.stack([-z, zero, x], -1), np.stack([y, -x, zero], -1)], axis=-2
    )
    return residual, np.concatenate([by_point @ by_rotation, by_point], axis=-1)
