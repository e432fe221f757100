"""Output folders of SMPLify-X, in and out."""

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from annotator.annotators.official_results import read_results, to_parameters
from annotator.bodies.files import BodyModelData, default_root
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.commands.export import export
from annotator.commands.fits import add_fits
from annotator.commands.runs import list_jobs, list_runs
from annotator.errors import BodyModelError, NeuralAnnotError, RunError, UnknownNameError
from annotator.fit import Fits
from annotator.prior import default_vposer
from annotator.project import Project
from annotator.rotations import matrix_to_axis_angle
from annotator.runs import FINISHED
from annotator.sample import Samples
from tests.support.desk_project import COUNT, done

SHAPES = {
    "camera_rotation": (1, 3, 3),
    "camera_translation": (1, 3),
    "betas": (1, 10),
    "global_orient": (1, 3),
    "body_pose": (1, 63),
    "left_hand_pose": (1, 12),
    "right_hand_pose": (1, 12),
    "jaw_pose": (1, 3),
    "leye_pose": (1, 3),
    "reye_pose": (1, 3),
    "expression": (1, 10),
}


def drawn(rng: np.random.Generator, **widths: int) -> dict[str, np.ndarray]:
    """A result as the official program pickles it, of a person some 40 m away."""
    shapes = {**SHAPES, **{name: (1, width) for name, width in widths.items()}}
    content = {name: 0.1 * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    content["camera_rotation"] = np.eye(3, dtype=np.float32)[None]
    content["global_orient"] = np.array([[3.1, 0.05, 0.1]], np.float32)
    content["camera_translation"] = np.array([[0.1, 0.2, 40.0]], np.float32)
    return content


def write(
    folder: Path, contents: dict[str, Any], conf: str | None = "focal_length: 5000.0\nmodel_type: smplx\n"
) -> Path:
    """A folder of results by `<photo>/<number>`."""
    for name, content in contents.items():
        file = folder / "results" / f"{name}.pkl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=2))
    if conf is not None:
        (folder / "conf.yaml").write_text(conf)
    return folder


def photos(project: Path) -> list[str]:
    return [Path(image).stem for image in Project.open(project).samples("wild", "body").table["image"].to_pylist()]


def fits_of(project: Path, run_id: str, part: str = "whole") -> Fits:
    found = Project.open(project).run(run_id).fits("wild", part)
    assert found is not None
    return found


def run_names(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "runs").iterdir())


@pytest.fixture
def exported(desk_project: Path, tmp_path: Path) -> Path:
    done(export(desk_project, "smplifyx", tmp_path / "out", run_id="smplifyx-r1"))
    return tmp_path / "out"


def test_the_layout_is_that_of_the_official_program(exported: Path, desk_project: Path) -> None:
    files = sorted(exported.glob("results/*/*.pkl"))
    assert [file.parent.name for file in files] == sorted(photos(desk_project))
    assert {file.name for file in files} == {"000.pkl"}
    data = files[0].read_bytes()
    assert data[:2] == pickle.PROTO + b"\x02"
    content = pickle.loads(data)  # ours, written a moment ago
    assert {name: values.shape for name, values in content.items()} == SHAPES
    assert {values.dtype for values in content.values()} == {np.dtype(np.float32)}
    assert {op.name for op, _, _ in pickletools.genops(data)}.isdisjoint({"FRAME", "STACK_GLOBAL"})
    assert "use_vposer: false" in (exported / "conf.yaml").read_text()
    assert (exported.parent / "out.manifest.json").exists()


def test_what_is_written_comes_back_and_lies_on_its_people(exported: Path, desk_project: Path, tmp_path: Path) -> None:
    text = done(add_fits(desk_project, "smplifyx", exported)).text()
    assert f"Added {COUNT} of {COUNT} results as the run smplifyx-added." in text
    project = Project.open(desk_project)
    added, source = project.run("smplifyx-added"), project.run("smplifyx-r1")
    assert (added.state, added.info.annotator, added.info.parts) == (FINISHED, "smplifyx", ("whole",))
    fits, before = fits_of(desk_project, added.id), fits_of(desk_project, source.id, "body")
    assert fits.keys == before.keys
    assert np.array_equal(fits.column("body_pose"), before.column("body_pose"))
    assert np.array_equal(fits.column("betas"), before.column("betas"))
    assert (fits.column("focal") == 5000).all()
    scores, others = added.score("wild", "whole", "error_2d_crop"), source.score("wild", "body", "error_2d_crop")
    assert scores is not None
    assert others is not None
    assert np.mean(list(scores.values())) < 6.0  # the truth from ten times as far away
    done(export(desk_project, "smplifyx", tmp_path / "again", run_id=added.id))
    done(add_fits(desk_project, "smplifyx", tmp_path / "again"))
    again = fits_of(desk_project, "smplifyx-added-2")
    for name, values in {**fits.parameters, "transl": fits.column("transl")}.items():
        assert np.allclose(again.column(name), values, atol=1e-6), name


