"""COCO-WholeBody v1.0: 133 keypoints per person in a photo, no 3D. The paper's target data set for every part.

Hands and faces that the file calls valid are samples of their own as well, under the id of their person.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import msgspec
import numpy as np

from annotator.datasets.rows import Photo, Rows, box_of, tables_of
from annotator.datasets.source import People, ReadResult, Source, linked, read_json
from annotator.errors import DatasetError
from annotator.progress import Progress
from annotator.skeleton import COCO_WHOLEBODY, FACE, HAND

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
    num_keypoints: float
    bbox: list[float]
    keypoints: list[float]
    foot_kpts: list[float]
    face_kpts: list[float]
    lefthand_kpts: list[float]
    righthand_kpts: list[float]
    iscrowd: float = 0
    face_valid: bool | float = False
    lefthand_valid: bool | float = False
    righthand_valid: bool | float = False
    face_box: list[float] = []
    lefthand_box: list[float] = []
    righthand_box: list[float] = []


class _File(msgspec.Struct):
    images: list[_Photo]
    annotations: list[_Person]
    categories: list[_Category]


_WHOLE = ("num_keypoints", "iscrowd", "face_valid", "lefthand_valid", "righthand_valid")
_COUNTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
_PARTS = {
    "lhand": ("lefthand", HAND, slice(91, 112)),
    "rhand": ("righthand", HAND, slice(112, 133)),
    "face": ("face", FACE, slice(23, 91)),
}
"""Part -> its name in the file, its points, and which of the 133 they are."""


def read_coco_wholebody(source: Source) -> Generator[Progress, None, ReadResult]:
    """Body samples with `(133, 3)` keypoints, hands with `(21, 3)`, faces with `(68, 3)`; confidence 1 where v > 0.

    Crowds and people without body keypoints are refused, as the field's loaders skip them, and their parts with them; so
    are people with a count or flag that is no whole number. A part is read if `lefthand_valid`, `righthand_valid` or
    `face_valid` says so, with its own box; its key is its person's and `/lhand`, `/rhand` or `/face`. One that cannot be
    true is refused alone.

    Raises:
        DatasetError: the file's structure is wrong.
    """
    path = source.annotations
    yield Progress("Reading annotations", message=f"Reading {path}")
    file = read_json(path, _File)
    categories = {category.id: category.name for category in file.categories}
    bodies = Rows(People(source), "body", COCO_WHOLEBODY, box_drawn=True)
    people = bodies.people
    parts = {part: Rows(people.beside(), part, skeleton, box_drawn=True) for part, (_, skeleton, _) in _PARTS.items()}
    for number, (place, photo, person) in enumerate(linked(path, file.images, file.annotations, set())):
        if categories.get(person.category_id) != "person":
            raise DatasetError(
                f"{place}: category {person.category_id} is unknown here (only 'person' is read); mend the file."
            )
        points, where = _points(person, place), Photo(photo.file_name, (photo.width, photo.height))
        broken = next((name for name in _WHOLE if not float(getattr(person, name)).is_integer()), None)
        if broken is not None:
            people.refuse(str(person.id), f"its {broken} {getattr(person, broken):g} is no whole number")
        elif person.iscrowd:
            people.refuse(str(person.id), "it is a crowd")
        elif np.isfinite(points).all() and (person.num_keypoints == 0 or not (points[:17, 2] > 0).any()):
            people.refuse(str(person.id), "it has no body keypoints")
        elif bodies.add(str(person.id), where, _box(person, "bbox", place), points):
            for part, rows in parts.items():
                _add_part(rows, part, person, where, points, place)
        if number % _REPORT_EVERY == 0:
            yield Progress("Reading annotations", number, len(file.annotations), "people")
    yield Progress("Reading annotations", len(file.annotations), len(file.annotations), "people")
    return ReadResult(tables_of(bodies, *parts.values()), tuple(people.refused), (path,))


def _add_part(rows: Rows, part: str, person: _Person, photo: Photo, points: np.ndarray, place: str) -> None:
    """Takes a hand or face in, if the file calls it valid; `points` are the person's 133."""
    name, _, which = _PARTS[part]
    if not getattr(person, f"{name}_valid"):
        return
    box = _box(person, f"{name}_box", place)
    if (points[which, 2] > 0).any():
        rows.add(f"{person.id}/{part}", photo, box, points[which])
    else:
        rows.people.refuse(f"{person.id}/{part}", "it has no keypoints")


def _box(person: _Person, name: str, place: str) -> np.ndarray:
    return box_of(getattr(person, name), place, name)


def _points(person: _Person, place: str) -> np.ndarray:
    """`(133, 3)` float64 u, v, confidence; unlabelled points are zeros, and all are NaN where one is not finite."""
    groups: list[np.ndarray] = []
    for name, count in _COUNTS.items():
        values: Sequence[float] = getattr(person, name)
        if len(values) != 3 * count:
            raise DatasetError(f"{place}: {name} has {len(values)} numbers, expecting {3 * count}; mend the file.")
        groups.append(np.array(values, np.float64).reshape(count, 3))
    points = np.concatenate(groups)
    labelled = points[:, 2] > 0
    finite = np.isfinite(points).all(axis=1)
    points[:, 2] = labelled
    points[finite & ~labelled] = 0
    return points if finite.all() else np.full_like(points, np.nan)
