"""Thumbnails of people: cut, shrunk and kept on disk by a few threads, the ones on the screen first."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal
from PySide6.QtGui import QImage, QPixmap

from annotator.camera import crop_of_box
from annotator.errors import NeuralAnnotError
from annotator.images import decode_image, read_image
from annotator.sample import Sample

SIDE = 96
"""Px of the kept pictures; they are drawn at half of it on an ordinary screen."""
_KEPT = 600
_WAITING = 80


class Thumbnails(QObject):
    """Pictures by sample key; `get` answers at once and `ready` tells when a missing one has come.

    Signals:
        ready: the key whose picture is there now.
    """

    ready = Signal(str)
    _made = Signal(str, QImage)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pictures: OrderedDict[str, QPixmap] = OrderedDict()
        self._asked: set[str] = set()
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(2)
        self._age = 0
        self._made.connect(self._take)

    def get(self, sample: Sample, photo: Path, cache: Path) -> QPixmap | None:
        """The picture, or None while it is being made; the newest request is served first."""
        picture = self._pictures.get(sample.key)
        if picture is not None:
            self._pictures.move_to_end(sample.key)
            return picture
        if sample.key not in self._asked and len(self._asked) < _WAITING:
            self._asked.add(sample.key)
            self._age += 1
            self._pool.start(_Make(self._made, sample, photo, cache), self._age)
        return None

    @property
    def settled(self) -> bool:
        """Whether none is being made."""
        return not self._asked

    def clear(self) -> None:
        """Forgets all pictures: another data set is shown."""
        self._pool.clear()
        self._pictures.clear()
        self._asked.clear()

    def close(self) -> None:
        """Ends the threads."""
        self._pool.clear()
        self._pool.waitForDone()

    def _take(self, key: str, image: QImage) -> None:
        self._asked.discard(key)
        self._pictures[key] = QPixmap.fromImage(image)
        while len(self._pictures) > _KEPT:
            self._pictures.popitem(last=False)
        self.ready.emit(key)


class _Make(QRunnable):
    def __init__(self, made: object, sample: Sample, photo: Path, cache: Path) -> None:
        super().__init__()
        self._made, self._sample, self._photo, self._cache = made, sample, photo, cache

    def run(self) -> None:
        pixels = thumbnail(self._sample, self._photo, self._cache)
        if pixels is None:
            image = QImage()
        else:
            image = QImage(pixels.data, SIDE, SIDE, 3 * SIDE, QImage.Format.Format_RGB888).copy()
        try:
            self._made.emit(self._sample.key, image)  # type: ignore[attr-defined]
        except RuntimeError:
            return  # the window was closed meanwhile


def thumbnail(sample: Sample, photo: Path, cache: Path) -> np.ndarray | None:
    """`(96, 96, 3)` uint8 RGB of the person's crop; None if the photo cannot be read. Kept as a JPEG in `cache`."""
    name = hashlib.sha1(f"{sample.key}{sample.box.tolist()}".encode(), usedforsecurity=False).hexdigest()
    path = cache / name[:2] / f"{name}.jpg"
    if (kept := _kept(path)) is not None:
        return kept
    try:
        size = np.array([sample.width, sample.height], np.float64)
        crop = crop_of_box(sample.box.astype(np.float64), size, drawn=sample.box_drawn)
        pixels = crop.cut(read_image(photo), SIDE)
    except (NeuralAnnotError, OSError):
        return None
    _keep(pixels, path)
    return pixels


def _kept(path: Path) -> np.ndarray | None:
    """What the cache has, if it can be read."""
    with suppress(NeuralAnnotError, OSError):
        kept = decode_image(path.read_bytes(), str(path))
        return kept if kept.shape == (SIDE, SIDE, 3) else None
    return None


def _keep(pixels: np.ndarray, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[:, :, ::-1]))
        if done:
            aside = path.with_suffix(".part")
            aside.write_bytes(data.tobytes())
            aside.replace(path)
    except OSError:
        return  # a cache that cannot be written costs time, nothing else
