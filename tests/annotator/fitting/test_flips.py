"""Limbs mirrored in depth: by arithmetic, against VPoser itself, and what they are worth to fits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.fitting import layout, walk
from annotator.fitting.batched import Batched
from annotator.fitting.flips import BONES, FLIPS, LIMBS, Flips
from annotator.fitting.kernels_pose import decode_poses, encode_poses
from annotator.fitting.pose_codes import axis_angles_of, encoder_of, rotations_of
from annotator.fitting.settings import SETTINGS
from annotator.fitting.stages import WHOLE_BODY
from annotator.prior import PosePrior, VPoser, VPoserV2
from tests.support.fitting import whole_problem

PEOPLE = 24


@pytest.fixture(scope="module")
def solver(body: BodyModelData, vposer: PosePrior) -> Batched:
    return Batched(body, vposer, WHOLE_BODY, whole_problem(body, PEOPLE), replace(SETTINGS["smplx"], threads=2))


def placed(body: BodyModelData, axis_angles: np.ndarray, states: np.ndarray, solver: Batched) -> np.ndarray:
    """`(n, J, 3)` joints, by the evaluator of the desk."""
    frame, count = solver.frame, len(states)
    parameters = {
        "global_orient": axis_angles_of(states[:, None, frame.size :].reshape(count, 1, 3, 3)),
        "body_pose": axis_angles,
        "betas": states[:, frame.shape_at : frame.shape_at + 10],
        "transl": states[:, frame.transl_at : frame.size],
    }
    return Poser(body).pose({name: values.astype(np.float32) for name, values in parameters.items()}).joints[:, :22]


def across_the_ray(near: np.ndarray, bone: np.ndarray) -> np.ndarray:
    ray = near / np.linalg.norm(near)
    return bone - 2 * (bone @ ray) * ray


def test_a_mirrored_bone_ends_across_the_viewing_ray_and_nothing_else_moves(
    body: BodyModelData, solver: Batched
) -> None:
    rng = np.random.default_rng(3)
    frame, poses = solver.frame, rng.normal(0, 0.4, (5, 63))
    states = np.zeros((5, frame.size + 9))
    states[:, frame.shape_at : frame.shape_at + 10] = rng.normal(0, 1, (5, 10))
    states[:, frame.transl_at : frame.size] = [0.4, -0.3, 5.0]
    states[:, frame.size :] = axis_angle_to_matrix(rng.normal(0, 1.0, (5, 3))).reshape(5, 9)
    local = axis_angle_to_matrix(poses.reshape(5, 21, 3)).astype(np.float64)
    mirrored = Flips(frame, body).mirrored(states, local)
    assert mirrored.shape == (5, FLIPS, 21, 3, 3)
    assert np.allclose(mirrored @ np.swapaxes(mirrored, -1, -2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(mirrored), 1, atol=1e-5)
    before = placed(body, poses, states, solver)
    for row in range(FLIPS):
        after = placed(body, axis_angles_of(mirrored[:, row]), states, solver)
        upper, lower, end = LIMBS[row // 3]
        flips_upper, flips_lower = BONES[row % 3]
        for n in range(5):
            first, second = before[n, lower] - before[n, upper], before[n, end] - before[n, lower]
            wanted = before[n, upper] + (across_the_ray(before[n, upper], first) if flips_upper else first)
            assert np.allclose(after[n, lower], wanted, atol=2e-5)
            wanted += across_the_ray(before[n, lower], second) if flips_lower else second
            assert np.allclose(after[n, end], wanted, atol=2e-5)
        others = [j for j in range(22) if j not in {lower, end, end + 3}]  # an ankle's foot goes with it
        assert np.allclose(after[:, others], before[:, others], atol=2e-5)


def test_a_bone_along_the_ray_is_turned_round(body: BodyModelData, solver: Batched) -> None:
    frame = solver.frame
    states = np.zeros((1, frame.size + 9))
    states[:, frame.size :] = np.eye(3).ravel()
    straight = np.tile(np.eye(3), (1, 21, 1, 1))
    flips = Flips(frame, body)
    _, places = flips._chain(states, straight)
    elbow, wrist = places[0, 18], places[0, 20]
    along = (elbow - wrist) / np.linalg.norm(elbow - wrist)
    states[:, frame.transl_at : frame.size] = 3.0 * along - elbow  # the elbow straight behind the wrist
    mirrored = flips.mirrored(states, straight)
    turns, after = flips._chain(states, mirrored[:, 1])
    assert np.allclose(after[0, 20] - after[0, 18], elbow - wrist, atol=1e-6)
    assert np.isfinite(mirrored).all()
    assert np.allclose(turns[0] @ np.swapaxes(turns[0], 1, 2), np.eye(3), atol=1e-9)


@pytest.mark.parametrize("version", [VPoser, VPoserV2])
def test_the_encoder_is_vposers(version: type) -> None:
    torch.manual_seed(5)
    prior = version()
    for module in prior.modules():  # a batch norm that has learnt something
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.2, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    prior = prior.eval().double()
    poses = np.random.default_rng(7).normal(0, 0.5, (9, 63))
    encoder, found = encoder_of(prior, np.float64), np.empty((9, 32))
    encode_poses(encoder, poses, np.empty((2, 512)), found)
    with torch.no_grad():
        assert np.allclose(found, prior.encode(torch.from_numpy(poses))[0].numpy(), atol=1e-9)


def test_the_decoder_is_vposers(solver: Batched, vposer: PosePrior) -> None:
    plan, frame = solver.plans[False][-1], solver.frame
    states = np.random.default_rng(9).normal(0, 1, (7, frame.size + 9)).astype(np.float32)
    outputs = np.empty((7, layout.OUT), np.float32)
    decode_poses(plan.whole, plan.net, np.zeros(plan.scratch, np.float32), states, outputs)
    with torch.no_grad():
        wanted = vposer.decode(torch.from_numpy(states[:, frame.pose_at : frame.root_at])).numpy()
    assert np.allclose(rotations_of(outputs[:, :126]), wanted, atol=2e-5)


def test_fits_end_lower_with_mirrored_limbs_than_without(
    body: BodyModelData, solver: Batched, vposer: PosePrior
) -> None:
    problem = whole_problem(body, PEOPLE, noise=1.5)
    plain = Batched(body, vposer, WHOLE_BODY, problem, solver.settings)
    plain.flips = None
    ratio = solver.fit(problem).objective / plain.fit(problem).objective
    assert (ratio < 0.98).any()
    assert (ratio < 1.02).mean() > 0.9


def test_the_best_come_first_and_numbers_that_are_none_last() -> None:
    values = np.array([[3.0, np.nan, 1.0, 2.0], [np.inf, 5.0, 5.0, np.nan]])
    assert walk.best_of(values, 2).tolist() == [[2, 3], [1, 2]]
