"""Every term of the objective against numbers worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import Batched
from annotator.fitting.evaluate import final_objective
from annotator.fitting.objective import (
    Decoder,
    Objective,
    Variables,
    bending_term,
    geman_mcclure,
    points_term,
    project,
    weighted_square,
)
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import Fitting, people_of
from annotator.fitting.problem import L1
from annotator.fitting.settings import Settings
from annotator.fitting.stages import SCHEDULES, WHOLE_BODY, Stage
from annotator.prior import GaussianMixture, PosePrior
from annotator.sample import Samples
from annotator.skeleton import COCO, HUMAN36M
from tests.support.fitting import problem_of, random_parameters, whole_problem

LAST = WHOLE_BODY[-1]
NOTHING = Stage(0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)
NAMES = ("nose", "left_hand_index1", "right_face30")
"""One point of the body, one of a hand, one of the face."""


class Given(nn.Module):
    """Points that do not depend on the parameters."""

    def __init__(self, points: Tensor) -> None:
        super().__init__()
        self.points = points

    def forward(self, parameters: Variables) -> Tensor:
        return self.points


def one(body: BodyModelData, prior: PosePrior | None, away: float = 3.0) -> tuple[Objective, dict[str, Tensor]]:
    """One person whose points lie `away` px to the right of where they were seen, and zeros for parameters."""
    points = torch.tensor([[[0.0, 0.0, 10.0]] * 3], dtype=torch.float64)
    target = np.tile([500.0 - away, 500.0], (1, 3, 1))
    problem = problem_of(body, NAMES, target, data_weight=np.array([2.0]), anchors=(0,))
    objective = Objective(problem, Given(points), Decoder(body, prior)).double()
    zeros = Parameters.zeros(1, "smplx", latent=prior is not None)
    return objective, {name: torch.tensor(values) for name, values in zeros.items().items()}


def test_the_robust_function_is_square_near_zero_half_at_rho_and_never_above_rho_squared() -> None:
    values = geman_mcclure(torch.tensor([1e-3, 100.0, 1e6], dtype=torch.float64), 100.0)
    assert values.tolist() == pytest.approx([1e-6, 5000.0, 10000.0], rel=1e-6)


def test_points_count_by_the_square_of_weight_and_data_weight() -> None:
    residual = torch.tensor([[[3.0, 4.0], [100.0, 0.0]]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    value = points_term(residual, weight, torch.tensor([10.0]), robust="geman_mcclure", rho=100.0)
    by_hand = 100.0 * (1e4 * 9 / (9 + 1e4) + 1e4 * 16 / (16 + 1e4) + 0.25 * 5000.0)
    assert value.item() == pytest.approx(by_hand)
    plain = points_term(residual, weight, torch.tensor([10.0]), robust=L1, rho=100.0)
    assert plain.item() == pytest.approx(10.0 * (7.0 + 0.5 * 100.0))


@pytest.mark.parametrize(("robust", "by_hand"), [("geman_mcclure", 1e6 * (9e-6 + 0.25 * 4e-6)), (L1, 3.0 + 0.5 * 2.0)])
def test_the_3d_weight_multiplies_squared_metres_and_its_root_plain_ones(
    body: BodyModelData, vposer: PosePrior, robust: str, by_hand: float
) -> None:
    """Joints 3 mm and, with half the confidence, 2 mm away: the published 10^6 per square metre, 1000 per metre."""
    joints = np.zeros((2, 17, 4), np.float32)
    joints[:, :2, 3] = 1.0, 0.5
    samples = in_3d(joints)
    problem, _ = people_of(samples, body, Fitting(in_3d=True, robust=robust, rho_3d=1e3))
    points = torch.zeros(2, 17, 3, dtype=torch.float64)
    points[:, 0, 1], points[:, 1, 2] = 3e-3, -2e-3
    problem = replace(problem, confidence=joints[..., 3].astype(np.float64), seen=joints[..., 3] > 0)
    objective = Objective(problem, Given(points), Decoder(body, vposer)).double()
    zeros = {name: torch.tensor(v) for name, v in Parameters.zeros(2, "smplx").items().items()}
    assert objective.terms(zeros, LAST)["points"].tolist() == pytest.approx([by_hand] * 2)


def in_3d(joints: np.ndarray) -> Samples:
    """People in a photo whose Human3.6M joints these are."""
    count = len(joints)
    return Samples.of_columns(
        part="body",
        skeleton=COCO,
        box_drawn=False,
        keys=[f"s/{n}" for n in range(count)],
        root="s",
        images=["a.jpg"] * count,
        sizes=np.tile([640, 480], (count, 1)),
        boxes=np.tile(np.array([100, 100, 200, 300], np.float32), (count, 1)),
        keypoints=np.zeros((count, len(COCO), 3), np.float32),
        joints=joints,
        joint_skeleton=HUMAN36M,
    )


def test_a_point_without_weight_may_be_no_number() -> None:
    residual = torch.tensor([[[math.nan, 1.0], [2.0, 0.0]]])
    value = points_term(residual, torch.tensor([[0.0, 1.0]]), torch.ones(1), robust=L1, rho=1.0)
    assert value.item() == pytest.approx(2.0)


def test_elbows_and_knees_pay_for_bending_the_wrong_way() -> None:
    pose = torch.zeros(2, 63, dtype=torch.float64)
    pose[1, 52], pose[1, 55], pose[1, 9], pose[1, 12] = 0.3, 0.2, 0.5, -0.1
    straight, bent = bending_term(pose).tolist()
    assert straight == 4.0
    assert bent == pytest.approx(math.exp(0.6) + math.exp(-0.4) + math.exp(-1.0) + math.exp(0.2))


def test_weights_of_the_jaw_stand_inside_the_square() -> None:
    assert weighted_square(torch.tensor([[1.0, 2.0, 3.0]]), (2.0, 1.0, 0.5)).item() == pytest.approx(4 + 4 + 2.25)


def test_a_pinhole_with_two_focal_lengths() -> None:
    pixels = project(torch.tensor([[[1.0, 2.0, 4.0]]]), torch.tensor([[100.0, 200.0]]), torch.tensor([[7.0, 9.0]]))
    assert pixels.tolist() == [[[32.0, 109.0]]]


def test_hands_and_face_weigh_as_the_stage_says(body: BodyModelData) -> None:
    objective, zeros = one(body, None)
    each = 4.0 * 1e4 * 9 / (9 + 1e4)
    found = [objective.terms(zeros, stage)["points"].item() for stage in WHOLE_BODY]
    assert found == pytest.approx([each, each, each, each * 1.01, each * 9.0])


def test_every_prior_is_its_weight_squared_times_the_squared_length(body: BodyModelData, vposer: PosePrior) -> None:
    objective, values = one(body, vposer, away=0.0)
    for name in ("latent", "betas", "expression", "jaw_pose", "left_hand_pose", "leye_pose"):
        values[name][0, 1] = 2.0
    terms = {name: value.item() for name, value in objective.terms(values, LAST).items()}
    basis = body.hand_components["left"][1]
    assert terms["points"] == 0.0
    assert terms["body_prior"] == pytest.approx(4.78**2 * 4)
    assert terms["shape"] == terms["expression"] == pytest.approx(25.0 * 4)
    assert terms["jaw"] == pytest.approx(478.0**2 * 4)
    assert terms["left_hand"] == pytest.approx(4.78**2 * 4 * float(basis @ basis), rel=1e-6)
    assert terms["right_hand"] == 0.0
    pose = objective.decoder(values)["body_pose"]
    assert terms["bending"] == pytest.approx(3.17 * 4.78 * bending_term(pose).item())
    assert sum(terms.values()) == pytest.approx(objective(values, LAST).item())


def test_without_a_prior_the_pose_itself_is_squared(body: BodyModelData) -> None:
    objective, values = one(body, None)
    values["body_pose"][0, :2] = torch.tensor([0.3, 0.4])
    assert objective.terms(values, LAST)["body_prior"].item() == pytest.approx(4.78**2 * 0.25)


def test_the_mixture_is_half_the_nearest_mahalanobis_distance_and_its_constant(
    smpl: BodyModelData, gmm: GaussianMixture
) -> None:
    points = torch.zeros(1, 1, 3, dtype=torch.float64) + 1
    problem = problem_of(smpl, ("nose",), np.zeros((1, 1, 2)), anchors=(0,))
    objective = Objective(problem, Given(points), Decoder(smpl, gmm)).double()
    values = {name: torch.tensor(v) for name, v in Parameters.zeros(1, "smpl").items().items()}
    whitening = gmm.whitening.double()
    for k in range(len(whitening)):
        values["body_pose"] = gmm.means[k : k + 1].double() + 0.01
        away = values["body_pose"] - gmm.means.double()
        squared = torch.einsum("kd,kde->ke", away, whitening).square().sum(dim=1)
        energies = (0.5 * squared + gmm.constants.double()).tolist()
        found = objective.terms(values, SCHEDULES["smpl"][-1])["body_prior"].item()
        assert found == pytest.approx(4.78**2 * min(energies), rel=1e-6)


def test_the_camera_squares_its_anchors_and_holds_the_depth(body: BodyModelData) -> None:
    objective, values = one(body, None, away=300.0)
    values["transl"][0, 2] = 1.5
    # neither the anchors nor the points of the body are three, so all that are seen count, those of hand and face too
    by_hand = 3 * 4 * 300.0**2 + (100.0 * 0.5) ** 2
    assert objective.camera(values, torch.tensor([1.0])).item() == pytest.approx(by_hand)


def test_a_weight_of_zero_leaves_its_term_out(body: BodyModelData, vposer: PosePrior) -> None:
    objective, values = one(body, vposer)
    values = {name: tensor + 0.1 for name, tensor in values.items()}
    terms = objective.terms(values, NOTHING)
    assert {name for name, value in terms.items() if value.item() != 0.0} == {"points"}
    alone = objective.terms(values, replace(NOTHING, shape=2.0))
    assert {name for name, value in alone.items() if value.item() != 0.0} == {"points", "shape"}


UNEVEN = Stage(2.0, 3.0, 5.0, 7.0, (11.0, 13.0, 17.0), 0.5, 0.25)
"""No two weights alike, so that none can stand in for another."""


def test_no_weight_stands_in_for_another(body: BodyModelData, vposer: PosePrior) -> None:
    """Hand-computed: one number of each kind is 2, the jaw's three are 1, 2 and 3."""
    objective, values = one(body, vposer)
    for name in ("latent", "betas", "expression", "left_hand_pose", "right_hand_pose"):
        values[name][0, 2] = 2.0
    values["jaw_pose"][0] = torch.tensor([1.0, 2.0, 3.0])
    terms = {name: value.item() for name, value in objective.terms(values, UNEVEN).items()}
    each = 4.0 * 1e4 * 9 / (9 + 1e4)
    assert terms["points"] == pytest.approx(each * (1 + 0.5**2 + 0.25**2))
    assert terms["body_prior"] == pytest.approx(4 * 4)
    assert terms["shape"] == pytest.approx(9 * 4)
    assert terms["expression"] == pytest.approx(25 * 4)
    for side in ("left", "right"):
        length = float(np.square(body.hand_components[side][2].astype(np.float64)).sum())
        assert terms[f"{side}_hand"] == pytest.approx(49 * 4 * length, rel=1e-6)
    assert terms["jaw"] == pytest.approx(121 * 1 + 169 * 4 + 289 * 9)
    bends = bending_term(objective.decoder(values)["body_pose"]).item()
    assert terms["bending"] == pytest.approx(3.17 * 2 * bends)


