"""The desk in a test: a real window on a project, driven by keys."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.jobs import Jobs
from app.main_window import MainWindow
from app.messages import Messages
from app.session import Session

NO_KEYS, SHIFT, CTRL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)
Key = Qt.Key


@dataclass
class Desk:
    """A window and what it said."""

    window: MainWindow
    said: list[tuple[str, str]]
    qtbot: Any
    closed: bool = False

    @property
    def session(self) -> Session:
        return self.window.session

    @property
    def id(self) -> str:
        """Annotation id of the current person."""
        assert self.session.sample is not None
        return self.session.sample.annotation_id

    def open(self, project: Path) -> bool:
        opened = self.session.open(project)
        self.settle()
        return opened

    def settle(self) -> None:
        """Waits until the current person is on the screen and the verdicts are known."""
        window = self.window
        if self.session.project is not None and self.session.shelf is not None:
            self.qtbot.waitUntil(lambda: self.session._log is not None, timeout=20_000)
        self.qtbot.waitUntil(lambda: window.settled, timeout=20_000)

    def press(self, *keys: Qt.Key, with_: Qt.KeyboardModifier = NO_KEYS, on: QWidget | None = None) -> None:
        for key in keys:
            QTest.keyClick(on or self.window, key, with_)
            QApplication.processEvents()

    def verdict(self, number: str) -> tuple[str, tuple[str, ...]] | None:
        """The verdict in force for a person of the run that is shown, and its reasons."""
        assert self.session.shelf is not None
        row = self.session.shelf.samples.index_of[f"wild/{number}"]
        key = self.session.shelf.key(row)
        found = self.session.judgements.get(key) if key is not None else None
        return (found.verdict.value, found.reasons) if found is not None else None


def make_desk(qtbot: Any, jobs: Jobs | None = None) -> Desk:
    """A window on the screen without a project; close it with `close_desk`."""
    messages = Messages()
    said: list[tuple[str, str]] = []
    messages.said.connect(lambda level, sentence: said.append((level, sentence)))
    window = MainWindow(Session(messages), jobs or Jobs())
    window.resize(1280, 760)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None, timeout=5000)
    return Desk(window, said, qtbot)


def close_desk(desk: Desk) -> None:
    if desk.closed:
        return
    desk.closed = True
    desk.window.close()
    desk.window.deleteLater()
    QApplication.processEvents()


def rows_on_disk(project: Path) -> list[tuple[str, ...]]:
    """kind, sample, value and reasons of every event, read by a connection of our own."""
    with sqlite3.connect(f"file:{project / 'reviews.sqlite'}?mode=ro", uri=True) as connection:
        found = connection.execute("select kind, sample, value, reasons from events order by n").fetchall()
    connection.close()
    return found
