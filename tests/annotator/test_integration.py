"""Algorithm 2 by hand, and whole fits whose hands stand where the hands' own fits put them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.camera import Camera, crop_from_camera, crop_of_box
from annotator.fit import FitHeader, Fits
from annotator.integration import PartFits, whole_fits, with_hand
from annotator.sample import Sample, Samples
from annotator.skeleton import COCO_WHOLEBODY, FACE, HAND
from annotator.synthetic import sample_body_poses
from tests.support.hand_data import face_model, hand_model

WRIST, ELBOW = 21, 19


def turned(body: BodyModelData, orient: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return Poser(body).pose({"global_orient": orient, "body_pose": pose}).rotations.astype(np.float64)


def test_the_wrist_takes_the_hands_rotation_and_the_elbow_half_of_its_roll(body: BodyModelData) -> None:
    """A forearm rolled by 60 degrees against the body's: 30 go into the elbow, whose direction stays."""
    rng = np.random.default_rng(1)
    orient, pose = rng.normal(0, 1, (20, 3)), sample_body_poses(rng, 20).reshape(20, 63)
    before = turned(body, orient, pose)
    hand = before[:, ELBOW] @ Rotation.from_euler("x", 60, degrees=True).as_matrix()
    found, taken = with_hand(orient, pose, hand, body.parents, WRIST)
    after = turned(body, orient, found)
    assert taken.all()
    assert np.abs(after[:, WRIST] - hand).max() < 1e-5
    rolled = before[:, ELBOW] @ Rotation.from_euler("x", 30, degrees=True).as_matrix()
    assert np.abs(after[:, ELBOW] - rolled).max() < 1e-5
    others = [joint for joint in range(22) if joint not in (ELBOW, WRIST)]
    assert np.abs(after[:, others] - before[:, others]).max() < 1e-5


