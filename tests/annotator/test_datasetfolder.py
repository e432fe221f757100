"""An import that is killed at any moment leaves the old data set or the new one, and the next import mends the rest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.project import Project

ROOT = Path(__file__).resolve().parents[2]
KILLED = 9
IMPORT = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from annotator.project import Project

fatal, calls = int(sys.argv[2]), 0

def counted(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == fatal:
            os._exit({killed})
        return function(*arguments, **options)
    return call

project = Project.open(Path(sys.argv[1]))
samples = project.samples("wild", "body").take([0, 1, 2])
info = project.datasets()["wild"]
Path.rename, Path.replace, shutil.rmtree = map(counted, (Path.rename, Path.replace, shutil.rmtree))
project.add(info, {{"body": samples}}, Path(sys.argv[3]))
"""


def add(project: Path, fatal: int, photos: Path) -> int:
    """Imports three people again, and dies at the `fatal`-th call that moves or removes something."""
    script = IMPORT.format(root=str(ROOT), killed=KILLED)
    words = [sys.executable, "-c", script, str(project), str(fatal), str(photos)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in (0, KILLED), done.stderr
    return done.returncode


def test_killed_at_every_step_a_reader_finds_the_old_or_the_new(desk_project: Path, tmp_path: Path) -> None:
    photos = Project.open(desk_project).image_roots["wild"]
    seen: list[int] = []
    for fatal in range(1, 30):
        copy = tmp_path / f"killed-{fatal}"
        shutil.copytree(desk_project, copy)
        ended = add(copy, fatal, photos)
        project = Project.open(copy)
        assert list(project.datasets()) == ["wild"]
        samples = project.samples("wild", "body")
        assert project.datasets()["wild"].parts["body"] in (12, 3)
        assert len(samples) in (12, 3)
        assert project.photo_path(samples[0]).is_file()
        seen.append(len(samples))
        assert add(copy, 0, photos) == 0  # mended by the next one
        assert len(Project.open(copy).samples("wild", "body")) == 3
        assert {path.name for path in (copy / "datasets").iterdir()} == {".lock", "wild"}
        shutil.rmtree(copy)
        if ended == 0:
            break
    assert len(seen) > 5  # it was killed more than a few times
    assert seen == sorted(seen, reverse=True)
    assert {seen[0], seen[-1]} == {12, 3}


@pytest.mark.parametrize(
    ("moves", "people"),
    [
        ((), 12),  # nothing was moved yet: the old one
        ((("wild", ".wild.old"),), 12),  # killed between the two renames: the old one, though it lies aside
        ((("wild", ".wild.old"), (".wild.new", "wild")), 3),  # the new one is in place, the old one is still there
    ],
)
def test_every_state_between_two_renames_is_readable(
    desk_project: Path, moves: tuple[tuple[str, str], ...], people: int
) -> None:
    folder = desk_project / "datasets"
    project = Project.open(desk_project)
    shutil.copytree(folder / "wild", folder / ".wild.new")
    for shard in (folder / ".wild.new").glob("samples-body-*"):
        shard.unlink()
    project.samples("wild", "body").take([0, 1, 2]).write(folder / ".wild.new")
    for source, target in moves:
        (folder / source).rename(folder / target)
    assert list(project.datasets()) == ["wild"]
    assert len(project.samples("wild", "body")) == people
    assert project.missing_photos().keys() <= {"wild"}


def test_the_first_import_of_a_name_never_leaves_photos_that_lie_nowhere(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    info, photos = project.datasets()["wild"], project.image_roots["wild"]
    shutil.rmtree(desk_project / "datasets" / "wild")
    text = (desk_project / "project.toml").read_text()
    (desk_project / "project.toml").write_text(text.split("[image_roots]", maxsplit=1)[0])
    assert Project.open(desk_project).image_roots == {}
    original = Path.rename

    def stop(_self: Path, _target: Path) -> Path:
        assert Project.open(desk_project).image_roots == {"wild": photos}
        return original(_self, _target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        project.add(info, {}, photos)
    assert list(project.datasets()) == ["wild"]
