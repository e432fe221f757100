"""The same bodies from any side: an orbiting pinhole camera, a ground grid at the feet, linked panes.

Rendered off-screen by the overlay's own renderer and painted into a plain widget (docs/decisions says why), so it runs on
any platform plugin and does not turn the window to GL composition. Half resolution while dragging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from viewers.overlay_view import rgba_pixmap
from viewers.renderer import MeshRenderer
from viewers.scene import Intrinsics, SceneMesh

_FRONT, _SIDE, _TOP, _HOME = (0.0, 0.0), (-90.0, 0.0), (0.0, 89.0), (-35.0, 14.0)
_DEGREES_PER_PX = 0.4
_DISTANCE = 3.4
_SETTLE_MS, _REFINE_MS = 120, 90
_GRID_STEP, _GRID_HALF = 0.25, 1.25


@dataclass(frozen=True)
class OrbitCamera:
    """Where the bodies are seen from: turns about the vertical and the horizontal axis in degrees, and a zoom factor."""

    azimuth: float = _HOME[0]
    elevation: float = _HOME[1]
    zoom: float = 1.0

    def turn(self) -> np.ndarray:
        """`(3, 3)`: view space from the body's frame (x right, y down, z away)."""
        a, e = np.deg2rad([self.azimuth, self.elevation])
        about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(e), -np.sin(e)], [0, np.sin(e), np.cos(e)]])
        return about_x @ about_y


