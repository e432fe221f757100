"""The photo with the projected mesh and the keypoints: pan, zoom, fade, flicker, and a wipe between two meshes.

The mesh is rendered opaque, off-screen, for the visible part of the person only and at the zoom's own resolution, so its
silhouette stays crisp; opacity, wipe and flicker are then free. Scene coordinates are the photo's, with the origin at its
corner: pixel (u, v) lies at (u + 0.5, v + 0.5), and `to_scene` is the only place that knows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QMouseEvent,
    QPainter,
    QPen,
    QPixmap,
    QResizeEvent,
    QTransform,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QFrame,
    QGraphicsPixmapItem,
    QGraphicsRectItem,
    QGraphicsScene,
    QGraphicsView,
    QWidget,
)

from viewers.points_item import PointsItem
from viewers.renderer import MeshRenderer, Region
from viewers.scene import Scene, SceneMesh, projected_bounds, to_scene
from viewers.wipe import ClippedPixmap, Wipe

_STEP = 1.2
_MIN_ZOOM, _MAX_ZOOM = 0.05, 32.0
_BUCKETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_DIMMED = 0.35
_RERENDER_MS = 60
_REFINE_MS = 90


def rgba_pixmap(pixels: np.ndarray) -> QPixmap:
    """`(H, W, 3 or 4)` uint8 straight RGB(A) -> a pixmap of its own."""
    height, width, channels = pixels.shape
    layout = QImage.Format.Format_RGBA8888 if channels == 4 else QImage.Format.Format_RGB888
    contiguous = np.ascontiguousarray(pixels)
    image = QImage(contiguous.data, width, height, contiguous.strides[0], layout)
    return QPixmap.fromImage(image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied))


class OverlayView(QGraphicsView):
    """Shows one `Scene`.

    Signals:
        photo_painted: the photo and keypoints of the current scene are on the screen.
        mesh_painted: so is its mesh.
        zoomed: the zoom in screen px per image px.
        moved: the photo was moved or zoomed by a person; a view that is linked follows.
        wiped: the wipe's line was moved.
    """

    photo_painted = Signal()
    mesh_painted = Signal()
    zoomed = Signal(float)
    moved = Signal()
    wiped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._leads = True
        self.wipe = Wipe()
        self._wiping, self._dragging = False, False
        self._canvas = QGraphicsScene(self)
        self.setScene(self._canvas)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Photo with projected mesh")
        self._photo = self._pixmap_item()
        self._overlay, self._beyond = self._pixmap_item(), self._pixmap_item()
        self._meshes_beyond: tuple[SceneMesh, ...] = ()
        self.viewport().setMouseTracking(True)
        self._boxes: list[QGraphicsRectItem] = []
        self._points = PointsItem()
        self._canvas.addItem(self._points)
        self._shown = Scene((1, 1))
        self._note = ""
        self._opacity, self._mesh_visible, self._fitted = 0.85, True, True
        self._renderer: MeshRenderer | None = None
        self._announced = True
        self._fine = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._render_mesh)

    # -- what is shown ---------------------------------------------------------------------------------------------------

    def set_scene(self, scene: Scene, *, keep_view: bool = False) -> None:
        """Shows a scene: photo and points at once, the mesh right after; the old mesh goes with the old photo."""
        self._shown = scene
        self._photo.setPixmap(QPixmap() if scene.photo is None else rgba_pixmap(scene.photo))
        self._canvas.setSceneRect(QRectF(0, 0, *scene.size))
        for item in self._layers:
            item.setPixmap(QPixmap())
        self._show_boxes(scene)
        self._points.show_points(scene.points, scene.size)
        if not keep_view or self._fitted:
            self.fit()
        self._announced = False
        self.viewport().repaint()  # the photo is not to wait for the mesh
        if scene.photo is not None:
            QTimer.singleShot(0, self, self.photo_painted.emit)  # not if the view is gone by then
        self._soon(0)

    def set_meshes(self, meshes: tuple[SceneMesh, ...]) -> None:
        """Exchanges the meshes of the scene; the old picture stays, dimmed, until the new one is there."""
        self._shown = replace(self._shown, meshes=meshes)
        for item in self._layers:
            item.setOpacity(self._opacity * _DIMMED)
        self._announced = False
        self._soon(0)

    def set_wipe(self, beyond: tuple[SceneMesh, ...] | None, titles: tuple[str, str] = ("", "")) -> None:
        """Other meshes right of a line that is dragged; None takes the line away."""
        if beyond is None and not self._wiping:
            return
        self._wiping, self._meshes_beyond = beyond is not None, beyond or ()
        self.wipe.titles = titles
        self._part()
        self._announced = False
        self._soon(0)

    def move_wipe(self, by: float) -> None:
        """Moves the wipe's line by a share of the view's width."""
        self.wipe.move_to(self.wipe.at + by)
        self._part()
        self.wiped.emit()

    @property
    def _layers(self) -> tuple[ClippedPixmap, ClippedPixmap]:
        return self._overlay, self._beyond

    @property
    def settled(self) -> bool:
        """Whether everything of the current scene is on the screen."""
        return self._announced and not self._timer.isActive()

    def set_note(self, sentence: str) -> None:
        """A sentence over the top of the photo, where nothing moves for it; empty for none."""
        self._note = sentence
        self.viewport().update()

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the mesh, 0 to 1."""
        self._opacity = opacity
        for item in self._layers:
            item.setOpacity(opacity)

    def set_mesh_visible(self, visible: bool) -> None:
        """Hides or shows the mesh (flicker)."""
        self._mesh_visible = visible
        for item in self._layers:
            item.setVisible(visible)

    def set_points_visible(self, visible: bool) -> None:
        """Hides or shows the keypoints."""
        self._points.setVisible(visible)

    # -- zoom ------------------------------------------------------------------------------------------------------------

    @property
    def zoom(self) -> float:
        """Screen px (logical) per image px."""
        return self.transform().m11()

    def fit(self) -> None:
        """The whole photo in the window."""
        width, height = self._shown.size
        room = self.viewport().size()
        self._fitted = True
        self._set_zoom(min(room.width() / width, room.height() / height))
        self.centerOn(width / 2, height / 2)

    def zoom_100(self) -> None:
        """One screen px per image px, at the person."""
        self.set_zoom(1.0)

    def toggle_zoom(self) -> None:
        """100 % if the photo is fitted, else fitted."""
        if self._fitted:
            self.zoom_100()
        else:
            self.fit()

    def set_zoom(self, zoom: float) -> None:
        """A zoom about the person's box, or the photo's middle."""
        self._fitted = False
        self._set_zoom(zoom)
        box = self._shown.box
        width, height = self._shown.size
        x, y = (width / 2, height / 2) if box is None else (box[0] + box[2] / 2, box[1] + box[3] / 2)
        self.centerOn(float(x), float(y))

    def follow(self, other: OverlayView) -> None:
        """Shows the same part of the photo as another view, at the same zoom."""
        self._leads = False
        self._fitted = other._fitted
        self._set_zoom(other.zoom)
        self.centerOn(other.mapToScene(other.viewport().rect().center()))
        self._leads = True

    def _set_zoom(self, zoom: float) -> None:
        zoom = min(max(zoom, _MIN_ZOOM), _MAX_ZOOM)
        self.setTransform(QTransform.fromScale(zoom, zoom))
        self.zoomed.emit(zoom)
        self._lead()
        self._soon(_RERENDER_MS)

    def _lead(self) -> None:
        """Linked views follow, and the wipe's line stays where it is on the screen."""
        self._part()
        if self._leads:
            self.moved.emit()

    def _part(self) -> None:
        """Shows of each of two meshes what lies on its side of the line."""
        visible = self.mapToScene(self.viewport().rect()).boundingRect()
        parts = self.wipe.parts(visible) if self._wiping else (None, None)
        for item, part in zip(self._layers, parts, strict=True):
            item.part = part
        self.viewport().update()

    # -- Qt --------------------------------------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._fitted = False
        factor = _STEP ** (event.angleDelta().y() / 120)
        zoom = min(max(self.zoom * factor, _MIN_ZOOM), _MAX_ZOOM)
        self.scale(zoom / self.zoom, zoom / self.zoom)
        self.zoomed.emit(zoom)
        self._lead()
        self._soon(_RERENDER_MS)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self._lead()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._dragging = self._at_line(event) and event.button() == Qt.MouseButton.LeftButton
        if not self._dragging:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._dragging:
            self.move_wipe(event.position().x() / max(self.viewport().width(), 1) - self.wipe.at)
            return
        super().mouseMoveEvent(event)
        if not event.buttons():
            shape = Qt.CursorShape.SplitHCursor if self._at_line(event) else Qt.CursorShape.OpenHandCursor
            self.viewport().setCursor(shape)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if not self._dragging:
            super().mouseReleaseEvent(event)
        self._dragging = False
        self._soon(0)

    def _at_line(self, event: QMouseEvent) -> bool:
        return self._wiping and self.wipe.grabs(event.position().x(), self.viewport().rect())

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.toggle_zoom()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitted:
            self.fit()
        self._soon(_RERENDER_MS)

    def drawForeground(self, painter: QPainter, rect: QRectF | object) -> None:
        if self._wiping:
            painter.save()
            painter.resetTransform()
            self.wipe.paint(painter, self.viewport().rect())
            painter.restore()
        lines = (self._shown.message if self._shown.photo is None else "", self._note)
        sentence = "\n".join(line for line in lines if line)
        if sentence:
            painter.save()
            painter.resetTransform()
            words = int(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap)
            room = self.viewport().rect().adjusted(48, 24, -48, -24)
            area = painter.boundingRect(room, words, sentence)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().alternateBase())  # the mesh and the points may lie behind
            painter.drawRoundedRect(area.adjusted(-12, -8, 12, 8), 6, 6)
            painter.setPen(self.palette().text().color())
            painter.drawText(room, words, sentence)
            painter.restore()

    def _soon(self, milliseconds: int) -> None:
        """A quick picture of the mesh, soon."""
        self._fine = False
        self._timer.start(milliseconds)

    def close_renderer(self) -> None:
        """Frees the off-screen window; call before the widget goes."""
        self._timer.stop()
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _pixmap_item(self) -> ClippedPixmap:
        item = ClippedPixmap()
        item.setTransformationMode(Qt.TransformationMode.SmoothTransformation)
        item.setShapeMode(QGraphicsPixmapItem.ShapeMode.BoundingRectShape)
        self._canvas.addItem(item)
        return item

    def _show_boxes(self, scene: Scene) -> None:
        for item in self._boxes:
            self._canvas.removeItem(item)
        self._boxes = [self._box_item(box, 90) for box in scene.other_boxes]
        if scene.box is not None:
            self._boxes.append(self._box_item(scene.box, 200))

    def _box_item(self, box: np.ndarray, alpha: int) -> QGraphicsRectItem:
        x, y = to_scene(box[:2]).tolist()
        item = QGraphicsRectItem(x, y, float(box[2]), float(box[3]))
        pen = QPen(QColor(255, 255, 255, alpha), 1.0, Qt.PenStyle.DashLine)
        pen.setCosmetic(True)
        item.setPen(pen)
        self._canvas.addItem(item)
        return item

    def _render_mesh(self) -> None:
        plan = self._plan()
        if plan is None:
            for item in self._layers:
                item.setPixmap(QPixmap())
            self._announced = True
            return
        region, scale = plan
        if self._renderer is None:
            self._renderer = MeshRenderer()
        size = (round(region[2] * scale), round(region[3] * scale))
        fine, self._fine = self._fine, False
        for item, meshes in zip(self._layers, (self._shown.meshes, self._meshes_beyond), strict=True):
            if not meshes:
                item.setPixmap(QPixmap())
                continue
            item.setPixmap(rgba_pixmap(self._renderer.render(meshes, region=region, size=size, fine=fine)))
            item.setTransform(QTransform(1 / scale, 0, 0, 1 / scale, region[0], region[1]))
            item.setOpacity(self._opacity)
            item.setVisible(self._mesh_visible)
        if not self._announced:
            self._announced = True
            self.mesh_painted.emit()
        if not fine:  # a quick picture first, its edges smoothed as soon as nobody waits
            self._fine = True
            self._timer.start(_REFINE_MS)

    def _plan(self) -> tuple[Region, float] | None:
        """The part of the photo to render and its resolution in px per image px; None if no mesh can be seen."""
        bounds = [projected_bounds(mesh) for mesh in (*self._shown.meshes, *self._meshes_beyond)]
        if not bounds:
            return None
        low = np.min([b[0] for b in bounds], axis=0)
        high = np.max([b[1] for b in bounds], axis=0)
        visible = self.mapToScene(self.viewport().rect()).boundingRect()
        low = np.maximum(low - 2, [visible.left(), visible.top()])
        high = np.minimum(high + 2, [visible.right(), visible.bottom()])
        if (high - low < 1).any():
            return None
        wanted = self.zoom * self.devicePixelRatioF()
        scale = next((bucket for bucket in _BUCKETS if bucket >= wanted), _BUCKETS[-1])
        corner = np.floor(low / 4) * 4  # whole output pixels at every bucket
        extent = np.ceil((high - corner) / 4) * 4
        return (*corner.tolist(), *extent.tolist()), scale


def zoom_text(zoom: float) -> str:
    """A zoom for people: 83 %."""
    return f"{math.floor(zoom * 100 + 0.5)} %"
