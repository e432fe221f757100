"""Arms of the benchmark of fitting that need no reference and no quiet machine: 3D joints of known truth and of real data,
one spoilt person among many, and memory.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.datasets import READERS, Source
from annotator.fitting.batched import Batched
from annotator.fitting.evaluate import objective_of, to_tensors
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import Fitting, anchor_rows, edge_rows, groups, model_of, people_of
from annotator.fitting.problem import Problem
from annotator.fitting.stages import WHOLE_BODY
from annotator.skeleton import HUMAN36M
from benchmarks._claims import Report
from benchmarks._fitted_people import truth_of_shots, whole_people

_REAL = {
    "human36m": ("human36m", "annotations", "images"),
    "mpi_inf_3dhp": ("mpi-inf-3dhp", ".", "images_1k"),
}
"""Folder of a real sample: its format, annotations and photos."""
_PART = 64
"""People that `run` fits at once."""


def joints_of_known_truth(report: Report, body: BodyModelData, prior: Any, people: int) -> None:
    """The 17 Human3.6M points of people whose pose the latent has: as published, and with the last stage's priors x 0.01."""
    problem = people_in_3d(body, prior, people)
    weak = (*WHOLE_BODY[:-1], WHOLE_BODY[-1].with_priors(0.01))
    for name, stages, bound in (("published", WHOLE_BODY, 3.0), ("weak", weak, 1.0)):
        found = Batched(body, prior, stages, problem).fit(problem)
        away = errors_mm(found.parameters, problem, body, prior)
        median, far = float(np.median(away)), float((away.mean(axis=1) > 20.0).mean())
        report.say(
            f"truth_3d_{name}",
            {"median_mm": median, "mean_mm": float(away.mean()), "above_20_mm": far, "stops": _counts(found.stop)},
            f"3D joints of {people} people of known truth, {name} priors: median {median:.2f} mm, mean {away.mean():.2f} mm, "
            f"{100 * far:.1f} % of people above 20 mm, one start each",
        )
        report.claim(f"truth_3d_{name}_median_mm", median, bound)
        report.claim(f"truth_3d_{name}_share_above_20_mm", far, 0.05)


def joints_of_real_data(report: Report, body: BodyModelData, prior: Any, data: Path) -> None:
    """What real samples in the official layouts give as 3D joints, fitted as `run` does by default."""
    for folder, (form, labels, photos) in _REAL.items():
        samples = _read(form, data / folder / labels, data / folder / photos)
        problem, reasons = people_of(samples, body, Fitting(in_3d=True))
        sound = np.array([not reason for reason in reasons], bool)
        found = Batched(body, prior, WHOLE_BODY, problem).fit(problem)
        away = errors_mm(found.parameters, problem, body, prior)
        away = np.where(problem.confidence > 0, away, np.nan)[sound]
        mean, worst = float(np.nanmean(away)), float(np.nanmean(away, axis=1).max())
        report.say(
            f"real_3d_{folder}",
            {"mean_mm": mean, "worst_person_mm": worst, "people": int(sound.sum())},
            f"3D joints of {folder}: mean {mean:.1f} mm over {sound.sum()} people, the worst {worst:.1f} mm, published priors",
        )
        report.claim(f"real_3d_{folder}_mean_mm", mean, 25.0)


def one_spoilt(report: Report, body: BodyModelData, prior: Any, people: int) -> None:
    """One person spoilt in three ways: how many of the others' fits change by a single bit."""
    problem = whole_people(truth_of_shots(body, people), body)
    solver, row = Batched(body, prior, WHOLE_BODY, problem), people // 2
    clean, others = solver.fit(problem), np.arange(people) != row
    for name, spoilt in _spoilt(problem, row).items():
        found = solver.fit(spoilt)
        pairs = zip(clean.parameters.items().values(), found.parameters.items().values(), strict=True)
        same = np.all([(a == b).all(axis=1) for a, b in pairs], axis=0) & (clean.objective == found.objective)
        changed = int((~same[others]).sum())
        report.say(
            f"spoilt_{name}",
            changed,
            f"one of {people} people with {name}: {changed} others changed; it: {found.stop[row]}",
        )
        report.claim(f"spoilt_{name.replace(' ', '_')}_others_changed", changed, 0)


