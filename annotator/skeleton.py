"""Named sets of points, as data sets and body models order them: names, drawing edges, left/right pairs.

Index order is that of the files (or of the tool that wrote them). Left and right are the person's own. Where a body model
has each point is in `annotator/bodies/places.py`.

| skeleton | points |
|---|---|
| `COCO_WHOLEBODY` | 17 body, 6 feet, 68 face, 21 left hand, 21 right hand |
| `COCO` | the first 17 of those |
| `OPENPOSE`, `OPENPOSE_INNER`, `OPENPOSE_BODY` | BODY_25, left hand, right hand, 51 inner points of the face, 17 of its contour, as SMPLify-X joins them; without the contour; BODY_25 alone |
| `HUMAN36M`, `MPI_INF_3DHP` | 17 in the order of the field's loaders |
| `MPI_INF_3DHP_SOURCE` | the 28 of the data set's own files |
| `SMPL` | the 24 joints of SMPL, which 3DPW gives |
| `MPII`, `CROWDPOSE`, `LSP` | 16, 14, 14 |
| `INTERHAND`, `INTERHAND_HAND` | 42 of two hands, right first, tips first; 21 of one |
| `HAND` | 21 of a hand, wrist first: FreiHAND's, COCO-WholeBody's and OpenPose's order |
| `FACE`, `FLAME` | the 68 of a face; FLAME's 5 joints, then 51 inner points, then 17 of the contour |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

Edges = tuple[tuple[int, int], ...]


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
    edges: Edges

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

    @cached_property
    def mirror(self) -> np.ndarray:
        """`(K,)` index of each point's twin on the other side, its own where it has none: `points[mirror]` swaps sides."""
        twins = np.arange(len(self.points))
        for left, right in self.pairs:
            twins[left], twins[right] = right, left
        return twins


def _chain(*points: int) -> Edges:
    return tuple(pairwise(points))


def _loop(first: int, last: int) -> Edges:
    return _chain(*range(first, last + 1), first)


def _shift(edges: Edges, by: int) -> Edges:
    return tuple((a + by, b + by) for a, b in edges)


def _named(points: tuple[str, ...], *chains: str) -> Edges:
    """Edges from chains of names, such as "pelvis torso neck"; `*` stands for left and right in turn."""
    sided = [chain.replace("*", side) for chain in chains for side in (("left", "right") if "*" in chain else ("",))]
    place = {point: i for i, point in enumerate(points)}
    return tuple(edge for chain in sided for edge in _chain(*(place[name] for name in chain.split())))


# -- hands ---------------------------------------------------------------------------------------------------------------

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HAND_POINTS = ("wrist", *(f"{finger}{k}" for finger in FINGERS for k in (1, 2, 3, 4)))
_TIP_FIRST = (*(f"{finger}{k}" for finger in FINGERS for k in (4, 3, 2, 1)), "wrist")
_FINGER_CHAINS = tuple(f"wrist {f}1 {f}2 {f}3 {f}4" for f in FINGERS)
_HAND_EDGES = _named(_HAND_POINTS, *_FINGER_CHAINS)
_TIP_FIRST_EDGES = _named(_TIP_FIRST, *_FINGER_CHAINS)

HAND = Skeleton("freihand21", _HAND_POINTS, _HAND_EDGES)
INTERHAND_HAND = Skeleton("interhand21", _TIP_FIRST, _TIP_FIRST_EDGES)
INTERHAND = Skeleton(
    "interhand42",
    tuple(f"{side}_{point}" for side in ("right", "left") for point in _TIP_FIRST),
    (*_TIP_FIRST_EDGES, *_shift(_TIP_FIRST_EDGES, 21)),
)

# -- faces ---------------------------------------------------------------------------------------------------------------

