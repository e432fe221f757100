"""The 3D view of the current fit with its view buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from app import theme
from viewers.orbit_view import OrbitView
from viewers.scene import SceneMesh

_BUTTONS = (("F", "view_front"), ("S", "view_side"), ("T", "view_top"))


class SolidPanel(QWidget):
    """The upper right of the window."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = OrbitView()
        title = QLabel("3D")
        title.setProperty("role", "heading")
        row = QHBoxLayout()
        row.addWidget(title)
        row.addStretch(1)
        for text, name in _BUTTONS:
            row.addWidget(self._button(actions[name], text))
        self._home = self._button(actions["view_home"], "")
        row.addWidget(self._home)
        row.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.UNIT, theme.UNIT, 0)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)

    def show_meshes(self, meshes: Sequence[SceneMesh], message: str) -> None:
        """Shows the fit, or says why there is none."""
        self.view.set_panes(meshes, message)

    def dress(self) -> None:
        """Icons in the theme's colours."""
        self._home.setIcon(theme.icon("house"))

    def _button(self, action: QAction, text: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(action.toolTip())
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.setProperty("flat", True)
        button.setMinimumWidth(30)
        button.clicked.connect(action.trigger)
        return button
