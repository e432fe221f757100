"""People with known truth, as `Problem` holds them, for tests of fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.fitting.parameters import Parameters, free_names
from annotator.fitting.people import WHOLE_POINTS, anchor_rows, edge_rows, groups, model_of, side_views
from annotator.fitting.problem import Problem, outline_rows
from annotator.shots import wild_shots
from annotator.skeleton import FACE, HAND
from annotator.synthetic import sample_betas, sample_hands

HEIGHT, FOCAL = 1000.0, 5000.0
FACING = Rotation.from_euler("x", 180, degrees=True)


def problem_of(
    body: BodyModelData, names: tuple[str, ...], targets: np.ndarray, *, skeleton: str = "", **more: Any
) -> Problem:
    """`(N, K, 2 or 3)` targets as a problem in which all points are seen; `more` are its other attributes."""
    count, points, width = targets.shape
    free = body.family in ("mano", "flame")
    problem = Problem(
        model=model_of(body),
        names=names,
        pixels=targets if width == 2 else np.zeros((count, points, 2)),
        joints=targets if width == 3 else None,
        confidence=np.ones((count, points)),
        seen=np.ones((count, points), bool),
        group=groups(names, body.family),
        focal=np.full((count, 2), FOCAL),
        center=np.full((count, 2), HEIGHT / 2),
        data_weight=np.full(count, 1.0),
        side_view=np.zeros(count, bool),
        anchors=anchor_rows(names, body.family),
        edges=edge_rows(names, body.family),
        outline=outline_rows(names),
        free_translation=free or width == 3,
        skeleton=skeleton,
    )
    problem = replace(problem, **more)
    return replace(problem, side_view=side_views(problem))


def seen(points: np.ndarray, *, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """`(N, K, 3)` metres in camera space -> `(N, K, 2)` px."""
    pixels = points[..., :2] / points[..., 2:] * FOCAL + HEIGHT / 2
    return pixels + noise * np.random.default_rng(seed).normal(size=pixels.shape)


def whole_truth(body: BodyModelData, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of people as the demo draws them, 500 to 800 px tall before the published camera."""
    shots = list(wild_shots(body, seed, count))
    rng = np.random.default_rng(seed)
    truth = {name: np.stack([shot.parameters[name] for shot in shots]) for name in shots[0].parameters}
    depth = FOCAL * 1.7 / rng.uniform(500, 800, count)
    return truth | {"transl": np.stack([rng.normal(0, 0.2, count), rng.normal(0.2, 0.1, count), depth], axis=1)}


def hand_truth(body: BodyModelData, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of hands, turned anyhow, 100 to 250 px long."""
    rng = np.random.default_rng(seed)
    depth = FOCAL * 0.18 / rng.uniform(100, 250, count)
    return {
        "global_orient": Rotation.random(count, random_state=seed).as_rotvec(),
        "betas": sample_betas(rng, count),
        "hand_pose": sample_hands(rng, count, body.hand_components[body.side or "right"]),
        "transl": np.stack([*rng.normal(0, 0.03, (2, count)), depth], axis=1),
    }


def face_truth(body: BodyModelData, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of faces that look this way, 150 to 400 px tall."""
    rng = np.random.default_rng(seed)
    turned = FACING * Rotation.from_euler("yxz", rng.normal(size=(count, 3)) * [25, 10, 8], degrees=True)
    depth = FOCAL * 0.2 / rng.uniform(150, 400, count)
    return {
        "global_orient": turned.as_rotvec(),
        "betas": sample_betas(rng, count),
        "expression": rng.normal(size=(count, 10)),
        "jaw_pose": np.stack([np.abs(rng.normal(0, 0.15, count)), np.zeros(count), np.zeros(count)], axis=1),
        "transl": np.stack([*rng.normal(0, 0.05, (2, count)), depth], axis=1),
    }


def whole_problem(body: BodyModelData, count: int, *, noise: float = 0.0, seed: int = 0) -> Problem:
    """People's 118 published points."""
    posed = posed_by(body, whole_truth(body, count, seed))
    empty = problem_of(body, WHOLE_POINTS, np.zeros((1, len(WHOLE_POINTS), 2)))
    points = empty.point_map(body).apply(posed.joints, posed.vertices)
    return problem_of(body, WHOLE_POINTS, seen(points, noise=noise, seed=seed))


def hand_problem(body: BodyModelData, count: int, *, noise: float = 0.0, seed: int = 0) -> Problem:
    """The 21 points of hands."""
    points = posed_by(body, hand_truth(body, count, seed)).points(HAND.name)
    return problem_of(
        body, HAND.points, seen(points, noise=noise, seed=seed), skeleton=HAND.name, data_weight=np.full(count, 5.0)
    )


def face_problem(body: BodyModelData, count: int, *, noise: float = 0.0, seed: int = 0) -> Problem:
    """The 68 points of faces, with their outline as the smplx package chooses it."""
    points = posed_by(body, face_truth(body, count, seed)).points(FACE.name)
    return problem_of(
        body, FACE.points, seen(points, noise=noise, seed=seed), skeleton=FACE.name, data_weight=np.full(count, 3.0)
    )


def posed_by(body: BodyModelData, truth: Mapping[str, np.ndarray]) -> Any:
    """The people of `truth`, posed."""
    return Poser(body).pose({name: values.astype(np.float32) for name, values in truth.items()})


def random_parameters(model: str, count: int, *, seed: int = 0, latent: bool = True, depth: float = 12.0) -> Parameters:
    """Parameters as no person has them: everything that a fit varies is drawn."""
    rng = np.random.default_rng(seed)
    spread = dict.fromkeys(("left_hand_pose", "right_hand_pose", "body_pose"), 0.3) | dict.fromkeys(
        ("jaw_pose", "leye_pose", "reye_pose"), 0.2
    )
    zeros = Parameters.zeros(count, model, latent=latent)
    free = free_names(model, zeros, transl=True)
    drawn = {name: spread.get(name, 1.0) * rng.normal(size=zeros.items()[name].shape) for name in free}
    drawn["transl"] = 0.1 * drawn["transl"] + [0.0, 0.0, depth]
    return zeros.replaced(**drawn)
