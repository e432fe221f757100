"""Where the points of each skeleton lie in a body: mixtures of its named joints and vertices.

Most are one joint or vertex of the same name. Data sets from motion capture have joints of their own, which only share the
names: their hips are as wide apart as the bones of the pelvis, their "neck", "nose" and "head top" lie inside the neck,
behind the mouth and behind the forehead. Those were placed by looking at the photos of real samples and by fitting the open
body to their 3D joints (docs/decisions/0017-point-sets.md); `tests/annotator/test_real_points.py` repeats the fits.
"""

from __future__ import annotations

from collections.abc import Mapping

from annotator.skeleton import (
    COCO,
    COCO_WHOLEBODY,
    CROWDPOSE,
    FACE,
    FLAME,
    HAND,
    HUMAN36M,
    INTERHAND,
    INTERHAND_HAND,
    LSP,
    MPI_INF_3DHP,
    MPI_INF_3DHP_SOURCE,
    MPII,
    OPENPOSE,
    OPENPOSE_BODY,
    OPENPOSE_INNER,
    SMPL,
    Skeleton,
)

Mix = Mapping[str, float]
"""Weights of named joints and vertices; their sum is 1."""

_BODY = (
    *(COCO_WHOLEBODY, COCO, OPENPOSE, OPENPOSE_INNER, OPENPOSE_BODY, HUMAN36M, MPI_INF_3DHP, MPI_INF_3DHP_SOURCE),
    *(SMPL, MPII, CROWDPOSE, LSP),
)
SKELETONS_OF: Mapping[str, tuple[Skeleton, ...]] = {
    "smplx": (*_BODY, INTERHAND, FACE, FLAME),
    "smplh": (*_BODY, INTERHAND),
    "smpl": _BODY,
    "mano": (HAND, INTERHAND_HAND),
    "flame": (FACE, FLAME),
}
"""The skeletons that each family has a map for; a family need not have all of their points."""

HIP_WIDTH = 0.154
"""Half the distance between the hips of motion capture, as a share of the leg (hip to knee to ankle) of the mean body."""
_HIP_LIFT = 0.31
"""Share of the way from the middle of the hip joints up to the first spine joint at which those hips lie."""

_KNUCKLES = ("index1", "middle1", "ring1", "pinky1")
_NECK_BASE: Mix = {"neck": 0.5, "left_collar": 0.25, "right_collar": 0.25}
_ALIASES = {"mid_hip": "pelvis"}


def places(skeleton: Skeleton, spread: float) -> list[Mix]:
    """Where each point lies, by names of joints and vertices; nothing where no real sample says where it is.

    Args:
        spread: how much wider apart than the body model's hip joints the hips of motion capture are.
    """
    own = _own(skeleton, spread)
    return [own[p] if p in own else {_ALIASES.get(p, p.replace("_hand_", "_")): 1.0} for p in skeleton.points]


def hands_of(joints: Mapping[str, int]) -> dict[str, Mix]:
    """SMPL's two hand joints in a family with fingers: the mean of the four knuckles."""
    return {
        f"{side}_hand": {f"{side}_{knuckle}": 1 / len(_KNUCKLES) for knuckle in _KNUCKLES}
        for side in ("left", "right")
        if f"{side}_hand" not in joints
    }


def _own(skeleton: Skeleton, spread: float) -> Mapping[str, Mix]:
    """The points that are not the joint or vertex of their name."""
    if skeleton is HUMAN36M:
        head: dict[str, Mix] = {"nose": {"nose": 0.66, "neck": 0.34}, "head_top": {"head_top": 0.35, "head": 0.65}}
        return _motion_capture(spread, knee=0.03, ankle=-0.03) | head
    if skeleton in (MPI_INF_3DHP, MPI_INF_3DHP_SOURCE):
        known = _motion_capture(spread, knee=0.0, ankle=0.06) | {"head": {"neck": 0.3, "head": 0.7}}
        unknown: dict[str, Mix] = {p: {} for p in MPI_INF_3DHP_SOURCE.points if p not in MPI_INF_3DHP.points}
        return known | unknown | {"spine": known["torso"]}
    if skeleton is MPII:
        hips: Mix = {"left_hip": 0.5, "right_hip": 0.5}
        return {"pelvis": hips, "thorax": _NECK_BASE, "neck": {"neck": 0.5, "head": 0.5}}
    return {"neck": _NECK_BASE} if skeleton in (LSP, CROWDPOSE) else {}


def _motion_capture(spread: float, *, knee: float, ankle: float) -> dict[str, Mix]:
    """What Human3.6M and MPI-INF-3DHP have in common.

    Args:
        knee, ankle: share of the bone above by which they lie higher than the body model's.
    """
    low = 1 - _HIP_LIFT
    outer, inner = (low + spread) / 2, (low - spread) / 2
    sides: dict[str, Mix] = {
        name: mix
        for side, other in (("left", "right"), ("right", "left"))
        for name, mix in {
            f"{side}_hip": {f"{side}_hip": outer, f"{other}_hip": inner, "spine1": _HIP_LIFT},
            f"{side}_knee": {f"{side}_knee": 1 - knee, f"{side}_hip": knee},
            f"{side}_ankle": {f"{side}_ankle": 1 - ankle, f"{side}_knee": ankle},
            f"{side}_shoulder": {f"{side}_shoulder": 0.82, f"{side}_collar": 0.18},
        }.items()
    }
    return sides | {
        "pelvis": {"left_hip": low / 2, "right_hip": low / 2, "spine1": _HIP_LIFT},
        "torso": {"spine2": 0.6, "spine3": 0.4},
        "neck": {"neck": 0.8, "left_collar": 0.1, "right_collar": 0.1},
    }
