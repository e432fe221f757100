"""Curves are really drawn: counted in pixels of the accent's colour."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage, QPalette
from PySide6.QtWidgets import QApplication

from viewers.plots import CurvePlot, log_ticks

COLOR = "#ff00ff"


@pytest.fixture
def plot(qapp: Any) -> Iterator[CurvePlot]:
    made = CurvePlot("loss by step")
    made.resize(400, 200)
    made.show()
    yield made
    made.close()
    made.deleteLater()


def drawn(plot: CurvePlot) -> np.ndarray:
    """`(N, 2)` x, y of the pixels that are nearly of the curve's colour."""
    QApplication.processEvents()
    image = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    pixels = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    rgb = pixels[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)
    wanted = QColor(COLOR)
    far = np.abs(rgb - [wanted.red(), wanted.green(), wanted.blue()]).sum(axis=2)
    return np.argwhere(far < 60)[:, ::-1]


def test_one_point_is_drawn_as_a_point(plot: CurvePlot) -> None:
    plot.show_curves({"loss": ([0.0], [0.3])}, COLOR)
    seen = drawn(plot)
    assert 12 <= len(seen) <= 200
    assert (np.ptp(seen, axis=0) <= 16).all()


def test_a_theme_that_changes_takes_the_plot_with_it(plot: CurvePlot, qapp: Any) -> None:
    sheet = qapp.styleSheet()
    qapp.setStyleSheet("")  # a window's, which would have colours of its own
    plot.show_curves({"loss": ([0.0, 10.0], [0.3, 0.1])}, COLOR)
    for background, text in (("#101010", "#f0f0f0"), ("#f8f8f8", "#202020")):
        palette = plot.palette()
        for role in (QPalette.ColorRole.Base, QPalette.ColorRole.Window):
            palette.setColor(role, QColor(background))
        palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
        plot.setPalette(palette)
        QApplication.processEvents()
        image = plot.grab().toImage()
        assert image.pixelColor(image.width() - 3, image.height() // 2) == QColor(background)
        assert plot._plot.getAxis("left").textPen().color() == QColor(text)
    qapp.setStyleSheet(sheet)


def test_a_curve_has_no_points_and_goes_from_side_to_side(plot: CurvePlot) -> None:
    plot.show_curves({"loss": ([0.0], [0.3])}, COLOR)
    plot.show_curves({"loss": ([0.0, 10.0, 20.0], [0.3, 0.1, 0.03])}, COLOR)
    seen = drawn(plot)
    assert np.ptp(seen[:, 0]) > 200
    for column in np.unique(seen[:, 0]):  # as thick as its pen everywhere: the point is gone
        assert np.ptp(seen[seen[:, 0] == column][:, 1]) <= 8


def test_values_that_a_logarithm_does_not_have_are_left_out(plot: CurvePlot) -> None:
    plot.show_curves({"loss": ([0.0, 1.0, 2.0], [0.0, -1.0, 0.5])}, COLOR)
    assert 12 <= len(drawn(plot)) <= 200
    plot.show_curves({"loss": ([], [])}, COLOR)
    assert len(drawn(plot)) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.03, 1.0, [0.05, 0.1, 0.2, 0.5, 1.0]),
        (0.0003, 40.0, [0.001, 0.01, 0.1, 1.0, 10.0]),
        (0.121, 0.128, [0.121, 0.128]),
        (0.3, 0.3, [0.3]),
    ],
)
def test_ticks_are_few_and_round_where_they_can_be(low: float, high: float, expected: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(expected)


def test_the_ticks_are_the_values_themselves(plot: CurvePlot) -> None:
    plot.show_curves({"loss": ([10, 4000], [0.313, 0.19])}, "#3366cc")
    plot.grab()
    assert [plot._plot.getAxis(side).labelString().count("x") for side in ("left", "bottom")] == [0, 0]
