"""Jobs in the background: real processes, watched through their folders."""

import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from PySide6.QtWidgets import QWidget

from annotator.errors import StorageError
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.runs import FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED
from app.actions import KILLABLE, build
from app.actions import RUNNING as RUNNING_NEED
from app.availability import lacks
from app.jobs import Job, Jobs, _require_room
from app.panels.jobs import JobsPanel, Log, progress_text
from tests.support.desk_project import write_wild
from tests.support.window import CTRL, SHIFT, Desk, Key, wait_until

SLOW = Path(__file__).resolve().parents[1] / "support" / "slow_main.py"


@pytest.fixture
def jobs(qapp: Any, desk_project: Path) -> Iterator[Jobs]:
    """Jobs whose worker counts for a minute."""
    made = Jobs(main=SLOW)
    made.watch(Project.open(desk_project))
    yield made
    end_all(made)


def end_all(jobs: Jobs) -> None:
    for process in jobs._started:
        process.kill()
        process.wait()
    jobs.watch(None)


def started(jobs: Jobs) -> Job:
    """The job of the worker, once it counts."""
    wait_until(lambda: any(job.done > 1 for job in jobs.running))
    return jobs.running[0]


def test_a_run_is_watched_while_it_works(jobs: Jobs) -> None:
    jobs.start_run(["--recipe", "tiny"])
    job = started(jobs)
    assert (job.name, job.run, job.stage, job.total) == ("slow-r1", True, "Counting", 600)
    wait_until(lambda: job.rate > 0)
    assert job.log == ["Counting for a long while."]
    steps, values = job.curves["Counting"]
    assert len(steps) == len(values) > 1
    assert job.seconds_left is not None
    assert "of 600 steps" in progress_text(job)
    wait_until(job.folder.log_path.exists)  # its log moved into its folder
    assert list((jobs._project.path / "jobs").glob("starting-*")) == []


def test_a_job_that_begins_and_ends_between_two_looks_is_told_of(jobs: Jobs, desk_project: Path) -> None:
    told: list[str] = []
    jobs.ended.connect(lambda job: told.append(f"{job.name} {job.state} {job.message}"))
    for folder, kind in (("quick-1", "done"), ("quick-2", "fail")):
        (desk_project / "jobs" / folder).mkdir(parents=True)
        events = [{"v": 1, "t": "hello", "time": 1.0, "pid": 1}, {"v": 1, "t": kind, "time": 2.0, "message": "So."}]
        (desk_project / "jobs" / folder / "events.jsonl").write_text("".join(f"{json.dumps(e)}\n" for e in events))
    jobs.look()
    jobs.look()
    assert sorted(told) == [f"quick-1 {FINISHED} So.", f"quick-2 {FAILED} So."]
    jobs.watch(jobs._project)  # what was over before a project was opened is no news
    assert len(told) == 2


def test_the_curve_of_a_resumed_run_goes_on_where_it_goes_on(tmp_path: Path) -> None:
    job = Job(JobFolder(tmp_path), run=True)
    for second, (step, loss) in enumerate(((10, 3.0), (20, 2.0), (30, 1.0), (20, 1.9), (30, 0.9))):
        values = {"loss": loss}
        job._take({"t": "progress", "time": second, "stage": "Training", "done": step, "total": 40, "values": values})
    assert job.curves["Training"] == ([10, 20, 30], [3.0, 1.9, 0.9])


def test_the_end_of_a_log_is_shown_and_without_one_what_the_events_say(tmp_path: Path) -> None:
    job = Job(JobFolder(tmp_path), run=True, log=["It begins.", "It ends."])
    assert job.tail == "It begins.\nIt ends."
    lines = [f"line {n} \u00e9" for n in range(9000)]
    job.folder.log_path.write_text("\n".join(lines) + "\n\xff", encoding="latin-1")
    assert job.tail.splitlines()[-2] == "line 8999 \ufffd"  # a log from elsewhere may be no UTF-8
    assert job.tail.splitlines()[0] == "line 8601 \ufffd"


