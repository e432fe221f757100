"""A plain fit of a body model to 3D points: L-BFGS over pose, shape and place, with joint limits and a light L2 prior.

It knows nothing of a data set but its skeleton, so a wrong map, a wrong order or swapped sides show as millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData
from annotator.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from annotator.skeleton import Skeleton
from annotator.synthetic import limits

PER_METRE = 10.0
"""The residuals' unit is a decimetre, so that they and radians are of like size."""
POSE, SHAPE, LIMIT = (1e-1, 3e-2), 1e-3, 30.0
STEPS = (45, 60)
_FINGER_DEG = np.array([(-20.0, 20.0), (-25.0, 25.0), (-110.0, 20.0)])
_THUMB_DEG = np.array([(-60.0, 60.0)] * 3)


@dataclass(frozen=True)
class _Pose:
    """Local rotations of everything but the root as angles that have limits.

    Attributes:
        start: `(J - 1, 3)` radians where the prior is centred. low, high: the same, the limits.
        euler: about z, then x, then y, as the archetypes are authored; else axis-angle.
    """

    start: Tensor
    low: Tensor
    high: Tensor
    euler: bool

    def rotations(self, angles: Tensor) -> Tensor:
        """`(B, J - 1, 3)` -> `(B, J - 1, 3, 3)`."""
        if not self.euler:
            return axis_angle_to_matrix(angles)
        x, y, z = (axis_angle_to_matrix(angles[..., i, None] * torch.eye(3)[i]) for i in range(3))
        return y @ x @ z


def _pose_of(body: BodyModelData) -> _Pose:
    if body.family == "mano":
        bounds = np.deg2rad(np.stack([*[_FINGER_DEG] * 12, *[_THUMB_DEG] * 3]))
        if body.side == "right":  # the mirror negates the angles about y and z
            bounds = np.stack([bounds[:, 0], -bounds[:, 1, ::-1], -bounds[:, 2, ::-1]], axis=1)
        low, high = bounds[..., 0], bounds[..., 1]
        start = body.hand_mean[body.side].reshape(15, 3)
    else:
        low, high = np.deg2rad(limits())
        start = np.zeros((21, 3))
    return _Pose(
        *(torch.as_tensor(values, dtype=torch.float32) for values in (start, low, high)), body.family != "mano"
    )


def misses_mm(body: BodyModelData, skeleton: Skeleton, targets: np.ndarray) -> np.ndarray:
    """How far the fitted body's points end from `(N, K, 3)` targets in metres: the mean of each person, mm."""
    count, pose = len(targets), _pose_of(body)
    model = BodyModel(body, [body.points[skeleton.name]])
    root = (body.joint_regressor @ body.v_template)[0]
    angles, betas = pose.start.repeat(count, 1, 1), torch.zeros(count, 10)

    def points(turn: Tensor, angles: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
        rotations = torch.cat([axis_angle_to_matrix(turn)[:, None], pose.rotations(angles)], dim=1)
        return model.turned(rotations, betas, transl=transl).points

    with torch.no_grad():
        rest = points(torch.zeros(1, 3), angles[:1], betas[:1], torch.zeros(1, 3))[0].double().numpy()
    starts = [_rigid(rest, target) for target in targets]
    turn = matrix_to_axis_angle(torch.as_tensor(np.stack([r for r, _ in starts]), dtype=torch.float32))
    transl = torch.as_tensor(np.stack([t + r @ root - root for r, t in starts]), dtype=torch.float32)
    unknowns = [value.requires_grad_() for value in (turn, angles, betas, transl)]
    wanted = torch.as_tensor(targets, dtype=torch.float32)
    for weight, steps in zip(POSE, STEPS, strict=True):
        solver = torch.optim.LBFGS(unknowns, max_iter=steps, history_size=50, line_search_fn="strong_wolfe")

        def loss(weight: float = weight, solver: torch.optim.LBFGS = solver) -> Tensor:
            solver.zero_grad()
            beyond = (angles - pose.high).clamp_min(0) + (pose.low - angles).clamp_min(0)
            total = (
                ((PER_METRE * (points(turn, angles, betas, transl) - wanted)) ** 2).sum()
                + weight * ((angles - pose.start) ** 2).sum()
                + LIMIT * (beyond**2).sum()
                + SHAPE * (betas**2).sum()
            )
            total.backward()
            return total

        solver.step(loss)
    with torch.no_grad():
        return 1000 * (points(turn, angles, betas, transl) - wanted).norm(dim=-1).mean(dim=-1).numpy()


def _rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rotation and translation that bring `source` nearest to `target`."""
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - a).T @ (target - b))
    proper = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = vt.T @ proper @ u.T
    return rotation, b - rotation @ a
