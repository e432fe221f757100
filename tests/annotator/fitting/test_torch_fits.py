"""The torch solver: the kernels' fits for every body and target, spoilt people, chunks, refusals, and a GPU where there is one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import TOO_FEW_POINTS, Batched, fit
from annotator.fitting.engines import NUMBA, TORCH, engine_for, solver_for
from annotator.fitting.evaluate import final_objective, objective_of, to_tensors
from annotator.fitting.objective import BodyPrior, project
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import BODY25
from annotator.fitting.problem import L1, Problem
from annotator.fitting.result import NOT_FINITE, Result
from annotator.fitting.settings import SETTINGS, Settings
from annotator.fitting.solver import CONVERGED, EXHAUSTED, STUCK, Limits
from annotator.fitting.solver import NOT_FINITE as NOWHERE
from annotator.fitting.stages import FACE, HAND, SMPL, WHOLE_BODY, Stage
from annotator.fitting.torch_batched import TorchBatched
from annotator.fitting.torch_memory import ON_CPU, free_memory, people_at_once
from annotator.fitting.torch_solver import minimise
from annotator.prior import GaussianMixture, PosePrior
from annotator.skeleton import HAND as HAND_POINTS
from tests.support.fitting import (
    face_problem,
    hand_problem,
    hand_truth,
    posed_by,
    problem_of,
    seen,
    whole_problem,
    whole_truth,
)

PEOPLE = 8


def points_of(parameters: Parameters, problem: Problem, body: BodyModelData, prior: BodyPrior) -> np.ndarray:
    """`(N, K, 2)` px or `(N, K, 3)` mm."""
    objective = objective_of(problem, body, prior)
    with torch.no_grad():
        points = objective.place(objective.decoder(to_tensors(parameters)))
        return (1000 * points if problem.in_3d else project(points, objective.focal, objective.center)).numpy()


def agree(
    problem: Problem,
    body: BodyModelData,
    prior: BodyPrior,
    stages: tuple[Stage, ...],
    *,
    within: float = 1e-3,
    apart: float = 0.1,
) -> None:
    """Fits by both solvers end alike: by the float64 judge's objective and where the points lie, px or mm."""
    ours = TorchBatched(body, prior, stages, problem).fit(problem)
    theirs = fit(problem, body, prior, stages)
    judged = [
        final_objective(result.parameters, problem, body, prior, stages[-1]).objective for result in (ours, theirs)
    ]
    ratios = judged[0] / judged[1]
    assert np.median(np.abs(ratios - 1)) < within
    assert np.abs(ratios - 1).max() < 10 * within  # where the last steps are small, rounding decides which is the last
    away = np.subtract(*(points_of(result.parameters, problem, body, prior) for result in (ours, theirs)))
    assert np.median(np.linalg.norm(away, axis=-1)) < apart
    assert list(ours.terms) == list(theirs.terms)
    assert ours.objective == pytest.approx(judged[0], rel=1e-3 if problem.in_3d else 1e-4)


def test_whole_bodies(body: BodyModelData, vposer: PosePrior) -> None:
    agree(whole_problem(body, PEOPLE, noise=1.5), body, vposer, WHOLE_BODY)


def test_smpl_with_the_mixture(smpl: BodyModelData, body: BodyModelData, gmm: GaussianMixture) -> None:
    truth = whole_truth(body, PEOPLE)
    truth = {name: truth[name] for name in ("global_orient", "transl", "body_pose", "betas")}
    truth["body_pose"] = np.pad(truth["body_pose"], ((0, 0), (0, 6)))
    posed = posed_by(smpl, truth)
    empty = problem_of(smpl, BODY25, np.zeros((1, len(BODY25), 2)))
    points = empty.point_map(smpl).apply(posed.joints, posed.vertices)
    agree(problem_of(smpl, BODY25, seen(points, noise=1.5)), smpl, gmm, SMPL)


def test_hands(hand: BodyModelData) -> None:
    agree(hand_problem(hand, PEOPLE, noise=1.5), hand, None, HAND)


def test_small_hands_whose_shape_is_at_its_bound(hand: BodyModelData) -> None:
    truth = hand_truth(hand, PEOPLE)
    truth["transl"][:, 2] *= 6
    pixels = seen(posed_by(hand, truth).points(HAND_POINTS.name), noise=0.5)
    problem = problem_of(hand, HAND_POINTS.points, pixels, skeleton=HAND_POINTS.name, data_weight=np.full(PEOPLE, 40.0))
    for solver in (Batched, TorchBatched):
        found = solver(hand, None, HAND, problem, replace(SETTINGS["mano_right"], dtype=np.float64)).fit(problem)
        assert np.abs(found.parameters.betas).max() == pytest.approx(3.0)
    agree(problem, hand, None, HAND, within=2e-2)


def test_faces(face: BodyModelData) -> None:
    agree(face_problem(face, PEOPLE, noise=1.5), face, None, FACE)


