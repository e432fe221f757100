"""Dialogs say what is wrong, and give the words of the command that will run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from annotator.recipe import shipped_recipes
from annotator.reviews import frozen
from annotator.runs import STOPPED, RunInfo
from annotator.verdict import FitKey, Verdict
from app.dialogs.preferences import EditPreferences
from app.dialogs.project import ExportFits, ImportData, NewProject
from app.dialogs.run import StartRun
from app.tasks import Tasks
from tests.support.cli import run_main
from tests.support.window import REVIEWER, Desk, Key


def sentence(dialog: Any) -> str:
    return dialog._sentence.text()


def test_a_new_project_wants_an_empty_place(desk: Desk, tmp_path: Path) -> None:
    dialog = NewProject(desk.window)
    assert sentence(dialog) == "Choose a folder for the project."
    assert not dialog._ok.isEnabled()
    dialog._folder.setText(str(desk.session.project.path))
    assert "is not empty" in sentence(dialog)
    dialog._folder.setText(str(tmp_path / "p"))
    assert dialog._ok.isEnabled()
    dialog._models.setText(str(tmp_path / "none"))
    assert sentence(dialog) == f"There is no folder {tmp_path / 'none'}."


def test_an_import_becomes_the_command_that_imports(desk: Desk, tmp_path: Path) -> None:
    dialog = ImportData(desk.window)
    assert sentence(dialog) == "Choose the annotation file or folder."
    (tmp_path / "a.json").write_text("{}")
    dialog._annotations.setText(str(tmp_path / "a.json"))
    dialog._images.setText(str(tmp_path / "none"))
    assert sentence(dialog).startswith("There is no folder ")
    dialog._images.setText(str(tmp_path))
    dialog._role.setCurrentText("target")
    dialog._name.setText("mine")
    words = ["import", "P", "coco-wholebody", str(tmp_path / "a.json"), "--images", str(tmp_path)]
    assert dialog.words(Path("P")) == [*words, "--role", "target", "--name", "mine"]


def test_an_export_becomes_the_command_that_exports(desk: Desk, tmp_path: Path) -> None:
    dialog = ExportFits(("neuralannot-r1", "smplifyx-r1"), "smplifyx-r1", desk.window)
    assert sentence(dialog) == "Choose a file to write."
    dialog._out.setText(str(tmp_path / "none" / "o.json"))
    assert sentence(dialog) == f"There is no folder {tmp_path / 'none'}."
    dialog._out.setText(str(tmp_path / "o.json"))
    dialog._keep.setCurrentText("all")
    words = dialog.words(desk.session.project.path)
    assert words[-4:] == ["--run", "smplifyx-r1", "--verdict", "all"]
    run_main(*words, "--progress", "none")  # the real entry point understands them
    assert (tmp_path / "o.json").exists()


def test_a_run_wants_at_least_one_data_set(desk: Desk) -> None:
    from PySide6.QtCore import Qt

    dialog = StartRun(("wild", "lab"), None, 0, desk.window)
    assert dialog.words == ["--recipe", "paper"]
    dialog._data.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert dialog.words == ["--recipe", "paper", "--data", "wild"]
    dialog._data.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert sentence(dialog) == "Choose at least one data set."
    dialog._data.item(0).setCheckState(Qt.CheckState.Checked)
    dialog._file.setText("/nowhere.toml")
    assert sentence(dialog) == "There is no file /nowhere.toml."


def test_the_next_round_of_a_run_with_a_recipe_of_its_own_takes_that(desk: Desk) -> None:
    source = desk.session.project.run("neuralannot-r1")
    source.recipe_path.write_text("")
    source.write_info(replace(source.info, recipe="mine"))
    assert "mine" not in shipped_recipes()
    dialog = StartRun(("wild",), source, 2, desk.window)
    assert sentence(dialog) == "Learns from the fits of neuralannot-r1; 2 rejected fits teach with 2D keypoints only."
    assert dialog.words[:2] == ["--recipe", str(source.recipe_path.absolute())]


@pytest.mark.parametrize("odd", ["~nobody-of-that-name/x", "n" * 300])
def test_a_path_that_cannot_be_is_a_sentence(desk: Desk, odd: str) -> None:
    made, brought = NewProject(desk.window), ImportData(desk.window)
    sent, begun = (
        ExportFits(("neuralannot-r1",), "neuralannot-r1", desk.window),
        StartRun(("wild",), None, 0, desk.window),
    )
    made._folder.setText("p")
    for dialog, field in ((made, made._models), (brought, brought._annotations), (begun, begun._file)):
        field.setText(odd)
        assert sentence(dialog).startswith("There is no ")
        assert not dialog._ok.isEnabled()
    sent._out.setText(f"{odd}/o.json")
    assert sentence(sent).startswith("There is no folder ")
    assert desk.said == []


def test_an_export_is_no_folder(desk: Desk, tmp_path: Path) -> None:
    dialog = ExportFits(("neuralannot-r1",), "neuralannot-r1", desk.window)
    dialog._out.setText(str(tmp_path))
    assert sentence(dialog) == f"{tmp_path} is a folder; name a file in it."


def test_preferences_keep_what_the_dialog_does_not_show(desk: Desk) -> None:
    dialog = EditPreferences(REVIEWER, desk.window)
    dialog._reviewer.setText("  bob ")
    dialog._advance.setChecked(False)
    assert (dialog.preferences.reviewer, dialog.preferences.auto_advance) == ("bob", False)
    assert dialog.preferences.opacity == REVIEWER.opacity


class Started:
    """Takes the place of the jobs: notes what would be started."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def start_run(self, words: list[str]) -> None:
        self.words = list(words)


