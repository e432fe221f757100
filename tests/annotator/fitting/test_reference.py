"""The published optimiser: when it stops, which of two orientations it keeps, and that a whole run ends at a minimum."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from annotator.bodies.files import BodyModelData, default_root
from annotator.fitting import batched, reference
from annotator.fitting.evaluate import final_objective
from annotator.fitting.parameters import Parameters
from annotator.fitting.problem import Problem
from annotator.fitting.reference import PUBLISHED, Published, turned_about_y
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, Result
from annotator.fitting.stages import HAND, WHOLE_BODY
from annotator.fitting.start import first_guess
from annotator.prior import PosePrior
from tests.support.fitting import hand_problem, whole_problem

SHORT = Published(steps=1, iterations=2)


class Scripted:
    """Stands for L-BFGS: its steps return these values and leave these gradients."""

    values: tuple[float, ...] = ()
    slopes: tuple[float, ...] = (1.0, 1.0)
    taken = 0

    def __init__(self, moved: list[torch.Tensor], **options: Any) -> None:
        self.moved, Scripted.taken = moved, 0

    def zero_grad(self) -> None:
        """As torch's."""

    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        """One value of the script."""
        closure()
        for tensor in self.moved:
            tensor.grad = torch.full_like(tensor, self.slopes[1])
            tensor.grad.view(-1)[0] = self.slopes[0]
        Scripted.taken += 1
        return torch.tensor(self.values[min(Scripted.taken, len(self.values)) - 1], dtype=torch.float64)


@pytest.mark.parametrize(
    ("values", "slopes", "steps", "stop"),
    [
        ((9.0, 8.0, 8.5, 1.0), (1.0, 1.0), 3, CONVERGED),  # a rise ends it
        ((9.0, 8.0, 8.0 - 1e-12, 1.0), (1.0, 1.0), 3, CONVERGED),  # so does a fall of less than ftol
        ((0.5, 0.5 - 1e-8, 0.5 - 2e-8), (1.0, 1.0), 30, None),  # of 1, not of the value, where that is smaller
        ((9.0, 8.0, 7.0), (-5.0, 0.0), 1, CONVERGED),  # the greatest entry is 0, however large the least
        ((9.0, 8.0, 7.0, 7.0), (5.0, 0.0), 4, CONVERGED),
        ((9.0, float("nan"), 7.0), (1.0, 1.0), 2, NOT_FINITE),
        (tuple(float(40 - n) for n in range(40)), (1.0, 1.0), 30, EXHAUSTED),
    ],
)
def test_a_stage_stops_by_the_published_rules(
    hand: BodyModelData,
    monkeypatch: pytest.MonkeyPatch,
    values: tuple[float, ...],
    slopes: tuple[float, float],
    steps: int,
    stop: str | None,
) -> None:
    monkeypatch.setattr(Scripted, "values", values if stop else tuple(0.5 - 1e-8 * n for n in range(30)))
    monkeypatch.setattr(Scripted, "slopes", slopes)
    monkeypatch.setattr(torch.optim, "LBFGS", Scripted)
    problem = hand_problem(hand, 1)
    found = reference.fit(problem, hand, None, HAND[-1:], first_guess(problem, hand, None), root=default_root())
    assert Scripted.taken == steps
    assert found.iterations.tolist() == [steps]  # the closure is called once a step here
    assert found.stop == (stop or EXHAUSTED,)


@pytest.fixture(scope="module")
def one(body: BodyModelData) -> Problem:
    """One person of whom a dozen points of the body are seen."""
    whole = whole_problem(body, 1, noise=1.5, seed=3)
    rows = np.array([0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14])
    names = tuple(whole.names[row] for row in rows)
    few = {name: getattr(whole, name)[:, rows] for name in ("pixels", "confidence", "seen")}
    problem = replace(whole, names=names, group=whole.group[rows], outline=(), **few)
    anchors = tuple(names.index(name) for name in ("right_hip", "left_hip", "right_shoulder", "left_shoulder"))
    edges = ((anchors[3], anchors[1]), (anchors[2], anchors[0]))
    return replace(problem, anchors=anchors, edges=edges, side_view=np.array([False]))


def test_of_two_orientations_the_better_end_is_kept(one: Problem, body: BodyModelData, vposer: PosePrior) -> None:
    def run(problem: Problem, start: Parameters) -> Result:
        last = WHOLE_BODY[-1:]
        return reference.fit(problem, body, vposer, last, start, root=default_root(), published=SHORT)

    front = first_guess(one, body, vposer).replaced(global_orient=np.array([[3.0, 0.2, 0.1]]))
    back = front.replaced(global_orient=turned_about_y(front.global_orient))
    alone = [run(one, start) for start in (front, back)]
    values = [found.objective[0] for found in alone]
    assert abs(values[0] / values[1] - 1) > 0.01
    twice = replace(one, side_view=np.array([True]))
    for start in (front, back):
        both = run(twice, start)
        best = alone[int(np.argmin(values))]
        assert both.objective[0] == pytest.approx(min(values), rel=1e-3)
        assert both.parameters.latent == pytest.approx(best.parameters.latent, abs=1e-2)
        assert both.iterations[0] == pytest.approx(sum(found.iterations[0] for found in alone), abs=4)


def test_the_camera_comes_before_the_stages(one: Problem, body: BodyModelData, vposer: PosePrior) -> None:
    """Of an upright person it finds orientation and place; the stages keep the place."""
    found = reference.fit(
        one, body, vposer, WHOLE_BODY[-1:], root=default_root(), published=replace(SHORT, iterations=8)
    )
    assert found.stop[0] in {CONVERGED, EXHAUSTED}
    guess = first_guess(one, body, vposer)
    assert abs(found.parameters.transl[0, 0] - guess.transl[0, 0]) > 1e-3
    assert found.objective[0] == pytest.approx(
        final_objective(found.parameters, one, body, vposer).objective[0], rel=1e-4
    )


def test_whole_and_with_the_published_settings_it_ends_where_the_batched_solver_does(hand: BodyModelData) -> None:
    problem = hand_problem(hand, 1, noise=1.5, seed=2)
    slow = reference.fit(problem, hand, None, HAND, root=default_root(), published=PUBLISHED)
    fast = batched.fit(problem, hand, None, HAND)
    values = [final_objective(found.parameters, problem, hand, None).objective[0] for found in (slow, fast)]
    assert slow.stop[0] in {CONVERGED, EXHAUSTED}
    assert values[1] / values[0] == pytest.approx(1.0, abs=0.01)
    assert slow.objective[0] == pytest.approx(values[0], rel=1e-3)
