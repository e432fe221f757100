"""Draws figures as tiles: a shaded mesh on white, named points over it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from app.sheets.figures import Figure, FigureStrip, Markers
from viewers.renderer import Light, MeshRenderer, compose
from viewers.scene import Intrinsics, SceneMesh
from viewers.sheet import Strip, Tile

_FAR = 40.0
"""Metres between viewer and figure: next to no perspective, so that sizes compare."""
_MARGIN = 0.06
_CLAY = (0.76, 0.76, 0.76)
_PALE = 0.55
"""Opacity of a mesh that has points over it."""
_LIGHTS = (Light((-0.5, -0.7, -0.8), 0.62), Light((0.9, 0.1, -0.4), 0.2), Light((0.2, 0.9, 0.1), 0.1))
_AMBIENT = 0.3
_COLORS = {-1: (40, 90, 190), 0: (25, 25, 25), 1: (215, 95, 20)}
_SUBPIXELS = 4


class SheetPainter:
    """One off-screen renderer for all tiles; `close` it when done."""

    def __init__(self, faces: np.ndarray) -> None:
        self._faces = faces
        self._renderer = MeshRenderer()

    def strip(self, strip: FigureStrip) -> Strip:
        """All figures of a strip at one scale, each in the middle of its tile."""
        extents = [np.ptp(figure.focus[:, :2], axis=0) for figure in strip.figures]
        room = np.array(strip.size) * (1 - 2 * _MARGIN)
        scale = float((room / np.max(extents, axis=0)).min())
        return Strip(strip.heading, [Tile(self._tile(f, strip.size, scale), f.caption) for f in strip.figures])

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()

    def _tile(self, figure: Figure, size: tuple[int, int], scale: float) -> np.ndarray:
        """`(h, w, 3)` uint8; `scale` in px per metre."""
        low, high = figure.focus.min(axis=0), figure.focus.max(axis=0)
        to_camera = np.array([1.0, -1.0, -1.0])
        shift = np.array([0, 0, _FAR]) - (low + high) / 2 * to_camera
        camera = Intrinsics(scale * _FAR, scale * _FAR, size[0] / 2 - 0.5, size[1] / 2 - 0.5)
        mesh = SceneMesh((figure.vertices * to_camera + shift).astype(np.float32), self._faces, camera, _CLAY)
        drawn = self._renderer.render(
            [mesh], region=(0.0, 0.0, *size), size=size, lights=_LIGHTS, ambient=_AMBIENT, fine=True
        )
        picture = compose(np.full((size[1], size[0], 3), 255, np.uint8), drawn, _PALE if figure.markers else 1.0)
        if figure.markers is not None:
            places = figure.markers.places * to_camera + shift
            pixels = places[:, :2] / places[:, 2:] * camera.fx + [camera.cx, camera.cy]
            _draw(picture, pixels, figure.markers)
        return picture


def _draw(picture: np.ndarray, pixels: np.ndarray, markers: Markers) -> None:
    """Edges and points over a tile, to a quarter of a pixel; crowded sets get small ones."""
    crowd = _spacing(pixels, markers.edges)
    radius = float(np.clip(0.16 * crowd, 1.0, 3.0))
    place = [tuple(np.rint(xy * 2**_SUBPIXELS).astype(int).tolist()) for xy in pixels]
    for a, b in markers.edges:
        if markers.present[a] and markers.present[b]:
            color = _COLORS[int(markers.sides[a] or markers.sides[b])]
            cv2.line(picture, place[a], place[b], color, 1, cv2.LINE_AA, _SUBPIXELS)
    for spot, side, there in zip(place, markers.sides, markers.present, strict=True):
        if there:
            cv2.circle(picture, spot, round(radius * 2**_SUBPIXELS), _COLORS[int(side)], -1, cv2.LINE_AA, _SUBPIXELS)


def _spacing(pixels: np.ndarray, edges: Sequence[tuple[int, int]]) -> float:
    """Length in px of a usual edge."""
    ends = np.array(edges)
    return float(np.median(np.linalg.norm(pixels[ends[:, 0]] - pixels[ends[:, 1]], axis=1)))
