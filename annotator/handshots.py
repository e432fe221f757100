"""Synthetic right hands before synthetic cameras, as FreiHAND shows them: one hand, 224 px, from any side. No drawing.

Hands are MANO's; a forearm that no body model knows goes on from the wrist, so that no photo shows the cut there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Posed, Poser
from annotator.shots import Shot, wild_looks
from annotator.skeleton import HAND
from annotator.synthetic import sample_betas, sample_hands

SIZE = 224
_CHUNK = 64
_STREAM = 20
_SPREAD = 0.7
_FOREARM, _NEAREST = 0.28, 0.08
"""Metres: length of a forearm, and how near the camera it may end."""
_WRIST, _KNUCKLE = HAND.index_of["wrist"], HAND.index_of["middle1"]


def hand_shots(hand: BodyModelData, seed: int, count: int, *, start: int = 0) -> Iterator[Shot]:
    """Shots `start` to `count`; every one depends on the seed and its number alone, so drawing can be resumed.

    Args:
        hand: MANO's right hand.
    """
    poser = Poser(hand)
    for first in range(start - start % _CHUNK, count, _CHUNK):
        rng = np.random.default_rng([seed, _STREAM + 1, first])
        hands = {
            "global_orient": Rotation.from_quat(rng.normal(size=(_CHUNK, 4))).as_rotvec().astype(np.float32),
            "hand_pose": sample_hands(rng, _CHUNK, hand.hand_components["right"], _SPREAD),
            "betas": sample_betas(rng, _CHUNK),
        }
        posed = poser.pose(hands)
        for row in range(_CHUNK):
            draws = np.random.default_rng([seed, _STREAM + 2, first + row])
            if start <= first + row < count:
                yield _shot(first + row, hands, posed, row, draws)


def _shot(number: int, hands: dict[str, np.ndarray], posed: Posed, row: int, rng: np.random.Generator) -> Shot:
    focal = np.array([1.0, 0.9995]) * rng.uniform(1.7, 3.0) * SIZE
    princpt = np.array([SIZE, SIZE]) / 2
    one = Posed(posed.vertices[row], posed.joints[row], posed.rotations[row], posed.body)
    low, high = one.vertices.min(axis=0), one.vertices.max(axis=0)
    extent = (high - low)[:2].max()
    depth = focal[0] * extent / (rng.uniform(0.4, 0.75) * SIZE)
    free = np.maximum(SIZE - focal[0] * (high - low)[:2] / depth, 0) / 2
    centre = princpt + rng.uniform(-0.8, 0.8, 2) * free
    transl = (np.append((centre - princpt) / focal * depth, depth) - (low + high) / 2).astype(np.float32)
    return Shot(
        number=number,
        parameters={**{name: values[row] for name, values in hands.items()}, "transl": transl},
        focal=focal,
        princpt=princpt,
        size=(SIZE, SIZE),
        vertices=one.vertices + transl,
        joints=one.joints + transl,
        points={HAND.name: one.points(HAND.name) + transl},
        looks=wild_looks(rng),
        occluders=(),
        seed=int(rng.integers(2**31)),
    )


def forearm(shot: Shot, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of a forearm: the open rim of the wrist, drawn out away from the knuckles.

    Args:
        faces: `(F, 3)` of the hand's mesh, which is open at the wrist.
    """
    rim = _rim(faces)
    ring = shot.vertices[rim]
    away = shot.points[HAND.name][_WRIST] - shot.points[HAND.name][_KNUCKLE]
    away = away / np.linalg.norm(away)
    length = _FOREARM
    if away[2] < 0:  # towards the camera
        length = min(length, (ring[:, 2].min() - _NEAREST) / -away[2])
    wider = ring.mean(axis=0) + (ring - ring.mean(axis=0)) * 1.35
    vertices = np.concatenate([ring, wider + away * length]).astype(np.float32)
    here = np.arange(len(rim))
    there = np.roll(here, -1)
    sides = [np.stack([here, here + len(rim), there], 1), np.stack([there, here + len(rim), there + len(rim)], 1)]
    return vertices, np.concatenate(sides).astype(np.int32)


def _rim(faces: np.ndarray) -> np.ndarray:
    """Vertices along the one open edge of a mesh, in the direction in which its faces go round them backwards."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both = {(int(a), int(b)) for a, b in edges}
    following = {b: a for a, b in both if (b, a) not in both}
    rim = [next(iter(following))]
    while (after := following[rim[-1]]) != rim[0]:
        rim.append(after)
    return np.array(rim)
