"""`Scene`: a photo and what lies over it, as plain arrays. What `app.scenes` makes and every view draws.

Camera space is x right, y down, z forward, in metres. A pixel's centre is its integer coordinate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera in full-image pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class SceneMesh:
    """A mesh in its own camera's space; people of one photo may have cameras of their own.

    Attributes:
        vertices: `(V, 3)` float32 metres.
        faces: `(F, 3)` int32.
        color: RGB in 0..1.
        vertex_colors: `(V, 3)` uint8, instead of `color`.
        name: what a tooltip or legend says.
    """

    vertices: np.ndarray
    faces: np.ndarray
    intrinsics: Intrinsics
    color: tuple[float, float, float] = (0.8, 0.8, 0.8)
    vertex_colors: np.ndarray | None = None
    name: str = ""


@dataclass(frozen=True)
class Points2D:
    """Labelled points of one person.

    Attributes:
        xy: `(K, 2)` px.
        confidence: `(K,)`; 0 = not there, not drawn.
        edges: pairs of indices to join.
        sides: `(K,)` -1 the person's left, 0 middle, 1 right.
    """

    xy: np.ndarray
    confidence: np.ndarray
    edges: tuple[tuple[int, int], ...]
    sides: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Everything that one view shows.

    Attributes:
        size: width and height of the photo in px, known even where the photo is missing.
        photo: `(H, W, 3)` uint8 RGB, or None with `message` saying why.
        box: `(4,)` x, y, w, h of the person, or None.
        other_boxes: boxes of other people of the photo.
    """

    size: tuple[int, int]
    photo: np.ndarray | None = None
    message: str = ""
    meshes: tuple[SceneMesh, ...] = ()
    points: tuple[Points2D, ...] = ()
    box: np.ndarray | None = None
    other_boxes: tuple[np.ndarray, ...] = ()


def to_scene(xy: np.ndarray) -> np.ndarray:
    """`(..., 2)` image px (integer = pixel centre) -> scene coordinates (origin at the photo's corner)."""
    return xy + 0.5


def projected_bounds(mesh: SceneMesh) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest scene coordinates of a mesh's vertices."""
    k = mesh.intrinsics
    depth = np.maximum(mesh.vertices[:, 2], 1e-3)
    pixels = np.stack([k.fx * mesh.vertices[:, 0] / depth + k.cx, k.fy * mesh.vertices[:, 1] / depth + k.cy], axis=1)
    places = np.clip(to_scene(pixels), -1e5, 1e5)
    return places.min(axis=0), places.max(axis=0)
