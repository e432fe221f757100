"""Live curves: a loss over steps, appended while a job runs (pyqtgraph, imported when the first one is shown)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QVBoxLayout, QWidget


class CurvePlot(QWidget):
    """One or more curves by name, on a logarithmic axis."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph

        self._plot: Any = pyqtgraph.PlotWidget(background=None)  # pyright: ignore[reportArgumentType]  # None = transparent
        self._plot.setLogMode(y=True)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.showGrid(y=True, alpha=0.15)
        self._plot.setLabel("bottom", title)
        self._plot.setLabel("left", "loss")
        self._curves: dict[str, Any] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)

    def show_curves(self, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], color: str) -> None:
        """Exchanges the curves: name -> (x, y); values that are not positive cannot be shown on a logarithmic axis."""
        pen = self.palette().color(QPalette.ColorRole.WindowText)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setTextPen(pen)
            axis.setPen(pen)
        for name in [name for name in self._curves if name not in curves]:
            self._plot.removeItem(self._curves.pop(name))
        for name, (x, y) in curves.items():
            if name not in self._curves:
                self._curves[name] = self._plot.plot(pen={"color": color, "width": 2})
            kept = [(a, b) for a, b in zip(x, y, strict=True) if b > 0]
            self._curves[name].setData([a for a, _ in kept], [b for _, b in kept])
