"""Distances as colours: from a light neutral to one dark red, in steps that look alike, and the bar that says what they mean.

The colours are a straight line in Oklab (Björn Ottosson, 2020), a space in which equal steps look equally large, so no
distance is stressed more than another. Lightness falls all the way: the order is seen without hue, too.
"""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QImage, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

_NEAR, _FAR = (0.90, 0.0, 0.0), (0.42, 0.155, 0.070)
"""Oklab of no distance and of the end of the scale: lightness, green to red, blue to yellow."""
_STEPS, _CROWDED = 256, 340
_TO_LMS = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def oklab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """`(..., 3)` Oklab -> `(..., 3)` sRGB in 0..1; what lies outside is clipped."""
    linear = np.clip(((lab @ _TO_LMS.T) ** 3) @ _TO_RGB.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def distance_table() -> np.ndarray:
    """`(256, 3)` uint8 RGB from no distance to the end of the scale."""
    share = np.linspace(0.0, 1.0, _STEPS)[:, None]
    return np.rint(255 * oklab_to_rgb((1 - share) * np.array(_NEAR) + share * np.array(_FAR))).astype(np.uint8)


def distance_colors(distance: np.ndarray, end: float) -> np.ndarray:
    """`(..., 3)` uint8 RGB of distances; everything beyond `end` has the last colour."""
    steps = np.rint(np.clip(distance / end, 0.0, 1.0) * (_STEPS - 1)).astype(int)
    return distance_table()[steps]


class ScaleBar(QWidget):
    """The colours from 0 to `end`, with numbers; a click asks for another end.

    Signals:
        clicked: somebody wants another end.
    """

    clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._end, self._unit, self._title = 100, "mm", ""
        self.setMinimumHeight(54)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        font = self.font()
        font.setFeature(QFont.Tag("tnum"), 1)
        self.setFont(font)

    def show_scale(self, end: int, unit: str, title: str) -> None:
        """What the colours mean."""
        self._end, self._unit, self._title = end, unit, title
        self.setAccessibleName(f"{title}: 0 to {end} {unit} and more")
        self.update()

    @property
    def labels(self) -> list[str]:
        """The numbers below the bar, from left to right."""
        inner = [
            f"{self._end * quarter // 4}" if self._end % 4 == 0 else f"{self._end * quarter / 4:g}"
            for quarter in (1, 2, 3)
        ]
        return ["0", *inner, f"≥ {self._end} {self._unit}"]

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.clicked.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setPen(self.palette().placeholderText().color())
        line = painter.fontMetrics().height()
        title = painter.fontMetrics().elidedText(self._title, Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, 0, self.width(), line), int(Qt.AlignmentFlag.AlignLeft), title)
        table = np.ascontiguousarray(distance_table()[None])
        image = QImage(table.data, _STEPS, 1, 3 * _STEPS, QImage.Format.Format_RGB888)
        bar = QRectF(0, line + 4, self.width(), 10)
        painter.drawImage(bar, image.copy())
        painter.setPen(QColor(self.palette().text().color()))
        crowded = self.width() < _CROWDED
        for place, label in enumerate(self.labels):
            if crowded and place % 2:
                continue
            x = bar.width() * place / (len(self.labels) - 1)
            side = Qt.AlignmentFlag.AlignLeft if place == 0 else Qt.AlignmentFlag.AlignHCenter
            area = QRectF(x - (0 if place == 0 else 60), bar.bottom() + 2, 120, line)
            if place == len(self.labels) - 1:
                area, side = QRectF(x - 120, bar.bottom() + 2, 120, line), Qt.AlignmentFlag.AlignRight
            painter.drawText(area, int(side), label)
