"""Named sets of points: COCO-WholeBody 133, Human3.6M 17, the 21 of a hand, the 68 of a face. Names, drawing edges, left/right pairs.

Index order is that of the data sets' files. Left and right are the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of points.

    Attributes:
        name: id in files.
        points: name of every point, left ones starting with `left_`, right ones with `right_`.
        edges: pairs of indices to join by a line.
    """

    name: str
    points: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Index of each point's name."""
        return {point: i for i, point in enumerate(self.points)}

    def indices(self, *names: str) -> np.ndarray:
        """Indices of `names`."""
        return np.array([self.index_of[name] for name in names], np.int64)

    @cached_property
    def sides(self) -> np.ndarray:
        """`(K,)` int8: -1 left, 0 middle, 1 right."""
        return np.array(
            [-1 if p.startswith("left_") else 1 if p.startswith("right_") else 0 for p in self.points], np.int8
        )

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Left and right index of every point that has both."""
        return tuple(
            (i, self.index_of["right_" + point.removeprefix("left_")])
            for i, point in enumerate(self.points)
            if point.startswith("left_")
        )


_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HAND_POINTS = ("wrist", *(f"{finger}{k}" for finger in _FINGERS for k in (1, 2, 3, 4)))
_HAND_EDGES = tuple((0 if k == 0 else 4 * f + k, 4 * f + k + 1) for f in range(5) for k in range(4))

_COCO_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_COCO_BODY = ("nose", *(f"{side}_{point}" for point in _COCO_SIDED for side in ("left", "right")))
_FEET = tuple(f"{side}_{point}" for side in ("left", "right") for point in ("big_toe", "small_toe", "heel"))
_COCO_EDGES = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10)),
    *((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
)
_FEET_EDGES = ((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22))


def _chain(first: int, last: int, *, closed: bool = False) -> tuple[tuple[int, int], ...]:
    edges = tuple((i, i + 1) for i in range(first, last))
    return (*edges, (last, first)) if closed else edges


_FACE_EDGES = (
    *_chain(0, 16),
    *(_chain(17, 21) + _chain(22, 26) + _chain(27, 30) + _chain(31, 35)),
    *(_chain(36, 41, closed=True) + _chain(42, 47, closed=True)),
    *(_chain(48, 59, closed=True) + _chain(60, 67, closed=True)),
)
_FACE_MIRROR = (
    *((i, 16 - i) for i in range(8)),
    *((17, 26), (18, 25), (19, 24), (20, 23), (21, 22), (31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42)),
    *((40, 47), (41, 46), (48, 54), (49, 53), (50, 52), (58, 56), (59, 55), (60, 64), (61, 63), (67, 65)),
)


def _face_points() -> tuple[str, ...]:
    names = [f"face{i}" for i in range(68)]
    for right, left in _FACE_MIRROR:  # the 68 scheme starts on the person's right
        names[right], names[left] = f"right_face{right}", f"left_face{right}"
    return tuple(names)


def _shift(edges: tuple[tuple[int, int], ...], by: int) -> tuple[tuple[int, int], ...]:
    return tuple((a + by, b + by) for a, b in edges)


COCO_WHOLEBODY = Skeleton(
    "coco_wholebody133",
    (
        *_COCO_BODY,
        *_FEET,
        *_face_points(),
        *(f"left_hand_{point}" for point in _HAND_POINTS),
        *(f"right_hand_{point}" for point in _HAND_POINTS),
    ),
    (*_COCO_EDGES, *_FEET_EDGES, *_shift(_FACE_EDGES, 23), *_shift(_HAND_EDGES, 91), *_shift(_HAND_EDGES, 112)),
)

HUMAN36M = Skeleton(
    "h36m17",
    (
        *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("torso", "neck", "nose", "head_top"),
        *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
    ),
    (
        *((0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (9, 10)),
        *((8, 11), (11, 12), (12, 13), (8, 14), (14, 15), (15, 16)),
    ),
)

HAND = Skeleton("freihand21", _HAND_POINTS, _HAND_EDGES)

FACE = Skeleton("face68", _face_points(), _FACE_EDGES)
"""The 68 points of a face, as in COCO-WholeBody: contour 0..16 from the person's right ear over the chin, then 51 inner."""

SKELETONS: dict[str, Skeleton] = {skeleton.name: skeleton for skeleton in (COCO_WHOLEBODY, HUMAN36M, HAND, FACE)}

_KNUCKLES = (5, 9, 13, 17)
BODY_ERROR_POINTS = np.arange(23)
"""COCO-WholeBody points of the body's 2D error: 17 body + 6 feet."""
BODY_LOSS_POINTS = np.array([*range(23), *(91 + k for k in _KNUCKLES), *(112 + k for k in _KNUCKLES)])
"""COCO-WholeBody points of the body's 2D loss: 17 body + 6 feet + 8 knuckles."""
H36M_EVALUATED = np.array([1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16])
"""The 14 Human3.6M joints of the field's MPJPE (protocol of the field)."""


def loss_points(skeleton: Skeleton, part: str) -> np.ndarray:
    """Indices of the points that the 2D loss of `part` uses (P2D of the paper)."""
    if skeleton is COCO_WHOLEBODY and part == "body":
        return BODY_LOSS_POINTS
    return np.arange(len(skeleton))


def error_points(skeleton: Skeleton, part: str) -> np.ndarray:
    """Indices of the points that the 2D error of `part` averages over."""
    if skeleton is COCO_WHOLEBODY and part == "body":
        return BODY_ERROR_POINTS
    return np.arange(len(skeleton))
