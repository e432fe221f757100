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

from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import default_root, load_body_model, read_model, verified
from annotator.bodies.importing import Found, Haul, mend_left_hand, take
from annotator.bodies.points import vertices_needed
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.prior_files import read_prior
from annotator.commands.bodies import check
from annotator.commands.import_bodies import import_bodies
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.prior.defaults import default_gmm, default_vposer
from annotator.prior.vposer import VPoser, VPoserV2

TEXTS = ("name", "licence", "provenance", "hash")


def imported(source: Path, target: Path) -> Table:
    work = import_bodies(source, target)
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


def tiny_hand() -> dict[str, Any]:
    """The smallest file that is a right hand: no more vertices than its points name."""
    rng, count = np.random.default_rng(0), vertices_needed("mano")
    template = rng.normal(0, 0.1, (count, 3))
    template[:2, 0] = 1, -1
    regressor, weights = np.zeros((16, count)), np.zeros((count, 16))
    regressor[np.arange(16), [0, 1, 1, 1, 1, *range(2, 13)]] = 1
    weights[:, 0] = 1
    return {
        "v_template": template,
        "f": rng.integers(0, count, (5, 3)),
        "shapedirs": rng.normal(0, 0.01, (count, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (count, 3, 135)),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *[0] * 15], range(16)], np.uint32),
        "weights": weights,
        "hands_mean": np.zeros(45),
        "hands_components": np.eye(45),
    }


def spoilt(values: np.ndarray, how: str) -> Any:
    if how == "NaN":
        return np.where(np.arange(values.size).reshape(values.shape) == values.size // 2, np.nan, values.astype(float))
    made = {
        "text": values.astype(str),
        "complex": values.astype(complex),
        "flat": values.ravel(),
        "deep": values[None, None],
        "turned": values.T if values.ndim > 1 and values.shape != values.T.shape else values[:, None],
        "short": values[:-1],
        "long": np.concatenate([values, values]),
        "one": values.ravel()[0],
        "empty": values[:0],
        "huge": values.astype(np.float64) + 1e300,
    }
    return made[how]


HOW = ("text", "complex", "flat", "deep", "turned", "short", "long", "one", "empty", "huge", "NaN")


def test_a_tiny_hand_can_be_imported(tmp_path: Path) -> None:
    imported(store(tmp_path / "in" / "hand.pkl", tiny_hand()), tmp_path / "out")
    assert load_body_model(tmp_path / "out", "mano_right").v_template.shape == (vertices_needed("mano"), 3)


@pytest.mark.parametrize("key", tiny_hand())
def test_every_array_is_checked_before_it_is_used(key: str, tmp_path: Path) -> None:
    """Each array of a file in turn is left out or spoilt; one sentence names the file, and nothing is written."""
    whole = tiny_hand()
    files = {how: {**whole, key: spoilt(whole[key], how)} for how in HOW}
    files["missing"] = {name: values for name, values in whole.items() if name != key}
    if key == "f":  # a mesh may have any number of triangles
        del files["short"], files["long"], files["empty"]
    if key == "hands_components":  # its transpose has its shape
        del files["turned"]
    if whole[key].ndim == 1:
        del files["flat"]
    for how, content in files.items():
        path = store(tmp_path / "in" / f"{how}.pkl", content)
        with pytest.raises(BodyModelError) as refusal:
            imported(path, tmp_path / "out")
        sentence = str(refusal.value)
        assert sentence.startswith(str(path)), how
        assert sentence.endswith("."), how
        assert "\n" not in sentence, how
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"lmk_face_idx": np.zeros(50, int), "lmk_b_coords": np.zeros((50, 3))}, "landmarks of shapes"),
        ({"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.zeros((51, 2))}, "landmarks of shapes"),
        ({"lmk_face_idx": np.full(51, 0.5), "lmk_b_coords": np.zeros((51, 3))}, "fractions"),
        ({"lmk_face_idx": [[1], [1, 2]], "lmk_b_coords": np.zeros((51, 3))}, "of one shape"),
        ({"means": np.zeros((8, 69)), "covars": np.zeros((8, 69)), "weights": np.ones(8)}, "do not fit together"),
        ({"means": np.full((1, 2), np.nan), "covars": np.eye(2)[None], "weights": np.ones(1)}, "not finite"),
        ({"means": np.zeros((1, 2)), "covars": np.eye(2)[None], "weights": -np.ones(1)}, "not positive"),
        ({"means": "a", "covars": "b", "weights": "c"}, "where the numbers means belong"),
    ],
)
def test_landmarks_and_mixtures_that_do_not_fit_are_refused(content: object, says: str, tmp_path: Path) -> None:
    path = store(tmp_path / "x.pkl", content)
    with pytest.raises(BodyModelError, match=says):
        imported(path, tmp_path / "out")
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


@pytest.mark.parametrize("form", ["npy", "npz", "pkl"])
def test_a_joint_regressor_becomes_named_points(form: str, tmp_path: Path) -> None:
    hand = tiny_hand()
    rng, count = np.random.default_rng(1), len(hand["v_template"])
    rows = rng.dirichlet(np.full(count, 0.01), 21) * 1.0004  # official rows miss one by as much
    store(tmp_path / "in" / "hand.pkl", hand)
    path = tmp_path / "in" / f"J_regressor_mine.{form}"
    if form == "npy":
        np.save(path, rows)
    elif form == "npz":
        np.savez(path, J_regressor=rows)
    else:
        store(path, sparse.csc_matrix(rows))
    np.save(tmp_path / "in" / "J_regressor_other.npy", np.full((17, 6890), 1 / 6890))
    table = imported(tmp_path / "in", tmp_path / "out")
    assert [row[0] for row in table.rows] == ["mano_right", "points J_regressor_mine"]
    assert any("a joint regressor over 6890 vertices, as no model here has" in note for note in table.notes)
    body = load_body_model(tmp_path / "out", "mano_right")
    given = {"hand_pose": rng.normal(0, 0.3, (1, 45)).astype(np.float32)}
    posed = Poser(body).pose(given)
    wanted = rows / rows.sum(axis=1, keepdims=True) @ posed.vertices[0]
    np.testing.assert_allclose(posed.points("J_regressor_mine")[0], wanted, atol=1e-6)
    model = BodyModel(body, [body.points["J_regressor_mine"]])
    np.testing.assert_allclose(model({k: torch.as_tensor(v) for k, v in given.items()}).points[0], wanted, atol=1e-5)
    stored = dict(np.load(tmp_path / "out" / "regressors" / "J_regressor_mine.npz"))
    np.savez(tmp_path / "out" / "regressors" / "J_regressor_mine.npz", **{**stored, "rows": stored["rows"][::-1]})
    with pytest.raises(BodyModelError, match="no joint regressor with the hash"):
        load_body_model(tmp_path / "out", "mano_right")


def test_a_regressor_may_not_take_a_skeletons_name(tmp_path: Path) -> None:
    store(tmp_path / "in" / "hand.pkl", tiny_hand())
    count = vertices_needed("mano")
    np.save(tmp_path / "in" / "freihand21.npy", np.full((21, count), 1 / count))
    with pytest.raises(BodyModelError, match="which there are already"):
        imported(tmp_path / "in", tmp_path / "out")
