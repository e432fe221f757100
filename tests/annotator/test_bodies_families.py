"""SMPL, MANO and FLAME of the open body: against the smplx package, against SMPL-X, and as untrusted files."""

import io
import os
import pickle
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.spatial.transform import Rotation

from annotator.bodies.files import (
    OPEN_BODY,
    BodyModelData,
    content_hash,
    default_root,
    load_body_model,
    model_path,
    read_arrays,
    read_model,
    verified,
)
from annotator.bodies.official import create as official_model
from annotator.bodies.pickles import read_object_npy, read_pickle, write_pickle
from annotator.bodies.points import HAND_POINTS, MANO_VERTICES, SMPL_JOINTS, SMPL_VERTICES, SMPLX_VERTICES
from annotator.bodies.posing import Poser, parameter_widths
from annotator.commands.bodies import check
from annotator.commands.projects import new
from annotator.errors import BodyModelError, UnknownNameError
from annotator.fit import PARAMETERS
from annotator.skeleton import COCO_WHOLEBODY, FACE, HAND, HUMAN36M

ROOT = Path(__file__).resolve().parents[2]
MODELS = OPEN_BODY


@pytest.fixture(scope="module")
def bodies() -> dict[str, BodyModelData]:
    return {name: load_body_model(default_root(), name) for name in MODELS}


def rest(body: BodyModelData) -> np.ndarray:
    """Vertices at zero shape and flat hands."""
    poses = {f"{side}_hand_pose" if not body.side else "hand_pose": -mean for side, mean in body.hand_mean.items()}
    return Poser(body).pose({"betas": np.zeros((1, 10)), **{k: v[None] for k, v in poses.items()}}).vertices[0]


@pytest.mark.parametrize("name", MODELS)
def test_every_family_poses_as_the_smplx_package(name: str, bodies: dict[str, BodyModelData]) -> None:
    body, rng = bodies[name], np.random.default_rng(3)
    widths = parameter_widths(body.family)
    given = {key: rng.normal(0, 0.5, (4, width)).astype(np.float32) for key, width in widths.items()}
    ours, model = Poser(body).pose(given), official_model(default_root(), name)
    for row in range(4):
        with torch.no_grad():
            theirs = model(**{key: torch.as_tensor(values[row : row + 1]) for key, values in given.items()})
        assert np.abs(ours.vertices[row] - theirs.vertices[0].numpy()).max() < 1e-5
        assert np.abs(ours.joints[row] - theirs.joints[0, : len(body.parents)].numpy()).max() < 1e-5


@pytest.mark.parametrize("name", ["smplx", "smpl", "flame"])  # the package gives a hand no points beyond its joints
def test_the_package_finds_every_landmark_where_the_points_are(name: str, bodies: dict[str, BodyModelData]) -> None:
    """The package's own joint list (its vertex ids and landmarks) equals the named points."""
    body = bodies[name]
    contour = {"use_face_contour": True} if body.landmarks else {}
    with torch.no_grad():
        theirs = official_model(default_root(), name, **contour)().joints[0].numpy()
    posed = Poser(body).pose({"betas": np.zeros((1, 10), np.float32)})
    if body.landmarks:
        face = posed.points(FACE.name)[0]
        assert np.abs(np.concatenate([theirs[-17:], theirs[-68:-17]]) - face).max() < 1e-5
    if body.family != "flame":
        joints = len(body.parents)
        coco = posed.points(COCO_WHOLEBODY.name)[0]
        assert np.abs(theirs[joints + np.array([0, 2, 1, 4, 3])] - coco[:5]).max() < 1e-5
        assert np.abs(theirs[joints + np.arange(5, 11)] - coco[17:23]).max() < 1e-5
        tips = COCO_WHOLEBODY.indices(*(f"left_hand_{f}4" for f in ("thumb", "index", "middle", "ring", "pinky")))
        assert np.abs(theirs[joints + np.arange(11, 16)] - coco[tips]).max() < 1e-5


