"""People from their starts to the end of the last stage, by compiled code.

Legend: n people of a thread's share, S starts of each, T orientations tried.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from annotator.bodies.posing import axis_angle_to_matrix
from annotator.fitting import kernels_camera, layout, solver
from annotator.fitting.flips import FLIPS, Flips
from annotator.fitting.kernels_fit import Outcome, place_cameras, solve_stage
from annotator.fitting.kernels_pose import Encoder, decode_poses, encode_poses
from annotator.fitting.plans import Frame, Plan
from annotator.fitting.pose_codes import axis_angles_of, rotations_of
from annotator.fitting.settings import CAMERA_LIMITS, LOOK_GAIN, Settings
from annotator.fitting.solver import Limits, System

_AT_ONCE = 8
"""People that a thread takes at a time."""
_SAME = 0.97
"""Cosine of the angle (14 degrees) below which two orientations are one."""


@dataclass(frozen=True)
class Shared:
    """What all threads read.

    Attributes:
        plans, limits: of the stages that are walked. people: as `make_people` makes them.
        rest, root: `(K, 3)` points of the mean pose about its root joint, and that.
        weight, depth: `(N, K)` of the points that start the camera, `(N,)` guesses.
        flips: mirrors limbs; None where none are mirrored. encoder: of the latent, where the pose is one.
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
    flips: Flips | None
    encoder: Encoder | None


class _Room:
    """Scratch of one thread."""

    def __init__(self, shared: Shared) -> None:
        dtype, size = shared.settings.dtype, shared.frame.size + 9
        self.work = np.zeros(max(plan.scratch for plan in shared.plans), dtype)
        unknowns = max(kernels_camera.UNKNOWNS, *(plan.unknowns for plan in shared.plans))
        self.system: System = solver.system(unknowns, size, dtype)
        self.camera: System = solver.system(kernels_camera.UNKNOWNS, kernels_camera.STATE, dtype)


def run(shared: Shared, people: np.ndarray, states: np.ndarray, outcome: Outcome, *, cold: bool) -> None:
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
    shared: Shared, room: _Room, who: np.ndarray, states: np.ndarray, *, cold: bool
) -> tuple[np.ndarray, Outcome]:
    """A few people from their starts to the end.

    All starts walk the stages before the last. There those with a limb mirrored in the best of them join in, and after
    every look at what the last stage makes of them fewer go on.
    """
    starts = _started(shared, room, who, states) if cold else states[:, None]
    fits = _Fits.of(shared, who, starts)
    last = len(shared.plans) - 1
    for stage in range(last):
        fits.solve(shared, room, stage, shared.limits[stage])
    if cold and shared.flips is not None:
        fits = fits.with_flips(shared, room, shared.flips)
    if fits.each > 1:
        for steps, kept in shared.settings.looks:
            fits.solve(shared, room, last, shared.limits[last]._replace(iterations=steps, gain=LOOK_GAIN))
            fits = fits.best(kept)
    fits.solve(shared, room, last, shared.limits[last])
    return fits.states, fits.outcome


