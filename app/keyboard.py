"""Keys that are no shortcuts: Space hides the mesh while it is held, and text fields keep the keys that they need."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit


class Keyboard(QObject):
    """Sees every key of the application first.

    Args:
        hold: called with True when Space goes down and with False when it comes up.
    """

    def __init__(self, hold: Callable[[bool], None], parent: QObject) -> None:
        super().__init__(parent)
        self._hold = hold
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)

    def close(self) -> None:
        """Lets go of the keys."""
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not isinstance(event, QKeyEvent):
            return super().eventFilter(watched, event)
        in_text = isinstance(QApplication.focusWidget(), QLineEdit | QPlainTextEdit)
        if event.type() == QEvent.Type.ShortcutOverride and event.key() == Qt.Key.Key_Tab and in_text:
            event.accept()  # text fields claim every other key of ours themselves
            return True
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if event.type() in kinds and event.key() == Qt.Key.Key_Space:
            typing = in_text or QApplication.activeModalWidget() is not None
            if not typing and QApplication.activePopupWidget() is None:
                if not event.isAutoRepeat():
                    self._hold(event.type() == QEvent.Type.KeyPress)
                return True
        return super().eventFilter(watched, event)
