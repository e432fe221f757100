"""Real annotation files in, an export out, and both on the screen: the path that a researcher walks first."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotator.bodies.files import default_root
from annotator.bodies.official import create
from annotator.project import Project
from app.scenes import Bodies
from tests.annotator.test_export import WIDTHS
from tests.annotator.test_readers import spin_misses
from tests.support.cli import run_main
from tests.support.small_data import quick_recipe
from tests.support.window import Key, close_desk, make_desk, wait_until
from viewers.scene import SceneMesh

OFFICIAL = {"root_pose": "global_orient", "body_pose": "body_pose", "shape": "betas", "trans": "transl"}
OFFICIAL |= {"lhand_pose": "left_hand_pose", "rhand_pose": "right_hand_pose"}
OFFICIAL |= {"jaw_pose": "jaw_pose", "expr": "expression"}


@pytest.fixture(scope="module")
def walked(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Folder with `project` and `fits.json`, and what the imports and the export said."""
    folder = tmp_path_factory.mktemp("real")
    project, coco, lab = folder / "project", real_data / "coco_wholebody", real_data / "human36m"
    file = coco / "annotations" / "coco_wholebody_val_v1.0.json"
    said: dict[str, str] = {}
    run_main("new", project)
    for name, words in (
        ("coco", ("coco-wholebody", file, "--images", coco / "images" / "val2017", "--role", "target")),
        ("lab", ("human36m", lab / "annotations", "--images", lab / "images", "--role", "auxiliary")),
    ):
        said[name] = run_main("import", project, *words, "--progress", "none").stdout
    recipe = quick_recipe(folder, auxiliary=10, target=20)
    run_main("run", project, "--recipe", recipe, "--device", "cpu", "--progress", "none")
    said["export"] = run_main("export", project, "neuralannot", folder / "fits.json", "--progress", "none").stdout
    return folder, said


def test_twelve_of_fourteen_people_come_in_and_the_two_without_keypoints_are_named(
    walked: tuple[Path, dict[str, str]],
) -> None:
    folder, said = walked
    assert "Imported 12 of 14 people as 'coco-wholebody' (target)." in said["coco"]
    named = {line.split(":")[0] for line in said["coco"].splitlines() if line.startswith("Left out")}
    assert named == {"Left out 1202706", "Left out 508900"}
    assert "Imported 4 of 4 people as 'human36m' (auxiliary)." in said["lab"]
    assert len(Project.open(folder / "project").samples("coco-wholebody", "body")) == 12


def test_imported_3d_joints_project_onto_what_others_extracted(
    walked: tuple[Path, dict[str, str]], real_data: Path
) -> None:
    misses = spin_misses(Project.open(walked[0] / "project").samples("human36m", "body"), real_data)
    assert misses.shape == (52,)
    assert misses.mean() < 1.5
    assert misses.max() < 4


def test_the_export_posed_by_smplx_lands_where_the_desk_draws_it(walked: tuple[Path, dict[str, str]]) -> None:
    folder, said = walked
    entries: dict[str, Any] = json.loads((folder / "fits.json").read_text())
    project = Project.open(folder / "project")
    fits = project.run("neuralannot-r1").fits("coco-wholebody", "body")
    assert fits is not None
    assert set(entries) == {key.split("/")[1] for key in fits.keys}
    assert len(entries) == 12
    assert "Wrote 12 fits" in said["export"]
    model, bodies = create(default_root(), "smplx"), Bodies()
    bodies.load(project)
    for name, entry in entries.items():
        given = {ours: torch.tensor([entry["smplx_param"][theirs]]) for theirs, ours in OFFICIAL.items()}
        assert {theirs: values.shape[1] for theirs, values in zip(OFFICIAL, given.values(), strict=True)} == {
            theirs: WIDTHS[theirs] for theirs in OFFICIAL
        }
        with torch.no_grad():
            vertices = model(**given).vertices[0].numpy().astype(float)
        theirs = vertices[:, :2] / vertices[:, 2:] * entry["cam_param"]["focal"] + entry["cam_param"]["princpt"]
        fit = fits[fits.index_of[f"coco-wholebody/{name}"]]
        mesh = bodies.mesh(fit, "smplx", fits.header.body_hash, "neuralannot")
        assert isinstance(mesh, SceneMesh)
        k, drawn = mesh.intrinsics, mesh.vertices.astype(float)
        ours = np.stack([k.fx * drawn[:, 0] / drawn[:, 2] + k.cx, k.fy * drawn[:, 1] / drawn[:, 2] + k.cy], axis=1)
        assert np.abs(theirs - ours).max() < 0.05


def test_the_window_shows_twelve_photos_with_meshes(qapp: Any, walked: tuple[Path, dict[str, str]]) -> None:
    desk = make_desk()
    try:
        assert desk.open(walked[0] / "project")
        seen = set()
        for _ in range(12):
            desk.settle()
            view = desk.window.photo.view
            assert not view._photo.pixmap().isNull()
            assert not view._overlay.pixmap().isNull()
            seen.add(desk.id)
            desk.press(Key.Key_Right)
        assert len(seen) == 12
        wait_until(lambda: desk.window.people.settled)
        assert len(desk.window.people._thumbnails._pictures) >= 5
    finally:
        close_desk(desk)
