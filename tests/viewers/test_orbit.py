import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from tests.viewers.test_renderer import random_case
from viewers.orbit_view import OrbitCamera, OrbitView


@pytest.fixture
def view(qtbot):
    made = OrbitView()
    qtbot.addWidget(made, before_close_func=lambda widget: widget.close_renderer())
    made.resize(400, 400)
    made.show()
    return made


def pixels(view: OrbitView) -> np.ndarray:
    image = view.grab().toImage().convertToFormat(view.grab().toImage().Format.Format_RGB888)
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine()).copy()


def test_front_sees_what_the_photo_sees_and_side_from_the_left() -> None:
    assert np.allclose(OrbitCamera(0, 0).turn(), np.eye(3))
    left_of_a_person_facing_the_camera = np.array([1.0, 0, 0])
    assert np.allclose(OrbitCamera(-90, 0).turn() @ left_of_a_person_facing_the_camera, [0, 0, 1]) or np.allclose(
        OrbitCamera(-90, 0).turn() @ left_of_a_person_facing_the_camera, [0, 0, -1]
    )


def test_every_view_is_a_rotation() -> None:
    for camera in (OrbitCamera(), OrbitCamera(33, 12), OrbitCamera(0, 89)):
        assert np.allclose(camera.turn() @ camera.turn().T, np.eye(3))
        assert np.isclose(np.linalg.det(camera.turn()), 1)


def test_it_paints_the_mesh_and_says_so(qtbot, view: OrbitView) -> None:
    mesh, _ = random_case(0)
    with qtbot.waitSignal(view.painted, timeout=5000):
        view.set_panes([mesh])
    one = pixels(view)
    view.side()
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    assert np.abs(pixels(view).astype(int) - one).max() > 30


def test_dragging_turns_and_home_turns_back(qtbot, view: OrbitView) -> None:
    mesh, _ = random_case(0)
    with qtbot.waitSignal(view.painted, timeout=5000):
        view.set_panes([mesh])
    before = view.camera
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    qtbot.mouseMove(view, QPoint(160, 130))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(160, 130))
    assert view.camera != before
    view.home()
    assert view.camera == before


def test_without_a_mesh_it_says_what_to_do(qtbot, view: OrbitView) -> None:
    view.set_panes([], "Start a run.")
    qtbot.waitUntil(lambda: view.settled, timeout=5000)
    assert pixels(view).std() > 0
