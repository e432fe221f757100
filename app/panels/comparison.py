"""The numbers of two fits of one person side by side, and how far apart the two are."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from annotator.fit import Fit
from app import theme
from app.comparison import Side
from app.session import Session
from app.shelf import Shelf
from app.side_by_side import SideBySide, run_title

_ROWS = (
    *("2D error, px of 256", "2D error, px", "Objective", "Status", "Verdict"),
    *("Focal length, px", "From camera, m", "Body model"),
)
_OF_BODY = {name: f"2D error of the body{name.removeprefix('2D error')}" for name in _ROWS[:2]}
"""What is compared where one fit is of a whole person and the other of a body."""
_BETWEEN = ("Mean distance", "Largest distance", "Mean of joints")
_VERDICTS = ("–", "✓ accepted", "✕ rejected", "? unsure")
_WITHOUT_MESHES = "The body models differ: measured on 14 joints, without colours."


class ComparisonPanel(QWidget):
    """The lower right of the window while two runs are compared."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._pair: SideBySide | None = None
        self._titles = {side: QLabel() for side in Side}
        self.values = {(name, side): QLabel("–") for name in _ROWS for side in Side}
        self._names = {name: _quiet(name) for name in _ROWS}
        self.between = {name: QLabel("–") for name in _BETWEEN}
        self._note = QLabel()
        self._place()
        session.verdicts_changed.connect(self.refresh)
        session.comparison.disagreement_changed.connect(self.refresh)

    def show_pair(self, pair: SideBySide | None) -> None:
        """The two fits as they were posed; None where they were not yet."""
        self._pair = pair
        self.refresh()

    def refresh(self) -> None:
        """Shows the numbers of the current person."""
        session, right = self._session, self._session.comparison.right
        if session.shelf is None or right is None or session.row < 0:
            return
        alike = session.shelf.part == right.part
        for name, of_body in _OF_BODY.items():
            self._names[name].setText(name if alike else of_body)
        sides = ((Side.LEFT, session.shelf, session.fit), (Side.RIGHT, right, session.right_fit))
        for side, shelf, fit in sides:
            self._titles[side].setText(_title(side, shelf))
            self._titles[side].setToolTip(run_title(shelf))
            texts = dict.fromkeys(_ROWS, "–") | _texts(shelf, session.row, fit, alike=alike)
            for name in _ROWS:
                self.values[name, side].setText(texts[name])
        self._show_between()

    def _show_between(self) -> None:
        comparison, row = self._session.comparison, self._session.row
        apart = self._pair.distance if self._pair is not None else None
        known = comparison.disagreement
        joints = float(known[row]) if known is not None else float("nan")
        self.between["Mean distance"].setText(_mm(apart.mean if apart is not None else float("nan")))
        self.between["Largest distance"].setText(_mm(apart.max if apart is not None else float("nan")))
        self.between["Mean of joints"].setText(_mm(joints))
        if apart is None:
            self._note.setText("There are not two fits to compare.")
        else:
            how = comparison.aligned
            aligned = f"Crop frame, {how}, {len(apart.mm):,} vertices."
            self._note.setText(aligned if apart.per_vertex else f"{_WITHOUT_MESHES} Crop frame, {how}.")

    def _place(self) -> None:
        grid = QGridLayout()
        grid.setVerticalSpacing(4)
        grid.setHorizontalSpacing(12)
        grid.setColumnStretch(0, 1)
        for column, side in ((1, Side.LEFT), (2, Side.RIGHT)):
            grid.addWidget(_value(self._titles[side], bold=True), 0, column)
            grid.setColumnStretch(column, 1)
        for line, name in enumerate(_ROWS, 1):
            grid.addWidget(self._names[name], line, 0)
            for column, side in ((1, Side.LEFT), (2, Side.RIGHT)):
                grid.addWidget(_value(self.values[name, side]), line, column)
        below = QGridLayout()
        below.setVerticalSpacing(4)
        below.setColumnStretch(1, 1)
        for line, (name, label) in enumerate(self.between.items()):
            below.addWidget(_quiet(name), line, 0)
            below.addWidget(_value(label), line, 1)
        heading = QLabel("Between the two")
        heading.setProperty("role", "heading")
        self._note.setProperty("role", "quiet")
        self._note.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.UNIT, theme.UNIT, theme.UNIT)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(grid)
        layout.addWidget(heading)
        layout.addLayout(below)
        layout.addWidget(self._note)
        layout.addStretch(1)


def _texts(shelf: Shelf, row: int, fit: Fit | None, *, alike: bool) -> dict[str, str]:
    if fit is None or shelf.fits is None:
        return {"Status": "no fit"}
    crop, image = (shelf.errors if alike else shelf.body_errors)[:, row]
    unknown = "–" if np.isnan(shelf.errors[0, row]) else "not measured"  # in runs of before it was
    header = shelf.fits.header
    objective = next((value for name, value in fit.extra.items() if name.endswith(".objective")), None)
    texts = {
        "2D error, px of 256": unknown if np.isnan(crop) else f"{crop:,.1f}",
        "2D error, px": unknown if np.isnan(image) else f"{image:,.1f}",
        "Status": "ok" if not fit.reason else f"failed: {fit.reason}",
        "Verdict": _VERDICTS[shelf.verdicts[row]],
        "Body model": header.family,
    }
    if not fit.reason:
        texts["Focal length, px"] = f"{fit.focal[0]:,.0f}"
        texts["From camera, m"] = f"{fit.transl[2]:,.2f}"
        texts["Objective"] = f"{objective:,.1f}" if isinstance(objective, float | int) else "–"
    return texts


def _title(side: Side, shelf: Shelf) -> str:
    """The side, with its run's colour."""
    color = theme.run_color(shelf.info.annotator, run_title(shelf)).name() if shelf.info is not None else ""
    return f'<span style="color:{color}">●</span> {side.value.capitalize()}'


def _mm(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:,.1f} mm"


def _quiet(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "quiet")
    return label


def _value(label: QLabel, *, bold: bool = False) -> QLabel:
    """A number of fixed-width digits at the right; a long reason moves nothing."""
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setWordWrap(not bold)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    font = label.font()
    font.setFeature(QFont.Tag("tnum"), 1)
    font.setBold(bold)
    label.setFont(font)
    return label
