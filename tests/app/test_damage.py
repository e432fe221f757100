"""What the desk shows of a project that may not be written, or that has a damaged file: what lacks, what works, what to do."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QPushButton

from annotator.project import Project
from app.comparison import Side
from tests.support.window import CTRL, SHIFT, Desk, Key, close_desk, rows_on_disk, wait_until

VERDICTS = ("accept", "reject", "unsure", "undo", "redo", "reason_1", "reject_for_9")
FITS = Path("runs/smplifyx-r1/fits/wild/body/00000.arrow")


def cut(path: Path) -> None:
    """Leaves the first half of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def refuse_writing(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system's answer to whoever wants to write below `folder`; tests may run as root, who is not refused."""
    opened, access, mkdir = Path.open, os.access, Path.mkdir

    def refused(path: Path, mode: str = "r", *more: Any, **other: Any) -> Any:
        if path.is_relative_to(folder) and set(mode) & set("wax+"):
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, mode, *more, **other)

    def asked(path: Any, mode: int, **other: Any) -> bool:
        return access(path, mode, **other) and not (mode & os.W_OK and Path(path).is_relative_to(folder))

    def made(path: Path, *more: Any, **other: Any) -> None:
        if path.is_relative_to(folder) and not path.is_dir():
            raise OSError(number, os.strerror(number), str(path))
        mkdir(path, *more, **other)

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "mkdir", made)
    monkeypatch.setattr(os, "access", asked)


def banner(desk: Desk) -> str:
    return desk.window.banner.text() if desk.window.banner.isVisible() else ""


def tooltips(desk: Desk, *names: str) -> set[str]:
    """Second lines of the tooltips of actions, which say why they are off."""
    return {desk.window.actions_by_id[name].toolTip().partition("\n")[2] for name in names}


