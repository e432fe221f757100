"""The batched solver: many people's fits at once, each on its own, compiled.

A person's fit depends on nobody else: the same bytes come out alone, among others, and for any number of threads. Where
numba is absent or disabled the same code runs in plain Python, with the same fits and hundreds of times slower;
`torch_batched.py` is what runs there, and on a GPU.

Legend: N people, S starts of each, T orientations tried.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting import kernels_camera, layout, solver
from annotator.fitting.kernels_fit import Outcome, place_cameras, solve_stage
from annotator.fitting.objective import BodyPrior
from annotator.fitting.parameters import Parameters
from annotator.fitting.plans import Frame, Plan, Planner, make_people
from annotator.fitting.problem import L1, Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, STUCK, Result
from annotator.fitting.solver import Limits, System
from annotator.fitting.stages import Stage
from annotator.fitting.start import depth_guess, rigid

TOO_FEW_POINTS = "too few points"
"""Why a person was not fitted, beside the reasons of `result.py`."""
_LEAST_POINTS = 3
_AT_ONCE = 8
"""People that a thread takes at a time."""
_STOPS = {
    solver.CONVERGED: CONVERGED,
    solver.EXHAUSTED: EXHAUSTED,
    solver.NOT_FINITE: NOT_FINITE,
    solver.STUCK: STUCK,
}
_WIDE_RHO = 0.5
"""Metres, see `bends_of`."""
_SAME = 0.97
"""Cosine of the angle (14 degrees) below which two orientations are one."""


def _of_last(column: Sequence[float], stages: int) -> list[float]:
    return [*[column[0]] * (stages - len(column)), *column][-stages:]


@dataclass(frozen=True)
class Settings:
    """How the schedule is walked.

    Attributes:
        skip: stages at its beginning that are left out: their weights only bring a body near where the next one starts.
        iterations, gain, damping: most steps of a stage, the share of the objective below which a step is small, and the
            first damping; of the last stages, the first entry for all before them.
        patience: small steps in a row that end a stage. floor: see `solver.Limits`.
        starts: orientations that are followed. together: stages after which the best of them goes on alone.
        upright: whether the camera's start tries only people who stand upright and face it.
        afresh: whether a person in 2D with a start of his own is fitted from the camera's start too; the lower end is kept.
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
    upright: bool = False
    afresh: bool = False
    dtype: type = np.float32
    threads: int = 0

    def limits(self, stages: int) -> list[Limits]:
        """Of each of the last `stages` stages."""
        rows = zip(*(_of_last(column, stages) for column in (self.iterations, self.gain, self.damping)), strict=True)
        return [Limits(int(most), gain, self.patience, damping, self.floor) for most, gain, damping in rows]


SETTINGS: Mapping[str, Settings] = {
    "smplx": Settings(together=3, afresh=True),
    "smpl": Settings(iterations=(20, 60), gain=(1e-3, 1e-5), damping=(1e-2, 1e-3), together=1, afresh=True),
    "mano_right": Settings(skip=0, patience=1, starts=1),
    "mano_left": Settings(skip=0, patience=1, starts=1),
    "flame": Settings(patience=1, floor=1e-4, starts=1, upright=True),
}
"""By body model. Hands need all their stages, faces only the last; both follow one orientation, as the reference does."""
CAMERA_LIMITS = Limits(iterations=30, gain=1e-6, patience=1, damping=1e-2, floor=1e-9)


def bends_of(like: Problem, stages: int) -> list[float]:
    """Where Geman-McClure bends in each of the stages that are walked; 0 for the plain distance.

    In 3D it is wider before the last one: a knee that starts half a metre from its place must still be drawn there.
    """
    if like.robust == L1:
        return [0.0] * stages
    before = max(like.rho, _WIDE_RHO) if like.in_3d else like.rho
    return [*[before] * (stages - 1), like.rho]


