"""Hands, faces, SMPL and 3D joints: known truth is found. Whole bodies in 2D are in test_batched.py."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import Batched, fit
from annotator.fitting.evaluate import final_objective, objective_of, to_tensors
from annotator.fitting.objective import BodyPrior, project
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import BODY25
from annotator.fitting.problem import L1, Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, STUCK
from annotator.fitting.settings import SETTINGS, bends_of
from annotator.fitting.stages import FACE, HAND, SMPL, WHOLE_BODY
from annotator.prior import GaussianMixture, PosePrior
from annotator.rotations import matrix_to_axis_angle
from annotator.skeleton import FACE as FACE_POINTS
from annotator.skeleton import HAND as HAND_POINTS
from annotator.skeleton import HUMAN36M
from annotator.synthetic import sample_betas
from tests.support.fitting import (
    FACING,
    FOCAL,
    face_problem,
    face_truth,
    hand_problem,
    hand_truth,
    posed_by,
    problem_of,
    seen,
    whole_problem,
    whole_truth,
)


def errors(parameters: Parameters, problem: Problem, body: BodyModelData, prior: BodyPrior) -> np.ndarray:
    """`(N, K)` px, or mm in 3D, from where the points were seen."""
    objective = objective_of(problem, body, prior)
    with torch.no_grad():
        points = objective.place(objective.decoder(to_tensors(parameters)))
        if problem.in_3d:
            return 1000 * (points - objective.joints).norm(dim=-1).numpy()
        return (project(points, objective.focal, objective.center) - objective.pixels).norm(dim=-1).numpy()


def test_hands_from_21_points(hand: BodyModelData) -> None:
    problem = hand_problem(hand, 32)
    found = fit(problem, hand, None, HAND)
    away = errors(found.parameters, problem, hand, None)
    assert np.median(away) < 2.0
    assert (np.median(away, axis=1) > 5.0).mean() <= 0.1  # wrong sides of the two that look alike
    assert set(found.stop) <= {CONVERGED, EXHAUSTED, STUCK}
    assert list(found.terms) == ["points", "body_prior", "bending", "shape", "expression", "hand"]


def test_faces_from_68_landmarks(face: BodyModelData) -> None:
    problem = face_problem(face, 32)
    found = fit(problem, face, None, FACE)
    away = errors(found.parameters, problem, face, None)
    assert np.median(away) < 2.0
    assert np.median(away, axis=1).max() < 4.0


def small_hands(hand: BodyModelData, count: int) -> tuple[Problem, dict[str, np.ndarray]]:
    """Hands 15 to 35 px long with 1 px of noise, as photos of whole people show them."""
    truth = hand_truth(hand, count, 3)
    truth["transl"][:, 2] = FOCAL * 0.18 / np.random.default_rng(3).uniform(15, 35, count)
    pixels = seen(posed_by(hand, truth).points(HAND_POINTS.name), noise=1.0, seed=3)
    weight = 1000 / (1.25 * np.ptp(pixels, axis=1).max(axis=1))
    return problem_of(hand, HAND_POINTS.points, pixels, skeleton=HAND_POINTS.name, data_weight=weight), truth


def test_small_noisy_hands_stay_hands(hand: BodyModelData) -> None:
    """Without a bound of the shape two of three shrink to some millimetres a metre from the camera. Measured: 28 mm.

    Where the bound holds a number, the others are at their minimum all the same: many more steps in float64 find no other.
    """
    problem, truth = small_hands(hand, 64)
    found = fit(problem, hand, None, HAND).parameters
    assert np.abs(found.betas).max() <= 3.0 + 1e-6
    assert (found.transl[:, 2] > 0.5 * truth["transl"][:, 2]).mean() > 0.97
    objective = objective_of(problem, hand, None)
    with torch.no_grad():
        points = objective.place(objective.decoder(to_tensors(found))).numpy()
    assert 1000 * np.ptp(points, axis=1).max(axis=1).min() > 50.0
    patient = replace(SETTINGS["mano_right"], dtype=np.float64, iterations=(60, 60, 200), gain=(1e-5, 1e-5, 1e-7))
    ratios = (
        fit(problem, hand, None, HAND).objective / Batched(hand, None, HAND, problem, patient).fit(problem).objective
    )
    assert np.percentile(ratios, 90) < 1.03
    assert (found.transl[:, 2] < 2 * truth["transl"][:, 2]).all()
    true = posed_by(hand, truth).points(HAND_POINTS.name)
    away = np.linalg.norm((points - points[:, :1]) - (true - true[:, :1]), axis=-1).mean(axis=1)
    assert 1000 * np.median(away) < 38.0


@pytest.mark.parametrize("degrees", [-70, 55, 70])
def test_faces_that_look_past_the_camera(face: BodyModelData, degrees: float) -> None:
    """From the front alone one of ten such faces ended at more than three times what the truth costs, far out of shape."""
    truth = face_truth(face, 64)
    turned = FACING * Rotation.from_euler("y", degrees, degrees=True)
    truth["global_orient"] = np.tile(turned.as_rotvec(), (64, 1))
    pixels = seen(posed_by(face, truth).points(FACE_POINTS.name), noise=0.5)
    weight = 1000 / (1.25 * np.ptp(pixels, axis=1).max(axis=1))
    problem = problem_of(face, FACE_POINTS.points, pixels, skeleton=FACE_POINTS.name, data_weight=weight)
    found = fit(problem, face, None, FACE)
    of_truth = final_objective(Parameters.zeros(64, "flame").replaced(**truth), problem, face, None).objective
    assert (found.objective / of_truth > 3).mean() < 0.05
    assert np.abs(found.parameters.betas).max() <= 3.0 + 1e-6


def test_smpl_with_the_mixture(smpl: BodyModelData, body: BodyModelData, gmm: GaussianMixture) -> None:
    """Of another body's people: shapes differ, so the points are not met exactly."""
    truth = {name: values for name, values in whole_truth(body, 8).items() if name in ("global_orient", "transl")}
    pose = whole_truth(body, 8)["body_pose"]
    truth |= {"body_pose": np.pad(pose, ((0, 0), (0, 6))), "betas": sample_betas(np.random.default_rng(1), 8)}
    empty = problem_of(smpl, BODY25, np.zeros((1, len(BODY25), 2)))
    posed = posed_by(smpl, truth)
    problem = problem_of(smpl, BODY25, seen(empty.point_map(smpl).apply(posed.joints, posed.vertices)))
    found = fit(problem, smpl, gmm, SMPL)
    assert np.median(errors(found.parameters, problem, smpl, gmm)) < 3.0