def test_latents_and_coefficients_are_decoded(body: BodyModelData, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    contents = {f"a/{number:03d}": drawn(rng, body_pose=32) for number in range(3)}
    results = read_results(write(tmp_path, contents))
    assert results.latent
    vposer = default_vposer(default_root())
    found = to_parameters(results, body, vposer)
    for row, content in enumerate(contents.values()):
        with torch.no_grad():
            pose = matrix_to_axis_angle(vposer.decode(torch.as_tensor(content["body_pose"]))).flatten().numpy()
        assert np.allclose(found["body_pose"][row], pose, atol=1e-5)
        hand = content["left_hand_pose"][0] @ body.hand_components["left"][:12]
        assert np.allclose(found["left_hand_pose"][row], hand, atol=1e-6)
        assert np.allclose(found["transl"][row], content["camera_translation"][0])


def test_a_flat_hand_mean_and_plain_hands_are_as_the_settings_say(body: BodyModelData, tmp_path: Path) -> None:
    content = drawn(np.random.default_rng(4), right_hand_pose=45)
    plain = read_results(write(tmp_path / "a", {"a/000": content}, "use_pca: false\nflat_hand_mean: true\n"))
    found = to_parameters(plain, body, None)["right_hand_pose"][0]
    assert np.allclose(found, content["right_hand_pose"][0] - body.hand_mean["right"], atol=1e-6)
    pca = read_results(write(tmp_path / "b", {"a/000": content}))
    found = to_parameters(pca, body, None)["right_hand_pose"][0]
    assert np.allclose(found, content["right_hand_pose"][0] @ body.hand_components["right"], atol=1e-6)


def test_a_camera_that_is_turned_moves_nothing_in_the_photo(body: BodyModelData, tmp_path: Path) -> None:
    content = drawn(np.random.default_rng(4))
    turn = axis_angle_to_matrix(np.array([[0.1, -0.3, 0.2]]))
    content["camera_rotation"] = turn.astype(np.float32)
    found = to_parameters(read_results(write(tmp_path, {"a/000": content})), body, None)
    poser = Poser(body)
    names = ("global_orient", "body_pose", "betas", "expression", "jaw_pose")
    still = {name: found[name] for name in found if name not in ("global_orient", "transl")}
    theirs = poser.pose({**still, **{name: content[name] for name in names}}).joints @ turn[0].T
    ours = poser.pose(found).joints
    assert np.allclose(ours, theirs + content["camera_translation"], atol=1e-4)


def test_people_of_one_photo_get_the_result_that_lies_on_them(exported: Path, desk_project: Path) -> None:
    """Two people are put into one photo, their results in the wrong order."""
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    images = samples.table["image"].to_pylist()
    names = [Path(image).stem for image in images]
    images[1] = images[0]
    place = samples.table.column_names.index("image")
    table = samples.table.set_column(place, "image", pa.array(images, pa.string()))
    project.add(project.datasets()["wild"], {"body": Samples(table)}, project.image_roots["wild"])
    first, second = (exported / "results" / names[row] / "000.pkl" for row in (0, 1))
    first.rename(first.with_name("001.pkl"))
    second.rename(first)
    done(add_fits(desk_project, "smplifyx", exported))
    fits, before = fits_of(desk_project, "smplifyx-added"), fits_of(desk_project, "smplifyx-r1", "body")
    assert np.array_equal(fits.column("body_pose"), before.column("body_pose"))
    assert fits.table["imported.file"].to_pylist()[:2] == [f"{names[0]}/001.pkl", f"{names[0]}/000.pkl"]


def test_results_of_others_are_counted_and_named(exported: Path, desk_project: Path) -> None:
    names = photos(desk_project)
    there = exported / "results" / names[0] / "000.pkl"
    (exported / "results" / "elsewhere").mkdir()
    (exported / "results" / "elsewhere" / "000.pkl").write_bytes(there.read_bytes())
    there.with_name("007.pkl").write_bytes(there.read_bytes())
    nan = pickle.loads((exported / "results" / names[1] / "000.pkl").read_bytes())
    nan["betas"][0, 3] = np.nan
    write(exported, {f"{names[1]}/000": nan}, None)
    text = done(add_fits(desk_project, "smplifyx", exported)).text()
    assert "1 lie on a photo that the project does not have: elsewhere/000.pkl." in text
    assert f"1 lie on nobody who has no better one: {names[0]}/007.pkl." in text
    assert f"their fits are marked failed: {names[1]}/000.pkl." in text
    fits = fits_of(desk_project, "smplifyx-added")
    assert len(fits) == COUNT
    assert np.flatnonzero(~fits.ok).tolist() == [1]
    assert fits[1].reason == "its file holds numbers that are not finite or beyond a million"


@pytest.mark.parametrize("name", ["betas", "left_hand_pose", "camera_translation", "camera_rotation"])
def test_numbers_that_float32_cannot_hold_make_a_failed_fit(exported: Path, desk_project: Path, name: str) -> None:
    photo = photos(desk_project)[2]
    content = pickle.loads((exported / "results" / photo / "000.pkl").read_bytes())
    content[name] = np.full(content[name].shape, 1e300)
    write(exported, {f"{photo}/000": content}, None)
    done(add_fits(desk_project, "smplifyx", exported))
    fits = fits_of(desk_project, "smplifyx-added")
    assert np.flatnonzero(~fits.ok).tolist() == [2]
    assert all(np.isfinite(values).all() for values in fits.parameters.values())


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it was executed')",)


def lacking(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        (lambda content: {**content, "betas": _Code()}, BodyModelError, "asks for builtins.exec|__builtin__.exec"),
        (lambda content: pickle.dumps(content, protocol=2)[:-400], BodyModelError, "cannot be read as plain arrays"),
        (lambda _: [1, 2], RunError, "does not hold arrays by name"),
        (lacking("jaw_pose"), RunError, "lacks 'jaw_pose'"),
        (lambda content: {**content, "betas": np.zeros((1, 300))}, RunError, "'betas' has 300 numbers, expecting 10"),
        (lambda content: {**content, "betas": "ten"}, RunError, "'betas' is not an array of numbers"),
        (lambda content: {**content, "body_pose": np.zeros((1, 69))}, RunError, "expecting 32 or 63"),
        (lambda content: {**content, "left_hand_pose": np.zeros((1, 99))}, RunError, "expecting 1 to 45"),
        (lambda content: {**content, "left_hand_pose": np.zeros((1, 6))}, RunError, "the results of one run"),
        (
            lambda content: {**content, "camera_rotation": -np.eye(3)[None]},
            RunError,
            "'camera_rotation' is no rotation",
        ),
        (lambda content: {**content, "camera_rotation": 5 * np.eye(3)[None]}, RunError, "'camera_rotation' is no rot"),
        (lambda content: {**content, "camera_rotation": np.zeros((1, 3, 3))}, RunError, "'camera_rotation' is no rota"),
    ],
)
def test_a_bad_file_refuses_the_folder_and_leaves_no_run(
    desk_project: Path,
    tmp_path: Path,
    spoil: Callable[[Any], Any],
    kind: type[NeuralAnnotError],
    sentence: str,
) -> None:
    content, before = drawn(np.random.default_rng(4)), run_names(desk_project)
    name = photos(desk_project)[0]
    write(tmp_path / "out", {f"{name}/000": content, f"{name}/001": spoil(content)})
    with pytest.raises(kind, match=sentence) as caught:
        done(add_fits(desk_project, "smplifyx", tmp_path / "out"))
    assert "001.pkl" in str(caught.value)
    assert run_names(desk_project) == before


