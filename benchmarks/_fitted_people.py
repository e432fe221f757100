"""People that fitting is measured on, and the reference fits of them, which take minutes and are kept."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting import reference
from annotator.fitting.evaluate import final_objective
from annotator.fitting.parameters import Parameters
from annotator.fitting.people import PUBLISHED_FOCAL, WHOLE_POINTS, anchor_rows, edge_rows, groups, model_of, side_views
from annotator.fitting.problem import Problem
from annotator.fitting.stages import SCHEDULES

NOISE_PX = 1.5
_REFERENCE = 1
"""Raised when the reference mode's optimiser changes; a change of the objective is noticed by itself."""


@dataclass(frozen=True)
class Truth:
    """N people as they stood before their photo's own camera.

    Attributes:
        keys: N of their samples. parameters: `(N, d)` of SMPL-X, with `transl`.
        focal, princpt: `(N, 2)` px. size: `(N, 2)` of the photo.
    """

    keys: tuple[str, ...]
    parameters: dict[str, np.ndarray]
    focal: np.ndarray
    princpt: np.ndarray
    size: np.ndarray


def truth_of_project(path: Path, first: int, count: int) -> Truth:
    """People `first` and following of the demo's target data set, in its order."""
    from annotator.fit import Fits
    from annotator.project import Project

    samples = Project.open(path).samples("wild", "body")
    rows = np.arange(first, min(first + count, len(samples)))
    true = Fits.read([path.parent / "truth" / "wild" / "body.arrow"])
    keys = tuple(samples.keys[row] for row in rows)
    of = np.array([true.index_of[key] for key in keys])
    parameters = {name: values[of] for name, values in true.parameters.items()} | {"transl": true.column("transl")[of]}
    return Truth(keys, parameters, true.column("focal")[of], true.column("princpt")[of], samples.sizes[rows])


def truth_of_shots(body: BodyModelData, count: int) -> Truth:
    """People as the demo draws them, without the demo."""
    from annotator.shots import wild_shots

    shots = list(wild_shots(body, 0, count, scale=0.75))
    names = shots[0].parameters
    return Truth(
        tuple(str(shot.number) for shot in shots),
        {name: np.stack([shot.parameters[name] for shot in shots]) for name in names},
        *(np.stack([np.asarray(getattr(shot, name)) for shot in shots]) for name in ("focal", "princpt", "size")),
    )


def whole_people(truth: Truth, body: BodyModelData, first: int = 0) -> Problem:
    """Their 118 published points, noisy and all seen, through the published camera.

    Args:
        first: number of the first person; everybody's noise depends on his number alone.
    """
    from annotator.bodies.posing import Poser

    count, size = len(truth.keys), truth.size.astype(np.float64)
    problem = Problem(
        model=model_of(body),
        names=WHOLE_POINTS,
        pixels=np.zeros((count, len(WHOLE_POINTS), 2)),
        confidence=np.ones((count, len(WHOLE_POINTS))),
        seen=np.ones((count, len(WHOLE_POINTS)), bool),
        group=groups(WHOLE_POINTS, body.family),
        focal=np.full((count, 2), PUBLISHED_FOCAL),
        center=size / 2,
        data_weight=1000.0 / size[:, 1],
        side_view=np.zeros(count, bool),
        anchors=anchor_rows(WHOLE_POINTS, body.family),
        edges=edge_rows(WHOLE_POINTS, body.family),
    )
    poser, places = Poser(body), problem.point_map(body)
    points = np.zeros((count, len(WHOLE_POINTS), 3))
    for row in range(count):  # one by one, so that nobody's points depend on who else is there
        posed = poser.pose(
            {name: values[row : row + 1].astype(np.float32) for name, values in truth.parameters.items()}
        )
        points[row] = places.apply(posed.joints, posed.vertices)[0]
    pixels = points[..., :2] / points[..., 2:] * truth.focal[:, None] + truth.princpt[:, None]
    noise = [np.random.default_rng([7, first + n]).normal(0, NOISE_PX, pixels.shape[1:]) for n in range(count)]
    problem = replace(problem, pixels=pixels + np.array(noise))
    return replace(problem, side_view=side_views(problem))


def warm_start(path: Path, keys: Sequence[str], problem: Problem, body: BodyModelData, prior: Any) -> Parameters:
    """Where the neural annotator's newest finished run puts some people."""
    from annotator.annotators.starts import Starts
    from annotator.project import Project

    project = Project.open(path)
    samples, run = project.samples("wild", "body"), project.newest_run("neuralannot")
    fits = run.fits("wild", "body") if run is not None else None
    assert fits is not None, f"{path} has no finished neuralannot run of its target; make it with `main.py demo`"
    rows = np.array([samples.index_of[key] for key in keys])
    begin, known = Starts(fits, body, prior).of(problem, samples.take(rows))
    assert known.all(), "some people have no fit to start from"
    return begin


@dataclass(frozen=True)
class ReferenceFit:
    """The reference fit of one person: its final objective in float64, evaluations, seconds, and whether it was kept."""

    objective: float
    evaluations: int
    seconds: float
    stop: str
    kept: bool


class ReferenceFits:
    """Reference fits, kept in a folder by a hash of everything that they depend on."""

    def __init__(self, folder: Path, root: Path, body: BodyModelData, prior: Any) -> None:
        self.folder, self.root, self.body, self.prior = folder, root, body, prior
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, problem: Problem) -> Iterator[ReferenceFit]:
        """One after the other; those that are not there are made."""
        for row in range(len(problem)):
            one = problem.take(slice(row, row + 1))
            yield self._kept(one) or self.made(one)

    def made(self, one: Problem) -> ReferenceFit:
        """Makes and keeps the fit of one person, and times it."""
        began = time.perf_counter()
        found = reference.fit(one, self.body, self.prior, SCHEDULES[one.model], root=self.root)
        seconds = time.perf_counter() - began
        value = float(final_objective(found.parameters, one, self.body, self.prior).objective[0])
        path = self._path(one)
        whole = path.with_name(f"{path.stem}.{os.getpid()}.npz")
        np.savez(
            whole,
            objective=value,
            evaluations=found.iterations[0],
            seconds=seconds,
            stop=np.array(found.stop[0]),
            **found.parameters.items(),
        )
        whole.replace(path)
        return ReferenceFit(value, int(found.iterations[0]), seconds, found.stop[0], kept=False)

    def _kept(self, one: Problem) -> ReferenceFit | None:
        path = self._path(one)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            names = [field.name for field in fields(Parameters) if field.name in file]
            parameters = Parameters(**{name: file[name] for name in names})
            objective, evaluations, seconds = float(file["objective"]), int(file["evaluations"]), float(file["seconds"])
            stop = str(file["stop"])
        now = float(final_objective(parameters, one, self.body, self.prior).objective[0])
        same = np.isclose(now, objective, rtol=1e-4, atol=0, equal_nan=True)
        return ReferenceFit(now, evaluations, seconds, stop, kept=True) if same else None

    def _path(self, one: Problem) -> Path:
        found = hashlib.sha256(f"{_REFERENCE} {self.body.hash} {SCHEDULES[one.model]} {reference.PUBLISHED}".encode())
        for field in fields(one):
            value = getattr(one, field.name)
            if field.name == "pixels":
                value = np.round(
                    value
                )  # the last bits depend on how people are posed; what is kept is evaluated anyhow
            found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        if self.prior is not None:
            for name, tensor in sorted(self.prior.state_dict().items()):
                found.update(name.encode() + tensor.numpy().tobytes())
        return self.folder / f"{found.hexdigest()[:32]}.npz"
