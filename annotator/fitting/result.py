"""What every way of fitting returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from annotator.fitting.parameters import Parameters

CONVERGED, EXHAUSTED, NOT_FINITE, STUCK = "converged", "iterations", "not finite", "stuck"
"""Why a solver stopped: nothing more to gain, no iterations left, a value that is no number, no step that gains though the
slope promises some. The last is a fit like others, whose objective may lie above its minimum.
"""


@dataclass(frozen=True)
class Result:
    """Fits of N people.

    Attributes:
        parameters: of each person.
        objective: `(N,)` final value of the last stage. terms: `(N,)` each, by name; they add up to it.
        iterations: `(N,)` of the solver, all stages and starts together.
        stop: N reasons for which the last stage ended.
    """

    parameters: Parameters
    objective: np.ndarray
    terms: Mapping[str, np.ndarray]
    iterations: np.ndarray
    stop: tuple[str, ...]
