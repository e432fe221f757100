"""Orientations that the camera's start is tried from, and the choice among the minima that it finds.

Legend: N people, S starts of each, T orientations tried.
"""

from __future__ import annotations

import numpy as np

_SAME = 0.97
"""Cosine of the angle (14 degrees) below which two orientations are one."""


def distinct(turns: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """`(N, count)` rows of the best values whose orientations differ; the best again where there are fewer.

    Args:
        turns: `(N, T, 9)` rotations. values: `(N, T)`.
    """
    left, chosen = np.where(np.isfinite(values), values, np.inf), np.zeros((len(values), count), np.int64)
    for column in range(count):
        best = left.argmin(axis=1)
        none = np.isinf(left.min(axis=1)) & (column > 0)
        chosen[:, column] = np.where(none, chosen[:, 0], best)
        same = np.take_along_axis(turns, chosen[:, column, None, None], axis=1)
        left = np.where(0.5 * ((turns * same).sum(axis=2) - 1) > _SAME, np.inf, left)
    return chosen


def orientations(*, upright: bool) -> np.ndarray:
    """`(T, 9)` orientations: from four sides, tipped forward and back, lying on either side; or upright from the front."""
    from scipy.spatial.transform import Rotation

    front = Rotation.from_euler("x", 180, degrees=True)
    if upright:
        return front.as_matrix().reshape(1, 9)
    around = [front * Rotation.from_euler("y", angle, degrees=True) for angle in (0, 90, 180, 270)]
    tipped = [Rotation.from_euler("x", angle, degrees=True) * front for angle in (-70, 70)]
    lying = [Rotation.from_euler("z", angle, degrees=True) * front for angle in (-90, 90)]
    return np.stack([turn.as_matrix().ravel() for turn in (*around, *tipped, *lying)])
