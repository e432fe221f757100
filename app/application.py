"""The composition root: makes the application, the session and the window, and runs them."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from app.main_window import MainWindow

SIZE = (1600, 900)
_SETTLE_SECONDS = 20.0


def has_screen() -> bool:
    """Whether a window can be shown to somebody."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or sys.platform == "darwin"


def open_desk(project: Path | None) -> int:
    """Opens the window, on a project if one is given, and runs until it is closed."""
    if not has_screen() and "QT_QPA_PLATFORM" not in os.environ:
        print(
            "There is no display to open the window on; log in with one, or use the sub-commands (`--help` lists them).",
            file=sys.stderr,
        )
        return 1
    app, window = make_window()
    if os.environ.get("NEURALANNOT_TIMINGS"):
        _print_timings(window)
    window.restore()
    window.show()
    if project is not None:
        window.session.open(project)
    code = app.exec()
    _delete(window)
    return code


def _delete(window: MainWindow) -> None:
    """Destroys a window and its dialogs while Qt still lives; at the interpreter's end the order is anyone's, and some crash."""
    import shiboken6

    shiboken6.delete(window)


def show_project(project: Path, pictures: Path) -> int:
    """Opens the window; without a display it saves the same window as pictures and says where."""
    if has_screen():
        return open_desk(project)
    print("There is no display; the window was saved as pictures:")
    for path in save_pictures(project, pictures):
        print(f"  {path}")
    return 0


def save_pictures(project: Path, folder: Path) -> list[Path]:
    """Draws the window off-screen on a project and saves a few of its states as PNG files."""
    if not has_screen():
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        _quieten()
    app, window = make_window()
    window.resize(*SIZE)
    window.show()
    if not window.session.open(project):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    rows = window.session.rows
    for name, place in (("worst", 0), ("median", len(rows) // 2), ("best", len(rows) - 1)):
        if not len(rows):
            break
        window.session.go_to_row(int(rows[place]))
        _settle(app, window)
        paths.append(folder / f"desk-{name}.png")
        window.grab().save(str(paths[-1]))
    window.actions_by_id["toggle_jobs"].trigger()
    _settle(app, window)
    paths.append(folder / "desk-jobs.png")
    window.grab().save(str(paths[-1]))
    window.close()
    return paths


def _quieten() -> None:
    """Drops what Qt says of its off-screen platform at every window, which nobody can do anything about."""
    from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

    def say(_kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
        if "propagateSizeHints" not in text:
            print(text, file=sys.stderr)

    qInstallMessageHandler(say)


def make_window() -> tuple[QApplication, MainWindow]:
    """The application, dressed, with a window that is not shown yet."""
    os.environ.setdefault("QT_API", "pyside6")
    from PySide6.QtWidgets import QApplication

    from app import theme
    from app.jobs import Jobs
    from app.main_window import MainWindow
    from app.messages import Messages
    from app.session import Session

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    found = QApplication.instance()
    app = found if isinstance(found, QApplication) else QApplication(["NeuralAnnot Desk"])
    app.setApplicationName("NeuralAnnot Desk")
    app.setDesktopFileName("neuralannot-desk")
    messages = Messages(app)
    messages.install()
    session = Session(messages)
    theme.apply(session.preferences.theme)
    return app, MainWindow(session, Jobs())


def _settle(app: QApplication, window: MainWindow) -> None:
    """Lets the window work until photo, mesh, 3D view and thumbnails are there."""
    end = time.monotonic() + _SETTLE_SECONDS
    quiet = 0
    while time.monotonic() < end and quiet < 12:
        app.processEvents()
        time.sleep(0.05)
        quiet = quiet + 1 if window.settled else 0


def _print_timings(window: MainWindow) -> None:
    for name, signal in (
        ("photo", window.photo_painted),
        ("mesh", window.mesh_painted),
        ("solid", window.solid_painted),
    ):
        told: list[bool] = []

        def tell(name: str = name, told: list[bool] = told) -> None:
            if not told:
                told.append(True)
                print(f"timing {name} {since_start():.3f} s", file=sys.stderr, flush=True)

        signal.connect(tell)


def since_start() -> float:
    """Seconds since this process was started."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started
