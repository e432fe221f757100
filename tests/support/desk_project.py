"""A small finished project, made in a second: twelve people, true fits, noisy fits, a failed one, two broken photos."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.fit import FitHeader, Fits
from annotator.project import TARGET, Project
from annotator.runs import FINISHED, RunInfo
from annotator.scores import write_2d_errors
from annotator.shots import Shot, wild_shots
from app.demo.writing import WildFile, save_photo, wild_photo

COUNT = 12
FAILED_ROW, MISSING_ROW, CUT_ROW = 3, 5, 7
PARAMETERS = ("global_orient", "body_pose", "betas")


def done(work: Generator[Any, None, Any]) -> Any:
    """Runs a command to its end and returns what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def make_desk_project(folder: Path, body: BodyModelData) -> Path:
    """`folder/project` with the data set `wild`, run `neuralannot-r1` (noisy fits) and `smplifyx-r1` (the truth)."""
    shots = list(wild_shots(body, 3, COUNT))
    annotations = write_wild(folder / "data", shots)
    project_path = folder / "project"
    new(project_path)
    images = folder / "data" / "images"
    done(import_dataset(project_path, "coco-wholebody", annotations, images=images, role=TARGET, name="wild"))
    (images / wild_photo(shots[MISSING_ROW])).unlink()
    cut = images / wild_photo(shots[CUT_ROW])
    cut.write_bytes(cut.read_bytes()[:-600])
    project = Project.open(project_path)
    rng = np.random.default_rng(5)
    _write_run(project, "neuralannot", shots, body, 0.25 * rng.standard_normal((COUNT, 63)))
    _write_run(project, "smplifyx", shots, body, np.zeros((COUNT, 63)))
    return folder


@contextmanager
def every_photo(project_path: Path) -> Iterator[None]:
    """Everybody has a photo meanwhile: those that are missing or cut short get the first one's. Projects share photos."""
    project = Project.open(project_path)
    samples = project.samples("wild", "body")
    cut = project.photo_path(samples[CUT_ROW]).read_bytes()
    there = project.photo_path(samples[0]).read_bytes()
    for row in (MISSING_ROW, CUT_ROW):
        project.photo_path(samples[row]).write_bytes(there)
    yield
    project.photo_path(samples[MISSING_ROW]).unlink()
    project.photo_path(samples[CUT_ROW]).write_bytes(cut)


def write_wild(folder: Path, shots: list[Shot]) -> Path:
    """Photos of plain colour and a COCO-WholeBody file; returns its path."""
    file = WildFile()
    for shot in shots:
        file.add(shot)
        save_photo(folder / "images" / wild_photo(shot), _photo(shot))
    path = folder / "annotations" / "wild.json"
    file.write(path)
    return path


def _photo(shot: Shot) -> np.ndarray:
    width, height = shot.size
    rng = np.random.default_rng(shot.seed)
    small = rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _write_run(project: Project, annotator: str, shots: list[Shot], body: BodyModelData, noise: np.ndarray) -> None:
    run = project.new_run(RunInfo(f"{annotator}-r1", annotator, "tiny", datasets=("wild",), state=FINISHED))
    parameters = {name: np.stack([shot.parameters[name] for shot in shots]) for name in PARAMETERS}
    parameters["body_pose"] = parameters["body_pose"] + noise
    reasons = [""] * COUNT
    if annotator == "neuralannot":
        reasons[FAILED_ROW] = "its photo cannot be decoded"
    Fits.of(
        FitHeader("smplx", "body", body.hash),
        [f"wild/{100 + shot.number}" for shot in shots],
        parameters,
        focal=np.stack([shot.focal for shot in shots]),
        princpt=np.stack([shot.princpt for shot in shots]),
        transl=np.stack([shot.parameters["transl"] for shot in shots]),
        reasons=reasons,
    ).write(run.shard_path("wild", "body", 0))
    done(write_2d_errors(run, "wild", project.samples("wild", "body"), body))
