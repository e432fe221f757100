"""The verdict bar: accept, reject, unsure and the reasons, at a fixed place."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from annotator.verdict import REASONS, Verdict
from app import theme
from app.session import Session

_WORDS = {Verdict.ACCEPT: ("✓", "Accepted"), Verdict.REJECT: ("✕", "Rejected"), Verdict.UNSURE: ("?", "Unsure")}


class ReviewBar(QWidget):
    """Buttons for what the keys do; each shows its key."""

    def __init__(self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._actions: dict[QPushButton, QAction] = {}
        self._verdicts = {
            Verdict.ACCEPT: self._button("A  Accept", actions["accept"]),
            Verdict.REJECT: self._button("R  Reject", actions["reject"]),
            Verdict.UNSURE: self._button("U  Unsure", actions["unsure"]),
        }
        self._reasons = {
            reason.id: self._button(f"{reason.digit}  {reason.title}", actions[f"reason_{reason.digit}"])
            for reason in REASONS
        }
        self._state = QLabel()
        undo = self._button(f"{actions['undo'].shortcut().toString()}  Undo", actions["undo"])
        undo.setProperty("flat", True)
        self._undo = undo
        self._place()
        session.current_changed.connect(self.refresh)
        session.verdicts_changed.connect(self.refresh)
        session.shelf_changed.connect(self.refresh)
        session.comparison.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Shows the verdict in force and the armed reasons."""
        session, look = self._session, theme.current()
        no_fit = "" if session.fit_key is not None else "This person has no fit to judge in the run that is shown."
        judgement = session.judgement
        colors = {Verdict.ACCEPT: look.accept, Verdict.REJECT: look.reject, Verdict.UNSURE: look.unsure}
        for verdict, button in self._verdicts.items():
            self._follow(button, no_fit)
            chosen = judgement is not None and judgement.verdict is verdict
            style = f"QPushButton {{ background: {colors[verdict]}; color: {look.surface}; font-weight: 600; }}"
            button.setStyleSheet(style if chosen else "")
        for reason, button in self._reasons.items():
            self._follow(button, no_fit)
            button.setChecked(reason in session.armed)
        self._follow(self._undo, "")
        if judgement is None:
            armed = len(session.armed)
            self._state.setText(f"{armed} reason{'s' * (armed != 1)} armed" if armed else "")
        else:
            glyph, word = _WORDS[judgement.verdict]
            self._state.setText(f"{glyph} {word} by {judgement.reviewer or 'somebody'}")

    def _button(self, text: str, action: QAction) -> QPushButton:
        button = QPushButton(text)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(action.trigger)
        self._actions[button] = action
        return button

    def _follow(self, button: QPushButton, no_fit: str) -> None:
        """A button is on while its action is and there is something to judge; its tooltip says what lacks."""
        action = self._actions[button]
        button.setEnabled(action.isEnabled() and not no_fit)
        button.setToolTip(f"{action.toolTip()}\n{no_fit}" if no_fit and action.isEnabled() else action.toolTip())

    def _place(self) -> None:
        self._state.setProperty("role", "quiet")
        self._state.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        upper, lower = QHBoxLayout(), QHBoxLayout()
        for button in self._verdicts.values():
            button.setMinimumSize(112, 36)
            upper.addWidget(button)
        upper.addWidget(self._undo)
        upper.addWidget(self._state, 1)
        for button in self._reasons.values():
            button.setCheckable(True)
            button.setMinimumHeight(30)
            button.setStyleSheet("QPushButton { padding: 4px 6px; }")
            lower.addWidget(button, 1)
        lower.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.UNIT, 0, theme.UNIT, theme.UNIT)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(upper)
        layout.addLayout(lower)
