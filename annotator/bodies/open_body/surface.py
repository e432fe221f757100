"""Neighbourhoods on a mesh, and smoothing along it."""

from __future__ import annotations

import numpy as np
from scipy import sparse


def neighbours(faces: np.ndarray, count: int) -> sparse.csr_array:
    """`(V, V)` ones where an edge joins two vertices."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    links = sparse.coo_array((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
    return sparse.csr_array((links + links.T).astype(bool).astype(float))


def smoother(links: sparse.csr_array) -> sparse.csr_array:
    """`(V, V)` one step of smoothing: half a vertex's own value, half the mean of its neighbours'."""
    counts = np.maximum(np.asarray(links.sum(axis=1)), 1)
    mean = sparse.diags_array(1 / counts) @ links
    return sparse.csr_array(0.5 * sparse.eye_array(len(counts)) + 0.5 * mean)


def grown(part: np.ndarray, links: sparse.csr_array, rings: int) -> np.ndarray:
    """`(V,)` bool: a part of the mesh with so many rings of neighbours around it."""
    for _ in range(rings):
        part = part | (links @ part.astype(np.float64) > 0)
    return part
