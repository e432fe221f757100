"""Synthetic people before synthetic cameras: everything needed to draw a photo and to write its truth. No drawing.

"Wild" shots vary light, clutter, occluders, framing; shots in a room share its cameras and few people: the lab's four
are alike, the studio's eight look from several heights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Posed, Poser
from annotator.synthetic import sample_betas, sample_hands, sample_poses

FACING_DEG = 63.0
_FACING_SHARE = 0.97
_TRUNCATED_SHARE = 0.15
_OCCLUDED_SHARE = 0.3
_UPRIGHT = Rotation.from_rotvec([np.pi, 0, 0])
_WORLD_FROM_BODY = Rotation.from_rotvec([np.pi / 2, 0, 0])
"""y up -> z up, as Human3.6M's world."""
_CHUNK = 64


@dataclass(frozen=True)
class Looks:
    """Colours (RGB in 0..255) and light of one person, the same on both sides of the body."""

    skin: tuple[int, int, int]
    shirt: tuple[int, int, int]
    trousers: tuple[int, int, int]
    shoes: tuple[int, int, int]
    hair: tuple[int, int, int]
    long_sleeves: bool
    short_trousers: bool
    light: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Occluder:
    """A box in camera space in front of the person: centre and half extents in metres."""

    center: tuple[float, float, float]
    half: tuple[float, float, float]
    color: tuple[int, int, int]


@dataclass(frozen=True)
class Room:
    """Where people are filmed for an auxiliary set.

    Attributes:
        subjects, actions, cameras: their numbers in the data set.
        heights: of the cameras in metres, in turn round the room.
        frame_step: every how-manieth frame the data set's loaders read.
        size: of the photos in px; focal and princpt: as shares of its sides.
        stream: what its random draws start from, so that rooms share none.
    """

    name: str
    subjects: tuple[int, ...]
    actions: tuple[int, ...]
    cameras: tuple[int, ...]
    heights: tuple[float, ...]
    frame_step: int
    size: tuple[int, int]
    focal: tuple[float, float]
    princpt: tuple[float, float]
    stream: int


LAB_ROOM = Room(
    "lab",
    subjects=(1, 5, 6, 7, 8),
    actions=tuple(range(2, 17)),
    cameras=(1, 2, 3, 4),
    heights=(1.5,),
    frame_step=5,
    size=(320, 320),
    focal=(1.5, 1.497),
    princpt=(0.512, 0.515),
    stream=0,
)
STUDIO_ROOM = Room(
    "studio",
    subjects=tuple(range(1, 9)),
    actions=(1, 2),
    cameras=(0, 1, 2, 4, 5, 6, 7, 8),
    heights=(1.5, 0.9, 2.4),
    frame_step=3,
    size=(320, 320),
    focal=(1.36, 1.361),
    princpt=(0.497, 0.506),
    stream=10,
)


@dataclass(frozen=True)
class LabPlace:
    """Which frame of which sequence in which room a shot is, and its camera: `X_camera = R X_world + t` in metres, z up."""

    room: str
    subject: int
    action: int
    camera: int
    frame: int
    rotation: np.ndarray
    translation: np.ndarray


@dataclass(frozen=True)
class Shot:
    """One person in one photo.

    Attributes:
        number: annotation id.
        parameters: SMPL-X parameters `(d,)` in the photo's camera frame, with `transl`.
        focal, princpt: `(2,)` px. size: width, height of the photo.
        vertices: `(V, 3)`, joints: `(55, 3)`, points: skeleton -> `(K, 3)`, all in camera space.
        seed: of what is painted behind.
    """

    number: int
    parameters: dict[str, np.ndarray]
    focal: np.ndarray
    princpt: np.ndarray
    size: tuple[int, int]
    vertices: np.ndarray
    joints: np.ndarray
    points: dict[str, np.ndarray]
    looks: Looks
    occluders: tuple[Occluder, ...]
    seed: int
    lab: LabPlace | None = None


def wild_shots(body: BodyModelData, seed: int, count: int, *, start: int = 0, scale: float = 1.0) -> Iterator[Shot]:
    """Shots `start` to `count`; every one depends on the seed and its number alone, so drawing can be resumed."""
    poser = Poser(body)
    for first in range(start - start % _CHUNK, count, _CHUNK):
        rng = np.random.default_rng([seed, 1, first])
        people, tilt = _people(rng, _CHUNK, body)
        yaw = _yaws(rng, _CHUNK)
        pitch = np.deg2rad(np.clip(rng.normal(0, 7, _CHUNK), -18, 18))
        upright = Rotation.from_rotvec(np.stack([pitch, 0 * pitch, 0 * pitch], 1)) * _UPRIGHT
        people["global_orient"] = (upright * _turn_y(yaw) * Rotation.from_rotvec(tilt)).as_rotvec().astype(np.float32)
        posed = poser.pose(people)
        for row in range(_CHUNK):
            draws = np.random.default_rng([seed, 2, first + row])
            if start <= first + row < count:
                yield _wild_shot(first + row, people, posed, row, draws, scale)


