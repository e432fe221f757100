"""Delta mush (Mancewicz et al. 2014): a posed surface smoothed, with the details of its rest shape put back on."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from annotator.bodies.open_body.surface import grown, smoother

_RINGS = 4
"""How often the surface is smoothed, and how far around a blend zone that is seen, in rings of vertices."""


class Mush:
    """The smoothing of one part of a surface.

    Args:
        rest: `(V, 3)`. around: `(V, V)` of `neighbours`. part: `(V,)` bool, what is posed otherwise than stiffly.
    """

    def __init__(self, rest: np.ndarray, around: sparse.csr_array, part: np.ndarray) -> None:
        self.rows = np.flatnonzero(grown(part, around, _RINGS // 2))
        """Vertices that `smooth` tells of: those of the part, and some rings around it."""
        self._near = np.flatnonzero(grown(part, around, 2 * _RINGS))
        self._around = sparse.csr_array(around[self._near][:, self._near])
        self._of_rows = np.searchsorted(self._near, self.rows)
        self._half_way = smoother(self._around)
        self._rest = self._smoothed(rest)
        self._details = rest[self.rows] - self._rest[self._of_rows]

    def smooth(self, posed: np.ndarray) -> np.ndarray:
        """`(V, 3)` -> `(R, 3)` of `rows`; what was only turned and moved comes out as it was."""
        smoothed = self._smoothed(posed)
        return smoothed[self._of_rows] + np.einsum("rcd,rd->rc", self._turns(smoothed), self._details)

    def _smoothed(self, vertices: np.ndarray) -> np.ndarray:
        near = vertices[self._near]
        for _ in range(_RINGS):
            near = self._half_way @ near
        return near

    def _turns(self, smoothed: np.ndarray) -> np.ndarray:
        """`(R, 3, 3)` how each vertex's ring of neighbours lies against the rest shape (Kabsch)."""
        rest, around = self._rest, self._around
        products = rest[:, :, None] * smoothed[:, None, :]
        counts = np.asarray(around.sum(axis=1))
        of_rest, of_smoothed = np.asarray(around @ rest), np.asarray(around @ smoothed)
        sums = np.asarray(around @ products.reshape(-1, 9)).reshape(-1, 3, 3) + counts[:, None, None] * products
        sums = sums - rest[:, :, None] * of_smoothed[:, None, :] - of_rest[:, :, None] * smoothed[:, None, :]
        left, _, right = np.linalg.svd(sums[self._of_rows])
        flips = np.ones((len(self.rows), 3))
        flips[:, 2] = np.linalg.det(left) * np.linalg.det(right)
        return np.einsum("rji,rj,rkj->rik", right, flips, left)
