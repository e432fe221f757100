"""Two fits of one person: their distance, against arithmetic; two runs: their disagreement, against the distance of joints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.bodies.joints import BODY_JOINTS, BodyJoints
from annotator.bodies.posing import Poser
from annotator.camera import Camera, between_cameras, crop_from_camera
from annotator.comparing import JOINTS, VERTICES, Placed, brought_onto, crop_of_sample, distance, placed
from annotator.disagreement import (
    Side,
    disagreement_path,
    disagreements,
    keep_disagreements,
    kept_disagreements,
)
from annotator.fit import Fit, Fits
from annotator.project import Project
from annotator.sample import Samples
from tests.support.desk_project import FAILED_ROW


@pytest.fixture
def project(desk_project: Path) -> Project:
    return Project.open(desk_project)


@pytest.fixture
def samples(project: Project) -> Samples:
    return project.samples("wild", "body")


def side(project: Project, run: str, body: BodyModelData) -> Side:
    fits = project.run(run).fits("wild", "body")
    assert fits is not None
    return Side(project.run(run), "body", fits, body)


def pose(fit: Fit, body: BodyModelData):
    return Poser(body).pose({**fit.parameters, "transl": fit.transl})


def test_the_same_person_seen_by_another_camera_is_no_distance_away(
    project: Project, samples: Samples, body: BodyModelData
) -> None:
    fits, sample = project.run("smplifyx-r1").fits("wild", "body"), samples[0]
    assert fits is not None
    fit, crop = fits[0], crop_of_sample(sample)
    here = Camera(fit.focal.astype(float), fit.princpt.astype(float))
    there = Camera(np.array([5000.0, 5000.0]), np.array([sample.width / 2, sample.height / 2]))
    turn = Rotation.from_matrix(between_cameras(there, here, crop))
    turned = (turn * Rotation.from_rotvec(fit.parameters["global_orient"])).as_rotvec()
    again = replace(
        fit,
        parameters={**fit.parameters, "global_orient": turned.astype(np.float32)},
        focal=there.focal.astype(np.float32),
        princpt=there.princpt.astype(np.float32),
        transl=np.array([1.0, 2.0, 50.0], np.float32),
    )
    found = distance(placed(pose(fit, body), fit, crop), placed(pose(again, body), again, crop))
    assert found.of == VERTICES
    assert np.rad2deg(turn.magnitude()) > 1
    assert found.max < 0.05


def test_distances_are_per_vertex_and_pelvis_aligned() -> None:
    points = np.arange(12, dtype=float).reshape(4, 3)
    one = Placed(points, points, "a")
    other = Placed(points + [[0, 0, 0], [0.003, 0, 0.004], [0, 0.01, 0], [0, 0, 0]], points, "a")
    found = distance(one, other)
    assert np.allclose(found.mm, [0, 5, 10, 0])
    assert (round(found.mean, 9), round(found.max, 9)) == (3.75, 10)


@pytest.mark.parametrize("body_hash", ["a", "b"])
def test_after_a_similarity_only_pose_and_shape_are_apart(body_hash: str) -> None:
    """The same points 1.1 times as large, turned and moved; one is 5 mm beside. Of two models the joints decide."""
    rng = np.random.default_rng(5)
    points = rng.normal(size=(200, 3))
    turn = Rotation.from_euler("xyz", [0.2, 0.5, -0.3])
    moved = 1.1 * turn.apply(points) + [0.3, -0.1, 2.0]
    one, other = Placed(points, points[:14], "a"), Placed(moved, moved[:14], body_hash)
    assert distance(one, other).mean > 500
    assert distance(one, brought_onto(one, other)).max < 1e-6
    beside = points.copy()
    beside[7] += [0.003, 0, 0.004]
    found = distance(
        replace(one, vertices=beside), brought_onto(replace(one, vertices=beside), replace(other, joints=moved[:14]))
    )
    assert found.max == pytest.approx(5 if body_hash == "a" else 0, abs=0.3)
    assert np.allclose(brought_onto(one, other).vertices, points, atol=1e-9)


@pytest.mark.parametrize("similarity", [False, True])
def test_the_disagreement_is_the_same_whichever_run_is_first(
    project: Project, samples: Samples, body: BodyModelData, similarity: bool
) -> None:
    one, other = side(project, "neuralannot-r1", body), side(project, "smplifyx-r1", body)
    found = [
        np.concatenate([mm for _, mm in disagreements(samples, *pair, similarity=similarity)])
        for pair in ((one, other), (other, one))
    ]
    assert np.array_equal(*found, equal_nan=True)
    plain = np.concatenate([mm for _, mm in disagreements(samples, one, other)])
    assert np.flatnonzero(np.isnan(found[0])).tolist() == [FAILED_ROW]
    assert bool(np.nanmean(found[0]) < 0.95 * np.nanmean(plain)) is similarity
    paths = {disagreement_path(project, "wild", *pair, similarity=similarity) for pair in ((one, other), (other, one))}
    assert len(paths) == 1
    assert disagreement_path(project, "wild", one, other, similarity=not similarity) not in paths


def test_other_body_models_are_compared_on_fourteen_joints(
    project: Project, samples: Samples, body: BodyModelData
) -> None:
    smpl = load_body_model(default_root(), "smpl")
    fits = project.run("smplifyx-r1").fits("wild", "body")
    assert fits is not None
    fit, crop = fits[0], crop_of_sample(samples[0])
    pose_of_smpl = np.concatenate([fit.parameters["body_pose"], np.zeros(6, np.float32)])
    parameters = {"global_orient": fit.parameters["global_orient"], "body_pose": pose_of_smpl}
    other = replace(fit, parameters={**parameters, "betas": fit.parameters["betas"]})
    found = distance(placed(pose(fit, body), fit, crop), placed(pose(other, smpl), other, crop))
    assert (found.of, len(found.mm)) == (JOINTS, 14)
    assert found.mean < 40  # the same person in two models of one kind


@pytest.mark.parametrize("family", ["smplx", "smpl"])
def test_joints_without_a_mesh_are_those_of_the_mesh(family: str) -> None:
    body = load_body_model(default_root(), family)
    rng = np.random.default_rng(1)
    widths = {"global_orient": 3, "body_pose": 63 if family == "smplx" else 69, "betas": 10}
    parameters = {name: rng.normal(0, 0.6, (5, width)).astype(np.float32) for name, width in widths.items()}
    joints = Poser(body).pose(parameters).joints[:, :BODY_JOINTS]
    assert np.abs(BodyJoints(body).pose(parameters) - (joints - joints[:, :1])).max() < 1e-5


def test_the_disagreement_is_the_mean_distance_of_joints_in_the_crop_frame(
    project: Project, samples: Samples, body: BodyModelData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotator.disagreement.CHUNK", 5)
    one, other = side(project, "neuralannot-r1", body), side(project, "smplifyx-r1", body)
    values = np.concatenate([mm for _, mm in disagreements(samples, one, other)])
    assert len(values) == len(samples)
    assert np.flatnonzero(np.isnan(values)).tolist() == [FAILED_ROW]
    for row in (0, 7):
        joints = []
        for fits in (one.fits, other.fits):
            fit = fits[fits.index_of[samples.keys[row]]]
            camera = Camera(fit.focal.astype(float), fit.princpt.astype(float))
            posed = pose(fit, body).joints[:BODY_JOINTS]
            joints.append((posed - posed[0]) @ crop_from_camera(camera, crop_of_sample(samples[row])).T)
        assert np.isclose(values[row], 1000 * np.linalg.norm(joints[0] - joints[1], axis=1)[1:].mean(), atol=0.02)


def test_people_whom_one_run_has_not_are_unknown(project: Project, samples: Samples, body: BodyModelData) -> None:
    one, other = side(project, "neuralannot-r1", body), side(project, "smplifyx-r1", body)
    few = replace(other, fits=Fits(other.fits.table.take([9, 2])))
    values = np.concatenate([mm for _, mm in disagreements(samples, one, few)])
    assert np.flatnonzero(~np.isnan(values)).tolist() == [2, 9]


def test_what_was_worked_out_is_kept_until_the_fits_are_others(
    project: Project, samples: Samples, body: BodyModelData
) -> None:
    one, other = side(project, "neuralannot-r1", body), side(project, "smplifyx-r1", body)
    path = disagreement_path(project, "wild", one, other)
    assert path == disagreement_path(project, "wild", other, one)
    assert path.is_relative_to(project.cache)
    assert kept_disagreements(path, samples, one, other) is None
    values = np.arange(len(samples), dtype=np.float32)
    keep_disagreements(path, samples, one, other, values)
    assert np.array_equal(kept_disagreements(path, samples, other, one), values)
    more = replace(one, fits=Fits(one.fits.table.slice(0, 5)))
    assert kept_disagreements(path, samples, more, other) is None
    assert kept_disagreements(path, samples.take(range(6)), one, other) is None
    path.write_bytes(path.read_bytes()[:100])
    assert kept_disagreements(path, samples, one, other) is None
