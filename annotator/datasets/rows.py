"""What readers of several parts or of 3D joints share: a table that is filled row by row, cameras in world millimetres.

Rows with 3D joints are checked and packed a thousand at a time, for numpy is slow on single ones. Packed they are
float32: a hand with 21 joints takes 650 bytes while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotator.camera import Camera
from annotator.datasets.source import People
from annotator.errors import DatasetError
from annotator.sample import Samples
from annotator.skeleton import Skeleton

FARTHEST = 1000.0
"""Metres from the camera."""
_TOGETHER = 1024
JOINTS_BOX = 1.2
"""Extent of the joints -> box: the rule of Human3.6M's converter and of InterHand2.6M's published boxes."""


@dataclass(frozen=True)
class Photo:
    """A photo as an annotation file names it: path below the image folder, width and height in px."""

    image: str
    size: tuple[int, int]


@dataclass(frozen=True)
class WorldCamera:
    """`X_camera = rotation X_world + translation`, both in millimetres, before a pinhole."""

    rotation: np.ndarray
    translation: np.ndarray
    pinhole: Camera

    def metres(self, world: np.ndarray) -> np.ndarray:
        """`(J, 3)` mm in the world -> m in camera space."""
        with np.errstate(all="ignore"):  # whatever is not finite is refused by name
            return (world @ self.rotation.T + self.translation) / 1000.0


def world_camera(
    rotation: Sequence[Sequence[float]],
    place: Sequence[float],
    focal: Sequence[float],
    princpt: Sequence[float],
    *,
    names: tuple[str, str, str, str],
    where: str,
    of_position: bool = False,
) -> WorldCamera:
    """A checked camera.

    Args:
        place: translation in mm, or the camera's own position in the world if `of_position`.
        names: of the four in the file, for the sentence.
        where: file and camera, for the sentence.

    Raises:
        DatasetError: it cannot be a camera.
    """
    r, t, f, c = names
    if [len(row) for row in rotation] != [3, 3, 3] or [len(place), len(focal), len(princpt)] != [3, 2, 2]:
        raise DatasetError(f"{where}: expecting {r} 3x3, {t} 3, {f} 2 and {c} 2 numbers; mend the file.")
    turn, rest = np.array(rotation), np.array([*place, *focal, *princpt])
    if not (np.isfinite(turn).all() and np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) and np.linalg.det(turn) > 0):
        raise DatasetError(f"{where}: {r} is no rotation; mend the file.")
    if not (np.isfinite(rest).all() and min(focal) > 0):
        raise DatasetError(f"{where}: {t}, {f} and {c} should be finite and {f} greater than 0; mend the file.")
    translation = np.array(place) if not of_position else -turn @ np.array(place)
    return WorldCamera(turn, translation, Camera(np.array(focal), np.array(princpt)))


def box_of(values: Sequence[float], place: str, name: str = "bbox") -> np.ndarray:
    """`(4,)` float64 x, y, width, height of an annotation's box.

    Raises:
        DatasetError: it has not four numbers.
    """
    if len(values) != 4:
        raise DatasetError(f"{place}: {name} has {len(values)} numbers, expecting 4; mend the file.")
    return np.array(values, np.float64)


def world_joints(tree: Any, keys: Mapping[str, int], count: int, *, place: str, path: Path) -> np.ndarray:
    """`(count, 3)` mm, from nested objects of a file.

    Args:
        tree: of `path`. keys: its levels by what they number ("subject", "frame"), outermost first.
        place: the annotation that asks, for the sentence.

    Raises:
        DatasetError: they are not there, or there are not as many.
    """
    values = tree
    try:
        for number in keys.values():
            values = values[str(number)]
    except KeyError as error:
        where = ", ".join(f"{level} {number}" for level, number in keys.items())
        raise DatasetError(f"{place}: {path} has no joints for {where}; mend the files.") from error
    if [len(row) for row in values] != [3] * count:
        raise DatasetError(f"{place}: {path} should hold {count} joints of 3 numbers; mend the file.")
    return np.array(values)


@dataclass(frozen=True)
class _Waiting:
    """A row of `Rows.add_3d` that is not checked yet, or one with the reason to leave it out."""

    name: str
    photo: Photo
    joints: np.ndarray
    camera: Camera
    box: np.ndarray | None
    known: np.ndarray
    visible: np.ndarray
    subject: str | None
    reason: str = ""


@dataclass
class Rows:
    """One part's table while it is filled; bad rows are refused by name through `people`, at the latest by `finish`.

    Attributes:
        people: of this part; `People.beside` gives another part of the same data set.
        box_drawn: False where boxes come from joints.
        joint_skeleton: of the 3D joints, or None where there are none.
    """

    people: People
    part: str
    skeleton: Skeleton
    box_drawn: bool
    joint_skeleton: Skeleton | None = None
    subjects: list[str | None] = field(default_factory=list[str | None])
    _columns: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    _waiting: list[_Waiting] = field(default_factory=list["_Waiting"])

    def __len__(self) -> int:
        return len(self.people.keys)

    def add(self, name: str, photo: Photo, box: np.ndarray, points: np.ndarray) -> bool:
        """Takes one row without 3D in; False if it was refused.

        Args:
            name: the key without the data set.
            box: `(4,)` x, y, w, h, float64.
            points: `(K, 3)` u, v, confidence, float64; those without confidence are zeros.
        """
        if not self.people.accepts(name, photo.image, box, points[:, :2], size=photo.size):
            return False
        self.subjects.append(None)
        self._keep(size=photo.size, box=box, keypoints=points)
        return True

    def add_3d(
        self,
        name: str,
        photo: Photo,
        joints: np.ndarray,
        camera: Camera,
        *,
        box: np.ndarray | None = None,
        valid: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        subject: str | None = None,
    ) -> None:
        """Takes one row in; its keypoints are its joints seen by the camera.

        Args:
            joints: `(J, 3)` metres in camera space, float64.
            box: as above; default 1.2 times the extent of the valid joints.
            valid: `(J,)` which joints are known; default all.
            visible: `(J,)` confidence of the keypoints; default where valid.
        """
        known = np.ones(len(joints), bool) if valid is None else valid
        self._wait(_Waiting(name, photo, joints, camera, box, known, known if visible is None else visible, subject))

    def refuse(self, name: str, reason: str) -> None:
        """Leaves one row out, in its turn among those of `add_3d`."""
        nowhere = np.zeros((0 if self.joint_skeleton is None else len(self.joint_skeleton), 3))
        none = np.zeros(len(nowhere), bool)
        camera = Camera(np.ones(2), np.zeros(2))
        self._wait(_Waiting(name, Photo("", (0, 0)), nowhere, camera, None, none, none, None, reason))

    def _wait(self, row: _Waiting) -> None:
        self._waiting.append(row)
        if len(self._waiting) == _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Checks and takes in the rows that wait; whatever is wrong with them is in `people.refused` afterwards."""
        rows, self._waiting = self._waiting, []
        if not rows:
            return
        known = np.stack([row.known for row in rows])
        joints = np.where(known[..., None], np.stack([row.joints for row in rows]), 0.0)
        camera = Camera(np.stack([row.camera.focal for row in rows]), np.stack([row.camera.princpt for row in rows]))
        with np.errstate(all="ignore"):  # whatever is not finite is refused by name
            pixels = np.where(known[..., None], camera.project(joints), 0.0)
            boxes = joints_boxes(pixels, known)
        for number, row in enumerate(rows):
            if row.box is not None:
                boxes[number] = row.box
        reasons = [row.reason or why for row, why in zip(rows, _wrong_joints(joints, known), strict=True)]
        photos = [row.photo for row in rows]
        taken = self.people.accept_all(
            [row.name for row in rows],
            [photo.image for photo in photos],
            boxes,
            pixels,
            [photo.size for photo in photos],
            reasons,
        )
        confidence = np.stack([row.visible for row in rows])[..., None] * known[..., None]
        self.subjects += [row.subject for row, took in zip(rows, taken, strict=True) if took]
        self._keep(
            size=np.array([photo.size for photo, took in zip(photos, taken, strict=True) if took]),
            box=boxes[taken],
            keypoints=(np.concatenate([pixels, confidence], axis=2) * (confidence > 0))[taken],
            joints=np.concatenate([joints, known[..., None]], axis=2)[taken],
            K=camera.matrix[taken],
        )

    def _keep(self, **values: np.ndarray | tuple[int, int]) -> None:
        for name, value in values.items():
            self._columns.setdefault(name, bytearray()).extend(np.asarray(value, np.float32).tobytes())

    def _column(self, name: str, *shape: int) -> np.ndarray | None:
        column = self._columns.get(name)
        return None if column is None else np.frombuffer(column, np.float32).reshape(len(self), *shape)

    def table(self) -> Samples:
        """The table; there must be a row."""
        sizes, boxes = self._column("size", 2), self._column("box", 4)
        keypoints = self._column("keypoints", len(self.skeleton), 3)
        assert sizes is not None
        assert boxes is not None
        assert keypoints is not None
        return Samples.of_columns(
            part=self.part,
            skeleton=self.skeleton,
            box_drawn=self.box_drawn,
            keys=self.people.keys,
            root=self.people.source.name,
            images=self.people.images,
            sizes=sizes,
            boxes=boxes,
            keypoints=keypoints,
            joints=self._column("joints", len(self.joint_skeleton), 4) if self.joint_skeleton else None,
            joint_skeleton=self.joint_skeleton,
            intrinsics=self._column("K", 3, 3),
            subjects=self.subjects,
            split=self.people.source.split,
        )


