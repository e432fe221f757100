"""Live curves: a loss over steps, appended while a job runs (pyqtgraph, imported when the first one is shown)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QVBoxLayout, QWidget

_MOST_TICKS = 6


class CurvePlot(QWidget):
    """One or more curves by name, on a logarithmic axis.

    Args:
        words: what they show, for the title; axes have no names of their own, which would take a third of a low plot.
    """

    def __init__(self, words: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph

        self._plot: Any = pyqtgraph.PlotWidget(background=None)  # pyright: ignore[reportArgumentType]  # None = transparent
        self._plot.setLogMode(y=True)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.showGrid(y=True, alpha=0.15)
        self._words = words
        for side in ("left", "bottom"):
            self._plot.getAxis(side).enableAutoSIPrefix(
                False
            )  # it would say "x0.001" beside ticks that are written out
        self._curves: dict[str, Any] = {}
        self._title = ""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)

    def show_curves(self, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], color: str) -> None:
        """Exchanges the curves: name -> (x, y); values that are not positive cannot be shown on a logarithmic axis.

        A curve of one point is drawn as a point.
        """
        for name in [name for name in self._curves if name not in curves]:
            self._plot.removeItem(self._curves.pop(name))
        shown: list[float] = []
        for name, (x, y) in curves.items():
            if name not in self._curves:
                self._curves[name] = self._plot.plot(pen={"color": color, "width": 2}, symbolSize=8)
            kept = [(a, b) for a, b in zip(x, y, strict=True) if b > 0]
            symbol = {"symbol": "o", "symbolBrush": color, "symbolPen": None} if len(kept) == 1 else {"symbol": None}
            self._curves[name].setPen({"color": color, "width": 2})
            self._curves[name].setData([a for a, _ in kept], [b for _, b in kept], **symbol)
            shown += [b for _, b in kept]
        self._title = f"{', '.join(curves)}: {self._words}"
        self._color()
        last = max((x[-1] for x, _ in curves.values() if len(x)), default=1.0)
        self._plot.setXRange(0, max(last, 1.0), padding=0.02)
        ticks = log_ticks(min(shown), max(shown)) if shown else []
        self._plot.getAxis("left").setTicks([[(math.log10(value), f"{value:.3g}") for value in ticks]])

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._color()

    def _color(self) -> None:
        """Axes and title in the colour of text, on the background of the window as they are now."""
        pen = self.palette().color(QPalette.ColorRole.WindowText)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setTextPen(pen)
            axis.setPen(pen)
        if self._title:
            self._plot.setTitle(self._title, color=pen.name(), size="9pt")
        self._plot.resetCachedContent()
        self._plot.viewport().update()


def log_ticks(low: float, high: float) -> list[float]:
    """At most six places on a logarithmic axis from `low` to `high` (positive) that are labelled; round ones if two fit in."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if 2 <= len(ticks) <= _MOST_TICKS:
            return ticks
        if len(ticks) < 2:
            return sorted({low, high})
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
