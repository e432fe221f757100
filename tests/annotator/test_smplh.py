"""SMPL-H, of which no file ships: a random model in the official layout, against the smplx package."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from annotator.bodies.anatomy import SMPL_VERTICES, SMPLX_JOINTS
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData, load_body_model, read_model
from annotator.bodies.official import create as official_model
from annotator.bodies.points import HAND_POINTS
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.stored import content_hash, write_arrays
from annotator.bodies.written import TEXTS
from annotator.commands.bodies import distance_to_smplx
from annotator.skeleton import COCO_WHOLEBODY
from tests.support.official_files import imported, store

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


def test_both_official_downloads_are_imported_and_agree_with_the_package(root: Path, tmp_path: Path) -> None:
    """MANO's: a pickle with sparse regressors and more arrays than are needed; AMASS's: `female/model.npz`, 16 components."""
    arrays = {key: v for key, v in read_model(root, "smplh", "male").items() if key not in TEXTS}
    wide = {key: v.astype(np.float64) if v.dtype.kind == "f" else v for key, v in arrays.items()}
    parents = wide["kintree_table"].astype(np.uint32)
    parents[0, 0] = 2**32 - 1
    ten = wide | {"kintree_table": parents, "shapedirs": wide["shapedirs"][:, :, :10]}
    extra = {"hands_coeffsl": np.zeros((1554, 45)), "bs_style": "lbs", "pose_training_info": {"a": None}}
    store(tmp_path / "in" / "SMPLH_male.pkl", ten | extra | {"J_regressor": sparse.csc_matrix(ten["J_regressor"])})
    (tmp_path / "in" / "female").mkdir()
    np.savez(tmp_path / "in" / "female" / "model.npz", **(wide | {"kintree_table": parents}))
    table = imported(tmp_path / "in", tmp_path / "out")
    assert sorted(row[:2] for row in table.rows) == [("smplh", "female"), ("smplh", "male")]
    body = load_body_model(root, "smplh", "male")
    for gender, components in (("female", (16, 0)), ("male", (10, 0))):
        found = load_body_model(tmp_path / "out", "smplh", gender)
        assert found.file_components == components
        assert distance_to_smplx(tmp_path / "out", "smplh", found, np.random.default_rng(3), gender) < 1e-5
        given = people(2)
        assert np.abs(Poser(found).pose(given).vertices - Poser(body).pose(given).vertices).max() < 1e-5


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
