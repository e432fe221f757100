"""The batched solver: many people's fits at once, each on its own, compiled.

A person's fit depends on nobody else: the same bytes come out alone, among others, and for any number of threads. Where
numba is absent or disabled the same code runs in plain Python, with the same fits and hundreds of times slower;
`torch_batched.py` is what runs there, and on a GPU.

Legend: N people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting import layout, solver
from annotator.fitting.flips import Flips
from annotator.fitting.kernels_fit import Outcome
from annotator.fitting.objective import BodyPrior
from annotator.fitting.parameters import Parameters
from annotator.fitting.plans import Planner, make_people
from annotator.fitting.pose_codes import encoder_of
from annotator.fitting.problem import Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, STUCK, Result
from annotator.fitting.settings import SETTINGS, Settings, bends_of
from annotator.fitting.stages import Stage
from annotator.fitting.start import depth_guess, rigid
from annotator.fitting.walk import Shared, no_outcome, run
from annotator.prior import VPoser, VPoserV2

TOO_FEW_POINTS = "too few points"
"""Why a person was not fitted, beside the reasons of `result.py`."""
_LEAST_POINTS = 3
_STOPS = {
    solver.CONVERGED: CONVERGED,
    solver.EXHAUSTED: EXHAUSTED,
    solver.NOT_FINITE: NOT_FINITE,
    solver.STUCK: STUCK,
}


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
        self._most = np.inf if like.in_3d else self.settings.shape_most
        planner = Planner(body, prior, like.point_map(body), like.group, like.outline, self._most)
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
        posed = self.frame.pose_kind != layout.NO_POSE and not like.in_3d
        self.flips = Flips(self.frame, body) if posed else None
        self._encoder = encoder_of(prior, self.settings.dtype) if isinstance(prior, VPoser | VPoserV2) else None
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
            tried, ours, theirs = outcome.tried + other.tried, outcome.terms.sum(axis=1), other.terms.sum(axis=1)
            lower = np.isfinite(theirs) & ~(ours <= theirs)  # a start that leads nowhere is NaN
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
        states, outcome = self.frame.to_states(begin).astype(self.settings.dtype), no_outcome(len(problem))
        shape = states[:, self.frame.shape_at : self.frame.pose_at]
        np.clip(shape, -self._most, self._most, out=shape)
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
        dtype = self.settings.dtype

        def column(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(values, dtype)

        shared = Shared(
            self.plans[moves],
            self.limits,
            self.frame,
            self.settings,
            make_people(problem, dtype),
            rest=column(self.rest - self.root),
            root=column(self.root),
            weight=column(problem.anchor_weights),
            depth=column(self._depth(problem)),
            flips=self.flips,
            encoder=self._encoder,
        )
        run(shared, people, states, outcome, cold=cold)

    def _depth(self, problem: Problem) -> np.ndarray:
        """`(N,)` guesses, metres; none are needed in 3D."""
        return np.zeros(len(problem)) if problem.in_3d else depth_guess(problem, self.rest)

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
