"""Self-penetration: its value worked out by hand, the spheres of the open body, and what it does to a fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from annotator.bodies.files import BodyModelData, default_root
from annotator.errors import RecipeError
from annotator.fitting import plans
from annotator.fitting.batched import Batched
from annotator.fitting.engines import TORCH, solver_for
from annotator.fitting.evaluate import final_objective, objective_of, to_tensors
from annotator.fitting.objective import Decoder, Objective
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import BODY25
from annotator.fitting.problem import Problem
from annotator.fitting.reference import OfficialPoints
from annotator.fitting.result import Result
from annotator.fitting.settings import Settings
from annotator.fitting.sphere_term import SphereCentres, overlap_term, spheres_in
from annotator.fitting.spheres import SPHERES, Spheres, may_touch, spheres_of
from annotator.fitting.stages import SMPL, WHOLE_BODY
from annotator.prior import PosePrior
from annotator.recipe import parse_recipe
from tests.support.fitting import posed_by, problem_of, random_parameters, whole_problem

ARM_IN = {45 + 2: -1.2, 51 + 2: -1.1}
"""Left shoulder and left elbow, about z: the arm hangs and the forearm points into the belly."""
QUICK = Settings(iterations=(20, 30), gain=(1e-3, 1e-5), damping=(1e-2, 1e-3), threads=1)


def test_two_spheres_cost_the_square_of_what_they_overlap() -> None:
    """Radii 0.3 and 0.2 m at 0.4 m overlap by 0.1; a third, 1 m away, touches neither."""
    centres = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.4, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64).requires_grad_()
    pairs, reach = torch.tensor([[1, 0], [2, 0], [2, 1]]), torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64)
    value = overlap_term(centres, pairs, reach)
    value.sum().backward()
    assert value.tolist() == pytest.approx([0.01])
    assert centres.grad is not None
    assert centres.grad.numpy() == pytest.approx(np.array([[[0, 0.2, 0], [0, -0.2, 0], [0, 0, 0]]]))


@pytest.fixture(scope="module", params=["smplx", "smpl"])
def spheres(request: pytest.FixtureRequest) -> SphereCentres:
    """Of the open body."""
    body: BodyModelData = request.getfixturevalue("body" if request.param == "smplx" else "smpl")
    found = spheres_in(body, 1.0)
    assert found is not None
    return found.double()


def posed(spheres: SphereCentres, angles: dict[int, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Depths of all pairs of the mean body with some angles of its pose, and its parameters."""
    pose = torch.zeros(1, 63, dtype=torch.float64)
    for index, angle in angles.items():
        pose[0, index] = angle
    given = {"betas": torch.zeros(1, 10, dtype=torch.float64), "body_pose": pose}
    centres = spheres(given)[0]
    away = (centres[spheres.pairs[:, 0]] - centres[spheres.pairs[:, 1]]).norm(dim=-1)
    return (spheres.reach - away).clamp(min=0), given


@pytest.mark.parametrize("down", [0.0, 0.9, 1.4])
def test_nothing_penetrates_at_rest_in_an_a_pose_or_with_hanging_arms(spheres: SphereCentres, down: float) -> None:
    depth, given = posed(spheres, {45 + 2: -down, 48 + 2: down})
    assert depth.max() == 0
    assert spheres.term(given).item() == 0


def test_no_pair_had_to_be_left_out_of_the_open_body(body: BodyModelData, smpl: BodyModelData) -> None:
    pairs = sum(may_touch(a.part, b.part) for i, a in enumerate(SPHERES) for b in SPHERES[:i])
    for one in (body, smpl):
        found = spheres_of(one)
        assert found is not None
        assert len(found.pairs) == pairs
        assert found.radius.min() > 0.01


def test_a_forearm_in_the_belly_penetrates(spheres: SphereCentres) -> None:
    depth, _ = posed(spheres, ARM_IN)
    parts = {(SPHERES[i].part, SPHERES[j].part) for i, j in spheres.pairs[depth > 0].tolist()}
    assert ("left_forearm", "torso") in parts or ("left_hand", "torso") in parts
    assert {b for _, b in parts} == {"torso"}
    assert depth.max() > 0.02


def test_parts_that_hang_on_each_other_are_not_compared() -> None:
    for one, other in (("torso", "head"), ("left_thigh", "torso"), ("left_forearm", "left_hand")):
        assert not may_touch(one, other)
        assert not may_touch(other, one)
    assert not may_touch("left_thigh", "right_thigh")
    for one, other in (("left_hand", "right_hand"), ("left_forearm", "torso"), ("left_thigh", "right_shin")):
        assert may_touch(one, other)


def test_hands_and_heads_have_no_spheres(hand: BodyModelData, face: BodyModelData) -> None:
    assert spheres_of(hand) is None
    assert spheres_in(face, 1.0) is None


