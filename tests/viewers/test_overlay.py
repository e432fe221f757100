"""The overlay as painted in a window: its mesh is where arithmetic says, at every zoom and device pixel ratio."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage

from tests.viewers.test_renderer import centroid, random_case
from viewers.overlay_view import OverlayView, to_scene
from viewers.scene import Points2D, Scene

ROOT = Path(__file__).resolve().parents[2]
ZOOMS = (0.25, 0.5, 0.75, 1.0, 1.37, 2.0, 3.3, 5.0, 8.0)
SEEDS = (0, 2, 6, 13)


def grab(view: OverlayView) -> np.ndarray:
    """`(H, W, 3)` of the viewport in device px."""
    image = view.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()  # the image owns the bytes


def painted_miss(view: OverlayView, seed: int, zoom: float, settle: Callable[[], None]) -> float | None:
    """Distance in screen px between the painted mesh's centroid and where arithmetic puts it; None if it does not fit.

    What is painted over a black and over a white photo tells how much of each pixel the mesh covers.
    """
    mesh, polygon = random_case(seed)
    assert (polygon > 0).all()
    assert (polygon < [639, 479]).all()
    if np.ptp(polygon, axis=0).max() * zoom > 1040:
        return None
    seen: list[np.ndarray] = []
    for ground in (0, 255):
        photo = np.full((480, 640, 3), ground, np.uint8)
        view.set_scene(Scene((640, 480), photo, meshes=(mesh,)))  # without a box: its dashes would hide edges
        view.set_opacity(1.0)
        view.set_zoom(zoom)
        view.centerOn(*to_scene(centroid(polygon)).tolist())
        settle()
        seen.append(grab(view).astype(float))
        view.set_mesh_visible(False)
        seen.append(grab(view).astype(float))
        view.set_mesh_visible(True)
    with_mesh, without = seen[2] - seen[0], seen[3] - seen[1]
    coverage = np.where(without.mean(axis=2) > 254, 1 - with_mesh.mean(axis=2) / 255, 0.0)
    ys, xs = np.mgrid[: coverage.shape[0], : coverage.shape[1]]
    found = np.array([(coverage * xs).sum(), (coverage * ys).sum()]) / coverage.sum() + 0.5
    ratio = view.devicePixelRatioF()
    exact = view.viewportTransform().map(*to_scene(centroid(polygon)).tolist())
    return float(np.abs(found - np.array(exact) * ratio).max())


def show(view: OverlayView, seed: int) -> None:
    mesh, _ = random_case(seed)
    view.resize(900, 700)
    view.show()
    view.set_scene(Scene((640, 480), np.zeros((480, 640, 3), np.uint8), meshes=(mesh,)))


@pytest.fixture
def view(qtbot):
    made = OverlayView()
    qtbot.addWidget(made, before_close_func=lambda widget: widget.close_renderer())
    return made


@pytest.mark.parametrize("zoom", ZOOMS)
def test_the_painted_mesh_is_where_arithmetic_says(qtbot, view: OverlayView, zoom: float) -> None:
    view.resize(1150, 1100)
    view.show()
    settle = lambda: qtbot.waitUntil(lambda: view.settled, timeout=5000)  # noqa: E731
    misses = [painted_miss(view, seed, zoom, settle) for seed in SEEDS]
    measured = [miss for miss in misses if miss is not None]
    assert measured
    assert max(measured) <= max(0.1, 0.1 * zoom), misses


@pytest.mark.parametrize("ratio", ["1.5", "2"])
def test_it_is_also_at_other_device_pixel_ratios(ratio: str) -> None:
    """The ratio is fixed when Qt starts, so this runs the same check in a process of its own."""
    environment = {**os.environ, "QT_SCALE_FACTOR": ratio}
    command = [sys.executable, "-m", "tests.viewers.painted"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.split()
    assert lines[0] == f"ratio={float(ratio)}"
    assert len(lines) > 5


def test_the_photo_comes_first_then_the_mesh(qtbot, view: OverlayView) -> None:
    told: list[str] = []
    view.photo_painted.connect(lambda: told.append("photo"))
    view.mesh_painted.connect(lambda: told.append("mesh"))
    show(view, 1)
    qtbot.waitUntil(lambda: "mesh" in told, timeout=5000)
    assert told == ["photo", "mesh"]


def test_keypoints_lie_on_pixel_centres(qtbot, view: OverlayView) -> None:
    view.resize(640, 480)
    view.show()
    points = Points2D(np.array([[100.0, 50.0]]), np.ones(1), (), np.zeros(1, int))
    view.set_scene(Scene((200, 100), np.zeros((100, 200, 3), np.uint8), points=(points,)))
    view.set_zoom(8.0)
    view.centerOn(100.5, 50.5)
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    spot = view.viewportTransform().map(*to_scene(points.xy)[0].tolist())
    picture = grab(view)
    x, y = (round(value) for value in spot)
    assert picture[y, x].sum() > 250
    view.set_points_visible(False)
    assert grab(view)[y, x].sum() < 60


def test_a_missing_photo_shows_its_sentence(qtbot, view: OverlayView) -> None:
    view.resize(400, 300)
    view.show()
    view.set_scene(Scene((640, 480), None, "The photo x.jpg is missing."))
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    assert grab(view).std() > 0


def test_wheel_and_double_click_zoom(qtbot, view: OverlayView) -> None:
    show(view, 0)
    before = view.zoom
    qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(400, 300))
    assert view.zoom == pytest.approx(1.0)
    qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(400, 300))
    assert view.zoom == pytest.approx(before)


def test_the_whole_photo_fits_after_resizing(qtbot, view: OverlayView) -> None:
    show(view, 0)
    view.resize(500, 400)
    qtbot.waitUntil(lambda: view.zoom == pytest.approx(min(500 / 640, 400 / 480), rel=0.01), timeout=2000)
