"""InterHand2.6M in its official layout: one hand or two in a photo, 21 joints each in world millimetres, tips first.

`InterHand2.6M_<split>_data.json` (images and annotations), `..._camera.json` (capture -> `campos`, `camrot`, `focal`,
`princpt` of every camera) and `..._joint_3d.json` (capture -> frame). `X_camera = camrot (X - campos)`. Each hand is a
sample of its own; both of one annotation share its id. The published box is about both hands, so each gets its own: 1.2
times the extent of its joints, which is the published box where there is one hand.

The data file of a whole split is more than a gigabyte: it is read at once, what no sample needs is dropped while it is
parsed, and the 42 flags of an annotation become 42 bytes. Frames become arrays when a camera first needs them. Measured:
200,000 annotations of two hands each take 0.65 GB at the most, 0.5 GB of it the reading's.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from annotator.datasets.rows import Photo, Rows, WorldCamera, tables_of, world_camera
from annotator.datasets.source import People, ReadResult, Source, linked, read_json
from annotator.errors import DatasetError
from annotator.outside import is_dir, short
from annotator.progress import Progress
from annotator.skeleton import INTERHAND, INTERHAND_HAND

_DATA_FILE = re.compile(r"InterHand2\.6M_([A-Za-z0-9-]+)_data\.json")
_STAGE = "Reading annotations"
_REPORT_EVERY = 2000
_SIDES = {
    side: slice(start, start + len(INTERHAND_HAND)) for side, start in (("right", 0), ("left", len(INTERHAND_HAND)))
}
_WRIST = INTERHAND_HAND.index_of["wrist"]


class _Photo(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int
    capture: int
    camera: str
    frame_idx: int
    subject: int | str | None = None


class _Flags:
    """Which of the 42 joints are valid."""

    __slots__ = ("valid",)

    def __init__(self, values: object) -> None:
        """Takes the file's list in: a flag each, or a list with one flag each."""
        given: list[Any] = values if isinstance(values, list) else []
        flags = [flag[0] if isinstance(flag, list) and flag else flag for flag in given]
        numbers = [flag for flag in flags if isinstance(flag, int | float)]
        if len(numbers) != len(INTERHAND) or len(numbers) != len(flags):
            raise ValueError(f"joint_valid should be {len(INTERHAND)} numbers")
        self.valid = bytes(flag > 0 for flag in numbers)


class _Pair(msgspec.Struct, gc=False):
    """An annotation: one hand or both."""

    id: int
    image_id: int
    joint_valid: _Flags
    hand_type: Literal["right", "left", "interacting"]


class _Data(msgspec.Struct):
    images: list[_Photo]
    annotations: list[_Pair]


class _Cameras(msgspec.Struct):
    campos: dict[str, list[float]]
    camrot: dict[str, list[list[float]]]
    focal: dict[str, list[float]]
    princpt: dict[str, list[float]]


class _Frame(msgspec.Struct):
    world_coord: list[list[float]]


