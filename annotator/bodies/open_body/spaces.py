"""Shape, expression and hand-pose spaces of the open body, and its joint regressor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from annotator.bodies.open_body.rig import OTHER_SIDE, Rig, anchor_weights, symmetric_rows
from annotator.bodies.open_body.source import SourceBody

_COMPONENTS = 10
_REGRESSOR_RIDGE = 0.02
_AS_LARGE = 0.999
"""Share of the largest entry from which on one counts as as large."""


def principal(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(D,)` and `(10, D)` components, each scaled to one standard deviation."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    values, vectors = np.linalg.eigh(centred @ centred.T / (len(rows) - 1))
    order = np.argsort(values)[::-1][:_COMPONENTS]
    components = (vectors[:, order].T @ centred) / np.sqrt(len(rows) - 1)
    return mean, _signed(components)


def _signed(rows: np.ndarray) -> np.ndarray:
    """Rows with the sign that makes the entry of largest size positive; of several as large, the first.

    Left and right move alike, so that every entry along x has a twin of the other sign, as large but for rounding.
    """
    sizes = np.abs(rows)
    first = (sizes >= _AS_LARGE * sizes.max(axis=1, keepdims=True)).argmax(axis=1)
    return rows * np.sign(rows[np.arange(len(rows)), first])[:, None]


def expressions(source: SourceBody, rng: np.random.Generator, count: int = 2000) -> np.ndarray:
    """`(10, V, 3)` expression components: PCA of random mixtures of one to four facial actions.

    The mean is left out, so that zero is the neutral face; the components are those of mixtures about it.
    """
    names = source.action_names
    mixtures = np.zeros((count, len(names)))
    for row in mixtures:
        for i in rng.choice(len(names), rng.integers(1, 5), replace=False):
            row[i] = rng.random()
            twin = names[i].replace("Left", "*").replace("Right", "Left").replace("*", "Right")
            if twin != names[i] and rng.random() < 0.8:
                row[names.index(twin)] = row[i]
    basis = source.actions.reshape(len(names), -1)
    moment = np.cov(mixtures.T)
    spread = np.linalg.cholesky(moment + 1e-12 * np.eye(len(names))).T @ basis  # its Gram matrix is the covariance
    _, values, right = np.linalg.svd(spread, full_matrices=False)
    components = right[:_COMPONENTS] * values[:_COMPONENTS, None]
    return _signed(components).reshape(_COMPONENTS, -1, 3)


def regressor(rig: Rig, bodies: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """`(55, V)` non-negative joint regressor in the T-pose, rows sum to 1, refitted on `(vertices, joints)` of many bodies."""
    refitted = np.zeros_like(rig.anchors)
    for joint in np.flatnonzero(np.arange(55) <= OTHER_SIDE).tolist():
        chosen = np.flatnonzero(rig.anchors[joint] > 0)
        refitted[joint, chosen] = _row(bodies, chosen, joint, rig.anchors[joint, chosen])
    return symmetric_rows(refitted, rig.source.mirror)


def part_root(bodies: Sequence[tuple[np.ndarray, np.ndarray]], chosen: np.ndarray, joint: int) -> np.ndarray:
    """`(n,)` regressor row of a part's root joint over the part's own vertices `chosen`.

    The whole body's row cannot be cut: 43 % of the wrist's weight and 86 % of the neck's lie outside (9 and 42 mm).
    """
    anchors = np.mean([anchor_weights(vertices[chosen], joints[joint]) for vertices, joints in bodies[:5]], axis=0)
    return _row(bodies, chosen, joint, anchors)


def _row(
    bodies: Sequence[tuple[np.ndarray, np.ndarray]], chosen: np.ndarray, joint: int, anchor: np.ndarray
) -> np.ndarray:
    rows = [(vertices[chosen] - joints[joint]).T for vertices, joints in bodies]
    matrix = np.concatenate([*rows, 10 * np.ones((1, len(chosen))), _REGRESSOR_RIDGE * np.eye(len(chosen))])
    right = np.concatenate([np.zeros(3 * len(bodies)), [10.0], _REGRESSOR_RIDGE * anchor])
    # Normal equations keep the problem small; nnls takes their Cholesky factor as rows.
    gram = matrix.T @ matrix
    factor = np.linalg.cholesky(gram + 1e-12 * np.eye(len(chosen))).T
    weights, _ = nnls(factor, np.linalg.solve(factor.T, matrix.T @ right), maxiter=20 * len(chosen))
    weights[weights < 1e-5] = 0
    return weights / weights.sum()


def hand_space(rng: np.random.Generator, count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(45,)` and `(45, 45)` orthonormal components of authored left-hand poses in the T-pose's axes.

    Each finger curls by an amount of its own around that of the hand, spreads a little; the thumb bends and opposes.
    Limits are those of a living hand: 90 degrees at knuckle and middle joint, 60 at the last.
    """
    poses = np.zeros((count, 15, 3))
    for pose in poses:
        grip = rng.beta(1.1, 2.8)
        for finger, (first, fan) in enumerate(((0, 6.0), (3, 0.0), (6, -10.0), (9, -5.0))):
            curl = np.clip(grip + rng.normal(0.03 * finger, 0.16), 0.0, 1.0)
            hinge, spread = _finger_axes(fan)
            tilt = Rotation.from_rotvec(spread * np.deg2rad(rng.normal(0, 4)))
            angles = np.deg2rad([10 + 75 * curl, 12 + 85 * curl, 6 + 50 * curl])
            pose[first] = (Rotation.from_rotvec(hinge * angles[0]) * tilt).as_rotvec()
            pose[first + 1], pose[first + 2] = hinge * angles[1], hinge * angles[2]
        pose[12:15] = _thumb(np.clip(grip + rng.normal(0, 0.2), 0, 1), rng.normal(0, 0.1))
    flat = poses.reshape(count, 45)
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    return mean, _completed(vectors[:, values > 1e-9 * values.max()][:, ::-1].T)


def _completed(rows: np.ndarray) -> np.ndarray:
    """`(r, D)` orthonormal rows with fixed signs, filled up to `(D, D)`.

    What lies in the directions that no pose uses is arbitrary, and differs from one linear-algebra library to the next;
    so it is made of unit vectors, in their order.
    """
    out = list(_signed(rows))
    for unit in np.eye(rows.shape[1]):
        rest = unit - np.array(out).T @ (np.array(out) @ unit)
        if (length := np.linalg.norm(rest)) > 0.1:
            rest = rest / length
            rest -= np.array(out).T @ (np.array(out) @ rest)
            out.append(rest / np.linalg.norm(rest))
    return np.stack(out)


def _finger_axes(fan: float) -> tuple[np.ndarray, np.ndarray]:
    """Axes about which a left finger, pointing along +x and fanned by degrees towards +z, curls down and spreads."""
    direction = np.array([np.cos(np.deg2rad(fan)), 0, np.sin(np.deg2rad(fan))])
    return np.cross(direction, [0, -1.0, 0]), np.array([0, -1.0, 0])


def _thumb(bend: float, oppose: float) -> np.ndarray:
    direction = np.array([0.75, -0.25, 0.6]) / np.linalg.norm([0.75, -0.25, 0.6])
    across = np.cross(direction, [0.5, -0.6, -0.6])  # towards the palm, below the other fingers
    hinge = across / np.linalg.norm(across)
    return np.stack(
        [hinge * (0.10 + 0.35 * bend + 0.3 * oppose), hinge * (0.08 + 0.45 * bend), hinge * (0.10 + 0.75 * bend)]
    )
