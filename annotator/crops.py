"""The crops that networks see, decoded once and kept: every later run and epoch reads them from memory-mapped pages.

A crop is true as long as the sample's key and box, the crop rule, the size, the photo's path and its byte count stay the
same; a photo that is absent is trusted to the cache. Pixels are those of decoding each time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.cache import cache_size
from annotator.camera import CROP_SCALE, Crop, crop_of_box
from annotator.columns import read_shards, write_shard
from annotator.errors import AGAIN, ImageError, ProjectError, StorageError
from annotator.images import read_image
from annotator.progress import Progress
from annotator.project import Project, safe_join
from annotator.sample import Samples

PAGE = 512
"""People to a page: what a killed build loses at most."""
_RULE = f"square x{CROP_SCALE}"
_STAGE = "Cutting crops"
_REPORT_EVERY = 64
_ABSENT = -1


@dataclass(frozen=True)
class Crops:
    """Crops of one table of samples.

    Attributes:
        reasons: for each sample "", or why it has no crop.
        take: rows `(B,)` -> `(B, S, S, 3)` uint8 RGB; black where there is no crop.
    """

    reasons: list[str]
    take: Callable[[np.ndarray], np.ndarray]

    @cached_property
    def usable(self) -> np.ndarray:
        """Rows that have a crop."""
        return np.flatnonzero([not reason for reason in self.reasons])


def cached_crops(
    project: Project, samples: Samples, dataset: str, size: int, *, some: bool = False
) -> Generator[Progress, None, Crops]:
    """The crops of `samples` at `size` px, from the cache where they are still true, else decoded now in parallel.

    Args:
        some: `samples` are not all of the data set. They get pages of their own, filled from those of the whole.

    Photos that are missing or cannot be decoded leave their sample without a crop, with the reason.

    Raises:
        StorageError: the disk has no room for them.
    """
    wanted = _identities(project, samples, size)
    whole = project.cache / "crops" / f"{dataset}-{samples.part}-{size}"
    folder = whole.with_name(f"{whole.name}-{_digest(wanted)}") if some else whole
    starts = range(0, len(wanted), PAGE)
    paths = [folder / f"{number:05d}.arrow" for number in range(len(starts))]
    beyond = sorted(set(folder.glob("[0-9]*.arrow")) - set(paths))  # of a table that was longer
    there = [_read_page(path, size) for path in paths]
    stale = [
        number
        for number, (page, start) in enumerate(zip(there, starts, strict=True))
        if page is None or not page.holds(wanted[start : start + PAGE])
    ]
    cutter = _Cutter(project, samples, size)
    with _threads() as pool:
        mended = cutter.cut(pool, [row for row in _failed(there, wanted) if row // PAGE not in stale])
        stale = sorted({*stale, *(row // PAGE for rows, _, reason in mended if not reason for row in rows)})
    if stale:
        others = [*beyond, *sorted(whole.glob("[0-9]*.arrow"))] if some else beyond
        old = _Old([page for page in (*there, *(_read_page(path, size) for path in others)) if page is not None])
        missing = sum(old.find(one) is None for number in stale for one in _of_page(wanted, number))
        if missing:
            yield Progress(_STAGE, message=_estimate(folder, missing, size, project))
        done = len(wanted) - sum(len(_of_page(wanted, number)) for number in stale)
        with _threads() as pool:
            for number in stale:
                page = yield from _build(cutter, pool, _of_page(wanted, number), old, starts[number], done)
                write_shard(paths[number], page)
                there[number] = _read_page(paths[number], size)
                done += len(page)
        yield Progress(_STAGE, len(wanted), len(wanted), "people")
    for path in beyond:
        path.unlink(missing_ok=True)
    pages = [page for page in there if page is not None]
    if len(pages) < len(there):
        raise StorageError(f"Crops in {folder} were removed while they were being read; {AGAIN}.")
    return Crops([reason for page in pages for reason in page.reasons], _gather([page.pixels for page in pages]))


def decoded_crops(project: Project, samples: Samples, size: int) -> Generator[Progress, None, Crops]:
    """The same crops without a cache: every photo is decoded once now, to know it can be, and each time it is needed."""
    cutter = _Cutter(project, samples, size)
    reasons = [""] * len(samples)
    done = 0
    with _threads() as pool:
        for rows, _, reason in cutter.cut(pool, range(len(samples))):
            for row in rows:
                reasons[row] = reason
            done += len(rows)
            yield Progress("Checking photos", done, len(samples), "people")

    def take(rows: np.ndarray) -> np.ndarray:
        out = np.zeros((len(rows), size, size, 3), np.uint8)
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            places.setdefault(row, []).append(place)
        with _threads() as threads:
            for cut, pixels, _ in cutter.cut(threads, places):
                for row, crop in zip(cut, pixels, strict=True):
                    out[places[row]] = crop
        return out

    return Crops(reasons, take)


@contextmanager
def _threads() -> Generator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


# -- what a crop is known by ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Identity:
    """`name` says all but the photo's byte count, which is `_ABSENT` where there is no photo now."""

    name: str
    count: int

    def is_kept_as(self, name: str, count: int) -> bool:
        """Whether what the cache has under `name` and `count` is still true."""
        return self.name == name and self.count in (count, _ABSENT)


