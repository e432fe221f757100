"""The reference mode: the published optimiser on the published objective, one person at a time, through the smplx package.

It is the honesty check of everything faster, and the "as published" arm of comparisons; nothing on the product's path needs
it. L-BFGS with strong Wolfe line search, a new one for every stage, up to 30 steps of up to 30 iterations, and the published
rules for stopping. Every person starts afresh, and of two orientations the one whose *final* parameters are better is kept
(the published program compares values of one step before, and starts from the person before).

Legend: N people, K points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from annotator.bodies.files import BodyModelData
from annotator.bodies.official import create
from annotator.fitting.evaluate import to_tensors
from annotator.fitting.objective import BodyPrior, Decoder, Objective, Variables
from annotator.fitting.parameters import Parameters, free_names
from annotator.fitting.problem import Problem
from annotator.fitting.result import CONVERGED, EXHAUSTED, NOT_FINITE, Result
from annotator.fitting.sphere_term import spheres_in
from annotator.fitting.stages import Stage
from annotator.fitting.start import first_guess


@dataclass(frozen=True)
class Published:
    """Settings of the published optimiser.

    Attributes:
        steps: outer steps of a stage at most. iterations: of L-BFGS in one step at most; 5/4 as many evaluations.
        history: of L-BFGS. least_gradient, least_change: at which one step of L-BFGS ends.
        ftol: relative fall of the objective from step to step at or below which a stage ends; a rise ends it too.
        gtol: a stage ends when the greatest entry of every gradient is below it.
        dtype: float32 as published.
    """

    steps: int = 30
    iterations: int = 30
    history: int = 100
    least_gradient: float = 1e-5
    least_change: float = 1e-9
    ftol: float = 1e-9
    gtol: float = 1e-9
    dtype: torch.dtype = torch.float32


PUBLISHED = Published()


class OfficialPoints(nn.Module):
    """The points of a problem on the full mesh that the smplx package poses.

    Args:
        root: folder of the body-model files. people: how many are posed at once.
    """

    joint_weights: Tensor
    vertex_weights: Tensor
    vertex_ids: Tensor
    rows: Tensor

    def __init__(self, root: Path, body: BodyModelData, problem: Problem, people: int = 1) -> None:
        super().__init__()
        options: dict[str, Any] = {"batch_size": people}
        if problem.outline:
            options["use_face_contour"] = True
        self.model = create(root, problem.model, **options).requires_grad_(False)
        points = problem.point_map(body)
        arrays = {
            "joint_weights": points.joint_weights.astype(np.float64),
            "vertex_weights": points.weights_of_used.astype(np.float64),
            "vertex_ids": points.vertex_ids.astype(np.int64),
            "rows": np.array(problem.outline, np.int64),
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.as_tensor(values), persistent=False)

    def forward(self, parameters: Variables) -> Tensor:
        """`(N, K, 3)` metres in camera space."""
        posed = self.model(**parameters, return_verts=True)
        joints = posed.joints[:, : self.joint_weights.shape[1]]
        points = self.joint_weights @ joints + self.vertex_weights @ posed.vertices[:, self.vertex_ids]
        return points.index_copy(1, self.rows, posed.joints[:, -len(self.rows) :]) if len(self.rows) else points


def fit(
    problem: Problem,
    body: BodyModelData,
    prior: BodyPrior,
    stages: tuple[Stage, ...],
    start: Parameters | None = None,
    *,
    root: Path,
    published: Published = PUBLISHED,
) -> Result:
    """Fits everybody, one after the other; `iterations` of the result counts evaluations of the objective.

    Args:
        start: instead of the mean pose and the camera stage.
        root: folder of the body-model files, for the smplx package.
    """
    begin = first_guess(problem, body, prior) if start is None else start
    people = [
        _fit_one(problem.take(row), begin.take(row), body, prior, stages, root, published, camera=start is None)
        for row in (slice(n, n + 1) for n in range(len(problem)))
    ]
    names = people[0].terms
    return Result(
        Parameters.joined([p.parameters for p in people]),
        np.concatenate([p.objective for p in people]),
        {name: np.concatenate([p.terms[name] for p in people]) for name in names},
        np.concatenate([p.iterations for p in people]),
        tuple(reason for p in people for reason in p.stop),
    )


def _fit_one(
    problem: Problem,
    begin: Parameters,
    body: BodyModelData,
    prior: BodyPrior,
    stages: tuple[Stage, ...],
    root: Path,
    published: Published,
    *,
    camera: bool,
) -> Result:
    objective = Objective(
        problem, OfficialPoints(root, body, problem), Decoder(body, prior), spheres_in(body, problem.penetration)
    )
    objective = objective.to(published.dtype).eval()
    evaluations = 0
    if camera and not problem.in_3d:
        begin, evaluations = _placed(objective, begin, published)
    starts = [begin, begin.replaced(global_orient=turned_about_y(begin.global_orient))]
    tried: list[tuple[Parameters, str]] = []
    for one in starts if problem.side_view[0] else starts[:1]:
        variables, stop = to_tensors(one, dtype=published.dtype), EXHAUSTED
        moved = [variables[name] for name in free_names(problem.model, one, transl=bool(problem.moves[0]))]
        for stage in stages:
            count, stop = _minimise(moved, partial(_total, objective, variables, stage), published)
            evaluations += count
            if stop == NOT_FINITE:
                break
        tried.append((_to_parameters(one, variables), stop))
    ended = [(parameters, stop, *_value(objective, parameters, stages[-1])) for parameters, stop in tried]
    parameters, stop, value, terms = min(ended, key=lambda end: end[2] if np.isfinite(end[2]) else np.inf)
    return Result(parameters, np.array([value]), terms, np.array([evaluations], np.int32), (stop,))


def turned_about_y(orient: np.ndarray) -> np.ndarray:
    """`(N, 3)` axis-angle after half a turn about the body's own y axis first: who was seen from the front is seen from behind."""
    from scipy.spatial.transform import Rotation

    return (Rotation.from_rotvec(orient) * Rotation.from_rotvec([0.0, np.pi, 0.0])).as_rotvec()


