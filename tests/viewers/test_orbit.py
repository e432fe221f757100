from dataclasses import replace

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


def test_two_panes_turn_together_and_share_a_frame(qtbot, view: OrbitView) -> None:
    mesh, _ = random_case(0)
    moved = replace(mesh, vertices=mesh.vertices + np.float32([0.3, 0, 0]))
    view.resize(600, 300)
    with qtbot.waitSignal(view.painted, timeout=5000):
        view.set_panes([mesh, moved], titles=("one", "other"), together=True)
    left, right = (pane.vertices for pane in view._panes)
    assert np.allclose(right - left, [0.3, 0, 0], atol=1e-6)
    assert np.allclose(np.concatenate([left, right]).min(0), -np.concatenate([left, right]).max(0), atol=1e-5)
    assert view._floor(view._panes[0]) == view._floor(view._panes[1])
    view.set_panes([mesh, moved])
    assert np.allclose(view._panes[0].vertices, view._panes[1].vertices, atol=1e-6)  # each in its own middle


def test_a_pane_without_a_mesh_says_why(qtbot, view: OrbitView) -> None:
    mesh, _ = random_case(0)
    view.resize(600, 300)
    with qtbot.waitSignal(view.painted, timeout=5000):
        view.set_panes([mesh, "This run has no fit of this person."], titles=("one", "other"), together=True)
    assert [picture is None for picture in view._pictures] == [False, True]
    assert pixels(view)[:, 900:].std() > 0  # the words
