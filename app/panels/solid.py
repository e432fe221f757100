"""The 3D view of the current fit with its view buttons; of two that are compared, side by side with a scale of distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from app import theme
from app.comparison import Comparison
from app.panels.action_button import ActionButton
from app.side_by_side import SideBySide
from viewers.distance_colors import ScaleBar
from viewers.orbit_view import OrbitView
from viewers.scene import SceneMesh

_SCALE = "Distance of the two fits, {}"


class SolidPanel(QWidget):
    """The upper right of the window."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view, self.scale = OrbitView(), ScaleBar()
        self.scale.hide()
        self.scale.clicked.connect(actions["next_range"].trigger)
        self.scale.setToolTip("Click for another scale")
        self._colored = ActionButton("Distance", actions["toggle_distance"], flat=True)
        self._colored.hide()
        title = QLabel("3D")
        title.setProperty("role", "heading")
        row = QHBoxLayout()
        row.addWidget(title)
        row.addStretch(1)
        row.addWidget(self._colored)
        for name in ("view_front", "view_side", "view_top"):
            row.addWidget(ActionButton("", actions[name], flat=True))
        self._home = ActionButton("", actions["view_home"], flat=True)
        row.addWidget(self._home)
        row.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.UNIT, theme.UNIT, 0)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.scale)

    def show_meshes(self, meshes: Sequence[SceneMesh], message: str) -> None:
        """Shows the fit, or says why there is none."""
        self._colored.hide()
        self.scale.hide()
        self.view.set_panes(meshes, message)

    def show_pair(self, pair: SideBySide, comparison: Comparison, titles: tuple[str, str]) -> None:
        """Shows two fits, coloured by their distance if that is wanted and can be."""
        colored = comparison.colored and pair.can_be_colored
        self._colored.setVisible(True)
        self.scale.setVisible(colored)
        self.scale.show_scale(comparison.range_mm, "mm", _SCALE.format(comparison.aligned))
        self.view.set_panes(pair.panes, titles=titles, together=True)

    def dress(self) -> None:
        """Icons in the theme's colours."""
        self._home.setIcon(theme.icon("house"))