def _total(objective: Objective, variables: Variables, stage: Stage) -> Tensor:
    return objective(variables, stage).sum()


def _placed(objective: Objective, begin: Parameters, published: Published) -> tuple[Parameters, int]:
    """The camera stage: translation and orientation."""
    variables = to_tensors(begin, dtype=published.dtype)
    depth = variables["transl"][:, 2].clone()
    moved = [variables["transl"], variables["global_orient"]]
    count, stop = _minimise(moved, lambda: objective.camera(variables, depth).sum(), published)
    return (begin if stop == NOT_FINITE else _to_parameters(begin, variables)), count


def _minimise(moved: list[Tensor], value: Callable[[], Tensor], published: Published) -> tuple[int, str]:
    """Moves the tensors to a minimum; returns the number of evaluations and why it ended."""
    for tensor in moved:
        tensor.requires_grad_()
    optimiser = torch.optim.LBFGS(
        moved,
        lr=1.0,
        max_iter=published.iterations,
        tolerance_grad=published.least_gradient,
        tolerance_change=published.least_change,
        history_size=published.history,
        line_search_fn="strong_wolfe",
    )
    count = 0

    def closure() -> Tensor:
        nonlocal count
        count += 1
        optimiser.zero_grad()
        total = value()
        total.backward()
        return total

    stop, before = EXHAUSTED, None
    for _ in range(published.steps):
        now = optimiser.step(closure).item()  # the value at the beginning of the step, as published
        if not np.isfinite(now):
            stop = NOT_FINITE
            break
        if before is not None and (before - now) / max(abs(before), abs(now), 1.0) <= published.ftol:
            stop = CONVERGED
            break
        if all(abs(t.grad.max().item()) < published.gtol for t in moved if t.grad is not None):
            stop = CONVERGED
            break
        before = now
    for tensor in moved:
        tensor.requires_grad_(False)
    return count, stop


def _to_parameters(like: Parameters, variables: Variables) -> Parameters:
    moved = {name: tensor.detach().numpy().astype(np.float64) for name, tensor in variables.items()}
    return like.replaced(**moved)


def _value(objective: Objective, parameters: Parameters, stage: Stage) -> tuple[float, dict[str, np.ndarray]]:
    dtype = objective.pixels.dtype
    with torch.no_grad():
        terms = objective.terms(to_tensors(parameters, dtype=dtype), stage)
    arrays = {name: values.numpy().astype(np.float64) for name, values in terms.items()}
    return float(sum(values[0] for values in arrays.values())), arrays
