"""The labelled points of people as one item of the photo's view; dots keep their size on the screen."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QBrush, QColor, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from viewers.scene import Points2D, to_scene

_LEFT, _MIDDLE, _RIGHT = QColor("#56b4e9"), QColor("#f0e442"), QColor("#d55e00")
"""The person's left, middle and right; told apart by colour-blind people too."""


class PointsItem(QGraphicsItem):
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
