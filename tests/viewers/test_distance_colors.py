import numpy as np
from PySide6.QtCore import Qt

from viewers.distance_colors import ScaleBar, distance_colors, distance_table, oklab_to_rgb


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 -> Oklab, as its author gives it; the way back of what is tested."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.array(to_lms).T) @ np.array(to_lab).T


def test_oklab_is_turned_into_srgb() -> None:
    assert np.allclose(oklab_to_rgb(np.array([1.0, 0, 0])), 1, atol=1e-3)
    red = np.array([0.62795, 0.22486, 0.12585])  # the published value of (1, 0, 0)
    assert np.allclose(oklab_to_rgb(red), [1, 0, 0], atol=2e-3)


def test_equal_steps_look_equally_large_and_lightness_falls_all_the_way() -> None:
    lab = oklab(distance_table()[::17] / 255)
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.15  # colours are whole numbers
    assert (np.diff(lab[:, 0]) < 0).all()
    assert np.abs(lab[0, 1:]).max() < 0.01  # it begins at a neutral


def test_distances_beyond_the_end_have_the_last_colour() -> None:
    table = distance_table()
    found = distance_colors(np.array([0.0, 50.0, 100.0, 1e6]), 100.0)
    assert np.array_equal(found, table[[0, 128, 255, 255]])


def test_the_bar_names_its_numbers_and_a_click_asks_for_others(qtbot) -> None:
    bar = ScaleBar()
    qtbot.addWidget(bar)
    bar.resize(300, 54)
    bar.show_scale(100, "mm", "Distance of the two fits")
    bar.show()
    assert bar.labels == ["0", "25", "50", "75", "≥ 100 mm"]
    image = bar.grab().toImage()
    row = int(bar.fontMetrics().height() + 9)
    left, right = image.pixelColor(2, row), image.pixelColor(297, row)
    assert left.lightness() > right.lightness() + 60
    with qtbot.waitSignal(bar.clicked):
        qtbot.mouseClick(bar, Qt.MouseButton.LeftButton)
    bar.show_scale(50, "mm", "")
    assert bar.labels[1] == "12.5"
