"""The desk in a test: a real window on a project, driven by keys."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.jobs import Jobs
from app.main_window import MainWindow
from app.messages import Messages
from app.selection import Selection
from app.session import Session
from app.settings import Preferences

NO_KEYS = Qt.KeyboardModifier.NoModifier
SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
Key = Qt.Key
REVIEWER = Preferences(reviewer="ann")


def wait_until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Lets Qt work until `true()`; fails the test if that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        QTest.qWait(10)


@dataclass
class Desk:
    """A window and what it said."""

    window: MainWindow
    said: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False

    @property
    def session(self) -> Session:
        return self.window.session

    @property
    def id(self) -> str:
        """Annotation id of the current person."""
        assert self.session.sample is not None
        return self.session.sample.annotation_id

    @property
    def run(self) -> str:
        """Id of the run that is shown."""
        assert self.session.shelf is not None
        assert self.session.shelf.run is not None
        return self.session.shelf.run.id

    def open(self, project: Path) -> bool:
        return self.session.open(project)

    def settle(self) -> None:
        """Waits until the current person is on the screen and the verdicts are known."""
        if self.session.project is not None and self.session.shelf is not None:
            wait_until(lambda: self.session.verdicts.loaded)
        wait_until(lambda: self.window.settled)

    def activate(self) -> None:
        """Gives it the keyboard."""
        self.window.raise_()
        self.window.activateWindow()
        wait_until(lambda: QApplication.activeWindow() is self.window)

    def reset(self) -> None:
        """As a new user finds the window."""
        self.activate()
        self.said.clear()
        self.window.people.search.clear()
        self.session.change_preferences(REVIEWER)
        self.session.selection = Selection()
        for name, on in (("toggle_jobs", False), ("toggle_keypoints", True)):
            if self.window.actions_by_id[name].isChecked() is not on:
                self.window.actions_by_id[name].trigger()
        self.window.setFocus()

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


def make_desk(jobs: Jobs | None = None) -> Desk:
    """A window on the screen without a project; close it with `close_desk`."""
    messages = Messages()
    desk = Desk(MainWindow(Session(messages), jobs or Jobs()))
    messages.said.connect(lambda level, sentence: desk.said.append((level, sentence)))
    desk.window.resize(1000, 640)
    desk.window.show()
    assert QTest.qWaitForWindowExposed(desk.window, 5000)
    desk.activate()
    return desk


def close_desk(desk: Desk) -> None:
    if desk.closed:
        return
    desk.closed = True
    desk.window.close()
    desk.window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def rows_on_disk(project: Path) -> list[tuple[str, ...]]:
    """kind, sample, value and reasons of every event, read by a connection of our own."""
    connection = sqlite3.connect(f"file:{project / 'reviews.sqlite'}?mode=ro", uri=True)
    try:
        return connection.execute("select kind, sample, value, reasons from events order by n").fetchall()
    finally:
        connection.close()
