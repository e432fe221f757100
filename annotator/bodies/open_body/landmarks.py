"""Where the 51 inner points of the 68-point face scheme lie on anny's mesh, by anny's vertex ids (found by looking; symmetric)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Place = tuple[tuple[int, float], ...]


def _v(vertex: int) -> Place:
    return ((vertex, 1.0),)


def _edge(a: int, t: float, b: int) -> Place:
    return ((a, 1.0 - t), (b, t))


INNER: list[Place] = [
    *(_edge(207, 0.5, 255), _edge(206, 0.25, 207), _v(204), _v(205), _v(208)),  # 17..21 right brow, outer to inner
    *(_v(6967), _v(6964), _v(6963), _edge(6965, 0.25, 6966), _edge(6966, 0.5, 7008)),  # 22..26 left brow
    *(_v(132), _v(131), _v(201), _v(5038)),  # 27..30 bridge of the nose
    *(_v(337), _v(332), _v(317), _v(7078), _v(7083)),  # 31..35 under the nose
    *(_v(24), _edge(0, 0.5, 6), _v(54), _v(66), _v(47), _v(41)),  # 36..41 right eye
    *(_v(6834), _v(6822), _edge(6768, 0.5, 6774), _v(6792), _v(6809), _v(6815)),  # 42..47 left eye
    *(_v(402), _v(5338), _v(450), _v(455), _v(7194), _v(11924), _v(7146)),  # 48..54 upper lip
    *(_edge(7223, 0.4, 7150), _v(7229), _v(496), _v(490), _edge(484, 0.4, 406)),  # 55..59 lower lip
    *(_v(429), _edge(522, 0.6, 514), _v(520), _edge(7252, 0.6, 7245), _v(7173)),  # 60..64 seam, upper
    *(_edge(7248, 0.25, 7249), _v(523), _edge(517, 0.25, 518)),  # 65..67 seam, lower
]


def on_surface(places: Sequence[Place], faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles `(n,)` and barycentric weights `(n, 3)` of points at vertices or on edges.

    Raises:
        ValueError: no triangle has the edge.
    """
    chosen, weights = np.zeros(len(places), np.int64), np.zeros((len(places), 3))
    for number, place in enumerate(places):
        held = np.all([np.any(faces == vertex, axis=1) for vertex, _ in place], axis=0)
        if not held.any():
            raise ValueError(f"no triangle has the vertices {[vertex for vertex, _ in place]}")
        chosen[number] = np.flatnonzero(held)[0]
        corners = faces[chosen[number]].tolist()
        for vertex, weight in place:
            weights[number, corners.index(vertex)] = weight
    return chosen, weights
