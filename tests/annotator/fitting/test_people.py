"""Samples become people to fit: which points count, through which camera, in which unit, and where a fit starts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData
from annotator.fitting.people import IGNORED, WHOLE_POINTS, Fitting, people_of
from annotator.fitting.problem import Problem
from annotator.fitting.start import depth_guess, rigid
from annotator.sample import Samples
from annotator.skeleton import COCO, COCO_WHOLEBODY, HAND, HUMAN36M, OPENPOSE_INNER, Skeleton

COUNT = 4


def samples_of(skeleton: Skeleton, *, keypoints: np.ndarray | None = None, **more: Any) -> Samples:
    """People in photos of 640 x 480, all points labelled at different places."""
    if keypoints is None:
        keypoints = np.random.default_rng(0).uniform(100, 400, (COUNT, len(skeleton), 3)).astype(np.float32)
        keypoints[..., 2] = 1
    return Samples.of_columns(
        part="body",
        skeleton=skeleton,
        box_drawn=False,
        keys=[f"s/{n}" for n in range(COUNT)],
        root="s",
        images=["a.jpg"] * COUNT,
        sizes=np.tile([640, 480], (COUNT, 1)),
        boxes=np.tile(np.array([100, 100, 200, 300], np.float32), (COUNT, 1)),
        keypoints=keypoints,
        **more,
    )


def weight_of(problem: Problem, *names: str) -> np.ndarray:
    return problem.confidence[:, [problem.names.index(name) for name in names]]


def test_neck_and_hips_are_ignored_for_openpose_alone(body: BodyModelData) -> None:
    openpose, _ = people_of(samples_of(OPENPOSE_INNER), body, Fitting())
    coco, _ = people_of(samples_of(COCO_WHOLEBODY), body, Fitting())
    assert openpose.names == coco.names == WHOLE_POINTS
    assert (weight_of(openpose, *IGNORED) == 0).all()
    assert (weight_of(openpose, "mid_hip", "left_knee") == 1).all()
    assert (weight_of(coco, "left_hip", "right_hip") == 1).all()
    assert (weight_of(coco, "neck", "mid_hip") == 0).all()  # COCO has no such points
    hips = [openpose.names.index(name) for name in ("left_hip", "right_hip")]
    assert openpose.seen[:, hips].all()  # they start the camera all the same
    assert (openpose.anchor_weights.sum(axis=1) == 4).all()


def test_the_data_weight_is_a_thousand_over_the_photos_height_or_a_hands_crop(
    body: BodyModelData, hand: BodyModelData
) -> None:
    whole, _ = people_of(samples_of(COCO_WHOLEBODY), body, Fitting())
    assert whole.data_weight == pytest.approx(1000 / 480)
    lone, _ = people_of(samples_of(HAND), hand, Fitting())
    assert lone.data_weight == pytest.approx(1000 / (1.25 * 300))
    assert lone.free_translation
    assert not whole.free_translation


def test_the_camera_is_the_published_one_unless_the_photos_own_is_wanted(body: BodyModelData) -> None:
    own = np.array([[900.0, 0, 310], [0, 910, 250], [0, 0, 1]], np.float32)
    samples = samples_of(COCO, intrinsics=np.tile(own, (COUNT, 1, 1)))
    published, _ = people_of(samples, body, Fitting())
    assert published.focal.tolist() == [[5000, 5000]] * COUNT
    assert published.center.tolist() == [[320, 240]] * COUNT
    known, _ = people_of(samples, body, Fitting(known_camera=True))
    assert known.focal.tolist() == [[900, 910]] * COUNT
    assert known.center.tolist() == [[310, 250]] * COUNT


def test_one_who_cannot_be_fitted_keeps_his_row_and_says_why(body: BodyModelData) -> None:
    keypoints = np.array(samples_of(COCO).keypoints)
    keypoints[1, 4, 0] = np.nan
    keypoints[2, 2:, 2] = 0
    keypoints[3, :, 2] = 0
    problem, reasons = people_of(samples_of(COCO, keypoints=keypoints), body, Fitting())
    assert reasons[0] == ""
    assert reasons[1] == "a keypoint is not a number"
    assert reasons[2].startswith("2 labelled points")
    assert reasons[3].startswith("0 labelled points")
    assert np.isfinite(problem.pixels).all()
    assert problem.confidence.sum(axis=1).tolist() == [17, 0, 0, 0]


def test_points_that_all_lie_at_one_place_are_no_person(body: BodyModelData) -> None:
    keypoints = np.array(samples_of(COCO).keypoints)
    keypoints[2, :, :2] = 50
    _, reasons = people_of(samples_of(COCO, keypoints=keypoints), body, Fitting())
    assert reasons == ("", "", "all labelled points lie at one place", "")


def test_3d_joints_keep_their_places_and_may_be_missing(body: BodyModelData) -> None:
    joints = np.random.default_rng(1).normal(size=(COUNT, 17, 4)).astype(np.float32)
    joints[..., 3] = 1
    joints[0, 5, 3] = 0
    samples = samples_of(COCO, joints=joints, joint_skeleton=HUMAN36M)
    problem, reasons = people_of(samples, body, Fitting(in_3d=True, rho_3d=0.2))
    assert set(reasons) == {""}
    assert problem.joints is not None
    assert (problem.names, problem.skeleton, problem.rho) == (HUMAN36M.points, HUMAN36M.name, 0.2)
    assert problem.joints[1] == pytest.approx(joints[1, :, :3])
    assert problem.confidence[0, 5] == 0
    assert problem.data_weight.tolist() == [1000.0] * COUNT  # inside the square: the published 10^6
    assert not problem.side_view.any()


def torso(body: BodyModelData, pixels: dict[str, tuple[float, float]]) -> Problem:
    """One person of whom only some points are labelled."""
    keypoints = np.zeros((COUNT, len(COCO), 3), np.float32)
    for name, place in pixels.items():
        keypoints[:, COCO.index_of[name]] = (*place, 1)
    return people_of(samples_of(COCO, keypoints=keypoints), body, Fitting())[0].take(slice(0, 1))


def test_shoulders_less_than_25_px_apart_may_face_either_way(body: BodyModelData) -> None:
    narrow = {"left_shoulder": (110.0, 100.0), "right_shoulder": (90.0, 100.0), "nose": (100.0, 80.0)}
    assert torso(body, narrow).side_view[0]
    assert not torso(body, narrow | {"left_shoulder": (120.0, 100.0)}).side_view[0]
    assert torso(body, {"nose": (1, 1), "left_eye": (2, 2), "right_eye": (3, 3)}).side_view[0]
    assert not torso(body, {"nose": (1, 1), "left_eye": (2, 2), "left_shoulder": (3, 3)}).side_view[0]


def test_the_depth_is_guessed_from_the_sides_that_are_whole(body: BodyModelData) -> None:
    """Hand-computed: focal length x length in 3D over length in the photo."""
    points = {"left_shoulder": (200.0, 100.0), "left_hip": (200.0, 200.0), "right_shoulder": (150.0, 100.0)}
    rest = np.zeros((len(WHOLE_POINTS), 3))
    rest[WHOLE_POINTS.index("left_shoulder")] = [0, 0.5, 0]
    rest[WHOLE_POINTS.index("right_shoulder")] = [0, 9.0, 0]
    both = torso(body, points | {"right_hip": (150.0, 400.0)})
    assert depth_guess(both, rest).item() == pytest.approx(5000 * (0.5 + 9.0) / (100 + 300))
    assert depth_guess(torso(body, points), rest).item() == pytest.approx(5000 * 0.5 / 100)


def test_without_a_side_the_spread_of_all_points_guesses_it(body: BodyModelData) -> None:
    problem = torso(body, {"nose": (100.0, 100.0), "left_eye": (300.0, 100.0), "right_eye": (100.0, 100.0)})
    rest = np.zeros((len(WHOLE_POINTS), 3))
    rest[WHOLE_POINTS.index("left_eye")] = [0.3, 0, 0]
    assert depth_guess(problem, rest).item() == pytest.approx(5000 * 0.3 / 200)


def test_fewer_than_three_torso_points_start_with_all_of_the_body(body: BodyModelData) -> None:
    named = {
        "left_shoulder": (200.0, 100.0),
        "right_shoulder": (150.0, 100.0),
        "nose": (1.0, 1.0),
        "left_eye": (2.0, 2.0),
    }
    few = torso(body, named)
    assert few.anchor_weights.sum() == 4
    enough = torso(body, named | {"left_hip": (200.0, 200.0)})
    assert enough.anchor_weights.sum() == 3


def of_named(body: BodyModelData, *wanted: str) -> Problem:
    """One person of a whole skeleton of whom only the points whose names begin so are labelled."""
    keypoints = np.array(samples_of(COCO_WHOLEBODY).keypoints)
    keypoints[:, [not name.startswith(wanted) for name in COCO_WHOLEBODY.points], 2] = 0
    return people_of(samples_of(COCO_WHOLEBODY, keypoints=keypoints), body, Fitting())[0].take(slice(0, 1))


def test_hands_and_face_start_the_camera_where_the_body_cannot(body: BodyModelData) -> None:
    assert of_named(body, "left_hand_").anchor_weights.sum() == 21
    assert of_named(body, "left_hand_", "right_hand_").anchor_weights.sum() == 42
    assert of_named(body, "nose", "left_hand_").anchor_weights.sum() == 22
    assert of_named(body, "nose", "left_eye", "right_eye", "left_hand_").anchor_weights.sum() == 3


def test_the_stages_move_those_whom_the_body_does_not_place(body: BodyModelData) -> None:
    assert of_named(body, "left_hand_").moves.all()
    assert of_named(body, "nose", "left_knee", "right_hand_").moves.all()
    assert not of_named(body, "nose", "left_knee", "left_hip", "right_hand_").moves.any()
    assert replace(of_named(body, ""), free_translation=True).moves.all()
    assert not of_named(body, "").moves.any()


def test_two_hands_guess_the_depth_by_their_own_size(body: BodyModelData) -> None:
    """Hand-computed: each hand's points lie 0.1 m and 20 px from their mean, however far the hands are apart."""
    hands = of_named(body, "left_hand_index1", "left_hand_index2", "right_hand_index1", "right_hand_index2")
    rows = [WHOLE_POINTS.index(f"{side}_hand_index{n}") for side in ("left", "right") for n in (1, 2)]
    rest, pixels = np.zeros((len(WHOLE_POINTS), 3)), np.zeros((1, len(WHOLE_POINTS), 2))
    rest[rows] = [[0.7, 0, 0], [0.9, 0, 0], [-0.7, 0, 0], [-0.9, 0, 0]]
    pixels[0, rows] = [[300, 200], [340, 200], [320, 200], [280, 200]]
    assert depth_guess(replace(hands, pixels=pixels), rest).item() == pytest.approx(5000 * 0.1 / 20)
    one_each = of_named(body, "nose", "left_hand_index1", "right_hand_index1")
    pixels[0, WHOLE_POINTS.index("nose")] = [
        310,
        200,
    ]  # in the middle, as in the body: 0.7 m and 10 px from either hand
    assert depth_guess(replace(one_each, pixels=pixels), rest).item() == pytest.approx(5000 * 0.7 / 10)


