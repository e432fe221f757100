"""Starts that differ in one limb. In a photo a bone that leans towards the camera looks like one that leans away from it,
and a solver that goes downhill never passes from one to the other: most fits that end far too high have one limb bent the
wrong way in depth. So of every limb the upper bone, the lower bone, or both are mirrored across the viewing ray.

Legend: n people, B rotations of the pose, F mirrored limbs.
"""

from __future__ import annotations

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting.attachments import rest_joints
from annotator.fitting.plans import Frame

LIMBS = ((16, 18, 20), (17, 19, 21), (1, 4, 7), (2, 5, 8))
"""Joints of the arms and legs of SMPL and SMPL-X, from the trunk outwards."""
BONES = ((True, False), (False, True), (True, True))
FLIPS = len(LIMBS) * len(BONES)
_LEAST = 1e-9


class Flips:
    """Mirrors the limbs of a body. Everybody's numbers are made from his own alone, to the last bit."""

    def __init__(self, frame: Frame, body: BodyModelData) -> None:
        self._frame = frame
        self._parents = body.parents[: len(frame.pose_joints) + 1].astype(int)
        joints, shapes = rest_joints(body)
        of_bones = np.maximum(self._parents, 0)
        count = len(self._parents)
        self._bones = joints[:count] - joints[of_bones]
        self._bone_shapes = shapes[:count] - shapes[of_bones]

    def mirrored(self, states: np.ndarray, local: np.ndarray) -> np.ndarray:
        """`(n, F, B, 3, 3)` rotations of the pose's joints, each time with one limb mirrored; no numbers for what has none.

        Args:
            states: `(n, size + 9)`. local: `(n, B, 3, 3)` what their poses turn the joints by.
        """
        states, local = states.astype(np.float64), local.astype(np.float64)
        turns, places = self._chain(states, local)
        out = np.repeat(local[:, None], FLIPS, axis=1)
        with np.errstate(invalid="ignore"):
            for which, (upper, lower, end) in enumerate(LIMBS):
                first, second = (_turn(places[:, a], places[:, b]) for a, b in ((upper, lower), (lower, end)))
                for row, (flips_upper, flips_lower) in enumerate(BONES, which * len(BONES)):
                    above = _product(first, turns[:, upper]) if flips_upper else turns[:, upper]
                    below = _product(second, turns[:, lower]) if flips_lower else turns[:, lower]
                    out[:, row, upper - 1] = _product(_inverse(turns[:, self._parents[upper]]), above)
                    out[:, row, lower - 1] = _product(_inverse(above), below)
        return out

    def _chain(self, states: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations and places of the root and the pose's joints, in the frame of the camera."""
        frame, count = self._frame, len(self._parents)
        shape = states[:, None, None, frame.shape_at : frame.pose_at]
        bones = self._bones + (self._bone_shapes * shape).sum(axis=-1)
        turns, places = np.empty((len(states), count, 3, 3)), np.empty((len(states), count, 3))
        turns[:, 0] = states[:, frame.size :].reshape(-1, 3, 3)
        places[:, 0] = bones[:, 0] + states[:, frame.transl_at : frame.size]
        for joint in range(1, count):
            above = self._parents[joint]
            turns[:, joint] = _product(turns[:, above], local[:, joint - 1])
            places[:, joint] = places[:, above] + (turns[:, above] * bones[:, joint, None]).sum(axis=-1)
        return turns, places


def _turn(near: np.ndarray, far: np.ndarray) -> np.ndarray:
    """`(n, 3, 3)` the shortest turn that brings a bone to its mirror image across the ray to its nearer joint."""
    ray = near / np.maximum(np.linalg.norm(near, axis=-1, keepdims=True), _LEAST)
    bone = far - near
    across = np.cross(bone, ray)
    length = np.linalg.norm(across, axis=-1)
    any_across = np.stack([ray[:, 2], np.zeros(len(ray)), -ray[:, 0]], axis=-1)
    axis = np.where(length[:, None] > _LEAST, across, any_across)
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), _LEAST)
    angle = -2.0 * np.arctan2((bone * ray).sum(axis=-1), length)
    x, y, z = axis.T
    none = np.zeros_like(x)
    cross = np.stack([none, -z, y, z, none, -x, -y, x, none], axis=-1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + sine * cross + (1.0 - cosine) * _product(cross, cross)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of `(n, 3, 3)`; a product by BLAS would round by how many there are."""
    return (a[:, :, :, None] * b[:, None]).sum(axis=2)


def _inverse(turns: np.ndarray) -> np.ndarray:
    return np.swapaxes(turns, 1, 2)
