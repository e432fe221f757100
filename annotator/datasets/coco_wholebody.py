"""COCO-WholeBody v1.0: 133 keypoints per person in a photo, no 3D. The paper's target data set."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import msgspec
import numpy as np

from annotator.datasets.source import People, ReadResult, Source, read_json
from annotator.errors import DatasetError
from annotator.progress import Progress
from annotator.sample import Samples
from annotator.skeleton import COCO_WHOLEBODY

_REPORT_EVERY = 500


class _Photo(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _Category(msgspec.Struct):
    id: int
    name: str


class _Person(msgspec.Struct):
    id: int
    image_id: int
    category_id: int
    num_keypoints: int
    bbox: list[float]
    keypoints: list[float]
    foot_kpts: list[float]
    face_kpts: list[float]
    lefthand_kpts: list[float]
    righthand_kpts: list[float]
    iscrowd: int = 0


class _File(msgspec.Struct):
    images: list[_Photo]
    annotations: list[_Person]
    categories: list[_Category]


_COUNTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


def read_coco_wholebody(source: Source) -> Generator[Progress, None, ReadResult]:
    """Body samples of a COCO-WholeBody file: `(133, 3)` keypoints, confidence 1 where labelled (v > 0).

    Crowds and people without body keypoints are refused, as the field's loaders skip them.

    Raises:
        DatasetError: the file's structure is wrong.
    """
    path = source.annotations
    yield Progress("Reading annotations", message=f"Reading {path}")
    file = read_json(path, _File)
    photos = {photo.id: photo for photo in file.images}
    categories = {category.id: category.name for category in file.categories}
    people = People(source)
    keypoints = np.zeros((len(file.annotations), len(COCO_WHOLEBODY), 3), np.float32)
    boxes = np.zeros((len(file.annotations), 4), np.float32)
    sizes: list[tuple[int, int]] = []
    seen: set[int] = set()
    for number, person in enumerate(file.annotations):
        place = f"{path}, annotation {person.id}"
        photo = photos.get(person.image_id)
        if photo is None:
            raise DatasetError(f"{place}: its image_id {person.image_id} is not among the images; mend the file.")
        if categories.get(person.category_id) != "person":
            raise DatasetError(
                f"{place}: category {person.category_id} is unknown here (only 'person' is read); mend the file."
            )
        if person.id in seen:
            raise DatasetError(f"{place}: another annotation has the same id; mend the file.")
        seen.add(person.id)
        points, box, size = _points(person, place), np.array(person.bbox, np.float64), (photo.width, photo.height)
        if person.iscrowd:
            people.refuse(str(person.id), "it is a crowd")
        elif np.isfinite(points).all() and (person.num_keypoints == 0 or not (points[:17, 2] > 0).any()):
            people.refuse(str(person.id), "it has no body keypoints")
        elif people.accepts(str(person.id), photo.file_name, box, points[:, :2], size=size):
            row = len(people.keys) - 1
            keypoints[row], boxes[row] = points, box
            sizes.append(size)
        if number % _REPORT_EVERY == 0:
            yield Progress("Reading annotations", number, len(file.annotations), "people")
    yield Progress("Reading annotations", len(file.annotations), len(file.annotations), "people")
    tables = {"body": _table(people, keypoints, boxes, sizes)} if people.keys else {}
    return ReadResult(tables, tuple(people.refused), (path,))


def _points(person: _Person, place: str) -> np.ndarray:
    """`(133, 3)` float64 u, v, confidence; unlabelled points are zeros, and all are NaN where one is not finite."""
    groups: list[np.ndarray] = []
    for name, count in _COUNTS.items():
        values: Sequence[float] = getattr(person, name)
        if len(values) != 3 * count:
            raise DatasetError(f"{place}: {name} has {len(values)} numbers, expecting {3 * count}; mend the file.")
        groups.append(np.array(values, np.float64).reshape(count, 3))
    if len(person.bbox) != 4:
        raise DatasetError(f"{place}: bbox has {len(person.bbox)} numbers, expecting 4; mend the file.")
    points = np.concatenate(groups)
    labelled = points[:, 2] > 0
    finite = np.isfinite(points).all(axis=1)
    points[:, 2] = labelled
    points[finite & ~labelled] = 0
    return points if finite.all() else np.full_like(points, np.nan)


def _table(people: People, keypoints: np.ndarray, boxes: np.ndarray, sizes: list[tuple[int, int]]) -> Samples:
    count = len(people.keys)
    return Samples.of_columns(
        part="body",
        skeleton=COCO_WHOLEBODY,
        box_drawn=True,
        keys=people.keys,
        root=people.source.name,
        images=people.images,
        sizes=np.array(sizes),
        boxes=boxes[:count],
        keypoints=keypoints[:count],
        split=people.source.split,
    )
