"""The one image decoder for everyone: training, fitting, thumbnails and the desk see the same pixels.

EXIF orientation is ignored, as the field's loaders do: the annotations belong to the pixels as stored.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from cv2.utils import logging

from annotator.errors import ImageError

_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _NO_LENGTH = 0xDA, (0x01, *range(0xD0, 0xD9))

logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # what is wrong with a photo is said in our own words, once


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
    if data.startswith(_JPEG_START) and not _is_whole_jpeg(data):
        raise ImageError(f"The photo {name} is cut short: its JPEG data has no end; fetch it again.")
    try:
        with _quiet():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS) if data else None
    except cv2.error as error:  # a header that promises more pixels than cv2 takes
        raise ImageError(f"The photo {name} cannot be decoded: its size is not plausible; fetch it again.") from error
    if pixels is None:
        raise ImageError(f"The photo {name} cannot be decoded; fetch it again.")
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether the end-of-image marker follows the pixels; phones write more behind it (a film, a second picture).

    The segments before the pixels are walked by their lengths: a small preview among them has an end marker of its own.
    In the pixels' data 0xFF is always followed by 0 or a restart marker, so the search from the end is exact and quick.
    """
    place = len(_JPEG_START)
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return False
        kind = data[place + 1]
        if kind == 0xFF:  # padding
            place += 1
        elif kind in _NO_LENGTH:
            place += 2
        elif kind == _SCAN:
            return data.rfind(_JPEG_END, place) >= 0
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False


class _Stderr:
    """C's own `stderr`, to which libpng and libjpeg write whatever they think of a file; Python's is another one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stream: ctypes.c_void_p | None = None
        if platform.libc_ver()[0] == "glibc":  # there `stderr` is a variable that may be set
            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            self._nowhere = libc.fopen(b"/dev/null", b"w")
            self._stream = ctypes.c_void_p.in_dll(libc, "stderr") if self._nowhere else None
            self._usual = self._stream.value if self._stream is not None else None

    def enter(self) -> None:
        with self._lock:
            self._users += 1
            if self._stream is not None:
                self._stream.value = self._nowhere

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._stream is not None and self._users == 0:
                self._stream.value = self._usual


_stderr = _Stderr()


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Keeps the chatter of C libraries from the terminal while photos are decoded, on any number of threads."""
    _stderr.enter()
    try:
        yield
    finally:
        _stderr.leave()