_FACE_EDGES = (
    *_chain(*range(17)),
    *(_chain(*range(17, 22)) + _chain(*range(22, 27)) + _chain(*range(27, 31)) + _chain(*range(31, 36))),
    *(_loop(36, 41) + _loop(42, 47) + _loop(48, 59) + _loop(60, 67)),
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


_FACE_POINTS = _face_points()
_INNER_FIRST = (*range(17, 68), *range(17))
"""The 68 as body models list them: 51 inner ones, then the contour."""


def _inner_first(start: int, count: int) -> Edges:
    """The face's edges where its points follow each other inner ones first, from index `start` on, `count` of them."""
    place = {point: start + i for i, point in enumerate(_INNER_FIRST[:count])}
    return tuple((place[a], place[b]) for a, b in _FACE_EDGES if a in place and b in place)


FACE = Skeleton("face68", _FACE_POINTS, _FACE_EDGES)
"""The 68 points of a face, as in COCO-WholeBody: contour 0..16 from the person's right ear over the chin, then 51 inner."""

_FLAME_JOINTS = ("neck", "head", "jaw", "left_eyeball", "right_eyeball")
FLAME = Skeleton(
    "flame73",
    (*_FLAME_JOINTS, *(_FACE_POINTS[i] for i in _INNER_FIRST)),
    (*_named(_FLAME_JOINTS, "neck head jaw", "head *_eyeball"), *_inner_first(5, 68)),
)

# -- bodies --------------------------------------------------------------------------------------------------------------

_LEGS_AND_ARMS = ("*_hip *_knee *_ankle", "*_shoulder *_elbow *_wrist")
_COCO_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_COCO_BODY = ("nose", *(f"{side}_{point}" for point in _COCO_SIDED for side in ("left", "right")))
_FEET = tuple(f"{side}_{point}" for side in ("left", "right") for point in ("big_toe", "small_toe", "heel"))
_TRUNK = ("left_hip left_shoulder right_shoulder right_hip left_hip",)
_COCO_EDGES = _named(_COCO_BODY, "nose *_eye *_ear *_shoulder", *_LEGS_AND_ARMS, *_TRUNK)
_FEET_EDGES = _named((*_COCO_BODY, *_FEET), "*_ankle *_big_toe", "*_ankle *_small_toe", "*_ankle *_heel")
_BOTH_HANDS = tuple(f"{side}_hand_{point}" for side in ("left", "right") for point in _HAND_POINTS)

COCO = Skeleton("coco17", _COCO_BODY, _COCO_EDGES)
COCO_WHOLEBODY = Skeleton(
    "coco_wholebody133",
    (*_COCO_BODY, *_FEET, *_FACE_POINTS, *_BOTH_HANDS),
    (*_COCO_EDGES, *_FEET_EDGES, *_shift(_FACE_EDGES, 23), *_shift(_HAND_EDGES, 91), *_shift(_HAND_EDGES, 112)),
)

_BODY_25 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear", *_FEET),
)
_BODY_25_EDGES = _named(
    _BODY_25,
    *("mid_hip neck nose", "nose *_eye *_ear", "neck *_shoulder", "mid_hip *_hip", *_LEGS_AND_ARMS),
    *("*_ankle *_big_toe *_small_toe", "*_ankle *_heel"),
)
_OPENPOSE_EDGES = (*_BODY_25_EDGES, *_shift(_HAND_EDGES, 25), *_shift(_HAND_EDGES, 46))
_OPENPOSE_POINTS = (*_BODY_25, *_BOTH_HANDS, *(_FACE_POINTS[i] for i in _INNER_FIRST))

OPENPOSE_BODY = Skeleton("body25", _BODY_25, _BODY_25_EDGES)
OPENPOSE_INNER = Skeleton("openpose118", _OPENPOSE_POINTS[:118], (*_OPENPOSE_EDGES, *_inner_first(67, 51)))
OPENPOSE = Skeleton("openpose135", _OPENPOSE_POINTS, (*_OPENPOSE_EDGES, *_inner_first(67, 68)))

_HUMAN36M = (
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("torso", "neck", "nose", "head_top"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
)
HUMAN36M = Skeleton(
    "h36m17",
    _HUMAN36M,
    _named(_HUMAN36M, "pelvis torso neck nose head_top", "pelvis *_hip", "neck *_shoulder", *_LEGS_AND_ARMS),
)

_3DHP_TRUNK = ("neck head head_top", "pelvis *_hip", *_LEGS_AND_ARMS)
_3DHP = (
    *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "torso", "head"),
)
_3DHP_SOURCE = (
    *("spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top"),
    *(f"left_{point}" for point in ("clavicle", "shoulder", "elbow", "wrist", "hand")),
    *(f"right_{point}" for point in ("clavicle", "shoulder", "elbow", "wrist", "hand")),
    *(f"{side}_{point}" for side in ("left", "right") for point in ("hip", "knee", "ankle", "foot", "toe")),
)
MPI_INF_3DHP = Skeleton("mpi_inf_3dhp17", _3DHP, _named(_3DHP, "pelvis torso neck", "neck *_shoulder", *_3DHP_TRUNK))
MPI_INF_3DHP_SOURCE = Skeleton(
    "mpi_inf_3dhp28",
    _3DHP_SOURCE,
    _named(
        _3DHP_SOURCE,
        *("pelvis spine spine2 spine3 spine4 neck", "neck *_clavicle *_shoulder", "*_wrist *_hand"),
        *("*_ankle *_foot *_toe", *_3DHP_TRUNK),
    ),
)
MPI_INF_3DHP_FROM_SOURCE = MPI_INF_3DHP_SOURCE.indices(*("spine" if p == "torso" else p for p in _3DHP))
"""Rows of the 28 that are the 17."""

