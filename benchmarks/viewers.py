"""Which backend draws the 3D view: our off-screen picture in a plain widget, or pyvistaqt's OpenGL widget.

Two windows of the same size, each with the photo's view beside a 3D pane of the same size, show the same mesh under the
same lights. Rounds alternate between them. Each time runs from the event that asks for a picture until the screen's
server has it. Run it under `.ci/with-screen.sh` (docs/decisions/0002-orbit-view.md says what came out).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # before this folder, whose viewers.py is not the package
os.environ.setdefault("QT_API", "pyside6")

import numpy as np  # noqa: E402
import pyvista  # noqa: E402
from PySide6.QtCore import QEvent, QPointF, Qt  # noqa: E402
from PySide6.QtGui import QMouseEvent, QPaintEvent  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWidgets import QApplication, QHBoxLayout, QWidget  # noqa: E402
from pyvistaqt import QtInteractor  # noqa: E402

from annotator.bodies.files import default_root, load_body_model  # noqa: E402
from annotator.bodies.posing import Poser  # noqa: E402
from benchmarks._claims import Report, options  # noqa: E402
from viewers.orbit_view import OrbitView  # noqa: E402
from viewers.overlay_view import OverlayView  # noqa: E402
from viewers.renderer import STUDIO, vertex_normals  # noqa: E402
from viewers.scene import Intrinsics, Scene, SceneMesh  # noqa: E402

WINDOW, PANE = (1580, 440), (400, 410)
PHOTO = (960, 720)
COLOR = (0.9, 0.62, 0.2)
FITS = 8
IMPORTS = {
    "off-screen": "import vtkmodules.vtkRenderingOpenGL2; from viewers.renderer import MeshRenderer; MeshRenderer()",
    "pyvistaqt": "from pyvistaqt import QtInteractor",
}


class OffScreenPane(OrbitView):
    """The desk's own view, counting its paints."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.count += 1


class PyvistaPane:
    """The other arm: one actor whose points are changed in place, no anti-aliasing, the same lights, drawn on demand."""

    def __init__(self, mesh: SceneMesh) -> None:
        self.widget: Any = QtInteractor(auto_update=False, multi_samples=0, line_smoothing=False)
        self.widget.disable_anti_aliasing()
        self.widget.remove_all_lights()
        for light in STUDIO:
            x, y, z = light.direction
            self.widget.add_light(
                pyvista.Light(position=(x, -y, -z), intensity=light.intensity, light_type="camera light")
            )
        self._faces = mesh.faces
        cells = np.concatenate([np.full((len(mesh.faces), 1), 3, np.int32), mesh.faces], axis=1).ravel()
        self._data = pyvista.PolyData(_up(mesh.vertices), cells)
        self._data.point_data.active_normals = vertex_normals(_up(mesh.vertices), mesh.faces)
        actor = self.widget.add_mesh(self._data, color=COLOR, ambient=0.24, diffuse=1.0, specular=0.0, copy_mesh=False)
        actor.GetProperty().SetInterpolationToPhong()
        self.widget.view_xy()
        self.count = 0
        self.widget.frameSwapped.connect(self._painted)

    def show_mesh(self, mesh: SceneMesh) -> None:
        """Another fit: new points and normals, then `update`, which draws once (`render` would draw twice)."""
        vertices = _up(mesh.vertices)
        self._data.points[:] = vertices
        self._data.point_data.active_normals = vertex_normals(vertices, self._faces)
        self._data.GetPoints().Modified()
        self._data.Modified()
        self.widget.update()

    def _painted(self) -> None:
        self.count += 1


def _up(vertices: np.ndarray) -> np.ndarray:
    return (vertices - vertices.mean(axis=0)) * np.array([1, -1, -1], np.float32)


