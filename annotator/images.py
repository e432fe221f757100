"""The one image decoder for everyone: training, fitting, thumbnails and the desk see the same pixels.

EXIF orientation is ignored, as the field's loaders do: the annotations belong to the pixels as stored.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from annotator.errors import ImageError

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_TRAILER = 4096


def read_image(path: Path) -> np.ndarray:
    """The photo at `path` as `(H, W, 3)` uint8 RGB.

    Raises:
        ImageError: it is missing, cut short (cv2 alone returns such a JPEG half grey) or not an image.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"The photo {path} is missing; put it back or relink its image root.") from error
    except OSError as error:
        raise ImageError(f"The photo {path} cannot be read ({error.strerror}); check its permissions.") from error
    return decode_image(data, str(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """An encoded photo as `(H, W, 3)` uint8 RGB; `name` is for the error's sentence."""
    if data.startswith(_JPEG_START) and _JPEG_END not in data[-_TRAILER:]:
        raise ImageError(f"The photo {name} is cut short: its JPEG data has no end; fetch it again.")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS) if data else None
    if pixels is None:
        raise ImageError(f"The photo {name} cannot be decoded; fetch it again.")
    return np.ascontiguousarray(pixels[:, :, ::-1])
