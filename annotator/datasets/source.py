"""What every reader is given and gives back, and the careful reading of JSON that they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from annotator.datasetfolder import Refusal
from annotator.errors import DatasetError, ProjectError
from annotator.outside import is_file, parse_json, safe_join, short
from annotator.progress import Progress
from annotator.sample import Samples


class _HasId(Protocol):
    id: int


class _Named(msgspec.Struct):
    id: int | float | str


class _OfImage(Protocol):
    id: int
    image_id: int


T = TypeVar("T")
P = TypeVar("P", bound=_HasId)
A = TypeVar("A", bound=_OfImage)
LARGEST_PHOTO = 65535
"""Px a side: no JPEG is larger."""
_FAR = 10
"""Sides of the photo beyond which nobody labels anything."""
_ENTRY = re.compile(r"`\$\.(images|annotations)\[(\d+)\]")
"""Where msgspec names an entry of a COCO-like file: by its place in the list, which nobody can look up."""


@dataclass(frozen=True)
class Source:
    """Where a data set lies.

    Attributes:
        annotations: file or folder, as the format has it.
        images: folder that the paths in the annotations are relative to.
        name: of the data set in the project; also of its image root.
        split: to keep in the samples' `split` column.
    """

    annotations: Path
    images: Path
    name: str
    split: str | None = None


@dataclass(frozen=True)
class ReadResult:
    """What a reader found.

    Attributes:
        tables: samples by part.
        refused: people left out, with the reason.
        files: every file that was read.
        notes: sentences for the import's report (rules of the format that left frames out).
    """

    tables: dict[str, Samples]
    refused: tuple[Refusal, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


Reader = Callable[[Source], Generator[Progress, None, ReadResult]]


Hook = Callable[[type[Any], Any], Any]


def read_json(path: Path, kind: type[T], hook: Hook | None = None) -> T:
    """A JSON file as `kind`, a msgspec Struct that says which keys it must have.

    NaN and Infinity, which Python writes though JSON has none, are let through: they spoil a person, not the file. Whole
    numbers may be written as floats, as tools that keep annotations in tables do.

    Args:
        hook: makes values of types that msgspec does not know; a `ValueError` of it refuses the file.

    Raises:
        DatasetError: the file is missing, cut short, not JSON, or lacks a key; the sentence names the place, an
            annotation or image by its id.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"The annotation file {path} cannot be read ({error.strerror}); check the path.") from error
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=hook, strict=False)
    except msgspec.ValidationError as error:
        raise _other_layout(path, error, lambda name, place: _entry(data, name, place)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _with_nan(data, path, kind, hook, error)


def _with_nan(data: bytes, path: Path, kind: type[T], hook: Hook | None, cause: Exception) -> T:
    try:
        values = parse_json(data)
    except ValueError as error:
        why = cause if isinstance(cause, msgspec.DecodeError) else "unreadable"
        raise DatasetError(f"{path} is not whole JSON ({why}; {error}); fetch it again.") from error
    try:
        return msgspec.convert(values, type=kind, strict=False, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise _other_layout(
            path, error, lambda name, place: msgspec.convert(values[name][place], type=_Named)
        ) from error


def _other_layout(path: Path, error: msgspec.ValidationError, entry_at: Callable[[str, int], _Named]) -> DatasetError:
    """The refusal of a file; `entry_at` gives the annotation or image at a place of its list."""
    found, whose = _ENTRY.search(str(error)), ""
    if found is not None:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # then the place has to do
            whose = f", {found[1][:-1]} {short(str(entry_at(found[1], int(found[2])).id))}"
    return DatasetError(
        f"{path}{whose} does not have the layout expected: {error}; check the format's name and the file."
    )


def _entry(data: bytes, name: str, place: int) -> _Named:
    """One entry of a list of a file, without making objects of the rest."""
    lists = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    entries = msgspec.json.decode(lists[name], type=list[msgspec.Raw])
    return msgspec.json.decode(entries[place], type=_Named)


def linked(path: Path, images: Iterable[P], annotations: Iterable[A], seen: set[int]) -> Iterator[tuple[str, P, A]]:
    """The annotations of a COCO-like file, each with its place for a sentence and its image.

    Args:
        seen: ids of the data set's annotations so far; those of this file are added.

    Raises:
        DatasetError: an image is not in the file, or an id is there twice.
    """
    photos = {photo.id: photo for photo in images}
    for annotation in annotations:
        place = f"{path}, annotation {annotation.id}"
        photo = photos.get(annotation.image_id)
        if photo is None:
            raise DatasetError(f"{place}: its image_id {annotation.image_id} is not among the images; mend the file.")
        if annotation.id in seen:
            raise DatasetError(f"{place}: another annotation has the same id; mend the file.")
        seen.add(annotation.id)
        yield place, photo, annotation


@dataclass
class People:
    """Collects the people of a data set row by row and refuses bad ones by name."""

    source: Source
    keys: list[str] = field(default_factory=list[str])
    images: list[str] = field(default_factory=list[str])
    refused: list[Refusal] = field(default_factory=list[Refusal])
    _photos: dict[str, bool] = field(default_factory=dict[str, bool])

    def beside(self) -> People:
        """Collects another part of the same data set: keys of its own; what is refused goes into one list."""
        return People(self.source, refused=self.refused, _photos=self._photos)

    def accepts(self, person: str, image: str, box: np.ndarray, numbers: np.ndarray, *, size: tuple[int, int]) -> bool:
        """Whether a person may be taken in; if so his key and image are noted.

        Args:
            person: annotation id.
            box: `(4,)` x, y, w, h, float64.
            numbers: `(K, 2)` every pixel coordinate of his, float64.
            size: width and height that the file gives the photo.
        """
        return bool(self.accept_all([person], [image], box[None], numbers[None], [size], [""])[0])

    def accept_all(
        self,
        people: Sequence[str],
        images: Sequence[str],
        boxes: np.ndarray,
        numbers: np.ndarray,
        sizes: Sequence[tuple[int, int]],
        reasons: Sequence[str],
    ) -> np.ndarray:
        """`accepts` of many at once: `(N,)` bool.

        Args:
            reasons: why each is refused already; empty where he is not.
        """
        taken = np.zeros(len(people), bool)
        for row, (before, wrong) in enumerate(zip(reasons, _wrong_with(boxes, numbers, sizes), strict=True)):
            reason, missing = before or wrong, ""
            if not reason and not images[row].rpartition("/")[2].strip():
                reason = "the file name of its photo is empty"
            elif not reason and not self._photo_exists(images[row]):
                missing = short(images[row])
                reason = f"the photo {missing} is not there"
            if reason:
                self.refuse(people[row], reason, missing)
            else:
                taken[row] = True
                self.keys.append(f"{self.source.name}/{people[row]}")
                self.images.append(images[row])
        return taken

    def refuse(self, person: str, reason: str, photo: str = "") -> None:
        """Leaves a person out, perhaps because `photo` is not there."""
        self.refused.append(Refusal(person, reason, photo))

    def _photo_exists(self, image: str) -> bool:
        if image not in self._photos:
            try:
                self._photos[image] = is_file(safe_join(self.source.images, image))
            except ProjectError as error:
                raise DatasetError(f"{self.source.annotations}: {error}") from error
        return self._photos[image]


def _wrong_with(boxes: np.ndarray, numbers: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Why the geometry of each person cannot be true; empty where it can."""
    photos = np.array([[min(max(side, 0), LARGEST_PHOTO + 1) for side in size] for size in sizes], float)
    corner, extent = boxes[:, :2], boxes[:, 2:]
    with np.errstate(all="ignore"):  # whatever is not finite fails the first two
        farthest = np.maximum(np.abs(numbers).max(axis=(1, 2)), np.abs(boxes).max(axis=1))
        checks = (
            (np.isfinite(numbers).all(axis=(1, 2)), "a keypoint is not a finite number"),
            (np.isfinite(boxes).all(axis=1) & (extent > 0).all(axis=1), "the box has no area"),
            (((photos > 0) & (photos <= LARGEST_PHOTO)).all(axis=1), "no photo is {:,} x {:,} px"),
            (((corner < photos) & (corner + extent > 0)).all(axis=1), "the box lies outside the photo"),
            (farthest <= _FAR * photos.max(axis=1), "a coordinate lies far outside the photo"),
        )
    reasons = [""] * len(boxes)
    for fine, reason in reversed(checks):  # the first that fails is the reason
        for row in np.flatnonzero(~fine):
            reasons[int(row)] = reason.format(*sizes[int(row)])
    return reasons