@pytest.mark.parametrize("name", ["smplx", "flame"])
@pytest.mark.parametrize("degrees", [-70, -39, -20, -1, 0, 1, 20, 38, 39, 70])
def test_the_outline_follows_the_head_as_in_the_package(
    name: str, degrees: float, bodies: dict[str, BodyModelData]
) -> None:
    body = bodies[name]
    camera = Rotation.from_rotvec([np.pi - 0.1, 0.02, 0.05])  # whose y points down
    turn = Rotation.from_euler("y", degrees, degrees=True)
    if name == "smplx":
        given = {"global_orient": camera.as_rotvec()[None], "body_pose": np.zeros((1, 63))}
        given["body_pose"][0, 33:36] = turn.as_rotvec()
    else:
        given = {"global_orient": (camera * turn).as_rotvec()[None]}
    given = {key: values.astype(np.float32) for key, values in given.items()}
    with torch.no_grad():
        tensors = {key: torch.as_tensor(values) for key, values in given.items()}
        theirs = official_model(default_root(), name, use_face_contour=True)(**tensors).joints[0, -17:].numpy()
    assert np.abs(Poser(body).pose(given).points(FACE.name)[0, :17] - theirs).max() < 1e-5


def test_the_outline_is_the_far_cheek_and_the_near_jaw(bodies: dict[str, BodyModelData]) -> None:
    """Seen by a camera in front, points 1 to 15 lie within 4 mm of the face's rim on the side turned away."""
    body = bodies["flame"]
    for degrees, far in ((35, slice(10, 15)), (-35, slice(2, 7))):
        turn = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", degrees, degrees=True)
        posed = Poser(body).pose({"global_orient": turn.as_rotvec()[None]})
        outline, skin = posed.points(FACE.name)[0, far], posed.vertices[0]
        for point in outline:
            level = skin[np.abs(skin[:, 1] - point[1]) < 0.006]
            rim = level[:, 0].max() if degrees > 0 else level[:, 0].min()
            assert abs(point[0] - rim) < 0.006


def test_the_outline_is_symmetric_and_moves_smoothly(bodies: dict[str, BodyModelData]) -> None:
    marks, template = bodies["smplx"].landmarks, bodies["smplx"].v_template
    assert marks is not None
    points = np.einsum("rkc,rkcx->rkx", marks.contour_bary, template[marks.faces[marks.contour_faces]])
    assert np.abs(points[40:] - points[1:40, ::-1] * [-1, 1, 1]).max() < 1e-4
    assert np.abs(points[0] - points[0, ::-1] * [-1, 1, 1]).max() < 1e-4
    assert np.linalg.norm(np.diff(points[:40], axis=0), axis=-1).max() < 0.006


@pytest.mark.parametrize("name", [name for name in MODELS if name != "smplx"])
def test_the_parts_are_the_surface_of_the_body(name: str, bodies: dict[str, BodyModelData]) -> None:
    body, whole = bodies[name], bodies["smplx"]
    assert body.smplx_vertices is not None
    assert len(np.unique(body.smplx_vertices)) == len(body.v_template)
    moved = body.v_template.astype(np.float64) - whole.v_template[body.smplx_vertices]
    assert np.abs(moved - moved.mean(axis=0)).max() < 2e-6
    triangles = {tuple(np.sort(face)) for face in body.smplx_vertices[body.faces].tolist()}
    assert triangles <= {tuple(np.sort(face)) for face in whole.faces.tolist()}


def test_smpl_numbers_vertices_by_the_table_of_smpl(bodies: dict[str, BodyModelData]) -> None:
    mapped = bodies["smpl"].smplx_vertices
    assert mapped is not None
    assert {name: int(mapped[slot]) for name, slot in SMPL_VERTICES.items()} == SMPLX_VERTICES


@pytest.mark.parametrize("side", ["left", "right"])
def test_finger_tips_of_a_hand_are_those_of_the_body(side: str, bodies: dict[str, BodyModelData]) -> None:
    mapped = bodies[f"mano_{side}"].smplx_vertices
    assert mapped is not None
    for name, slot in MANO_VERTICES.items():
        assert mapped[slot] == SMPLX_VERTICES[f"{side}_{name}"]


