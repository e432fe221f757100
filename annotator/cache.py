"""Keeps `P/cache` below its limit: what was used longest ago goes first, never what a run in progress needs.

All that is in it can be made again, but for crops of photos that are not here: those of a data set that lacks a tenth of its
photos or more stay (one that lacks a few has lost them, one that lacks many lies elsewhere). When a file was used is its
time of access or of writing, whichever is later: file systems that note an access once a day are exact enough for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from annotator.errors import NeuralAnnotError
from annotator.outside import is_file
from annotator.project import Project


@dataclass(frozen=True)
class _Entry:
    file: Path
    used: float
    size: int


def trim_cache(project: Project) -> int:
    """Removes what is too much; how many bytes that were."""
    entries = list(_entries(project.cache))
    excess = sum(entry.size for entry in entries) - project.cache_bytes
    if excess <= 0:
        return 0
    busy = {name for run in project.runs() if run.job.alive for name in run.info.datasets}
    kept = busy | {name for name in project.datasets() if name not in busy and _lacks_photos(project, name)}
    folders = tuple(f"{name}-" for name in kept)
    removed = 0
    for entry in sorted(entries, key=lambda entry: entry.used):
        if removed >= excess:
            break
        if not _is_kept(entry.file, project.cache, folders):
            with suppress(OSError):
                entry.file.unlink()
                removed += entry.size
    return removed


def cache_size(project: Project) -> int:
    """Bytes that the cache takes."""
    return sum(entry.size for entry in _entries(project.cache))


def _lacks_photos(project: Project, dataset: str) -> bool:
    """Whether a tenth of its photos or more are absent, so that its crops could not be cut again, or nobody can know."""
    try:
        photos = project.photos(dataset).values()
    except NeuralAnnotError:
        return True
    return 10 * sum(not is_file(path) for path in photos) >= len(photos)


def _entries(cache: Path) -> Iterator[_Entry]:
    for file in cache.rglob("*"):
        with suppress(OSError):  # it went meanwhile
            if file.is_file() and not file.is_symlink():
                status = file.stat()
                yield _Entry(file, max(status.st_atime, status.st_mtime), status.st_blocks * 512)


def _is_kept(file: Path, cache: Path, folders: tuple[str, ...]) -> bool:
    """Whether it is a crop of a data set that stays: the folders of crops are named by theirs."""
    kind, *below = file.relative_to(cache).parts
    return kind == "crops" and below[0].startswith(folders)
