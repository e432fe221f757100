"""A full disk, a real one: a file system of a few megabytes. One sentence, and nothing saved is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotator.bodies.files import BodyModelData
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.runs import FINISHED
from annotator.verdict import EventKind, FitKey, ReviewEvent
from tests.support.cli import refused, run_main
from tests.support.small_data import quick_recipe, write_crowd


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"this test mounts a small file system, which is not allowed here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Takes all the room but `leave` bytes; remove the file to give it back."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(shutil.disk_usage(disk).free - leave, 1))
    return ballast


def test_every_command_that_writes_says_that_the_disk_is_full_and_what_was_saved_stays(
    disk: Path, desk_project: Path, tmp_path: Path, body: BodyModelData
) -> None:
    project = disk / "project"
    shutil.copytree(desk_project, project)
    log = ReviewLog(project / "reviews.sqlite")
    verdict = ReviewEvent(EventKind.VERDICT, FitKey("neuralannot-r1", "wild/100", "body"), value="reject")
    log.append(verdict)
    fits = (project / "runs" / "neuralannot-r1" / "fits" / "wild" / "body" / "00000.arrow").read_bytes()
    crowd = write_crowd(tmp_path / "crowd", body, 16)
    ballast = fill(disk)
    full = "the disk is full; make room or choose another place, then run the same command again."
    images = tmp_path / "crowd" / "images"
    assert full in refused("import", project, "coco-wholebody", crowd, "--images", images, "--name", "more")
    assert full in refused("export", project, "neuralannot", project / "out.json")
    assert full in refused("run", project, "--recipe", quick_recipe(tmp_path))
    assert [run.id for run, _ in Project.open(project).damaged_runs()] == []  # the run left nothing either
    assert full in refused("new", disk / "another")
    assert not (disk / "another").exists()  # nothing half-made stays
    (tmp_path / "list.csv").write_text("sample,verdict,note\n" + f"wild/101,reject,{'x' * 40_000}\n")
    said = refused("reviews", "import", project, tmp_path / "list.csv")
    assert "was not saved" in said
    assert "free the disk and repeat it" in said

    ballast.unlink()
    assert not list(project.rglob("out.json*"))
    assert list(Project.open(project).datasets()) == ["wild"]
    assert [event.id for event in ReviewLog(project / "reviews.sqlite").events()] == [verdict.id]
    assert (project / "runs" / "neuralannot-r1" / "fits" / "wild" / "body" / "00000.arrow").read_bytes() == fits
    run_main("import", project, "coco-wholebody", crowd, "--images", images, "--name", "more", "--progress", "none")
    assert len(Project.open(project).samples("more", "body")) == 16  # the same command again


def test_a_run_that_fills_the_disk_ends_with_a_sentence_and_resumes_when_there_is_room(
    disk: Path, desk_project: Path, tmp_path: Path
) -> None:
    project = disk / "project"
    shutil.copytree(desk_project, project)
    ballast = fill(disk, leave=12_000_000)  # room for crops and prior, not for a checkpoint of 140 MB
    said = refused("run", project, "--recipe", quick_recipe(tmp_path), "--device", "cpu")
    assert "the disk is full" in said
    assert f"go on with `run {project} --resume neuralannot-r1-2`" in said
    run = Project.open(project).run("neuralannot-r1-2")
    assert run.state != FINISHED
    assert not [path for path in run.path.rglob(".*") if path.is_file()]  # no half-written file stays
    assert "neuralannot-r1-2" in run_main("runs", "list", project).stdout
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)
    run_main("run", project, "--resume", "--device", "cpu", "--progress", "none")
    assert run.state == FINISHED
    fits = run.fits("wild", "body")
    assert fits is not None
    assert len(fits) == 12


def test_crops_on_a_full_disk_are_a_sentence_not_a_crash(disk: Path, desk_project: Path, tmp_path: Path) -> None:
    project = disk / "project"
    shutil.copytree(desk_project, project)
    fill(disk, leave=52_000)  # the run's folder fits, 12 crops of 32 px do not
    said = refused("run", project, "--recipe", quick_recipe(tmp_path), "--device", "cpu")
    assert "make room, or set crop_cache = false" in said
    assert "crops of 12 people" in said