@pytest.mark.parametrize(
    ("number", "why"), [(errno.EACCES, "you may not write in its folder"), (errno.EROFS, "its disk is read-only")]
)
def test_a_project_that_may_not_be_written_opens_read_only_and_says_why(
    open_desk: Callable[..., Desk], desk_project: Path, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    before = open_desk(desk_project)
    first = before.id
    before.press(Key.Key_R)
    close_desk(before)
    stored = (desk_project / "reviews.sqlite").read_bytes()
    refuse_writing(desk_project, number, monkeypatch)
    desk = open_desk(desk_project)
    assert desk.window._pages.currentWidget() is desk.window._drawer
    assert banner(desk).startswith(f"Read-only: {why}")
    assert str(desk_project) in banner(desk)
    assert desk.verdict(first) == ("reject", ())  # what was judged is shown
    assert not any(desk.window.actions_by_id[name].isEnabled() for name in VERDICTS)
    (said,) = tooltips(desk, *VERDICTS, "import_data", "start_run", "export_fits", "next_round")
    assert said.startswith(f"Read-only: {why}")
    for button in (*desk.window.review._verdicts.values(), *desk.window.review._reasons.values()):
        assert (button.isEnabled(), why in button.toolTip()) == (False, True)
    desk.press(Key.Key_A, Key.Key_1)
    desk.press(Key.Key_2, with_=SHIFT)
    desk.press(Key.Key_Z, with_=CTRL)
    desk.press(Key.Key_Right, Key.Key_Tab, Key.Key_K, Key.Key_S)  # looking goes on
    assert desk.run == "neuralannot-r1"
    assert (desk_project / "reviews.sqlite").read_bytes() == stored
    assert desk.window.status._judged.text().endswith("read-only")
    assert [sentence for level, sentence in desk.said if level == "error"] == []


def test_the_jobs_of_a_read_only_project_are_shown_but_not_touched(
    open_desk: Callable[..., Desk], desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Project.open(desk_project).run("neuralannot-r1").job
    job.append("hello", pid=1)
    job.append("stopped", message="Stopped; it can be resumed.")
    refuse_writing(desk_project, errno.EROFS, monkeypatch)
    desk = open_desk(desk_project)
    desk.press(Key.Key_J)
    panel = desk.window.jobs_panel
    assert panel._resume.isVisible()
    for button in (panel._resume, panel._stop, panel._kill):
        assert (button.isEnabled(), "\nRead-only: " in button.toolTip()) == (False, True)


def test_a_project_that_may_be_written_again_is_writable_when_it_is_opened_again(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        refuse_writing(desk_project, errno.EACCES, patch)
        desk = open_desk(desk_project)
        assert banner(desk)
    desk.open(desk_project)
    assert banner(desk) == ""
    desk.press(Key.Key_A)
    assert len(rows_on_disk(desk_project)) == 1
    judging = [name for name in VERDICTS if name != "redo"]
    assert all(desk.window.actions_by_id[name].isEnabled() for name in judging)
    assert tooltips(desk, *judging) == {""}


def test_a_damaged_table_of_fits_is_named_and_people_and_other_runs_are_there(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    cut(desk_project / FITS)
    desk = open_desk(desk_project)
    window = desk.window
    assert window._pages.currentWidget() is window._drawer
    assert len(desk.session.rows) == 12
    assert str(desk_project / FITS) in banner(desk)
    for words in (
        "cannot be read",
        "without a fit",
        "neuralannot-r1 still works: press Tab",
        "from a backup",
        "Ctrl+R",
    ):
        assert words in banner(desk)
    assert window.photo.bar.runs[Side.LEFT].currentData() == "smplifyx-r1"
    assert window.photo.view._note == "This run has no fit of this person that can be read."
    assert window.details._values["Status"].text() == "no fit"
    assert not window.review._verdicts[next(iter(window.review._verdicts))].isEnabled()
    desk.press(Key.Key_Tab)
    desk.settle()
    assert (desk.run, banner(desk)) == ("neuralannot-r1", "")
    assert not window.photo.view._overlay.pixmap().isNull()
    first = desk.id
    desk.press(Key.Key_A)
    assert desk.verdict(first) == ("accept", ())
    assert [sentence for level, sentence in desk.said if level == "error"] == []


def test_the_whole_tables_of_a_run_are_shown_beside_a_damaged_one(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    from annotator.fit import Fits

    whole = Fits.read([desk_project / FITS])
    Fits(whole.table.slice(0, 8)).write(desk_project / FITS)
    Fits(whole.table.slice(8, 4)).write(desk_project / FITS.with_name("00001.arrow"))
    cut(desk_project / FITS)
    desk = open_desk(desk_project)
    assert desk.session.shelf.status.tolist() == [0] * 8 + [1] * 4
    assert "00000.arrow" in banner(desk)
    assert "00001.arrow" not in banner(desk)
    desk.session.go_to_id("109")
    desk.settle()
    assert not desk.window.photo.view._overlay.pixmap().isNull()


def test_a_damaged_table_of_an_unfinished_run_may_be_made_again_by_resuming_it(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    Project.open(desk_project).run("smplifyx-r1").set_state("stopped")
    cut(desk_project / FITS)
    desk = open_desk(desk_project)
    assert "remove that file and resume smplifyx-r1 under Jobs (J)" in banner(desk)


def test_a_damaged_score_is_named_and_the_fits_are_shown(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    path = Project.open(desk_project).run("smplifyx-r1").score_path("wild", "body", "error_2d_crop")
    cut(path)
    desk = open_desk(desk_project)
    assert str(path) in banner(desk)
    assert "2D error is unknown" in banner(desk)
    assert (desk.session.shelf.status == 1).all()
    assert not desk.window.photo.view._overlay.pixmap().isNull()


def test_a_damaged_run_file_leaves_the_other_runs(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    path = desk_project / "runs" / "smplifyx-r1" / "run.json"
    cut(path)
    desk = open_desk(desk_project)
    assert desk.run == "neuralannot-r1"
    assert str(path) in banner(desk)
    assert "other runs still work" in banner(desk)


def test_damaged_people_are_named_with_the_other_data_sets_and_the_way_out(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    import shutil

    other = desk_project / "datasets" / "zoo"
    shutil.copytree(desk_project / "datasets" / "wild", other)
    info = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps({**info, "name": "zoo"}))
    table = next((desk_project / "datasets" / "wild").glob("samples-body-*.arrow"))
    cut(table)
    desk = open_desk(desk_project)
    page = desk.window.damaged
    assert desk.window._pages.currentWidget() is page
    assert page._title.text() == "The people of wild cannot be read"
    assert str(table) in page._text.text()
    assert "Import wild again" in page._text.text()
    assert "verdicts" in page._text.text()
    texts = [button.text() for button in page.findChildren(QPushButton)]
    assert any(text.startswith("Import a data set") for text in texts)
    next(button for button in page.findChildren(QPushButton) if button.text() == "Show zoo").click()
    assert desk.window._pages.currentWidget() is desk.window._drawer
    assert desk.session.shelf.dataset == "zoo"


def test_a_damaged_list_of_data_sets_is_not_called_an_empty_project(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    path = desk_project / "datasets" / "wild" / "dataset.json"
    cut(path)
    desk = open_desk(desk_project)
    assert desk.window._pages.currentWidget() is desk.window.damaged
    assert str(path) in desk.window.damaged._text.text()


@pytest.mark.parametrize("spoilt", [b"this is no database" * 200, None], ids=["no database", "cut in half"])
def test_an_unreadable_review_log_turns_verdicts_off_and_is_left_as_it_is(
    open_desk: Callable[..., Desk], desk_project: Path, spoilt: bytes | None
) -> None:
    log = desk_project / "reviews.sqlite"
    if spoilt is None:
        desk = open_desk(desk_project)
        for _ in range(3):
            desk.press(Key.Key_A)
        close_desk(desk)
        spoilt = log.read_bytes()[:5000]
    log.write_bytes(spoilt)
    desk = open_desk(desk_project)
    wait_until(lambda: desk.session.verdicts.problem)
    assert str(log) in banner(desk)
    for words in ("cannot be read", "verdicts are off", "nothing in it was changed", "from a backup"):
        assert words in banner(desk)
    assert not any(desk.window.actions_by_id[name].isEnabled() for name in VERDICTS)
    (said,) = tooltips(desk, *VERDICTS)
    assert str(log) in said
    assert not any(button.isEnabled() for button in desk.window.review._verdicts.values())
    desk.press(Key.Key_A, Key.Key_1)
    desk.press(Key.Key_Z, with_=CTRL)
    assert desk.window.status._judged.text() == "verdicts off"
    assert log.read_bytes() == spoilt
    shows = desk.window.people._shows
    assert [shows.itemText(place) for place in range(3)] == ["All  12", "To review  ?", "Accepted  ?"]
    assert desk.window.actions_by_id["start_run"].isEnabled()  # round 1 needs no verdicts
    log.unlink()
    desk.open(desk_project)
    desk.settle()
    assert banner(desk) == ""
    desk.press(Key.Key_A)
    assert len(rows_on_disk(desk_project)) == 1


def test_a_log_with_an_unknown_word_is_unreadable_too(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    import sqlite3

    desk = open_desk(desk_project)
    desk.press(Key.Key_A)
    close_desk(desk)
    connection = sqlite3.connect(desk_project / "reviews.sqlite")
    connection.execute("update events set kind = 'oracle'")
    connection.commit()
    connection.close()
    desk = open_desk(desk_project)
    assert "verdicts are off" in banner(desk)
    assert not desk.window.actions_by_id["accept"].isEnabled()


def test_what_was_said_of_the_last_project_goes_with_it(
    open_desk: Callable[..., Desk], desk_project: Path, tmp_path: Path
) -> None:
    import shutil

    good = tmp_path / "good"
    shutil.copytree(desk_project, good)
    shutil.rmtree(desk_project / "body_models")
    desk = open_desk(desk_project)
    wait_until(lambda: "body-model folder" in banner(desk))
    desk.window.status.offer("neuralannot-r9 is finished.", "neuralannot-r9")
    desk.session.messages.error("The body-model folder is missing.")
    desk.open(good)
    assert desk.window.status._message.text() == banner(desk) == ""
    assert not desk.window.status._offer.isVisible()
    assert not desk.open(tmp_path / "nowhere")  # what is said of the one that did not open stays
    assert "is not a project" in desk.window.status._message.text()


def test_a_body_model_that_comes_late_is_not_that_of_another_project(
    open_desk: Callable[..., Desk], desk_project: Path, tmp_path: Path
) -> None:
    import shutil

    second = tmp_path / "second"
    shutil.copytree(desk_project, second)
    shutil.rmtree(second / "body_models")
    desk = open_desk()
    desk.open(desk_project)
    assert desk.session.project is not None
    desk.window.tasks.read_body(desk.session.project)
    desk.open(second)
    wait_until(lambda: "body-model folder" in banner(desk))
    desk.settle()
    assert not desk.window._bodies.loaded
    assert "No mesh without the body model" in desk.window.photo.view._note
    first = desk.session.project
    desk.window.close()
    desk.window.tasks.body_failed.emit(first, "Too late.")  # nothing is told to a window that is closed
    assert desk.session.undrawable == ""


def test_a_missing_body_model_is_said_where_the_mesh_would_be(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    import shutil

    shutil.rmtree(desk_project / "body_models")
    desk = open_desk(desk_project)
    wait_until(lambda: desk.window.photo.view._note)
    assert "No mesh without the body model" in desk.window.photo.view._note
    assert "No mesh without the body model" in desk.window.solid.view._message
    assert banner(desk).count("body-model folder") == 1  # why, and what to do, is said once
    assert desk.window.status._message.text() == ""
