"""The verdict bar: accept, reject, unsure and the reasons, at a fixed place."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from annotator.verdict import REASONS, Verdict
from app import theme
from app.panels.action_button import ActionButton
from app.session import Session

_WORDS = {Verdict.ACCEPT: ("✓", "Accepted"), Verdict.REJECT: ("✕", "Rejected"), Verdict.UNSURE: ("?", "Unsure")}


class ReviewBar(QWidget):
    """Buttons for what the keys do; each shows its key."""

    def __init__(self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._verdicts = {
            Verdict.ACCEPT: ActionButton("Accept", actions["accept"]),
            Verdict.REJECT: ActionButton("Reject", actions["reject"]),
            Verdict.UNSURE: ActionButton("Unsure", actions["unsure"]),
        }
        self._reasons = {reason.id: ActionButton(reason.title, actions[f"reason_{reason.digit}"]) for reason in REASONS}
        self._state = QLabel()
        self._undo = ActionButton("Undo", actions["undo"], flat=True)
        self._grid, self._columns = QGridLayout(), 0
        self._place()
        session.current_changed.connect(self.refresh)
        session.verdicts_changed.connect(self.refresh)
        session.shelf_changed.connect(self.refresh)
        session.rows_changed.connect(self.refresh)
        session.comparison.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Shows the verdict in force and the armed reasons."""
        session, look = self._session, theme.current()
        no_fit = session.nothing_to_judge
        judgement = session.judgement
        colors = {Verdict.ACCEPT: look.accept, Verdict.REJECT: look.reject, Verdict.UNSURE: look.unsure}
        for verdict, button in self._verdicts.items():
            button.allow(no_fit)
            chosen = judgement is not None and judgement.verdict is verdict
            style = f"QPushButton {{ background: {colors[verdict]}; color: {look.surface}; font-weight: 600; }}"
            button.setStyleSheet(style if chosen else "")
        for reason, button in self._reasons.items():
            button.allow(no_fit)
            button.setChecked(reason in session.armed)
        if judgement is None:
            armed = len(session.armed)
            self._state.setText(f"{armed} reason{'s' * (armed != 1)} armed" if armed else "")
        else:
            glyph, word = _WORDS[judgement.verdict]
            self._state.setText(f"{glyph} {word} by {judgement.reviewer or 'somebody'}")

    def _place(self) -> None:
        self._state.setProperty("role", "quiet")
        self._state.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        upper = QHBoxLayout()
        for button in self._verdicts.values():
            button.setMinimumSize(112, 36)
            upper.addWidget(button)
        upper.addWidget(self._undo)
        upper.addWidget(self._state, 1)
        for button in self._reasons.values():
            button.setCheckable(True)
            button.setMinimumHeight(30)
            button.setStyleSheet("QPushButton { padding: 4px 6px; }")
        self._grid.setSpacing(4)
        self._spread()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.UNIT, 0, theme.UNIT, theme.UNIT)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(upper)
        layout.addLayout(self._grid)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._spread()

    def _spread(self) -> None:
        """The reasons in one row where their words fit, else in two."""
        buttons = list(self._reasons.values())
        need = sum(button.sizeHint().width() + self._grid.spacing() for button in buttons)
        columns = len(buttons) if need <= self.width() - 2 * theme.UNIT else -(-len(buttons) // 2)
        if columns == self._columns:
            return
        self._columns = columns
        for place, button in enumerate(buttons):
            self._grid.addWidget(button, *divmod(place, columns))
        for column in range(len(buttons)):
            self._grid.setColumnStretch(column, int(column < columns))
