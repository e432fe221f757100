"""The batched solver in torch: the same fits where there is no numba, and on a GPU.

Start, stages, limits and what is said of a fit are those of `batched.py`; the people of a chunk are solved together
instead of one after the other. How many a chunk has follows from the memory at hand (`torch_memory.py`).

Legend: n people of a chunk, S starts of each, T orientations tried.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.files import BodyModelData
from annotator.fitting import kernels_camera
from annotator.fitting.batched import CAMERA_LIMITS, Batched, Settings, distinct, orientations
from annotator.fitting.engines import TORCH, check_penetration
from annotator.fitting.kernels_fit import Outcome
from annotator.fitting.objective import BodyPrior
from annotator.fitting.plans import make_people
from annotator.fitting.problem import Problem
from annotator.fitting.stages import Stage
from annotator.fitting.start import depth_guess
from annotator.fitting.torch_camera import CameraProblems
from annotator.fitting.torch_memory import people_at_once
from annotator.fitting.torch_plan import TorchPlan, unpack
from annotator.fitting.torch_solver import minimise
from annotator.fitting.torch_system import FitProblems
from annotator.precision import one_thread, set_tf32


class TorchBatched(Batched):
    """`Batched` in torch.

    Args:
        device: "cpu", "cuda" or "cuda:1" and so on.
        at_once: people of a chunk; 0 for as many as the device's memory holds.
        compaction: whether people who are done leave their chunk's tensors. Without it those who cannot be fitted stay there
            too, and change no bit of the others.

    Raises:
        RecipeError: self-penetration is asked for, which only the kernels have.
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
        check_penetration(like.penetration, TORCH)
        super().__init__(body, prior, stages, like, settings)
        self.device, self.compaction, self._at_once = torch.device(device), compaction, at_once
        set_tf32("fp32", self.device)
        self.torch_plans = {
            moves: [unpack(plan).to(self.device) for plan in plans] for moves, plans in self.plans.items()
        }

    def at_once(self) -> int:
        """People of a chunk."""
        dtype = torch.from_numpy(np.zeros(0, self.settings.dtype)).dtype
        return self._at_once or people_at_once(self.torch_plans[True], self.settings.starts, dtype, self.device)

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
            outcome.terms[who, : found.terms.shape[1]] = found.terms.cpu().numpy()[wanted]

        if self.device.type != "cpu":
            for who in chunks:
                work(who)
            return
        with one_thread(), ThreadPoolExecutor(self.settings.threads or len(os.sched_getaffinity(0))) as pool:
            list(pool.map(work, chunks))

    def _seen(self, problem: Problem) -> _Seen:
        """What the starts and stages see of everybody, on the CPU."""
        dtype = self.settings.dtype
        depth = np.zeros(len(problem)) if problem.in_3d else depth_guess(problem, self.rest)
        return _Seen(make_people(problem, dtype), problem.anchor_weights.astype(dtype), depth.astype(dtype))

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, self.settings.dtype)).to(self.device)

    @torch.inference_mode()
    def _fit_some(self, seen: _Seen, states: np.ndarray, plans: list[TorchPlan], *, cold: bool) -> _Found:
        """The people of a chunk from their starts to the end: all starts together, then the best of each."""
        people, begin = self._on_device(seen.people), self._on_device(states)
        count = self.settings.starts if cold else 1
        rows = torch.arange(len(people), device=self.device).repeat_interleave(count)
        state = self._started(seen, people, begin) if cold else begin
        found = _Found(state, torch.zeros_like(rows), torch.zeros_like(rows), state.new_zeros(len(rows), 0))
        for stage, (plan, limits) in enumerate(zip(plans, self.limits, strict=True)):
            problems = FitProblems(plan, people[rows])
            reached, values, tried, stops = minimise(problems, found.states, limits, compaction=self.compaction)
            terms = torch.where(torch.isfinite(values)[:, None], problems.terms(reached), torch.nan)
            found = _Found(reached, found.tried + tried, stops, terms)
            if count > 1 and stage + 1 == min(self.settings.together, len(plans)):
                found = found.best(len(people), count)
                rows, count = rows[::count], 1
        return found

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
    """Fits of a chunk: states, steps tried so far, why the last stage ended, terms of the objective."""

    states: Tensor
    tried: Tensor
    stops: Tensor
    terms: Tensor

    def best(self, people: int, count: int) -> _Found:
        """Of every person the best of `count` fits."""
        values = self.terms.sum(dim=1).reshape(people, count)
        values = torch.where(torch.isfinite(values), values, torch.inf)
        rows = torch.arange(people, device=values.device) * count + values.argmin(dim=1)
        tried = self.tried.reshape(people, count).sum(dim=1)
        return _Found(self.states[rows], tried, self.stops[rows], self.terms[rows])