def test_the_left_hand_is_the_right_one_in_a_mirror(bodies: dict[str, BodyModelData]) -> None:
    left, right = bodies["mano_left"], bodies["mano_right"]
    flip = np.array([-1, 1, 1], np.float32)
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(0, 0.4, (3, 45)).astype(np.float32), rng.normal(0, 1, (3, 10)).astype(np.float32)
    mirrored = pose * np.tile([1, -1, -1], 15)
    a = Poser(right).pose({"hand_pose": pose, "betas": betas})
    b = Poser(left).pose({"hand_pose": mirrored, "betas": betas})
    assert np.abs(a.vertices * flip - b.vertices).max() < 2e-6
    assert (left.faces == right.faces[:, ::-1]).all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_hand_alone_equals_the_hand_of_the_body(side: str, bodies: dict[str, BodyModelData]) -> None:
    """Same finger pose, wrist straight: joints and tips agree up to the place of the wrist."""
    pose = np.random.default_rng(5).normal(0, 0.3, (1, 45)).astype(np.float32)
    alone = Poser(bodies[f"mano_{side}"]).pose({"hand_pose": pose}).points(HAND.name)[0]
    whole = Poser(bodies["smplx"]).pose({f"{side}_hand_pose": pose}).points(HAND_POINTS[side])[0]
    assert np.abs((alone - alone[0]) - (whole - whole[0])).max() < 5e-4


def test_a_head_alone_equals_the_head_of_the_body(bodies: dict[str, BodyModelData]) -> None:
    rng = np.random.default_rng(6)
    given = {"jaw_pose": np.array([[0.2, 0.05, 0]], np.float32)}
    given["expression"] = rng.normal(0, 1, (1, 10)).astype(np.float32)
    alone = Poser(bodies["flame"]).pose(given).points(FACE.name)[0]
    whole = Poser(bodies["smplx"]).pose(given).points(FACE.name)[0]
    assert np.abs((alone - alone.mean(axis=0)) - (whole - whole.mean(axis=0))).max() < 5e-4


def test_smpl_stands_as_smplx_stands(bodies: dict[str, BodyModelData]) -> None:
    betas = np.random.default_rng(7).normal(0, 1, (3, 10)).astype(np.float32)
    body_pose = np.random.default_rng(8).normal(0, 0.3, (3, 63)).astype(np.float32)
    zeros = np.zeros((3, 6), np.float32)
    smpl = Poser(bodies["smpl"]).pose({"body_pose": np.concatenate([body_pose, zeros], axis=1), "betas": betas})
    flat = {f"{s}_hand_pose": -np.tile(m, (3, 1)) for s, m in bodies["smplx"].hand_mean.items()}
    smplx = Poser(bodies["smplx"]).pose({"body_pose": body_pose, "betas": betas, **flat})
    assert np.abs(smpl.joints[:, :22] - smplx.joints[:, :22]).max() < 1e-5
    assert np.abs(smpl.vertices - smplx.vertices[:, bodies["smpl"].smplx_vertices]).max() < 1e-5
    knuckles = smplx.points(HAND_POINTS["left"])[:, [5, 9, 13, 17]].mean(axis=1)
    assert np.abs(smpl.joints[:, SMPL_JOINTS["left_hand"]] - knuckles).max() < 1e-3


def test_points_that_a_family_lacks_are_not_present(bodies: dict[str, BodyModelData]) -> None:
    assert bodies["smplx"].points[COCO_WHOLEBODY.name].present.all()
    smpl = bodies["smpl"].points[COCO_WHOLEBODY.name]
    assert smpl.present[:23].all()
    assert not smpl.present[23:91].any()
    absent = {COCO_WHOLEBODY.points[i] for i in np.flatnonzero(~smpl.present) if i >= 91}
    assert absent == {f"{s}_hand_{f}{k}" for s in ("left", "right") for f in HAND_FINGERS for k in (1, 2, 3)}
    assert bodies["smpl"].points[HUMAN36M.name].present.all()
    assert bodies["mano_left"].points[HAND.name].present.all()
    assert bodies["flame"].points[FACE.name].present.all()


