"""Named points by arithmetic: order, pairs and edges; the official loaders' constants; the maps against the smplx package."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from smplx.joint_names import JOINT_NAMES

from annotator.bodies.anatomy import (
    FLAME_JOINTS,
    MANO_JOINTS,
    MANO_PACKAGE_VERTICES,
    MANO_VERTICES,
    NAMES,
    SMPL_JOINTS,
    SMPLH_JOINTS,
    SMPLX_JOINTS,
    SMPLX_VERTICES,
    VERTEX_SET,
)
from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.bodies.official import create as official_model
from annotator.bodies.places import SKELETONS_OF, places
from annotator.bodies.points import CONTOUR_START, HAND_POINTS, Landmarks, PointMap, model_points, regressed
from annotator.bodies.posing import Posed, Poser, parameter_widths
from annotator.fit import FitHeader
from annotator.skeleton import (
    COCO,
    COCO_WHOLEBODY,
    CROWDPOSE,
    FACE,
    FLAME,
    H36M_EVALUATED,
    HAND,
    HUMAN36M,
    INTERHAND,
    INTERHAND_HAND,
    LSP,
    MPI_INF_3DHP,
    MPI_INF_3DHP_FROM_SOURCE,
    MPI_INF_3DHP_SOURCE,
    MPII,
    OPENPOSE,
    OPENPOSE_BODY,
    OPENPOSE_INNER,
    SKELETONS,
    SMPL,
    Skeleton,
    error_points,
    loss_points,
)

SIZES = {
    **{"coco_wholebody133": 133, "coco17": 17, "openpose135": 135, "openpose118": 118, "body25": 25, "h36m17": 17},
    **{"mpi_inf_3dhp17": 17, "mpi_inf_3dhp28": 28, "smpl24": 24, "mpii16": 16, "crowdpose14": 14, "lsp14": 14},
    **{"interhand42": 42, "interhand21": 21, "freihand21": 21, "face68": 68, "flame73": 73},
}
FACE_PIECES = 9
"""Contour, two brows, bridge and foot of the nose, two eyes, outer and inner lips."""
PIECES = {COCO_WHOLEBODY.name: 3 + FACE_PIECES, OPENPOSE.name: 3 + FACE_PIECES, OPENPOSE_INNER.name: 2 + FACE_PIECES}
PIECES |= {FACE.name: FACE_PIECES, FLAME.name: 1 + FACE_PIECES, INTERHAND.name: 2}
ALL = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))


@pytest.fixture(scope="module")
def posed_at_rest(body: BodyModelData) -> Posed:
    return Poser(body).pose({"betas": np.zeros((1, 10), np.float32)})


def test_every_skeleton_has_its_number_of_points() -> None:
    assert {name: len(skeleton) for name, skeleton in SKELETONS.items()} == SIZES


@ALL
def test_names_are_unique_and_each_side_has_its_twin(skeleton: Skeleton) -> None:
    assert len(set(skeleton.points)) == len(skeleton)
    sided = np.flatnonzero(skeleton.sides)
    assert {i for pair in skeleton.pairs for i in pair} == set(sided.tolist())


@ALL
def test_pairs_are_an_involution_that_swaps_sides(skeleton: Skeleton) -> None:
    assert (skeleton.mirror[skeleton.mirror] == np.arange(len(skeleton))).all()
    assert (skeleton.sides[skeleton.mirror] == -skeleton.sides).all()
    swapped = np.array(skeleton.edges)
    mirrored = {frozenset(edge) for edge in skeleton.mirror[swapped].tolist()}
    assert mirrored == {frozenset(edge) for edge in swapped.tolist()}


@ALL
def test_edges_connect_all_points_of_a_piece_once(skeleton: Skeleton) -> None:
    edges = {frozenset(edge) for edge in skeleton.edges}
    assert len(edges) == len(skeleton.edges)
    assert all(len(edge) == 2 for edge in edges)
    assert {i for edge in edges for i in edge} == set(range(len(skeleton)))
    piece = np.arange(len(skeleton))
    for _ in range(len(skeleton)):
        for a, b in skeleton.edges:
            piece[[a, b]] = min(piece[a], piece[b])
    expected = PIECES.get(skeleton.name, 1)
    assert len(set(piece.tolist())) == expected


# -- the official loaders' constants ---------------------------------------------------------------------------------------


def test_coco_wholebody_has_its_parts_in_the_official_places() -> None:
    points = COCO_WHOLEBODY.points
    assert points[:5] == ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    assert points[:17] == COCO.points
    assert points[17:23] == tuple(f"{s}_{p}" for s in ("left", "right") for p in ("big_toe", "small_toe", "heel"))
    assert points[23:91] == FACE.points
    assert points[91] == "left_hand_wrist"
    assert points[112] == "right_hand_wrist"
    assert points[96] == "left_hand_index1"
    assert points[132] == "right_hand_pinky4"


def test_human36m_is_right_first_and_its_fourteen_leave_out_pelvis_torso_and_nose() -> None:
    assert HUMAN36M.points[1:4] == ("right_hip", "right_knee", "right_ankle")
    assert set(HUMAN36M.points) - {HUMAN36M.points[i] for i in H36M_EVALUATED} == {"pelvis", "torso", "nose"}
    # SPIN's J17 from a left-first regressor: right ankle, knee, hip, left hip, knee, ankle, ...
    right_first = [HUMAN36M.mirror[i] if i in range(1, 7) else i for i in (6, 5, 4, 1, 2, 3)]
    assert [HUMAN36M.points[i] for i in right_first] == list(LSP.points[:6])


def test_mpi_inf_3dhp_has_the_loaders_flip_pairs_and_its_place_in_the_source() -> None:
    pairs = {frozenset(pair) for pair in MPI_INF_3DHP.pairs}
    assert pairs == {frozenset(p) for p in ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13))}
    assert MPI_INF_3DHP.points.index("pelvis") == 14
    assert MPI_INF_3DHP_SOURCE.points[4] == "pelvis"
    used_by_spin = (4, 18, 19, 20, 23, 24, 25, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16)
    assert sorted(MPI_INF_3DHP_FROM_SOURCE.tolist()) == sorted(used_by_spin)
    renamed = tuple("torso" if p == "spine" else p for p in MPI_INF_3DHP_SOURCE.points)
    assert tuple(renamed[i] for i in MPI_INF_3DHP_FROM_SOURCE) == MPI_INF_3DHP.points


def test_crowdpose_mpii_and_lsp_begin_where_they_begin() -> None:
    assert CROWDPOSE.points[:2] == ("left_shoulder", "right_shoulder")
    assert CROWDPOSE.points[12:] == ("head_top", "neck")
    assert MPII.points[6:10] == ("pelvis", "thorax", "neck", "head_top")
    assert MPII.points[10:13] == ("right_wrist", "right_elbow", "right_shoulder")
    assert LSP.points[12:] == ("neck", "head_top")


def test_interhand_is_tip_first_and_right_first() -> None:
    assert INTERHAND.points[:4] == ("right_thumb4", "right_thumb3", "right_thumb2", "right_thumb1")
    assert (INTERHAND.points[20], INTERHAND.points[41]) == ("right_wrist", "left_wrist")
    assert tuple(f"left_{point}" for point in INTERHAND_HAND.points) == INTERHAND.points[21:]


def test_hands_are_manopths_reordering_of_mano() -> None:
    """manopth takes the 16 joints and 5 tips in this order to get wrist, thumb, index, middle, ring, pinky."""
    reordering = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
    tips = {name: 16 + i for i, name in enumerate(("thumb4", "index4", "middle4", "ring4", "pinky4"))}
    places_of = {**MANO_JOINTS, **tips}
    assert tuple(places_of[point] for point in HAND.points) == reordering


def test_flames_73_are_the_68_with_the_contour_last() -> None:
    assert tuple(FLAME_JOINTS) == FLAME.points[:5]
    assert FLAME.points[5:56] == FACE.points[17:]
    assert FLAME.points[56:] == FACE.points[:17]
    assert {name: SKELETONS[name].points[at] for name, at in CONTOUR_START.items()} == dict.fromkeys(
        CONTOUR_START, FACE.points[0]
    )


def test_joint_names_are_the_packages() -> None:
    ours = {**SMPLX_JOINTS, **{name: 55 + i for i, name in enumerate(SMPLX_VERTICES)}}
    for name, index in ours.items():
        theirs = name.replace("eyeball", "eye_smplhf") if index < 55 else name.removesuffix("4")
        assert JOINT_NAMES[index] == theirs, name
    assert len(ours) == 76


def test_smpl_h_is_smpl_x_without_jaw_and_eyes() -> None:
    assert [name for name in SMPLX_JOINTS if name not in SMPLH_JOINTS] == ["jaw", "left_eyeball", "right_eyeball"]
    assert list(SMPLH_JOINTS.values()) == list(range(52))
    assert tuple(SMPL_JOINTS) == SMPL.points


def test_wholebody_skeletons_teach_the_body_their_knuckles() -> None:
    names = [OPENPOSE.points[i] for i in loss_points(OPENPOSE, "body")]
    assert names[:25] == list(OPENPOSE_BODY.points)
    assert names[25:] == [f"{s}_hand_{f}1" for s in ("left", "right") for f in ("index", "middle", "ring", "pinky")]
    assert len(error_points(OPENPOSE_INNER, "body")) == 25
    assert len(loss_points(OPENPOSE, "whole")) == 135


# -- maps ------------------------------------------------------------------------------------------------------------------

BODY_25_OF = {
    "smpl": (24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, *range(25, 35)),
    "smplx": (55, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, *range(56, 66)),
}
LEFT_HAND = (20, 37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70)
RIGHT_HAND = (21, 52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75)
SMPLX_OPENPOSE = (*BODY_25_OF["smplx"], *LEFT_HAND, *RIGHT_HAND, *range(76, 144))
"""SMPLify-X's own lists: its BODY_25, hands and face as indices of what the smplx package returns."""


