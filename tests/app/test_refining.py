"""Refine this fit: EFT as a job on the person who is shown, from a network that was trained, into a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMenu

from annotator.bodies.files import BodyModelData
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.project import AUXILIARY, TARGET, Project
from annotator.runs import FINISHED, RunInfo
from app.catalogue import under_their_source
from tests.support.cli import run_main
from tests.support.small_data import quick_recipe, write_crowd, write_lab
from tests.support.window import CTRL, SHIFT, Desk, Key, wait_until


def give_network(project: Path, run: str = "neuralannot-r1") -> None:
    folder = Project.open(project).run(run).network_folder("body", TARGET)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "last.safetensors").touch()


def why(desk: Desk) -> str:
    return desk.window.actions_by_id["refine_fit"].toolTip().partition("\n")[2]


def started(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    asked: list[list[str]] = []
    monkeypatch.setattr(desk.window.jobs, "start_run", asked.append)
    return asked


def test_without_a_trained_network_it_is_off_and_says_why(
    desk: Desk, desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, action = started(desk, monkeypatch), desk.window.actions_by_id["refine_fit"]
    assert not action.isEnabled()
    assert why(desk) == "There is no trained target network to tune; start a run of NeuralAnnot first (Ctrl+R)."
    desk.press(Key.Key_E, with_=CTRL | SHIFT)
    assert asked == []
    give_network(desk_project)
    desk.open(desk_project)
    assert action.isEnabled()
    assert action.toolTip() == "Refine this fit (Ctrl+Shift+E)"
    menus = [menu for bar in desk.window.menuBar().actions() if isinstance(menu := bar.menu(), QMenu)]
    assert [menu.title() for menu in menus if action in menu.actions()] == ["Run"]


def test_the_key_starts_a_run_on_the_person_who_is_shown(
    desk: Desk, desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_network(desk_project)
    desk.open(desk_project)
    desk.settle()
    asked = started(desk, monkeypatch)
    desk.press(Key.Key_Right)
    desk.press(Key.Key_E, with_=CTRL | SHIFT)
    assert asked == [["--annotator", "eft", "--from", "neuralannot-r1", "--samples", desk.session.key]]
    assert str(desk.session.key) in desk.said[-1][1]
    desk.session.show_run("smplifyx-r1")  # has no network: the newest one that has
    desk.press(Key.Key_E, with_=CTRL | SHIFT)
    assert asked[1] == asked[0]


def test_people_with_3d_are_not_refined(desk: Desk, desk_project: Path) -> None:
    give_network(desk_project)
    file = desk_project / "datasets" / "wild" / "dataset.json"
    file.write_text(file.read_text().replace(f'"{TARGET}"', f'"{AUXILIARY}"'))
    desk.open(desk_project)
    assert why(desk) == "People with GT 3D have nothing to be tuned on; choose a target data set."


def test_runs_that_refined_one_fit_stand_under_their_source(desk_project: Path) -> None:
    project = Project.open(desk_project)

    def add(annotator: str, number: int, source: str = "", samples: tuple[str, ...] = ()) -> None:
        when = f"2099-01-01T00:00:0{number}+00:00"
        info = RunInfo(f"{annotator}-r1", annotator, "tiny", source=source, samples=samples, created=when)
        project.new_run(info)

    add("eft", 1, "neuralannot-r1", ("wild/100",))
    add("eft", 2, "neuralannot-r1", ("wild/101", "wild/102"))
    add("neuralannot", 3)
    add("eft", 4, "neuralannot-r1", ("wild/103",))
    add("eft", 5, "gone-r1", ("wild/100",))
    found = [run.id for run in under_their_source(list(reversed(project.runs())))]
    assert found[:2] == ["neuralannot-r1-2", "eft-r1-2"]
    place = found.index("neuralannot-r1")
    assert found[place : place + 3] == ["neuralannot-r1", "eft-r1-3", "eft-r1"]
    assert found[-1] == "eft-r1-4"


def test_a_refined_fit_is_one_of_its_own_run_and_stands_beside_the_first(
    open_desk: Callable[..., Desk], body: BodyModelData, tmp_path: Path
) -> None:
    """From the key to the two fits side by side, with a network of three steps."""
    crowd, lab = write_crowd(tmp_path / "wild", body, 6), write_lab(tmp_path / "lab", body, 4)
    path = tmp_path / "project"
    new(path)
    for layout, file, name in (("coco-wholebody", crowd, "wild"), ("human36m", lab, "lab")):
        list(import_dataset(path, layout, file, images=tmp_path / name / "images", name=name))
    run_main("run", path, "--recipe", quick_recipe(tmp_path, 3, 3), "--device", "cpu")
    before = Project.open(path).run("neuralannot-r1").shards("wild", "body")[0].read_bytes()
    desk = open_desk(path)
    desk.press(Key.Key_Right)
    desk.press(Key.Key_E, with_=CTRL | SHIFT)
    key = desk.session.key
    wait_until(lambda: any(j.name == "eft-r1" and j.state == FINISHED for j in desk.window.jobs.all), 240)
    made = Project.open(path).run("eft-r1")
    fits = made.fits("wild", "body")
    assert fits is not None
    assert (fits.keys, made.info.source, made.info.samples) == ([key], "neuralannot-r1", (key,))
    assert Project.open(path).run("neuralannot-r1").shards("wild", "body")[0].read_bytes() == before
    assert [run.id for run in desk.session.runs()] == ["neuralannot-r1", "eft-r1"]
    assert desk.run == "neuralannot-r1"
    desk.press(Key.Key_C)
    wait_until(lambda: desk.session.pair is not None)
    right = desk.session.comparison.right
    assert right is not None
    assert right.run is not None
    assert right.run.id == "eft-r1"
