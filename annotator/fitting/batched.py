"""The batched solver: many people's fits at once, each on its own, compiled.

A person's fit depends on nobody else: the same bytes come out alone, among others, and for any number of threads. Where
numba is absent or disabled the same code runs in plain Python, with the same fits and hundreds of times slower.

Legend: N people, S starts of each, T orientations tried.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting import kernels_camera, layout, solver
from annotator.fitting.evaluate import final_objective
from annotator.fitting.kernels_fit import Outcome, place_cameras, solve_stage
from annotator.fitting.parameters import Parameters
from annotator.fitting.plans import Frame, Plan, make_people, make_plan
from annotator.fitting.problem import Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, Result
from annotator.fitting.solver import Limits, System
from annotator.fitting.stages import Stage
from annotator.fitting.start import depth_guess, mean_points

_AT_ONCE = 8
"""People that a thread takes at a time."""
_STOPS = {solver.CONVERGED: CONVERGED, solver.EXHAUSTED: EXHAUSTED, solver.NOT_FINITE: NOT_FINITE}
_SAME = 0.97
"""Cosine of the angle (14 degrees) below which two orientations are one."""


@dataclass(frozen=True)
class Settings:
    """How the schedule is walked.

    Attributes:
        skip: stages at its beginning that are left out: their weights only bring a body near where the next one starts.
        iterations, gain, damping: most steps of a stage, the share of the objective below which a step is small, and the
            first damping; of the last stages, the first entry for all before them.
        patience: small steps in a row that end a stage. floor: see `solver.Limits`.
        starts: orientations that are followed. together: stages after which the best of them goes on alone.
        dtype: of the solver; float32 is twice as quick.
        threads: 0 for one a processor.
    """

    skip: int = 2
    iterations: tuple[int, ...] = (20, 20, 60)
    gain: tuple[float, ...] = (1e-3, 1e-3, 1e-5)
    damping: tuple[float, ...] = (1e-2, 1e-2, 1e-3)
    patience: int = 2
    floor: float = 0.1
    starts: int = 2
    together: int = 2
    dtype: type = np.float32
    threads: int = 0

    def limits(self, stages: int) -> list[Limits]:
        """Of each of the last `stages` stages."""
        columns = (self.iterations, self.gain, self.damping)
        iterations, gain, damping = ([*[c[0]] * (stages - len(c)), *c][-stages:] for c in columns)
        return [
            Limits(i, g, self.patience, d, self.floor) for i, g, d in zip(iterations, gain, damping, strict=True)
        ]


_CAMERA = Limits(iterations=30, gain=1e-6, patience=2, damping=1e-2, floor=1e-9)


def fit(
    problem: Problem,
    body: BodyModelData,
    prior: Any,
    stages: Sequence[Stage],
    start: Parameters | None = None,
    settings: Settings | None = None,
) -> Result:
    """Fits N people.

    Args:
        prior: VPoser of the latent, a mixture or None.
        stages: the published schedule.
        start: warm start; the camera's own start otherwise.
    """
    chosen = settings or Settings()
    frame = Frame.of(body, prior)
    used = tuple(stages)[min(chosen.skip, len(stages) - 1) :]
    shared = _Shared.of(problem, body, prior, used, frame, chosen)
    states, outcome = _run(shared, problem, start)
    before = start if start is not None else _zeros(problem, frame)
    parameters = frame.to_parameters(states, before)
    judged = final_objective(parameters, problem, body, prior, used[-1])
    stop = tuple(_STOPS[reason] for reason in outcome.stops.tolist())
    return Result(parameters, judged.objective, judged.terms, outcome.tried, stop)


@dataclass(frozen=True)
class _Shared:
    """What all threads read.

    Attributes:
        rest, root: `(K, 3)` points of the mean pose about its root joint, and that.
    """

    plans: list[Plan]
    limits: list[Limits]
    frame: Frame
    settings: Settings
    people: np.ndarray
    rest: np.ndarray
    root: np.ndarray
    weight: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(
        cls, problem: Problem, body: BodyModelData, prior: Any, stages: Sequence[Stage], frame: Frame, chosen: Settings
    ) -> _Shared:
        dtype = chosen.dtype
        plans = [make_plan(problem, body, prior, stage, frame, dtype) for stage in stages]
        rest, root = mean_points(problem, body, prior)
        depth = np.zeros(len(problem)) if problem.in_3d else depth_guess(problem, rest)
        arrays = (rest - root, root, problem.anchor_weights, depth)
        columns = [np.ascontiguousarray(array, dtype) for array in arrays]
        return cls(plans, chosen.limits(len(plans)), frame, chosen, make_people(problem, dtype), *columns)


class _Room:
    """Scratch of one thread."""

    def __init__(self, shared: _Shared) -> None:
        dtype, size = shared.settings.dtype, shared.frame.size + 9
        self.work = np.zeros(max(plan.scratch for plan in shared.plans), dtype)
        unknowns = max(kernels_camera.UNKNOWNS, *(plan.unknowns for plan in shared.plans))
        self.system: System = solver.system(unknowns, size, dtype)
        self.camera: System = solver.system(kernels_camera.UNKNOWNS, kernels_camera.STATE, dtype)


def _run(shared: _Shared, problem: Problem, start: Parameters | None) -> tuple[np.ndarray, Outcome]:
    """`(N, size + 9)` states, by whichever thread is free; which one changes nothing."""
    local, count = threading.local(), len(problem)
    begin = shared.frame.to_states(start if start is not None else _zeros(problem, shared.frame))
    states = begin.astype(shared.settings.dtype)
    outcome = _outcome(count)
    cold = start is None and not problem.in_3d

    def work(first: int) -> None:
        if not hasattr(local, "room"):
            local.room = _Room(shared)
        who = np.arange(first, min(first + _AT_ONCE, count))
        found, reached = _fit_some(shared, local.room, who, states[who], cold=cold)
        states[who] = found
        for mine, all_ in zip(reached, outcome, strict=True):
            all_[who] = mine

    with ThreadPoolExecutor(shared.settings.threads or len(os.sched_getaffinity(0))) as pool:
        list(pool.map(work, range(0, count, _AT_ONCE)))
    return states, outcome


def _fit_some(
    shared: _Shared, room: _Room, who: np.ndarray, states: np.ndarray, *, cold: bool
) -> tuple[np.ndarray, Outcome]:
    """A few people from their starts to the end: all starts together, then the best of each."""
    starts = _started(shared, room, who, states) if cold else states[:, None]
    count = starts.shape[1]
    rows, states = np.repeat(who, count), starts.reshape(len(who) * count, -1).copy()
    outcome = _outcome(len(rows))
    memory = np.zeros((len(rows), int(shared.plans[0].whole[layout.MEMORY])), states.dtype)
    for stage, (plan, limits) in enumerate(zip(shared.plans, shared.limits, strict=True)):
        solve_stage(
            plan.whole, plan.body, plan.net, shared.people, rows, limits, room.work, room.system, states, memory, stage == 0, outcome
        )  # fmt: skip
        if count > 1 and stage + 1 == min(shared.settings.together, len(shared.plans)):
            values = outcome.values.reshape(len(who), count)
            best = np.arange(len(who)) * count + np.where(np.isfinite(values), values, np.inf).argmin(axis=1)
            tried = outcome.tried.reshape(len(who), count).sum(axis=1)
            rows, states, memory, count = who, states[best], memory[best], 1
            outcome = Outcome(outcome.values[best], tried, outcome.stops[best])
    return states, outcome


def _started(shared: _Shared, room: _Room, who: np.ndarray, states: np.ndarray) -> np.ndarray:
    """`(n, S, size + 9)` the best minima of the camera's objective that differ; the best one again where there are fewer."""
    turns, frame = _turns().astype(states.dtype), shared.frame
    tried = len(turns)
    cameras = np.zeros((len(who) * tried, kernels_camera.STATE), states.dtype)
    cameras[:, 3:] = np.tile(turns, (len(who), 1))
    values = np.zeros(len(cameras))
    place_cameras(
        shared.rest, shared.root, shared.weight, shared.depth, shared.people, np.repeat(who, tried), _CAMERA, room.camera, cameras, values
    )  # fmt: skip
    cameras, values = cameras.reshape(len(who), tried, -1), np.where(np.isfinite(values), values, np.inf).reshape(-1, tried)
    out = np.repeat(states[:, None], shared.settings.starts, axis=1)
    for person in range(len(who)):
        chosen = _distinct(cameras[person, :, 3:].astype(np.float64), values[person], shared.settings.starts)
        out[person, :, frame.transl_at : frame.size] = cameras[person, chosen, :3]
        out[person, :, frame.size :] = cameras[person, chosen, 3:]
    return out


