"""The kernels without numba, in float64, against autograd of the objective: prints what differs as one line of JSON.

It runs in a process of its own, because whether kernels are compiled is decided at import.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from typing import Any

if __name__ == "__main__":
    sys.modules["numba"] = None  # type: ignore[assignment]  # as on a machine without it

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.fitting import compiled, layout, solver
from annotator.fitting.batched import fit
from annotator.fitting.evaluate import objective_of, to_tensors
from annotator.fitting.kernels_decoder import decoder_reset
from annotator.fitting.kernels_system import evaluate, linearise
from annotator.fitting.objective import BodyPrior
from annotator.fitting.parameters import Parameters
from annotator.fitting.plans import Planner, make_people
from annotator.fitting.problem import L1, Problem
from annotator.fitting.settings import SETTINGS, Settings
from annotator.fitting.stages import HAND, SCHEDULES, SMPL, WHOLE_BODY, Stage
from annotator.prior import default_gmm, default_vposer
from annotator.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from tests.support.fitting import face_problem, hand_problem, random_parameters, whole_problem

ORDER = (
    *("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose", "betas", "expression"),
    *("latent", "body_pose", "turn", "transl"),
)
"""Of the numbers that the solver varies."""
IN_STATE = {"mano_right": ("right_hand_pose",), "smpl": (), "flame": ("jaw_pose",), "smplx": ORDER[:5]}


class Case:
    """One person in one stage, to the kernels and to torch."""

    def __init__(
        self, problem: Problem, parameters: Parameters, body: BodyModelData, prior: BodyPrior, stage: Stage
    ) -> None:
        self.problem, self.parameters, self.body, self.prior, self.stage = problem, parameters, body, prior, stage
        planner = Planner(
            body, prior, problem.point_map(body), problem.group, problem.outline, SETTINGS[problem.model].shape_most
        )
        rho = 0.0 if problem.robust == L1 else problem.rho
        self.plan = planner.plan(
            stage,
            in_3d=problem.in_3d,
            free_translation=problem.free_translation,
            rho=rho,
            dtype=np.float64,
            penetration=problem.penetration,
        )
        self.state = planner.frame.to_states(parameters)[0]

    def by_kernels(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Value, gradient and curvature."""
        plan, count = self.plan, self.plan.unknowns
        room, work = solver.system(count, len(self.state), np.float64), np.zeros(plan.scratch)
        task = layout.Task(plan.whole, plan.body, plan.net, make_people(self.problem, np.float64), 0)
        decoder_reset(plan.whole, plan.net, work)
        value = evaluate(task, work, self.state)
        linearise(task, work, self.state, room.matrix, room.gradient)
        upper = np.triu(room.matrix[:count, :count])
        return float(value), room.gradient[:count].copy(), upper + np.triu(upper, 1).T

    def by_torch(self, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(M,)` values and `(M, n)` gradients after each of `(M, n)` steps from the parameters."""
        rows = np.zeros(len(steps), int)
        values = to_tensors(self.parameters.take(rows))
        values["turn"] = torch.zeros(len(steps), 3, dtype=torch.float64)
        arms = [name for name in IN_STATE[self.body.family + ("_right" if self.body.side else "")] if name in values]
        names = [name for name in ORDER if name in values and (name in arms or name in ORDER[5:])]
        if len(values["betas"]) and self.body.family in ("mano", "flame"):
            names = [name for name in names if name != "body_pose"]
        widths = {name: values[name].shape[1] for name in names}
        origin = int(self.plan.whole[layout.FIRST])
        padded = np.zeros((len(steps), sum(widths.values())))
        padded[:, origin : origin + steps.shape[1]] = steps
        leaves: dict[str, Tensor] = {}
        at = 0
        for name in names:
            moved = values[name] + torch.as_tensor(padded[:, at : at + widths[name]])
            leaves[name] = moved.requires_grad_()
            at += widths[name]
        turned = axis_angle_to_matrix(leaves["turn"]) @ axis_angle_to_matrix(values["global_orient"])
        given = values | leaves | {"global_orient": matrix_to_axis_angle(turned)}
        found = objective_of(self.problem.take(rows), self.body, self.prior)(given, self.stage)
        found.sum().backward()
        slopes = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves.values()]
        gradient = torch.cat(slopes, dim=1).numpy()[:, origin : origin + steps.shape[1]]
        return found.detach().numpy(), gradient


def away(case: Case) -> dict[str, float]:
    """Relative differences of value and gradient."""
    value, gradient, _ = case.by_kernels()
    theirs, slope = case.by_torch(np.zeros((1, case.plan.unknowns)))
    scale = float(np.abs(slope).max())
    return {"value": abs(value / theirs[0] - 1), "gradient": float(np.abs(gradient - slope[0]).max()) / scale}


def curvature(case: Case) -> float:
    """Greatest difference of the curvature from central differences of autograd's gradient, relative to its diagonal."""
    _, _, matrix = case.by_kernels()
    step = 3e-6  # not 1e-6, where roma changes formulas and autograd counts both
    steps = np.concatenate([step * np.eye(len(matrix)), -step * np.eye(len(matrix))])
    _, slopes = case.by_torch(steps)
    true = (slopes[: len(matrix)] - slopes[len(matrix) :]) / (2 * step)
    varied = np.diag(true) > 0  # a hand has no expression, though its state has room for one
    matrix, true = matrix[np.ix_(varied, varied)], true[np.ix_(varied, varied)]
    scale = np.sqrt(np.outer(np.diag(true), np.diag(true)))
    return float((np.abs(matrix - true) / np.maximum(scale, 1e-6 * np.abs(true).max())).max())


def cases() -> dict[str, Case]:
    """Every kind of body, pose, target and residual."""
    root = default_root()
    body, smpl, hand, face = (load_body_model(root, name) for name in ("smplx", "smpl", "mano_right", "flame"))
    vposer, gmm = default_vposer(root), default_gmm(root)
    whole = whole_problem(body, 1, noise=30.0)
    rng = np.random.default_rng(5)
    whole = replace(whole, confidence=rng.uniform(0, 1, whole.confidence.shape).round(1))
    of_body = {name: getattr(whole, name)[:, :25] for name in ("pixels", "confidence", "seen")}
    small = replace(whole, model="smpl", names=whole.names[:25], group=whole.group[:25], **of_body)
    person, hands = random_parameters("smplx", 1), hand_problem(hand, 1, noise=10.0)
    in_3d = {"joints": rng.normal(size=(1, 21, 3)) * 0.1 + [0, 0, 12.0], "rho": 0.15, "data_weight": np.full(1, 1e3)}
    straight = random_parameters("smplx", 1, latent=False)
    folded = random_parameters("smpl", 1)
    assert folded.body_pose is not None
    folded.body_pose[0] *= 0.2
    folded.body_pose[0, [47, 53]] = -1.2, -1.4  # the left arm hangs and its elbow takes the forearm into the belly
    return {
        "overlapping": Case(replace(whole, penetration=1e6), curled(person), body, vposer, WHOLE_BODY[4]),
        "overlapping little": Case(replace(whole, penetration=1e8), curled(person), body, vposer, WHOLE_BODY[3]),
        "overlapping smpl": Case(replace(small, penetration=1e6), folded, smpl, gmm, SMPL[3]),
        "whole": Case(whole, person, body, vposer, WHOLE_BODY[4]),
        "moving": Case(replace(whole, free_translation=True), person, body, vposer, WHOLE_BODY[3]),
        "body alone": Case(whole, person, body, vposer, WHOLE_BODY[2]),
        "mixture": Case(whole, straight, body, gmm, WHOLE_BODY[4]),
        "no prior": Case(whole, straight, body, None, WHOLE_BODY[4]),
        "smpl": Case(small, random_parameters("smpl", 1), smpl, gmm, SMPL[3]),
        "hand": Case(hands, random_parameters("mano_right", 1), hand, None, HAND[2]),
        "hand in 3D": Case(replace(hands, **in_3d), random_parameters("mano_right", 1), hand, None, HAND[2]),
        "hand in 3D, L1": Case(
            replace(hands, **in_3d, robust=L1), random_parameters("mano_right", 1), hand, None, HAND[2]
        ),
        "face": Case(
            face_problem(face, 1, noise=10.0), random_parameters("flame", 1), face, None, SCHEDULES["flame"][2]
        ),
    }


def curled(person: Parameters) -> Parameters:
    """The same with a latent far from its mean, whose limbs run into each other, and a body that is not the mean one."""
    assert person.latent is not None
    rng = np.random.default_rng(7)
    latent = 3.5 * np.random.default_rng(0).normal(size=(20, person.latent.shape[1]))[8:9]
    return person.replaced(latent=latent, betas=rng.normal(size=person.betas.shape))


def overlaps(case: Case) -> dict[str, float]:
    """Of self-penetration alone: pairs that overlap, how far its value is from the objective's, and its curvature from
    least squares on the Jacobian that autograd gives of every pair's overlap, by shape and pose.
    """
    bare = Case(replace(case.problem, penetration=0.0), case.parameters, case.body, case.prior, case.stage)
    (value, _, matrix), (rest, _, without) = case.by_kernels(), bare.by_kernels()
    objective = objective_of(case.problem, case.body, case.prior)
    spheres, values = objective.spheres, to_tensors(case.parameters)
    assert spheres is not None
    names = [name for name in ("betas", "expression", "latent", "body_pose") if name in values]
    if case.body.family == "smpl":
        names.remove("expression")

    def depths(*moved: Tensor) -> Tensor:
        centres = spheres(objective.decoder(values | dict(zip(names, moved, strict=True))))[0]
        away = (centres[spheres.pairs[:, 0]] - centres[spheres.pairs[:, 1]]).norm(dim=-1)
        return (spheres.reach - away).clamp(min=0)

    given = tuple(values[name] for name in names)
    depth, weight = depths(*given), case.problem.penetration * case.stage.penetration
    blocks = dict(zip(names, torch.autograd.functional.jacobian(depths, given), strict=True))
    wide = {"expression": torch.zeros(len(depth), 1, 10, dtype=depth.dtype)} | blocks
    rows = torch.cat([wide[name][:, 0] for name in ("betas", "expression", names[-1])], dim=1).numpy()
    first = int(case.plan.whole[layout.SHAPE_START] - case.plan.whole[layout.FIRST])
    found = (matrix - without)[first : first + rows.shape[1], first : first + rows.shape[1]]
    true = 2 * weight * rows.T @ rows
    return {
        "pairs": int((depth > 0).sum()),
        "value": abs((value - rest) / (weight * float(depth.square().sum())) - 1),
        "curvature": float(np.abs(found - true).max() / np.abs(true).max()),
        "elsewhere": float(np.abs(matrix - without).sum() - np.abs(found).sum()) / float(np.abs(found).sum()),
    }


def exact(case: Case) -> Case:
    """The same with every point seen where it is and no bending: there the curvature of least squares is exact."""
    objective = objective_of(case.problem, case.body, case.prior)
    with torch.no_grad():
        points = objective.place(objective.decoder(to_tensors(case.parameters)))
    pixels = points[..., :2] / points[..., 2:] * 5000.0 + 500.0
    problem = replace(case.problem, pixels=pixels.numpy())
    return Case(problem, case.parameters, case.body, case.prior, replace(case.stage, body_prior=0.0))


def valley() -> dict[str, Any]:
    """Rosenbrock's valley by the solver alone, and what it says of a start that is no number, of a slope that points the
    wrong way and of one against a wall.
    """

    def value(_task: float, _work: np.ndarray, state: np.ndarray) -> float:
        return float((1 - state[0]) ** 2 + 100 * (state[1] - state[0] ** 2) ** 2)

    def system(_task: float, _work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray) -> None:
        rows = np.array([[-1.0, 0.0], [-20 * state[0], 10.0]])
        matrix[:2, :2] = 2 * rows.T @ rows
        gradient[:2] = 2 * rows.T @ np.array([1 - state[0], 10 * (state[1] - state[0] ** 2)])

    def moved(_task: float, _work: np.ndarray, state: np.ndarray, step: np.ndarray, to: np.ndarray) -> None:
        to[:] = state + step[:2]

    minimise, limits = solver.minimiser(value, system, moved), solver.Limits(100, 1e-12, 3, 1e-2, 0.0)
    state, lost = np.array([-1.2, 1.0]), np.array([np.nan, 0.0])
    room = solver.system(2, 2, np.float64)
    least, steps, stop = minimise(0.0, np.zeros(1), room, state, 2, limits)
    nowhere = minimise(0.0, np.zeros(1), room, lost, 2, limits)[2]
    once = minimise(0.0, np.zeros(1), room, np.array([-1.2, 1.0]), 2, limits._replace(iterations=1))

    def lying(task: float, work: np.ndarray, state: np.ndarray, matrix: np.ndarray, gradient: np.ndarray) -> None:
        system(task, work, state, matrix, gradient)
        gradient[:] = -gradient

    def walled(task: float, work: np.ndarray, state: np.ndarray) -> float:
        return value(task, work, state) if state[0] <= -1.2 else math.inf

    stuck = [
        solver.minimiser(*functions, moved)(0.0, np.zeros(1), room, np.array([-1.2, 1.0]), 2, limits)[2]
        for functions in ((value, lying), (walled, system))
    ]
    return {
        "stuck": stuck,
        **{"least": least, "steps": steps, "stop": stop, "x": float(state[0]), "y": float(state[1])},
        **{"nowhere": nowhere, "once": once[2], "after one": once[0]},
    }


TINY = Settings(skip=1, iterations=(3,), gain=(0.0,), damping=(1e-2,), starts=1, upright=True, threads=1)
"""A fit that plain Python can afford."""


def tiny_fit() -> list[float]:
    """A hand's numbers after a few steps."""
    hand = load_body_model(default_root(), "mano_right")
    found = fit(hand_problem(hand, 1, noise=1.0), hand, None, HAND, settings=TINY).parameters
    return np.concatenate([found.global_orient, found.transl, found.right_hand_pose, found.betas], axis=1)[0].tolist()


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert not compiled.AVAILABLE
    made = cases()
    print(
        json.dumps(
            {
                "away": {name: away(case) for name, case in made.items()},
                "curvature": {
                    name: curvature(exact(made[name])) for name in ("moving", "body alone", "no prior", "hand", "face")
                },
                "overlaps": {name: overlaps(case) for name, case in made.items() if case.problem.penetration},
                "valley": valley(),
                "tiny": tiny_fit(),
            }
        )
    )
