"""The objective as a whole: its gradients, and that the smplx package's full mesh gives the same values."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.fitting.evaluate import final_objective, objective_of, to_tensors
from annotator.fitting.objective import BodyPrior, Decoder, Objective
from annotator.fitting.parameters import free_names
from annotator.fitting.problem import Problem
from annotator.fitting.reference import OfficialPoints
from annotator.fitting.stages import SCHEDULES
from annotator.prior import GaussianMixture, PosePrior
from tests.support.fitting import face_problem, hand_problem, random_parameters, whole_problem

PEOPLE = 3


@pytest.fixture(scope="module")
def problems(body: BodyModelData, hand: BodyModelData, face: BodyModelData) -> dict[str, Problem]:
    """A problem of every 2D kind, with confidences of all sizes."""
    rng = np.random.default_rng(1)
    found = {
        "smplx": whole_problem(body, PEOPLE, noise=20.0),
        "mano_right": hand_problem(hand, PEOPLE, noise=20.0),
        "flame": face_problem(face, PEOPLE, noise=20.0),
    }
    return {name: replace(p, confidence=rng.uniform(0, 1, p.confidence.shape).round(1)) for name, p in found.items()}


def prior_of(model: str, vposer: PosePrior) -> BodyPrior:
    return vposer if model == "smplx" else None


@pytest.mark.parametrize("model", ["smplx", "mano_right", "flame"])
def test_gradients_are_those_of_finite_differences(problems: dict[str, Problem], vposer: PosePrior, model: str) -> None:
    problem, body, stage = problems[model], load_body_model(default_root(), model), SCHEDULES[model][-1]
    objective = objective_of(problem, body, prior_of(model, vposer))
    parameters = random_parameters(model, PEOPLE)
    values = to_tensors(parameters)
    rng = np.random.default_rng(2)
    for name in free_names(model, parameters, transl=True):
        leaf = values[name].clone().requires_grad_()
        objective(values | {name: leaf}, stage).sum().backward()
        assert leaf.grad is not None
        way = torch.as_tensor(rng.normal(size=leaf.shape))
        with torch.no_grad():
            ahead, behind = (objective(values | {name: values[name] + h * way}, stage).sum() for h in (1e-6, -1e-6))
        slope = float((ahead - behind) / 2e-6)
        assert float((leaf.grad * way).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-3), name


@pytest.mark.parametrize("model", ["smplx", "mano_right", "flame"])
def test_the_full_mesh_of_the_smplx_package_gives_the_same_values(
    problems: dict[str, Problem], vposer: PosePrior, model: str
) -> None:
    problem, body = problems[model], load_body_model(default_root(), model)
    prior = prior_of(model, vposer)
    parameters = random_parameters(model, PEOPLE, seed=3)
    official = Objective(problem, OfficialPoints(default_root(), body, problem, PEOPLE), Decoder(body, prior)).float()
    with torch.no_grad():
        for stage in SCHEDULES[model]:
            ours = final_objective(parameters, problem, body, prior, stage).objective
            theirs = official(to_tensors(parameters, dtype=torch.float32), stage).double().numpy()
            assert ours == pytest.approx(theirs, rel=1e-5)


def test_smpl_with_the_mixture_too(smpl: BodyModelData, body: BodyModelData, gmm: GaussianMixture) -> None:
    whole = whole_problem(body, 2, noise=5.0)
    few = {name: getattr(whole, name)[:, :25] for name in ("pixels", "confidence", "seen")}
    problem = replace(whole, **few, model="smpl", names=whole.names[:25], group=whole.group[:25])
    parameters = random_parameters("smpl", 2, seed=4)
    official = Objective(problem, OfficialPoints(default_root(), smpl, problem, 2), Decoder(smpl, gmm)).float()
    stage = SCHEDULES["smpl"][-1]
    with torch.no_grad():
        theirs = official(to_tensors(parameters, dtype=torch.float32), stage).double().numpy()
    assert final_objective(parameters, problem, smpl, gmm, stage).objective == pytest.approx(theirs, rel=1e-5)


def test_people_do_not_mix(problems: dict[str, Problem], body: BodyModelData, vposer: PosePrior) -> None:
    problem, parameters = problems["smplx"], random_parameters("smplx", PEOPLE)
    together = final_objective(parameters, problem, body, vposer)
    alone = final_objective(parameters.take(slice(1, 2)), problem.take(slice(1, 2)), body, vposer)
    assert alone.objective == pytest.approx(together.objective[1:2], rel=1e-12)
    assert together.objective == pytest.approx(sum(together.terms.values()), rel=1e-12)
