"""Faces and hands of known truth, for the parts of the benchmark of fitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.fitting.people import PUBLISHED_FOCAL, anchor_rows, edge_rows, groups, model_of
from annotator.fitting.problem import Problem, outline_rows
from annotator.skeleton import FACE, HAND, Skeleton
from annotator.synthetic import sample_betas, sample_hands

NOISE_PX = 1.5
_CENTER = 500.0


def faces(body: BodyModelData, count: int) -> Problem:
    """The 68 landmarks of faces 120 to 400 px tall that look about this way, noisy."""
    rng = np.random.default_rng(11)
    front = Rotation.from_euler("x", 180, degrees=True)
    turned = front * Rotation.from_euler("yxz", rng.normal(size=(count, 3)) * [30, 12, 8], degrees=True)
    truth = {
        "global_orient": turned.as_rotvec(),
        "betas": sample_betas(rng, count),
        "expression": rng.normal(size=(count, 10)),
        "jaw_pose": np.stack([np.abs(rng.normal(0, 0.2, count)), np.zeros(count), np.zeros(count)], axis=1),
    }
    return _seen(body, FACE, truth, PUBLISHED_FOCAL * 0.2 / rng.uniform(120, 400, count), rng)


def hands(body: BodyModelData, count: int) -> Problem:
    """The 21 points of hands 60 to 250 px long, turned anyhow, noisy."""
    rng = np.random.default_rng(12)
    truth = {
        "global_orient": Rotation.random(count, random_state=12).as_rotvec(),
        "betas": sample_betas(rng, count),
        "hand_pose": sample_hands(rng, count, body.hand_components[body.side]),
    }
    return _seen(body, HAND, truth, PUBLISHED_FOCAL * 0.18 / rng.uniform(60, 250, count), rng)


def _seen(
    body: BodyModelData, skeleton: Skeleton, truth: dict[str, np.ndarray], depth: np.ndarray, rng: np.random.Generator
) -> Problem:
    count, points = len(depth), len(skeleton)
    posed = Poser(body).pose({name: values.astype(np.float32) for name, values in truth.items()})
    middle = np.stack([*rng.normal(0, 0.1, (2, count)), depth], axis=1)
    places = posed.points(skeleton.name) + middle[:, None]
    pixels = PUBLISHED_FOCAL * places[..., :2] / places[..., 2:] + _CENTER
    pixels += rng.normal(0, NOISE_PX, pixels.shape)
    problem = Problem(
        model=model_of(body),
        names=skeleton.points,
        pixels=pixels,
        confidence=np.ones((count, points)),
        seen=np.ones((count, points), bool),
        group=groups(skeleton.points, body.family),
        focal=np.full((count, 2), PUBLISHED_FOCAL),
        center=np.full((count, 2), _CENTER),
        data_weight=1000 / (1.25 * np.ptp(pixels, axis=1).max(axis=1)),
        side_view=np.zeros(count, bool),
        anchors=anchor_rows(skeleton.points, body.family),
        edges=edge_rows(skeleton.points, body.family),
        free_translation=True,
        skeleton=skeleton.name,
    )
    return replace(problem, outline=outline_rows(problem.names))
