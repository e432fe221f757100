"""Pose correctives: how skin folds and bulges at a turned joint, regressed on the smplx package's features.

Linear blending of an identity and a turn shrinks a limb at the joint and breaks its tip; blending the turn's quaternion
keeps its girth (Kavan et al. 2008) but swells its outer side and folds triangles over each other at wide angles. So that
surface is smoothed and then given its details back (delta mush, Mancewicz et al. 2014).

Legend: V vertices, S sampled rotations, R rows of a joint's blend zone and some rings around it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from annotator.bodies.open_body.mush import Mush
from annotator.bodies.open_body.rig import FLIP, OTHER_SIDE, Rig
from annotator.bodies.open_body.surface import neighbours
from annotator.synthetic import limits, sample_body_poses

_SAMPLES = 240
_RIDGE = 1e-3
_BLEND = (0.004, 0.996)
"""A vertex outside of this share of a joint's subtree moves stiffly."""
_SMALLEST = 2e-5
"""Metres per unit feature; smaller entries are dropped."""
_FINGER_DEG = ((-15.0, 15.0), (-20.0, 20.0), (-90.0, 10.0))
_OTHERS_DEG: Mapping[int, tuple[tuple[float, float], ...]] = {
    22: ((-4.0, 28.0), (-8.0, 8.0), (-4.0, 4.0)),
    **dict.fromkeys(range(25, 37), _FINGER_DEG),
    **dict.fromkeys((37, 38, 39), ((-40.0, 40.0), (-40.0, 40.0), (-40.0, 40.0))),
}
"""Degrees about x, y, z of the joints beyond the body's: jaw, left fingers, left thumb."""


def pose_correctives(rig: Rig, template: np.ndarray, joints: np.ndarray, rng: np.random.Generator) -> sparse.csr_array:
    """`(3 V, 486)` pose blend shapes in the T-pose; left ones fitted, right ones mirrored, midline ones symmetrised."""
    around = neighbours(rig.source.faces, len(template))
    columns: dict[int, sparse.csr_array] = {}
    for joint in [j for j in range(1, 55) if OTHER_SIDE[j] >= j]:
        field = _joint_field(rig.subtree[:, joint], template - joints[joint], _rotations(rng, joint), around)
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
    share: np.ndarray, relative: np.ndarray, turns: np.ndarray, around: sparse.csr_array
) -> sparse.csr_array:
    """`(3 V, 9)` correction of one joint's turn, for vertices relative to it of which `share` `(V,)` turns.

    Fitted where it is seen: what the correction misses is measured after the turn, not in the T-pose, where linear blending
    has to be undone that leaves next to nothing of a folded limb.
    """
    field = np.zeros((len(share), 27))
    blended = (share > _BLEND[0]) & (share < _BLEND[1])
    if blended.any():
        mush = Mush(relative, around, blended)
        rows = mush.rows
        features = (turns - np.eye(3)).reshape(len(turns), 9)
        normal, right = _RIDGE * np.eye(27)[None], np.zeros((len(rows), 27))
        for turn, feature in zip(turns, features, strict=True):
            linear = (1 - share[rows])[:, None, None] * np.eye(3) + share[rows][:, None, None] * turn
            moved = np.einsum("rcf,g->rcfg", linear, feature).reshape(len(rows), 3, 27)
            missing = mush.smooth(_turned(share, relative, turn)) - np.einsum("rcd,rd->rc", linear, relative[rows])
            normal = normal + np.einsum("rci,rcj->rij", moved, moved)
            right += np.einsum("rci,rc->ri", moved, missing)
        field[rows] = np.linalg.solve(normal, right[..., None])[..., 0]
    field[np.abs(field) < _SMALLEST] = 0
    return sparse.csr_array(field.reshape(-1, 9))


def _turned(share: np.ndarray, relative: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """`(V, 3)` vertices after the turn, blended as dual quaternions.

    Turning one joint blends the identity with a turn about the joint, so the blended dual quaternion is a turn about
    it, too, by the angle of the blended quaternion.
    """
    vector = Rotation.from_matrix(turn).as_rotvec()
    angle = np.linalg.norm(vector)
    if angle < 1e-6:
        return relative
    blended = 2 * np.arctan2(share * np.sin(angle / 2), 1 - share + share * np.cos(angle / 2))
    return Rotation.from_rotvec(blended[:, None] * (vector / angle)).apply(relative)


def _mirrored(field: sparse.csr_array, mirror: np.ndarray) -> sparse.csr_array:
    """The field of the joint on the other side."""
    rows = (3 * mirror[:, None] + np.arange(3)).ravel()
    signs = np.outer(FLIP, FLIP).ravel()
    turned = sparse.diags_array(np.tile(FLIP, len(mirror))) @ field[rows] @ sparse.diags_array(signs)
    return sparse.csr_array(turned)
