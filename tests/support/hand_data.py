"""Hands and faces with known truth as projects of a few photos, without a reader: tables as readers of later formats make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.bodies.posing import Poser
from annotator.camera import Camera
from annotator.commands.projects import new
from annotator.datasetfolder import DatasetInfo
from annotator.project import Project
from annotator.sample import Sample, Samples
from annotator.skeleton import FACE, HAND, Skeleton

SIZE = 96
_FOCAL = 300.0


def hand_model(side: str) -> BodyModelData:
    """The open body's hand."""
    return load_body_model(default_root(), f"mano_{side}")


def face_model() -> BodyModelData:
    """The open body's head."""
    return load_body_model(default_root(), "flame")


def hand_samples(name: str, side: str, count: int, *, seed: int, auxiliary: bool, known: bool = False) -> Samples:
    """Hands in the middle of photos of `SIZE` px; only auxiliary ones have GT 3D and K, others K where `known`."""
    model, rng = hand_model(side), np.random.default_rng(seed)
    turns = Rotation.from_euler("xyz", rng.normal(0, [0.5, 0.5, 0.8], (count, 3))).as_rotvec()
    pose = rng.normal(0, 0.5, (count, 6)) @ model.hand_components[side][:6]
    parameters = {"global_orient": turns, "hand_pose": pose, "betas": rng.normal(0, 0.7, (count, 10))}
    return _samples(name, model, f"{side[0]}hand", HAND, parameters, auxiliary=auxiliary, known=known or auxiliary)


def bent_hands(name: str, count: int, *, seed: int) -> Samples:
    """Right hands with GT 3D whose five fingers bend each by itself."""
    model, rng = hand_model("right"), np.random.default_rng(seed)
    pose = np.zeros((count, 15, 3))
    for finger in range(5):
        pose[:, 3 * finger : 3 * finger + 3, 2] = rng.normal(0, 0.5, (count, 1)) * [1, 1, 0.7]
    turns = Rotation.from_euler("xyz", rng.normal(0, [0.3, 0.3, 0.4], (count, 3))).as_rotvec()
    parameters = {
        "global_orient": turns,
        "hand_pose": pose.reshape(count, 45),
        "betas": rng.normal(0, 0.5, (count, 10)),
    }
    return _samples(name, model, "rhand", HAND, parameters, auxiliary=True, known=True)


def face_samples(name: str, count: int, *, seed: int) -> Samples:
    """Heads that look at the camera, with 2D alone."""
    model, rng = face_model(), np.random.default_rng(seed)
    facing = Rotation.from_rotvec([np.pi, 0, 0])
    turns = (facing * Rotation.from_euler("xyz", rng.normal(0, [0.15, 0.3, 0.1], (count, 3)))).as_rotvec()
    jaw = np.abs(rng.normal(0, 0.15, (count, 1))) * [1, 0, 0]
    shape = {name: rng.normal(0, 0.7, (count, 10)) for name in ("betas", "expression")}
    return _samples(name, model, "face", FACE, {"global_orient": turns, "jaw_pose": jaw, **shape})


def _samples(
    name: str,
    model: BodyModelData,
    part: str,
    skeleton: Skeleton,
    parameters: Mapping[str, np.ndarray],
    *,
    auxiliary: bool = False,
    known: bool = False,
) -> Samples:
    posed = Poser(model).pose(parameters)
    points = posed.points(skeleton.name)
    points = points - points.mean(axis=1, keepdims=True) + [0, 0, 0.8]
    camera = Camera(np.array([_FOCAL, _FOCAL]), np.array([SIZE / 2, SIZE / 2]))
    out: list[Sample] = []
    for number, joints in enumerate(points.astype(np.float64)):
        pixels = camera.project(joints)
        low, extent = pixels.min(axis=0), np.ptp(pixels, axis=0)
        ones = np.ones((len(skeleton), 1), np.float32)
        out.append(
            Sample(
                key=f"{name}/{100 + number}/{part}",
                part=part,
                root=name,
                image=f"{part}{number}.png",
                width=SIZE,
                height=SIZE,
                box=np.array([*low, *extent], np.float32),
                keypoints=np.concatenate([pixels, ones], axis=1).astype(np.float32),
                skeleton=skeleton,
                box_drawn=False,
                joints=np.concatenate([joints, ones], axis=1).astype(np.float32) if auxiliary else None,
                joint_skeleton=skeleton if auxiliary else None,
                intrinsics=camera.matrix.astype(np.float32) if known else None,
            )
        )
    return Samples.of(out)


def draw(samples: Samples, folder: Path) -> None:
    """Photos that show what was labelled: a white dot a point, larger where it is nearer to the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        photo = np.zeros((sample.height, sample.width, 3), np.uint8)
        for number, (u, v, confidence) in enumerate(sample.keypoints.tolist()):
            if confidence > 0:
                colour = (40 + 10 * (number % 21), 255 - 10 * (number % 21), 255)
                cv2.circle(photo, (round(u), round(v)), 2, colour, -1)
        cv2.imwrite(str(folder / sample.image), photo)


def add(project: Project, folder: Path, name: str, role: str, tables: Sequence[Samples]) -> None:
    """Takes tables in as one data set, with their photos drawn."""
    for samples in tables:
        draw(samples, folder / name)
    counts = {samples.part: len(samples) for samples in tables}
    info = DatasetInfo(name, "test", role, name, {}, counts)
    project.add(info, {samples.part: samples for samples in tables}, folder / name)


def hand_project(folder: Path, people: int) -> Project:
    """A project with the auxiliary set `lab` and the target set `wild`, right and left hands in each."""
    new(folder / "project")
    project = Project.open(folder / "project")
    for number, (name, role) in enumerate((("lab", "auxiliary"), ("wild", "target"))):
        auxiliary = role == "auxiliary"
        tables = [
            hand_samples(name, side, people, seed=10 * number + k, auxiliary=auxiliary)
            for k, side in enumerate(("right", "left"))
        ]
        add(project, folder / "photos", name, role, tables)
    return Project.open(folder / "project")
