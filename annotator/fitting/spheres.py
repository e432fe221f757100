"""Spheres that ride on a body and fill it roughly: what self-penetration is measured on.

Each lies inside the mean body at rest, as large as its skin allows, on a slice of a limb or of the torso. Two parts that can
touch and do not hang on each other are compared sphere by sphere. Hands are palms, their fingers are left out.

Legend: J joints, S spheres, P pairs of spheres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting.attachments import rest_joints

FAMILIES = ("smplx", "smpl")
"""Body models that have spheres; a hand or a head alone has none."""
BODY_JOINTS = 22
"""Joints of the body that both families have, in the same order; spheres hang on these."""
_HALF_SLICE = 0.025
"""Metres to either side of a slice's middle."""


class Sphere(NamedTuple):
    """One row of the table: `share` of the way from `joint` to `child`, where the part's slice has its middle.

    Attributes:
        beyond: added along the slice's axis, as a share of the bone before (a palm beyond its wrist) or of what the part
            has above the joint (a head).
        side: of the torso, which is wider than deep: -1 right, 0 middle, 1 left.
    """

    part: str
    joint: int
    child: int
    share: float = 0.0
    beyond: float = 0.0
    side: int = 0


def _limbs() -> tuple[Sphere, ...]:
    rows: list[Sphere] = []
    for side, shift in (("left", 0), ("right", 1)):
        bones = (
            ("upper_arm", 16, 18, (0.4, 0.6, 0.8, 1.0)),
            ("forearm", 18, 20, (0.2, 0.4, 0.6, 0.8, 1.0)),
            ("thigh", 1, 4, (0.3, 0.5, 0.7, 0.85, 1.0)),
            ("shin", 4, 7, (0.15, 0.35, 0.55, 0.75, 0.95)),
            ("foot", 7, 10, (0.5, 0.9)),
        )
        for part, joint, child, shares in bones:
            rows += [Sphere(f"{side}_{part}", joint + shift, child + shift, share) for share in shares]
        rows += [Sphere(f"{side}_hand", 20 + shift, 20 + shift, beyond=share) for share in (0.15, 0.3)]
    return tuple(rows)


SPHERES: tuple[Sphere, ...] = (
    *(Sphere("torso", 0, 0, side=side) for side in (-1, 0, 1)),
    *(Sphere("torso", 0, 3, 0.6, side=side) for side in (-1, 0, 1)),
    *(Sphere("torso", 3, 6, 0.5, side=side) for side in (-1, 0, 1)),
    *(Sphere("torso", 6, 9, 0.5, side=side) for side in (-1, 0, 1)),
    *(Sphere("torso", 9, 9, side=side) for side in (-1, 0, 1)),
    Sphere("head", 15, 15, beyond=0.6),
    *_limbs(),
)
_SKIN = {
    "torso": (0, 1, 2, 3, 6, 9, 13, 14),
    "head": (15,),
    **{f"{side}_upper_arm": (16 + i,) for i, side in enumerate(("left", "right"))},
    **{f"{side}_forearm": (18 + i,) for i, side in enumerate(("left", "right"))},
    **{f"{side}_thigh": (1 + i,) for i, side in enumerate(("left", "right"))},
    **{f"{side}_shin": (4 + i,) for i, side in enumerate(("left", "right"))},
    **{f"{side}_foot": (7 + i, 10 + i) for i, side in enumerate(("left", "right"))},
    **{f"{side}_hand": (20 + i,) for i, side in enumerate(("left", "right"))},
}
"""Joints whose vertices are a part's skin."""
_HANGING = {"torso": ("head", "upper_arm", "thigh"), "upper_arm": ("forearm",), "forearm": ("hand",)} | {
    "thigh": ("shin",),
    "shin": ("foot",),
}


@dataclass(frozen=True)
class Spheres:
    """The spheres of a body.

    Attributes:
        joint, child: `(S,)` joints. share: `(S,)` of the way from one to the other.
        lever: `(S, 3)` metres from there to the centre, in the frame of `joint`. radius: `(S,)` metres.
        pairs: `(P, 2)` spheres that must not overlap.
    """

    joint: np.ndarray
    child: np.ndarray
    share: np.ndarray
    lever: np.ndarray
    radius: np.ndarray
    pairs: np.ndarray

    @property
    def joints(self) -> np.ndarray:
        """Joints that spheres hang on, each once."""
        return np.unique(np.concatenate([self.joint, self.child]))

    @property
    def reach(self) -> np.ndarray:
        """`(P,)` metres that the centres of a pair must be apart."""
        return self.radius[self.pairs].sum(axis=1)


