"""A sheet of pictures: strips of captioned tiles under headings, as one array. Text is drawn by VTK's fonts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_GROUND = 255
_MARGIN, _GAP = 24, 6
_TITLE, _HEADING, _CAPTION = 26, 17, 13
"""Heights of letters in px."""
_INK, _FAINT = (0.12, 0.13, 0.16), (0.36, 0.38, 0.43)


@dataclass(frozen=True)
class Tile:
    """One picture, `(h, w, 3)` uint8 RGB, with what is written under it; the caption may be empty."""

    picture: np.ndarray
    caption: str = ""


@dataclass(frozen=True)
class Strip:
    """Tiles side by side under a heading; without one it continues the strip above it."""

    heading: str
    tiles: Sequence[Tile]


def compose_sheet(title: str, subtitle: str, strips: Sequence[Strip]) -> np.ndarray:
    """`(H, W, 3)` uint8: as wide as its widest strip, as tall as it needs to be."""
    width = max(sum(tile.picture.shape[1] + _GAP for tile in strip.tiles) - _GAP for strip in strips)
    bands = [_line(title, _TITLE, _INK, width), _line(subtitle, _CAPTION, _FAINT, width)]
    for strip in strips:
        if strip.heading:
            bands += [_blank(18, width), _line(strip.heading, _HEADING, _INK, width)]
        bands.append(_tiles(strip.tiles, width))
    return np.pad(np.concatenate(bands), ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=_GROUND)


def text_picture(text: str, height: int, color: tuple[float, float, float]) -> np.ndarray:
    """`(h, w, 3)` uint8: one line of text on white, letters about `height` px tall; nothing for an empty text."""
    import vtkmodules.vtkRenderingFreeType  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers the fonts
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkRenderingCore import vtkTextProperty, vtkTextRenderer

    if not text.strip():
        return np.full((height, 0, 3), _GROUND, np.uint8)
    style, image = vtkTextProperty(), vtkImageData()
    style.SetFontFamilyToArial()
    style.SetFontSize(height)
    style.SetColor(*color)
    size: Any = [0, 0]
    vtkTextRenderer.GetInstance().RenderString(style, text, image, size, 72)
    extent = image.GetDimensions()
    pixels: np.ndarray = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(extent[1], extent[0], 4)
    drawn = pixels[: size[1], : size[0]][::-1].astype(np.float32)
    alpha = drawn[..., 3:] / 255
    return np.rint(drawn[..., :3] * alpha + _GROUND * (1 - alpha)).astype(np.uint8)


def _line(text: str, height: int, color: tuple[float, float, float], width: int) -> np.ndarray:
    return _in_box(text_picture(text, height, color), height + 10, width, centred=False)


def _tiles(tiles: Sequence[Tile], width: int) -> np.ndarray:
    tall = max(tile.picture.shape[0] for tile in tiles)
    below = _CAPTION + 9 if any(tile.caption for tile in tiles) else _GAP
    band = _blank(tall + below, width)
    left = 0
    for tile in tiles:
        height, wide = tile.picture.shape[:2]
        band[tall - height : tall, left : left + wide] = tile.picture
        caption = text_picture(tile.caption, _CAPTION, _FAINT)
        band[tall:, left : left + wide] = _in_box(caption, below, wide, centred=True)
        left += wide + _GAP
    return band


def _in_box(picture: np.ndarray, height: int, width: int, *, centred: bool) -> np.ndarray:
    """On white; what does not fit is cut."""
    out = _blank(height, width)
    picture = picture[:height, :width]
    left = (width - picture.shape[1]) // 2 if centred else 0
    top = (height - picture.shape[0]) // 2
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _GROUND, np.uint8)