def test_the_reference_mode_has_the_same_term(body: BodyModelData, vposer: PosePrior) -> None:
    problem = replace(whole_problem(body, 1), penetration=1e6)
    given = random_parameters("smplx", 1)
    assert given.latent is not None
    latent = 3.5 * np.random.default_rng(0).normal(size=(20, 32))[8:9]
    values = to_tensors(given.replaced(latent=latent))
    official = OfficialPoints(default_root(), body, problem)
    theirs = Objective(problem, official, Decoder(body, vposer), spheres_in(body, 1.0)).double()
    ours = objective_of(problem, body, vposer)
    found = ours.terms(values, WHOLE_BODY[4])["penetration"].item()
    assert found > 0
    assert theirs.terms(values, WHOLE_BODY[4])["penetration"].item() == pytest.approx(found, rel=1e-9)
    assert ours.terms(values, WHOLE_BODY[3])["penetration"].item() == pytest.approx(0.01 * found)
    assert ours.terms(values, WHOLE_BODY[2])["penetration"].item() == 0


@pytest.fixture(scope="module")
def arm_in(smpl: BodyModelData) -> tuple[Problem, Parameters]:
    """Somebody whose joints in 3D put his left forearm into his belly, and who starts there."""
    pose = np.zeros((1, 69))
    for index, angle in ARM_IN.items():
        pose[0, index] = angle
    truth = {
        "global_orient": np.array([[np.pi, 0.0, 0.0]]),
        "body_pose": pose,
        "betas": np.zeros((1, 10)),
        "transl": np.array([[0.0, 0.2, 12.0]]),
    }
    names = BODY25
    empty = problem_of(smpl, names, np.zeros((1, len(names), 2)))
    whole = posed_by(smpl, truth)
    points = empty.point_map(smpl).apply(whole.joints, whole.vertices)
    problem = problem_of(smpl, names, points, data_weight=np.full(1, 1000.0), rho=0.15)
    return problem, Parameters.zeros(1, "smpl").replaced(**truth)


def fitted(problem: Problem, start: Parameters, smpl: BodyModelData) -> Result:
    return Batched(smpl, None, SMPL, problem, QUICK).fit(problem, start)


def test_an_arm_inside_the_belly_comes_out_if_asked_to(arm_in: tuple[Problem, Parameters], smpl: BodyModelData) -> None:
    problem, start = arm_in
    asked = replace(problem, penetration=1e6)
    without, with_it = fitted(problem, start, smpl), fitted(asked, start, smpl)
    depths = [
        final_objective(found.parameters, asked, smpl, None).terms["penetration"].item() for found in (without, with_it)
    ]
    assert depths[0] > 100
    assert depths[1] < 0.5 * depths[0]
    assert "penetration" not in without.terms
    judged = final_objective(with_it.parameters, asked, smpl, None)
    assert set(judged.terms) <= set(with_it.terms)
    assert with_it.terms["penetration"] == pytest.approx(judged.terms["penetration"], rel=5e-3, abs=0.01)
    assert with_it.objective == pytest.approx(judged.objective, rel=1e-4)


def test_where_nothing_overlaps_the_fit_is_that_without_the_term(
    arm_in: tuple[Problem, Parameters], smpl: BodyModelData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit: with spheres of no size the term's code runs and adds nothing."""
    problem, start = arm_in

    def tiny(body: BodyModelData) -> Spheres | None:
        found = spheres_of(body)
        return found and replace(found, radius=np.zeros_like(found.radius))

    without = fitted(problem, start, smpl)
    monkeypatch.setattr(plans, "spheres_of", tiny)
    with_it = fitted(replace(problem, penetration=1e6), start, smpl)
    for name, values in without.parameters.items().items():
        assert np.array_equal(values, with_it.parameters.items()[name]), name
    assert np.array_equal(without.objective, with_it.objective)
    assert with_it.terms["penetration"].item() == 0


def test_the_solver_in_torch_ends_alike(arm_in: tuple[Problem, Parameters], smpl: BodyModelData) -> None:
    problem, start = replace(arm_in[0], penetration=1e6), arm_in[1]
    by_kernels = fitted(problem, start, smpl)
    by_torch = solver_for(smpl, None, SMPL, problem, QUICK, engine=TORCH).fit(problem, start)
    assert by_torch.objective == pytest.approx(by_kernels.objective, rel=5e-3)
    assert list(by_torch.terms) == list(by_kernels.terms)
    assert by_torch.terms["penetration"] == pytest.approx(by_kernels.terms["penetration"], rel=0.05)


def test_the_recipe_takes_no_weight_below_zero() -> None:
    assert parse_recipe({"smplify": {"penetration": 1e6}}, "mine").smplify.penetration == 1e6
    assert parse_recipe({"smplifyx": {}}, "mine").smplifyx.penetration == 0
    with pytest.raises(RecipeError, match=r"penetration = -1\.0 must be 0 or more"):
        parse_recipe({"smplifyx": {"penetration": -1.0}}, "mine")