def test_stop_lets_it_save_and_it_can_be_resumed(jobs: Jobs, desk_project: Path) -> None:
    ended: list[Job] = []
    jobs.ended.connect(ended.append)
    jobs.start_run([])
    job = started(jobs)
    jobs.stop(job)
    wait_until(lambda: job.state == STOPPED)
    assert (job.message, [one.name for one in ended]) == ("Stopped; it can be resumed.", ["slow-r1"])
    assert Project.open(desk_project).run("slow-r1").state == STOPPED
    jobs.start_run(["--resume", "slow-r1"])
    wait_until(lambda: job.state == RUNNING)
    assert len([one for one in jobs.all if one.name == "slow-r1"]) == 1


def test_a_job_of_another_machine_is_not_killed_by_its_number_here(jobs: Jobs) -> None:
    """Machines may share a disk: the lock says that its worker lives, and its number is that of another process here."""
    jobs.start_run([])
    job = started(jobs)
    assert job.host == os.uname().nodename
    assert not job.elsewhere
    session = MagicMock()
    assert KILLABLE not in lacks(session, job)
    job.host = "another-machine"
    assert lacks(session, job)[KILLABLE] == "It runs on another-machine: stop it, or kill it there."
    assert RUNNING_NEED not in lacks(session, job)  # it can be stopped from here
    jobs.cancel(job)
    before = job.done
    wait_until(lambda: job.done > before)


def test_kill_ends_it_at_once_and_it_counts_as_interrupted(jobs: Jobs, desk_project: Path) -> None:
    jobs.start_run([])
    job = started(jobs)
    jobs.cancel(job)
    wait_until(lambda: job.state == INTERRUPTED)
    assert Project.open(desk_project).run("slow-r1").state == INTERRUPTED
    jobs.cancel(job)  # a second time does nothing
    assert job.state == INTERRUPTED


def test_a_window_that_was_closed_finds_its_job_again(jobs: Jobs, desk_project: Path) -> None:
    jobs.start_run([])
    before = started(jobs)
    jobs.watch(None)
    assert before.folder.alive  # nothing ends with the window
    again = Jobs(main=SLOW)
    again.watch(Project.open(desk_project))
    job = started(again)
    assert (job.name, job.pid) == (before.name, before.pid)
    again.watch(None)


def test_a_worker_killed_while_the_window_was_closed_is_shown_as_interrupted_and_resumes(
    jobs: Jobs, desk: Desk, desk_project: Path
) -> None:
    jobs.start_run([])
    pid = started(jobs).pid
    jobs.watch(None)
    os.kill(pid, signal.SIGKILL)
    jobs._started[0].wait()
    desk.open(desk_project)  # a window comes back
    job = next(job for job in desk.window.jobs.all if job.name == "slow-r1")
    assert job.state == INTERRUPTED
    told = "slow-r1 was interrupted; what it saved is kept. Resume it in the jobs (J)."
    assert desk.window.status._message.text() == told
    assert "Resume goes on from there." in progress_text(job)
    desk.press(Key.Key_J)
    panel = desk.window.jobs_panel
    texts = [panel._list.item(row).text() for row in range(panel._list.count())]
    assert "!  slow-r1   interrupted" in texts
    panel._list.setCurrentRow(texts.index("!  slow-r1   interrupted"))
    assert panel._resume.isVisible()
    assert not panel._stop.isEnabled()
    assert "Nothing is running." in panel._stop.toolTip()
    desk.window.jobs._main = SLOW
    panel._resume.click()
    wait_until(lambda: job.state == RUNNING)
    wait_until(panel._stop.isEnabled)
    assert not desk.window.actions_by_id["resume_job"].isEnabled()
    desk.press(Key.Key_S, with_=CTRL | SHIFT)
    wait_until(lambda: job.state == STOPPED)
    assert desk.window.status._message.text().startswith("slow-r1")
    end_all(desk.window.jobs)