def test_settings_may_have_comments_and_quotes(tmp_path: Path) -> None:
    conf = (
        "# of the third try\nfocal_length: 4000.0  # px\nmodel_type: 'smplx'  # with hands\n"
        'prior_folder: "a # b"\njaw_prior_type:   # none\nbody_tri_idxs:\n- 5\n- 12\n'
    )
    results = read_results(write(tmp_path, {"a/000": drawn(np.random.default_rng(4))}, conf))
    assert (results.focal, results.family) == (4000.0, "smplx")
    assert results.settings == {"focal_length": "4000.0", "model_type": "smplx", "prior_folder": "a # b"}


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ("model_type: smplh\n", "are of smplh; those of smplx and smpl"),
        ("model_type: smplx\nfocal_length: far\n", "names the focal length far"),
        ("model_type: smplx\nfocal_length: -3\n", "names the focal length -3"),
    ],
)
def test_bad_settings_are_refused(desk_project: Path, tmp_path: Path, conf: str, sentence: str) -> None:
    write(tmp_path, {"a/000": drawn(np.random.default_rng(4))}, conf)
    with pytest.raises(RunError, match=sentence):
        done(add_fits(desk_project, "smplifyx", tmp_path))


def test_what_cannot_be_added_or_written_says_so(exported: Path, desk_project: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="smplifyx"):
        done(add_fits(desk_project, "bvh", exported))
    with pytest.raises(RunError, match=r"holds no results/<photo>/<number>\.pkl"):
        done(add_fits(desk_project, "smplifyx", tmp_path / "nowhere"))
    write(tmp_path / "others", {"elsewhere/000": drawn(np.random.default_rng(4))}, None)
    with pytest.raises(RunError, match=r"None of the 1 results .* nothing was added"):
        done(add_fits(desk_project, "smplifyx", tmp_path / "others"))
    with pytest.raises(RunError, match="is there already"):
        done(export(desk_project, "smplifyx", exported, run_id="smplifyx-r1"))