def lab_shots(
    body: BodyModelData, seed: int, count: int, *, start: int = 0, scale: float = 1.0, room: Room = LAB_ROOM
) -> Iterator[Shot]:
    """Like `wild_shots`, in one room with the same cameras for all people of one subject."""
    poser, stream = Poser(body), room.stream
    cameras = {subject: _ring(np.random.default_rng([seed, stream + 3, subject]), room) for subject in room.subjects}
    for first in range(start - start % _CHUNK, count, _CHUNK):
        rng = np.random.default_rng([seed, stream + 4, first])
        people, tilt = _people(rng, _CHUNK, body)
        places = [_place(first + row, room, cameras) for row in range(_CHUNK)]
        towards = np.array([np.arctan2(*(-place.rotation.T @ place.translation)[[1, 0]]) for place in places])
        heading = towards + np.pi / 2 + _yaws(rng, _CHUNK)
        in_world = (
            Rotation.from_rotvec(np.stack([0 * heading, 0 * heading, heading], 1))
            * _WORLD_FROM_BODY
            * Rotation.from_rotvec(tilt)
        )
        of_camera = Rotation.from_matrix(np.stack([place.rotation for place in places]))
        people["global_orient"] = (of_camera * in_world).as_rotvec().astype(np.float32)
        posed = poser.pose(people)
        spots = rng.uniform(-0.7, 0.7, (_CHUNK, 2))
        for row in range(_CHUNK):
            if start <= first + row < count:
                yield _lab_shot(first + row, people, posed, row, places[row], spots[row], seed, scale, room)


def _people(rng: np.random.Generator, count: int, body: BodyModelData) -> tuple[dict[str, np.ndarray], np.ndarray]:
    pose, tilt = sample_poses(rng, count)
    people = {
        "body_pose": pose,
        "betas": sample_betas(rng, count),
        "left_hand_pose": sample_hands(rng, count, body.hand_components["left"]),
        "right_hand_pose": sample_hands(rng, count, body.hand_components["right"]),
        "expression": np.clip(rng.normal(size=(count, 10)), -2, 2).astype(np.float32),
        "jaw_pose": np.stack([np.abs(rng.normal(0, 0.08, count)), np.zeros(count), np.zeros(count)], 1).astype(
            np.float32
        ),
    }
    return people, tilt


def _yaws(rng: np.random.Generator, count: int) -> np.ndarray:
    facing = np.clip(rng.normal(0, 30, count), -0.98 * FACING_DEG, 0.98 * FACING_DEG)
    return np.deg2rad(np.where(rng.random(count) < _FACING_SHARE, facing, rng.uniform(-180, 180, count)))