def fit(
    problem: Problem,
    body: BodyModelData,
    prior: BodyPrior,
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
    return Batched(body, prior, stages, problem, settings).fit(problem, start)


class Batched:
    """Fits people whose points, body model and residuals are those of `like`; what they share is made once."""

    def __init__(
        self,
        body: BodyModelData,
        prior: BodyPrior,
        stages: Sequence[Stage],
        like: Problem,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or SETTINGS[like.model]
        planner = Planner(body, prior, like.point_map(body), like.group, like.outline)
        self.frame = planner.frame
        used = tuple(stages)[min(self.settings.skip, len(stages) - 1) :]
        rhos = bends_of(like, len(used))
        self.plans = {
            moves: [
                planner.plan(
                    stage,
                    in_3d=like.in_3d,
                    free_translation=moves,
                    rho=rho,
                    dtype=self.settings.dtype,
                    penetration=like.penetration,
                )
                for stage, rho in zip(used, rhos, strict=True)
            ]
            for moves in (False, True)
        }
        """Of people whose translation the stages keep, and of those whose they vary."""
        self.limits = self.settings.limits(len(used))
        self.rest, self.root = planner.mean_points()
        arms = ["jaw" if arm.name == "face" else "hand" if body.side else arm.name for arm in self.frame.arms]
        self._terms = (*layout.TERMS, *arms)
        self._penetrates = like.penetration > 0 and planner.has_spheres

    def fit(self, problem: Problem, start: Parameters | None = None) -> Result:
        """Fits N people; one who cannot be fitted keeps his start."""
        begin = start if start is not None else self._guess(problem)
        stop = np.array([_reason(problem, n) for n in range(len(problem))], object)
        sound = np.flatnonzero(stop == "")
        states, outcome = self._walk(problem, begin, sound, cold=start is None and not problem.in_3d)
        if start is not None and self.settings.afresh and not problem.in_3d:
            found, other = self._walk(problem, self._guess(problem), sound, cold=True)
            tried, lower = outcome.tried + other.tried, other.terms.sum(axis=1) < outcome.terms.sum(axis=1)
            states[lower] = found[lower]
            outcome.stops[lower], outcome.terms[lower] = other.stops[lower], other.terms[lower]
            outcome = outcome._replace(tried=tried)
        stop[sound] = [_STOPS[reason] for reason in outcome.stops[sound].tolist()]
        parameters = self.frame.to_parameters(states, begin)
        terms = {name: outcome.terms[:, column] for column, name in enumerate(self._terms)}
        objective = outcome.terms[:, : len(terms)].sum(axis=1)
        if self._penetrates:
            terms["penetration"] = outcome.terms[:, layout.PENETRATION]
            objective = objective + terms["penetration"]
        return Result(parameters, objective, terms, outcome.tried, tuple(stop.tolist()))

    def _walk(
        self, problem: Problem, begin: Parameters, sound: np.ndarray, *, cold: bool
    ) -> tuple[np.ndarray, Outcome]:
        """States and outcome of everybody; those who are not `sound` stay where they begin."""
        states, outcome = self.frame.to_states(begin).astype(self.settings.dtype), _outcome(len(problem))
        moves = problem.moves
        for moving in self.plans:
            some = sound[moves[sound] == moving]
            if len(some):
                self.solve(problem, some, states, outcome, moves=moving, cold=cold)
        return states, outcome

    def solve(
        self, problem: Problem, people: np.ndarray, states: np.ndarray, outcome: Outcome, *, moves: bool, cold: bool
    ) -> None:
        """Moves the states of some people, and says in `outcome` what came of them.

        Args:
            moves: whether the stages vary their translation. cold: whether the camera starts them.
        """
        shared = replace(_Shared.of(self, problem), plans=self.plans[moves])
        _run(shared, people, states, outcome, cold=cold)

    def _guess(self, problem: Problem) -> Parameters:
        """The mean pose and shape; in 3D placed on the anchors."""
        zeros = Parameters.zeros(len(problem), problem.model, latent=self.frame.pose_kind == layout.LATENT)
        if problem.joints is None:
            return zeros
        joints = np.where(np.isfinite(problem.joints), problem.joints, 0.0)
        orient, transl = rigid(self.rest, joints, problem.anchor_weights, self.root)
        return zeros.replaced(global_orient=orient, transl=transl)


def _reason(problem: Problem, person: int) -> str:
    """Why a person cannot be fitted; empty if he can."""
    target = problem.pixels if problem.joints is None else problem.joints
    if not (np.isfinite(target[person]).all() and np.isfinite(problem.confidence[person]).all()):
        return NOT_FINITE
    counted = (problem.confidence[person] > 0).sum()
    return "" if counted >= _LEAST_POINTS else TOO_FEW_POINTS


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
    def of(cls, batched: Batched, problem: Problem) -> _Shared:
        dtype = batched.settings.dtype
        depth = np.zeros(len(problem)) if problem.in_3d else depth_guess(problem, batched.rest)
        arrays = (batched.rest - batched.root, batched.root, problem.anchor_weights, depth)
        columns = [np.ascontiguousarray(array, dtype) for array in arrays]
        return cls(
            *(batched.plans[False], batched.limits, batched.frame, batched.settings, make_people(problem, dtype)),
            *columns,
        )


class _Room:
    """Scratch of one thread."""

    def __init__(self, shared: _Shared) -> None:
        dtype, size = shared.settings.dtype, shared.frame.size + 9
        self.work = np.zeros(max(plan.scratch for plan in shared.plans), dtype)
        unknowns = max(kernels_camera.UNKNOWNS, *(plan.unknowns for plan in shared.plans))
        self.system: System = solver.system(unknowns, size, dtype)
        self.camera: System = solver.system(kernels_camera.UNKNOWNS, kernels_camera.STATE, dtype)


def _run(shared: _Shared, people: np.ndarray, states: np.ndarray, outcome: Outcome, *, cold: bool) -> None:
    """Moves the states of some people, by whichever thread is free; which one changes nothing."""
    local = threading.local()

    def work(first: int) -> None:
        if not hasattr(local, "room"):
            local.room = _Room(shared)
        who = people[first : first + _AT_ONCE]
        found, reached = _fit_some(shared, local.room, who, states[who], cold=cold)
        states[who] = found
        for mine, all_ in zip(reached, outcome, strict=True):
            all_[who] = mine

    with ThreadPoolExecutor(shared.settings.threads or len(os.sched_getaffinity(0))) as pool:
        list(pool.map(work, range(0, len(people), _AT_ONCE)))


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
            values = outcome.terms.sum(axis=1).reshape(len(who), count)
            best = np.arange(len(who)) * count + np.where(np.isfinite(values), values, np.inf).argmin(axis=1)
            tried = outcome.tried.reshape(len(who), count).sum(axis=1)
            rows, states, memory, count = who, states[best], memory[best], 1
            outcome = Outcome(tried, outcome.stops[best], outcome.terms[best])
    return states, outcome


def _started(shared: _Shared, room: _Room, who: np.ndarray, states: np.ndarray) -> np.ndarray:
    """`(n, S, size + 9)` the best minima of the camera's objective that differ; the best one again where there are fewer."""
    turns, frame = orientations(upright=shared.settings.upright).astype(states.dtype), shared.frame
    tried = len(turns)
    cameras = np.zeros((len(who) * tried, kernels_camera.STATE), states.dtype)
    cameras[:, 3:] = np.tile(turns, (len(who), 1))
    values = np.zeros(len(cameras))
    place_cameras(
        shared.rest, shared.root, shared.weight, shared.depth, shared.people, np.repeat(who, tried), CAMERA_LIMITS, room.camera, cameras, values
    )  # fmt: skip
    cameras, values = cameras.reshape(len(who), tried, -1), values.reshape(len(who), tried)
    chosen = distinct(cameras[..., 3:].astype(np.float64), values, shared.settings.starts)
    best = np.take_along_axis(cameras, chosen[..., None], axis=1)
    out = np.repeat(states[:, None], shared.settings.starts, axis=1)
    out[:, :, frame.transl_at : frame.size], out[:, :, frame.size :] = best[..., :3], best[..., 3:]
    return out


def distinct(turns: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """`(n, count)` rows of the best values whose orientations differ; the best again where there are fewer.

    Args:
        turns: `(n, T, 9)` rotations. values: `(n, T)`.
    """
    left, chosen = np.where(np.isfinite(values), values, np.inf), np.zeros((len(values), count), np.int64)
    for column in range(count):
        best = left.argmin(axis=1)
        none = np.isinf(left.min(axis=1)) & (column > 0)
        chosen[:, column] = np.where(none, chosen[:, 0], best)
        same = np.take_along_axis(turns, chosen[:, column, None, None], axis=1)
        left = np.where(0.5 * ((turns * same).sum(axis=2) - 1) > _SAME, np.inf, left)
    return chosen


def orientations(*, upright: bool) -> np.ndarray:
    """`(T, 9)` orientations: from four sides, tipped forward and back, lying on either side; or upright from the front."""
    from scipy.spatial.transform import Rotation

    front = Rotation.from_euler("x", 180, degrees=True)
    if upright:
        return front.as_matrix().reshape(1, 9)
    around = [front * Rotation.from_euler("y", angle, degrees=True) for angle in (0, 90, 180, 270)]
    tipped = [Rotation.from_euler("x", angle, degrees=True) * front for angle in (-70, 70)]
    lying = [Rotation.from_euler("z", angle, degrees=True) * front for angle in (-90, 90)]
    return np.stack([turn.as_matrix().ravel() for turn in (*around, *tipped, *lying)])


def _outcome(count: int) -> Outcome:
    return Outcome(np.zeros(count, np.int64), np.zeros(count, np.int64), np.full((count, layout.ALL_TERMS), np.nan))