def _distinct(turns: np.ndarray, values: np.ndarray, count: int) -> list[int]:
    """Rows of the `count` best values whose orientations differ; the best again where there are fewer."""
    chosen: list[int] = []
    for row in np.argsort(values, kind="stable").tolist():
        cosine = 0.5 * ((turns[chosen] * turns[row]).sum(axis=1) - 1)
        if not (cosine > _SAME).any():
            chosen.append(row)
    return (chosen + [chosen[0]] * count)[:count]


def _turns() -> np.ndarray:
    """`(T, 9)` orientations: upright people seen from four sides, and people who lie or bend that way."""
    from scipy.spatial.transform import Rotation

    upright = Rotation.from_euler("x", 180, degrees=True)
    around = [upright * Rotation.from_euler("y", angle, degrees=True) for angle in (0, 90, 180, 270)]
    tipped = [Rotation.from_euler("x", angle, degrees=True) * around[0] for angle in (-70, 70)]
    lying = [Rotation.from_euler("z", angle, degrees=True) * around[0] for angle in (-90, 90)]
    return np.stack([turn.as_matrix().ravel() for turn in (*around, *tipped, *lying)])


def _zeros(problem: Problem, frame: Frame) -> Parameters:
    return Parameters.zeros(len(problem), problem.model, latent=frame.pose_kind == layout.LATENT)


def _outcome(count: int) -> Outcome:
    return Outcome(np.zeros(count), np.zeros(count, np.int64), np.zeros(count, np.int64))
