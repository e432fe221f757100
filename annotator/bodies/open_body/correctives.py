"""Pose correctives: what dual-quaternion skinning of the same weights does better, regressed on the smplx package's features.

Linear blending of an identity and a turn shrinks a limb at the joint; blending the turn's quaternion keeps its girth
(Kavan et al. 2008) but swells its outer side. So the aim lies between the two, and the fields are smoothed along the surface.

Legend: V vertices, S sampled rotations, R rows of a joint's blend zone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from annotator.bodies.open_body.rig import FLIP, OTHER_SIDE, Rig
from annotator.bodies.open_body.surface import smoother
from annotator.synthetic import limits, sample_body_poses

_SAMPLES = 240
_RIDGE = 1e-3
_BLEND = (0.004, 0.996)
"""A vertex outside of this share of a joint's subtree moves stiffly and needs no correction."""
_SMALLEST = 2e-5
"""Metres per unit feature; smaller entries are dropped."""
_SMOOTHING = 4
_SHARE = 0.75
"""Of dual quaternions in the aim; the rest is linear blending."""
_FINGER_DEG = ((-15.0, 15.0), (-20.0, 20.0), (-90.0, 10.0))
_OTHERS_DEG: Mapping[int, tuple[tuple[float, float], ...]] = {
    22: ((-4.0, 28.0), (-8.0, 8.0), (-4.0, 4.0)),
    **dict.fromkeys(range(25, 37), _FINGER_DEG),
    **dict.fromkeys((37, 38, 39), ((-40.0, 40.0), (-40.0, 40.0), (-40.0, 40.0))),
}
"""Degrees about x, y, z of the joints beyond the body's: jaw, left fingers, left thumb."""


def pose_correctives(rig: Rig, template: np.ndarray, joints: np.ndarray, rng: np.random.Generator) -> sparse.csr_array:
    """`(3 V, 486)` pose blend shapes in the T-pose; left ones fitted, right ones mirrored, midline ones symmetrised."""
    smooth = smoother(rig.source.faces, len(template))
    columns: dict[int, sparse.csr_array] = {}
    for joint in [j for j in range(1, 55) if OTHER_SIDE[j] >= j]:
        field = _joint_field(rig, joint, template - joints[joint], _rotations(rng, joint), smooth)
        if OTHER_SIDE[joint] == joint:
            columns[joint] = (field + _mirrored(field, rig.source.mirror)) / 2
        else:
            columns[joint], columns[int(OTHER_SIDE[joint])] = field, _mirrored(field, rig.source.mirror)
    return sparse.csr_array(sparse.hstack([columns[joint] for joint in range(1, 55)]))


def _rotations(rng: np.random.Generator, joint: int) -> np.ndarray:
    """`(S, 3, 3)` turns of one joint: half as people move, half anywhere within its limits."""
    if joint > 21:
        low, high = np.array(_OTHERS_DEG.get(joint, ((0.0, 0.0),) * 3)).T
        return Rotation.from_rotvec(np.deg2rad(rng.uniform(low, high, (_SAMPLES, 3)))).as_matrix()
    low, high = (bound[joint - 1] for bound in limits())
    uniform = np.deg2rad(rng.uniform(low, high, (_SAMPLES // 2, 3)))
    usual = sample_body_poses(rng, _SAMPLES - len(uniform)).reshape(-1, 21, 3)[:, joint - 1]
    return Rotation.from_rotvec(np.concatenate([uniform, usual])).as_matrix()


def _joint_field(
    rig: Rig, joint: int, relative: np.ndarray, turns: np.ndarray, smooth: sparse.csr_array
) -> sparse.csr_array:
    """`(3 V, 9)` correction of one joint's turn, for vertices relative to it."""
    share = rig.subtree[:, joint]
    rows = np.flatnonzero((share > _BLEND[0]) & (share < _BLEND[1]))
    features = (turns - np.eye(3)).reshape(len(turns), 9)
    solver = np.linalg.solve(features.T @ features + _RIDGE * np.eye(9), features.T)
    wanted = np.stack([_aim(share[rows], relative[rows], turn) for turn in turns])
    fitted = np.einsum("fs,src->rcf", solver, wanted)
    field = np.zeros((len(share), 27))
    field[rows] = fitted.reshape(len(rows), 27)
    for _ in range(_SMOOTHING):
        field = smooth @ field
    field[np.abs(field) < _SMALLEST] = 0
    return sparse.csr_array(field.reshape(-1, 9))


def _aim(share: np.ndarray, relative: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """`(R, 3)` what to add in the rest pose so that linear blending comes nearer to dual quaternions.

    Turning one joint blends the identity with a turn about the joint, so the blended dual quaternion is a turn about
    it, too, by the angle of the blended quaternion.
    """
    vector = Rotation.from_matrix(turn).as_rotvec()
    angle = np.linalg.norm(vector)
    if angle < 1e-6:
        return np.zeros_like(relative)
    blended = 2 * np.arctan2(share * np.sin(angle / 2), 1 - share + share * np.cos(angle / 2))
    turned = Rotation.from_rotvec(blended[:, None] * (vector / angle)).apply(relative)
    linear = (1 - share)[:, None, None] * np.eye(3) + share[:, None, None] * turn
    unturned = np.linalg.solve(linear, turned[..., None])[..., 0]
    return _SHARE * (unturned - relative)


def _mirrored(field: sparse.csr_array, mirror: np.ndarray) -> sparse.csr_array:
    """The field of the joint on the other side."""
    rows = (3 * mirror[:, None] + np.arange(3)).ravel()
    signs = np.outer(FLIP, FLIP).ravel()
    turned = sparse.diags_array(np.tile(FLIP, len(mirror))) @ field[rows] @ sparse.diags_array(signs)
    return sparse.csr_array(turned)
