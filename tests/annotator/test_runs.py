"""Run folders: how they are found, named, begun and left."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from annotator.commands.runs import list_jobs, list_runs, remove_runs
from annotator.errors import (
    ReviewError,
    RunError,
    StorageError,
)
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.runs import RUNNING, Run, RunInfo, note_id, write_text


def test_runs_are_found_and_missing_ones_listed(desk_project: Path) -> None:
    project = Project.open(desk_project)
    assert {run.id for run in project.runs()} == {"neuralannot-r1", "smplifyx-r1"}
    with pytest.raises(RunError, match="neuralannot-r1"):
        project.run("nobody")
    with pytest.raises(RunError, match="no run called"):
        project.run("../../etc")


def test_a_second_run_of_a_name_gets_a_number(desk_project: Path) -> None:
    project = Project.open(desk_project)
    assert project.new_run(RunInfo("neuralannot-r1", "neuralannot", "tiny")).id == "neuralannot-r1-2"


def test_a_run_that_finds_no_room_for_its_id_leaves_no_folder(
    desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_run: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("annotator.project.note_id", full)
    before = sorted((desk_project / "runs").iterdir())
    with pytest.raises(StorageError):
        Project.open(desk_project).new_run(RunInfo("neuralannot-r1", "neuralannot", "tiny"))
    assert sorted((desk_project / "runs").iterdir()) == before


def test_there_is_no_run_before_what_belongs_to_its_beginning_is_written(desk_project: Path) -> None:
    project, info = Project.open(desk_project), RunInfo("neuralannot-r2", "neuralannot", "tiny")
    before = sorted((desk_project / "runs").iterdir())

    def look(made: Run) -> None:
        assert {run.id for run in project.runs()} == {"neuralannot-r1", "smplifyx-r1"}
        assert project.damaged_runs() == []
        write_text(made.path / "recipe.toml", "here")

    def fail(made: Run) -> None:
        write_text(made.path / "recipe.toml", "half")
        raise ReviewError("The log is damaged.")

    with pytest.raises(ReviewError):
        project.new_run(info, fail)
    assert sorted((desk_project / "runs").iterdir()) == before
    assert (project.new_run(info, look).path / "recipe.toml").read_text() == "here"


def test_what_a_killed_start_has_left_aside_goes_after_a_day(desk_project: Path) -> None:
    """On a disk that machines share, locks may be each machine's own: what was written to today stays."""
    project, runs, info = Project.open(desk_project), desk_project / "runs", RunInfo("x", "neuralannot", "tiny")
    names = {"old": ".x.12-ab.aside", "busy": ".x.12-cd.aside", "today": ".x.12-ef.aside", "own": ".archive"}
    folders = {name: runs / folder for name, folder in names.items()}
    for name, folder in folders.items():
        file = folder / "networks" / "last.safetensors"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"half")
        if name != "today":
            for path in (file, file.parent, folder):
                os.utime(path, (0, 0))
    (runs / ".gone.12-ab.aside").symlink_to("nowhere")
    with JobFolder(folders["busy"]).working():
        for path in (folders["busy"], folders["busy"] / "lock"):
            os.utime(path, (0, 0))
        project.new_run(info)
        assert [name for name, folder in folders.items() if folder.exists()] == ["busy", "today", "own"]
    project.new_run(info)
    assert [name for name, folder in folders.items() if folder.exists()] == ["today", "own"]


def test_two_starts_that_want_one_id_get_two(desk_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other was faster between the look at what is there and the rename."""
    project, info = Project.open(desk_project), RunInfo("neuralannot-r1", "neuralannot", "tiny")
    faster: list[Path] = []

    def taken(run: Path) -> None:
        note_id(run)
        if not faster:
            faster.append(run)
            (run / "fits").mkdir(parents=True)

    monkeypatch.setattr("annotator.project.note_id", taken)
    assert project.new_run(info).id == "neuralannot-r1-3"
    assert [run.name for run in faster] == ["neuralannot-r1-2"]


def test_a_run_that_another_learns_from_is_not_removed_under_it(desk_project: Path) -> None:
    project = Project.open(desk_project)
    project.new_run(RunInfo("neuralannot-r2", "neuralannot", "tiny", round=2, source="neuralannot-r1"))
    later = project.new_run(RunInfo("neuralannot-r3", "neuralannot", "tiny", round=3, source="neuralannot-r2"))
    with (
        later.job.working(),
        pytest.raises(RunError, match="neuralannot-r3 needs neuralannot-r1 and is being worked on"),
    ):
        remove_runs(desk_project, ("neuralannot-r1",))
    assert (
        "neuralannot-r3 came from neuralannot-r1: it keeps its fits"
        in remove_runs(desk_project, ("neuralannot-r1",)).text()
    )
    assert {run.id for run in project.runs()} == {"neuralannot-r2", "neuralannot-r3", "smplifyx-r1"}


def test_the_id_of_a_removed_run_is_not_given_again(desk_project: Path) -> None:
    project, info = Project.open(desk_project), RunInfo("neuralannot-r1", "neuralannot", "tiny")
    second = project.new_run(info)
    project.run("neuralannot-r1").remove()  # it was made before ids were noted
    second.remove()
    assert project.new_run(info).id == "neuralannot-r1-3"


def test_an_interrupted_run_is_listed_with_the_line_that_resumes_it(desk_project: Path) -> None:
    Project.open(desk_project).run("neuralannot-r1").set_state(RUNNING)
    for table in (list_runs(desk_project), list_jobs(desk_project)):
        assert any(f"`run {desk_project} --resume neuralannot-r1`" in note for note in table.notes)