def test_a_worker_that_ends_before_it_begins_leaves_its_sentence(jobs: Jobs) -> None:
    said: list[str] = []
    jobs.refused.connect(said.append)
    jobs.start_run(["--fail"])
    wait_until(lambda: said)
    assert said == ["The worker has nothing to count; give it numbers."]
    assert jobs.running == []


def test_an_import_runs_as_a_job_of_the_real_entry_point(
    qapp: Any, desk_project: Path, tmp_path: Path, body: Any
) -> None:
    from annotator.shots import wild_shots

    annotations = write_wild(tmp_path / "more", list(wild_shots(body, 5, 3)))
    jobs = Jobs()
    jobs.watch(Project.open(desk_project))
    words = ["import", str(desk_project), "coco-wholebody", str(annotations), "--name", "more"]
    jobs.start_command("import", [*words, "--images", str(tmp_path / "more" / "images")])
    jobs.start_command("broken", ["import", str(desk_project), "nonsense", str(annotations)])
    wait_until(lambda: {job.state for job in jobs.all if not job.run} == {FINISHED, FAILED})
    assert len(Project.open(desk_project).samples("more", "body")) == 3
    done = next(job for job in jobs.all if job.state == FINISHED and not job.run)
    assert done.message == "Imported 3 of 3 people as 'more' (target)."
    failed = next(job for job in jobs.all if job.state == FAILED)
    assert failed.message.startswith("There is no data set format called 'nonsense';")
    end_all(jobs)


def test_a_job_that_ends_between_two_looks_is_finished_not_interrupted(desk_project: Path) -> None:
    folder = Project.open(desk_project).run("smplifyx-r1").job
    folder.append("hello", pid=1)
    job = Job(folder, run=True)
    real = job._new_events
    looked: list[int] = []

    def first_look_is_too_early() -> list[dict[str, Any]]:
        events = real()
        if not looked:
            looked.append(1)
            folder.append("done", message="")
        return events

    job._new_events = first_look_is_too_early  # type: ignore[method-assign]
    job.read()
    assert job.state == FINISHED


def test_the_chosen_job_stays_chosen_when_a_newer_one_begins(jobs: Jobs, desk_project: Path) -> None:
    owner = QWidget()
    panel = JobsPanel(jobs, build(owner, MagicMock()))
    panel.show()
    for name, start in (("neuralannot-r1", 10.0), ("smplifyx-r1", 20.0)):
        folder = Project.open(desk_project).run(name).job
        folder.append("hello", pid=1)
        folder.append("done", message="")
        jobs.look()
        next(job for job in jobs.all if job.name == name).started = start
    panel.refresh()
    panel._list.setCurrentRow(1)
    assert panel.current.name == "neuralannot-r1"
    jobs.start_run([])
    started(jobs)
    panel.refresh()
    assert panel._list.count() == 3
    assert panel.current.name == "neuralannot-r1"  # Stop and Kill still mean this one
    assert panel._title.text() == "neuralannot-r1"
    panel.close()
    panel.deleteLater()


def starting_logs(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "jobs").glob("starting-*"))


def test_a_run_that_began_while_no_window_looked_gets_its_log_from_the_next_window(
    jobs: Jobs, desk_project: Path
) -> None:
    jobs._timer.stop()  # this window is closed before its first look
    jobs.start_run([])
    assert len(starting_logs(desk_project)) == 1
    wait_until(lambda: list((desk_project / "runs").glob("slow-r1*/events.jsonl")))
    said: list[str] = []
    again = Jobs(main=SLOW)
    again.refused.connect(said.append)
    again.watch(Project.open(desk_project))
    job = started(again)
    wait_until(lambda: job.folder.log_path.exists() and starting_logs(desk_project) == [])
    assert said == []
    again.watch(None)


