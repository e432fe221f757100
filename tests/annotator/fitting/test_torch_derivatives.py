"""The torch solver's arithmetic: the kernels' values, gradients and curvatures, and rotations at their edges."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from annotator.fitting.torch_rotations import axis_angle, inverse_left_jacobian, left_jacobian, to_frame, to_rotation
from tests.support.torch_fitting import WILD

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def compared() -> dict[str, Any]:
    """What a process in which numba cannot be imported found."""
    command = [sys.executable, "-m", "tests.support.torch_fitting"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_values_gradients_and_curvatures_are_the_kernels(compared: dict[str, Any]) -> None:
    """Every kind of body, pose, target and residual, and bodies whose points hang on several joints."""
    assert {
        "whole",
        "mixture",
        "smpl",
        "hand in 3D, L1",
        "face",
        "blurred whole",
        "overlapping",
        "overlapping smpl",
    } <= set(compared["apart"])
    assert compared["slots"] >= 3
    for name, away in compared["apart"].items():
        assert away["value"] < 1e-9, name
        if name == WILD:
            continue
        assert away["gradient"] < 1e-9, name
        assert away["curvature"] < 1e-7, name


def test_gradients_are_those_of_the_objective(compared: dict[str, Any]) -> None:
    for name, away in compared["apart"].items():
        assert away["value by autograd"] < 1e-5, name
        assert away["gradient by autograd"] < 1e-5, name


def test_both_solvers_take_the_same_steps(compared: dict[str, Any]) -> None:
    """The same damping, learnt curvature and starts: in float64 nothing but rounding is left between them."""
    assert compared["steps"] < 1e-7


def test_without_numba_torch_is_chosen(compared: dict[str, Any]) -> None:
    assert compared["engine"] is True


ANGLES = (0.0, 1e-9, 1e-4, 0.9e-3, 1.1e-3, 0.3, 2.0, 3.1)


@pytest.mark.parametrize("angle", ANGLES)
def test_rotations_and_back(angle: float) -> None:
    axes = np.random.default_rng(0).normal(size=(20, 3))
    vectors = torch.as_tensor(angle * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    matrices = to_rotation(vectors)
    assert np.abs(matrices.numpy() - Rotation.from_rotvec(vectors.numpy()).as_matrix()).max() < 1e-12
    assert (axis_angle(matrices) - vectors).abs().max() < 1e-7


@pytest.mark.parametrize("angle", ANGLES[2:])
def test_rates_of_rotations_by_differences(angle: float) -> None:
    """R(v + dv) = exp(J dv) R(v) to first order."""
    vector, step = torch.tensor([0.6, -0.64, 0.48], dtype=torch.float64) * angle, 1e-6
    moved = to_rotation(vector + step * torch.eye(3, dtype=torch.float64))
    back = to_rotation(vector - step * torch.eye(3, dtype=torch.float64))
    columns = axis_angle(moved @ back.transpose(-1, -2)) / (2 * step)
    assert (left_jacobian(vector) - columns.T).abs().max() < 1e-7
    product = inverse_left_jacobian(vector) @ left_jacobian(vector)
    assert (product - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-9


def test_rates_of_frames_by_differences() -> None:
    six, step = torch.as_tensor(np.random.default_rng(1).normal(size=6)), 1e-6
    frame, rates = to_frame(six)
    assert (frame @ frame.T - torch.eye(3, dtype=torch.float64)).abs().max() < 1e-12
    moved, _ = to_frame(six + step * torch.eye(6, dtype=torch.float64))
    back, _ = to_frame(six - step * torch.eye(6, dtype=torch.float64))
    columns = axis_angle(moved @ back.transpose(-1, -2)) / (2 * step)
    assert (rates - columns.T).abs().max() < 1e-7


def test_half_turns_keep_their_axis() -> None:
    """Where the trace is -1 the quaternion's largest number is that of an axis."""
    for axis in np.eye(3):
        vector = torch.as_tensor(np.pi * axis)
        assert (axis_angle(to_rotation(vector)).abs() - vector).abs().max() < 1e-7
