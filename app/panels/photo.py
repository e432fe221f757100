"""The photo with the projected mesh: runs above, opacity and keypoints below; beside a second one when two are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from app import theme
from app.comparison import Side
from app.panels.action_button import ActionButton
from app.panels.run_bar import RunBar
from app.scenes import Bodies, Photos, fit_mesh, photo_scene
from app.session import Session
from app.side_by_side import run_title
from viewers.overlay_view import OverlayView, zoom_text
from viewers.scene import SceneMesh


class PhotoPanel(QWidget):
    """The middle of the window.

    Attributes:
        view: the photo with the run that is shown; with a wipe, both runs are on it.
        right_view: the same photo with the run on the right; it moves and zooms with the first.
    """

    def __init__(
        self,
        session: Session,
        photos: Photos,
        bodies: Bodies,
        actions: Mapping[str, QAction],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._photos, self._bodies = session, photos, bodies
        self.view, self.right_view = OverlayView(), OverlayView()
        self.bar = RunBar(session, actions)
        self._where, self._zoom = QLabel(), QLabel()
        self._person: tuple[Path, str] | None = None
        self._lost = ""
        self._opacity = QSlider(Qt.Orientation.Horizontal)
        self._switches = (
            ActionButton("Keypoints", actions["toggle_keypoints"]),
            ActionButton("Compare", actions["compare"]),
            ActionButton("Wipe", actions["toggle_wipe"]),
        )
        self._place()
        session.current_changed.connect(self.show_person)
        session.comparison.changed.connect(self.show_person)
        session.comparison.look_changed.connect(self._show_look)
        session.preferences_changed.connect(self._show_preferences)
        self.view.zoomed.connect(lambda zoom: self._zoom.setText(zoom_text(zoom)))
        self.view.moved.connect(lambda: self._follow(self.right_view, self.view))
        self.right_view.moved.connect(lambda: self._follow(self.view, self.right_view))
        self._opacity.valueChanged.connect(self._set_opacity)
        self._show_preferences()

    @property
    def views(self) -> tuple[OverlayView, ...]:
        """The photos that are on the screen."""
        return (self.view, self.right_view) if self._two else (self.view,)

    @property
    def settled(self) -> bool:
        """Whether all that belongs to the current person is on the screen."""
        return all(view.settled for view in self.views)

    def set_mesh_visible(self, visible: bool) -> None:
        """Hides or shows the meshes."""
        for view in (self.view, self.right_view):
            view.set_mesh_visible(visible)

    def move_wipe(self, by: float) -> None:
        """Moves the line between the two meshes by a share of the photo's width."""
        if self._session.comparison.wipe:
            self.view.move_wipe(by)

    def close_renderers(self) -> None:
        """Frees what draws; call before the widget goes."""
        for view in (self.view, self.right_view):
            view.close_renderer()

    @property
    def _two(self) -> bool:
        comparison = self._session.comparison
        return comparison.on and not comparison.wipe

    @staticmethod
    def _follow(follows: OverlayView, leads: OverlayView) -> None:
        if follows.isVisible() and leads.isVisible():  # a hidden one is fitted anew when it is resized
            follows.follow(leads)

    def _place(self) -> None:
        self._where.setProperty("role", "quiet")
        self._zoom.setProperty("role", "quiet")
        self._zoom.setMinimumWidth(64)
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._opacity.setRange(0, 100)
        self._opacity.setFixedWidth(136)
        self._opacity.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._opacity.setAccessibleName("Opacity of the mesh")
        self.right_view.setAccessibleName("Photo with the mesh of the run on the right")
        self.right_view.hide()
        top = QHBoxLayout()
        top.addWidget(self.bar, 2)
        top.addWidget(self._where, 1)
        bottom = QHBoxLayout()
        quiet = QLabel("Mesh")
        quiet.setProperty("role", "quiet")
        for widget in (quiet, self._opacity, *self._switches):
            bottom.addWidget(widget)
        bottom.addStretch(1)
        bottom.addWidget(self._zoom)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.UNIT, theme.UNIT, theme.UNIT, 0)
        layout.setSpacing(theme.UNIT)
        layout.addLayout(top)
        photos = QHBoxLayout()
        photos.setSpacing(theme.UNIT)
        photos.addWidget(self.view, 1)
        photos.addWidget(self.right_view, 1)
        layout.addLayout(photos, 1)
        layout.addLayout(bottom)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def show_person(self) -> None:
        """The current person: photo and keypoints at once, the mesh as soon as it is drawn.

        Zoom and place stay where he is shown already, in another run.
        """
        session = self._session
        if session.project is None or session.shelf is None or session.sample is None:
            return
        scene = photo_scene(session.project, session.shelf, session.row, self._photos)
        person = session.project.path, session.sample.key
        again, self._person, self._lost = person == self._person, person, scene.message
        self._show_look()
        meshes = self._meshes()
        for view, side in zip(self.views, Side, strict=False):
            view.set_scene(replace(scene, meshes=meshes[side]), keep_view=again)
        self._tell()
        sample = session.sample
        self._where.setText(f"{sample.image}   {sample.width} × {sample.height}")
        self._where.setToolTip(self._where.text())
        self._where.setVisible(not session.comparison.on)
        self._read_ahead()

    def show_mesh(self) -> None:
        """The meshes again: a body model has come, or another fit."""
        meshes = self._meshes()
        for view, side in zip(self.views, Side, strict=False):
            view.set_meshes(meshes[side])
        self._show_look()

    def _show_look(self) -> None:
        """Two photos, or one with a wipe, or one; the second begins with what the first shows."""
        comparison, opened = self._session.comparison, self._two and self.right_view.isHidden()
        self.right_view.setVisible(self._two)
        if opened and self._session.project is not None and self._session.shelf is not None and self._session.row >= 0:
            scene = photo_scene(self._session.project, self._session.shelf, self._session.row, self._photos)
            self.right_view.set_scene(replace(scene, meshes=self._meshes()[Side.RIGHT]))
            self.right_view.follow(self.view)
        titles = run_title(self._session.shelf), run_title(comparison.right)
        self.view.set_wipe(self._meshes()[Side.RIGHT] if comparison.wipe else None, titles)
        self._tell()

    def _meshes(self) -> dict[Side, tuple[SceneMesh, ...]]:
        return {side: (mesh,) if isinstance(mesh, SceneMesh) else () for side, mesh in self._found().items()}

    def _found(self) -> dict[Side, SceneMesh | str]:
        session, right = self._session, self._session.comparison.right
        return {
            Side.LEFT: fit_mesh(session.shelf, session.fit, self._bodies),
            Side.RIGHT: fit_mesh(right, session.right_fit, self._bodies),
        }

    def _tell(self) -> None:
        """Why there is no mesh, over the photo that lacks it; who is not seen is not judged."""
        found = self._found()
        words = {side: mesh if isinstance(mesh, str) else "" for side, mesh in found.items()}
        self._session.see({side: self._lost or lack for side, lack in words.items()})
        if self._session.comparison.wipe:
            named = (
                (run_title(self._session.shelf), Side.LEFT),
                (run_title(self._session.comparison.right), Side.RIGHT),
            )
            self.view.set_note("\n".join(f"{title}: {words[side]}" for title, side in named if words[side]))
            return
        for view, side in zip(self.views, Side, strict=False):
            view.set_note("" if self._lost else words[side])  # without a photo that is said, and it is the reason

    def _read_ahead(self) -> None:
        session = self._session
        if session.project is None or session.shelf is None:
            return
        for row in session.ahead(2):
            self._photos.read_ahead(session.project.photo_path(session.shelf.sample(row)))

    def _show_preferences(self) -> None:
        preferences = self._session.preferences
        self._opacity.setValue(round(100 * preferences.opacity))
        for view in (self.view, self.right_view):
            view.set_points_visible(preferences.keypoints)

    def _set_opacity(self, percent: int) -> None:
        for view in (self.view, self.right_view):
            view.set_opacity(percent / 100)
        self._session.preferences = replace(self._session.preferences, opacity=percent / 100)