_SMPL = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head"),
    *(f"{side}_{point}" for point in ("shoulder", "elbow", "wrist", "hand") for side in ("left", "right")),
)
SMPL = Skeleton(
    "smpl24",
    _SMPL,
    _named(
        _SMPL,
        *("pelvis spine1 spine2 spine3 neck head", "pelvis *_hip *_knee *_ankle *_foot"),
        "spine3 *_collar *_shoulder *_elbow *_wrist *_hand",
    ),
)

_LSP_LEGS = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
_LSP_ARMS = ("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist")
_MPII = (*_LSP_LEGS, "pelvis", "thorax", "neck", "head_top", *_LSP_ARMS)
_LSP = (*_LSP_LEGS, *_LSP_ARMS, "neck", "head_top")
_CROWDPOSE = (
    *(f"{side}_{p}" for p in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")),
    *("head_top", "neck"),
)
_FROM_NECK = ("head_top neck", "neck *_shoulder", *_LEGS_AND_ARMS, *_TRUNK)
MPII = Skeleton(
    "mpii16",
    _MPII,
    _named(_MPII, "pelvis thorax neck head_top", "pelvis *_hip", "thorax *_shoulder", *_LEGS_AND_ARMS),
)
LSP = Skeleton("lsp14", _LSP, _named(_LSP, *_FROM_NECK))
CROWDPOSE = Skeleton("crowdpose14", _CROWDPOSE, _named(_CROWDPOSE, *_FROM_NECK))

SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (
        *(COCO_WHOLEBODY, COCO, OPENPOSE, OPENPOSE_INNER, OPENPOSE_BODY, HUMAN36M, MPI_INF_3DHP, MPI_INF_3DHP_SOURCE),
        *(SMPL, MPII, CROWDPOSE, LSP, INTERHAND, INTERHAND_HAND, HAND, FACE, FLAME),
    )
}

# -- which points count --------------------------------------------------------------------------------------------------

_KNUCKLES = (5, 9, 13, 17)
BODY_ERROR_POINTS = np.arange(23)
"""COCO-WholeBody points of the body's 2D error: 17 body + 6 feet."""
BODY_LOSS_POINTS = np.array([*range(23), *(91 + k for k in _KNUCKLES), *(112 + k for k in _KNUCKLES)])
"""COCO-WholeBody points of the body's 2D loss: 17 body + 6 feet + 8 knuckles."""
_OPENPOSE_ERROR_POINTS = np.arange(25)
_OPENPOSE_LOSS_POINTS = np.array([*range(25), *(25 + k for k in _KNUCKLES), *(46 + k for k in _KNUCKLES)])
H36M_EVALUATED = np.array([1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16])
"""The 14 Human3.6M joints of the field's MPJPE (protocol of the field)."""


def loss_points(skeleton: Skeleton, part: str) -> np.ndarray:
    """Indices of the points that the 2D loss of `part` uses (P2D of the paper)."""
    if part == "body":
        if skeleton is COCO_WHOLEBODY:
            return BODY_LOSS_POINTS
        if skeleton in (OPENPOSE, OPENPOSE_INNER):
            return _OPENPOSE_LOSS_POINTS
    return np.arange(len(skeleton))


def error_points(skeleton: Skeleton, part: str) -> np.ndarray:
    """Indices of the points that the 2D error of `part` averages over."""
    if part == "body":
        if skeleton is COCO_WHOLEBODY:
            return BODY_ERROR_POINTS
        if skeleton in (OPENPOSE, OPENPOSE_INNER):
            return _OPENPOSE_ERROR_POINTS
    return np.arange(len(skeleton))
