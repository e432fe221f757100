"""Human3.6M in the layout of the authors' loaders: 17 joints in world millimetres, one JSON triple per subject.

`X_camera = R X_world + t`. Every fifth frame is read, as the paper trains on (section 3 of its supplement's settings).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from annotator.datasets.rows import Photo, Rows, WorldCamera, box_of, tables_of, world_camera, world_joints
from annotator.datasets.source import People, ReadResult, Source, linked, read_json
from annotator.errors import DatasetError
from annotator.progress import Progress
from annotator.skeleton import HUMAN36M

FRAME_STEP = 5
_SUBJECT_FILE = re.compile(r"Human36M_subject(\d+)_data\.json")
_BROKEN_SEQUENCE = "s_11_act_02_subact_02_ca_01"
_REPORT_EVERY = 500
_JOINTS = len(HUMAN36M)


class _Photo(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int
    subject: int
    action_idx: int
    subaction_idx: int
    cam_idx: int
    frame_idx: int


class _Person(msgspec.Struct):
    id: int
    image_id: int
    bbox: list[float]
    keypoints_vis: list[bool | float] | None = None


class _Data(msgspec.Struct):
    images: list[_Photo]
    annotations: list[_Person]


class _Camera(msgspec.Struct):
    R: list[list[float]]
    t: list[float]
    f: list[float]
    c: list[float]


_Joints = dict[str, dict[str, dict[str, list[list[float]]]]]


@dataclass
class _Reading:
    """What has been read so far; `between` counts the annotations between every fifth frame."""

    rows: Rows
    between: int = 0
    seen: set[int] = field(default_factory=set[int])


def read_human36m(source: Source) -> Generator[Progress, None, ReadResult]:
    """Body samples with GT 3D: `(17, 4)` joints in metres in camera space, their projection as keypoints, K.

    Args:
        source: `annotations` is the folder of `Human36M_subject*_{data,camera,joint_3d}.json`; any subjects will do.

    Raises:
        DatasetError: no subject's files are there, or their structure is wrong.
    """
    folder = source.annotations
    subjects = sorted(
        int(match[1])
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _SUBJECT_FILE.fullmatch(path.name))
    )
    if not subjects:
        raise DatasetError(f"{folder} holds no Human36M_subject*_data.json; give the folder of the annotations.")
    reading = _Reading(Rows(People(source), "body", HUMAN36M, box_drawn=False, joint_skeleton=HUMAN36M))
    files: list[Path] = []
    for number, subject in enumerate(subjects):
        yield Progress("Reading subjects", number, len(subjects), "subjects")
        files += yield from _read_subject(folder, subject, reading)
    yield Progress("Reading subjects", len(subjects), len(subjects), "subjects")
    notes = (
        (f"{reading.between} annotations between every {FRAME_STEP}th frame were left out, as in the paper.",)
        if reading.between
        else ()
    )
    return ReadResult(tables_of(reading.rows), tuple(reading.rows.people.refused), tuple(files), notes)


def _read_subject(folder: Path, subject: int, reading: _Reading) -> Generator[Progress, None, list[Path]]:
    paths = {kind: folder / f"Human36M_subject{subject}_{kind}.json" for kind in ("data", "camera", "joint_3d")}
    data = read_json(paths["data"], _Data)
    cameras = _cameras(paths["camera"])
    joints = read_json(paths["joint_3d"], _Joints)
    for number, (place, photo, person) in enumerate(linked(paths["data"], data.images, data.annotations, reading.seen)):
        if photo.frame_idx % FRAME_STEP:
            reading.between += 1
        elif photo.file_name.startswith(_BROKEN_SEQUENCE):
            reading.rows.refuse(str(person.id), "its sequence is broken in the data set")
        else:
            camera = cameras.get(str(photo.cam_idx))
            if camera is None:
                raise DatasetError(f"{place}: {paths['camera']} has no camera {photo.cam_idx}; mend the files.")
            keys = {"action": photo.action_idx, "subaction": photo.subaction_idx, "frame": photo.frame_idx}
            world = world_joints(joints, keys, _JOINTS, place=place, path=paths["joint_3d"])
            _add(reading.rows, person, photo, camera, world, place)
        if number % _REPORT_EVERY == 0:
            yield Progress(f"Reading subject {subject}", number, len(data.annotations), "people")
    return list(paths.values())


def _add(rows: Rows, person: _Person, photo: _Photo, camera: WorldCamera, world: np.ndarray, place: str) -> None:
    """Takes one person in; `world` is `(17, 3)` in millimetres."""
    box = box_of(person.bbox, place)
    visible = np.ones(_JOINTS) if person.keypoints_vis is None else np.array(person.keypoints_vis, float)
    if len(visible) != _JOINTS:
        raise DatasetError(f"{place}: keypoints_vis has {len(visible)} values, expecting {_JOINTS}; mend the file.")
    if not np.isin(visible, (0, 1)).all():
        rows.refuse(str(person.id), "a value of keypoints_vis is neither 0 nor 1")
        return
    rows.add_3d(
        str(person.id),
        Photo(photo.file_name, (photo.width, photo.height)),
        camera.metres(world),
        camera.pinhole,
        box=box,
        visible=visible,
        subject=f"S{photo.subject}",
    )


def _cameras(path: Path) -> dict[str, WorldCamera]:
    return {
        index: world_camera(c.R, c.t, c.f, c.c, names=("R", "t", "f", "c"), where=f"{path}, camera {index}")
        for index, c in read_json(path, dict[str, _Camera]).items()
    }
