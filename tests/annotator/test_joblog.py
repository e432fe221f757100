"""`log.txt`: written by every worker, whoever started it; no line twice, nothing left behind in `jobs/`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from annotator.errors import RunError, StorageError
from annotator.jobfolder import JobFolder
from annotator.progress import Progress, Stopped, Work

ROOT = Path(__file__).resolve().parents[2]


def count(end: BaseException | None = None) -> Work:
    yield Progress("Counting", message="All sheep are counted.")
    yield Progress("Counting", 3, 3, "sheep", values={"loss": 0.25})
    if end is not None:
        raise end


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "runs" / "r1" / "log.txt").read_text()


def worked(tmp_path: Path, work: Work) -> str:
    with suppress(RunError, Stopped, ZeroDivisionError):
        list(JobFolder(tmp_path / "runs" / "r1").record(work))
    return log_of(tmp_path)


def test_messages_progress_and_the_end_are_in_the_log(tmp_path: Path) -> None:
    lines = worked(tmp_path, count()).splitlines()
    said = [line.split("Z  ", 1)[1] for line in lines]
    assert said[0].startswith(f"Begun by process {os.getpid()}")
    assert said[1:] == ["All sheep are counted.", "Counting: 3 of 3 sheep, loss 0.250, 0 s", "Finished."]
    again = worked(tmp_path, count()).splitlines()
    assert again[: len(lines)] == lines  # a resume goes on in the same file
    assert len(again) == 2 * len(lines)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (RunError("The sheep ran away; fetch them."), "The sheep ran away; fetch them."),
        (Stopped(), "Stopped; it can be resumed."),
        (ZeroDivisionError("no sheep"), "ZeroDivisionError: no sheep"),
    ],
)
def test_how_it_ended_is_the_last_line(tmp_path: Path, end: BaseException, words: str) -> None:
    assert worked(tmp_path, count(end)).splitlines()[-1].endswith(words)


@pytest.mark.parametrize("end", [RunError("The sheep ran away."), Stopped(), None])
def test_a_disk_without_room_for_how_it_ended_does_not_hide_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException | None
) -> None:
    """Each note is tried for itself; work that went well fails, because nobody could know that it did."""
    noted: list[str] = []
    append = JobFolder.append

    def full(folder: JobFolder, kind: str, **fields: object) -> None:
        if kind in ("done", "stopped", "fail"):
            raise StorageError("The disk is full.")
        append(folder, kind, **fields)

    monkeypatch.setattr(JobFolder, "append", full)
    work = JobFolder(tmp_path / "runs" / "r1").record(count(end), on_end=lambda state, _: noted.append(state))
    with pytest.raises(type(end) if end is not None else StorageError):
        list(work)
    assert noted == [{RunError: "failed", Stopped: "stopped"}.get(type(end), "finished")]
    assert ("The sheep ran away." in log_of(tmp_path)) == isinstance(end, RunError)


def test_work_that_a_full_disk_ends_is_closed_at_once_and_may_have_no_room_for_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    def training() -> Work:
        try:
            yield Progress("Training", 1, 2, "steps")
        finally:
            closed.append("tried to save")
            raise StorageError("There is no room for the checkpoint.")

    append = JobFolder.append

    def full(folder: JobFolder, kind: str, **fields: object) -> None:
        if kind == "progress":
            raise StorageError("The disk is full.")
        append(folder, kind, **fields)

    monkeypatch.setattr(JobFolder, "append", full)
    with pytest.raises(StorageError, match="The disk is full"):
        list(JobFolder(tmp_path / "runs" / "r1").record(training()))
    assert closed == ["tried to save"]


def test_a_mistake_of_ours_leaves_its_traceback(tmp_path: Path) -> None:
    assert "Traceback" in worked(tmp_path, count(ZeroDivisionError("no sheep")))


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from annotator.errors import RunError
from annotator.jobfolder import JobFolder
from annotator.progress import Progress

def work():
    print("before", file=sys.stderr)
    yield Progress("Counting", message="All sheep are counted.")
    raise RunError("The sheep ran away.")

print("at the start", flush=True)
try:
    list(JobFolder(Path(sys.argv[1])).record(work()))
except RunError as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.parametrize("name", ["jobs/starting-1.log", "runs/r1/log.txt"])
def test_what_the_window_lets_the_worker_print_is_in_the_log_once(tmp_path: Path, name: str) -> None:
    for folder in ("jobs", "runs/r1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "runs" / "r1" / "log.txt").write_text("from the first start\n")
    with (tmp_path / name).open("ab") as file:
        words = [sys.executable, "-c", WORKER.format(root=str(ROOT)), str(tmp_path / "runs" / "r1")]
        subprocess.run(words, stdout=file, stderr=file, check=True)
    said = [line.rsplit("Z  ", 1)[-1] for line in log_of(tmp_path).splitlines()]
    assert [line for line in said if not line.startswith("Begun")] == [
        "from the first start",
        "at the start",
        "before",
        "All sheep are counted.",
        "The sheep ran away.",
    ]
    assert list((tmp_path / "jobs").iterdir()) == []


def test_old_beginnings_that_failed_are_removed_and_fresh_ones_stay(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for name, age in (("starting-1.log", 7200), ("starting-2.log", 60), ("other.log", 7200)):
        (jobs / name).write_text("x")
        os.utime(jobs / name, (time.time() - age,) * 2)
    worked(tmp_path, count())
    assert {path.name for path in jobs.iterdir()} == {"starting-2.log", "other.log"}
