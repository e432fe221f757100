"""Keeps `P/cache` below its limit: what was used longest ago goes first, never what a run in progress needs.

All that is in it can be made again. When a file was used is its time of access or of writing, whichever is later: file
systems that note an access once a day are exact enough for that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from annotator.project import Project


@dataclass
class _Entry:
    """Files that are of use only together: crops and their index."""

    used: float = 0.0
    size: int = 0
    files: list[Path] = field(default_factory=list[Path])


def trim_cache(project: Project) -> int:
    """Removes what is too much; how many bytes that were."""
    entries = _entries(project.cache)
    excess = sum(entry.size for entry in entries.values()) - project.cache_bytes
    if excess <= 0:
        return 0
    busy = tuple(f"{name}-" for run in project.runs() if run.job.alive for name in run.info.datasets)
    removed = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.used):
        if removed >= excess:
            break
        if not _in_use(entry.files[0], project.cache, busy):
            for file in entry.files:
                with suppress(OSError):
                    file.unlink()
            removed += entry.size
    return removed


def _entries(cache: Path) -> dict[Path, _Entry]:
    entries: dict[Path, _Entry] = {}
    for file in cache.rglob("*"):
        with suppress(OSError):  # it went meanwhile
            if not file.is_file() or file.is_symlink():
                continue
            status = file.stat()
            entry = entries.setdefault(file.with_suffix(""), _Entry())
            entry.used = max(entry.used, status.st_atime, status.st_mtime)
            entry.size += status.st_blocks * 512
            entry.files.append(file)
    return entries


def _in_use(file: Path, cache: Path, busy: tuple[str, ...]) -> bool:
    """Whether a run in progress may read or write it; crops are named by their data set, half-written ones with a dot before."""
    return file.parent == cache / "crops" and file.name.lstrip(".").startswith(busy)
