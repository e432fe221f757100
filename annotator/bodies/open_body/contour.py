"""The 17 points of the face's outline for 79 yaws of the head, as the smplx package looks them up.

Row r in 0..39 is a head turned r degrees about its +y (to the person's left), row 39 + k one turned -k degrees. That
is the package's own look-up when `global_orient` contains the half turn of a camera whose y points down (SMPLify-X
and here); a frame with y up reads the table the other way round.

On the side turned away the outline is the silhouette, on the near side the edge of the jaw: what annotators click.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from annotator.bodies.open_body.rig import FLIP

_CHIN = 991
_RAYS = 241
_LAST = 39
_SMOOTH_ROWS = 4.0
"""Degrees: where the silhouette leaps from temple to cheek (20 mm from one row to the next), the points take a few rows."""
_LATTICE = 8


def contour_table(
    template: np.ndarray, faces: np.ndarray, region: np.ndarray, *, mirror: np.ndarray, eye_height: float
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles `(79, 17)` and barycentric weights `(79, 17, 3)` on the mean head.

    Args:
        region: `(F,)` bool: triangles of the face, from the front of the ears down to the edge of the jaw.
    """
    other = mirrored_faces(faces, mirror)
    kept = np.flatnonzero(region & region[other])
    outlines = np.stack([_outline(template, faces[kept], np.deg2rad(r), eye_height) for r in range(_LAST + 1)])
    turned_right = outlines[:0:-1, ::-1] * FLIP
    by_yaw = gaussian_filter1d(np.concatenate([turned_right, outlines]), _SMOOTH_ROWS, axis=0, mode="nearest")
    by_yaw = (by_yaw + by_yaw[::-1, ::-1] * FLIP) / 2
    chosen, bary = _on_region(by_yaw[_LAST:], template, faces, kept)
    left = other[chosen[1:, ::-1]]
    return np.concatenate([chosen, left]), np.concatenate([bary, _mirrored_bary(chosen, bary, faces, mirror, other)])


def mirrored_faces(faces: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """`(F,)` the triangle on the other side."""
    own, across = np.sort(faces, axis=1), np.sort(mirror[faces], axis=1)
    order_own, order_across = np.lexsort(own.T[::-1]), np.lexsort(across.T[::-1])
    assert (own[order_own] == across[order_across]).all()
    out = np.empty(len(faces), np.int64)
    out[order_across] = order_own
    return out


def _outline(template: np.ndarray, faces: np.ndarray, yaw: float, eye_height: float) -> np.ndarray:
    """`(17, 3)` on a head turned by `yaw` radians, seen from the front without perspective, in the unturned frame."""
    turned = template @ np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    wide = turned[faces.ravel(), 0]
    centre = np.array([(wide.min() + wide.max()) / 2, eye_height])
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    angles = np.linspace(np.pi, 2 * np.pi, _RAYS)
    flat = turned[:, :2] - centre
    reach = np.array([_farthest(flat, edges, angle)[0] for angle in angles])
    curve = reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    middle = int(np.linalg.norm(curve - flat[_CHIN], axis=1).argmin())
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    stops = np.concatenate([np.linspace(0, length[middle], 9), np.linspace(length[middle], length[-1], 9)[1:]])
    points = [_farthest(flat, edges, angle)[1] for angle in np.interp(stops, length, angles)]
    return np.stack([(1 - s) * template[edges[e, 0]] + s * template[edges[e, 1]] for e, s in points])


def _farthest(flat: np.ndarray, edges: np.ndarray, angle: float) -> tuple[float, tuple[int, float]]:
    """Where a ray from the centre last meets an edge: its length, and the edge with the share along it."""
    along = np.array([np.cos(angle), np.sin(angle)])
    side = flat @ np.array([-along[1], along[0]])
    ahead = flat @ along
    a, b = side[edges[:, 0]], side[edges[:, 1]]
    crossing = np.flatnonzero((a <= 0) != (b <= 0))
    share = a[crossing] / (a[crossing] - b[crossing])
    reach = (1 - share) * ahead[edges[crossing, 0]] + share * ahead[edges[crossing, 1]]
    best = int(reach.argmax())
    return float(reach[best]), (int(crossing[best]), float(share[best]))


def _on_region(
    points: np.ndarray, template: np.ndarray, faces: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest places in the region's triangles, to within half a millimetre: those of a lattice in each."""
    steps = [(i, j, _LATTICE - i - j) for i in range(_LATTICE + 1) for j in range(_LATTICE + 1 - i)]
    lattice = np.array(steps) / _LATTICE
    samples = np.einsum("lc,fcx->flx", lattice, template[faces[kept]]).reshape(-1, 3)
    _, nearest = KDTree(samples).query(points)
    return kept[nearest // len(lattice)], lattice[nearest % len(lattice)]


def _mirrored_bary(
    chosen: np.ndarray, bary: np.ndarray, faces: np.ndarray, mirror: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Weights of rows 1..39 for their mirror images, corner by corner."""
    corners = mirror[faces[chosen[1:, ::-1]]]
    wanted = faces[other[chosen[1:, ::-1]]]
    place = (wanted[..., :, None] == corners[..., None, :]).argmax(axis=-1)
    return np.take_along_axis(bary[1:, ::-1], place, axis=-1)
