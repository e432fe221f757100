"""Data sets that cost no time: a few drawn-over people as files in the official layouts, and a recipe of a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.shots import STUDIO_ROOM, Shot, lab_shots, wild_shots
from app.demo.writing import LabFiles, lab_photo, save_photo
from app.demo.writing_auxiliary import StudioFiles, studio_photo
from tests.support.desk_project import write_wild

QUICK = """[body]
backbone = "resnet18"
weights = "none"
input_px = 32
batch = 4
learning_rate = 1e-3
schedule = "cosine"
auxiliary_steps = {auxiliary}
target_steps = {target}
prior_steps = 4
"""


def quick_recipe(folder: Path, auxiliary: int = 4, target: int = 4) -> Path:
    """A recipe that learns next to nothing in next to no time."""
    path = folder / "quick.toml"
    path.write_text(QUICK.format(auxiliary=auxiliary, target=target))
    return path


def write_lab(folder: Path, body: BodyModelData, count: int) -> Path:
    """`count` lab people as Human3.6M below `folder`; returns the annotations' folder."""
    files = LabFiles()
    for shot in lab_shots(body, 3, count):
        files.add(shot)
        save_photo(folder / "images" / lab_photo(shot), _noise(shot))
    files.write(folder / "annotations")
    return folder / "annotations"


def write_studio(folder: Path, body: BodyModelData, count: int) -> Path:
    """`count` people of the studio in MPI-INF-3DHP's layout below `folder`; returns it."""
    files = StudioFiles()
    for shot in lab_shots(body, 3, count, room=STUDIO_ROOM):
        files.add(shot)
        save_photo(folder / "images_1k" / studio_photo(shot), _noise(shot))
    files.write(folder)
    return folder


def write_crowd(folder: Path, body: BodyModelData, count: int) -> Path:
    """`count` wild people as COCO-WholeBody on eight photos; returns the annotation file. Their ids begin at 100."""
    path = write_wild(folder, list(wild_shots(body, 3, 8)))
    file = json.loads(path.read_text())
    people = file["annotations"]
    file["annotations"] = [{**people[number % len(people)], "id": 100 + number} for number in range(count)]
    path.write_text(json.dumps(file))
    return path


def _noise(shot: Shot) -> np.ndarray:
    width, height = shot.size
    small = np.random.default_rng(shot.number).integers(60, 200, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
