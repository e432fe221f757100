"""`bodies import`: files whose arrays do not fit are refused in one sentence; joint regressors become points."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies import pickles, stored
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import default_root, load_body_model
from annotator.bodies.official import create
from annotator.bodies.points import vertices_needed
from annotator.bodies.posing import Poser
from annotator.bodies.prior_files import read_prior
from annotator.commands.bodies import build, check
from annotator.errors import BodyModelError
from annotator.prior.vposer import VPoser, vposer_of
from tests.support.official_files import imported, store, tiny_hand


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


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"lmk_face_idx": np.zeros(105, int), "lmk_b_coords": np.zeros((105, 3))}, "not FLAME's 51 or its contour"),
        ({"lmk_face_idx": np.zeros((50, 17), int), "lmk_b_coords": np.zeros((50, 17, 3))}, "landmarks of shapes"),
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


class Boom:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("shape", [(), (2, 1)])
@pytest.mark.parametrize("key", ["weights", "v_template", "hands_mean"])
def test_code_in_an_array_of_an_npz_is_refused_by_name(key: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    evil, harmless = (np.empty(shape, dtype=object) for _ in range(2))
    evil[...] = Boom(tmp_path / "ran")
    harmless[...] = "text"
    path = tmp_path / "hand.npz"
    for values, says in (
        (evil, rf"hand\.npz \(its array {key}\) asks for posix\.system, which is not plain data"),
        (harmless, rf"hand\.npz holds objects where the array {key} belongs"),
    ):
        np.savez(path, **{**tiny_hand(), key: values})
        with pytest.raises(BodyModelError, match=says):
            imported(path, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    np.savez(path, **tiny_hand(), joint2num=evil)  # which nobody reads
    assert [row[0] for row in imported(path, tmp_path / "out").rows] == ["mano_right"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("names", [("lmk_face_idx", "lmk_b_coords"), ("means", "covars", "weights")])
def test_code_in_landmarks_and_mixtures_of_an_npz_is_refused_by_name(names: tuple[str, ...], tmp_path: Path) -> None:
    content: dict[str, Any] = dict.fromkeys(names, np.zeros(3))
    np.savez(tmp_path / "a.npz", **content | {names[-1]: np.array(Boom(tmp_path / "ran"), dtype=object)})
    with pytest.raises(BodyModelError, match=rf"\(its array {names[-1]}\) asks for posix\.system"):
        imported(tmp_path / "a.npz", tmp_path / "out")
    assert not (tmp_path / "ran").exists()


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


def test_regressors_alone_are_refused_for_the_reason_that_holds(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "J_regressor_h36m.npy", np.full((17, 6890), 1 / 6890))
    store(tmp_path / "in" / "SMPLX_to_J14.pkl", np.full((14, 10475), 1 / 10475))
    with pytest.raises(BodyModelError) as refusal:
        imported(tmp_path / "in", tmp_path / "out")
    for name, vertices in (("J_regressor_h36m.npy", 6890), ("SMPLX_to_J14.pkl", 10475)):
        assert f"{name} is a joint regressor over {vertices} vertices, as no model here has" in str(refusal.value)
    assert "import that model first" in str(refusal.value)
    assert "a body model, a prior" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_regressor_may_not_take_a_skeletons_name(tmp_path: Path) -> None:
    store(tmp_path / "in" / "hand.pkl", tiny_hand())
    count = vertices_needed("mano")
    np.save(tmp_path / "in" / "freihand21.npy", np.full((21, count), 1 / count))
    with pytest.raises(BodyModelError, match="which there are already"):
        imported(tmp_path / "in", tmp_path / "out")


def nested(innermost: object) -> object:
    """A few bytes in a file that would unfold to 2**60 entries."""
    for _ in range(60):
        innermost = [innermost, innermost]
    return innermost


def dtype_of(code: bytes) -> bytes:
    """A pickle that asks for a dtype by a code: what stands there in opcodes."""
    return b"\x80\x02cnumpy\ndtype\n" + code + b"\x85R."


KEYED = (
    (b"\x80\x02}", b"K\x01s."),
    (b"\x80\x02}(", b"K\x01u."),
    (b"\x80\x02(", b"K\x01d."),
    (b"\x80\x04\x8f(", b"\x90."),
    (b"\x80\x04(", b"\x91."),
)
"""Opcodes around what becomes a key of a dict or an entry of a set."""


@pytest.mark.parametrize(
    "data",
    [
        *(pickle.dumps({"v_template": nested(empty)}) for empty in ([], "", ())),
        pickle.dumps({"v_template": sparse.csc_matrix((1 << 40, 1))}),
        dtype_of(b"X\x05\x00\x00\x00(,)f8"),
        dtype_of(b"](]]e"),
        b"\x80\x02" + b"]" * 3 + b"Q.",
        b"cos\nevil\x1b[2J\n.",
        *(before + b")" + b"2\x86" * 60 + after for before, after in KEYED),  # a tuple of itself twice, sixty times
        *(before + b")" + b"\x85" * 3_000_000 + after for before, after in KEYED),
        b"\x80\x02}r\xff\xff\xff\x7f.",  # remembered under the number 2 ** 31 - 1
        b"\x80\x05\x96" + (1 << 36).to_bytes(8, "little") + b".",
    ],
)
def test_small_files_that_would_take_everything_are_refused_in_a_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(BodyModelError) as refused:
        imported(tmp_path / "x.pkl", tmp_path / "out")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_the_smplx_package_never_opens_a_file_that_lies_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(store(tmp_path / "in" / "hand.pkl", tiny_hand()), tmp_path / "out")
    opened: list[Path] = []
    monkeypatch.setattr("smplx.create", lambda folder, **_options: opened.append(Path(folder)))
    create(tmp_path / "out", "mano_right")
    (folder,) = opened
    assert not folder.is_relative_to(tmp_path)
    assert not folder.exists()


def test_a_file_of_ours_keeps_what_it_says_of_itself(tmp_path: Path) -> None:
    imported(default_root() / "mano" / "MANO_RIGHT.npz", tmp_path / "out")
    ours, theirs = (load_body_model(root, "mano_right") for root in (tmp_path / "out", default_root()))
    assert (ours.name, ours.provenance) == (theirs.name, theirs.provenance)
    assert "anny" in ours.provenance


def test_an_npz_counts_where_a_pickle_of_the_same_model_lies_beside_it(tmp_path: Path) -> None:
    store(tmp_path / "in" / "hand.pkl", tiny_hand())
    np.savez(tmp_path / "in" / "hand.npz", **tiny_hand())
    said = imported(tmp_path / "in", tmp_path / "out").text()
    assert "hand.pkl was passed over: hand.npz beside it is the same model, and was taken." in said


def test_nothing_and_upper_case_names(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match=r"There is nothing at .*nowhere; check the path"):
        imported(tmp_path / "nowhere", tmp_path / "out")
    store(tmp_path / "in" / "hand.pkl", tiny_hand()).rename(tmp_path / "in" / "HAND.PKL")
    imported(tmp_path / "in", tmp_path / "out")
    assert load_body_model(tmp_path / "out", "mano_right").family == "mano"


def test_a_note_beside_the_arrays_of_an_npz_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    np.savez(path, **tiny_hand())  # pyright: ignore[reportArgumentType]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("README.txt", "as it was downloaded")
    imported(path, tmp_path / "out")
    assert load_body_model(tmp_path / "out", "mano_right").v_template.shape == (vertices_needed("mano"), 3)


def test_a_pickle_that_is_called_npz_is_told_without_advice_to_allow_it(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(pickle.dumps(tiny_hand()))
    with pytest.raises(BodyModelError, match=r"it is no npz\); fetch it again"):
        imported(tmp_path / "x.npz", tmp_path / "out")


def test_priors_of_another_folder_of_ours_come_along(tmp_path: Path) -> None:
    table = imported(default_root() / "prior", tmp_path / "out")
    assert [row[0] for row in table.rows] == ["vposer", "gmm"]
    for kind in ("vposer", "gmm"):
        assert read_prior(tmp_path / "out", kind).hash == read_prior(default_root(), kind).hash


def shared(what: bytes, count: int) -> bytes:
    """A pickle of a list that holds one thing, which opcodes make, many times over: each costs three bytes."""
    return b"\x80\x02](" + what + b"q\x09" + b"h\x09" * (count - 1) + b"e."


def remade(count: int) -> bytes:
    """A pickle of a list of arrays, each made of the one text of 4,000 letters that it holds."""
    text = b"X" + (4000).to_bytes(4, "little") + b"a" * 4000 + b"q\x01"
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85Rq\x02"
    array = b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01M\xa0\x0f\x85h\x02\x89h\x01tb"
    return b"\x80\x02" + text + b"0" + kind + b"0](" + array * count + b"e."


CHUMPY = b"cchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00x"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (remade(600), "GiB of arrays"),
        (pickle.dumps(sparse.csr_matrix((500, 4_290_000)), protocol=2), "a matrix of 500 x 4,290,000"),
        (b"\x80\x02" + CHUMPY + shared(b"X\x01\x00\x00\x00b", 300)[2:-1] + b"sb.", "texts where numbers belong"),
        (b"\x80\x02](" + (CHUMPY + b"](" + b"K\x01" * 2000 + b"esb") * 200 + b"e.", "GiB of arrays"),
        (pickle.dumps([sparse.csr_matrix((1, 1 << 17)) for _ in range(3)], protocol=2), "GiB of arrays"),
        (shared(b"U\xff" + b"a" * 255, 90_000), "a list of more than"),
    ],
)
def test_a_pickle_cannot_make_more_than_a_body_model_needs(
    data: bytes, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds once cannot be made into thousands of arrays; the bound is lowered to 2 MB here."""
    monkeypatch.setattr(pickles, "MOST_BYTES", 1 << 21)
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(BodyModelError, match=why):
        imported(tmp_path / "x.pkl", tmp_path / "out")