@pytest.fixture
def asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> tuple[Tasks, Started, list[StartRun]]:
    """Tasks whose dialogs are agreed to at once."""
    started, dialogs = Started(), []

    def agree(dialog: StartRun) -> int:
        dialogs.append(dialog)
        return 1

    monkeypatch.setattr(StartRun, "exec", agree)
    return Tasks(desk.session, started, desk.window), started, dialogs  # type: ignore[arg-type]


@pytest.mark.usefixtures("every_photo_is_there")
def test_the_next_round_leaves_out_3d_supervision_of_rejected_fits(
    desk: Desk, asked: tuple[Tasks, Started, list[StartRun]], desk_project: Path
) -> None:
    tasks, started, dialogs = asked
    desk.session.show_run("neuralannot-r1")
    first, second = desk.session.rows[:2]
    desk.session.go_to_row(int(first))
    desk.press(Key.Key_R)
    desk.session.go_to_row(int(second))
    desk.press(Key.Key_A)
    tasks.start_run(next_round=True)
    assert "1 rejected fit teaches with 2D keypoints only" in sentence(dialogs[0])
    assert started.words == ["--recipe", "tiny", "--round", "2", "--from", "neuralannot-r1"]
    begun = run(desk_project, RunOptions(recipe="tiny", round=2, source=started.words[-1]))
    next(begun)  # as the worker begins; what follows is told in tests/journeys
    begun.close()
    assert Project.open(desk_project).run("neuralannot-r2").state == STOPPED
    keys = desk.session.shelf.samples.keys
    assert frozen(Project.open(desk_project).run("neuralannot-r2").verdicts_path) == {
        FitKey("neuralannot-r1", keys[int(first)], "body"): Verdict.REJECT,
        FitKey("neuralannot-r1", keys[int(second)], "body"): Verdict.ACCEPT,
    }


def test_the_next_round_learns_from_neuralannot_whichever_run_is_shown(
    desk: Desk, asked: tuple[Tasks, Started, list[StartRun]]
) -> None:
    tasks, started, _ = asked
    assert desk.run == "smplifyx-r1"
    tasks.start_run(next_round=True)
    assert started.words[-1] == "neuralannot-r1"


def test_without_a_finished_run_the_next_round_says_what_it_needs(
    desk: Desk, asked: tuple[Tasks, Started, list[StartRun]], desk_project: Path
) -> None:
    tasks, started, dialogs = asked
    Project.open(desk_project).run("neuralannot-r1").write_info(
        RunInfo("neuralannot-r1", "neuralannot", "tiny", datasets=("wild",), state=STOPPED)
    )
    tasks.start_run(next_round=True)
    assert (started.words, dialogs) == ([], [])
    assert desk.said[-1][1].startswith("The next round learns from a finished run of NeuralAnnot;")
