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

from annotator.camera import Camera
from annotator.datasets.source import People, ReadResult, Source, read_json
from annotator.errors import DatasetError
from annotator.progress import Progress
from annotator.sample import Samples
from annotator.skeleton import HUMAN36M

FRAME_STEP = 5
_SUBJECT_FILE = re.compile(r"Human36M_subject(\d+)_data\.json")
_BROKEN_SEQUENCE = "s_11_act_02_subact_02_ca_01"
_REPORT_EVERY = 500
_JOINTS = len(HUMAN36M)
_FARTHEST = 1000.0
"""Metres from the camera."""


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
    keypoints_vis: list[bool] | None = None


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
class _Rows:
    people: People
    sizes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    boxes: list[np.ndarray] = field(default_factory=list[np.ndarray])
    keypoints: list[np.ndarray] = field(default_factory=list[np.ndarray])
    joints: list[np.ndarray] = field(default_factory=list[np.ndarray])
    intrinsics: list[np.ndarray] = field(default_factory=list[np.ndarray])
    subjects: list[str | None] = field(default_factory=list[str | None])
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
    rows, files = _Rows(People(source)), list[Path]()
    for number, subject in enumerate(subjects):
        yield Progress("Reading subjects", number, len(subjects), "subjects")
        files += yield from _read_subject(folder, subject, rows)
    yield Progress("Reading subjects", len(subjects), len(subjects), "subjects")
    notes = (
        (f"{rows.between} annotations between every {FRAME_STEP}th frame were left out, as in the paper.",)
        if rows.between
        else ()
    )
    tables = {"body": _table(rows)} if rows.people.keys else {}
    return ReadResult(tables, tuple(rows.people.refused), tuple(files), notes)


def _read_subject(folder: Path, subject: int, rows: _Rows) -> Generator[Progress, None, list[Path]]:
    paths = {kind: folder / f"Human36M_subject{subject}_{kind}.json" for kind in ("data", "camera", "joint_3d")}
    data = read_json(paths["data"], _Data)
    cameras = {
        index: _checked(camera, f"{paths['camera']}, camera {index}") for index, camera in _cameras(paths["camera"])
    }
    joints = read_json(paths["joint_3d"], _Joints)
    photos = {photo.id: photo for photo in data.images}
    for number, person in enumerate(data.annotations):
        place = f"{paths['data']}, annotation {person.id}"
        photo = photos.get(person.image_id)
        if photo is None:
            raise DatasetError(f"{place}: its image_id {person.image_id} is not among the images; mend the file.")
        if person.id in rows.seen:
            raise DatasetError(f"{place}: another annotation has the same id; mend the file.")
        rows.seen.add(person.id)
        if photo.frame_idx % FRAME_STEP:
            rows.between += 1
        elif photo.file_name.startswith(_BROKEN_SEQUENCE):
            rows.people.refuse(str(person.id), "its sequence is broken in the data set")
        else:
            camera = cameras.get(str(photo.cam_idx))
            if camera is None:
                raise DatasetError(f"{place}: {paths['camera']} has no camera {photo.cam_idx}; mend the files.")
            _add(rows, person, photo, camera, _world(joints, photo, place, paths["joint_3d"]), place)
        if number % _REPORT_EVERY == 0:
            yield Progress(f"Reading subject {subject}", number, len(data.annotations), "people")
    return list(paths.values())


def _add(rows: _Rows, person: _Person, photo: _Photo, camera: _Camera, world: np.ndarray, place: str) -> None:
    """Takes one person in; `world` is `(17, 3)` in millimetres."""
    if len(person.bbox) != 4:
        raise DatasetError(f"{place}: bbox has {len(person.bbox)} numbers, expecting 4; mend the file.")
    visible = np.ones(_JOINTS) if person.keypoints_vis is None else np.array(person.keypoints_vis, float)
    if len(visible) != _JOINTS:
        raise DatasetError(f"{place}: keypoints_vis has {len(visible)} values, expecting {_JOINTS}; mend the file.")
    pinhole = Camera(np.array(camera.f), np.array(camera.c))
    with np.errstate(all="ignore"):  # whatever is not finite is refused by name
        joints = (world @ np.array(camera.R).T + np.array(camera.t)) / 1000.0
        pixels = pinhole.project(joints)
    if np.isfinite(joints).all() and (joints[:, 2] <= 0).any():
        rows.people.refuse(str(person.id), "a joint lies behind the camera")
        return
    if np.isfinite(joints).all() and np.abs(joints).max() > _FARTHEST:
        rows.people.refuse(str(person.id), f"a joint lies more than {_FARTHEST:,.0f} m away")
        return
    box, size = np.array(person.bbox, np.float64), (photo.width, photo.height)
    if not rows.people.accepts(str(person.id), photo.file_name, box, pixels, size=size):
        return
    rows.sizes.append(size)
    rows.boxes.append(box)
    rows.keypoints.append(
        np.concatenate([pixels, visible[:, None]], axis=1).astype(np.float32) * (visible[:, None] > 0)
    )
    rows.joints.append(np.concatenate([joints, np.ones((_JOINTS, 1))], axis=1).astype(np.float32))
    rows.intrinsics.append(pinhole.matrix.astype(np.float32))
    rows.subjects.append(f"S{photo.subject}")


def _world(joints: _Joints, photo: _Photo, place: str, path: Path) -> np.ndarray:
    try:
        values = joints[str(photo.action_idx)][str(photo.subaction_idx)][str(photo.frame_idx)]
    except KeyError as error:
        where = f"action {photo.action_idx}, subaction {photo.subaction_idx}, frame {photo.frame_idx}"
        raise DatasetError(f"{place}: {path} has no joints for {where}; mend the files.") from error
    if [len(row) for row in values] != [3] * _JOINTS:
        raise DatasetError(f"{place}: {path} should hold {_JOINTS} joints of 3 numbers; mend the file.")
    return np.array(values)


def _cameras(path: Path) -> list[tuple[str, _Camera]]:
    return list(read_json(path, dict[str, _Camera]).items())


def _checked(camera: _Camera, place: str) -> _Camera:
    if [len(row) for row in camera.R] != [3, 3, 3] or [len(camera.t), len(camera.f), len(camera.c)] != [3, 2, 2]:
        raise DatasetError(f"{place}: expecting R 3x3, t 3, f 2 and c 2 numbers; mend the file.")
    turn, rest = np.array(camera.R), np.array([*camera.t, *camera.f, *camera.c])
    if not (np.isfinite(turn).all() and np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0):
        raise DatasetError(f"{place}: R is no rotation; mend the file.")
    if not (np.isfinite(rest).all() and min(camera.f) > 0):
        raise DatasetError(f"{place}: t, f and c should be finite and f greater than 0; mend the file.")
    return camera


def _table(rows: _Rows) -> Samples:
    return Samples.of_columns(
        part="body",
        skeleton=HUMAN36M,
        box_drawn=False,
        keys=rows.people.keys,
        root=rows.people.source.name,
        images=rows.people.images,
        sizes=np.array(rows.sizes),
        boxes=np.stack(rows.boxes),
        keypoints=np.stack(rows.keypoints),
        joints=np.stack(rows.joints),
        joint_skeleton=HUMAN36M,
        intrinsics=np.stack(rows.intrinsics),
        subjects=rows.subjects,
        split=rows.people.source.split,
    )
