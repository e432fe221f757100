"""The runs above the photo: the one that is shown, and beside it the one that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from annotator.annotators import LEARNS
from annotator.runs import Run
from app import theme
from app.catalogue import refined
from app.comparison import Side
from app.panels.action_button import ActionButton
from app.session import Session
from app.shelf import Shelf

_ARMED = "A, R and U judge this fit"
_UNARMED = "Judge this fit with A, R and U (W)"


class RunBar(QWidget):
    """A selector for each side; the mark beside it tells whose fit A, R and U judge."""

    def __init__(self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.runs = {side: QComboBox() for side in Side}
        self.marks = {side: QToolButton() for side in Side}
        self._swap = ActionButton("⇄", actions["swap_runs"], flat=True)
        self._place()
        for signal in (session.shelf_changed, session.comparison.changed, session.comparison.look_changed):
            signal.connect(self.refresh)
        session.preferences_changed.connect(self.refresh)
        self.runs[Side.LEFT].activated.connect(lambda _i: session.show_run(self.runs[Side.LEFT].currentData()))
        self.runs[Side.RIGHT].activated.connect(lambda _i: session.show_right(self.runs[Side.RIGHT].currentData()))
        self.refresh()

    def refresh(self) -> None:
        """Shows which runs there are and which are chosen."""
        session, comparison = self._session, self._session.comparison
        known = [(run, run.info.annotator, run.info.round) for run in session.runs()]
        for side, shelf in ((Side.LEFT, session.shelf), (Side.RIGHT, comparison.right)):
            self._fill(self.runs[side], known, shelf, short=comparison.on)
            self.marks[side].setVisible(comparison.on)
            self.marks[side].setChecked(comparison.armed is side)
            self.marks[side].setToolTip(_ARMED if comparison.armed is side else _UNARMED)
            look = theme.current()
            self.marks[side].setStyleSheet(
                "QToolButton { padding: 4px 6px; }"
                f"QToolButton:checked {{ background: {look.accent}; color: {look.on_accent}; border-color: {look.accent}; }}"
            )
        self.runs[Side.RIGHT].setVisible(comparison.on)
        self._swap.setVisible(comparison.on)
        self.runs[Side.LEFT].setMinimumWidth(112 if comparison.on else 220)

    @staticmethod
    def _fill(box: QComboBox, known: list[tuple[Run, str, int]], shelf: Shelf | None, *, short: bool) -> None:
        box.clear()
        for run, annotator, number in known:
            of = run.info.samples[0] if refined(run) else f"round {number}" if annotator == LEARNS else ""
            words = run.id if short else f"{annotator}  {of}   {run.id}" if of else f"{annotator}   {run.id}"
            box.addItem(theme.dot(theme.run_color(annotator, run.id)), words, run.id)
        box.setEnabled(bool(known))
        if shelf is not None and shelf.run is not None:
            box.setCurrentIndex(box.findData(shelf.run.id))
        elif not known:
            box.addItem("No fits yet")

    def _place(self) -> None:
        for side, box in self.runs.items():
            box.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            box.setAccessibleName("Run" if side is Side.LEFT else "Run on the right")
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
            box.setMaximumWidth(360)
            mark = self.marks[side]
            mark.setText("A R U")
            mark.setCheckable(True)
            mark.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            mark.clicked.connect(lambda _on, side=side: self._session.comparison.arm(side))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.UNIT)
        layout.addWidget(self.runs[Side.LEFT], 1)
        layout.addWidget(self.marks[Side.LEFT])
        layout.addWidget(self._swap)
        layout.addWidget(self.runs[Side.RIGHT], 1)
        layout.addWidget(self.marks[Side.RIGHT])
        layout.addStretch(0)