class OrbitView(QWidget):
    """N panes side by side, each with the meshes of one run, seen by one camera.

    Signals:
        painted: the current meshes are on the screen.
    """

    painted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(160, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("3D view")
        self._panes: list[SceneMesh | str] = []
        self._titles: tuple[str, ...] = ()
        self._shared = False
        self._camera = OrbitCamera()
        self._pictures: list[QPixmap | None] = []
        self._renderer: MeshRenderer | None = None
        self._grabbed: QPointF | None = None
        self._announced, self._fine = True, False
        self._message = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._render)

    def set_panes(
        self,
        panes: Sequence[SceneMesh | str],
        message: str = "",
        *,
        titles: Sequence[str] = (),
        together: bool = False,
    ) -> None:
        """Shows one mesh per pane, or the sentence that says why there is none.

        Args:
            message: what is said where there is no pane.
            titles: of the panes, from left to right.
            together: the panes share one frame, so that a place in one is the same place in the other; else each mesh
                is centred at the middle of its own extent.
        """
        self._panes = _together(panes) if together else [_centred(pane) for pane in panes]
        self._message, self._titles, self._shared = message, tuple(titles), together
        self._announced = False
        self._soon(0)

    @property
    def camera(self) -> OrbitCamera:
        """Where the bodies are seen from."""
        return self._camera

    @property
    def settled(self) -> bool:
        """Whether the current meshes are on the screen."""
        return not self._timer.isActive() and (self._announced or not self._panes)

    def front(self) -> None:
        """As the photo's camera sees it."""
        self._look(*_FRONT)

    def side(self) -> None:
        """From the person's left, if he faces the camera."""
        self._look(*_SIDE)

    def top(self) -> None:
        """From above."""
        self._look(*_TOP)

    def home(self) -> None:
        """The view that a new person is shown in."""
        self._look(*_HOME)

    def close_renderer(self) -> None:
        """Frees the off-screen window; call before the widget goes."""
        self._timer.stop()
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _soon(self, milliseconds: int) -> None:
        """A quick picture, soon; a smooth one follows."""
        self._fine = False
        self._timer.start(milliseconds)

    def _look(self, azimuth: float, elevation: float) -> None:
        self._camera = OrbitCamera(azimuth, elevation, 1.0)
        self._soon(0)

    # -- Qt --------------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._grabbed = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._grabbed is None:
            return
        moved = event.position() - self._grabbed
        self._grabbed = event.position()
        elevation = float(np.clip(self._camera.elevation + moved.y() * _DEGREES_PER_PX, -89, 89))
        self._camera = OrbitCamera(self._camera.azimuth - moved.x() * _DEGREES_PER_PX, elevation, self._camera.zoom)
        self._soon(0)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._grabbed = None
        self._soon(0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        zoom = float(np.clip(self._camera.zoom * 1.15 ** (event.angleDelta().y() / 120), 0.3, 8))
        self._camera = OrbitCamera(self._camera.azimuth, self._camera.elevation, zoom)
        self._soon(0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._soon(_SETTLE_MS)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), self.palette().base())
        if not self._panes:
            self._paint_words(painter, self._message, QRectF(self.rect()))
            return
        width = self.width() / len(self._panes)
        for number, pane in enumerate(self._panes):
            area = QRectF(number * width, 0, width, self.height())
            if isinstance(pane, str):
                self._paint_words(painter, pane, area)
            else:
                self._paint_ground(painter, self._floor(pane), area)
                picture = self._pictures[number] if number < len(self._pictures) else None
                if picture is not None:
                    painter.drawPixmap(area, picture, QRectF(picture.rect()))
            if number < len(self._titles):
                self._paint_title(painter, self._titles[number], area)
            if number:
                painter.setPen(QPen(self.palette().window().color(), 2.0))
                painter.drawLine(area.topLeft(), area.bottomLeft())
        if not self._announced and len(self._pictures) == len(self._panes):
            self._announced = True
            QTimer.singleShot(0, self, self.painted.emit)  # not if the view is gone by then

    # -- drawing ---------------------------------------------------------------------------------------------------------

    def _render(self) -> None:
        if any(isinstance(pane, SceneMesh) for pane in self._panes) and self._renderer is None:
            self._renderer = MeshRenderer()
        scale = self.devicePixelRatioF() * (0.5 if self._grabbed is not None else 1.0)
        width, height = self.width() / max(len(self._panes), 1), self.height()
        size = (max(round(width * scale), 16), max(round(height * scale), 16))
        pictures: list[QPixmap | None] = []
        for mesh in self._panes:
            if isinstance(mesh, str):
                pictures.append(None)
                continue
            assert self._renderer is not None
            intrinsics = self._intrinsics(width, height)
            seen = SceneMesh(
                self._seen(mesh.vertices).astype(np.float32), mesh.faces, intrinsics, mesh.color, mesh.vertex_colors
            )
            region = (0.0, 0.0, width, height)
            pictures.append(rgba_pixmap(self._renderer.render([seen], region=region, size=size, fine=self._fine)))
        self._pictures = pictures
        if not self._fine and self._grabbed is None and self._panes:
            self._fine = True
            self._timer.start(_REFINE_MS)
        self.update()

    def _seen(self, points: np.ndarray) -> np.ndarray:
        return points @ self._camera.turn().T + [0, 0, _DISTANCE]

    def _intrinsics(self, width: float, height: float) -> Intrinsics:
        focal = 1.35 * min(1.4 * width, height) * self._camera.zoom  # people are taller than wide
        return Intrinsics(focal, focal, width / 2 - 0.5, height / 2 - 0.5)

    def _floor(self, mesh: SceneMesh) -> float:
        """Height of the ground, y down: at the lowest feet where the panes share a frame, else at the mesh's own."""
        stand = [pane for pane in self._panes if isinstance(pane, SceneMesh)] if self._shared else [mesh]
        return max(float(pane.vertices[:, 1].max()) for pane in stand)

    def _paint_words(self, painter: QPainter, sentence: str, area: QRectF) -> None:
        painter.setPen(self.palette().placeholderText().color())
        words = int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        painter.drawText(area.adjusted(12, 24, -12, -24), words, sentence)

    def _paint_title(self, painter: QPainter, title: str, area: QRectF) -> None:
        painter.setPen(self.palette().text().color())
        room = area.adjusted(12, 8, -12, 0)
        words = painter.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, int(room.width()))
        painter.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop), words)

    def _paint_ground(self, painter: QPainter, floor: float, area: QRectF) -> None:
        color = QColor(self.palette().mid().color())
        painter.setPen(QPen(color, 1.0))
        painter.save()
        painter.setClipRect(area)
        k = self._intrinsics(area.width(), area.height())
        ticks = np.arange(-_GRID_HALF, _GRID_HALF + 1e-6, _GRID_STEP)
        for tick in ticks:
            for line in ([[tick, -_GRID_HALF], [tick, _GRID_HALF]], [[-_GRID_HALF, tick], [_GRID_HALF, tick]]):
                ends = self._seen(np.array([[x, floor, z] for x, z in line]))
                if (ends[:, 2] > 0.1).all():
                    u = k.fx * ends[:, 0] / ends[:, 2] + k.cx + 0.5 + area.x()
                    v = k.fy * ends[:, 1] / ends[:, 2] + k.cy + 0.5
                    painter.drawLine(QPointF(u[0], v[0]), QPointF(u[1], v[1]))
        painter.restore()


def _centred(pane: SceneMesh | str) -> SceneMesh | str:
    return pane if isinstance(pane, str) else replace(pane, vertices=pane.vertices - _middle([pane]))


def _together(panes: Sequence[SceneMesh | str]) -> list[SceneMesh | str]:
    """Moved as one, so that the middle of all of them is in the middle."""
    meshes = [pane for pane in panes if isinstance(pane, SceneMesh)]
    if not meshes:
        return list(panes)
    middle = _middle(meshes)
    return [pane if isinstance(pane, str) else replace(pane, vertices=pane.vertices - middle) for pane in panes]


def _middle(meshes: Sequence[SceneMesh]) -> np.ndarray:
    low = np.min([mesh.vertices.min(axis=0) for mesh in meshes], axis=0)
    high = np.max([mesh.vertices.max(axis=0) for mesh in meshes], axis=0)
    return (low + high) / 2