def spheres_of(body: BodyModelData) -> Spheres | None:
    """The spheres of the mean body; None for a family that has none.

    Pairs that overlap in the mean body at rest are left out: they say nothing.
    """
    if body.family not in FAMILIES:
        return None
    template, (joints, _) = body.v_template.astype(np.float64), rest_joints(body)
    skin = np.asarray(body.weights.argmax(axis=1)).ravel()
    centres = np.stack([_centre(row, template, joints, np.isin(skin, _SKIN[row.part])) for row in SPHERES])
    radius = np.linalg.norm(centres[:, None] - template, axis=-1).min(axis=1)
    joint, child = np.array([row.joint for row in SPHERES]), np.array([row.child for row in SPHERES])
    share = np.array([row.share for row in SPHERES])
    bases = (1 - share)[:, None] * joints[joint] + share[:, None] * joints[child]
    pairs = np.array(
        [(i, j) for i, a in enumerate(SPHERES) for j, b in enumerate(SPHERES[:i]) if may_touch(a.part, b.part)]
    )
    apart = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
    return Spheres(
        joint, child, share, centres - bases, radius, pairs[apart >= radius[pairs].sum(axis=1)].astype(np.int64)
    )


def may_touch(one: str, other: str) -> bool:
    """Whether two parts are compared: neither the same, nor one hanging on the other, nor both thighs, which always touch."""
    (side, kind), (other_side, other_kind) = _named(one), _named(other)
    if one == other or kind == other_kind == "thigh":
        return False
    if side and other_side and side != other_side:
        return True
    return other_kind not in _HANGING.get(kind, ()) and kind not in _HANGING.get(other_kind, ())


def _named(part: str) -> tuple[str, str]:
    side, _, kind = part.partition("_")
    return (side, kind) if kind else ("", part)


def _centre(row: Sphere, template: np.ndarray, joints: np.ndarray, of_part: np.ndarray) -> np.ndarray:
    """`(3,)` the middle of the slice of a part, metres, in the mean body at rest."""
    base = (1 - row.share) * joints[row.joint] + row.share * joints[row.child]
    upright = np.array([0.0, 1.0, 0.0])
    if row.part == "head":
        base = base + row.beyond * (template[of_part, 1].max() - base[1]) * upright
    elif row.part.endswith("hand"):
        base = base + row.beyond * (joints[row.joint] - joints[row.joint - 2])
    axis = upright
    if row.part not in ("torso", "head"):
        axis = joints[row.child] - joints[row.joint] if row.child != row.joint else base - joints[row.joint]
    axis = axis / np.linalg.norm(axis)
    skin = template[of_part]
    if row.part == "torso":
        near = skin[np.abs(skin[:, 1] - base[1]) < _HALF_SLICE]
        low, high = near.min(axis=0), near.max(axis=0)
        wide = max((high[0] - low[0]) / 2 - (high[2] - low[2]) / 2, 0.0)
        return np.array([base[0] + row.side * wide, base[1], (low[2] + high[2]) / 2])
    near = skin[np.abs((skin - base) @ axis) < _HALF_SLICE]
    if not len(near):
        return base
    middle = (near.min(axis=0) + near.max(axis=0)) / 2 - base
    return base + middle - (middle @ axis) * axis


def sphere_tables(spheres: Spheres | None, number: dict[int, int]) -> dict[str, np.ndarray]:
    """Whole numbers of a plan: joints of the spheres by their rows there, and pairs; empty without spheres."""
    if spheres is None:
        return {name: np.zeros(0, np.int64) for name in ("sphere_joint", "sphere_child", "pair")}
    return {
        "sphere_joint": np.array([number[joint] for joint in spheres.joint.tolist()], np.int64),
        "sphere_child": np.array([number[joint] for joint in spheres.child.tolist()], np.int64),
        "pair": spheres.pairs,
    }


def sphere_numbers(spheres: Spheres | None, weight: float) -> dict[str, np.ndarray]:
    """Numbers of a plan: places and reach of the spheres, and the weight of overlap; empty without spheres."""
    if spheres is None:
        return {name: np.zeros(0) for name in ("sphere_share", "sphere_lever", "pair_reach", "overlap_weight")}
    return {
        "sphere_share": spheres.share,
        "sphere_lever": spheres.lever,
        "pair_reach": spheres.reach,
        "overlap_weight": np.array([weight]),
    }
