"""`bodies import`: files as their owners ship them, written here from the open body's arrays."""

import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies.files import default_root, load_body_model, read_model, verified
from annotator.bodies.importing import Found, Haul, mend_left_hand, take
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.prior_files import read_prior
from annotator.commands.bodies import check, import_
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.prior.defaults import default_gmm, default_vposer
from annotator.prior.vposer import VPoser, VPoserV2

TEXTS = ("name", "licence", "provenance", "hash")


def imported(source: Path, target: Path) -> Table:
    work = import_(source, target)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def of_model(name: str) -> dict[str, Any]:
    """A model's arrays as its owners name and store them: without ours, in float64."""
    arrays = read_model(default_root(), name)
    ours = (*TEXTS, "head_top", "smplx_vertices")
    kept = {
        k: v
        for k, v in arrays.items()
        if k not in ours and not k.startswith(("posedirs_", "lmk" if name == "flame" else "?"))
    }
    kept = {k: v for k, v in kept.items() if name != "flame" or "lmk" not in k}
    plain = {k: np.asarray(v.toarray() if sparse.issparse(v) else v) for k, v in kept.items()}
    plain = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in plain.items()}
    plain["posedirs"] = plain["posedirs"].reshape(len(plain["v_template"]), 3, -1)
    root = plain["kintree_table"].astype(np.uint32)
    root[0, 0] = 2**32 - 1
    return plain | {"kintree_table": root}


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


def store(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


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
    work, rows = check(target), ()
    while not rows:
        try:
            next(work)
        except StopIteration as end:
            rows = end.value.rows
    assert [row[0] for row in rows] == ["smplx", "mano_right", "mano_left", "flame"]
    assert all(float(row[-1].removesuffix(" m")) < 1e-5 for row in rows)


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
    alone = [Found("mano_left", "neutral", tmp_path, {"shapedirs": wrong["shapedirs"]})]
    assert "was not checked" in mend_left_hand(alone, tmp_path / "empty")
    assert "was turned" in mend_left_hand(alone, tmp_path / "good_out")


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
    with pytest.raises(BodyModelError, match="nothing that is a body model"):
        imported(tmp_path / "other", tmp_path / "out")
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
