"""The batched solver in torch: the same fits where there is no numba, and on a GPU.

Start, stages, limits and what is said of a fit are those of `batched.py`; the people of a chunk are solved together
instead of one after the other. How many a chunk has follows from the memory at hand (`torch_memory.py`).

Legend: n people of a chunk, S starts of each, T orientations tried.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.files import BodyModelData
from annotator.fitting import kernels_camera
from annotator.fitting.batched import Batched
from annotator.fitting.flips import FLIPS, Flips
from annotator.fitting.kernels_fit import Outcome
from annotator.fitting.objective import BodyPrior
from annotator.fitting.plans import make_people
from annotator.fitting.pose_codes import axis_angles_of
from annotator.fitting.problem import Problem
from annotator.fitting.settings import CAMERA_LIMITS, LOOK_GAIN, Settings
from annotator.fitting.solver import Limits
from annotator.fitting.stages import Stage
from annotator.fitting.torch_camera import CameraProblems
from annotator.fitting.torch_memory import people_at_once
from annotator.fitting.torch_plan import TorchPlan, unpack
from annotator.fitting.torch_solver import minimise
from annotator.fitting.torch_system import FitProblems
from annotator.fitting.walk import best_of, distinct, orientations, with_best_again
from annotator.precision import one_thread, set_tf32
from annotator.prior import VPoser, VPoserV2
from annotator.rotations import axis_angle_to_matrix


class TorchBatched(Batched):
    """`Batched` in torch.

    Args:
        device: "cpu", "cuda" or "cuda:1" and so on.
        at_once: people of a chunk; 0 for as many as the device's memory holds.
        compaction: whether people who are done leave their chunk's tensors. Without it those who cannot be fitted stay there
            too, and change no bit of the others.

    """

    def __init__(
        self,
        body: BodyModelData,
        prior: BodyPrior,
        stages: Sequence[Stage],
        like: Problem,
        settings: Settings | None = None,
        *,
        device: str = "cpu",
        at_once: int = 0,
        compaction: bool = True,
    ) -> None:
        super().__init__(body, prior, stages, like, settings)
        self.device, self.compaction, self._at_once = torch.device(device), compaction, at_once
        latent = isinstance(prior, VPoser | VPoserV2)
        dtype = torch.from_numpy(np.zeros(0, self.settings.dtype)).dtype
        self._prior = copy.deepcopy(prior).to(self.device, dtype) if latent else None
        set_tf32("fp32", self.device)
        self.torch_plans = {
            moves: [unpack(plan).to(self.device) for plan in plans] for moves, plans in self.plans.items()
        }

    def at_once(self) -> int:
        """People of a chunk."""
        dtype = torch.from_numpy(np.zeros(0, self.settings.dtype)).dtype
        return self._at_once or people_at_once(self.torch_plans[True], self._most_each, dtype, self.device)

    @property
    def _most_each(self) -> int:
        """Most fits of one person at a time."""
        return self.settings.starts + (FLIPS if self.flips is not None else 0)

    def solve(
        self, problem: Problem, people: np.ndarray, states: np.ndarray, outcome: Outcome, *, moves: bool, cold: bool
    ) -> None:
        """As the kernels' solver does it, a chunk at a time."""
        count = self.at_once()
        members = people if self.compaction else np.arange(len(problem))
        chunks = [members[first : first + count] for first in range(0, len(members), count)]
        shared = self._seen(problem)

        def work(who: np.ndarray) -> None:
            found = self._fit_some(shared.take(who), states[who], self.torch_plans[moves], cold=cold)
            wanted = np.isin(who, people)
            who = who[wanted]
            states[who] = found.states.cpu().numpy()[wanted]
            outcome.tried[who], outcome.stops[who] = (
                found.tried.cpu().numpy()[wanted],
                found.stops.cpu().numpy()[wanted],
            )
            outcome.terms[who] = found.terms.cpu().numpy()[wanted]

        if self.device.type != "cpu":
            for who in chunks:
                work(who)
            return
        with one_thread(), ThreadPoolExecutor(self.settings.threads or len(os.sched_getaffinity(0))) as pool:
            list(pool.map(work, chunks))

    def _seen(self, problem: Problem) -> _Seen:
        """What the starts and stages see of everybody, on the CPU."""
        dtype = self.settings.dtype
        depth = self._depth(problem).astype(dtype)
        return _Seen(make_people(problem, dtype), problem.anchor_weights.astype(dtype), depth)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, self.settings.dtype)).to(self.device)

    @torch.inference_mode()
    def _fit_some(self, seen: _Seen, states: np.ndarray, plans: list[TorchPlan], *, cold: bool) -> _Found:
        """The people of a chunk from their starts to the end, in the steps of `walk.py`."""
        people, begin = self._on_device(seen.people), self._on_device(states)
        each = self.settings.starts if cold else 1
        state = self._started(seen, people, begin) if cold else begin
        none = torch.zeros(len(state), dtype=torch.int64, device=self.device)
        found = _Found(state, each, none, none, state.new_zeros(len(state), 0))
        for plan, limits in zip(plans[:-1], self.limits[:-1], strict=True):
            found = self._solved(plan, people, found, limits)
        if cold and self.flips is not None:
            found = self._with_flips(found, self.flips)
        if found.each > 1:
            for steps, kept in self.settings.looks:
                few = self.limits[-1]._replace(iterations=steps, gain=LOOK_GAIN)
                found = self._solved(plans[-1], people, found, few).best(kept)
        return self._solved(plans[-1], people, found, self.limits[-1])

    def _solved(self, plan: TorchPlan, people: Tensor, found: _Found, limits: Limits) -> _Found:
        """After the steps of one stage."""
        problems = FitProblems(plan, people.repeat_interleave(found.each, dim=0))
        reached, values, tried, stops = minimise(problems, found.states, limits, compaction=self.compaction)
        terms = torch.where(torch.isfinite(values)[:, None], problems.terms(reached), torch.nan)
        return _Found(reached, found.each, found.tried + tried, stops, terms)

    def _with_flips(self, found: _Found, flips: Flips) -> _Found:
        """These, and behind each person's own those with a limb mirrored in his best."""
        more = found.take(with_best_again(found.values(), FLIPS))
        frame, states = self.frame, more.states.unflatten(0, (-1, more.each))
        numbers = states[:, -1, frame.pose_at : frame.root_at]
        local = self._prior.decode(numbers) if self._prior else axis_angle_to_matrix(numbers.unflatten(1, (-1, 3)))
        poses = self._on_device(axis_angles_of(flips.mirrored(states[:, -1].cpu().numpy(), local.cpu().numpy())))
        if self._prior:
            poses = self._prior.encode(poses.flatten(0, 1))[0].unflatten(0, (-1, FLIPS))
        states[:, found.each :, frame.pose_at : frame.root_at] = poses
        return more

    def _started(self, seen: _Seen, people: Tensor, begin: Tensor) -> Tensor:
        """`(n S, size + 9)` the best minima of the camera's objective that differ; the best one again if there are fewer."""
        turns, frame = self._on_device(orientations(upright=self.settings.upright)), self.frame
        count, tried, starts = len(people), len(turns), self.settings.starts
        rows = torch.arange(count, device=self.device).repeat_interleave(tried)
        columns = (self._on_device(self.rest - self.root), self._on_device(self.root))
        each = (self._on_device(seen.weight)[rows], self._on_device(seen.depth)[rows], people[rows])
        cameras = CameraProblems.of(*columns, *each)
        start = cameras.centred(turns.repeat(count, 1))
        places, values, *_ = minimise(cameras, start, CAMERA_LIMITS, compaction=self.compaction)
        places = places.reshape(count, tried, kernels_camera.STATE)
        chosen = distinct(places[..., 3:].double().cpu().numpy(), values.reshape(count, tried).cpu().numpy(), starts)
        best = places.gather(1, torch.from_numpy(chosen).to(self.device)[..., None].expand(-1, -1, places.shape[2]))
        out = begin[:, None].repeat(1, starts, 1)
        out[:, :, frame.transl_at : frame.size], out[:, :, frame.size :] = best[..., :3], best[..., 3:]
        return out.flatten(0, 1)


