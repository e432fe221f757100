"""Works out in a thread how much two compared runs disagree about everybody, chunk by chunk, and keeps it for the next time."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal

from annotator.errors import NeuralAnnotError
from annotator.sample import Samples
from app.scenes import Bodies
from app.session import Session
from app.shelf import Shelf

if TYPE_CHECKING:
    from annotator.disagreement import Side

_TELL_SECONDS = 0.2


class Disagreements(QObject):
    """Starts over when other runs are compared; what was begun before is dropped.

    Signals:
        _came: number of the work, `(N,)` mm so far, people measured.
    """

    _came = Signal(int, object, int)

    def __init__(self, session: Session, bodies: Bodies, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._bodies = session, bodies
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(1)
        self._number, self._stop = 0, Event()
        self._of: tuple[Shelf, Shelf, bool] | None = None
        self._came.connect(self._take)

    def refresh(self) -> None:
        """Begins, if two runs are compared, their bodies can be posed and it was not begun yet."""
        left, right, project = self._session.shelf, self._session.comparison.right, self._session.project
        if left is None or right is None or project is None:
            self._drop()
            return
        similarity = self._session.comparison.similarity
        if self._of is not None and self._of[0] is left and self._of[1] is right and self._of[2] == similarity:
            return
        from annotator.disagreement import disagreement_path  # not before it is wanted: it brings the body models

        sides = self._side(left), self._side(right)
        if sides[0] is None or sides[1] is None:
            return
        self._drop()
        self._of = left, right, similarity
        path = disagreement_path(project, left.dataset, sides[0], sides[1], similarity=similarity)
        pair = sides[0], sides[1]
        self._pool.start(_Measure(self, self._number, self._stop, path, left.samples, pair, similarity=similarity))

    @property
    def settled(self) -> bool:
        """Whether nothing is being worked out."""
        return self._pool.activeThreadCount() == 0

    def close(self) -> None:
        """Ends the thread."""
        self._drop()
        self._pool.waitForDone()

    def tell(self, number: int, values: np.ndarray, measured: int) -> None:
        """Called from the thread."""
        with suppress(RuntimeError):  # the window was closed meanwhile
            self._came.emit(number, values.copy(), measured)

    def _drop(self) -> None:
        self._stop.set()
        self._stop, self._of = Event(), None
        self._number += 1

    def _take(self, number: int, values: np.ndarray, measured: int) -> None:
        if number == self._number and self._of is not None:
            self._session.take_disagreement(values, measured)

    def _side(self, shelf: Shelf) -> Side | None:
        """A run as it is measured; None where its body cannot be posed (yet)."""
        from annotator.disagreement import FAMILIES, Side

        if shelf.run is None or shelf.fits is None or shelf.fits.header.family not in FAMILIES:
            return None
        body = self._bodies.model(shelf.fits.header.family)
        if body is None or body.hash != shelf.fits.header.body_hash:
            return None
        return Side(shelf.run, shelf.part, shelf.fits, body)


class _Measure(QRunnable):
    def __init__(
        self,
        owner: Disagreements,
        number: int,
        stop: Event,
        path: Path,
        samples: Samples,
        sides: tuple[Side, Side],
        *,
        similarity: bool,
    ) -> None:
        super().__init__()
        self._owner, self._number, self._stop = owner, number, stop
        self._path, self._samples, self._sides, self._similarity = path, samples, sides, similarity

    def run(self) -> None:
        from annotator.disagreement import disagreements, keep_disagreements, kept_disagreements

        samples, sides, count = self._samples, self._sides, len(self._samples)
        kept = kept_disagreements(self._path, samples, *sides)
        if kept is not None:
            self._owner.tell(self._number, kept, count)
            return
        values, told = np.full(count, np.nan, np.float32), time.monotonic()
        for rows, some in disagreements(samples, *sides, similarity=self._similarity):
            if self._stop.is_set():
                return
            values[rows] = some
            if time.monotonic() - told > _TELL_SECONDS and rows.stop < count:
                told = time.monotonic()
                self._owner.tell(self._number, values, rows.stop)
        self._owner.tell(self._number, values, count)
        with suppress(NeuralAnnotError):  # a project that may not be written: it is worked out again next time
            keep_disagreements(self._path, samples, *sides, values)
