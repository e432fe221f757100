"""Hands and faces by SMPLify-X: tables of their own, known truth found, shards that come back the same, words for what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.annotators.smplifyx import Fitter
from annotator.bodies.posing import Poser
from annotator.camera import Camera
from annotator.columns import to_column
from annotator.commands.evaluate import evaluate
from annotator.commands.export import export
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.fittingrecipe import FittingRecipe
from annotator.project import TARGET, Project
from annotator.runs import FINISHED, Run
from annotator.sample import Sample, Samples
from annotator.skeleton import HAND
from tests.support.desk_project import done
from tests.support.hand_data import add, face_model, face_samples, hand_model, hand_project, hand_samples

COUNT = 5
SHARDS = "[smplifyx]\nshard = 2\n"
BOTH = ("hands", "face")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Hands with GT 3D in `lab`, hands with 2D in `wild`, faces in `faces`, and a finished run of hands and faces."""
    folder = tmp_path_factory.mktemp("parts")
    made = hand_project(folder, COUNT)
    add(made, folder / "photos", "faces", TARGET, [face_samples("faces", COUNT, seed=5)])
    (folder / "shards.toml").write_text(SHARDS)
    list(run(made.path, RunOptions("smplifyx", parts=BOTH, recipe=str(folder / "shards.toml"))))
    return Project.open(made.path)


def fits_of(run: Run, dataset: str, part: str) -> Fits:
    found = run.fits(dataset, part)
    assert found is not None
    return found


def misses(fits: Fits, samples: Samples, model: str) -> np.ndarray:
    """`(N, K)` px."""
    poser = Poser(face_model() if model == "face" else hand_model(model))
    points = poser.pose({**fits.parameters, "transl": fits.column("transl")}).points(samples.skeleton.name)
    camera = Camera(fits.column("focal").astype(float), fits.column("princpt").astype(float))
    return np.linalg.norm(camera.project(points.astype(float)) - samples.keypoints[..., :2], axis=-1)


def test_every_hand_and_face_has_a_fit_of_its_own_model(project: Project) -> None:
    made = project.run("smplifyx-r1")
    assert (made.state, made.info.parts) == (FINISHED, BOTH)
    assert made.fitted == [("faces", "face"), *((d, p) for d in ("lab", "wild") for p in ("lhand", "rhand"))]
    models = {"face": face_model(), "lhand": hand_model("left"), "rhand": hand_model("right")}
    terms = {"face": {"points", "shape", "expression", "jaw"}, "lhand": {"points", "shape", "hand"}}
    terms["rhand"] = terms["lhand"]
    for dataset, part in made.fitted:
        fits = fits_of(made, dataset, part)
        assert fits.keys == project.samples(dataset, part).keys
        assert fits.ok.all()
        assert (fits.header.part, fits.header.body_hash) == (part, models[part].hash)
        said = {name.removeprefix("smplifyx.") for name in fits.table.column_names if name.startswith("smplifyx.")}
        assert said == terms[part] | {"objective", "iterations", "stop"}
        total = sum(fits.table[f"smplifyx.{name}"].to_numpy() for name in terms[part])
        assert np.allclose(total, fits.table["smplifyx.objective"].to_numpy(), rtol=1e-5)
        assert (fits.table["smplifyx.iterations"].to_numpy() > 3).all()
        assert len(made.shards(dataset, part)) == 3


def test_target_fits_lie_on_their_keypoints(project: Project) -> None:
    made = project.run("smplifyx-r1")
    for dataset, part, model in (("faces", "face", "face"), ("wild", "lhand", "left"), ("wild", "rhand", "right")):
        fits, samples = fits_of(made, dataset, part), project.samples(dataset, part)
        away = misses(fits, samples, model)
        assert np.median(away) < 1.0, part
        scores = made.score(dataset, part, "error_2d")
        assert scores is not None
        assert np.allclose(list(scores.values()), away.mean(axis=1), atol=1e-3)
    assert np.abs(fits_of(made, "faces", "face").column("expression")).max() > 0.01
    assert (fits_of(made, "wild", "rhand").column("focal") == 5000).all()


def test_auxiliary_hands_are_fitted_to_their_joints(project: Project) -> None:
    made = project.run("smplifyx-r1")
    for part, side in (("lhand", "left"), ("rhand", "right")):
        fits, samples = fits_of(made, "lab", part), project.samples("lab", part)
        posed = Poser(hand_model(side)).pose({**fits.parameters, "transl": fits.column("transl")})
        joints = samples.joints
        assert joints is not None
        away = 1000 * np.linalg.norm(posed.points(HAND.name) - joints[..., :3], axis=-1)
        assert np.median(away) < 3.0
        assert np.allclose(fits.column("focal")[:, 0], samples.intrinsics[:, 0, 0])


def test_a_left_hand_is_fitted_as_its_twin_in_the_mirror() -> None:
    """The same photo mirrored gives the mirrored fit, each on its own side's model."""
    left = hand_samples("wild", "left", COUNT, seed=3, auxiliary=False)
    twins: list[Sample] = []
    for sample in left:
        box, keypoints = sample.box.copy(), sample.keypoints.copy()
        box[0] = sample.width - box[0] - box[2]  # about the photo's centre, which is the camera's
        keypoints[:, 0] = sample.width - keypoints[:, 0]
        twins.append(replace(sample, part="rhand", box=box, keypoints=keypoints))
    pairs = (("lhand", "left", left), ("rhand", "right", Samples.of(twins)))
    found = [
        Fitter("smplifyx", FittingRecipe(), part, hand_model(side), None, in_3d=False).fit(samples)
        for part, side, samples in pairs
    ]
    vertices = [
        Poser(hand_model(side)).pose({**fits.parameters, "transl": fits.column("transl")}).vertices
        for (_, side, _), fits in zip(pairs, found, strict=True)
    ]
    objectives = [fits.table["smplifyx.objective"].to_numpy() for fits in found]
    assert np.allclose(*objectives, rtol=0.02)
    same = np.abs(vertices[0] - vertices[1] * [-1, 1, 1]).max(axis=(1, 2))
    assert np.median(same) < 2e-3
    assert np.ptp(vertices[0][:, :, 0]) > 0.01


