"""The cache's limit: what was used longest ago goes first, and nothing of a run in progress."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from annotator.cache import trim_cache
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from annotator.runs import RUNNING, RunInfo

KB = 64 * 1024


def put(project: Project, name: str, age_days: float, *, size: int = KB) -> Path:
    path = project.cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, (time.time() - 86400 * age_days,) * 2)
    return path


def limited(folder: Path, kilobytes: float) -> Project:
    file = folder / "project.toml"
    file.write_text(f"cache_gb = {kilobytes * 1024 / 1e9}\n" + file.read_text())
    return Project.open(folder)


def left(project: Project) -> set[str]:
    return {str(path.relative_to(project.cache)) for path in project.cache.rglob("*") if path.is_file()}


def test_what_was_used_longest_ago_goes_first(desk_project: Path) -> None:
    project = limited(desk_project, 2 * 64)
    for name, age in (("a", 5), ("b", 3), ("c", 1)):
        put(project, f"crops/{name}-body-64/00000.arrow", age)
    os.utime(project.cache / "crops/a-body-64/00000.arrow", (time.time(), time.time() - 86400 * 5))  # read just now
    put(project, "thumbnails/ab/abc.jpg", 4)
    assert trim_cache(project) == 2 * KB  # the thumbnail and b
    assert left(project) == {f"crops/{name}-body-64/00000.arrow" for name in "ac"}
    assert trim_cache(project) == 0


def test_below_the_limit_nothing_is_removed_and_the_default_is_large(desk_project: Path) -> None:
    project = Project.open(desk_project)
    put(project, "crops/a-body-64/00000.arrow", 900)
    assert project.cache_bytes == 100e9
    assert trim_cache(project) == 0
    assert "crops/a-body-64/00000.arrow" in left(project)


def test_crops_of_a_run_in_progress_stay_whatever_their_age(desk_project: Path) -> None:
    project = limited(desk_project, 0)
    kept = {
        "crops/wild-body-64/00000.arrow",
        "crops/wild-body-64/.00001.arrow.77",
        "crops/wild-body-32-0a1b/00000.arrow",
    }
    for name in kept:
        put(project, name, 100)
    put(project, "crops/wilder-body-64/00000.arrow", 1)
    put(project, "thumbnails/ab/abc.jpg", 1)
    busy = project.new_run(RunInfo("neuralannot-r1", "neuralannot", "tiny", datasets=("wild",), state=RUNNING))
    with busy.job.working():
        trim_cache(project)
        assert left(project) == kept
    trim_cache(project)
    assert left(project) == set()


def test_crops_of_photos_that_are_not_here_stay(desk_project: Path, tmp_path: Path) -> None:
    project = limited(desk_project, 0)
    put(project, "crops/wild-body-64/00000.arrow", 100)
    here = project.image_roots["wild"]
    project.relink({"wild": tmp_path})  # where none of them is
    trim_cache(project)
    assert left(project) == {"crops/wild-body-64/00000.arrow"}
    project.relink({"wild": here})  # where one of twelve is missing, as ever
    trim_cache(project)
    assert left(project) == set()


def test_a_run_says_what_it_removed(desk_project: Path) -> None:
    project = limited(desk_project, 1)
    put(project, "crops/old-body-64/00000.arrow", 3)
    work = run(desk_project, RunOptions(recipe="tiny", device="cpu"))
    said = [next(work).message for _ in range(2)]
    work.close()
    assert any(message.startswith("Removed 65.5 kB from the cache, whose limit is ") for message in said)
    assert not (project.cache / "crops" / "old-body-64" / "00000.arrow").exists()


@pytest.mark.parametrize("target", ["missing", "link"])
def test_a_cache_that_is_not_there_or_leads_elsewhere(desk_project: Path, tmp_path: Path, target: str) -> None:
    project = limited(desk_project, 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("x" * 5000)
    shutil.rmtree(project.cache, ignore_errors=True)
    if target == "link":
        (project.cache / "crops").mkdir(parents=True)
        (project.cache / "crops" / "away").symlink_to(outside)
        (project.cache / "crops" / "file.npy").symlink_to(outside / "precious.txt")
    trim_cache(project)
    assert (outside / "precious.txt").read_text() == "x" * 5000