HAND_FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def test_parameters_of_fits_are_those_of_posing(bodies: dict[str, BodyModelData]) -> None:
    for body in bodies.values():
        widths = parameter_widths(body.family)
        assert PARAMETERS[body.family].items() <= widths.items()


@pytest.mark.parametrize("name", MODELS)
def test_every_triangle_faces_outward(name: str, bodies: dict[str, BodyModelData]) -> None:
    """The signed volume of a surface that faces outward is positive, and near a person's, hand's or head's own."""
    body = bodies[name]
    a, b, c = (rest(body)[body.faces[:, i]].astype(np.float64) for i in range(3))
    centre = rest(body).mean(axis=0)
    litres = 1000 * np.einsum("fi,fi->f", a - centre, np.cross(b - centre, c - centre)).sum() / 6
    low, high = {"smplx": (40, 90), "smpl": (40, 90), "mano": (0.2, 0.6), "flame": (3, 7)}[body.family]
    assert low < litres < high


def test_a_finger_curls_to_the_palm_on_both_hands(bodies: dict[str, BodyModelData]) -> None:
    """The mean hand is relaxed: its finger tips lie below (palm down) and nearer to the wrist than flat ones."""
    for side in ("left", "right"):
        body = bodies[f"mano_{side}"]
        relaxed = Poser(body).pose({"betas": np.zeros((1, 10))}).points(HAND.name)[0]
        flat = Poser(body).pose({"hand_pose": -body.hand_mean[side][None]}).points(HAND.name)[0]
        tips = HAND.indices(*(f"{finger}4" for finger in HAND_FINGERS[1:]))
        assert (relaxed[tips, 1] < flat[tips, 1] - 0.02).all()
        assert (np.abs(relaxed[tips, 0]) < np.abs(flat[tips, 0])).all()
        assert 0.15 < np.linalg.norm(flat[12] - flat[0]) < 0.21  # wrist to the middle finger's tip


def test_an_unknown_model_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="mano_left"):
        load_body_model(default_root(), "mano")


@pytest.mark.parametrize("name", MODELS)
def test_the_shipped_files_have_the_hash_they_state(name: str) -> None:
    assert verified(default_root(), name)


def copied(tmp_path: Path, family: str) -> Path:
    shutil.copytree(default_root() / family, tmp_path / family)
    return tmp_path


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


def test_check_lists_every_model_and_its_distance_to_the_package() -> None:
    table = finish(check(None))
    assert [row[0] for row in table.rows] == list(MODELS)
    assert all(float(row[-1].removesuffix(" m")) < 1e-5 for row in table.rows)


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