def tables_of(*parts: Rows) -> dict[str, Samples]:
    """The tables of those parts that have a row, when all that waits has been taken in."""
    for rows in parts:
        rows.finish()
    return {rows.part: rows.table() for rows in parts if len(rows)}


def joints_boxes(pixels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`(N, 4)` x, y, w, h of boxes about those of `(N, J, 2)` points that are known; without extent where none is."""
    low = np.where(known[..., None], pixels, np.inf).min(axis=1)
    high = np.where(known[..., None], pixels, -np.inf).max(axis=1)
    return np.concatenate([(low + high) / 2 - (high - low) * JOINTS_BOX / 2, (high - low) * JOINTS_BOX], axis=1)


def _wrong_joints(joints: np.ndarray, known: np.ndarray) -> list[str]:
    """Why the `(N, J, 3)` joints of each row cannot be before a camera; empty where they can."""
    none = ~known.any(axis=1)
    numbers = np.all(np.isfinite(joints), axis=2)
    finite = np.all(numbers, axis=1)
    behind = finite & ((joints[..., 2] <= 0) & known).any(axis=1)
    far = finite & (np.abs(joints).max(axis=(1, 2)) > FARTHEST)
    reasons = [""] * len(joints)
    for rows, reason in (
        (far, f"a joint lies more than {FARTHEST:,.0f} m away"),
        (behind, "a joint lies behind the camera"),
        (none, "it has no joints"),
        ((~numbers & known).any(axis=1), "a joint is not a finite number"),
    ):
        for row in np.flatnonzero(rows):
            reasons[row] = reason
    return reasons