def read_interhand26m(source: Source) -> Generator[Progress, None, ReadResult]:
    """Right-hand and left-hand samples with GT 3D: `(21, 4)` joints in metres in camera space, their projection, K.

    A hand whose wrist is not valid is refused, for its pose is told from the wrist; other joints that are not valid
    have validity and confidence 0. Keys are `<data set>/<annotation id>/rhand` and `/lhand`.

    Args:
        source: `annotations` is the folder of one split's three files; `split` says which if there are several.

    Raises:
        DatasetError: a file is missing, or their structure is wrong.
    """
    split = _split(source)
    data_path, camera_path, joint_path = (
        source.annotations / f"InterHand2.6M_{split}_{kind}.json" for kind in ("data", "camera", "joint_3d")
    )
    yield Progress(_STAGE, message=f"Reading {data_path}")
    data = read_json(data_path, _Data, _flags)
    cameras, frames = _cameras(camera_path), _Frames(joint_path)
    right = Rows(People(source), "rhand", INTERHAND_HAND, box_drawn=False, joint_skeleton=INTERHAND_HAND)
    left = Rows(right.people.beside(), "lhand", INTERHAND_HAND, box_drawn=False, joint_skeleton=INTERHAND_HAND)
    count = len(data.annotations)
    for number, (place, photo, pair) in enumerate(linked(data_path, data.images, data.annotations, set())):
        camera = cameras.get((str(photo.capture), photo.camera))
        if camera is None:
            where = f"camera {short(photo.camera)} in capture {photo.capture}"
            raise DatasetError(f"{place}: {camera_path} has no {where}; mend the files.")
        joints = camera.metres(frames.world(str(photo.capture), str(photo.frame_idx), place))
        valid = np.frombuffer(pair.joint_valid.valid, bool)
        for side, rows in (("right", right), ("left", left)):
            if pair.hand_type in (side, "interacting"):
                _add(rows, f"{pair.id}/{rows.part}", photo, camera, joints[_SIDES[side]], valid[_SIDES[side]])
        if number % _REPORT_EVERY == 0:
            yield Progress(_STAGE, number, count, "photos")
    yield Progress(_STAGE, count, count, "photos")
    files = (data_path, camera_path, joint_path)
    return ReadResult(tables_of(right, left), tuple(right.people.refused), files)


def _add(rows: Rows, name: str, photo: _Photo, camera: WorldCamera, joints: np.ndarray, valid: np.ndarray) -> None:
    if valid.any() and not valid[_WRIST]:
        rows.refuse(name, "its wrist is not valid")
        return
    rows.add_3d(
        name,
        Photo(photo.file_name, (photo.width, photo.height)),
        joints,
        camera.pinhole,
        valid=valid,
        subject=None if photo.subject is None else str(photo.subject),
    )


def _flags(_kind: type[Any], value: Any) -> _Flags:
    return _Flags(value)


def _split(source: Source) -> str:
    folder = source.annotations
    found = sorted(
        match[1]
        for path in (folder.iterdir() if is_dir(folder) else ())
        if (match := _DATA_FILE.fullmatch(path.name)) and source.split in (None, match[1])
    )
    if len(found) > 1:
        raise DatasetError(f"{folder} holds several splits ({', '.join(found)}); say which one with --split.")
    if not found:
        name = f"InterHand2.6M_{source.split or '*'}_data.json"
        raise DatasetError(f"{folder} holds no {name}; give the folder of one split's annotations.")
    return found[0]


def _cameras(path: Path) -> dict[tuple[str, str], WorldCamera]:
    found: dict[tuple[str, str], WorldCamera] = {}
    for capture, values in read_json(path, dict[str, _Cameras]).items():
        for index, position in values.campos.items():
            where = f"{path}, capture {capture}, camera {index}"
            try:
                rest = (values.focal[index], values.princpt[index])
                rotation = values.camrot[index]
            except KeyError as error:
                raise DatasetError(f"{where}: camrot, focal or princpt is missing; mend the file.") from error
            names = ("camrot", "campos", "focal", "princpt")
            found[capture, index] = world_camera(rotation, position, *rest, names=names, where=where, of_position=True)
    return found


class _Frames:
    """World coordinates by capture and frame; checked and made an array when they are first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frames = read_json(path, dict[str, dict[str, _Frame]])
        self._arrays: dict[tuple[str, str], np.ndarray] = {}

    def world(self, capture: str, frame: str, place: str) -> np.ndarray:
        """`(42, 3)` mm.

        Raises:
            DatasetError: the frame is not there or has another shape; `place` is the annotation that asks.
        """
        found = self._arrays.get((capture, frame))
        if found is not None:
            return found
        where = f"capture {capture}, frame {frame}"
        try:
            values = self._frames[capture][frame].world_coord
        except KeyError as error:
            raise DatasetError(f"{place}: {self._path} has no joints for {where}; mend the files.") from error
        if [len(row) for row in values] != [3] * len(INTERHAND):
            raise DatasetError(f"{self._path}, {where}: expecting {len(INTERHAND)} joints of 3 numbers; mend the file.")
        return self._arrays.setdefault((capture, frame), np.array(values))