def test_results_that_came_in_are_finished_though_nobody_worked_on_them(exported: Path, desk_project: Path) -> None:
    done(add_fits(desk_project, "smplifyx", exported))
    assert Project.open(desk_project).run("smplifyx-added").state == FINISHED
    for table in (list_runs(desk_project), list_jobs(desk_project)):
        assert "finished" in next(line for line in table.text().splitlines() if line.startswith("smplifyx-added"))
        assert "interrupted" not in table.text()


def test_results_whose_import_ends_early_leave_no_run(
    exported: Path, desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted((desk_project / "runs").iterdir())
    adding = add_fits(desk_project, "smplifyx", exported)
    while not next(adding).stage.startswith("Adding to"):
        assert sorted((desk_project / "runs").iterdir()) == before
    adding.close()
    assert sorted((desk_project / "runs").iterdir()) == before


def test_photos_of_one_name_in_two_data_sets_are_told_apart_by_data(exported: Path, desk_project: Path) -> None:
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    keys = [key.replace("wild/", "zoo/") for key in samples.keys]
    table = samples.table.set_column(0, "key", pa.array(keys, pa.string()))
    info = replace(project.datasets()["wild"], name="zoo", image_root="zoo")
    project.add(info, {"body": Samples(table)}, project.image_roots["wild"])
    with pytest.raises(RunError, match="--data wild or --data zoo"):
        done(add_fits(desk_project, "smplifyx", exported))
    done(add_fits(desk_project, "smplifyx", exported, data=("zoo",)))
    assert Project.open(desk_project).run("smplifyx-added").fitted == [("zoo", "whole")]


@pytest.mark.parametrize("twin", ["{stem}.png", "other/{stem}.jpg"])
def test_photos_of_one_name_in_a_data_set_are_not_pooled(exported: Path, desk_project: Path, twin: str) -> None:
    project, before = Project.open(desk_project), run_names(desk_project)
    samples = project.samples("wild", "body")
    images = samples.table["image"].to_pylist()
    images[1] = twin.format(stem=Path(images[0]).stem)
    place = samples.table.column_names.index("image")
    table = samples.table.set_column(place, "image", pa.array(images, pa.string()))
    project.add(project.datasets()["wild"], {"body": Samples(table)}, project.image_roots["wild"])
    with pytest.raises(RunError, match=r"are both called .* results are kept by that name alone"):
        done(add_fits(desk_project, "smplifyx", exported))
    assert run_names(desk_project) == before
