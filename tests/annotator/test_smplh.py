"""SMPL-H, of which no file ships: a random model in the official layout, against the smplx package."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies.anatomy import SMPL_VERTICES, SMPLX_JOINTS
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData, default_root, load_body_model, read_model
from annotator.bodies.official import create as official_model
from annotator.bodies.points import HAND_POINTS
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.stored import content_hash, write_arrays
from annotator.bodies.written import TEXTS
from annotator.commands.bodies import distance_to_smplx
from annotator.errors import BodyModelError
from annotator.skeleton import COCO_WHOLEBODY
from tests.support.official_files import imported, store, tiny_hand

VERTICES, JOINTS, INFLUENCES = 6890, 52, 8
ABOVE = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]
"""Parents of the body's joints; the hands follow, three joints a finger."""
PARAMETERS = ("global_orient", "body_pose", "betas", "left_hand_pose", "right_hand_pose", "transl")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random SMPL-H: dense correctives, eight skinning weights a vertex, hands that curl at rest."""
    rng = np.random.default_rng(0)
    weights = np.zeros((VERTICES, JOINTS), np.float32)
    for vertex in range(VERTICES):
        chosen = rng.choice(JOINTS, INFLUENCES, replace=False)
        weights[vertex, chosen] = rng.dirichlet(np.ones(INFLUENCES))
    regressor = np.zeros((JOINTS, VERTICES), np.float32)
    for joint in range(JOINTS):
        regressor[joint, rng.choice(VERTICES, 30, replace=False)] = 1 / 30
    fingers = [
        wrist if k == 0 else len(ABOVE) + 15 * h + 3 * f + k - 1
        for h, wrist in enumerate((20, 21))
        for f in range(5)
        for k in range(3)
    ]
    arrays = {
        "v_template": rng.normal(0, 0.3, (VERTICES, 3)).astype(np.float32),
        "f": rng.integers(0, VERTICES, (13_776, 3)).astype(np.int32),
        "shapedirs": rng.normal(0, 0.01, (VERTICES, 3, 16)).astype(np.float32),
        "posedirs": rng.normal(0, 1e-3, (VERTICES, 3, 9 * (JOINTS - 1))).astype(np.float32),
        "J_regressor": regressor,
        "kintree_table": np.array([[*ABOVE, *fingers], range(JOINTS)], np.int64),
        "weights": weights,
        **{f"hands_mean{side}": rng.normal(0, 0.3, 45).astype(np.float32) for side in "lr"},
        **{f"hands_components{side}": np.linalg.qr(rng.normal(size=(45, 45)))[0].astype(np.float32) for side in "lr"},
    }
    folder = tmp_path_factory.mktemp("models")
    for gender in ("NEUTRAL", "MALE"):
        arrays["v_template"] = arrays["v_template"] + np.float32(0.1)
        write_arrays(folder / "smplh" / f"SMPLH_{gender}.npz", arrays | {"hash": np.array(content_hash(arrays))})
    return folder


@pytest.fixture(scope="module")
def body(root: Path) -> BodyModelData:
    return load_body_model(root, "smplh")


def people(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    widths = parameter_widths("smplh")
    assert set(widths) == set(PARAMETERS)
    return {name: rng.normal(0, 0.4, (count, width)).astype(np.float32) for name, width in widths.items()}


def of_package(root: Path, given: Mapping[str, np.ndarray], **options: object) -> tuple[np.ndarray, np.ndarray]:
    model = official_model(root, "smplh", batch_size=len(given["betas"]), **options)
    with torch.no_grad():
        posed = model(**{name: torch.as_tensor(values) for name, values in given.items()})
    return posed.vertices.numpy(), posed.joints.numpy()


def official(root: Path) -> dict[str, Any]:
    """The male model as its owners store numbers, with the hands that the smplx package wants merged into it."""
    arrays = {key: v for key, v in read_model(root, "smplh", "male").items() if key not in TEXTS}
    wide = {key: v.astype(np.float64) if v.dtype.kind == "f" else v for key, v in arrays.items()}
    parents = wide["kintree_table"].astype(np.uint32)
    parents[0, 0] = 2**32 - 1
    return wide | {"kintree_table": parents}


def test_both_downloads_with_hands_merged_in_are_imported_and_agree_with_the_package(
    root: Path, tmp_path: Path
) -> None:
    """MANO's: a pickle with sparse regressors and more arrays than are needed; AMASS's: `female/model.npz`, 16 components."""
    wide = official(root)
    ten = wide | {"shapedirs": wide["shapedirs"][:, :, :10]}
    extra = {"hands_coeffsl": np.zeros((1554, 45)), "bs_style": "lbs", "pose_training_info": {"a": None}}
    store(tmp_path / "in" / "SMPLH_male.pkl", ten | extra | {"J_regressor": sparse.csc_matrix(ten["J_regressor"])})
    (tmp_path / "in" / "female").mkdir()
    np.savez(tmp_path / "in" / "female" / "model.npz", **wide)
    table = imported(tmp_path / "in", tmp_path / "out")
    assert sorted(row[:2] for row in table.rows) == [("smplh", "female"), ("smplh", "male")]
    body = load_body_model(root, "smplh", "male")
    for gender, components in (("female", (16, 0)), ("male", (10, 0))):
        found = load_body_model(tmp_path / "out", "smplh", gender)
        assert found.file_components == components
        assert distance_to_smplx(tmp_path / "out", "smplh", found, np.random.default_rng(3), gender) < 1e-5
        given = people(2)
        assert np.abs(Poser(found).pose(given).vertices - Poser(body).pose(given).vertices).max() < 1e-5


def test_official_files_without_hands_are_what_a_merged_file_is(root: Path, tmp_path: Path) -> None:
    """No official file has hands; the smplx package's users add MANO's. MANO comes last, earlier, or before."""
    merged = official(root)
    bare, hands = without_hands(merged), manos(merged)
    np.savez(made(tmp_path / "merged" / "male") / "model.npz", **merged)
    wanted = {row[2] for row in imported(tmp_path / "merged", tmp_path / "merged_out").rows}
    female = made(tmp_path / "in" / "female") / "model.npz"
    np.savez(female, **bare)
    male = store(tmp_path / "in" / "SMPLH_male.pkl", bare | {"J_regressor": sparse.csc_matrix(bare["J_regressor"])})
    for name, content in hands.items():
        store(tmp_path / "manos" / f"{name}.pkl", content)
        store(tmp_path / "in" / f"{name}.pkl", content)
    beside, after = tmp_path / "beside", tmp_path / "after"
    given = imported(tmp_path / "in", beside).rows
    imported(tmp_path / "manos", after)
    given += imported(male, after).rows + imported(female, after).rows
    found = [row for row in given if row[0] == "smplh"]
    assert sorted(row[1] for row in found) == ["female", "female", "male", "male"]
    assert {row[2] for row in found} == wanted
    for folder, gender in ((beside, "female"), (beside, "male"), (after, "male")):
        body = load_body_model(folder, "smplh", gender)
        assert distance_to_smplx(folder, "smplh", body, np.random.default_rng(3), gender) < 1e-5
        np.testing.assert_allclose(body.hand_mean["left"], hands["MANO_LEFT"]["hands_mean"], atol=1e-7)
        assert "; hands: left imported from MANO_LEFT.pkl, sha256 " in body.provenance
        assert ", right imported from MANO_RIGHT.pkl, sha256 " in body.provenance
        assert "mended" not in body.provenance


def test_hands_are_lent_by_a_left_hand_that_is_mended(root: Path, tmp_path: Path) -> None:
    """The wrong sign is that of its shape; its mean pose and components are as they should be."""
    merged = official(root)
    hands = manos(merged)
    hands["MANO_LEFT"]["shapedirs"] = hands["MANO_LEFT"]["shapedirs"] * np.array([-1, 1, 1])[:, None]
    for name, content in hands.items():
        store(tmp_path / "in" / f"{name}.pkl", content)
    np.savez(tmp_path / "in" / "model.npz", **without_hands(merged))
    assert any("was turned" in note for note in imported(tmp_path / "in", tmp_path / "out").notes)
    body = load_body_model(tmp_path / "out", "smplh")
    for side in ("left", "right"):
        np.testing.assert_allclose(body.hand_mean[side], merged[f"hands_mean{side[0]}"], atol=1e-7)
        np.testing.assert_allclose(body.hand_components[side], merged[f"hands_components{side[0]}"], atol=1e-7)
    assert "mended" not in body.provenance


def test_without_mano_one_sentence_says_what_is_needed(root: Path, tmp_path: Path) -> None:
    merged = official(root)
    path = made(tmp_path / "in") / "model.npz"
    np.savez(path, **without_hands(merged))
    with pytest.raises(BodyModelError, match=r"put MANO_LEFT and MANO_RIGHT of the MANO download beside it") as refusal:
        imported(path, tmp_path / "out")
    assert "fetch" not in str(refusal.value)
    assert "open body" not in str(refusal.value)
    store(tmp_path / "in" / "MANO_RIGHT.pkl", manos(merged)["MANO_RIGHT"])
    with pytest.raises(BodyModelError, match=r": put MANO_LEFT of the MANO download beside it"):
        imported(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shutil.copytree(default_root() / "mano", tmp_path / "open" / "mano")  # as in a new project
    with pytest.raises(BodyModelError, match=r"put MANO_LEFT and MANO_RIGHT .*the open body's hands, which lie there"):
        imported(path, tmp_path / "open")
    made(tmp_path / "raw" / "smplh")
    shutil.copy(path, tmp_path / "raw" / "smplh" / "SMPLH_NEUTRAL.npz")
    with pytest.raises(BodyModelError, match=r"holds no hands.*MANO_LEFT and MANO_RIGHT.*bodies import") as refusal:
        load_body_model(tmp_path / "raw", "smplh")
    assert "fetch" not in str(refusal.value)


def test_a_file_with_half_of_its_hands_is_refused(root: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", **{k: v for k, v in official(root).items() if k != "hands_meanl"})
    with pytest.raises(BodyModelError, match="lacks hands_meanl"):
        imported(tmp_path / "model.npz", tmp_path / "out")


def without_hands(merged: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values for key, values in merged.items() if not key.startswith("hands_")}


def manos(merged: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Both hands, as small as they may be, with the mean and the components that a merged SMPL-H has."""
    right, left = tiny_hand(), tiny_hand()
    left["v_template"] = left["v_template"] * (-1, 1, 1)
    left["shapedirs"] = left["shapedirs"] * np.array([-1, 1, 1])[:, None]
    return {
        f"MANO_{name}": hand | {key: merged[f"{key}{name[0].lower()}"] for key in ("hands_mean", "hands_components")}
        for name, hand in (("LEFT", left), ("RIGHT", right))
    }


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_numpy_poses_as_the_package(root: Path, body: BodyModelData) -> None:
    given = people(3)
    vertices, joints = of_package(root, given)
    ours = Poser(body).pose(given)
    assert np.abs(ours.vertices - vertices).max() < 1e-5
    assert np.abs(ours.joints - joints[:, :JOINTS]).max() < 1e-5