class Desk(QWidget):
    """A window with a photo on the left and a 3D pane on the right."""

    def __init__(self, title: str, pane: QWidget, photo: np.ndarray) -> None:
        super().__init__()
        self.setWindowTitle(title)
        self.photo = OverlayView()
        self.photo.set_scene(Scene((photo.shape[1], photo.shape[0]), photo))
        pane.setFixedSize(*PANE)
        row = QHBoxLayout(self)
        row.addWidget(self.photo, 1)
        row.addWidget(pane)
        self.resize(*WINDOW)


def _idle(seconds: float) -> None:
    QTest.qWait(round(1000 * seconds))


def _wait(done: Callable[[], bool], limit: float = 20.0) -> None:
    end = time.perf_counter() + limit
    while not done():
        QApplication.processEvents()
        if time.perf_counter() > end:
            sys.exit("nothing was painted within 20 s; run this under .ci/with-screen.sh")


def _until_painted(ask: Callable[[], None], count: Callable[[], int]) -> float:
    before = count()
    began = time.perf_counter()
    ask()
    _wait(lambda: count() > before)
    QApplication.sync()
    return time.perf_counter() - began


def _mouse(widget: QWidget, kind: QEvent.Type, x: float, y: float) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    button = none if kind is QEvent.Type.MouseMove else left
    held = none if kind is QEvent.Type.MouseButtonRelease else left
    place = QPointF(x, y)
    whole = widget.mapToGlobal(place)
    QApplication.sendEvent(widget, QMouseEvent(kind, place, whole, button, held, Qt.KeyboardModifier.NoModifier))


def drag(widget: QWidget, count: Callable[[], int], steps: int) -> list[float]:
    """Seconds of each step of a drag across the pane."""
    _mouse(widget, QEvent.Type.MouseButtonPress, 100, 200)
    _idle(0.05)
    times = [
        _until_painted(lambda x=x: _mouse(widget, QEvent.Type.MouseMove, x, 200), count)
        for x in np.linspace(105, 300, steps)
    ]
    _mouse(widget, QEvent.Type.MouseButtonRelease, 300, 200)
    _idle(0.3)
    return times


def repaint(desk: Desk) -> float:
    """Seconds until the photo's view is painted anew and composed."""
    began = time.perf_counter()
    desk.photo.viewport().repaint()
    QApplication.sync()
    return time.perf_counter() - began


def meshes() -> list[SceneMesh]:
    """The open body in a few poses, 3.4 m before the camera."""
    body = load_body_model(default_root(), "smplx")
    rng = np.random.default_rng(1)
    pose = {
        "global_orient": np.tile([[np.pi, 0, 0]], (FITS, 1)),
        "body_pose": 0.2 * rng.standard_normal((FITS, 63)),
        "transl": np.tile([[0, 0, 3.4]], (FITS, 1)),
    }
    posed = Poser(body).pose(pose).vertices.astype(np.float32)
    return [SceneMesh(vertices, body.faces, Intrinsics(900, 900, 480, 360), COLOR) for vertices in posed]


def start_seconds(code: str) -> float:
    """Seconds that a fresh process needs for `code` beyond an empty one's."""
    times: list[float] = []
    for words in ("pass", code):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", words], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return times[1] - times[0]


