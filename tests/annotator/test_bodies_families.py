"""SMPL, MANO and FLAME of the open body: against the smplx package, and against SMPL-X."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from annotator.bodies.files import (
    OPEN_BODY,
    BodyModelData,
    default_root,
    load_body_model,
    read_model,
    verified,
)
from annotator.bodies.official import create as official_model
from annotator.bodies.points import HAND_POINTS, MANO_VERTICES, SMPL_JOINTS, SMPL_VERTICES, SMPLX_VERTICES
from annotator.bodies.posing import Poser, parameter_widths
from annotator.errors import UnknownNameError
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
    built = {name: load_body_model(tmp_path, name).hash for name in MODELS if verified(tmp_path, name)}
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