@pytest.mark.parametrize(("robust", "within", "apart"), [("geman_mcclure", 1e-3, 0.1), (L1, 2e-2, 0.3)])
def test_hands_in_3d(hand: BodyModelData, robust: str, within: float, apart: float) -> None:
    """The plain distance has no curvature where it is met, so the last steps hardly gain; joints have 1 mm of noise."""
    joints = posed_by(hand, hand_truth(hand, PEOPLE)).points(HAND_POINTS.name).astype(float)
    joints = joints + 1e-3 * np.random.default_rng(0).normal(size=joints.shape)
    more = {"data_weight": np.full(PEOPLE, 1e3), "rho": 0.15, "robust": robust}
    problem = problem_of(hand, HAND_POINTS.points, joints, skeleton=HAND_POINTS.name, **more)
    stages = tuple(stage.with_priors(0.01) for stage in HAND)
    agree(problem, hand, None, stages, within=within, apart=apart)


# -- people do not touch each other ------------------------------------------------------------------------------------------

NAN, THREE, NONE = 1, 4, 6


def spoilt(problem: Problem) -> Problem:
    """One person with a keypoint that is no number, one with three points, one with no confidence."""
    pixels, confidence, labelled = problem.pixels.copy(), problem.confidence.copy(), problem.seen.copy()
    pixels[NAN, 3] = np.nan
    confidence[THREE, 3:], labelled[THREE, 3:] = 0, False
    confidence[NONE], labelled[NONE] = 0, False
    return replace(problem, pixels=pixels, confidence=confidence, seen=labelled)


OTHERS = np.setdiff1d(np.arange(PEOPLE), [NAN, THREE, NONE])


@pytest.fixture(scope="module")
def hands(hand: BodyModelData) -> Problem:
    return hand_problem(hand, PEOPLE, noise=1.5)


def arrays(result: Result) -> np.ndarray:
    return np.concatenate([*result.parameters.items().values(), result.objective[:, None]], axis=1)


def test_spoilt_people_change_nobody_else_in_float64(hands: Problem, hand: BodyModelData) -> None:
    settings = replace(SETTINGS["mano_right"], dtype=np.float64)
    solver = TorchBatched(hand, None, HAND, hands, settings)
    clean, dirty = solver.fit(hands), solver.fit(spoilt(hands))
    assert dirty.objective[OTHERS] == pytest.approx(clean.objective[OTHERS], rel=1e-6)
    assert dirty.stop[NAN] == NOT_FINITE
    assert dirty.stop[NONE] == TOO_FEW_POINTS
    assert np.isnan(dirty.objective[[NAN, NONE]]).all()
    assert np.isfinite(arrays(dirty)[OTHERS]).all()


def test_spoilt_people_change_nobody_else_much_in_float32(hands: Problem, hand: BodyModelData) -> None:
    solver = TorchBatched(hand, None, HAND, hands)
    clean, dirty = solver.fit(hands), solver.fit(spoilt(hands))
    assert dirty.objective[OTHERS] == pytest.approx(clean.objective[OTHERS], rel=1e-3)


def test_without_compaction_they_change_no_bit(hands: Problem, hand: BodyModelData) -> None:
    solver = TorchBatched(hand, None, HAND, hands, compaction=False)
    clean, dirty = solver.fit(hands), solver.fit(spoilt(hands))
    assert np.array_equal(arrays(clean)[OTHERS], arrays(dirty)[OTHERS])
    assert not np.array_equal(arrays(clean)[THREE], arrays(dirty)[THREE])


def test_another_time_and_any_number_of_threads_give_the_same_bytes(hands: Problem, hand: BodyModelData) -> None:
    both = [
        TorchBatched(hand, None, HAND, hands, replace(SETTINGS["mano_right"], threads=threads), at_once=3).fit(hands)
        for threads in (1, 2)
    ]
    assert np.array_equal(arrays(both[0]), arrays(both[1]))


def test_a_warm_start_comes_back_to_what_was_found(hands: Problem, hand: BodyModelData) -> None:
    solver = TorchBatched(hand, None, HAND, hands)
    found = solver.fit(hands)
    again = solver.fit(hands, found.parameters)
    assert again.objective == pytest.approx(found.objective, rel=1e-2)
    assert again.iterations.sum() < found.iterations.sum()


def test_nothing_is_fitted_for_nobody(hands: Problem, hand: BodyModelData) -> None:
    nobody = TorchBatched(hand, None, HAND, hands).fit(hands.take(slice(0, 0)))
    assert len(nobody.parameters) == len(nobody.objective) == len(nobody.stop) == 0


# -- the solver alone ----------------------------------------------------------------------------------------------------