@pytest.mark.parametrize("with_gradients", [False, True])
def test_torch_poses_as_the_package(root: Path, body: BodyModelData, with_gradients: bool) -> None:
    given = people(3)
    vertices, joints = of_package(root, given)
    tensors = {name: torch.as_tensor(values).requires_grad_(with_gradients) for name, values in given.items()}
    ours = BodyModel(body, vertices=True)(tensors)
    assert ours.vertices is not None
    assert np.abs(ours.vertices.detach().numpy() - vertices).max() < 1e-5
    assert np.abs(ours.joints.detach().numpy() - joints[:, :JOINTS]).max() < 1e-5


def test_named_points_are_the_packages_joints_and_vertices(root: Path, body: BodyModelData) -> None:
    """By name, through points alone: shoulders, wrists and ears of COCO, every joint and tip of both hands."""
    given = people(2)
    vertices, joints = of_package(root, given)
    skeleton_joints = {name: j - 3 * (j > 24) for name, j in SMPLX_JOINTS.items() if not 22 <= j <= 24}
    wanted = {name: joints[:, joint] for name, joint in skeleton_joints.items()}
    wanted |= {name: vertices[:, vertex] for name, vertex in SMPL_VERTICES.items()}
    maps = {name: body.points[name] for name in (COCO_WHOLEBODY.name, *HAND_POINTS.values())}
    found = BodyModel(body, list(maps.values()))({name: torch.as_tensor(values) for name, values in given.items()})
    assert found.vertices is None
    points = found.points.numpy()
    for place, name in enumerate(COCO_WHOLEBODY.points[:23]):
        assert np.abs(points[:, place] - wanted[name]).max() < 1e-5, name
    assert not maps[COCO_WHOLEBODY.name].present[23:91].any()  # a body without a face
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    for start, side in ((len(COCO_WHOLEBODY), "left"), (len(COCO_WHOLEBODY) + 21, "right")):
        names = [f"{side}_wrist", *(f"{side}_{finger}{k}" for finger in fingers for k in (1, 2, 3, 4))]
        for place, name in enumerate(names):
            assert np.abs(points[:, start + place] - wanted[name]).max() < 1e-5, name


def test_a_flat_hand_is_the_packages_with_its_other_setting(root: Path, body: BodyModelData) -> None:
    given = people(2)
    vertices, _ = of_package(root, given, flat_hand_mean=True)
    for side in ("left", "right"):
        given[f"{side}_hand_pose"] = given[f"{side}_hand_pose"] - body.hand_mean[side]
    assert np.abs(Poser(body).pose(given).vertices - vertices).max() < 1e-5


def test_every_weight_counts_and_every_gender_has_its_file(root: Path, body: BodyModelData) -> None:
    assert (np.diff(body.weights.indptr) == INFLUENCES).all()
    male = load_body_model(root, "smplh", "male")
    np.testing.assert_allclose(male.v_template, body.v_template + np.float32(0.1), atol=1e-6)