def _turn_y(yaw: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(np.stack([0 * yaw, yaw, 0 * yaw], axis=1))


def _wild_shot(
    number: int, people: dict[str, np.ndarray], posed: Posed, row: int, rng: np.random.Generator, scale: float
) -> Shot:
    width, height = ((360, 360), (320, 400), (420, 320))[rng.integers(3)]
    width, height = round(width * scale), round(height * scale)
    focal = rng.uniform(0.95, 1.7) * max(width, height)
    princpt = np.array([width, height]) / 2 - 0.5 + rng.normal(0, 2, 2)
    vertices = posed.vertices[row]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    truncated = rng.random() < _TRUNCATED_SHARE
    fill = rng.uniform(1.05, 1.5) if truncated else rng.uniform(0.55, 0.92)
    extent = max((high[1] - low[1]) / height, (high[0] - low[0]) / width)
    depth = focal * extent / fill
    room = np.maximum(np.array([width, height]) - focal * (high - low)[:2] / depth, 0) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * (
        np.array([width, height]) * 0.22 if truncated else room * 0.9
    )
    middle = (low + high) / 2
    transl = np.append((centre - princpt) / focal * depth, depth) - middle
    return _shot(
        number,
        people,
        posed,
        row,
        transl,
        np.array([focal, focal]),
        princpt,
        (width, height),
        looks=wild_looks(rng),
        occluders=_occluders(rng, vertices + transl) if rng.random() < _OCCLUDED_SHARE else (),
        seed=int(rng.integers(2**31)),
    )


def _lab_shot(
    number: int,
    people: dict[str, np.ndarray],
    posed: Posed,
    row: int,
    place: LabPlace,
    spot: np.ndarray,
    seed: int,
    scale: float,
    room: Room,
) -> Shot:
    vertices = posed.vertices[row]
    pelvis = posed.joints[row, 0]
    lowest = ((vertices - pelvis) @ place.rotation)[:, 2].min()
    in_world = np.array([*spot, -lowest])
    transl = place.rotation @ in_world + place.translation - pelvis
    size = (round(room.size[0] * scale), round(room.size[1] * scale))
    if room is LAB_ROOM:
        looks = _lab_looks(np.random.default_rng([seed, 5, place.subject]))
    else:
        looks = wild_looks(np.random.default_rng([seed, room.stream + 5, place.subject, place.action]))
    return _shot(
        number,
        people,
        posed,
        row,
        transl,
        np.array(room.focal) * size[0],
        princpt=np.array(room.princpt) * size,
        size=size,
        looks=looks,
        occluders=(),
        seed=place.camera,
        lab=place,
    )


def _shot(
    number: int,
    people: dict[str, np.ndarray],
    posed: Posed,
    row: int,
    transl: np.ndarray,
    focal: np.ndarray,
    princpt: np.ndarray,
    size: tuple[int, int],
    *,
    looks: Looks,
    occluders: tuple[Occluder, ...],
    seed: int,
    lab: LabPlace | None = None,
) -> Shot:
    transl = transl.astype(np.float32)
    one = Posed(posed.vertices[row], posed.joints[row], posed.rotations[row], posed.body)
    return Shot(
        number=number,
        parameters={**{name: values[row] for name, values in people.items()}, "transl": transl},
        focal=focal,
        princpt=princpt,
        size=size,
        vertices=one.vertices + transl,
        joints=one.joints + transl,
        points={skeleton: one.points(skeleton) + transl for skeleton in posed.body.points},
        looks=looks,
        occluders=occluders,
        seed=seed,
        lab=lab,
    )


def _occluders(rng: np.random.Generator, vertices: np.ndarray) -> tuple[Occluder, ...]:
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    half = np.array([rng.uniform(0.12, 0.4), rng.uniform(0.15, 0.35), 0.08])
    share = rng.uniform(0.45, 1.0)
    nearer = rng.uniform(0.75, 0.9)
    center = (
        np.array([rng.uniform(low[0], high[0]), low[1] + share * (high[1] - low[1]) + half[1] * 0.4, low[2]]) * nearer
    )
    return (Occluder(tuple(center.tolist()), tuple(half.tolist()), _color(rng, 30, 225)),)


_SKINS = ((241, 205, 180), (224, 172, 140), (198, 134, 96), (150, 98, 66), (96, 62, 44))
_HAIR = ((30, 24, 20), (70, 46, 28), (120, 84, 48), (186, 152, 96), (150, 150, 150))


def wild_looks(rng: np.random.Generator) -> Looks:
    """Anybody, in any clothes and light."""
    shirt, trousers, shoes = (_color(rng, 25, 240) for _ in range(3))
    direction = np.array([rng.uniform(-1, 1), rng.uniform(-1.2, -0.2), rng.uniform(-1.2, -0.3)])
    return Looks(
        skin=_SKINS[rng.integers(len(_SKINS))],
        shirt=shirt,
        trousers=trousers,
        shoes=shoes,
        hair=_HAIR[rng.integers(len(_HAIR))],
        long_sleeves=bool(rng.random() < 0.5),
        short_trousers=bool(rng.random() < 0.3),
        light=tuple(direction.tolist()),
        ambient=float(rng.uniform(0.2, 0.45)),
    )


def _color(rng: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3)
    return int(red), int(green), int(blue)


def _lab_looks(rng: np.random.Generator) -> Looks:
    shirts = ((60, 60, 66), (70, 84, 120), (120, 60, 60), (90, 110, 80))
    return Looks(
        skin=_SKINS[rng.integers(len(_SKINS))],
        shirt=shirts[rng.integers(len(shirts))],
        trousers=((50, 54, 64), (84, 76, 66))[rng.integers(2)],
        shoes=(40, 40, 44),
        hair=_HAIR[rng.integers(len(_HAIR))],
        long_sleeves=False,
        short_trousers=bool(rng.random() < 0.5),
        light=(-0.2, -1.0, -0.6),
        ambient=0.35,
    )


def _ring(rng: np.random.Generator, room: Room) -> list[tuple[np.ndarray, np.ndarray]]:
    """The cameras in a ring around the room, looking at its middle: `(R, t)` in metres, the world z up."""
    cameras: list[tuple[np.ndarray, np.ndarray]] = []
    for corner in range(len(room.cameras)):
        angle = np.pi / 4 + corner * 2 * np.pi / len(room.cameras) + rng.normal(0, 0.08)
        radius = 4.2 + rng.normal(0, 0.15)
        height = room.heights[corner % len(room.heights)] + rng.normal(0, 0.08)
        place = np.array([radius * np.cos(angle), radius * np.sin(angle), height])
        forward = np.array([0.0, 0.0, 0.85]) - place
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        cameras.append((rotation, -rotation @ place))
    return cameras


def _place(number: int, room: Room, cameras: dict[int, list[tuple[np.ndarray, np.ndarray]]]) -> LabPlace:
    """Shot `number`: subjects in turn, then cameras, then actions; no two cameras share a frame."""
    subject = room.subjects[number % len(room.subjects)]
    of_subject = number // len(room.subjects)
    camera = of_subject % len(room.cameras)
    round_, action = divmod(of_subject // len(room.cameras), len(room.actions))
    frame = room.frame_step * (round_ * len(room.cameras) + camera)
    rotation, translation = cameras[subject][camera]
    return LabPlace(room.name, subject, room.actions[action], room.cameras[camera], frame, rotation, translation)
