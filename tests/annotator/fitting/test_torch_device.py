"""Where there is no GPU: tensors without numbers that say they lie on one go through everything that a step computes.

An operation on a tensor that was left on the CPU raises, and so does a tensor turned into an array.
"""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from annotator.bodies.files import BodyModelData
from annotator.fitting.stages import FACE, WHOLE_BODY
from annotator.fitting.torch_batched import TorchBatched
from annotator.fitting.torch_camera import CameraProblems
from annotator.fitting.torch_plan import TorchPlan
from annotator.fitting.torch_system import FitProblems
from annotator.prior import PosePrior
from tests.support.fitting import face_problem, whole_problem

COUNT = 2


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="cuda")


def elsewhere(part: Any) -> Any:
    """A plan whose tensors say that they lie on a GPU."""
    if isinstance(part, torch.Tensor):
        return torch.empty(part.shape, dtype=part.dtype, device="cuda")
    if isinstance(part, tuple):
        return tuple(elsewhere(item) for item in part)
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: elsewhere(getattr(part, field.name)) for field in fields(part)})
    return part


def devices_of_a_step(plan: TorchPlan, points: int) -> set[str]:
    problems, states = FitProblems(elsewhere(plan), empty(COUNT, 5 + 4 * points)), empty(COUNT, plan.size + 9)
    matrix, gradient = problems.linearise(states)
    assert matrix.shape == (COUNT, plan.unknowns, plan.unknowns)
    found = (matrix, gradient, problems.evaluate(states), problems.retract(states, gradient))
    return {tensor.device.type for tensor in found}


def test_a_step_of_whole_bodies_stays_on_the_device(body: BodyModelData, vposer: PosePrior) -> None:
    solver = TorchBatched(body, vposer, WHOLE_BODY, whole_problem(body, COUNT))
    with FakeTensorMode():
        for plan in (*solver.torch_plans[False], *solver.torch_plans[True]):
            assert devices_of_a_step(plan, 118) == {"cuda"}


def test_a_step_of_faces_stays_on_the_device(face: BodyModelData) -> None:
    solver = TorchBatched(face, None, FACE, face_problem(face, COUNT))
    with FakeTensorMode():
        assert devices_of_a_step(solver.torch_plans[True][-1], 68) == {"cuda"}


def test_a_step_of_the_camera_stays_on_the_device() -> None:
    with FakeTensorMode():
        columns = (empty(7, 3), empty(3), empty(COUNT, 7), empty(COUNT), empty(COUNT, 5 + 4 * 7))
        cameras = CameraProblems.of(*columns)
        states = cameras.centred(empty(COUNT, 9))
        found = (*cameras.linearise(states), cameras.evaluate(states), cameras.retract(states, empty(COUNT, 6)))
        assert {tensor.device.type for tensor in found} == {"cuda"}


def test_a_tensor_left_behind_would_show(face: BodyModelData) -> None:
    solver = TorchBatched(face, None, FACE, face_problem(face, COUNT))
    plan = solver.torch_plans[True][-1]
    with FakeTensorMode():
        wrong = replace(elsewhere(plan), weights=torch.empty(plan.weights.shape))
        with pytest.raises(RuntimeError, match="device"):
            FitProblems(wrong, empty(COUNT, 5 + 4 * 68)).evaluate(empty(COUNT, plan.size + 9))
