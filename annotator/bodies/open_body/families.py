"""The whole open body cut into the families of the smplx package: SMPL-X, SMPL, MANO and FLAME, each in that layout.

Vertices are permuted per family so that the package's hard-coded vertex ids name the right anatomy: every official
loader then reads the right nose, eyes, ears, toes, heels and finger tips unasked. Hands and head are the same surface
as the body's; `smplx_vertices` in their files says which vertex is which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.open_body.rig import FLIP, PARENTS
from annotator.bodies.open_body.spaces import part_root, principal
from annotator.bodies.open_body.whole import Whole
from annotator.bodies.points import MANO_PACKAGE_VERTICES, MANO_VERTICES, SMPL_VERTICES, SMPLX_VERTICES

ANATOMY = {
    **{"nose": 5038, "left_eye": 13574, "right_eye": 13646, "left_ear": 12044, "right_ear": 5461},
    **{"left_big_toe": 12725, "right_big_toe": 6144, "left_small_toe": 13248, "right_small_toe": 6668},
    **{"left_heel": 12421, "right_heel": 5840, "left_thumb4": 9316, "right_thumb4": 2664},
    **{"left_index4": 8563, "right_index4": 1911, "left_middle4": 8755, "right_middle4": 2103},
    **{"left_ring4": 8947, "right_ring4": 2295, "left_pinky4": 9139, "right_pinky4": 2487},
}
"""anny's vertex at each place that smplx names."""

_WRIST, _NECK = 21, 12
_HAND_JOINTS = (_WRIST, *range(40, 55))
_HEAD_JOINTS = (_NECK, 15, 22, 23, 24)
_HAND_CUT, _HEAD_CUT = 0.03, 0.06
"""Metres beyond the root joint at which a part is cut: the root's regressor needs skin on both sides of it."""
_ROOT_REACH, _NECK_WIDTH = 0.06, 0.11
_KNUCKLES = {22: (25, 28, 31, 34), 23: (40, 43, 46, 49)}
_HANDED = np.tile([1.0, -1.0, -1.0], 15)
"""A left hand's axis-angles to a right hand's."""


@dataclass(frozen=True)
class _Cut:
    """Which of the whole's vertices and joints a family has.

    Attributes:
        ids: `(n,)` the whole's vertex at each place of the file.
        joints: the whole's joint at each joint of the family; -1 for one of its own.
        weights: `(n, J)`. regressor: `(J, n)`.
    """

    ids: np.ndarray
    joints: Sequence[int]
    parents: np.ndarray
    weights: np.ndarray
    regressor: np.ndarray

    def arrays(self, whole: Whole, template: np.ndarray, directions: np.ndarray) -> dict[str, Any]:
        """What every family's file holds, for `(n, 3)` template and `(C, n, 3)` shapes and expressions."""
        kept = face_rows(whole.faces, self.ids)
        place = places(self.ids, len(whole.template))
        root = np.where(self.parents < 0, 2**32 - 1, self.parents)
        return {
            "v_template": template,
            "f": place[whole.faces[kept]].astype(np.int32),
            "shapedirs": directions.transpose(1, 2, 0),
            "posedirs": self._posedirs(whole),
            "J_regressor": self.regressor,
            "kintree_table": np.stack([root, np.arange(len(root))]).astype(np.int64),
            "weights": self.weights,
            "smplx_vertices": smplx_places(whole)[self.ids].astype(np.int32),
        }

    def _posedirs(self, whole: Whole) -> sparse.csr_array:
        rows = (3 * self.ids[:, None] + np.arange(3)).ravel()
        chosen = whole.posedirs[rows].tocsc()
        blocks = [
            chosen[:, 9 * (joint - 1) : 9 * joint] if joint > 0 else sparse.csc_array((len(rows), 9))
            for joint in self.joints[1:]
        ]
        return sparse.csr_array(sparse.hstack(blocks))


def smplx(whole: Whole) -> dict[str, Any]:
    """SMPL-X: all vertices, 55 joints, face and both hands."""
    ids = smplx_order(whole)
    cut = _Cut(ids, range(55), PARENTS, whole.rig.weights[ids], whole.regressor[:, ids])
    directions = np.concatenate([whole.shapes, whole.expressions])[:, ids]
    return cut.arrays(whole, whole.template[ids], directions) | {
        "hands_meanl": whole.hand_mean,
        "hands_meanr": whole.hand_mean * _HANDED,
        "hands_componentsl": whole.hand_components,
        "hands_componentsr": whole.hand_components * _HANDED,
        "lmk_faces_idx": whole.inner[0],
        "lmk_bary_coords": whole.inner[1],
        "dynamic_lmk_faces_idx": whole.contour[0],
        "dynamic_lmk_bary_coords": whole.contour[1],
        "head_top": _head_top(whole, ids),
        "regressor_error": whole.regressor_error,
    }


