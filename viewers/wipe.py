"""The wipe: two pictures on one photo, parted by an upright line that a person drags."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QGraphicsPixmapItem, QStyleOptionGraphicsItem, QWidget

_REACH, _GRIP = 14, 13
_LINE, _EDGE = QColor(255, 255, 255), QColor(0, 0, 0, 150)


class ClippedPixmap(QGraphicsPixmapItem):
    """A picture of which only what lies in `part` (scene coordinates) is drawn; all of it without one."""

    part: QRectF | None = None

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if self.part is None:
            super().paint(painter, option, widget)  # type: ignore[arg-type]
            return
        painter.save()
        painter.setClipRect(self.mapRectFromScene(self.part), Qt.ClipOperation.IntersectClip)
        super().paint(painter, option, widget)  # type: ignore[arg-type]
        painter.restore()


class Wipe:
    """Where the line is: a share of the view's width, so that it is always in reach however the photo is moved.

    Attributes:
        at: 0 at the left edge of the view, 1 at its right.
        titles: what lies left and right of it.
    """

    def __init__(self) -> None:
        self.at = 0.5
        self.titles: tuple[str, str] = ("", "")

    def move_to(self, at: float) -> None:
        """Puts the line somewhere; it stays where it can be seen."""
        self.at = min(max(at, 0.0), 1.0)

    def x(self, room: QRect) -> float:
        """Px from the left of the view."""
        return self.at * room.width()

    def grabs(self, x: float, room: QRect) -> bool:
        """Whether a press at `x` px takes hold of the line."""
        return abs(x - self.x(room)) <= _REACH

    def parts(self, visible: QRectF) -> tuple[QRectF, QRectF]:
        """What of the scene's visible part lies left and right of the line."""
        x = visible.left() + self.at * visible.width()
        left = QRectF(visible.topLeft(), QPointF(x, visible.bottom()))
        right = QRectF(QPointF(x, visible.top()), visible.bottomRight())
        return left, right

    def paint(self, painter: QPainter, room: QRect) -> None:
        """The line, its grip and the titles, in px of the view."""
        x, middle = self.x(room), room.height() * 0.5
        for color, width in ((_EDGE, 4.0), (_LINE, 2.0)):
            painter.setPen(QPen(color, width))
            painter.drawLine(QPointF(x, 0), QPointF(x, room.height()))
        painter.setPen(QPen(_EDGE, 1.0))
        painter.setBrush(_LINE)
        painter.drawEllipse(QPointF(x, middle), _GRIP, _GRIP)
        painter.setPen(QPen(QColor(40, 40, 40), 2.0, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        for side in (-1, 1):
            tip = QPointF(x + side * 8, middle)
            for height in (-4, 4):
                painter.drawLine(tip, QPointF(x + side * 4, middle + height))
        self._paint_titles(painter, room, x)

    def _paint_titles(self, painter: QPainter, room: QRect, x: float) -> None:
        for side, title in zip((-1, 1), self.titles, strict=True):
            words = QRectF(painter.fontMetrics().boundingRect(title)).adjusted(-8, -4, 8, 4)
            space = x if side < 0 else room.width() - x
            if not title or words.width() + 16 > space:
                continue
            words.moveTo(x - 12 - words.width() if side < 0 else x + 12, room.height() - words.height() - 12)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(20, 20, 20, 190))
            painter.drawRoundedRect(words, 6, 6)
            painter.setPen(_LINE)
            painter.drawText(words, int(Qt.AlignmentFlag.AlignCenter), title)
