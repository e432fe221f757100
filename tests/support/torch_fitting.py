"""The torch solver against the kernels, in float64 and without numba: prints what differs as one line of JSON.

It runs in a process of its own, because whether kernels are compiled is decided at import.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

if __name__ == "__main__":
    sys.modules["numba"] = None  # type: ignore[assignment]  # as on a machine without it

import numpy as np
import torch
from scipy import sparse

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.fitting import compiled
from annotator.fitting.batched import Batched
from annotator.fitting.engines import TORCH, engine_for
from annotator.fitting.plans import make_people
from annotator.fitting.stages import HAND, SCHEDULES, WHOLE_BODY
from annotator.fitting.torch_batched import TorchBatched
from annotator.fitting.torch_plan import unpack
from annotator.fitting.torch_system import FitProblems
from annotator.prior import default_vposer
from tests.support.fitting import face_problem, hand_problem, random_parameters, whole_problem
from tests.support.plain_fitting import TINY, Case, cases


def by_torch(case: Case) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and curvature by the torch solver's problems."""
    problems = FitProblems(unpack(case.plan), torch.as_tensor(make_people(case.problem, np.float64)))
    states = torch.as_tensor(case.state)[None]
    matrix, gradient = problems.linearise(states)
    return float(problems.evaluate(states)), gradient[0].numpy(), matrix[0].numpy()


def apart(case: Case) -> dict[str, float]:
    """Relative differences of value, gradient and curvature from the kernels', and of the first two from autograd's."""
    value, gradient, matrix = by_torch(case)
    theirs, slope, curvature = case.by_kernels()
    judged, steepest = case.by_torch(np.zeros((1, case.plan.unknowns)))
    scale = np.sqrt(np.outer(np.diag(curvature), np.diag(curvature)))
    return {
        "value": abs(value / theirs - 1),
        "gradient": float(np.abs(gradient - slope).max() / np.abs(slope).max()),
        "curvature": float((np.abs(matrix - curvature) / np.maximum(scale, 1e-9 * np.abs(curvature).max())).max()),
        "value by autograd": abs(value / judged[0] - 1),
        "gradient by autograd": float(np.abs(gradient - steepest[0]).max() / np.abs(steepest).max()),
    }


def blurred(body: BodyModelData, *, bent_by: int = 0) -> BodyModelData:
    """The same body with skin that hangs on three joints everywhere, bent by joints that the open body has no correctives of.

    Args:
        bent_by: the first so many numbers of the pose feature bend it; 0 for all.
    """
    rng = np.random.default_rng(3)
    above = np.maximum(body.parents, 0)
    rows = sparse.csr_array(body.weights).tocoo()
    up = [rows.col, above[rows.col], above[above[rows.col]]]
    shares = [0.6 * rows.data, 0.3 * rows.data, 0.1 * rows.data]
    weights = sparse.csr_array(
        (np.concatenate(shares), (np.tile(rows.row, 3), np.concatenate(up))), shape=body.weights.shape, dtype=np.float32
    )
    weights.sum_duplicates()
    correctives = np.zeros(body.posedirs.shape, np.float32)
    few = rng.choice(bent_by or len(correctives), min(27, len(correctives)), replace=False)
    correctives[few] = rng.normal(0, 2e-3, (len(few), correctives.shape[1]))
    return replace(body, weights=weights, posedirs=sparse.csr_array(correctives))


WILD = "face bent by fingers"
"""The kernels let one articulation move a point, torch lets all that do; values are the same."""


def blurred_cases() -> dict[str, Case]:
    """Bodies whose points hang on several joints, as those of other models do."""
    root = default_root()
    hand, face = (blurred(load_body_model(root, name)) for name in ("mano_right", "flame"))
    body, wild = (blurred(load_body_model(root, "smplx"), bent_by=count) for count in (9 * 21, 0))
    person, vposer = random_parameters("smplx", 1), default_vposer(root)
    whole = whole_problem(load_body_model(root, "smplx"), 1, noise=30.0)
    faces = face_problem(load_body_model(root, "flame"), 1, noise=10.0)
    return {
        "blurred whole": Case(whole, person, body, vposer, WHOLE_BODY[4]),
        WILD: Case(whole, person, wild, vposer, WHOLE_BODY[4]),
        "blurred body alone": Case(replace(whole, free_translation=True), person, body, vposer, WHOLE_BODY[2]),
        "blurred hand": Case(
            hand_problem(load_body_model(root, "mano_right"), 1),
            random_parameters("mano_right", 1),
            hand,
            None,
            HAND[2],
        ),
        "blurred face": Case(faces, random_parameters("flame", 1), face, None, SCHEDULES["flame"][2]),
    }


def same_steps() -> float:
    """Greatest difference of two hands' numbers after a few steps of either solver, in float64."""
    hand = load_body_model(default_root(), "mano_right")
    problem, settings = hand_problem(hand, 2, noise=1.0), replace(TINY, iterations=(4,), dtype=np.float64)
    found = [kind(hand, None, HAND, problem, settings).fit(problem) for kind in (Batched, TorchBatched)]
    pairs = zip(*(result.parameters.items().values() for result in found), strict=True)
    assert found[0].iterations.tolist() == found[1].iterations.tolist()
    return max(float(np.abs(one - other).max()) for one, other in pairs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    assert not compiled.AVAILABLE
    made = cases() | blurred_cases()
    slots = max(group.joints.shape[1] for group in unpack(made["blurred whole"].plan).groups)
    print(
        json.dumps(
            {
                "apart": {name: apart(case) for name, case in made.items()},
                "engine": engine_for("auto") == TORCH,
                "slots": slots,
                "steps": same_steps(),
            }
        )
    )