def smpl(whole: Whole) -> dict[str, Any]:
    """SMPL: all vertices; fingers merged into two hand joints at the knuckles' mean, jaw and eyes into the head."""
    ids = arranged(np.arange(len(whole.template)), {slot: ANATOMY[name] for name, slot in SMPL_VERTICES.items()})
    weights, rows = whole.rig.weights[ids], whole.regressor[:, ids]
    merged = np.concatenate([weights[:, :22], np.zeros((len(ids), 2))], axis=1)
    merged[:, 15] += weights[:, 22:25].sum(axis=1)
    merged[:, 22], merged[:, 23] = weights[:, 25:40].sum(axis=1), weights[:, 40:55].sum(axis=1)
    hands = [rows[list(_KNUCKLES[joint])].mean(axis=0) for joint in (22, 23)]
    parents = np.array([*PARENTS[:22], 20, 21])
    cut = _Cut(ids, (*range(22), -1, -1), parents, merged, np.stack([*rows[:22], *hands]))
    return cut.arrays(whole, whole.template[ids], whole.shapes[:, ids]) | {"head_top": _head_top(whole, ids)}


def mano(whole: Whole, side: str) -> dict[str, Any]:
    """MANO: the hand from 30 mm above the wrist, wrist at the origin; the left one is the right one's mirror image."""
    right = np.flatnonzero(_tidied(whole.faces, whole.template[:, 0] < whole.joints[_WRIST, 0] + _HAND_CUT))
    ids = arranged(right, _hand_slots(whole))
    cut = _part(whole, ids, _HAND_JOINTS, _near(whole, ids, _WRIST))
    template, shapes = _part_shapes(whole, ids, _WRIST)
    arrays = cut.arrays(whole, template, shapes)
    mean, components = whole.hand_mean * _HANDED, whole.hand_components * _HANDED
    if side == "left":
        arrays = _mirrored(arrays, whole)
        mean, components = whole.hand_mean, whole.hand_components
    return arrays | {"hands_mean": mean, "hands_components": components}


def flame(whole: Whole) -> dict[str, Any]:
    """FLAME: the head from 60 mm below the neck joint, that joint at the origin; landmarks as in SMPL-X."""
    order = smplx_order(whole)
    ids = order[_head(whole)[order]]
    still = np.linalg.norm(whole.rig.source.every_action, axis=2).max(axis=0) < 1e-4
    cut = _part(whole, ids, _HEAD_JOINTS, _near(whole, ids, _NECK) & still[ids])
    template, shapes = _part_shapes(whole, ids, _NECK)
    row = places(face_rows(whole.faces, ids), len(whole.faces))
    return cut.arrays(whole, template, np.concatenate([shapes, whole.expressions[:, ids]])) | {
        "lmk_faces_idx": row[whole.inner[0]],
        "lmk_bary_coords": whole.inner[1],
        "dynamic_lmk_faces_idx": row[whole.contour[0]],
        "dynamic_lmk_bary_coords": whole.contour[1],
    }


def smplx_order(whole: Whole) -> np.ndarray:
    """`(V,)` the whole's vertex at each place of SMPL-X's file: 21 swaps."""
    return arranged(np.arange(len(whole.template)), {slot: ANATOMY[name] for name, slot in SMPLX_VERTICES.items()})


def smplx_places(whole: Whole) -> np.ndarray:
    """`(V,)` where each vertex of the whole lies in SMPL-X's file."""
    return np.argsort(smplx_order(whole))


def arranged(ids: np.ndarray, slots: Mapping[int, int]) -> np.ndarray:
    """`ids` with swaps that bring each vertex `slots[place]` to its place."""
    order = ids.copy()
    for place, vertex in slots.items():
        other = int(np.flatnonzero(order == vertex)[0])
        order[place], order[other] = order[other], order[place]
    return order


def places(ids: np.ndarray, count: int) -> np.ndarray:
    """`(count,)` the place of every element in `ids`, -1 for those that are not there."""
    out = np.full(count, -1)
    out[ids] = np.arange(len(ids))
    return out