def _identities(project: Project, samples: Samples, size: int) -> list[_Identity]:
    roots = project.image_roots
    images, names = samples.table["image"].to_pylist(), samples.table["root"].to_pylist()
    clipped = (samples.boxes, samples.sizes) if samples.box_drawn else (samples.boxes,)  # drawn ones to the photo
    boxes = np.round(np.concatenate(clipped, axis=1), 3).tolist()
    counts: dict[tuple[str, str], int] = {}
    out: list[_Identity] = []
    for key, root, image, box in zip(samples.keys, names, images, boxes, strict=True):
        if (root, image) not in counts:
            path = safe_join(roots.get(str(root), project.path / str(root)), image)
            counts[root, image] = path.stat().st_size if path.is_file() else _ABSENT
        text = f"{key}|{root}/{image}|{box}|{samples.box_drawn}|{_RULE}|{size}"
        name = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        out.append(_Identity(name, counts[root, image]))
    return out


def _digest(wanted: Sequence[_Identity]) -> str:
    return hashlib.sha1("".join(one.name for one in wanted).encode(), usedforsecurity=False).hexdigest()[:12]


# -- pages ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """One page as it lies on the disk; `pixels` `(n, S, S, 3)` is a view of the mapped file."""

    names: list[str]
    counts: list[int]
    reasons: list[str]
    pixels: np.ndarray

    def holds(self, wanted: Sequence[_Identity]) -> bool:
        return len(wanted) == len(self.names) and all(
            one.is_kept_as(name, count) for one, name, count in zip(wanted, self.names, self.counts, strict=True)
        )


def _failed(pages: Sequence[_Page | None], wanted: Sequence[_Identity]) -> Iterator[int]:
    """Rows whose photo is there and could not be read when their page was made; it may be whole by now."""
    for number, page in enumerate(pages):
        for place, (one, reason) in enumerate(
            zip(_of_page(wanted, number), page.reasons if page else (), strict=False)
        ):
            if reason and one.count != _ABSENT:
                yield number * PAGE + place


def _read_page(path: Path, size: int) -> _Page | None:
    """The page, or None where there is none that can be read: it is a cache."""
    if not path.exists():
        return None
    try:
        table = read_shards([path])
        names, counts, reasons = (table[name].to_pylist() for name in ("id", "bytes", "reason"))
        pixels = table["pixels"].chunk(0)
        shape = (len(names), size, size, 3)
        flat = np.frombuffer(pixels.buffers()[1], np.uint8, count=int(np.prod(shape)))
        return _Page(names, counts, reasons, flat.reshape(shape))
    except (ProjectError, KeyError, IndexError, ValueError):
        return None


class _Old:
    """Crops of earlier builds, wherever their people stood in the table then."""

    def __init__(self, pages: Sequence[_Page]) -> None:
        self._places = {name: (page, row) for page in pages for row, name in enumerate(page.names)}

    def find(self, wanted: _Identity) -> tuple[np.ndarray, int] | None:
        """Pixels and the byte count they belong to, if they are still true."""
        found = self._places.get(wanted.name)
        if found is None:
            return None
        page, row = found
        if page.reasons[row] or not wanted.is_kept_as(page.names[row], page.counts[row]):
            return None
        return page.pixels[row], page.counts[row]