def of_the_package(name: str, given: Mapping[str, np.ndarray]) -> np.ndarray:
    options = {"use_face_contour": True} if name in ("smplx", "flame") else {}
    with torch.no_grad():
        tensors = {key: torch.as_tensor(values) for key, values in given.items()}
        return official_model(default_root(), name, **options)(**tensors).joints[0].numpy()


def someone(family: str, seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    widths = parameter_widths(family)
    return {name: rng.normal(0, 0.25, (1, width)).astype(np.float32) for name, width in widths.items()}


@pytest.mark.parametrize("name", ["smplx", "smpl"])
def test_openpose_points_are_those_that_smplify_x_takes_from_the_package(name: str) -> None:
    given = someone(name)
    theirs, posed = of_the_package(name, given), Poser(load_body_model(default_root(), name)).pose(given)
    assert np.abs(posed.points(OPENPOSE_BODY.name)[0] - theirs[list(BODY_25_OF[name])]).max() < 1e-5
    if name == "smplx":
        assert np.abs(posed.points(OPENPOSE.name)[0] - theirs[list(SMPLX_OPENPOSE)]).max() < 1e-5
        assert np.abs(posed.points(OPENPOSE_INNER.name)[0] - theirs[list(SMPLX_OPENPOSE[:118])]).max() < 1e-5


def test_smpl_h_takes_what_smplify_x_takes() -> None:
    """No SMPL-H file ships; its map is read as indices of joints and, after the 52, of the package's extra vertices."""
    maps = model_points("smplh", 6890, landmarks=None, head_top=411)
    extra = {vertex: 52 + i for i, vertex in enumerate(NAMES["smplh"][1].values())}
    found = maps[OPENPOSE.name]

    def index(row: int) -> int:
        joint = np.flatnonzero(found.joint_weights[row])
        return int(joint[0]) if len(joint) else extra[int(found.vertex_weights[[row]].indices[0])]

    left = (20, 34, 35, 36, 63, 22, 23, 24, 64, 25, 26, 27, 65, 31, 32, 33, 66, 28, 29, 30, 67)
    right = (21, 49, 50, 51, 68, 37, 38, 39, 69, 40, 41, 42, 70, 46, 47, 48, 71, 43, 44, 45, 72)
    body = (52, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, *range(53, 63))
    assert [index(row) for row in range(67)] == [*body, *left, *right]
    assert not found.present[67:].any()


@pytest.mark.parametrize("name", ["smplx", "smpl"])
def test_3dpws_joints_are_the_packages(name: str) -> None:
    given = someone(name)
    theirs, body = of_the_package(name, given), load_body_model(default_root(), name)
    ours = Poser(body).pose(given).points(SMPL.name)[0]
    joints = 24 if name == "smpl" else 22
    assert np.abs(ours[:joints] - theirs[:joints]).max() < 1e-5
    if name == "smplx":  # hands are the mean of four knuckles
        assert np.abs(ours[22] - theirs[[25, 28, 31, 34]].mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("side", ["right", "left"])
def test_hand_joints_are_the_packages_and_tips_are_freihands(side: str) -> None:
    given = someone("mano")
    posed = Poser(load_body_model(default_root(), f"mano_{side}")).pose(given)
    theirs = of_the_package(f"mano_{side}", given)
    order = [MANO_JOINTS.get(point, -1) for point in HAND.points]
    joints = np.flatnonzero(np.array(order) >= 0)
    hand = posed.points(HAND.name)[0]
    assert np.abs(hand[joints] - theirs[np.array(order)[joints]]).max() < 1e-5
    for name, vertex in MANO_VERTICES.items():
        assert np.array_equal(hand[HAND.index_of[name]], posed.vertices[0, vertex])
        assert name == "thumb4" or vertex != MANO_PACKAGE_VERTICES[name]
    tips_first = posed.points(INTERHAND_HAND.name)[0]
    assert np.array_equal(tips_first, hand[[HAND.index_of[point] for point in INTERHAND_HAND.points]])


def test_flames_points_are_the_packages() -> None:
    given = someone("flame")
    posed = Poser(load_body_model(default_root(), "flame")).pose(given)
    assert np.abs(posed.points(FLAME.name)[0] - of_the_package("flame", given)).max() < 1e-5


def test_both_hands_of_a_body_are_interhands(posed_at_rest: Posed) -> None:
    both = posed_at_rest.points(INTERHAND.name)[0]
    for side, rows in (("right", slice(0, 21)), ("left", slice(21, 42))):
        one = posed_at_rest.points(HAND_POINTS[side])[0]
        assert np.array_equal(both[rows], one[[HAND.index_of[point] for point in INTERHAND_HAND.points]])


@pytest.mark.parametrize("family", list(SKELETONS_OF))
def test_each_point_is_a_mean_of_what_the_family_has(family: str) -> None:
    maps = model_points(family, 20_000, landmarks=None, head_top=7)
    assert set(maps) >= {skeleton.name for skeleton in SKELETONS_OF[family]}
    for name, found in maps.items():
        sums = found.joint_weights.sum(axis=1) + np.asarray(found.vertex_weights.sum(axis=1)).ravel()
        assert np.allclose(sums[found.present], 1, atol=1e-6), name
        assert not sums[~found.present].any()


def test_what_a_family_lacks_is_absent_and_nothing_else() -> None:
    body, smpl = (load_body_model(default_root(), name) for name in ("smplx", "smpl"))
    for name in SIZES:
        if name in body.points and name != MPI_INF_3DHP_SOURCE.name:
            assert body.points[name].present.all(), name
    missing = {OPENPOSE.points[i] for i in np.flatnonzero(~smpl.points[OPENPOSE.name].present)}
    assert missing == {p for p in OPENPOSE.points if ("_hand_" in p and p[-1] in "123") or "face" in p}
    source = body.points[MPI_INF_3DHP_SOURCE.name].present
    assert source[MPI_INF_3DHP_FROM_SOURCE].all()
    assert source.sum() == 17  # no real sample says where its other eleven lie


@pytest.mark.parametrize("skeleton", SKELETONS_OF["smplx"], ids=lambda skeleton: skeleton.name)
def test_at_rest_left_is_at_plus_x_and_mirrors_right(skeleton: Skeleton, posed_at_rest: Posed) -> None:
    points = posed_at_rest.points(skeleton.name)[0]
    for left, right in skeleton.pairs:
        if posed_at_rest.body.points[skeleton.name].present[left]:
            assert points[left, 0] > 0, skeleton.points[left]
            assert np.abs(points[left] * [-1, 1, 1] - points[right]).max() < 3e-3, skeleton.points[left]
    middle = np.flatnonzero(skeleton.sides == 0)
    assert np.abs(points[middle, 0]).max(initial=0) < 3e-3


def test_hips_of_motion_capture_are_as_wide_for_a_body_with_narrow_hip_joints() -> None:
    """Official files have hip joints at 70 mm from the midline, the open body at 113; their people are equally wide."""
    widths: list[float] = []
    for half in (0.07, 0.113):
        rest = np.zeros((24, 3))
        rest[SMPL_JOINTS["left_hip"]], rest[SMPL_JOINTS["right_hip"]] = (half, 0, 0), (-half, 0, 0)
        rest[SMPL_JOINTS["left_knee"]], rest[SMPL_JOINTS["left_ankle"]] = (half, -0.4, 0), (half, -0.8, 0)
        found = model_points("smpl", 6890, landmarks=None, head_top=411, rest_joints=rest)[HUMAN36M.name]
        hips = (found.joint_weights @ rest)[HUMAN36M.indices("left_hip", "right_hip")]
        widths.append(float(hips[0, 0] - hips[1, 0]))
    assert np.allclose(widths, 2 * 0.154 * 0.8)


def test_a_data_sets_own_regressor_does_not_move_with_the_body() -> None:
    """Rows of published regressors sum to 0.9996 to 1.0001: 2 mm at 5 m."""
    rows = np.array([[0.5, 0.4996, 0.0], [0.0, 0.25, 0.7501]])
    found = regressed(rows, 24)
    vertices = np.random.default_rng(0).normal(0, 0.3, (4, 3, 3)).astype(np.float32)
    near, far = (found.apply(np.zeros((4, 24, 3), np.float32), vertices + [0, 0, depth]) for depth in (0.0, 50.0))
    assert np.abs(far - near - [0, 0, 50]).max() < 1e-4
    assert np.allclose(near[:, 1], (0.25 * vertices[:, 1] + 0.7501 * vertices[:, 2]) / 1.0001, atol=1e-6)


def test_one_set_of_vertices_is_named_by_maps_and_fits() -> None:
    body = load_body_model(default_root(), "mano_right")
    assert {found.vertex_set for found in body.points.values()} == {VERTEX_SET}
    assert FitHeader("mano", "rhand", "0" * 16).landmarks == VERTEX_SET


def test_places_name_only_what_some_family_has() -> None:
    known = {name for joints, vertices in NAMES.values() for name in (*joints, *vertices)} | {"head_top", *FACE.points}
    for family, skeletons in SKELETONS_OF.items():
        for skeleton in skeletons:
            for point, mix in zip(skeleton.points, places(skeleton, 1.1), strict=True):
                assert point in FACE.index_of or set(mix) <= known, (family, skeleton.name, point)


def test_a_map_without_landmarks_has_no_face() -> None:
    faceless = model_points("smplx", 11_000, landmarks=None, head_top=0)
    assert not faceless[FACE.name].present.any()
    assert isinstance(faceless[FACE.name], PointMap)
    one = Landmarks(
        np.array([[0, 1, 2]]), np.zeros(51, int), np.full((51, 3), 1 / 3), np.zeros((0, 17)), np.zeros((0, 17, 3))
    )
    inner_only = model_points("smplx", 11_000, landmarks=one, head_top=0)[OPENPOSE.name]
    assert inner_only.present[:118].all()
    assert not inner_only.present[118:].any()