def main() -> None:
    """Measures both arms in turns and states the claims."""
    arguments = options("The 3D view's two backends side by side.").parse_args()
    rounds, steps = (4, 12) if arguments.quick else (12, 24)
    report = Report("viewers")
    app = QApplication.instance() or QApplication(["benchmark"])
    people = meshes()
    photo = np.random.default_rng(2).integers(0, 255, (PHOTO[1], PHOTO[0], 3), dtype=np.uint8)
    ours, theirs = OffScreenPane(), PyvistaPane(people[0])
    ours.set_panes(people[:1])
    without, beside = Desk("off-screen", ours, photo), Desk("pyvistaqt", theirs.widget, photo)
    for desk, top in ((without, 0), (beside, 450)):  # neither covers the other
        desk.move(0, top)
        desk.show()
        _idle(0.5)
    _wait(lambda: ours.settled and theirs.count > 0)
    capabilities = theirs.widget.render_window.ReportCapabilities()
    name = next((line.split(":", 1)[1].strip() for line in capabilities.splitlines() if "renderer string" in line), "")
    versions = {package: metadata.version(package) for package in ("PySide6_Essentials", "vtk", "pyvista", "pyvistaqt")}
    report.say("versions", versions, ", ".join(f"{package} {version}" for package, version in versions.items()))
    report.say("opengl", name, f"OpenGL: {name}; {len(people[0].vertices):,} vertices; pane {PANE[0]} x {PANE[1]} px")
    rows: dict[str, list[float]] = {
        k: [] for k in ("drag_ours", "drag_theirs", "full_ours", "fit_ours", "fit_theirs", "photo_ours", "photo_theirs")
    }
    for number in range(rounds):
        rows["photo_ours"] += [repaint(without) for _ in range(steps)]
        rows["drag_ours"] += drag(ours, lambda: ours.count, steps)
        for view in (ours.side, ours.top, ours.home):
            rows["full_ours"].append(_until_painted(view, lambda: ours.count))
            _idle(0.25)  # the smooth picture follows; it is not timed
        for mesh in people:
            rows["fit_ours"].append(_until_painted(lambda m=mesh: ours.set_panes([m]), lambda: ours.count))
            _idle(0.25)
        rows["photo_theirs"] += [repaint(beside) for _ in range(steps)]
        rows["drag_theirs"] += drag(theirs.widget, lambda: theirs.count, steps)
        for mesh in people:
            rows["fit_theirs"].append(_until_painted(lambda m=mesh: theirs.show_mesh(m), lambda: theirs.count))
        if number == 0:  # the first round warms both up
            rows = {key: [] for key in rows}
    starts: dict[str, list[float]] = {arm: [] for arm in IMPORTS}
    for _ in range(2 if arguments.quick else 5):
        for arm, code in IMPORTS.items():
            starts[arm].append(start_seconds(code))
    print("orbit step, mouse move to painted")
    drag_ours = report.times("drag_ours", "off-screen, as shipped (half resolution while dragging)", rows["drag_ours"])
    report.times("full_ours", "off-screen, full resolution (front, side, top)", rows["full_ours"])
    drag_theirs = report.times("drag_theirs", "pyvistaqt", rows["drag_theirs"])
    print("new fit, set mesh to painted")
    fit_ours = report.times("fit_ours", "off-screen", rows["fit_ours"])
    fit_theirs = report.times("fit_theirs", "pyvistaqt", rows["fit_theirs"])
    print(f"photo repaint, in a window of {WINDOW[0]} x {WINDOW[1]} px")
    photo_ours = report.times("photo_ours", "beside the off-screen view", rows["photo_ours"])
    photo_theirs = report.times("photo_theirs", "beside pyvistaqt's widget", rows["photo_theirs"])
    print("until the first picture could be drawn, in a fresh process")
    report.times("start_ours", "off-screen: VTK's OpenGL module and a renderer", starts["off-screen"])
    report.times("start_theirs", "pyvistaqt: its import alone", starts["pyvistaqt"])
    report.claim("orbit_step_ms", drag_ours, 33)
    report.claim("orbit_step_pyvistaqt_over_ours", drag_theirs / drag_ours, 1, at_most=False)
    report.claim("new_fit_ms", fit_ours, 66)
    report.claim("new_fit_pyvistaqt_over_ours", fit_theirs / fit_ours, 1, at_most=False)
    report.claim("photo_repaint_ms", photo_ours, 16.7)
    report.claim("photo_repaint_pyvistaqt_over_ours", photo_theirs / photo_ours, 1, at_most=False)
    report.end(arguments.json)
    theirs.widget.close()
    ours.close_renderer()
    for desk in (without, beside):
        desk.photo.close_renderer()
        desk.close()
    app.processEvents()


if __name__ == "__main__":
    main()
