"""The two entries into compiled code: cameras of people, and one stage of fits. What happens between them is `batched.py`'s."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from annotator.fitting import (
    kernels_camera,
    kernels_chain,
    kernels_decoder,
    kernels_points,
    kernels_priors,
    kernels_rotations,
    kernels_spheres,
    kernels_system,
    layout,
    solver,
    tiles,
)
from annotator.fitting.compiled import entry
from annotator.fitting.kernels_camera import CameraTask, camera_moved, camera_system, camera_value, centred
from annotator.fitting.kernels_decoder import decoder_reset
from annotator.fitting.kernels_system import evaluate, linearise, retract
from annotator.fitting.solver import Limits, System, minimiser

_minimise_camera = minimiser(camera_value, camera_system, camera_moved)
_minimise_fit = minimiser(evaluate, linearise, retract)


class Outcome(NamedTuple):
    """Of M fits: `(M,)` steps tried so far and why the solver stopped, `(M, 9)` terms of the objective that it reached."""

    tried: np.ndarray
    stops: np.ndarray
    terms: np.ndarray


@entry(kernels_camera, kernels_chain, kernels_rotations, layout, solver, tiles)
def place_cameras(
    points: np.ndarray,
    root: np.ndarray,
    weight: np.ndarray,
    depth: np.ndarray,
    people: np.ndarray,
    who: np.ndarray,
    limits: Limits,
    room: System,
    states: np.ndarray,
    values: np.ndarray,
) -> None:
    """Minima of the cameras' objective from `(M, 12)` orientations that `states` holds; `who` `(M,)` are the people's rows."""
    work = np.zeros(32, people.dtype)
    for i in range(len(who)):
        task = CameraTask(points, root, weight, depth, people, who[i])
        centred(task, states[i])
        values[i] = _minimise_camera(task, work, room, states[i], kernels_camera.UNKNOWNS, limits)[0]


@entry(
    *(kernels_chain, kernels_decoder, kernels_points, kernels_priors, kernels_rotations, kernels_spheres),
    *(kernels_system, layout, solver, tiles),
)
def solve_stage(
    whole: np.ndarray,
    body: np.ndarray,
    net: np.ndarray,
    people: np.ndarray,
    who: np.ndarray,
    limits: Limits,
    work: np.ndarray,
    room: System,
    states: np.ndarray,
    memory: np.ndarray,
    fresh: bool,
    outcome: Outcome,
) -> None:
    """One stage of M fits.

    Args:
        who: `(M,)` rows of `people`. states: `(M, size + 9)`, moved.
        memory: `(M, memory)` what the decoder remembers of each; filled if `fresh`.
    """
    unknowns = whole[layout.LAST] - whole[layout.FIRST]
    for i in range(len(who)):
        if fresh:
            decoder_reset(whole, net, work)
        else:
            for c in range(memory.shape[1]):
                work[c] = memory[i, c]
        task = layout.Task(whole, body, net, people, who[i])
        value, tried, stop = _minimise_fit(task, work, room, states[i], unknowns, limits)
        outcome.tried[i] += tried
        outcome.stops[i] = stop
        for c in range(outcome.terms.shape[1]):
            outcome.terms[i, c] = np.nan
        if math.isfinite(value):
            evaluate(task, work, states[i])
            for c in range(outcome.terms.shape[1]):
                outcome.terms[i, c] = work[whole[layout.TERM] + c]
        for c in range(memory.shape[1]):
            memory[i, c] = work[c]