def face_rows(faces: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Triangles all of whose corners are among `ids`."""
    return np.flatnonzero(np.isin(faces, ids).all(axis=1))


def _head(whole: Whole) -> np.ndarray:
    """`(V,)` bool: above the cut, without the tops of the shoulders that also reach above it."""
    x, y = np.abs(whole.template[:, 0]), whole.template[:, 1] - whole.joints[_NECK, 1]
    return _tidied(whole.faces, (y > -_HEAD_CUT) & ((x < _NECK_WIDTH) | (y > _NECK_WIDTH)))


def _tidied(faces: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """A cut `(V,)` bool without the spikes on its edge: every vertex has two triangles or more."""
    while True:
        inside = faces[kept[faces].all(axis=1)]
        tidy = np.bincount(inside.ravel(), minlength=len(kept)) >= 2
        if (tidy == kept).all():
            return kept
        kept = kept & tidy


def _head_top(whole: Whole, ids: np.ndarray) -> np.ndarray:
    middle = np.flatnonzero(np.abs(whole.template[:, 0]) < 1e-4)
    top = middle[whole.template[middle, 1].argmax()]
    return np.array(int(np.flatnonzero(ids == top)[0]))


def _hand_slots(whole: Whole) -> dict[int, int]:
    """FreiHAND's slot of every tip gets the tip, and the package's other slot for it the nearest vertex beside it."""
    slots = {slot: ANATOMY[f"right_{name}"] for name, slot in MANO_VERTICES.items()}
    skin = whole.rig.subtree[:, _WRIST] > 0.5
    for name, slot in MANO_PACKAGE_VERTICES.items():
        if slot not in slots:
            distance = np.linalg.norm(whole.template - whole.template[ANATOMY[f"right_{name}"]], axis=1)
            distance[~skin | np.isin(np.arange(len(skin)), list(slots.values()))] = np.inf
            slots[slot] = int(distance.argmin())
    return slots


def _near(whole: Whole, ids: np.ndarray, root: int) -> np.ndarray:
    """`(n,)` vertices that may define a part's root joint: a ring around it, within the part."""
    axis = 0 if root == _WRIST else 1
    return np.abs(whole.template[ids, axis] - whole.joints[root, axis]) < _ROOT_REACH


def _part(whole: Whole, ids: np.ndarray, joints: Sequence[int], candidates: np.ndarray) -> _Cut:
    """Joints outside the part fold into its root, whose regressor is fitted anew on the part's own vertices."""
    columns = np.array(joints)
    weights = whole.rig.weights[ids[:, None], columns]
    weights[:, 0] += 1 - weights.sum(axis=1)
    rows = whole.regressor[columns[:, None], ids]
    rows[0] = 0
    rows[0, candidates] = part_root(whole.fitting, ids[candidates], joints[0])
    if not np.allclose(rows.sum(axis=1), 1):
        raise ValueError("a joint of the part is regressed from vertices outside of it")
    numbers = {joint: place for place, joint in enumerate(joints)}
    parents = np.array([-1, *(numbers.get(int(PARENTS[joint]), 0) for joint in joints[1:])])
    return _Cut(ids, joints, parents, weights, rows)


def _part_shapes(whole: Whole, ids: np.ndarray, root: int) -> tuple[np.ndarray, np.ndarray]:
    """A part's own mean `(n, 3)` and shape space `(10, n, 3)`, about its root joint."""
    rows = np.stack([(vertices[ids] - joints[root]).ravel() for vertices, joints in whole.adults])
    mean, shapes = principal(rows)
    return mean.reshape(-1, 3), shapes.reshape(-1, len(ids), 3)


def _mirrored(arrays: Mapping[str, Any], whole: Whole) -> dict[str, Any]:
    """A right hand as the left one: vertex by vertex, triangles turned about so that they still face outward."""
    place = smplx_places(whole)
    signs = np.outer(FLIP, FLIP).ravel()
    joints = arrays["posedirs"].shape[1] // 9
    turned = sparse.diags_array(np.tile(FLIP, len(arrays["v_template"]))) @ arrays["posedirs"]
    return {
        **arrays,
        "v_template": arrays["v_template"] * FLIP,
        "f": arrays["f"][:, ::-1],
        "shapedirs": arrays["shapedirs"] * FLIP[:, None],
        "posedirs": sparse.csr_array(turned @ sparse.diags_array(np.tile(signs, joints))),
        "smplx_vertices": place[whole.mirror[np.argsort(place)[arrays["smplx_vertices"]]]].astype(np.int32),
    }
