"""Two meshes on one photo with a line between them, and two photos that move as one."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication

from tests.viewers.test_overlay import grab
from tests.viewers.test_renderer import random_case
from viewers.overlay_view import OverlayView
from viewers.scene import Scene

AMBER, BLUE = (0.9, 0.6, 0.0), (0.0, 0.4, 0.9)


def scene() -> Scene:
    mesh, _ = random_case(0)
    return Scene((640, 480), np.full((480, 640, 3), 128, np.uint8), meshes=(replace(mesh, color=AMBER),))


@pytest.fixture
def make(qtbot):
    def one() -> OverlayView:
        view = OverlayView()
        qtbot.addWidget(view, before_close_func=lambda widget: widget.close_renderer())
        view.resize(640, 480)
        view.show()
        view.set_opacity(1.0)
        view.set_scene(scene())
        return view

    return one


@pytest.fixture
def view(make) -> OverlayView:
    return make()


def wipe(qtbot, view: OverlayView) -> None:
    mesh, _ = random_case(0)
    view.set_wipe((replace(mesh, color=BLUE),), ("neuralannot-r1", "smplifyx-r1"))
    qtbot.waitUntil(lambda: view.settled, timeout=5000)


def mesh_columns(view: OverlayView, color: tuple[float, float, float]) -> np.ndarray:
    """Columns of the view in which the mesh of a colour shows."""
    pixels = grab(view).astype(float)
    red, blue = pixels[..., 0], pixels[..., 2]
    found = red - blue > 40 if color == AMBER else blue - red > 40
    return np.flatnonzero(found.any(axis=0))


def test_each_mesh_is_drawn_on_its_side_of_the_line(qtbot, view: OverlayView) -> None:
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    whole = mesh_columns(view, AMBER)
    middle = int(whole.mean())
    view.wipe.move_to(middle / view.viewport().width())
    wipe(qtbot, view)
    amber, blue = mesh_columns(view, AMBER), mesh_columns(view, BLUE)
    assert abs(amber.min() - whole.min()) <= 1
    assert middle - 4 <= amber.max() <= middle
    assert middle <= blue.min() <= middle + 4
    assert abs(blue.max() - whole.max()) <= 1
    view.set_wipe(None)
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    assert len(mesh_columns(view, BLUE)) == 0
    assert abs(mesh_columns(view, AMBER).max() - whole.max()) <= 1


def test_the_line_is_dragged_and_the_photo_stays(qtbot, view: OverlayView) -> None:
    wipe(qtbot, view)
    view.set_zoom(3.0)
    view.wipe.move_to(0.5)
    before = view.mapToScene(QPoint(0, 0))
    port = view.viewport()
    start = QPoint(round(0.5 * port.width()), 100)
    qtbot.mousePress(port, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(port, start + QPoint(120, 40))
    qtbot.mouseRelease(port, Qt.MouseButton.LeftButton, pos=start + QPoint(120, 40))
    assert abs(view.wipe.at - (0.5 + 120 / port.width())) < 0.01
    assert view.mapToScene(QPoint(0, 0)) == before
    qtbot.mouseMove(port, start)
    assert abs(view.wipe.at - (0.5 + 120 / port.width())) < 0.01  # it was let go


def test_the_line_stays_on_the_screen_when_the_photo_moves(qtbot, view: OverlayView) -> None:
    wipe(qtbot, view)
    view.set_zoom(4.0)
    view.centerOn(100, 100)
    part = view._overlay.part
    assert part is not None
    assert abs(view.mapFromScene(part.topRight()).x() - view.wipe.x(view.viewport().rect())) <= 1
    view.move_wipe(5.0)
    assert view.wipe.at == 1.0


def turn_wheel(view: OverlayView, at: QPointF) -> None:
    up = QPoint(0, 120)
    none, move = Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(at, view.viewport().mapToGlobal(at), QPoint(), up, Qt.MouseButton.NoButton, none, move, False)
    QApplication.sendEvent(view.viewport(), event)


def test_a_linked_photo_shows_the_same_part(qtbot, make) -> None:
    one, other = make(), make()
    one.moved.connect(lambda: other.follow(one))
    other.moved.connect(lambda: one.follow(other))
    for leads, follows, at in ((one, other, QPointF(100, 90)), (other, one, QPointF(500, 300))):
        for _ in range(4):
            turn_wheel(leads, at)
        assert leads.zoom > 1.5
        assert follows.zoom == leads.zoom
        centres = [view.mapToScene(view.viewport().rect().center()) for view in (leads, follows)]
        assert (centres[0] - centres[1]).manhattanLength() < 2 / leads.zoom
    other.fit()
    assert one.zoom == other.zoom < 1.01
