"""Which of two fits is better: three buttons at a fixed place, and whose fit the verdict bar below judges."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from annotator.verdict import Preferred
from app import theme
from app.panels.action_button import ActionButton
from app.session import Session

_WORDS = {Preferred.LEFT: "Left better", Preferred.TIE: "Tie", Preferred.RIGHT: "Right better"}


class PreferenceBar(QWidget):
    """There while two runs are compared."""

    def __init__(self, session: Session, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        names = {Preferred.LEFT: "left_better", Preferred.TIE: "tie", Preferred.RIGHT: "right_better"}
        self.buttons = {value: ActionButton(_WORDS[value], actions[name]) for value, name in names.items()}
        self.state = QLabel()
        self.side = ActionButton("", actions["judge_other_side"], flat=True)
        self._place()
        for signal in (
            session.current_changed,
            session.verdicts_changed,
            session.shelf_changed,
            session.comparison.changed,
        ):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Shows the preference in force and the armed side."""
        session, comparison = self._session, self._session.comparison
        self.setVisible(comparison.on)
        if not comparison.on:
            return
        preferred = session.preference_of(session.row) if session.row >= 0 else None
        no_pair = session.nothing_to_prefer
        look = theme.current()
        for value, button in self.buttons.items():
            button.allow(no_pair)
            chosen = f"QPushButton {{ background: {look.accent}; color: {look.on_accent}; font-weight: 600; }}"
            button.setStyleSheet(chosen if preferred is value else "")
        said = self.buttons[preferred].text() if preferred is not None else ""
        self.state.setText(said if session.pair is not None else "Not two fits")
        self.side.setText(f"W  Judging {comparison.armed.value}")

    def _place(self) -> None:
        self.state.setProperty("role", "quiet")
        self.state.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # words move nothing
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.UNIT, 0, theme.UNIT, 0)
        row.setSpacing(theme.UNIT)
        for button in self.buttons.values():
            button.setMinimumSize(112, 36)
            row.addWidget(button)
        row.addWidget(self.state, 1)
        row.addWidget(self.side)
