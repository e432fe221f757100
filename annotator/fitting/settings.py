"""How the batched solver walks the schedule, for every body model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotator.fitting.problem import L1, Problem
from annotator.fitting.solver import Limits

_WIDE_RHO = 0.5
"""Metres, see `bends_of`."""


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
        starts: orientations that are followed.
        looks: at what the last stage makes of a person's starts, mirrored limbs among them: steps, and how many then go on.
        upright: whether the camera's start tries only those who are upright and face it or look past it.
        shape_most: how far a number of shape or expression may be from 0 in 2D, in standard deviations: without it a small
            and noisy hand gains by becoming a tiny one that is near.
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
    looks: tuple[tuple[int, int], ...] = ((6, 5), (8, 1))
    upright: bool = False
    shape_most: float = np.inf
    afresh: bool = False
    dtype: type = np.float32
    threads: int = 0

    def limits(self, stages: int) -> list[Limits]:
        """Of each of the last `stages` stages."""
        rows = zip(*(_of_last(column, stages) for column in (self.iterations, self.gain, self.damping)), strict=True)
        return [Limits(int(most), gain, self.patience, damping, self.floor) for most, gain, damping in rows]


SETTINGS: Mapping[str, Settings] = {
    "smplx": Settings(afresh=True),
    "smpl": Settings(iterations=(20, 60), gain=(1e-3, 1e-5), damping=(1e-2, 1e-3), afresh=True),
    "mano_right": Settings(skip=0, patience=1, starts=1, shape_most=3.0),
    "mano_left": Settings(skip=0, patience=1, starts=1, shape_most=3.0),
    "flame": Settings(patience=1, floor=1e-4, starts=2, looks=((6, 1),), upright=True, shape_most=3.0),
}
"""By body model. Hands need all their stages, faces only the last."""
LOOK_GAIN = 1e-3
"""Share of the objective below which a step is small while starts are only looked at."""
CAMERA_LIMITS = Limits(iterations=30, gain=1e-6, patience=1, damping=1e-2, floor=1e-9)


def bends_of(like: Problem, stages: int) -> list[float]:
    """Where Geman-McClure bends in each of the stages that are walked; 0 for the plain distance.

    In 3D it is wider before the last one: a knee that starts half a metre from its place must still be drawn there.
    """
    if like.robust == L1:
        return [0.0] * stages
    before = max(like.rho, _WIDE_RHO) if like.in_3d else like.rho
    return [*[before] * (stages - 1), like.rho]