def test_an_npz_cannot_unpack_to_more_than_a_body_model_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 1 << 21)
    np.savez_compressed(tmp_path / "x.npz", v_template=np.zeros(1 << 20))
    with pytest.raises(BodyModelError, match="GiB of arrays"):
        imported(tmp_path / "x.npz", tmp_path / "out")


@pytest.mark.parametrize("kind", ["complex64", "int64", "meta"])
def test_weights_of_another_kind_are_no_vposer(kind: str, tmp_path: Path) -> None:
    weights = VPoser().state_dict()
    name = "bodyprior_enc_fc1.weight"
    weights[name] = weights[name].to("meta") if kind == "meta" else weights[name].to(getattr(torch, kind))
    with pytest.raises(BodyModelError, match=rf"numbers in '{name}' that are not finite or not plain"):
        vposer_of(weights, tmp_path / "x.pt")


def test_hands_of_two_models_are_told_to_be_unchecked(tmp_path: Path) -> None:
    """The left hand's sign is compared vertex by vertex."""
    right, left = tiny_hand(), tiny_hand()
    left["v_template"] = left["v_template"] * [-1, 1, 1]
    more = {"v_template": 0, "shapedirs": 0, "posedirs": 0, "weights": 0, "J_regressor": 1}
    right |= {key: np.concatenate([right[key], np.take(right[key], [0], axis)], axis) for key, axis in more.items()}
    store(tmp_path / "in" / "MANO_RIGHT.pkl", right)
    store(tmp_path / "in" / "MANO_LEFT.pkl", left)
    assert (
        "another number of vertices; import both hands of one model"
        in imported(tmp_path / "in", tmp_path / "out").text()
    )


def test_a_folder_below_a_file_is_told_before_priors_are_trained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BodyModelError, match="file is no folder"):
        next(build(tmp_path / "file" / "priors", priors_only=True))


@pytest.mark.parametrize("command", ["build", "check"])
def test_a_folder_that_is_none_is_told_before_any_work(command: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    work = build(file) if command == "build" else check(tmp_path / "absent")
    with pytest.raises(BodyModelError, match=r"is no folder|There is no folder"):
        list(work)