class _Fits:
    """Fits of a few people, one person's after the other's, as many of each.

    Attributes:
        who: `(M,)` the people's rows. each: fits of a person. states, memory, outcome: as `solve_stage` takes them.
        fresh: whether nothing was solved yet.
    """

    def __init__(
        self, who: np.ndarray, each: int, states: np.ndarray, memory: np.ndarray, outcome: Outcome, *, fresh: bool
    ) -> None:
        self.who, self.each, self.fresh = who, each, fresh
        self.states, self.memory, self.outcome = states, memory, outcome

    @classmethod
    def of(cls, shared: Shared, who: np.ndarray, starts: np.ndarray) -> _Fits:
        """From `(n, S, size + 9)` starts."""
        each = starts.shape[1]
        states = np.ascontiguousarray(starts.reshape(len(who) * each, -1))
        memory = np.zeros((len(states), int(shared.plans[0].whole[layout.MEMORY])), states.dtype)
        return cls(np.repeat(who, each), each, states, memory, no_outcome(len(states)), fresh=True)

    def solve(self, shared: Shared, room: _Room, stage: int, limits: Limits) -> None:
        """Steps of one stage."""
        plan = shared.plans[stage]
        solve_stage(
            plan.whole, plan.body, plan.net, shared.people, self.who, limits, room.work, room.system, self.states, self.memory,
            self.fresh, self.outcome,
        )  # fmt: skip
        self.fresh = False

    def best(self, kept: int) -> _Fits:
        """The best `kept` of each person's fits, the best one first; it answers for the steps of all."""
        return self._take(best_of(self.values(), kept))

    def values(self) -> np.ndarray:
        """`(n, each)` of the objective."""
        return self.outcome.terms.sum(axis=1).reshape(-1, self.each)

    def _take(self, places: np.ndarray) -> _Fits:
        """`(n, k)` of every person's fits."""
        people, kept = places.shape
        rows = (self.each * np.arange(people)[:, None] + places).ravel()
        outcome = Outcome(*(column[rows] for column in self.outcome))
        outcome.tried[:] = 0
        outcome.tried[::kept] = self.outcome.tried.reshape(people, self.each).sum(axis=1)
        return _Fits(self.who[rows], kept, self.states[rows], self.memory[rows], outcome, fresh=self.fresh)

    def with_flips(self, shared: Shared, room: _Room, flips: Flips) -> _Fits:
        """These, and behind each person's own those with a limb mirrored in his best."""
        more = self._take(with_best_again(self.values(), FLIPS))
        states = more.states.reshape(-1, more.each, more.states.shape[1])
        states[:, self.each :] = _flipped(shared, room, flips, states[:, -1].copy())
        return more


def _flipped(shared: Shared, room: _Room, flips: Flips, states: np.ndarray) -> np.ndarray:
    """`(n, F, size + 9)` states with a limb mirrored."""
    frame, plan = shared.frame, shared.plans[-1]
    if shared.encoder is None:
        numbers = states[:, frame.pose_at : frame.root_at].astype(np.float64)
        turns = axis_angle_to_matrix(numbers.reshape(len(states), -1, 3))
        poses = axis_angles_of(flips.mirrored(states, turns))
    else:
        outputs = np.empty((len(states), layout.OUT), states.dtype)
        decode_poses(plan.whole, plan.net, room.work, np.ascontiguousarray(states), outputs)
        turned = axis_angles_of(flips.mirrored(states, rotations_of(outputs[:, :126]))).astype(states.dtype)
        flat = np.ascontiguousarray(turned.reshape(-1, turned.shape[-1]))
        poses = np.empty((len(flat), frame.pose), states.dtype)
        encode_poses(shared.encoder, flat, np.empty((2, len(shared.encoder.b1)), states.dtype), poses)
    out = np.repeat(states[:, None], FLIPS, axis=1)
    out[:, :, frame.pose_at : frame.root_at] = poses.reshape(len(states), FLIPS, -1)
    return out


def best_of(values: np.ndarray, kept: int) -> np.ndarray:
    """`(n, kept)` places of the least of `(n, c)` values, the least first; numbers that are none come last."""
    return np.argsort(np.where(np.isfinite(values), values, np.inf), axis=1, kind="stable")[:, :kept]


def with_best_again(values: np.ndarray, times: int) -> np.ndarray:
    """`(n, c + times)` places: all of `(n, c)` fits, then the one of the least value so many times more."""
    own = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.concatenate([own, np.repeat(best_of(values, 1), times, axis=1)], axis=1)


def _started(shared: Shared, room: _Room, who: np.ndarray, states: np.ndarray) -> np.ndarray:
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
    """`(T, 9)` orientations: from four sides, tipped forward and back, lying on either side; or upright, from the front and 60 degrees past it."""
    from scipy.spatial.transform import Rotation

    front = Rotation.from_euler("x", 180, degrees=True)
    angles = (0, 60, -60) if upright else (0, 90, 180, 270)
    around = [front * Rotation.from_euler("y", angle, degrees=True) for angle in angles]
    if upright:
        return np.stack([turn.as_matrix().ravel() for turn in around])
    tipped = [Rotation.from_euler("x", angle, degrees=True) * front for angle in (-70, 70)]
    lying = [Rotation.from_euler("z", angle, degrees=True) * front for angle in (-90, 90)]
    return np.stack([turn.as_matrix().ravel() for turn in (*around, *tipped, *lying)])


def no_outcome(count: int) -> Outcome:
    """Of fits that have not begun."""
    return Outcome(np.zeros(count, np.int64), np.zeros(count, np.int64), np.full((count, layout.ALL_TERMS), np.nan))
