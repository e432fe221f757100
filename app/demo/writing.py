"""Writes synthetic shots in the official layouts: lab people as Human3.6M, wild people as COCO-WholeBody, truth apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.camera import Camera
from annotator.fit import CAMERA, FitHeader, Fits
from annotator.runs import write_text
from annotator.shots import Shot
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M

LAB, WILD = "lab", "wild"
_ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting", "SittingDown"),
    *("Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether"),
)
_PARTS = {"foot": slice(17, 23), "face": slice(23, 91), "lefthand": slice(91, 112), "righthand": slice(112, 133)}
_COCO_SKELETON = [[a + 1, b + 1] for a, b in COCO_WHOLEBODY.edges if b < 17]
JPEG_QUALITY = 92


def save_photo(path: Path, photo: np.ndarray) -> None:
    """Writes an RGB photo as JPEG; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part.jpg")
    if not cv2.imwrite(str(aside), photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(28, f"could not write {aside}")
    aside.replace(path)


def lab_photo(shot: Shot) -> str:
    """Path of a lab photo below the image folder."""
    assert shot.lab is not None
    sequence = f"s_{shot.lab.subject:02d}_act_{shot.lab.action:02d}_subact_01_ca_{shot.lab.camera:02d}"
    return f"{sequence}/{sequence}_{shot.lab.frame + 1:06d}.jpg"


def wild_photo(shot: Shot) -> str:
    """Name of a wild photo below the image folder."""
    return f"{shot.number + 1:012d}.jpg"


def box_around(pixels: np.ndarray) -> np.ndarray:
    """x, y, width, height: the extent of a person's joints, `(J, 2)` px, x 1.2, as Human3.6M's converter draws it."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return np.concatenate([(low + high) / 2 - (high - low) * 0.6, (high - low) * 1.2])


@dataclass
class LabFiles:
    """Collects lab shots into the three JSON files of every subject."""

    data: dict[int, dict[str, list[Any]]] = field(default_factory=dict[int, dict[str, list[Any]]])
    cameras: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    joints: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])

    def add(self, shot: Shot) -> None:
        """Takes one shot in."""
        lab = shot.lab
        assert lab is not None
        points = shot.points[HUMAN36M.name].astype(np.float64)
        pixels = Camera(shot.focal, shot.princpt).project(points)
        box = box_around(pixels)
        files = self.data.setdefault(lab.subject, {"images": [], "annotations": []})
        width, height = shot.size
        files["images"].append(
            {
                "id": shot.number,
                "file_name": lab_photo(shot),
                "width": width,
                "height": height,
                "subject": lab.subject,
                "action_name": _ACTIONS[lab.action - 2],
                "action_idx": lab.action,
                "subaction_idx": 1,
                "cam_idx": lab.camera,
                "frame_idx": lab.frame,
            }
        )
        inside = (pixels >= 0).all(axis=1) & (pixels < [width, height]).all(axis=1)
        files["annotations"].append(
            {"id": shot.number, "image_id": shot.number, "keypoints_vis": inside.tolist(), "bbox": box.tolist()}
        )
        self.cameras.setdefault(lab.subject, {})[str(lab.camera)] = {
            "R": lab.rotation.tolist(),
            "t": (lab.translation * 1000).tolist(),
            "f": shot.focal.tolist(),
            "c": shot.princpt.tolist(),
        }
        world = (points - lab.translation) @ lab.rotation * 1000
        frames = self.joints.setdefault(lab.subject, {}).setdefault(str(lab.action), {}).setdefault("1", {})
        frames[str(lab.frame)] = world.tolist()

    def write(self, folder: Path) -> None:
        """Writes `Human36M_subject*_{data,camera,joint_3d}.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for subject, data in self.data.items():
            for kind, values in (("data", data), ("camera", self.cameras[subject]), ("joint_3d", self.joints[subject])):
                write_text(folder / f"Human36M_subject{subject}_{kind}.json", json.dumps(values))


@dataclass
class WildFile:
    """Collects wild shots into one COCO-WholeBody file."""

    images: list[Any] = field(default_factory=list[Any])
    annotations: list[Any] = field(default_factory=list[Any])

    def add(self, shot: Shot) -> None:
        """Takes one shot in: labels end at the photo's edge, hidden points stay labelled with v = 1."""
        width, height = shot.size
        self.images.append(
            {"id": shot.number + 1, "file_name": wild_photo(shot), "width": width, "height": height, "license": 1}
        )
        points = shot.points[COCO_WHOLEBODY.name].astype(np.float64)
        pixels = Camera(shot.focal, shot.princpt).project(points)
        inside = (pixels >= 0).all(axis=1) & (pixels <= [width - 1, height - 1]).all(axis=1)
        labels = np.concatenate([np.round(pixels, 2), np.where(_hidden(shot, pixels), 1.0, 2.0)[:, None]], axis=1)
        labels[~inside] = 0
        person: dict[str, Any] = {
            "id": 100 + shot.number,
            "image_id": shot.number + 1,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": _drawn_box(shot),
            "keypoints": labels[:17].ravel().tolist(),
            "num_keypoints": int((labels[:17, 2] > 0).sum()),
            "segmentation": [],
        }
        person["area"] = person["bbox"][2] * person["bbox"][3]
        for part, rows in _PARTS.items():
            valid = bool((labels[rows, 2] == 2).all())
            person[f"{part}_kpts"] = (labels[rows] * valid).ravel().tolist()
            person[f"{part}_valid"] = valid
            if part != "foot":
                person[f"{part}_box"] = _points_box(labels[rows]) if valid else [0.0, 0.0, 0.0, 0.0]
        self.annotations.append(person)

    def write(self, path: Path) -> None:
        """Writes the annotation file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        category = {
            "supercategory": "person",
            "id": 1,
            "name": "person",
            "keypoints": list(COCO_WHOLEBODY.points[:17]),
            "skeleton": _COCO_SKELETON,
        }
        info = {"description": "Synthetic people of the NeuralAnnot Desk demo", "version": "1.0"}
        licences = [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}]
        values = {
            "info": info,
            "licenses": licences,
            "categories": [category],
            "images": self.images,
            "annotations": self.annotations,
        }
        write_text(path, json.dumps(values))


@dataclass
class Truth:
    """Collects the hidden parameters of a data set; they are written beside the project, never in it.

    Attributes:
        part: of the samples; keys of other parts than the body end in it.
    """

    dataset: str
    part: str = "body"
    keys: list[str] = field(default_factory=list[str])
    rows: list[dict[str, np.ndarray]] = field(default_factory=list[dict[str, np.ndarray]])

    def add(self, shot: Shot, annotation_id: int) -> None:
        """Takes one shot in under the key that its import will give."""
        self.keys.append(f"{self.dataset}/{annotation_id}" + ("" if self.part == "body" else f"/{self.part}"))
        self.rows.append({**shot.parameters, "focal": shot.focal, "princpt": shot.princpt})

    def write(self, folder: Path, body: BodyModelData) -> None:
        """Writes `<data set>/<part>.arrow`: fits in the photo's camera frame."""
        columns = {name: np.stack([row[name] for row in self.rows]) for name in self.rows[0]}
        Fits.of(
            FitHeader(body.family, self.part, body.hash),
            self.keys,
            {name: values for name, values in columns.items() if name not in CAMERA},
            focal=columns["focal"],
            princpt=columns["princpt"],
            transl=columns["transl"],
        ).write(folder / self.dataset / f"{self.part}.arrow")


def _hidden(shot: Shot, pixels: np.ndarray) -> np.ndarray:
    hidden = np.zeros(len(pixels), bool)
    for low, high in _silhouettes(shot):
        hidden |= (pixels >= low).all(axis=1) & (pixels <= high).all(axis=1)
    return hidden


def _silhouettes(shot: Shot) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    camera = Camera(shot.focal, shot.princpt)
    for occluder in shot.occluders:
        corners = (
            np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * occluder.half + occluder.center
        )
        pixels = camera.project(corners)
        yield pixels.min(axis=0), pixels.max(axis=0)


def _drawn_box(shot: Shot) -> list[float]:
    """What an annotator draws: the silhouette's extent inside the photo."""
    pixels = Camera(shot.focal, shot.princpt).project(shot.vertices.astype(np.float64))
    limit = np.array(shot.size) - 1.0
    low, high = np.clip(pixels.min(axis=0), 0, limit), np.clip(pixels.max(axis=0), 0, limit)
    return np.round(np.concatenate([low, high - low]), 2).tolist()


def _points_box(labels: np.ndarray) -> list[float]:
    low, high = labels[:, :2].min(axis=0), labels[:, :2].max(axis=0)
    return np.round(np.concatenate([low, high - low]), 2).tolist()