def people_in_3d(body: BodyModelData, vposer: PosePrior, count: int) -> Problem:
    """The 17 Human3.6M points of people whose pose the latent space has."""
    rng = np.random.default_rng(2)
    latent = torch.as_tensor(rng.normal(size=(count, 32)), dtype=torch.float32)
    with torch.no_grad():
        pose = matrix_to_axis_angle(vposer.decode(latent)).flatten(1).numpy()
    truth = {
        "body_pose": pose,
        "global_orient": Rotation.random(count, random_state=3).as_rotvec(),
        "betas": np.clip(rng.normal(size=(count, 10)), -2, 2),
        "transl": rng.normal(size=(count, 3)) + [0, 0, 4],
    }
    joints = posed_by(body, truth).points(HUMAN36M.name).astype(np.float64)
    weight = np.full(count, 1e3)
    return problem_of(body, HUMAN36M.points, joints, skeleton=HUMAN36M.name, data_weight=weight, rho=0.15)


def test_3d_joints_with_published_and_with_weak_priors(body: BodyModelData, vposer: PosePrior) -> None:
    problem = people_in_3d(body, vposer, 64)
    published = errors(fit(problem, body, vposer, WHOLE_BODY).parameters, problem, body, vposer)
    assert np.median(published) < 3.0
    assert (published.mean(axis=1) > 20.0).sum() == 0
    weak = (*WHOLE_BODY[:-1], WHOLE_BODY[-1].with_priors(0.01))
    assert np.median(errors(fit(problem, body, vposer, weak).parameters, problem, body, vposer)) < 1.0