SPOILT: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a command": (lambda marker: pickle.dumps({"v_template": Boom(marker)}), r"asks for posix\.system"),
    "a chumpy class we do not know": (lambda _: b"cchumpy.ch\nMatVecMult\n.", r"asks for chumpy\.ch\.MatVecMult"),
    "a chumpy class without data": (lambda _: b"cchumpy.ch\nCh\n.", "class or function"),
    "an object of any class": (
        lambda _: b"ccopy_reg\n_reconstructor\n(cnumpy\nndarray\nc__builtin__\nobject\nNtR.",
        "no data",
    ),
    "a set": (lambda _: pickle.dumps({1, 2}, protocol=2), r"asks for __builtin__\.set"),
    "getattr": (lambda _: b"c__builtin__\ngetattr\n(cnumpy\nndarray\nX\x03\x00\x00\x00abctR.", r"__builtin__\.getattr"),
    "numpy's own loader": (lambda _: b"cnumpy\nload\n(X\x01\x00\x00\x00xtR.", r"asks for numpy\.load"),
    "an object array": (lambda _: pickle.dumps(np.array([1, {}], dtype=object)), "objects are not plain"),
    "a class for data": (lambda _: pickle.dumps({"f": np.ndarray}), "class or function"),
    "a persistent id": (lambda _: persistent(), "outside itself"),
    "half a file": (lambda _: pickle.dumps(np.zeros(1000))[:500], "cannot be read"),
    "no pickle": (lambda _: b"hello", "cannot be read"),
    "a changed class": (lambda _: b"cnumpy\ndtype\n}X\x01\x00\x00\x00aI1\nsb.", "may not change"),
    "a list": (lambda _: pickle.dumps([1, 2]), "arrays by name"),
    "a dict inside": (lambda _: pickle.dumps({"part2num": {}}), "more than arrays"),
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
    whole.__dict__ |= {"x": values, "_dirty_vars": [], "name": None}
    part.__dict__ |= {"a": whole, "idxs": np.array([5, 0, 23, 7]), "preferred_shape": (2, 2)}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"shapedirs": whole, "v_template": part}, protocol=protocol))
    monkeypatch.undo()
    content = read_pickle(path)
    assert np.array_equal(content["shapedirs"], values)
    assert np.array_equal(content["v_template"], [[5, 0], [23, 7]])
    assert not any(name.startswith("chumpy") for name in sys.modules)


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


def test_sparse_and_dense_correctives_are_the_same(bodies: dict[str, BodyModelData]) -> None:
    """Files hold both: dense for the smplx package, sparse for quick loading here."""
    for name in ("smplx", "mano_right", "flame"):
        dense = read_model(default_root(), name)["posedirs"]
        count = len(bodies[name].v_template)
        assert np.array_equal(bodies[name].posedirs.toarray(), dense.reshape(3 * count, -1).T)


OUT_OF_BOUNDS: dict[str, np.ndarray] = {
    "f": np.full((3, 3), 5000),
    "kintree_table": np.array([[-1, 2, 1, 1, 1], [0, 1, 2, 3, 4]]),
    "smplx_vertices": np.full(4802, -1),
    "head_top": np.array(99_999),
}
OTHER_SHAPES: dict[str, np.ndarray] = {
    "weights": np.zeros((4802, 4)),
    "shapedirs": np.zeros((4802, 3, 15)),
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


@pytest.mark.rebuild
def test_building_again_without_a_network_gives_what_is_shipped(tmp_path: Path) -> None:
    isolated = ["unshare", "-rn"]
    if subprocess.run([*isolated, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("unshare -rn is not permitted here, so the network cannot be blocked")
    done = subprocess.run(
        [*isolated, os.environ.get("NEURALANNOT_BUILD_PYTHON", sys.executable), "main.py", "bodies", "build", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    built = {name: load_body_model(tmp_path, name).hash for name in MODELS}
    assert built == {name: load_body_model(default_root(), name).hash for name in MODELS}


def test_joints_of_people_not_fitted_on_are_met() -> None:
    """What the builder measured on 200 adults and 100 children: metres between the regressed and the rig's joints."""
    adults, children = read_model(default_root(), "smplx")["regressor_error"]
    assert 0 < adults < 0.0015
    assert 0 < children < 0.003


def test_heads_and_hands_vary_by_themselves(bodies: dict[str, BodyModelData]) -> None:
    """Two standard deviations of a later component change a face, at the same size of the head."""
    poser = Poser(bodies["flame"])
    betas = np.zeros((3, 10), np.float32)
    betas[1, 1], betas[2, 2] = 2, 2
    faces = poser.pose({"betas": betas}).points(FACE.name)
    faces -= faces.mean(axis=1, keepdims=True)
    assert 0.003 < np.linalg.norm(faces[1:] - faces[0], axis=-1).max() < 0.03
    hands = Poser(bodies["mano_right"])
    lengths = hands.pose({"betas": np.array([[0.0] * 10, [2.0] + [0.0] * 9])}).points(HAND.name)
    sizes = np.linalg.norm(lengths[:, 9] - lengths[:, 0], axis=-1)
    assert 0.005 < abs(sizes[1] - sizes[0]) < 0.03
