"""Two runs side by side: which run is on the right, which side A, R and U judge, how the two are shown, how far apart they are.

The run on the left is the one that is shown anyway. This is state only: panels read it, the session changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from PySide6.QtCore import QObject, Signal

from annotator.runs import Run
from app.shelf import FITTED, Shelf

RANGES_MM = (50, 100, 200, 400)
"""Ends of the scale of distances, from which a person chooses; fixed, so that colours mean the same from person to person."""
_LEFT_BY_DEFAULT, _RIGHT_BY_DEFAULT = "neuralannot", "smplifyx"


class Side(StrEnum):
    """One of the two runs."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> Side:
        """The other one."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


class Comparison(QObject):
    """What is compared with the run that is shown, if anything.

    Attributes:
        right: the run on the right as columns of the same people; None while nothing is compared.
        armed: whose fit is judged by A, R and U.
        wipe: both meshes on one photo, parted by a handle, instead of two photos.
        colored: the 3D panes show distances instead of the annotators' colours.
        similarity: distances are taken after the best similarity instead of with the pelves together.
        range_mm: the distance at the end of the scale.
        disagreement: `(N,)` float32 mm of everybody, NaN where unknown or not known yet; None before anything is.
        measured: people whose disagreement was worked out; all of them when it is finished.

    Signals:
        changed: comparing began or ended, or another run is on the right.
        look_changed: the armed side, the wipe, the colours or their range, the alignment.
        disagreement_changed: more people are measured.
    """

    changed = Signal()
    look_changed = Signal()
    disagreement_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.right: Shelf | None = None
        self.armed, self.wipe, self.colored = Side.LEFT, False, True
        self.similarity = False
        self.range_mm = RANGES_MM[2]
        self.disagreement: np.ndarray | None = None
        self.measured = 0

    @property
    def on(self) -> bool:
        """Whether two runs are compared."""
        return self.right is not None

    @property
    def aligned(self) -> str:
        """How the two are brought together before distances are taken, in words."""
        return "after the best similarity" if self.similarity else "pelvis aligned"

    def put_right(self, shelf: Shelf | None) -> None:
        """Another run is on the right, or none; what was known of the two before is forgotten."""
        if shelf is None:
            self.armed, self.wipe = Side.LEFT, False
        self.right = shelf
        self.forget_disagreement()

    def forget_disagreement(self) -> None:
        """Other fits are compared than those that were measured."""
        self.disagreement, self.measured = None, 0

    @property
    def unfinished(self) -> bool:
        """Whether people are still to be measured."""
        return self.right is not None and self.measured < len(self.right.samples)

    def take_disagreement(self, values: np.ndarray, measured: int) -> None:
        """More people are measured."""
        self.disagreement, self.measured = values, measured
        self.disagreement_changed.emit()

    def arm(self, side: Side) -> None:
        """Chooses whose fit is judged."""
        self.armed = side
        self.look_changed.emit()

    def show(self, *, wipe: bool | None = None, colored: bool | None = None) -> None:
        """Chooses how the two are shown."""
        self.wipe = self.wipe if wipe is None else wipe
        self.colored = self.colored if colored is None else colored
        self.look_changed.emit()

    def align(self, *, similarity: bool) -> None:
        """Chooses how the two are brought together; everybody is measured anew."""
        self.similarity = similarity
        self.forget_disagreement()
        self.look_changed.emit()

    def next_range(self) -> None:
        """The next scale of distances, round to the first."""
        self.range_mm = RANGES_MM[(RANGES_MM.index(self.range_mm) + 1) % len(RANGES_MM)]
        self.look_changed.emit()


def default_pair(runs: Sequence[Run], shown: Run) -> tuple[Run, Run] | None:
    """Left and right to begin with: NeuralAnnot and SMPLify-X, else the two newest of another annotator or round.

    Args:
        runs: with fits of the data set, newest first.
        shown: stays, if it can be one of the two.
    """
    first_shown = [shown, *(run for run in runs if run.id != shown.id)]
    if len(first_shown) < 2:
        return None
    left, right = (
        next((run for run in first_shown if run.info.annotator == name), None)
        for name in (_LEFT_BY_DEFAULT, _RIGHT_BY_DEFAULT)
    )
    if left is not None and right is not None:
        return left, right
    unlike = [run for run in first_shown[1:] if _kind(run) != _kind(shown)]
    chosen = (unlike or first_shown[1:])[0]
    return (chosen, shown) if shown.info.annotator == _RIGHT_BY_DEFAULT else (shown, chosen)


def _kind(run: Run) -> tuple[str, int]:
    return run.info.annotator, run.info.round


def comparable(left: Shelf, right: Shelf, row: int) -> bool:
    """Whether both runs have a fit of a person that did not fail."""
    return left.status[row] == FITTED and right.status[row] == FITTED