def test_nor_in_the_batched_solver(body: BodyModelData, vposer: PosePrior) -> None:
    """What it reports of a fit under those weights is what the objective says of it, term by term."""
    problem = whole_problem(body, 2, noise=2.0)
    few = Settings(skip=0, iterations=(2,), gain=(0.0,), damping=(1e-2,), starts=1, threads=1)
    found = Batched(body, vposer, (UNEVEN,), problem, few).fit(problem, random_parameters("smplx", 2))
    judged = final_objective(found.parameters, problem, body, vposer, UNEVEN)
    assert set(judged.terms) == set(found.terms)
    for name, values in judged.terms.items():
        assert (values > 0).all(), name
        assert found.terms[name] == pytest.approx(values, rel=2e-3), name


def test_the_schedule_is_the_published_one() -> None:
    """fit_smplx.yaml and fit_smpl.yaml, column by column."""
    columns = {
        "body_prior": (404.0, 404.0, 57.4, 4.78, 4.78),
        "shape": (100.0, 50.0, 10.0, 5.0, 5.0),
        "expression": (100.0, 50.0, 10.0, 5.0, 5.0),
        "hand_prior": (404.0, 404.0, 57.4, 4.78, 4.78),
        "hand_points": (0, 0, 0, 0.1, 2),
        "face_points": (0, 0, 0, 0, 2),
        "penetration": (0, 0, 0, 0.01, 1),
    }
    for name, column in columns.items():
        assert tuple(getattr(stage, name) for stage in WHOLE_BODY) == column, name
    jaws = [(x, 10 * x, 10 * x) for x in (4040.0, 4040.0, 574.0, 47.8, 47.8)]
    assert [stage.jaw for stage in WHOLE_BODY] == jaws
    assert [stage.bending for stage in WHOLE_BODY] == pytest.approx([3.17 * w for w in columns["body_prior"]])
    smpl = {
        "body_prior": (404.0, 404.0, 57.4, 4.78),
        "shape": (100.0, 50.0, 10.0, 5.0),
        "penetration": (0, 0, 0.01, 1),
    }
    for name, column in smpl.items():
        assert tuple(getattr(stage, name) for stage in SCHEDULES["smpl"]) == column, name
    assert {(s.hand_points, s.face_points, s.hand_prior, s.expression) for s in SCHEDULES["smpl"]} == {(0, 0, 0, 0)}
    for model, points in (("mano_left", "hand_points"), ("mano_right", "hand_points"), ("flame", "face_points")):
        schedule = SCHEDULES[model]
        assert schedule == tuple(replace(stage, **{points: 1.0}) for stage in WHOLE_BODY[2:]), model


def test_priors_are_weakened_together_and_points_are_not() -> None:
    weak = LAST.with_priors(0.1)
    assert (weak.body_prior, weak.shape, weak.expression) == pytest.approx((0.478, 0.5, 0.5))
    assert (weak.hand_prior, *weak.jaw) == pytest.approx((0.478, 4.78, 47.8, 47.8))
    assert (weak.hand_points, weak.face_points) == (2.0, 2.0)


def test_a_prior_keeps_its_precision_whatever_the_objective_is_cast_to(body: BodyModelData, vposer: PosePrior) -> None:
    before = next(vposer.parameters()).dtype
    Decoder(body, vposer).double()
    assert next(vposer.parameters()).dtype is before
