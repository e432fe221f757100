"""What is known of the current fit: errors with units, run, camera, body model, and the numbers themselves, folded."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import QGridLayout, QLabel, QPlainTextEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from annotator.annotators import LEARNS
from annotator.fit import Fit
from app import theme
from app.session import Session
from app.shelf import Shelf

_ROWS = ("2D error", "2D error in the photo", "Status", "Run", "Recipe", "Camera", "Distance", "Body model", "Box")


class DetailsPanel(QWidget):
    """The lower right of the window."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._values = {name: QLabel("–") for name in _ROWS}
        self._fold = QPushButton("Parameters")
        self._numbers = QPlainTextEdit()
        self._place()
        session.current_changed.connect(self.refresh)
        session.shelf_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Shows the current fit."""
        session = self._session
        texts: dict[str, str] = dict.fromkeys(_ROWS, "–")
        sample, fit, shelf = session.sample, session.fit, session.shelf
        if sample is not None and shelf is not None:
            texts["Box"] = f"{sample.box[2]:.0f} × {sample.box[3]:.0f} px"
            texts |= _of_run(shelf, session.row, fit)
        for name, label in self._values.items():
            label.setText(texts[name])
        self._numbers.setPlainText(_numbers(fit) if fit is not None and not self._numbers.isHidden() else "")

    def dress(self) -> None:
        """Icons in the theme's colours."""
        self._fold.setIcon(theme.icon("caret-down" if self._fold.isChecked() else "caret-right"))

    def _place(self) -> None:
        grid = QGridLayout()
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for place, (name, label) in enumerate(self._values.items()):
            title = QLabel(name)
            title.setProperty("role", "quiet")
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # a long reason moves nothing
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            font = label.font()
            font.setFeature(QFont.Tag("tnum"), 1)
            label.setFont(font)
            grid.addWidget(title, place, 0)
            grid.addWidget(label, place, 1)
        heading = QLabel("Fit")
        heading.setProperty("role", "heading")
        self._fold.setCheckable(True)
        self._fold.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._fold.setProperty("flat", True)
        self._fold.setStyleSheet("QPushButton { padding-left: 0; border-left: none; }")  # in line with the labels above
        self._fold.toggled.connect(self._unfold)
        self._numbers.setReadOnly(True)
        self._numbers.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._numbers.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._numbers.setFont(QFont("monospace", 9))
        self._numbers.setAccessibleName("Parameters of the fit")
        self._numbers.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.UNIT, theme.UNIT, theme.UNIT)
        layout.setSpacing(theme.UNIT)
        layout.addWidget(heading)
        layout.addLayout(grid)
        layout.addWidget(self._fold, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._numbers, 1)
        layout.addStretch(0)

    def _unfold(self, shown: bool) -> None:
        self._numbers.setVisible(shown)
        self.dress()
        self.refresh()


def _of_run(shelf: Shelf, row: int, fit: Fit | None) -> dict[str, str]:
    run, info = shelf.run, shelf.info
    if run is None or info is None or shelf.fits is None or fit is None:
        return {"Status": "no fit"}
    header = shelf.fits.header
    crop, image = shelf.errors[:, row]
    texts = {
        "2D error": "–" if np.isnan(crop) else f"{crop:,.1f} px of 256",
        "2D error in the photo": "–" if np.isnan(image) else f"{image:,.1f} px",
        "Status": "ok" if not fit.reason else f"failed: {fit.reason}",
        "Run": run.id,
        "Recipe": f"{info.recipe}, round {info.round}" if info.annotator == LEARNS else info.recipe,
        "Body model": f"{header.family}  {header.body_hash[:8]}",
    }
    if not fit.reason:
        texts["Camera"] = f"f {fit.focal[0]:,.0f}, {fit.focal[1]:,.0f} px"
        texts["Distance"] = f"{fit.transl[2]:,.2f} m"
    return texts


def _numbers(fit: Fit) -> str:
    lines: list[str] = []
    for name, values in {**fit.parameters, "transl": fit.transl}.items():
        lines.append(name)
        rows = (values[start : start + 6] for start in range(0, len(values), 6))
        lines.extend("  " + " ".join(f"{value:8.3f}" for value in row) for row in rows)
    return "\n".join(lines)
