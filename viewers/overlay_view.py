"""The photo with the projected mesh and the keypoints: pan, zoom, fade, flicker.

The mesh is rendered opaque, off-screen, for the visible part of the person only and at the zoom's own resolution, so its
silhouette stays crisp; opacity and flicker are then free. Scene coordinates are the photo's, with the origin at its
corner: pixel (u, v) lies at (u + 0.5, v + 0.5), and `to_scene` is the only place that knows.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QBrush,
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
    QGraphicsItem,
    QGraphicsPixmapItem,
    QGraphicsRectItem,
    QGraphicsScene,
    QGraphicsView,
    QStyleOptionGraphicsItem,
    QWidget,
)

from viewers.renderer import MeshRenderer, Region
from viewers.scene import Points2D, Scene, SceneMesh

_STEP = 1.2
_MIN_ZOOM, _MAX_ZOOM = 0.05, 32.0
_BUCKETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_DIMMED = 0.35
_RERENDER_MS = 60
_REFINE_MS = 90
_LEFT, _MIDDLE, _RIGHT = QColor("#56b4e9"), QColor("#f0e442"), QColor("#d55e00")
"""The person's left, middle and right; told apart by colour-blind people too."""


def to_scene(xy: np.ndarray) -> np.ndarray:
    """`(..., 2)` image px (integer = pixel centre) -> scene coordinates (origin at the photo's corner)."""
    return xy + 0.5


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
    """

    photo_painted = Signal()
    mesh_painted = Signal()
    zoomed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        self._overlay = self._pixmap_item()
        self._boxes: list[QGraphicsRectItem] = []
        self._points = _PointsItem()
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
        self._overlay.setPixmap(QPixmap())
        self._show_boxes(scene)
        self._points.show_points(scene.points, scene.size)
        if not keep_view:
            self.fit()
        self._announced = False
        self.viewport().repaint()  # the photo is not to wait for the mesh
        if scene.photo is not None:
            QTimer.singleShot(0, self, self.photo_painted.emit)  # not if the view is gone by then
        self._soon(0)

    def set_meshes(self, meshes: tuple[SceneMesh, ...]) -> None:
        """Exchanges the meshes of the scene; the old picture stays, dimmed, until the new one is there."""
        self._shown = replace(self._shown, meshes=meshes)
        self._overlay.setOpacity(self._opacity * _DIMMED)
        self._announced = False
        self._soon(0)

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
        self._overlay.setOpacity(opacity)

    def set_mesh_visible(self, visible: bool) -> None:
        """Hides or shows the mesh (flicker)."""
        self._mesh_visible = visible
        self._overlay.setVisible(visible)

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

    def _set_zoom(self, zoom: float) -> None:
        zoom = min(max(zoom, _MIN_ZOOM), _MAX_ZOOM)
        self.setTransform(QTransform.fromScale(zoom, zoom))
        self.zoomed.emit(zoom)
        self._soon(_RERENDER_MS)

    # -- Qt --------------------------------------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._fitted = False
        factor = _STEP ** (event.angleDelta().y() / 120)
        zoom = min(max(self.zoom * factor, _MIN_ZOOM), _MAX_ZOOM)
        self.scale(zoom / self.zoom, zoom / self.zoom)
        self.zoomed.emit(zoom)
        self._soon(_RERENDER_MS)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._soon(0)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.toggle_zoom()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitted:
            self.fit()
        self._soon(_RERENDER_MS)

    def drawForeground(self, painter: QPainter, rect: QRectF | object) -> None:
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

    def _pixmap_item(self) -> QGraphicsPixmapItem:
        item = QGraphicsPixmapItem()
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
            self._overlay.setPixmap(QPixmap())
            self._announced = True
            return
        region, scale = plan
        if self._renderer is None:
            self._renderer = MeshRenderer()
        size = (round(region[2] * scale), round(region[3] * scale))
        fine, self._fine = self._fine, False
        pixels = self._renderer.render(self._shown.meshes, region=region, size=size, fine=fine)
        self._overlay.setPixmap(rgba_pixmap(pixels))
        self._overlay.setTransform(QTransform(1 / scale, 0, 0, 1 / scale, region[0], region[1]))
        self._overlay.setOpacity(self._opacity)
        self._overlay.setVisible(self._mesh_visible)
        if not self._announced:
            self._announced = True
            self.mesh_painted.emit()
        if not fine:  # a quick picture first, its edges smoothed as soon as nobody waits
            self._fine = True
            self._timer.start(_REFINE_MS)

    def _plan(self) -> tuple[Region, float] | None:
        """The part of the photo to render and its resolution in px per image px; None if no mesh can be seen."""
        bounds = [_projected_bounds(mesh) for mesh in self._shown.meshes]
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


class _PointsItem(QGraphicsItem):
    """All labelled points of a scene as one item; dots keep their size on the screen."""

    def __init__(self) -> None:
        super().__init__()
        self._sets: tuple[Points2D, ...] = ()
        self._bounds = QRectF()
        self.setZValue(10)

    def show_points(self, sets: tuple[Points2D, ...], size: tuple[int, int]) -> None:
        """Exchanges the points."""
        self.prepareGeometryChange()
        self._sets = sets
        self._bounds = QRectF(-size[0], -size[1], 3 * size[0], 3 * size[1])
        self.update()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        scale = option.levelOfDetailFromTransform(painter.worldTransform())
        for points in self._sets:
            self._paint_edges(painter, points)
            self._paint_dots(painter, points, scale)

    def _paint_edges(self, painter: QPainter, points: Points2D) -> None:
        places = to_scene(points.xy)
        for a, b in points.edges:
            if points.confidence[a] > 0 and points.confidence[b] > 0:
                color = QColor(_color_of(int(points.sides[a] or points.sides[b])))
                color.setAlpha(170)
                pen = QPen(color, 1.6)
                pen.setCosmetic(True)
                painter.setPen(pen)
                painter.drawLine(QPointF(*places[a].tolist()), QPointF(*places[b].tolist()))

    def _paint_dots(self, painter: QPainter, points: Points2D, scale: float) -> None:
        outline = QPen(QColor(20, 20, 20, 220), 1.0)
        outline.setCosmetic(True)
        painter.setPen(outline)
        places = to_scene(points.xy)
        body, small = 3.4 / scale, 1.6 / scale
        for i in np.flatnonzero(points.confidence > 0):
            painter.setBrush(QBrush(_color_of(int(points.sides[i]))))
            radius = body if i < 23 else small
            painter.drawEllipse(QPointF(*places[i].tolist()), radius, radius)


def _color_of(side: int) -> QColor:
    return _MIDDLE if side == 0 else _LEFT if side < 0 else _RIGHT


def _projected_bounds(mesh: SceneMesh) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest scene coordinates of a mesh's vertices."""
    k = mesh.intrinsics
    depth = np.maximum(mesh.vertices[:, 2], 1e-3)
    pixels = np.stack([k.fx * mesh.vertices[:, 0] / depth + k.cx, k.fy * mesh.vertices[:, 1] / depth + k.cy], axis=1)
    places = np.clip(to_scene(pixels), -1e5, 1e5)
    return places.min(axis=0), places.max(axis=0)


def zoom_text(zoom: float) -> str:
    """A zoom for people: 83 %."""
    return f"{math.floor(zoom * 100 + 0.5)} %"
