"""The photo with the projected mesh: run selector above, opacity and keypoints below."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from app import theme
from app.scenes import Bodies, Photos, fit_mesh, photo_scene
from app.session import Session
from viewers.overlay_view import OverlayView, zoom_text
from viewers.scene import SceneMesh


class PhotoPanel(QWidget):
    """The middle of the window."""

    def __init__(self, session: Session, photos: Photos, bodies: Bodies, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._photos, self._bodies = session, photos, bodies
        self.view = OverlayView()
        self._runs, self._where, self._zoom = QComboBox(), QLabel(), QLabel()
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._keypoints = QToolButton()
        self._place()
        session.shelf_changed.connect(self._show_runs)
        session.current_changed.connect(self.show_person)
        session.preferences_changed.connect(self._show_preferences)
        self.view.zoomed.connect(lambda zoom: self._zoom.setText(zoom_text(zoom)))
        self._opacity.valueChanged.connect(self._set_opacity)
        self._runs.activated.connect(lambda _i: session.show_run(self._runs.currentData()))
        self._show_preferences()

    def use_keypoint_action(self, action: QAction) -> None:
        """The button that shows and sets the action's state."""
        self._keypoints.setDefaultAction(action)
        self._keypoints.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)

    def _place(self) -> None:
        self._runs.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._runs.setMinimumWidth(220)
        self._runs.setAccessibleName("Run")
        self._where.setProperty("role", "quiet")
        self._zoom.setProperty("role", "quiet")
        self._zoom.setMinimumWidth(64)
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._opacity.setRange(0, 100)
        self._opacity.setFixedWidth(136)
        self._opacity.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._opacity.setAccessibleName("Opacity of the mesh")
        self._keypoints.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        top = QHBoxLayout()
        top.addWidget(self._runs)
        top.addWidget(self._where, 1)
        bottom = QHBoxLayout()
        quiet = QLabel("Mesh")
        quiet.setProperty("role", "quiet")
        for widget in (quiet, self._opacity, self._keypoints):
            bottom.addWidget(widget)
        bottom.addStretch(1)
        bottom.addWidget(self._zoom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.UNIT, theme.UNIT, theme.UNIT, 0)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(top)
        layout.addWidget(self.view, 1)
        layout.addLayout(bottom)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def show_person(self) -> None:
        """The current person: photo and keypoints at once, the mesh as soon as it is drawn."""
        session = self._session
        if session.project is None or session.shelf is None or session.sample is None:
            return
        scene = photo_scene(session.project, session.shelf, session.row, self._photos)
        mesh = self._mesh()
        self.view.set_scene(replace(scene, meshes=(mesh,) if isinstance(mesh, SceneMesh) else ()))
        self._tell(mesh)
        sample = session.sample
        self._where.setText(f"{sample.image}   {sample.width} × {sample.height}")
        self._read_ahead()

    def show_mesh(self) -> None:
        """The mesh again: the body model has come, or another fit."""
        mesh = self._mesh()
        self.view.set_meshes((mesh,) if isinstance(mesh, SceneMesh) else ())
        self._tell(mesh)

    def _mesh(self) -> SceneMesh | str:
        return fit_mesh(self._session.shelf, self._session.fit, self._bodies)

    def _tell(self, mesh: SceneMesh | str) -> None:
        self.view.set_note(mesh if isinstance(mesh, str) else "")

    def _show_runs(self) -> None:
        self._runs.clear()
        shelf = self._session.shelf
        for run in self._session.runs():
            self._runs.addItem(f"{run.info.annotator}  round {run.info.round}   {run.id}", run.id)
            color = theme.annotator_color(run.info.annotator)
            self._runs.setItemData(self._runs.count() - 1, theme.dot(color), Qt.ItemDataRole.DecorationRole)
        self._runs.setEnabled(self._runs.count() > 0)
        if shelf is not None and shelf.run is not None:
            self._runs.setCurrentIndex(self._runs.findData(shelf.run.id))
        elif not self._runs.count():
            self._runs.addItem("No fits yet")

    def _read_ahead(self) -> None:
        session = self._session
        if session.project is None or session.shelf is None:
            return
        for row in session.ahead(2):
            self._photos.read_ahead(session.project.photo_path(session.shelf.sample(row)))

    def _show_preferences(self) -> None:
        preferences = self._session.preferences
        self._opacity.setValue(round(100 * preferences.opacity))
        self.view.set_points_visible(preferences.keypoints)

    def _set_opacity(self, percent: int) -> None:
        self.view.set_opacity(percent / 100)
        self._session.preferences = replace(self._session.preferences, opacity=percent / 100)
