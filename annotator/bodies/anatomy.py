"""Which joint and which vertex of each body-model family has which name.

Joints are in the smplx package's order. Beside them that package names surface vertices for nose, eyes, ears, toes, heels and
finger tips; other code bases name others, millimetres to centimetres away. One set is used here, under one name.
"""

from __future__ import annotations

from collections.abc import Mapping

VERTEX_SET = "smplx"
"""Name of the vertices that stand for face, feet and finger tips here; maps and tables of fits carry it.

They are the smplx package's own. MANO's tips are FreiHAND's: the package stores five ids for them and never uses them, and
FreiHAND's joints are these vertices to 0.0000 mm.
"""

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")


def _fingers(first: int, prefix: str = "") -> dict[str, int]:
    return {f"{prefix}{finger}{k}": first + 3 * f + k - 1 for f, finger in enumerate(_FINGERS) for k in (1, 2, 3)}


SMPLX_VERTICES = {
    **{"nose": 9120, "right_eye": 9929, "left_eye": 9448, "right_ear": 616, "left_ear": 6},
    **{"left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846},
    **{"right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635},
    **{"left_thumb4": 5361, "left_index4": 4933, "left_middle4": 5058, "left_ring4": 5169, "left_pinky4": 5286},
    **{"right_thumb4": 8079, "right_index4": 7669, "right_middle4": 7794, "right_ring4": 7905, "right_pinky4": 8022},
}
"""Vertex of each extra joint in SMPL-X topology (the smplx package's own table, in the order in which it appends them)."""

SMPLX_JOINTS = {
    **{"pelvis": 0, "left_hip": 1, "right_hip": 2, "spine1": 3, "left_knee": 4, "right_knee": 5, "spine2": 6},
    **{"left_ankle": 7, "right_ankle": 8, "spine3": 9, "left_foot": 10, "right_foot": 11, "neck": 12},
    **{"left_collar": 13, "right_collar": 14, "head": 15, "left_shoulder": 16, "right_shoulder": 17},
    **{"left_elbow": 18, "right_elbow": 19, "left_wrist": 20, "right_wrist": 21, "jaw": 22, "left_eyeball": 23},
    **{"right_eyeball": 24, **_fingers(25, "left_"), **_fingers(40, "right_")},
}
"""Joint order of SMPL-X."""

_BODY_JOINTS = {name: joint for name, joint in SMPLX_JOINTS.items() if joint < 22}

SMPL_VERTICES = {
    **{"nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583},
    **{"left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387},
    **{"right_big_toe": 6617, "right_small_toe": 6624, "right_heel": 6787},
    **{"left_thumb4": 2746, "left_index4": 2319, "left_middle4": 2445, "left_ring4": 2556, "left_pinky4": 2673},
    **{"right_thumb4": 6191, "right_index4": 5782, "right_middle4": 5905, "right_ring4": 6016, "right_pinky4": 6133},
}
"""Vertex of each extra joint in the topology of SMPL and SMPL-H."""

SMPL_JOINTS = {**_BODY_JOINTS, "left_hand": 22, "right_hand": 23}
"""Joint order of SMPL."""

SMPLH_JOINTS = {**_BODY_JOINTS, **_fingers(22, "left_"), **_fingers(37, "right_")}
"""Joint order of SMPL-H."""

MANO_VERTICES = {"thumb4": 744, "index4": 333, "middle4": 444, "ring4": 555, "pinky4": 672}
"""Finger tips in MANO topology: FreiHAND's."""

MANO_PACKAGE_VERTICES = {"thumb4": 744, "index4": 320, "middle4": 443, "ring4": 554, "pinky4": 671}
"""The smplx package's table of the same tips, 2 to 4 mm from FreiHAND's."""

MANO_JOINTS = {"wrist": 0, **_fingers(1)}
"""Joint order of MANO."""

FLAME_JOINTS = {"neck": 0, "head": 1, "jaw": 2, "left_eyeball": 3, "right_eyeball": 4}
"""Joint order of FLAME, by anatomy."""

NAMES: Mapping[str, tuple[Mapping[str, int], Mapping[str, int]]] = {
    "smplx": (SMPLX_JOINTS, SMPLX_VERTICES),
    "smplh": (SMPLH_JOINTS, SMPL_VERTICES),
    "smpl": (SMPL_JOINTS, SMPL_VERTICES),
    "mano": (MANO_JOINTS, MANO_VERTICES),
    "flame": (FLAME_JOINTS, {}),
}
"""Joints and vertices of each family, by name."""

NECK_JOINT = {"smplx": SMPLX_JOINTS["neck"], "flame": FLAME_JOINTS["neck"]}
"""The joint whose rotation chooses the face's outline; the smplx package does not count the head joint above it."""
