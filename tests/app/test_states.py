"""Empty, read-only and broken states of the window: each says what to do next."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import shiboken6
from PySide6.QtWidgets import QLabel, QPushButton

from annotator.commands.projects import new
from annotator.project import Project
from app.application import _delete, make_window
from app.comparison import Side
from app.dialogs.project import NewProject
from tests.support.window import Desk, Key, wait_until

ROOT = Path(__file__).resolve().parents[2]


def test_without_a_project_it_offers_to_open_or_make_one(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    desk = open_desk()
    assert desk.window._pages.currentWidget() is desk.window.welcome
    texts = [button.text() for button in desk.window.welcome.findChildren(QPushButton)]
    assert any(text.startswith("Open project") and "Ctrl+O" in text for text in texts)
    assert not desk.window.actions_by_id["start_run"].isEnabled()
    desk.press(Key.Key_A, Key.Key_1, Key.Key_Right, Key.Key_Tab)  # nothing to do, nothing happens
    desk.session.change_preferences(desk.session.preferences.with_recent(desk_project))
    desk.window.welcome.show_recent(desk.session.preferences.recent)
    recent = [b for b in desk.window.welcome.findChildren(QPushButton) if b.text().startswith(desk_project.name)]
    recent[0].click()
    assert desk.session.project is not None


def test_a_project_without_people_offers_to_import(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    new(tmp_path / "p")
    desk = open_desk(tmp_path / "p")
    assert desk.window._pages.currentWidget() is desk.window.no_people
    enabled = {name: desk.window.actions_by_id[name].isEnabled() for name in ("import_data", "start_run", "next_round")}
    assert enabled == {"import_data": True, "start_run": False, "next_round": False}
    assert "Ctrl+I" in desk.window.no_people.findChildren(QPushButton)[0].text()


def test_the_jobs_of_a_project_without_people_can_be_seen(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    new(tmp_path / "p")
    desk = open_desk(tmp_path / "p")
    desk.press(Key.Key_J)
    assert desk.window.jobs_panel.isVisible()
    desk.press(Key.Key_J)
    assert desk.window._pages.currentWidget() is desk.window.no_people


def test_a_window_takes_its_dialogs_with_it(qapp: Any) -> None:
    _, window = make_window()
    dialog = NewProject(window)
    _delete(window)
    assert not shiboken6.isValid(window)
    assert not shiboken6.isValid(dialog)


def test_people_without_a_run_are_shown_with_what_to_do(desk: Desk, desk_project: Path) -> None:
    shutil.rmtree(desk_project / "runs")
    desk.open(desk_project)
    desk.press(Key.Key_Right, Key.Key_A)
    assert desk.window.photo.bar.runs[Side.LEFT].currentText() == "No fits yet"
    assert desk.window.solid.view._message.startswith("No fit to show.")
    assert desk.window.details._values["Status"].text() == "no fit"
    assert desk.said[-1] == ("warning", "This person has no fit to judge in the run that is shown.")


def test_without_jobs_the_drawer_says_how_to_start_one(desk: Desk) -> None:
    desk.press(Key.Key_J)
    assert desk.window.jobs_panel._empty.isVisible()
    assert "Ctrl+R" in desk.window.jobs_panel._empty.text()


def test_a_second_window_is_read_only_and_names_the_holder(
    desk: Desk, open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    second = open_desk(desk_project)
    banner = second.window.banner
    assert banner.isVisible()
    assert f"(process {os.getpid()} on" in banner.text()
    second.press(Key.Key_A, Key.Key_1)
    assert second.session.judgements == {}
    assert not second.window.actions_by_id["start_run"].isEnabled()
    assert not second.window.review._verdicts[next(iter(second.window.review._verdicts))].isEnabled()
    assert "read-only" in second.window.status._judged.text()
    assert not desk.session.read_only


def test_a_missing_body_model_is_a_sentence_and_verdicts_are_still_shown(
    desk: Desk, open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    first = desk.id
    desk.press(Key.Key_R)
    desk.session.close()
    shutil.rmtree(desk_project / "body_models")
    later = open_desk(desk_project)
    assert later.verdict(first) == ("reject", ())
    assert "body-model folder" in later.window.banner.text()
    assert "relink" in later.window.banner.text()
    for name in ("accept", "reject", "unsure", "undo"):  # what nobody sees cannot be judged
        assert not later.window.actions_by_id[name].isEnabled()
    assert "body-model folder" in later.window.actions_by_id["accept"].toolTip()


def test_a_project_of_a_newer_version_is_not_opened(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    file = desk_project / "project.toml"
    file.write_text(file.read_text().replace("format = 1", "format = 2"))
    desk = open_desk()
    assert not desk.open(desk_project)
    assert desk.window._pages.currentWidget() is desk.window.welcome
    said = [
        label for label in desk.window.welcome.findChildren(QLabel) if "was made by a newer version" in label.text()
    ]
    assert [label.isVisible() for label in said] == [True]


def test_fits_of_another_body_model_are_not_drawn(desk: Desk) -> None:
    desk.settle()
    wait_until(lambda: desk.window._bodies.loaded)
    shelf = desk.session.shelf
    assert shelf.fits is not None
    said = desk.window._bodies.mesh(shelf.fits[0], "smplx", "0" * 16, "smplifyx")
    assert isinstance(said, str)
    assert said.startswith("This fit belongs to another body model (0000")


def test_the_theme_changes_while_the_window_is_open(desk: Desk) -> None:
    from app import theme

    for name in ("dark", "light"):
        desk.session.change_preferences(replace(desk.session.preferences, theme=name))
        assert theme.current().dark is (name == "dark")


JOURNEY = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from tests.support.window import Key, make_desk, close_desk, SHIFT, CTRL
from PySide6.QtWidgets import QApplication
app = QApplication([])
desk = make_desk()
desk.open(Path(sys.argv[1]))
desk.settle()
desk.press(Key.Key_1, Key.Key_R, Key.Key_A, Key.Key_Left, Key.Key_Tab, Key.Key_J, Key.Key_S)
desk.press(Key.Key_Z, with_=CTRL)
def dismiss():
    widget = QApplication.activeModalWidget() or QApplication.activePopupWidget()
    if widget is not None:
        widget.close()
timer = QTimer(interval=50)
timer.timeout.connect(dismiss)
timer.start()
for name in ("import_data", "export_fits", "start_run", "next_round", "preferences", "new_project", "cheat_sheet",
             "find_command", "go_to", "about"):
    desk.window.actions_by_id[name].trigger()
timer.stop()
desk.settle()
close_desk(desk)
print(sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "torchvision", "smplx", "roma")))
"""


