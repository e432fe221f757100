"""The one judge of every comparison: the published objective in float64, on our own evaluation of the body model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from annotator.bodies.files import BodyModelData
from annotator.fitting.objective import BodyPrior, Decoder, ModelPoints, Objective
from annotator.fitting.parameters import Parameters
from annotator.fitting.problem import Problem
from annotator.fitting.sphere_term import spheres_in
from annotator.fitting.stages import SCHEDULES, Stage

_CHUNK = 256


@dataclass(frozen=True)
class Evaluation:
    """Of N people: `objective` `(N,)` float64, and its `terms` `(N,)` each, which add up to it."""

    objective: np.ndarray
    terms: Mapping[str, np.ndarray]


def objective_of(
    problem: Problem, body: BodyModelData, prior: BodyPrior, *, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> Objective:
    """The objective on our own evaluation of the body model."""
    objective = Objective(
        problem, ModelPoints(body, problem), Decoder(body, prior), spheres_in(body, problem.penetration)
    )
    return objective.to(device=device, dtype=dtype).requires_grad_(False).eval()


def to_tensors(
    parameters: Parameters, *, dtype: torch.dtype = torch.float64, device: str = "cpu"
) -> dict[str, torch.Tensor]:
    """Every array of `parameters` as a tensor of its own."""
    return {name: torch.tensor(values, dtype=dtype, device=device) for name, values in parameters.items().items()}


def final_objective(
    parameters: Parameters, problem: Problem, body: BodyModelData, prior: BodyPrior, stage: Stage | None = None
) -> Evaluation:
    """What the parameters of N people are worth, in float64.

    Args:
        stage: whose weights count; the last of the body model's schedule by default.
    """
    last = stage or SCHEDULES[problem.model][-1]
    parts: list[dict[str, np.ndarray]] = []
    with torch.no_grad():
        for start in range(0, len(problem), _CHUNK):
            rows = slice(start, start + _CHUNK)
            objective = objective_of(problem.take(rows), body, prior)
            terms = objective.terms(to_tensors(parameters.take(rows)), last)
            parts.append({name: values.numpy() for name, values in terms.items()})
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Evaluation(np.sum(list(merged.values()), axis=0), merged)
