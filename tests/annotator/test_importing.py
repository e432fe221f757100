"""`bodies import`: files as their owners ship them, written here from the open body's arrays."""

import hashlib
import os
import shutil
import sys
import types
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies.files import content_hash, default_root, load_body_model, read_model, verified
from annotator.bodies.importing import Found, Haul, mend_left_hand, take
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.prior_files import read_prior
from annotator.commands.bodies import check
from annotator.commands.projects import new
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.prior.defaults import default_gmm, default_vposer
from annotator.prior.vposer import VPoser, VPoserV2
from annotator.project import Project
from annotator.runs import write_text
from annotator.skeleton import FACE
from benchmarks._official import OfPython2
from tests.support.official_files import imported, of_model, store, tiny_hand


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray], object]:
    """Makes arrays of a package that cannot be imported when they are read again."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x: np.ndarray) -> None:
            self.x = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return Ch


def finished(work: Any) -> Table:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_pickles_with_chumpy_and_sparse_arrays_pose_as_before(
    tmp_path: Path, chumpy: Callable[[np.ndarray], object]
) -> None:
    arrays = of_model("smpl")
    official = arrays | {
        "v_template": chumpy(arrays["v_template"]),
        "shapedirs": chumpy(arrays["shapedirs"]),
        "J_regressor": sparse.csc_matrix(arrays["J_regressor"]),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
        "pose_training_info": {"gender": "female", "trials": [("a", 1.5), None]},
        "part2num": np.array({"hips": 0}, dtype=object),
        "joint2num": np.array([{"neck": 12}, None], dtype=object),
        "weights_prior": None,
        "eff": b"\x00\xff",
    }
    store(tmp_path / "in" / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", official)
    del sys.modules["chumpy.ch"]
    table = imported(tmp_path / "in", tmp_path / "out")
    assert [row[:2] for row in table.rows] == [("smpl", "female")]
    assert verified(tmp_path / "out", "smpl", "female")
    body = load_body_model(tmp_path / "out", "smpl", "female")
    rng = np.random.default_rng(0)
    given = {k: rng.normal(0, 0.4, (2, w)).astype(np.float32) for k, w in parameter_widths("smpl").items()}
    wanted = Poser(load_body_model(default_root(), "smpl")).pose(given)
    assert np.abs(Poser(body).pose(given).vertices - wanted.vertices).max() < 1e-5
    assert "chumpy.ch" not in sys.modules


def test_text_and_binary_pickles_of_python_2_are_the_same_model(
    tmp_path: Path, chumpy: Callable[[np.ndarray], object]
) -> None:
    hand = tiny_hand()
    content = hand | {key: chumpy(hand[key]) for key in ("v_template", "shapedirs", "posedirs", "weights")}
    digests: list[str] = []
    for name, protocol in (("text", 0), ("binary", 2)):
        path = tmp_path / name / "MANO_RIGHT.pkl"
        path.parent.mkdir()
        with path.open("wb") as file:
            OfPython2(file, protocol).dump(content)
        ((*_, digest, _),) = imported(path, tmp_path / f"of_{name}").rows
        digests.append(digest)
        stored = read_model(tmp_path / f"of_{name}", "mano_right")
        assert str(stored["provenance"]).endswith(f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        for key, values in hand.items():
            wanted = values.astype(np.float32) if values.dtype.kind == "f" else values
            if key == "kintree_table":
                wanted = np.array([[-1, *[0] * 15], range(16)])
            np.testing.assert_array_equal(stored[key], wanted, err_msg=f"{name}: {key}")
    assert digests == [content_hash({key: stored[key] for key in hand})] * 2


def test_a_whole_download_is_known_by_its_content_and_agrees_with_the_package(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    np.savez(source / "a.npz", **of_model("smplx"), extra=np.array([{"an": "object"}], dtype=object))
    store(source / "b.pkl", of_model("mano_right"))
    store(source / "c.pkl", of_model("mano_left"))
    store(source / "generic_model.pkl", of_model("flame"))
    for name in ("flame_static_embedding.pkl", "flame_dynamic_embedding.npy"):
        (source / name).write_bytes((default_root() / "flame" / name).read_bytes())
    np.save(source / "J_regressor_h36m.npy", np.zeros((17, 6890)))
    table = imported(source, target)
    assert [row[0] for row in table.rows] == ["smplx", "mano_right", "mano_left", "flame"]
    assert any("J_regressor_h36m.npy was passed over" in note for note in table.notes)
    rows = finished(check(target)).rows
    assert [row[0] for row in rows] == ["smplx", "mano_right", "mano_left", "flame", "vposer", "gmm"]
    assert all(float(row[-1].removesuffix(" m")) < 1e-5 for row in rows[:4])
    assert all("(the one that ships)" in row[1] for row in rows[4:])


def test_the_left_hands_sign_is_mended_where_it_is_wrong_and_only_there(tmp_path: Path) -> None:
    right, left = of_model("mano_right"), of_model("mano_left")
    wrong = left | {"shapedirs": left["shapedirs"] * np.array([-1, 1, 1])[:, None]}
    for name, given, says in (("good", left, False), ("bad", wrong, True)):
        store(tmp_path / name / "MANO_RIGHT.pkl", right)
        store(tmp_path / name / "MANO_LEFT.pkl", given)
        table = imported(tmp_path / name, tmp_path / f"{name}_out")
        assert any("was turned" in note for note in table.notes) is says
        found = load_body_model(tmp_path / f"{name}_out", "mano_left").shapedirs
        np.testing.assert_allclose(found, load_body_model(default_root(), "mano_left").shapedirs, atol=1e-7)
    alone = [Found("mano_left", "neutral", tmp_path, Future(), {"shapedirs": wrong["shapedirs"]})]
    assert "was not checked" in mend_left_hand(alone, tmp_path / "empty")
    assert "was turned" in mend_left_hand(alone, tmp_path / "good_out")


@pytest.mark.parametrize("first", ["mano_left", "mano_right"])
def test_the_left_hands_sign_is_mended_once_whichever_hand_is_imported_first(first: str, tmp_path: Path) -> None:
    left = of_model("mano_left")
    files = {
        "mano_right": store(tmp_path / "MANO_RIGHT.pkl", of_model("mano_right")),
        "mano_left": store(
            tmp_path / "MANO_LEFT.pkl", left | {"shapedirs": left["shapedirs"] * np.array([-1, 1, 1])[:, None]}
        ),
    }
    second = "mano_right" if first == "mano_left" else "mano_left"
    out = tmp_path / "out"
    notes = imported(files[first], out).notes
    assert any("importing that one checks both" in note for note in notes) is (first == "mano_left")
    table = imported(files[second], out)
    assert sum("was turned" in note for note in table.notes) == 1
    assert sorted(row[0] for row in table.rows) == (sorted(files) if first == "mano_left" else ["mano_left"])
    for again in ((), (files["mano_right"],)):  # a second import of the right hand turns nothing back
        for path in again:
            assert not any("turned" in note for note in imported(path, out).notes)
        assert verified(out, "mano_left")
        found = load_body_model(out, "mano_left").shapedirs
        np.testing.assert_allclose(found, load_body_model(default_root(), "mano_left").shapedirs, atol=1e-7)
        record = str(read_model(out, "mano_left")["provenance"])
        assert record.startswith("imported from MANO_LEFT.pkl, sha256 ")
        assert str(load_body_model(out, "mano_left").provenance) == record
        assert record.count("; mended: the sign of its shape along x was turned") == 1
    imported(files["mano_left"], out)  # the wrong file once more: turned again, since it comes as it was
    found = load_body_model(out, "mano_left").shapedirs
    np.testing.assert_allclose(found, load_body_model(default_root(), "mano_left").shapedirs, atol=1e-7)


@pytest.mark.parametrize(
    ("components", "outline", "says"),
    [
        (10, True, "10 + 0"),
        (16, False, "16 + 0"),
        (20, False, "10 + 10"),
        (300, True, "300 + 0"),
        (400, False, "300 + 100"),
    ],
)
def test_every_variant_of_smplx_is_taken_and_check_prints_its_true_numbers(
    components: int, outline: bool, says: str, tmp_path: Path
) -> None:
    """Old files, those with a locked head and those of other programs: fewer components, or no outline of the face."""
    arrays = of_model("smplx")
    rng = np.random.default_rng(0)
    shapes = rng.normal(0, 0.01, (len(arrays["v_template"]), 3, components))
    kept = {key: values for key, values in arrays.items() if outline or not key.startswith("dynamic_lmk")}
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "SMPLX_MALE.npz", **(kept | {"shapedirs": shapes}))
    imported(tmp_path / "in", tmp_path / "out")
    (model,) = (row for row in finished(check(tmp_path / "out")).rows if row[0] == "smplx")
    assert model[2:6] == ("imported from SMPLX_MALE.npz", str(len(shapes)), "55", says)
    assert float(model[-1].removesuffix(" m")) < 1e-5
    body = load_body_model(tmp_path / "out", "smplx", "male")
    assert body.points[FACE.name].present[:17].all() == outline
    first = 300 if components == 400 else 10
    wanted = shapes[:, :, first : first + 10] if says[-2:] != " 0" else np.zeros((len(shapes), 3, 10))
    np.testing.assert_allclose(body.exprdirs, wanted, atol=1e-7)
    given = {"betas": np.ones((1, 10), np.float32), "expression": np.ones((1, 10), np.float32)}
    moved = body.v_template + shapes[:, :, :10].sum(axis=2) + wanted.sum(axis=2)
    rest = {"left_hand_pose": body.hand_mean["left"], "right_hand_pose": body.hand_mean["right"]}
    posed = Poser(body).pose(given | {key: -values[None] for key, values in rest.items()}).vertices[0]
    np.testing.assert_allclose(posed, moved, atol=1e-5)


@pytest.mark.parametrize("components", [10, 16, 300])
def test_every_variant_of_smpl_is_taken(components: int, tmp_path: Path) -> None:
    arrays = of_model("smpl")
    arrays["shapedirs"] = np.random.default_rng(0).normal(0, 0.01, (len(arrays["v_template"]), 3, components))
    store(tmp_path / "in" / "basicmodel_m_lbs_10_207_0_v1.1.0.pkl", arrays)
    imported(tmp_path / "in", tmp_path / "out")
    model = finished(check(tmp_path / "out")).rows[0]
    assert (model[0], model[5]) == ("smpl", str(components))
    assert float(model[-1].removesuffix(" m")) < 1e-5
    body = load_body_model(tmp_path / "out", "smpl", "male", betas=components)
    np.testing.assert_allclose(body.shapedirs, arrays["shapedirs"], atol=1e-7)


def test_an_outline_of_which_half_is_missing_is_refused(tmp_path: Path) -> None:
    arrays = of_model("smplx")
    del arrays["dynamic_lmk_bary_coords"]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(BodyModelError, match="lacks dynamic_lmk_bary_coords"):
        imported(tmp_path / "a.npz", tmp_path / "out")


def test_a_hand_under_the_other_hands_name_is_refused(tmp_path: Path) -> None:
    path = store(tmp_path / "MANO_LEFT.pkl", of_model("mano_right"))
    with pytest.raises(BodyModelError, match="right hand by its shape and a left one by its name"):
        take(path, Haul())


@pytest.mark.parametrize("version", [1, 2])
def test_vposer_and_the_mixture_take_the_place_of_those_that_ship(tmp_path: Path, version: int) -> None:
    torch.manual_seed(0)
    network = VPoser() if version == 1 else VPoserV2()
    state = {("vp_model." if version == 2 else "") + name: values for name, values in network.state_dict().items()}
    (tmp_path / "in" / "snapshots").mkdir(parents=True)
    name = "TR00_E096.pt" if version == 1 else "V02_05_epoch=13_val_loss=0.03.ckpt"
    torch.save(state if version == 1 else {"state_dict": state}, tmp_path / "in" / "snapshots" / name)
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(8, 69, 69))
    mixture = {"means": rng.normal(size=(8, 69)), "covars": roots @ roots.swapaxes(1, 2), "weights": np.full(8, 1 / 8)}
    store(tmp_path / "in" / "gmm_08.pkl", mixture)
    table = imported(tmp_path / "in", tmp_path / "out")
    assert [row[0] for row in table.rows] == ["vposer", "gmm"]
    found = default_vposer(tmp_path / "out").state_dict()
    assert all(torch.equal(found[key], values) for key, values in network.state_dict().items())
    np.testing.assert_array_equal(read_prior(tmp_path / "out", "gmm").arrays["means"], mixture["means"])
    default_gmm(tmp_path / "out")


def test_one_file_with_code_stops_the_import_before_anything_is_written(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    store(tmp_path / "in" / "MANO_RIGHT.pkl", of_model("mano_right"))
    store(tmp_path / "in" / "SMPL_MALE.pkl", {"v_template": Boom()})
    with pytest.raises(BodyModelError, match=r"SMPL_MALE\.pkl asks for posix\.system"):
        imported(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_imported_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BodyModelError, match=r"has no \.pkl"):
        imported(tmp_path / "empty", tmp_path / "out")
    store(tmp_path / "other" / "x.pkl", {"a": np.zeros(3)})
    with pytest.raises(
        BodyModelError, match=r"x\.pkl is neither a body model.* regressor; give the folder of a download"
    ):
        imported(tmp_path / "other", tmp_path / "out")
    for letter in "abcd":
        np.save(tmp_path / "other" / f"{letter}.npy", np.zeros(3))
    with pytest.raises(BodyModelError, match=r"a\.npy is an array without a name.*and so on for 2 more"):
        imported(tmp_path / "other", tmp_path / "out")
    (tmp_path / "landmarks").mkdir()
    shutil.copy(default_root() / "flame" / "flame_static_embedding.pkl", tmp_path / "landmarks")
    with pytest.raises(BodyModelError, match="nothing that is a body model"):
        imported(tmp_path / "landmarks", tmp_path / "out")
    store(tmp_path / "head" / "generic_model.pkl", of_model("flame"))
    store(tmp_path / "head" / "MANO_RIGHT.pkl", of_model("mano_right"))
    with pytest.raises(BodyModelError, match=r"FLAME without flame_static_embedding\.pkl"):
        imported(tmp_path / "head", tmp_path / "out")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "x.npy").write_bytes(b"\x93NUM")
    with pytest.raises(BodyModelError, match="not an npy file"):
        imported(tmp_path / "torn", tmp_path / "out")
    short = of_model("smpl") | {"weights": np.zeros((6890, 23))}
    store(tmp_path / "short" / "x.pkl", short)
    with pytest.raises(BodyModelError, match="has 23 joints"):
        imported(tmp_path / "short", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_vposer_is_taken_and_every_other_file_of_one_is_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = VPoser(), VPoserV2()
    for name, state in (
        ("v2/snapshots/V02_05_epoch=13_val_loss=0.03.ckpt", {"state_dict": second.state_dict()}),
        ("v1/snapshots/TR00_E010.pt", VPoser().state_dict()),
        ("v1/snapshots/TR00_E096.pt", first.state_dict()),
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, tmp_path / "in" / name)
    table = imported(tmp_path / "in", tmp_path / "out")
    assert [(row[0], Path(row[-1]).name) for row in table.rows] == [("vposer", "TR00_E096.pt")]
    assert any("TR00_E010.pt was passed over: TR00_E096.pt is a newer" in note for note in table.notes)
    assert any("V02_05" in note and "import this file alone" in note for note in table.notes)
    found = default_vposer(tmp_path / "out").state_dict()
    assert all(torch.equal(found[key], values) for key, values in first.state_dict().items())


def test_a_project_takes_models_in_until_it_has_runs(tmp_path: Path) -> None:
    project = new(tmp_path / "p")
    before = project.body_models
    changed = of_model("smpl")
    changed["v_template"] = changed["v_template"] + 0.01
    store(tmp_path / "in" / "basicmodel_neutral.pkl", changed)
    table = imported(tmp_path / "in", tmp_path / "p")
    after = Project.open(tmp_path / "p").body_models
    assert after["smpl"].hash == table.rows[0][2] == load_body_model(tmp_path / "p" / "body_models", "smpl").hash
    assert after["smpl"].hash != before["smpl"].hash
    assert {f: s for f, s in after.items() if f != "smpl"} == {f: s for f, s in before.items() if f != "smpl"}
    (tmp_path / "p" / "runs" / "r1").mkdir()
    write_text(tmp_path / "p" / "runs" / "r1" / "run.json", "{}")
    with pytest.raises(BodyModelError, match="has runs, whose fits belong to its present body models"):
        imported(tmp_path / "in", tmp_path / "p")


def test_a_project_that_only_points_at_models_does_not_have_them_replaced(tmp_path: Path) -> None:
    shutil.copytree(default_root() / "smplx", tmp_path / "models" / "smplx")
    new(tmp_path / "p", body_models=tmp_path / "models", copy=False)
    store(tmp_path / "in" / "hand.pkl", tiny_hand())
    with pytest.raises(BodyModelError, match="not its own copies; import into that folder"):
        imported(tmp_path / "in", tmp_path / "p")


def test_a_new_project_takes_the_imported_folder_with_every_gender_and_smplh(tmp_path: Path) -> None:
    smplx, smpl = of_model("smplx"), of_model("smpl")
    for gender in ("female", "male"):
        store(tmp_path / "in" / f"basicmodel_{gender}.pkl", smpl)
    np.savez(tmp_path / "in" / "SMPLX_MALE.npz", **smplx)
    imported(tmp_path / "in", tmp_path / "models")
    with pytest.raises(BodyModelError, match=r"has SMPL-X only as male, .* put SMPLX_NEUTRAL\.npz beside it"):
        new(tmp_path / "p", body_models=tmp_path / "models")
    assert not (tmp_path / "p").exists()
    np.savez(tmp_path / "in" / "SMPLX_NEUTRAL.npz", **smplx)
    joints = np.r_[0:22, 25:55]  # without jaw and eyes
    features = (9 * (joints[1:, None] - 1) + np.arange(9)).ravel()
    parents = smplx["kintree_table"][:, joints].astype(np.int64)
    parents[0, 1:] = np.searchsorted(joints, parents[0, 1:])
    mixed = {"weights": smplx["weights"][:, joints], "J_regressor": smplx["J_regressor"][joints]}
    mixed |= {"posedirs": smplx["posedirs"][..., features], "kintree_table": parents}
    np.savez(tmp_path / "in" / "SMPLH_FEMALE.npz", **{k: v for k, v in smplx.items() if "lmk" not in k} | mixed)
    imported(tmp_path / "in", tmp_path / "models")
    project = new(tmp_path / "p", body_models=tmp_path / "models")
    assert set(project.body_models) == {"smplx", "smplh", "smpl"}
    for name, gender in (("smplx", "male"), ("smplh", "female"), ("smpl", "female"), ("smpl", "male")):
        assert verified(tmp_path / "p" / "body_models", name, gender)
    smplh = load_body_model(tmp_path / "models", "smplh", "female")
    assert project.body_models["smplh"].hash == smplh.hash