def test_a_whole_journey_of_the_desk_imports_neither_torch_nor_smplx(desk_project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOURNEY, str(desk_project)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert len(Project.open(desk_project).runs()) == 2


FIRST_PHOTO = """
import sys
from pathlib import Path
from tests.support.window import make_desk, close_desk, wait_until
from PySide6.QtWidgets import QApplication
app = QApplication([])
desk, seen = make_desk(), []
slow = ("scipy", "qtawesome", "pyqtgraph", "vtkmodules", "sqlalchemy", "annotator.recipe", "annotator.comparing")
desk.window.photo_painted.connect(lambda: seen.append([name for name in slow if name in sys.modules]))
desk.window.session.open(Path(sys.argv[1]))
wait_until(lambda: seen)
print(seen[0])
close_desk(desk)
"""


def test_the_first_photo_waits_for_nothing_that_it_does_not_need(desk_project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PHOTO, str(desk_project)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_uncaught_mistakes_are_told_and_do_not_close_the_desk(qapp: Any, monkeypatch: Any) -> None:
    from annotator.errors import ProjectError
    from app.messages import Messages

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    messages, said = Messages(), []
    messages.said.connect(lambda level, sentence: said.append((level, sentence)))
    messages.install()
    sys.excepthook(ProjectError, ProjectError("The table is torn."), None)
    sys.excepthook(KeyError, KeyError("x"), None)
    assert said[0] == ("error", "The table is torn.")
    assert said[1][1] == "Something unexpected happened (KeyError: 'x'); nothing that was saved is lost."
