"""Hands with known truth: the same from every start, whole in the photo, with an arm that never reaches the camera."""

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.camera import Camera
from annotator.handshots import SIZE, forearm, hand_shots
from annotator.shots import LAB_ROOM, STUDIO_ROOM, lab_shots
from annotator.skeleton import HAND, MPI_INF_3DHP


@pytest.fixture(scope="module")
def hand() -> BodyModelData:
    return load_body_model(default_root(), "mano_right")


def test_a_shot_depends_on_its_number_alone(hand: BodyModelData) -> None:
    all_of_them, later = list(hand_shots(hand, 5, 70)), list(hand_shots(hand, 5, 70, start=65))
    assert [shot.number for shot in later] == [65, 66, 67, 68, 69]
    for one, other in zip(all_of_them[65:], later, strict=True):
        assert np.array_equal(one.vertices, other.vertices)
        assert one.looks == other.looks
    other_seed = next(iter(hand_shots(hand, 6, 1)))
    assert not np.allclose(other_seed.vertices, all_of_them[0].vertices, atol=1e-3)


def test_hands_lie_in_the_photo_and_are_seen_from_all_sides(hand: BodyModelData) -> None:
    shots = list(hand_shots(hand, 5, 128))
    towards: list[float] = []
    inside: list[float] = []
    for shot in shots:
        pixels = Camera(shot.focal, shot.princpt).project(shot.vertices.astype(float))
        inside.append(float(((pixels >= 0) & (pixels < SIZE)).all(axis=1).mean()))
        assert np.ptp(pixels, axis=0).max() > 0.3 * SIZE
        assert shot.vertices[:, 2].min() > 0.1
        wrist, index, pinky = (shot.points[HAND.name][HAND.index_of[n]] for n in ("wrist", "index1", "pinky1"))
        normal = np.cross(index - wrist, pinky - wrist)
        towards.append(float(normal[2] / np.linalg.norm(normal)))
    assert min(inside) > 0.7  # fingers that come near grow out of it
    assert np.mean(inside) > 0.98
    assert 0.3 < np.mean(np.array(towards) > 0) < 0.7  # palms and backs


def test_a_forearm_continues_the_wrist_and_stays_before_the_camera(hand: BodyModelData) -> None:
    for shot in hand_shots(hand, 5, 128):
        vertices, faces = forearm(shot, hand.faces)
        rim = vertices[: len(vertices) // 2]
        assert len(rim) == 20
        near = np.abs(rim[:, None] - shot.vertices[None]).max(axis=2).min(axis=1)
        assert near.max() < 1e-6  # vertices of the hand itself
        assert faces.max() == len(vertices) - 1
        assert vertices[:, 2].min() > 0.03
        steps = np.linalg.norm(rim - np.roll(rim, 1, axis=0), axis=1)
        assert steps.max() < 0.03  # neighbours follow each other


def test_rooms_share_no_person_and_give_every_frame_one_camera(body: BodyModelData) -> None:
    studio = list(lab_shots(body, 5, 40, room=STUDIO_ROOM))
    lab = list(lab_shots(body, 5, 3))
    assert not np.allclose(studio[0].parameters["body_pose"], lab[0].parameters["body_pose"], atol=1e-3)
    assert {shot.lab.room for shot in lab if shot.lab} == {LAB_ROOM.name}
    places = [shot.lab for shot in studio if shot.lab]
    assert {place.subject for place in places} == set(STUDIO_ROOM.subjects)
    frames = {(place.subject, place.action, place.frame) for place in places}
    assert len(frames) == 40
    assert all(place.frame % STUDIO_ROOM.frame_step == 0 for place in places)
    for shot in studio:
        assert shot.lab is not None
        heights = ((shot.vertices - shot.lab.translation) @ shot.lab.rotation)[:, 2]
        assert abs(heights.min()) < 1e-3  # on the floor
        assert (shot.points[MPI_INF_3DHP.name][:, 2] > 1).all()
