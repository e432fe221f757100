"""Writes synthetic shots in the layouts of two more auxiliary sets: MPI-INF-3DHP for bodies, FreiHAND for right hands.

What a layout could say of the truth beyond joints (FreiHAND's vertices and MANO parameters) is left out: truth lies apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotator.camera import Camera
from annotator.runs import write_text
from annotator.shots import Shot
from annotator.skeleton import HAND, MPI_INF_3DHP
from app.demo.writing import box_around

STUDIO, HANDS = "studio", "hands"
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""z up -> y up, as MPI-INF-3DHP's world."""
_BONE = HAND.indices("middle1", "middle2")


def studio_photo(shot: Shot) -> str:
    """Path of a studio photo below `images_1k`."""
    return f"{_sequence(shot)}/{_file(shot)}"


def hand_photo(shot: Shot) -> str:
    """Path of a hand's photo below the data set's folder."""
    return f"training/rgb/{shot.number:08d}.jpg"


def _sequence(shot: Shot) -> str:
    assert shot.lab is not None
    return f"S{shot.lab.subject}/Seq{shot.lab.action}/imageSequence"


def _file(shot: Shot) -> str:
    assert shot.lab is not None
    return f"img_{shot.lab.camera}_{shot.lab.frame + 1:06d}.jpg"


@dataclass
class StudioFiles:
    """Collects studio shots into the three JSON files of MPI-INF-3DHP's layout."""

    images: list[Any] = field(default_factory=list[Any])
    annotations: list[Any] = field(default_factory=list[Any])
    cameras: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict[str, dict[str, dict[str, Any]]])
    joints: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict[str, dict[str, dict[str, Any]]])

    def add(self, shot: Shot) -> None:
        """Takes one shot in."""
        place = shot.lab
        assert place is not None
        points = shot.points[MPI_INF_3DHP.name].astype(np.float64)
        pixels = Camera(shot.focal, shot.princpt).project(points)
        box = box_around(pixels)
        subject, sequence = str(place.subject), str(place.action)
        self.images.append(
            {"id": shot.number, "file_name": _file(shot), "width": shot.size[0], "height": shot.size[1]}
            | {"subject_idx": place.subject, "seq_idx": place.action, "cam_idx": place.camera}
            | {"frame_idx": place.frame}
        )
        self.annotations.append(
            {"id": shot.number, "image_id": shot.number, "category_id": 1, "iscrowd": 0, "bbox": box.tolist()}
        )
        self.cameras.setdefault(subject, {}).setdefault(sequence, {})[str(place.camera)] = {
            "R": (place.rotation @ _UPRIGHT.T).tolist(),
            "t": (place.translation * 1000).tolist(),
            "focal": shot.focal.tolist(),
            "princpt": shot.princpt.tolist(),
        }
        world = (points - place.translation) @ place.rotation @ _UPRIGHT.T * 1000
        self.joints.setdefault(subject, {}).setdefault(sequence, {})[str(place.frame)] = world.tolist()

    def write(self, folder: Path) -> None:
        """Writes `MPI-INF-3DHP_{1k,camera_1k,joint_3d}.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        category = {"supercategory": "person", "id": 1, "name": "person"}
        data = {"images": self.images, "annotations": self.annotations, "categories": [category]}
        for kind, values in (("1k", data), ("camera_1k", self.cameras), ("joint_3d", self.joints)):
            write_text(folder / f"MPI-INF-3DHP_{kind}.json", json.dumps(values))


@dataclass
class HandFiles:
    """Collects shots of right hands, in the order of their numbers from 0, into the lists of FreiHAND's layout."""

    matrices: list[Any] = field(default_factory=list[Any])
    joints: list[Any] = field(default_factory=list[Any])
    scales: list[float] = field(default_factory=list[float])

    def add(self, shot: Shot) -> None:
        """Takes one shot in."""
        assert shot.number == len(self.joints)
        points = shot.points[HAND.name].astype(np.float64)
        self.matrices.append(Camera(shot.focal, shot.princpt).matrix.tolist())
        self.joints.append(points.tolist())
        self.scales.append(float(np.linalg.norm(np.subtract(*points[_BONE]))))

    def write(self, folder: Path) -> None:
        """Writes `training_{K,xyz,scale}.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind, values in (("K", self.matrices), ("xyz", self.joints), ("scale", self.scales)):
            write_text(folder / f"training_{kind}.json", json.dumps(values))