@dataclass(frozen=True)
class _Seen:
    """Rows of `make_people`, `(n, K)` weights of the camera's points and `(n,)` depth guesses."""

    people: np.ndarray
    weight: np.ndarray
    depth: np.ndarray

    def take(self, who: np.ndarray) -> _Seen:
        return _Seen(self.people[who], self.weight[who], self.depth[who])


@dataclass(frozen=True)
class _Found:
    """Fits of a chunk, `each` of a person: states, steps tried so far, why the last stage ended, terms of the objective."""

    states: Tensor
    each: int
    tried: Tensor
    stops: Tensor
    terms: Tensor

    def values(self) -> np.ndarray:
        """`(n, each)` of the objective."""
        return self.terms.sum(dim=1).reshape(-1, self.each).double().cpu().numpy()

    def best(self, kept: int) -> _Found:
        """The best `kept` of each person's fits, the best one first; it answers for the steps of all."""
        return self.take(best_of(self.values(), kept))

    def take(self, places: np.ndarray) -> _Found:
        """`(n, k)` of every person's fits."""
        people, kept = places.shape
        rows = torch.from_numpy(self.each * np.arange(people)[:, None] + places).flatten().to(self.states.device)
        tried = torch.zeros_like(rows)
        tried[::kept] = self.tried.reshape(people, self.each).sum(dim=1)
        return _Found(self.states[rows], kept, tried, self.stops[rows], self.terms[rows])
