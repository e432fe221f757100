"""A button that does what an action does: it shows the action's key, and is on, checked and explained as the action is."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QPushButton, QWidget


class ActionButton(QPushButton):
    """Follows an action; it never takes the focus from the reviewer's keys.

    Attributes:
        lack: why it is off although the action is on, as a sentence; see `allow`.
    """

    def __init__(self, words: str, action: QAction, parent: QWidget | None = None, *, flat: bool = False) -> None:
        super().__init__(parent)
        self._action = action
        self.lack = ""
        key = action.shortcut().toString()
        self.setText(f"{key}  {words}" if key and words else words or key)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setCheckable(action.isCheckable())
        self.setProperty("flat", flat)
        self.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    def allow(self, lack: str) -> None:
        """Turns it off for a reason of its own; empty turns it on again, as far as its action is on."""
        self.lack = lack
        self._follow()

    def _follow(self) -> None:
        action = self._action
        self.setEnabled(action.isEnabled() and not self.lack)
        said = f"{action.toolTip()}\n{self.lack}" if self.lack and action.isEnabled() else action.toolTip()
        self.setToolTip(said)
        if action.isCheckable():
            self.setChecked(action.isChecked())