@pytest.mark.parametrize("degrees", [170, -170, 179.9])
def test_the_mean_of_two_rolls_does_not_jump_at_half_a_turn(body: BodyModelData, degrees: float) -> None:
    zero = np.zeros((1, 3)), np.zeros((1, 63))
    hand = Rotation.from_euler("x", [degrees], degrees=True).as_matrix()
    found, taken = with_hand(*zero, hand, body.parents, WRIST)
    assert taken.all()
    elbow = Rotation.from_rotvec(found.reshape(21, 3)[ELBOW - 1]).as_euler("xyz", degrees=True)
    assert elbow == pytest.approx([degrees / 2, 0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("axis", "degrees", "taken"),
    [("y", 44, True), ("y", 46, False), ("y", -46, False), ("z", 89, True), ("z", 91, False), ("z", -91, False)],
)
def test_a_wrist_that_no_hand_can_make_leaves_elbow_and_wrist_alone(
    body: BodyModelData, axis: str, degrees: float, taken: bool
) -> None:
    rng = np.random.default_rng(2)
    orient, pose = rng.normal(0, 1, (1, 3)), sample_body_poses(rng, 1).reshape(1, 63)
    hand = turned(body, orient, pose)[:, ELBOW] @ Rotation.from_euler(axis, [degrees], degrees=True).as_matrix()
    found, said = with_hand(orient, pose, hand, body.parents, WRIST)
    assert said.tolist() == [taken]
    assert np.array_equal(found, pose) is not taken


def test_both_sides_are_alike_in_the_mirror(body: BodyModelData) -> None:
    rng = np.random.default_rng(3)
    signs = np.array([1, -1, -1])
    pose = rng.normal(0, 0.6, (30, 21, 3))
    swap = np.arange(21)
    for left, right in ((0, 1), (3, 4), (6, 7), (9, 10), (12, 13), (15, 16), (17, 18), (19, 20)):
        swap[[left, right]] = right, left
    orient, hands = rng.normal(0, 1, (30, 3)), rng.normal(0, 1, (30, 3))
    right, of_right = with_hand(
        orient, pose.reshape(30, 63), Rotation.from_rotvec(hands).as_matrix(), body.parents, WRIST
    )
    twin = (pose[:, swap] * signs).reshape(30, 63)
    left, of_left = with_hand(
        orient * signs, twin, Rotation.from_rotvec(hands * signs).as_matrix(), body.parents, WRIST - 1
    )
    assert 0 < of_right.sum() < 30
    assert np.array_equal(of_left, of_right)
    one = Rotation.from_rotvec((right.reshape(30, 21, 3)[:, swap] * signs).reshape(-1, 3))
    assert (one.inv() * Rotation.from_rotvec(left.reshape(-1, 3))).magnitude().max() < 1e-5


def samples(part: str, keys: list[str], boxes: list[list[float]]) -> Samples:
    skeleton = {"body": COCO_WHOLEBODY, "face": FACE}.get(part, HAND)
    return Samples.of(
        [
            Sample(
                key=key,
                part=part,
                root="wild",
                image="x.jpg",
                width=1000,
                height=800,
                box=np.array(box, np.float32),
                keypoints=np.zeros((len(skeleton), 3), np.float32),
                skeleton=skeleton,
            )
            for key, box in zip(keys, boxes, strict=True)
        ]
    )


def fits(of: Samples, model: BodyModelData, reasons: list[str] | None = None, **parameters: np.ndarray) -> PartFits:
    """Under the virtual cameras of the samples' crops."""
    camera = crop_of_box(of.boxes, of.sizes, drawn=True).virtual_camera()
    header = FitHeader(model.family, of.part, model.hash)
    transl = np.tile([0.0, 0, 20], (len(of), 1))
    kept = Fits.of(
        header, of.keys, parameters, focal=camera.focal, princpt=camera.princpt, transl=transl, reasons=reasons
    )
    return PartFits(of, kept, model)


def test_whole_fits_have_the_fingers_jaw_and_wrists_of_their_parts(body: BodyModelData) -> None:
    rng = np.random.default_rng(4)
    people = samples("body", ["wild/1", "wild/2", "wild/3"], [[100, 100, 200, 500]] * 3)
    right = samples("rhand", ["wild/2/rhand", "wild/1/rhand", "wild/9/rhand"], [[250, 300, 40, 40]] * 3)
    left = samples("lhand", ["wild/1/lhand"], [[120, 320, 40, 30]])
    faces = samples("face", ["wild/1/face", "wild/3/face"], [[180, 110, 60, 70]] * 2)
    orient, pose = rng.normal(0, 1, (3, 3)), sample_body_poses(rng, 3).reshape(3, 63)
    wrists = (
        Rotation.from_matrix(turned(body, orient, pose)[:, [20, 21]].reshape(-1, 3, 3)).as_rotvec().reshape(3, 2, 3)
    )
    hands = rng.normal(0, 0.2, (3, 45))
    whole = whole_fits(
        fits(people, body, global_orient=orient, body_pose=pose, betas=rng.normal(size=(3, 10))),
        [
            fits(right, hand_model("right"), ["", "", ""], global_orient=wrists[[1, 0, 2], 1], hand_pose=hands),
            fits(left, hand_model("left"), ["its photo is gone"], global_orient=wrists[:1, 0], hand_pose=hands[:1]),
            fits(faces, face_model(), jaw_pose=np.full((2, 3), 0.1), expression=np.full((2, 10), 0.5)),
        ],
    )
    assert (whole.header.part, whole.header.family, whole.keys) == ("whole", "smplx", people.keys)
    flags = {
        name: whole.table[f"integration.{name}"].to_pylist() for name in ("rhand_valid", "lhand_valid", "face_valid")
    }
    assert flags == {"rhand_valid": [1, 1, 0], "lhand_valid": [0, 0, 0], "face_valid": [1, 0, 1]}
    assert np.allclose(whole.column("right_hand_pose"), [hands[1], hands[0], np.zeros(45)], atol=1e-6)
    assert not whole.column("left_hand_pose").any()  # its fit failed
    assert np.allclose(whole.column("expression")[:, 0], [0.5, 0, 0.5])
    assert np.allclose(whole.column("jaw_pose")[:, 0], [0.1, 0, 0.1])
    assert whole.table["integration.rwrist"].to_pylist()[2] == 0
    assert np.allclose(whole.column("body_pose")[2], pose[2], atol=1e-6)
    row = whole[0]
    assert row.extra["integration.rhand_valid"] == 1


def test_a_hand_is_turned_from_its_crops_camera_into_the_bodys(body: BodyModelData) -> None:
    """The same hand seen by both virtual cameras: each camera's crop frame at the hand is one frame."""
    people = samples("body", ["wild/1"], [[100, 100, 300, 500]])
    right = samples("rhand", ["wild/1/rhand"], [[350, 120, 30, 30]])
    orient, pose = np.zeros((1, 3)), np.zeros((1, 63))
    true = Rotation.from_euler("xyz", [[0.4, 0.1, -0.2]])
    crop = crop_of_box(right.boxes, right.sizes, drawn=True)
    camera = crop_of_box(people.boxes, people.sizes, drawn=True).virtual_camera()
    seen = Rotation.from_matrix(crop_from_camera(Camera(camera.focal, camera.princpt), crop)) * true
    whole = whole_fits(
        fits(people, body, global_orient=orient, body_pose=pose),
        [fits(right, hand_model("right"), global_orient=seen.as_rotvec(), hand_pose=np.zeros((1, 45)))],
    )
    found = turned(body, whole.column("global_orient"), whole.column("body_pose"))[:, WRIST]
    assert (Rotation.from_matrix(found).inv() * true).magnitude().max() < 1e-5
    assert (seen.inv() * true).magnitude().max() > 0.01  # the turn counts