def test_a_worker_that_is_still_starting_keeps_its_log_in_the_next_window(jobs: Jobs, desk_project: Path) -> None:
    jobs._timer.stop()
    jobs.start_run(["--sleep"])
    again = Jobs(main=SLOW)
    said: list[str] = []
    again.refused.connect(said.append)
    again.watch(Project.open(desk_project))
    again.look()
    assert (len(starting_logs(desk_project)), said) == (1, [])
    jobs._started[0].kill()
    jobs._started[0].wait()
    wait_until(lambda: starting_logs(desk_project) == [])
    again.watch(None)


def test_a_worker_that_died_before_it_began_is_told_by_the_next_window_once(jobs: Jobs, desk_project: Path) -> None:
    jobs._timer.stop()
    jobs.start_run(["--fail"])
    jobs._started[0].wait()
    for expected in (["The worker has nothing to count; give it numbers."], []):
        said: list[str] = []
        again = Jobs(main=SLOW)
        again.refused.connect(said.append)
        again.watch(Project.open(desk_project))
        assert said == expected
        assert starting_logs(desk_project) == []
        again.watch(None)


def test_logs_that_older_windows_left_are_swept_and_a_read_only_window_sweeps_none(
    qapp: Any, desk_project: Path
) -> None:
    (desk_project / "jobs" / "starting-1763988083123456789.log").write_text("")
    jobs = Jobs(main=SLOW)
    jobs.watch(Project.open(desk_project), sweep=False)
    assert len(starting_logs(desk_project)) == 1
    jobs.watch(Project.open(desk_project))
    assert starting_logs(desk_project) == []
    jobs.watch(None)


def test_another_project_hears_nothing_of_a_worker_of_the_last_one(
    jobs: Jobs, desk_project: Path, tmp_path: Path
) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(desk_project, other)
    said: list[str] = []
    jobs.refused.connect(said.append)
    jobs.start_run(["--fail"])
    jobs.watch(Project.open(other))
    jobs._started[0].wait()
    jobs.look()
    assert said == []
    jobs.watch(Project.open(desk_project))
    assert said == ["The worker has nothing to count; give it numbers."]
    assert starting_logs(desk_project) == []


def test_a_worker_that_is_killed_before_it_says_anything_is_told_with_its_code(jobs: Jobs, desk_project: Path) -> None:
    said: list[str] = []
    jobs.refused.connect(said.append)
    jobs.start_run(["--sleep"])
    jobs._started[0].kill()
    wait_until(lambda: said)
    assert len(said) == 1
    assert said[0].startswith("The worker ended with code -9 before it began and left no word; make sure that the disk")
    assert starting_logs(desk_project) == []


def test_a_log_stays_at_its_end_until_somebody_scrolls_away(qapp: Any) -> None:
    log, words = Log(), "\n".join(map(str, range(200)))
    bar = log.verticalScrollBar()
    log.show_text(words)
    log.resize(300, 90)
    log.show()
    qapp.processEvents()
    assert bar.value() == bar.maximum() > 0  # it was laid out after its text was set
    log.show_text(words + "\n200")
    assert bar.value() == bar.maximum()
    bar.triggerAction(bar.SliderAction.SliderPageStepSub)
    place = bar.value()
    assert place < bar.maximum()
    log.show_text(words + "\n200\n201")
    assert bar.value() == place
    bar.triggerAction(bar.SliderAction.SliderToMaximum)
    log.show_text(words + "\n200\n201\n202")
    assert bar.value() == bar.maximum()
    log.close()


def test_nothing_is_started_where_a_worker_could_not_say_why_it_ends(
    jobs: Jobs, desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_log: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("app.jobs._require_room", full)
    with pytest.raises(StorageError, match=r"Could not write .*jobs.*: the disk is full; make room"):
        jobs.start_run(["--sleep"])
    with pytest.raises(StorageError, match=r"Could not write .*-export.*: the disk is full; make room"):
        jobs.start_command("export", ["export"])
    assert jobs._started == []


def test_a_log_is_left_as_it_was_by_the_look_whether_there_is_room(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("said before\n")
    _require_room(log)
    assert log.read_text() == "said before\n"
    (tmp_path / "full.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        _require_room(tmp_path / "full.txt")