def test_limbs_that_start_far_from_their_joints_are_drawn_there(body: BodyModelData, vposer: PosePrior) -> None:
    """Before its last stage the solver hears joints that are further off than rho; the last one is as the recipe says."""
    problem = people_in_3d(body, vposer, 1)
    assert bends_of(problem, 3) == [0.5, 0.5, 0.15]
    assert bends_of(replace(problem, rho=2.0), 2) == [2.0, 2.0]
    assert bends_of(replace(problem, robust=L1), 2) == [0.0, 0.0]
    assert bends_of(whole_problem(body, 1), 3) == [100.0] * 3


def test_a_missing_3d_joint_pulls_at_nothing(body: BodyModelData, vposer: PosePrior) -> None:
    problem = people_in_3d(body, vposer, 4)
    assert problem.joints is not None
    joints, confidence = problem.joints.copy(), problem.confidence.copy()
    joints[:, 16] = 50.0
    confidence[:, 16] = 0
    spoilt = replace(problem, joints=joints, confidence=confidence, seen=confidence > 0)
    other = replace(spoilt, joints=np.where(confidence[..., None] > 0, joints, 0.0))
    first, second = (fit(one, body, vposer, WHOLE_BODY) for one in (spoilt, other))
    assert np.array_equal(first.objective, second.objective)
    assert np.isfinite(first.objective).all()


def test_missing_torso_points_do_not_pull_the_start_to_the_corner(body: BodyModelData, vposer: PosePrior) -> None:
    whole = whole_problem(body, 6)
    gone = np.isin(whole.names, ("left_hip", "right_hip", "mid_hip", "left_shoulder"))
    pixels = np.where(gone[None, :, None], 0.0, whole.pixels)
    mask = np.broadcast_to(~gone, whole.seen.shape)
    problem = replace(whole, pixels=pixels, confidence=whole.confidence * mask, seen=mask.copy())
    found = fit(problem, body, vposer, WHOLE_BODY)
    away = errors(found.parameters, problem, body, vposer)[:, ~gone]
    assert np.median(away) < 3.0
    assert np.median(away, axis=1).max() < 15.0


LONE = {
    "face": ("right_face", "left_face", "face"),
    "one hand": ("left_hand_",),
    "three points of a hand": ("left_hand_index", "left_hand_wrist"),
    "both hands": ("left_hand_", "right_hand_"),
    "nose and hands": ("nose", "left_hand_", "right_hand_"),
    "two of the body and a hand": ("left_elbow", "left_wrist", "left_hand_"),
    "three of the body and a hand": ("nose", "left_eye", "right_eye", "left_hand_"),
}
"""What is labelled of a person, by how the names of the points begin."""


@pytest.fixture(scope="module")
def solver(body: BodyModelData, vposer: PosePrior) -> Batched:
    return Batched(body, vposer, WHOLE_BODY, whole_problem(body, 1))


@pytest.mark.parametrize("which", list(LONE))
def test_whoever_shows_no_body_stands_where_he_was_labelled(
    solver: Batched, body: BodyModelData, vposer: PosePrior, which: str
) -> None:
    """Far from the photo's centre, where the camera's axis would leave him hundreds of px away."""
    whole = whole_problem(body, 8, noise=1.5, seed=5)
    kept = np.array([name.startswith(LONE[which]) for name in whole.names])
    mask = np.broadcast_to(kept, whole.seen.shape)
    pixels = np.where(kept[None, :, None], whole.pixels + [900.0, -500.0], 0.0)
    problem = replace(whole, pixels=pixels, confidence=whole.confidence * mask, seen=mask.copy())
    found = solver.fit(problem)
    away = np.median(errors(found.parameters, problem, body, vposer)[:, kept], axis=1)
    assert away.max() < 5.0
    true_depth = whole_truth(body, 8, seed=5)["transl"][:, 2]
    assert np.median(np.abs(found.parameters.transl[:, 2] / true_depth - 1)) < 0.5
    assert np.abs(found.parameters.betas).max() < 4.0  # a body in the wrong place bends its shape to reach


def test_every_body_model_has_settings() -> None:
    assert set(SETTINGS) == {"smplx", "smpl", "mano_right", "mano_left", "flame"}