def test_a_rigid_start_is_exact_and_never_a_reflection() -> None:
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(3)
    points, root = rng.normal(size=(6, 3)), np.array([0.1, 0.2, 0.3])
    turn = Rotation.from_rotvec([0.4, -1.0, 2.0])
    target = turn.apply(points - root) + root + [1.0, 2.0, 3.0]
    mirrored = points * [-1.0, 1.0, 1.0]
    weight = np.array([[1, 1, 1, 1, 1, 0.0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    spoilt = target.copy()
    spoilt[5] += 50.0  # without weight
    orient, transl = rigid(points, np.stack([spoilt, mirrored, target]), weight, root)
    assert orient[0] == pytest.approx(turn.as_rotvec())
    assert transl[0] == pytest.approx([1.0, 2.0, 3.0])
    assert np.linalg.det(Rotation.from_rotvec(orient[1]).as_matrix()) == pytest.approx(1.0)
    assert not orient[2].any()
    assert not transl[2].any()


def test_people_can_be_taken_and_keep_what_they_share(body: BodyModelData) -> None:
    problem, _ = people_of(samples_of(COCO_WHOLEBODY), body, Fitting())
    taken = problem.take(np.array([2, 0]))
    assert len(taken) == 2
    assert taken.pixels[1] == pytest.approx(problem.pixels[0])
    assert taken.names is problem.names
    assert replace(taken, rho=5.0).rho == 5.0