def test_a_run_that_was_cut_off_ends_with_the_same_bytes(project: Project) -> None:
    first = project.run("smplifyx-r1")
    recipe = str(project.path.parent / "shards.toml")
    work = run(project.path, RunOptions("smplifyx", parts=BOTH, recipe=recipe))
    for report in work:
        if report.stage == "Annotating wild (rhand)" and report.done == 4:
            break
    work.close()
    assert len(project.run("smplifyx-r1-2").fitted) == len(first.fitted) - 1
    reports = list(run(project.path, RunOptions(resume="smplifyx-r1-2")))
    second = project.run("smplifyx-r1-2")
    assert second.state == FINISHED
    assert second.fitted == first.fitted
    for dataset, part in first.fitted:
        for one, other in zip(first.shards(dataset, part), second.shards(dataset, part), strict=True):
            assert one.read_bytes() == other.read_bytes(), one
    rates = [r.values["people_per_second"] for r in reports if r.stage == "Annotating wild (lhand)" and r.values]
    assert rates
    assert min(rates) > 0
    second.remove()


def test_what_cannot_be_fitted_is_a_failed_fit_with_the_reason(tmp_path: Path) -> None:
    made = hand_project(tmp_path, COUNT)
    faces = face_samples("faces", COUNT, seed=5)
    keypoints = faces.keypoints.copy()
    keypoints[1, 20, 1], keypoints[3, 2:, 2] = np.nan, 0
    place = faces.table.column_names.index("keypoints")
    spoilt = Samples(faces.table.set_column(place, "keypoints", to_column(keypoints)))
    add(made, tmp_path / "photos", "sound", TARGET, [face_samples("sound", COUNT, seed=5)])
    made.add(replace(made.datasets()["sound"], name="faces"), {"face": spoilt}, tmp_path / "photos" / "sound")
    reports = list(run(made.path, RunOptions("smplifyx", parts=("face",))))
    done_run = made.run("smplifyx-r1")
    fits, whole = fits_of(done_run, "faces", "face"), fits_of(done_run, "sound", "face")
    assert np.flatnonzero(~fits.ok).tolist() == [1, 3]
    assert "not a number" in fits[1].reason
    assert fits[3].reason.startswith("2 labelled points")
    assert all(not values[[1, 3]].any() for values in fits.parameters.values())
    assert np.array_equal(fits.column("expression")[fits.ok], whole.column("expression")[fits.ok])
    said = [report.message for report in reports]
    assert any("2 samples of the part face of faces cannot be fitted" in words for words in said)


def test_evaluate_measures_them_and_an_export_says_what_it_lacks(project: Project, tmp_path: Path) -> None:
    text = done(evaluate(project.path, run_ids=["smplifyx-r1"], json_file=tmp_path / "table.json")).text()
    rows = json.loads((tmp_path / "table.json").read_text())
    assert {(row["dataset"], row["part"]) for row in rows} == set(project.run("smplifyx-r1").fitted)
    assert all(row["people"] == COUNT and row["error_2d_crop"] < 5 for row in rows)
    assert "faces (face)" in text
    for layout in ("neuralannot", "smplifyx"):
        with pytest.raises(RunError, match="smplifyx-r1 has no fits of bodies, which an export holds; it has fits of "):
            done(export(project.path, layout, tmp_path / "out", run_id="smplifyx-r1"))


def test_evaluate_measures_the_hands_that_are_named_alone(project: Project, tmp_path: Path) -> None:
    names = "wild/101/rhand,wild/102/rhand,wild/102/lhand"
    done(evaluate(project.path, run_ids=["smplifyx-r1"], samples=names, json_file=tmp_path / "table.json"))
    rows = json.loads((tmp_path / "table.json").read_text())
    people = {(row["dataset"], row["part"]): row["people"] for row in rows}
    assert people == {("wild", "rhand"): 2, ("wild", "lhand"): 1}


def test_samples_name_one_hand_or_a_person_with_all_he_has(project: Project) -> None:
    keys = "wild/101/rhand,wild/102/lhand,faces/103/face"
    list(run(project.path, RunOptions("smplifyx", parts=BOTH, samples=keys)))
    [made] = (other for other in project.runs() if other.id != "smplifyx-r1")
    found = {(d, p): fits_of(made, d, p).keys for d, p in made.fitted}
    made.remove()
    assert sorted(key for keys in found.values() for key in keys) == sorted(keys.split(","))
    with pytest.raises(RunError, match="names wild/101/rhand, and this run is over faces; name its person, wild/101"):
        list(run(project.path, RunOptions("smplifyx", parts=("face",), samples="wild/101/rhand")))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (RunOptions("smplifyx"), "has no data set with bodies to annotate"),
        (RunOptions("smplifyx", parts=("body", "face")), "No data set of this run has samples of the part body"),
        (RunOptions("smplifyx", parts=("face",), data=("wild",)), "wild has no faces, and this run is over faces"),
        (RunOptions("smplifyx", parts=BOTH, source="smplifyx-r1"), "hands and face start by themselves"),
    ],
)
def test_what_cannot_run_says_so(project: Project, options: RunOptions, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        list(run(project.path, options))
    assert [found.id for found in project.runs()] == ["smplifyx-r1"]
