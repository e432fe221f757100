"""Samples -> crops and mini-batches. Photos are decoded once; every later run and epoch reads the crops.

A crop is kept as long as the sample's box, the crop rule, the size, the photo's path and its byte count stay the same; a
photo that is absent is trusted to the cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.camera import CROP_SCALE, Crop, crop_of_box
from annotator.columns import read_shards, write_shard
from annotator.errors import ImageError, storage
from annotator.images import read_image
from annotator.progress import Progress
from annotator.project import Project, safe_join
from annotator.sample import Samples

_RULE = f"square x{CROP_SCALE}"
_REPORT_EVERY = 64


@dataclass(frozen=True)
class Crops:
    """Crops of one table of samples: `images` `(N, S, S, 3)` uint8 RGB, memory-mapped; `reasons`: "" or why there is none."""

    images: np.ndarray
    reasons: list[str]

    @property
    def usable(self) -> np.ndarray:
        """Rows that have a crop."""
        return np.flatnonzero([not reason for reason in self.reasons])


def cached_crops(
    project: Project, samples: Samples, dataset: str, size: int, *, some: bool = False
) -> Generator[Progress, None, Crops]:
    """The crops of `samples`, from the cache where they are still true, else decoded now in parallel.

    Args:
        some: `samples` are not all of the data set. They get a file of their own, filled from that of the whole.

    Photos that are missing or cannot be decoded leave their sample without a crop, with the reason.
    """
    folder = project.cache / "crops"
    ids, counts = _identities(project, samples, size)
    whole = folder / f"{dataset}-{samples.part}-{size}"
    digest = hashlib.sha1("".join(ids).encode(), usedforsecurity=False).hexdigest()[:12]
    stem = whole.with_name(f"{whole.name}-{digest}") if some else whole
    images_path, index_path = stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}.arrow")
    old = _read_index(index_path, images_path)
    if old is None and some:
        old = _read_index(whole.with_name(f"{whole.name}.arrow"), whole.with_name(f"{whole.name}.npy"))
    if old is not None and old.ids == [_with_count(i, c, old.counts.get(i)) for i, c in zip(ids, counts, strict=True)]:
        return Crops(old.images, old.reasons)
    with storage(images_path):
        folder.mkdir(parents=True, exist_ok=True)
        aside = images_path.with_name(f".{images_path.name}.{os.getpid()}")
        shape = (len(samples), size, size, 3)
        try:
            images = np.lib.format.open_memmap(aside, mode="w+", dtype=np.uint8, shape=shape)
            _claim(aside)
            reasons = yield from _fill(project, samples, size, images, ids, counts, old)
            images.flush()
            aside.replace(images_path)
        finally:
            aside.unlink(missing_ok=True)
        table = pa.table({"id": ids, "bytes": counts, "reason": reasons})
        write_shard(index_path, table)
    return Crops(np.load(images_path, mmap_mode="r"), reasons)


def _claim(path: Path) -> None:
    """Takes the disk's room now: writing to a mapped file on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


@dataclass(frozen=True)
class _Index:
    ids: list[str]
    counts: dict[str, int]
    rows: dict[str, int]
    reasons: list[str]
    images: np.ndarray


def _read_index(index_path: Path, images_path: Path) -> _Index | None:
    if not (index_path.exists() and images_path.exists()):
        return None
    table = read_shards([index_path])
    ids, counts, reasons = (table[name].to_pylist() for name in ("id", "bytes", "reason"))
    images = np.load(images_path, mmap_mode="r")
    if len(images) != len(ids):
        return None
    named = [_with_count(i, c, c) for i, c in zip(ids, counts, strict=True)]
    return _Index(
        named, dict(zip(ids, counts, strict=True)), {name: row for row, name in enumerate(named)}, reasons, images
    )


def _with_count(identity: str, count: int, before: int | None) -> str:
    # -1 = the photo is not there now: what the cache has of it, if anything, is trusted
    return f"{identity}:{before if count < 0 and before is not None else count}"


def _identities(project: Project, samples: Samples, size: int) -> tuple[list[str], list[int]]:
    roots = project.image_roots
    images, names = samples.table["image"].to_pylist(), samples.table["root"].to_pylist()
    boxes = np.round(samples.boxes, 3)
    sizes: dict[tuple[str, str], int] = {}
    ids: list[str] = []
    counts: list[int] = []
    for key, root, image, box in zip(samples.keys, names, images, boxes, strict=True):
        if (root, image) not in sizes:
            path = safe_join(roots.get(str(root), project.path / str(root)), image)
            sizes[root, image] = path.stat().st_size if path.is_file() else -1
        text = f"{key}|{root}/{image}|{box.tolist()}|{samples.box_drawn}|{_RULE}|{size}"
        ids.append(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
        counts.append(sizes[root, image])
    return ids, counts


def _fill(
    project: Project,
    samples: Samples,
    size: int,
    images: np.ndarray,
    ids: list[str],
    counts: list[int],
    old: _Index | None,
) -> Generator[Progress, None, list[str]]:
    reasons = [""] * len(samples)
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    by_photo: dict[Path, list[int]] = {}
    done = 0
    for row, (identity, count) in enumerate(zip(ids, counts, strict=True)):
        before = old.rows.get(_with_count(identity, count, old.counts.get(identity))) if old is not None else None
        if old is not None and before is not None and not old.reasons[before]:
            images[row] = old.images[before]
            done += 1
        else:
            by_photo.setdefault(project.photo_path(samples[row]), []).append(row)

    def cut(item: tuple[Path, list[int]]) -> int:
        path, rows = item
        try:
            photo = read_image(path)
        except ImageError as error:
            for row in rows:
                reasons[row] = str(error)
            return len(rows)
        for row in rows:
            images[row] = Crop(crop.center[row], crop.side[row]).cut(photo, size)
        return len(rows)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        reported = done
        for count in pool.map(cut, by_photo.items(), chunksize=8):
            done += count
            if done - reported >= _REPORT_EVERY:
                reported = done
                yield Progress("Cutting crops", done, len(samples), "people")
    yield Progress("Cutting crops", len(samples), len(samples), "people")
    return reasons


class Draws:
    """Which rows go into which mini-batch: each epoch is a fresh permutation, and step s depends on nothing but s.

    Args:
        rows: the rows that may be drawn. stream: tells the auxiliary half from the target half.
    """

    def __init__(self, rows: np.ndarray, *, seed: int, stream: int) -> None:
        self._rows, self._seed, self._stream = rows, seed, stream
        self._epoch, self._order = -1, rows

    def take(self, step: int, count: int) -> np.ndarray:
        """`(count,)` rows of step `step`, which counts from 0."""
        places = np.arange(step * count, (step + 1) * count)
        return np.array([self._at(int(place)) for place in places], np.int64)

    def _at(self, place: int) -> int:
        epoch, offset = divmod(place, len(self._rows))
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, 23, self._stream, epoch])
            self._epoch, self._order = epoch, rng.permutation(self._rows)
        return int(self._order[offset])
