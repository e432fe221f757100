"""The batched solver on whole bodies: it finds known truth, people do not touch each other, and bytes repeat."""

from dataclasses import replace

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import TOO_FEW_POINTS, Batched
from annotator.fitting.evaluate import final_objective, objective_of, to_tensors
from annotator.fitting.objective import project
from annotator.fitting.parameters import Parameters
from annotator.fitting.problem import Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, Result
from annotator.fitting.settings import Settings
from annotator.fitting.stages import WHOLE_BODY
from annotator.prior import PosePrior
from tests.support.fitting import whole_problem

PEOPLE = 16
NAN, THREE, NONE = 3, 7, 12
"""People that are spoilt."""


@pytest.fixture(scope="module")
def problem(body: BodyModelData) -> Problem:
    return whole_problem(body, PEOPLE)


@pytest.fixture(scope="module")
def solver(problem: Problem, body: BodyModelData, vposer: PosePrior) -> Batched:
    return Batched(body, vposer, WHOLE_BODY, problem, Settings(threads=2))


@pytest.fixture(scope="module")
def found(solver: Batched, problem: Problem) -> Result:
    return solver.fit(problem)


def same(first: Result, second: Result, rows: np.ndarray | slice = slice(None)) -> bool:
    """Whether the fits of some people are equal to the bit."""
    pairs = [(a, second.parameters.items()[name]) for name, a in first.parameters.items().items()]
    pairs += [(first.objective, second.objective), (first.iterations, second.iterations)]
    return all(np.array_equal(a[rows], b[rows], equal_nan=True) for a, b in pairs)


def errors_px(parameters: Parameters, problem: Problem, body: BodyModelData, prior: PosePrior) -> np.ndarray:
    """`(N, K)` px from where the points were seen."""
    objective = objective_of(problem, body, prior)
    points = objective.place(objective.decoder(to_tensors(parameters)))
    away = project(points, objective.focal, objective.center) - objective.pixels
    return away.norm(dim=-1).numpy()


def test_known_truth_is_found(found: Result, problem: Problem, body: BodyModelData, vposer: PosePrior) -> None:
    errors = errors_px(found.parameters, problem, body, vposer)
    assert np.median(errors) < 2.0
    assert np.median(errors, axis=1).max() < 8.0
    assert set(found.stop) <= {CONVERGED, EXHAUSTED}


def test_what_it_says_of_itself_is_what_the_judge_says(
    found: Result, problem: Problem, body: BodyModelData, vposer: PosePrior
) -> None:
    judged = final_objective(found.parameters, problem, body, vposer)
    assert found.objective == pytest.approx(judged.objective, rel=1e-4)
    assert list(found.terms) == [
        "points",
        "body_prior",
        "bending",
        "shape",
        "expression",
        "left_hand",
        "right_hand",
        "jaw",
    ]
    for name, values in judged.terms.items():
        assert found.terms[name] == pytest.approx(values, rel=1e-3, abs=1e-3 * judged.objective.min())


def test_one_thread_or_two_and_another_time_give_the_same_bytes(
    found: Result, solver: Batched, problem: Problem, body: BodyModelData, vposer: PosePrior
) -> None:
    assert same(found, solver.fit(problem))
    assert same(found, Batched(body, vposer, WHOLE_BODY, problem, Settings(threads=1)).fit(problem))


def test_a_fit_does_not_depend_on_who_else_is_there(found: Result, solver: Batched, problem: Problem) -> None:
    rows = np.array([9, 2, 14])
    few = solver.fit(problem.take(rows))
    for column, row in enumerate(rows.tolist()):
        for name, values in found.parameters.items().items():
            assert np.array_equal(few.parameters.items()[name][column], values[row]), name


def test_spoilt_people_change_nobody_else_to_the_bit(found: Result, solver: Batched, problem: Problem) -> None:
    pixels, confidence, seen = problem.pixels.copy(), problem.confidence.copy(), problem.seen.copy()
    pixels[NAN, 30] = np.nan
    confidence[THREE, 3:], seen[THREE, 3:] = 0, False
    confidence[NONE], seen[NONE] = 0, False
    spoilt = solver.fit(replace(problem, pixels=pixels, confidence=confidence, seen=seen))
    others = np.setdiff1d(np.arange(PEOPLE), [NAN, THREE, NONE])
    assert same(found, spoilt, others)
    assert spoilt.stop[NAN] == NOT_FINITE
    assert spoilt.stop[NONE] == TOO_FEW_POINTS
    assert spoilt.stop[THREE] in {CONVERGED, EXHAUSTED}
    assert np.isnan(spoilt.objective[[NAN, NONE]]).all()
    for values in spoilt.parameters.items().values():
        assert np.isfinite(values).all()
    assert spoilt.iterations[NAN] == 0


def test_a_warm_start_comes_back_to_what_was_found(found: Result, solver: Batched, problem: Problem) -> None:
    """It walks the same stages, whose stronger priors first lead a little away."""
    again = solver.fit(problem, found.parameters)
    ratios = again.objective / found.objective
    assert np.median(ratios) < 1.002
    assert (ratios < 1.05).mean() >= 0.8
    assert again.iterations.sum() < 0.8 * found.iterations.sum()


def test_nothing_is_fitted_for_nobody(solver: Batched, problem: Problem) -> None:
    nobody = solver.fit(problem.take(slice(0, 0)))
    assert len(nobody.parameters) == len(nobody.objective) == len(nobody.stop) == 0


def test_settings_of_the_last_stages_extend_to_those_before() -> None:
    limits = Settings(iterations=(5, 60), gain=(1e-3, 1e-5), damping=(1e-2,)).limits(4)
    assert [one.iterations for one in limits] == [5, 5, 5, 60]
    assert [one.gain for one in limits] == [1e-3, 1e-3, 1e-3, 1e-5]
    assert {one.damping for one in limits} == {1e-2}


def test_a_person_with_a_start_has_the_camera_beside_it_and_keeps_the_lower_end(
    found: Result, solver: Batched, problem: Problem, body: BodyModelData, vposer: PosePrior
) -> None:
    far = np.where(np.arange(PEOPLE) % 2, 1.5, 1.0)[:, None]
    poor = found.parameters.replaced(transl=found.parameters.transl * far)
    alone = solver.fit(problem, poor)
    both = Batched(body, vposer, WHOLE_BODY, problem, Settings(afresh=True)).fit(problem, poor)
    assert (alone.objective > 1.05 * found.objective).any()
    assert (alone.objective < found.objective).any()
    assert np.array_equal(both.objective, np.minimum(alone.objective, found.objective))
    assert np.array_equal(both.iterations, alone.iterations + found.iterations)
    assert final_objective(both.parameters, problem, body, vposer).objective == pytest.approx(both.objective, rel=1e-4)


@pytest.mark.parametrize("wrong", [np.nan, -5.0, 0.0])
def test_a_start_that_leads_nowhere_leaves_the_cold_fit(
    wrong: float, found: Result, problem: Problem, body: BodyModelData, vposer: PosePrior
) -> None:
    """Not a number, behind the camera, or at it."""
    nowhere = found.parameters.replaced(transl=np.full((PEOPLE, 3), wrong))
    both = Batched(body, vposer, WHOLE_BODY, problem, Settings(afresh=True)).fit(problem, nowhere)
    assert np.array_equal(both.objective, found.objective)
    assert both.stop == found.stop