class Valleys:
    """Rosenbrock's valley (1 - x)^2 + h (y - x^2)^2 for many heights h."""

    def __init__(self, heights: torch.Tensor) -> None:
        self.heights = heights

    def take(self, rows: torch.Tensor) -> "Valleys":
        return Valleys(self.heights[rows])

    def evaluate(self, states: torch.Tensor) -> torch.Tensor:
        x, y = states.unbind(1)
        return (1 - x) ** 2 + self.heights * (y - x * x) ** 2

    def linearise(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = states.unbind(1)
        root, one = self.heights.sqrt(), torch.ones_like(x)
        rows = torch.stack([torch.stack([-one, 0 * x], 1), torch.stack([-2 * root * x, root], 1)], 1)
        residual = torch.stack([1 - x, root * (y - x * x)], 1)
        return 2 * rows.mT @ rows, 2 * (rows.mT @ residual[..., None]).squeeze(2)

    def retract(self, states: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        return states + steps


LIMITS = Limits(100, 1e-12, 3, 1e-2, 0.0)


@pytest.mark.parametrize("compaction", [True, False])
def test_the_solver_walks_many_valleys(compaction: bool) -> None:
    """Each at its own pace; one starts at a number that is none, one near its end."""
    heights = torch.tensor([1.0, 10.0, 100.0, 1000.0, 100.0, 100.0], dtype=torch.float64)
    begin = torch.tensor([[-1.2, 1.0]] * 4 + [[torch.nan, 0.0], [1.01, 1.02]], dtype=torch.float64)
    states, values, tried, stops = minimise(Valleys(heights), begin, LIMITS, compaction=compaction)
    fine = torch.tensor([0, 1, 2, 3, 5])
    assert stops[fine].tolist() == [CONVERGED] * 5
    assert (states[fine] - 1).abs().max() < 1e-6
    assert values[fine].max() < 1e-12
    assert stops[4] == NOWHERE
    assert tried[4] == 0
    assert tried[3] > tried[0] > tried[5]


def test_the_solver_says_when_no_step_gains() -> None:
    """A slope that lies: whatever the step, the value rises."""

    class Lying(Valleys):
        def take(self, rows: torch.Tensor) -> "Lying":
            return Lying(self.heights[rows])

        def linearise(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            matrix, gradient = super().linearise(states)
            return matrix, -gradient

    begin = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    states, _, _, stops = minimise(Lying(torch.tensor([100.0])), begin, LIMITS)
    assert stops.tolist() == [STUCK]
    assert torch.equal(states, begin)


def test_the_solver_says_when_its_steps_are_used_up() -> None:
    begin = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    _, values, tried, stops = minimise(Valleys(torch.tensor([100.0])), begin, LIMITS._replace(iterations=1))
    assert stops.tolist() == [EXHAUSTED]
    assert tried.tolist() == [1]
    assert values[0] < 24.2  # (1 + 1.2)^2 + 100 (1 - 1.44)^2, where it began


# -- which solver, and how many at once ------------------------------------------------------------------------------------------


def test_the_device_chooses_the_engine(hands: Problem, hand: BodyModelData) -> None:
    assert engine_for("auto") == engine_for("cpu") == NUMBA
    assert engine_for("cuda") == engine_for("cuda:1") == TORCH
    assert type(solver_for(hand, None, HAND, hands)) is Batched
    assert type(solver_for(hand, None, HAND, hands, engine=TORCH)) is TorchBatched
    with pytest.raises(ValueError, match="run on the CPU"):
        solver_for(hand, None, HAND, hands, device="cuda", engine=NUMBA)


def test_people_at_once_follow_from_the_memory(
    hands: Problem, hand: BodyModelData, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans, cpu = TorchBatched(hand, None, HAND, hands).torch_plans[True], torch.device("cpu")
    assert free_memory(cpu) > 1 << 20
    counts: list[int] = []
    for free in (1 << 40, 1 << 34, 4 << 20, 2 << 20, 0):
        monkeypatch.setattr("annotator.fitting.torch_memory.free_memory", lambda _, free=free: free)
        counts.append(people_at_once(plans, 2, torch.float32, cpu))
    assert counts[:2] == [ON_CPU, ON_CPU]  # the same bytes on any machine that holds them
    assert ON_CPU > counts[2] > counts[3] >= counts[4] == 1
    on_gpu = people_at_once(plans, 2, torch.float32, torch.device("cuda"))
    assert on_gpu == 1
    monkeypatch.setattr("annotator.fitting.torch_memory.free_memory", lambda _: 1 << 30)
    assert 100 < people_at_once(plans, 2, torch.float32, torch.device("cuda")) < 4096
    assert people_at_once(plans, 2, torch.float64, torch.device("cuda")) < people_at_once(
        plans, 2, torch.float32, torch.device("cuda")
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: fits on one are not compared")
def test_a_gpu_gives_the_same_fits(body: BodyModelData, vposer: PosePrior) -> None:
    problem = whole_problem(body, PEOPLE, noise=1.5)
    on_gpu = TorchBatched(body, vposer, WHOLE_BODY, problem, Settings(), device="cuda").fit(problem)
    on_cpu = TorchBatched(body, vposer, WHOLE_BODY, problem, Settings()).fit(problem)
    assert np.median(np.abs(on_gpu.objective / on_cpu.objective - 1)) < 1e-3
    places = [points_of(result.parameters, problem, body, vposer) for result in (on_gpu, on_cpu)]
    assert np.median(np.linalg.norm(places[0] - places[1], axis=-1)) < 0.1
