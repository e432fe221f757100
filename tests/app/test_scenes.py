"""Sample and fit -> what the views draw, checked against arithmetic; photos, thumbnails, preferences."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData, load_body_model
from annotator.bodies.posing import Poser
from annotator.camera import Camera
from annotator.errors import ImageError
from annotator.fit import PARAMETERS, Fit
from annotator.project import Project
from app.panels.thumbnails import SIDE, Thumbnails, thumbnail
from app.scenes import Bodies, Photos, photo_scene
from app.settings import Preferences, load_preferences, preferences_path, save_preferences
from app.shelf import Shelf
from app.theme import annotator_color, run_color
from tests.support.desk_project import CUT_ROW, FAILED_ROW, MISSING_ROW
from tests.support.window import wait_until
from viewers.scene import SceneMesh


@pytest.fixture
def shelf(desk_project: Path) -> Shelf:
    project = Project.open(desk_project)
    return Shelf.of("wild", project.samples("wild", "body"), project.run("smplifyx-r1"))


def test_the_mesh_of_a_true_fit_lies_on_the_keypoints(shelf: Shelf, desk_project: Path, body: BodyModelData) -> None:
    bodies = Bodies()
    assert not bodies.loaded
    bodies.load(Project.open(desk_project))
    for row in range(4):
        fit, sample = shelf.fit(row), shelf.sample(row)
        assert fit is not None
        mesh = bodies.mesh(fit, "smplx", body.hash, "smplifyx")
        assert isinstance(mesh, SceneMesh)
        k = mesh.intrinsics
        assert (k.fx, k.cx) == (fit.focal[0], fit.princpt[0])
        posed = Poser(body).pose({name: values[None] for name, values in fit.parameters.items()})
        points = posed.points(sample.skeleton.name)[0] + fit.transl
        pixels = Camera(fit.focal.astype(float), fit.princpt.astype(float)).project(points.astype(float))
        labelled = sample.keypoints[:17, 2] > 0
        assert np.abs(pixels[:17] - sample.keypoints[:17, :2])[labelled].max() < 0.1
        distance = np.linalg.norm(mesh.vertices - posed.vertices[0] - fit.transl, axis=1)
        assert distance.max() < 1e-5


def test_a_fit_of_smpl_is_drawn_with_its_own_body_model(desk_project: Path) -> None:
    project, bodies = Project.open(desk_project), Bodies()
    bodies.load(project)
    smpl = load_body_model(project.body_model_root("smpl"), "smpl")
    zeros = {name: np.zeros(width, np.float32) for name, width in PARAMETERS["smpl"].items()}
    two, far = np.array([500, 500], np.float32), np.array([0, 0, 3], np.float32)
    fit = Fit("wild/100", "ok", "", zeros, focal=two, princpt=two, transl=far)
    mesh = bodies.mesh(fit, "smpl", smpl.hash, "smplify")
    assert isinstance(mesh, SceneMesh)
    assert np.allclose(mesh.vertices, smpl.v_template + far, atol=1e-5)
    assert "is not loaded" in str(Bodies().mesh(fit, "smpl", smpl.hash, "smplify"))


def test_a_scene_has_photo_points_and_the_boxes_of_the_others(shelf: Shelf, desk_project: Path) -> None:
    photos, project = Photos(), Project.open(desk_project)
    scene = photo_scene(project, shelf, 0, photos)
    sample = shelf.sample(0)
    assert scene.photo is not None
    assert scene.size == (sample.width, sample.height) == (scene.photo.shape[1], scene.photo.shape[0])
    assert np.array_equal(scene.points[0].xy, sample.keypoints[:, :2])
    assert scene.other_boxes == ()
    for row, words in ((MISSING_ROW, "is missing"), (CUT_ROW, "is cut short")):
        broken = photo_scene(project, shelf, row, photos)
        assert broken.photo is None
        assert words in broken.message
    photos.close()


def test_photos_read_ahead_are_the_same_and_failures_are_tried_again(shelf: Shelf, desk_project: Path) -> None:
    photos, project = Photos(), Project.open(desk_project)
    path, missing = (project.photo_path(shelf.sample(row)) for row in (0, MISSING_ROW))
    photos.read_ahead(path)
    photos.read_ahead(missing)
    assert np.array_equal(photos.get(path), photos.get(path))
    for _ in range(2):
        with pytest.raises(ImageError, match="is missing"):
            photos.get(missing)
    photos.close()


def test_a_thumbnail_is_cut_once_and_kept(shelf: Shelf, desk_project: Path, tmp_path: Path) -> None:
    project, sample = Project.open(desk_project), shelf.sample(0)
    first = thumbnail(sample, project.photo_path(sample), tmp_path)
    assert first is not None
    assert first.shape == (SIDE, SIDE, 3)
    again = thumbnail(sample, tmp_path / "no such photo", tmp_path)  # from the cache
    assert again is not None
    assert np.abs(again.astype(int) - first).mean() < 6
    assert thumbnail(shelf.sample(MISSING_ROW), project.photo_path(shelf.sample(MISSING_ROW)), tmp_path) is None
    for kept in tmp_path.rglob("*.jpg"):
        kept.write_bytes(b"")  # or as much of it as a full disk held
    assert thumbnail(sample, tmp_path / "no such photo", tmp_path) is None
    mended = thumbnail(sample, project.photo_path(sample), tmp_path)
    assert mended is not None
    assert np.array_equal(mended, first)


def test_thumbnails_come_in_the_background_and_missing_ones_are_empty(
    qapp: Any, shelf: Shelf, desk_project: Path
) -> None:
    project, thumbnails = Project.open(desk_project), Thumbnails()
    ready: list[str] = []
    thumbnails.ready.connect(ready.append)
    rows = (0, MISSING_ROW)
    for row in rows:
        sample = shelf.sample(row)
        assert thumbnails.get(sample, project.photo_path(sample), project.cache / "thumbnails") is None
    wait_until(lambda: thumbnails.settled)
    assert set(ready) == {shelf.samples.keys[row] for row in rows}
    there, missing = (thumbnails.get(shelf.sample(row), Path("x"), project.cache) for row in rows)
    assert there is not None
    assert (there.width(), there.height()) == (SIDE, SIDE)
    assert missing is not None
    assert missing.isNull()
    thumbnails.close()


def test_a_shelf_knows_who_has_a_fit_and_its_error(desk_project: Path) -> None:
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    shelf = Shelf.of("wild", samples, project.run("neuralannot-r1"))
    assert shelf.status.tolist() == [2 if row == FAILED_ROW else 1 for row in range(12)]
    assert np.isnan(shelf.errors[0]).tolist() == [row == FAILED_ROW for row in range(12)]
    empty = Shelf.of("wild", samples, None)
    assert (empty.status == 0).all()
    assert (empty.fit(0), empty.key(0)) == (None, None)


def test_preferences_are_kept_and_a_damaged_file_is_no_obstacle(tmp_path: Path) -> None:
    chosen = Preferences(theme="dark", reviewer="bob", opacity=0.4, keypoints=False).with_recent(tmp_path)
    save_preferences(chosen)
    assert load_preferences() == chosen
    assert chosen.with_recent(tmp_path / "b").with_recent(tmp_path).recent == (str(tmp_path), str(tmp_path / "b"))
    preferences_path().write_text('theme = "pink"\nopacity = "thick"\nreviewer = "eve"\n')
    assert load_preferences() == Preferences(reviewer="eve")
    preferences_path().write_text("theme = [[[")
    assert load_preferences() == Preferences()
    assert Preferences().name != ""


def test_two_runs_of_one_annotator_have_two_colours() -> None:
    runs = ("neuralannot-r1", "neuralannot-r2", "neuralannot-r1-2", "neuralannot-r2-2")
    assert len({run_color("neuralannot", run).name() for run in runs}) == len(runs)
    assert run_color("neuralannot", "neuralannot-r1") == annotator_color("neuralannot")
    assert run_color("smplifyx", "smplifyx-added") == annotator_color("smplifyx")
