"""The solver's arithmetic, run as plain Python without numba: exact derivatives, and the same fits as compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import fit
from annotator.fitting.solver import CONVERGED, EXHAUSTED, NOT_FINITE, STUCK
from annotator.fitting.stages import HAND
from tests.support.fitting import hand_problem
from tests.support.plain_fitting import TINY

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """What a process in which numba cannot be imported found."""
    command = [sys.executable, "-m", "tests.support.plain_fitting"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_values_and_gradients_are_those_of_the_objective(plain: dict[str, Any]) -> None:
    """Every kind of body, pose, target and residual; the open body's arrays are float32, ours sums in float64."""
    assert {"whole", "mixture", "smpl", "hand in 3D, L1", "face"} <= set(plain["away"])
    for name, away in plain["away"].items():
        assert away["value"] < 1e-6, name
        assert away["gradient"] < 5e-6, name


def test_where_residuals_are_zero_the_curvature_is_exact(plain: dict[str, Any]) -> None:
    """There Gauss-Newton leaves nothing out, so one wrong column of the Jacobian would show."""
    for name, away in plain["curvature"].items():
        assert away < 1e-4, name


def test_the_overlap_of_spheres_is_that_of_the_objective_with_an_exact_jacobian(plain: dict[str, Any]) -> None:
    """It says nothing of hands, face, root and translation, whose rows and columns it leaves alone."""
    assert set(plain["overlaps"]) == {"overlapping", "overlapping little", "overlapping smpl"}
    for name, away in plain["overlaps"].items():
        assert away["pairs"] >= 3, name
        assert away["value"] < 1e-6, name
        assert away["curvature"] < 1e-5, name
        assert abs(away["elsewhere"]) < 1e-9, name


def test_the_solver_walks_rosenbrocks_valley(plain: dict[str, Any]) -> None:
    valley = plain["valley"]
    assert (valley["x"], valley["y"]) == pytest.approx((1.0, 1.0), abs=1e-6)
    assert valley["least"] < 1e-12
    assert valley["stop"] == CONVERGED


def test_the_solver_says_why_it_stopped(plain: dict[str, Any]) -> None:
    valley = plain["valley"]
    assert valley["nowhere"] == NOT_FINITE
    assert valley["once"] == EXHAUSTED
    assert valley["after one"] < 24.2  # (1 + 1.2)^2 + 100 (1 - 1.44)^2, where it began


def test_a_solver_that_finds_no_step_has_not_converged(plain: dict[str, Any]) -> None:
    """Uphill by a wrong slope, and against a wall of values that are no numbers: both far above the minimum."""
    assert plain["valley"]["stuck"] == [STUCK, STUCK]


def test_without_numba_the_same_fit_comes_out(plain: dict[str, Any], hand: BodyModelData) -> None:
    """A few steps, and float32 sums in another order."""
    found = fit(hand_problem(hand, 1, noise=1.0), hand, None, HAND, settings=TINY).parameters
    compiled = np.concatenate([found.global_orient, found.transl, found.right_hand_pose, found.betas], axis=1)[0]
    assert plain["tiny"] == pytest.approx(compiled, abs=2e-3)