def memory(report: Report, body: BodyModelData, prior: Any, people: int) -> None:
    """The process's greatest memory after a fifth of the people, in the parts in which `run` fits them, and after all."""
    problem = whole_people(truth_of_shots(body, _PART), body)
    solver = Batched(body, prior, WHOLE_BODY, problem)
    parts, peaks = max(people // _PART, 5), []
    for part in range(parts):
        solver.fit(problem)
        if part + 1 in (parts // 5, parts):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    early, late = peaks
    report.say(
        "memory_mib",
        {"early": early, "late": late},
        f"greatest memory after {parts // 5 * _PART} people {early:.0f} MiB, after {parts * _PART} people {late:.0f} MiB",
    )
    report.claim("memory_growth_ratio", late / early, 1.02)


def people_in_3d(body: BodyModelData, prior: Any, count: int) -> Problem:
    """Joints in camera space of people whose pose is drawn by decoding the latent, with betas of at most 2."""
    import torch

    from annotator.rotations import matrix_to_axis_angle

    rng = np.random.default_rng(21)
    latent = torch.as_tensor(rng.normal(size=(count, 32)), dtype=torch.float32)
    with torch.no_grad():
        pose = matrix_to_axis_angle(prior.decode(latent)).flatten(1).numpy()
    truth = {
        "body_pose": pose,
        "global_orient": Rotation.random(count, random_state=21).as_rotvec(),
        "betas": np.clip(rng.normal(size=(count, 10)), -2, 2),
        "transl": rng.normal(size=(count, 3)) + [0, 0, 4],
    }
    posed = Poser(body).pose({name: values.astype(np.float32) for name, values in truth.items()})
    points = len(HUMAN36M)
    return Problem(
        model=model_of(body),
        names=HUMAN36M.points,
        pixels=np.zeros((count, points, 2)),
        joints=posed.points(HUMAN36M.name).astype(np.float64),
        confidence=np.ones((count, points)),
        seen=np.ones((count, points), bool),
        group=groups(HUMAN36M.points, body.family),
        focal=np.zeros((count, 2)),
        center=np.zeros((count, 2)),
        data_weight=np.full(count, 1e3),
        side_view=np.zeros(count, bool),
        anchors=anchor_rows(HUMAN36M.points, body.family),
        edges=edge_rows(HUMAN36M.points, body.family),
        free_translation=True,
        rho=0.15,
        skeleton=HUMAN36M.name,
    )


def errors_mm(parameters: Parameters, problem: Problem, body: BodyModelData, prior: Any) -> np.ndarray:
    """`(N, K)` mm from the joints."""
    import torch

    objective = objective_of(problem, body, prior)
    with torch.no_grad():
        points = objective.place(objective.decoder(to_tensors(parameters)))
        return 1000 * (points - objective.joints).norm(dim=-1).numpy()


def _read(form: str, annotations: Path, images: Path) -> Any:
    """The people of a data set's files."""
    steps = READERS[form](Source(annotations, images, "real"))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value.tables["body"]


def _spoilt(problem: Problem, row: int) -> dict[str, Problem]:
    pixels, few, none = problem.pixels.copy(), problem.confidence.copy(), problem.confidence.copy()
    pixels[row, 30] = np.nan
    few[row, 3:], none[row] = 0, 0
    return {
        "a keypoint that is no number": replace(problem, pixels=pixels),
        "three points": replace(problem, confidence=few, seen=few > 0),
        "no confidence": replace(problem, confidence=none, seen=none > 0),
    }


def _counts(stops: tuple[str, ...]) -> dict[str, int]:
    return {stop: stops.count(stop) for stop in sorted(set(stops))}