def _of_page(wanted: Sequence[_Identity], number: int) -> Sequence[_Identity]:
    return wanted[number * PAGE : (number + 1) * PAGE]


def _build(
    cutter: _Cutter, pool: ThreadPoolExecutor, wanted: Sequence[_Identity], old: _Old, start: int, done: int
) -> Generator[Progress, None, pa.Table]:
    """One page: what earlier builds have, and the rest decoded."""
    images = np.zeros((len(wanted), cutter.size, cutter.size, 3), np.uint8)
    counts, reasons = [one.count for one in wanted], [""] * len(wanted)
    to_cut: list[int] = []
    for place, one in enumerate(wanted):
        found = old.find(one)
        if found is None:
            to_cut.append(start + place)
        else:
            images[place], counts[place] = found
    reported, now = 0, len(wanted) - len(to_cut)
    for rows, pixels, reason in cutter.cut(pool, to_cut):
        for row, crop in zip(rows, pixels, strict=True):
            images[row - start] = crop
        for row in rows:
            reasons[row - start] = reason
        now += len(rows)
        if now - reported >= _REPORT_EVERY:
            reported = now
            yield Progress(_STAGE, done + now, cutter.people, "people")
    pixels = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(cutter.size**2 * 3), len(images), [None, pa.py_buffer(images)]
    )
    return pa.table({"id": [one.name for one in wanted], "bytes": counts, "reason": reasons, "pixels": pixels})


def _gather(pages: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    def take(rows: np.ndarray) -> np.ndarray:
        return np.stack([pages[row // PAGE][row % PAGE] for row in rows.tolist()])

    return take


def _estimate(folder: Path, people: int, size: int, project: Project) -> str:
    """How large the missing crops are.

    Raises:
        StorageError: there is no room.
    """
    need = people * size * size * 3
    above = next(path for path in folder.parents if path.exists())
    free = shutil.disk_usage(above).free
    if need > free:
        raise StorageError(
            f"The crops of {people:,} people at {size} px take {_gigabytes(need)} and {above} has {_gigabytes(free)}; "
            "make room, or set crop_cache = false in the recipe to decode photos each time."
        )
    limit = round(project.cache_bytes)
    beyond = (
        f" With what the cache holds that is beyond its limit of {_gigabytes(limit)}: what was used longest ago is removed once no run needs it, unless cache_gb in "
        "project.toml is raised."
    )
    return (
        f"{people:,} crops of {size} px are cut and kept; they take {_gigabytes(need)} of {_gigabytes(free)} free."
        f"{beyond if cache_size(project) + need > limit else ''}"
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


# -- decoding ------------------------------------------------------------------------------------------------------------


class _Cutter:
    """Decodes photos, each once for all people asked for, and cuts their crops."""

    def __init__(self, project: Project, samples: Samples, size: int) -> None:
        self._project, self._samples = project, samples
        self._crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
        self.size = size
        self.people = len(samples)

    def cut(
        self, pool: ThreadPoolExecutor, rows: Iterable[int]
    ) -> Iterator[tuple[list[int], Sequence[np.ndarray], str]]:
        """For each photo its rows, their crops, and the reason if it has none."""
        by_photo: dict[Path, list[int]] = {}
        for row in rows:
            by_photo.setdefault(self._project.photo_path(self._samples[row]), []).append(row)
        return pool.map(self._cut_photo, by_photo.items())

    def _cut_photo(self, item: tuple[Path, list[int]]) -> tuple[list[int], Sequence[np.ndarray], str]:
        path, rows = item
        try:
            photo = read_image(path)
        except ImageError as error:
            return rows, [np.zeros((self.size, self.size, 3), np.uint8)] * len(rows), str(error)
        crops = [Crop(self._crop.center[row], self._crop.side[row]).cut(photo, self.size) for row in rows]
        return rows, crops, ""
