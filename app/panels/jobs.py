"""The drawer of jobs: progress with rate and time left, the loss curve, the log; stop, kill, resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from annotator.commands.table import duration_text
from annotator.runs import FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED
from app import theme
from app.jobs import Job, Jobs
from app.panels.action_button import ActionButton
from viewers.plots import CurvePlot

_GLYPHS = {RUNNING: "▶", FINISHED: "✓", STOPPED: "■", FAILED: "✕", INTERRUPTED: "!"}


def progress_text(job: Job) -> str:
    """One line: how far, how quick, how long still."""
    if job.state == INTERRUPTED:
        return f"Interrupted; what it saved is kept. {'Resume goes on from there.' if job.run else 'Start it again.'}"
    if job.state != RUNNING:
        return job.message or job.state.capitalize() + "."
    text = f"{job.stage}" if job.stage else "Starting"
    if job.total:
        text += f"   {job.done:,} of {job.total:,} {job.unit}"
    if job.rate > 0:
        text += f"   {job.rate:,.1f}/s"
    if job.seconds_left is not None and job.done < job.total:
        text += f"   {duration_text(job.seconds_left)} left"
    return text


class Log(QPlainTextEdit):
    """Text that grows. Its end stays in sight until somebody scrolls away from it.

    Attributes:
        follows: whether it does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.follows = True
        self.setReadOnly(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setAccessibleName("Log")
        self.verticalScrollBar().actionTriggered.connect(self._moved)
        self.verticalScrollBar().rangeChanged.connect(self._resized)

    def show_text(self, text: str) -> None:
        """Shows the text as it is now."""
        if text == self.toPlainText():
            return
        bar = self.verticalScrollBar()
        place = bar.value()
        self.setPlainText(text)
        bar.setValue(bar.maximum() if self.follows else place)

    def _moved(self, _action: int) -> None:
        bar = self.verticalScrollBar()
        self.follows = bar.sliderPosition() >= bar.maximum()

    def _resized(self, _least: int, most: int) -> None:
        if self.follows:
            self.verticalScrollBar().setValue(most)


class JobsPanel(QWidget):
    """The lower drawer.

    Signals:
        current_changed: it shows another job, or the same one in another state.
    """

    current_changed = Signal()

    def __init__(self, jobs: Jobs, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._list, self._title, self._progress = QListWidget(), QLabel(), QLabel()
        self._bar, self._log = QProgressBar(), Log()
        self._plot: CurvePlot | None = None
        self._chosen: Path | None = None
        self._told: tuple[Path, str] | None = None
        self._lower = QHBoxLayout()
        self._stop, self._kill = ActionButton("Stop", actions["stop_job"]), ActionButton("Kill", actions["kill_job"])
        self._resume = ActionButton("Resume", actions["resume_job"])
        self._empty = QLabel("No jobs yet.\nStart a run with Ctrl+R; it goes on when this window is closed.")
        self._body = QWidget()
        self._place()
        jobs.changed.connect(self.refresh)
        self._list.currentRowChanged.connect(self._choose)

    def refresh(self) -> None:
        """Shows all jobs as they are now."""
        self._tell()
        if not self.isVisible():
            return
        shown = self._jobs.all
        self._empty.setVisible(not shown)
        self._body.setVisible(bool(shown))
        self._list.blockSignals(True)
        while self._list.count() < len(shown):
            self._list.addItem(QListWidgetItem())
        while self._list.count() > len(shown):
            self._list.takeItem(self._list.count() - 1)
        for row, job in enumerate(shown):
            self._list.item(row).setText(f"{_GLYPHS[job.state]}  {job.name}   {job.state}")
        places = [place for place, job in enumerate(shown) if job.folder.path == self._chosen]
        self._list.setCurrentRow(places[0] if places else 0 if shown else -1)
        self._list.blockSignals(False)
        self._show_job()

    def showEvent(self, event: object) -> None:
        self.refresh()

    @property
    def current(self) -> Job | None:
        """The job that was chosen; until one is, the newest that runs, or else the newest.

        Rows move when a job begins, so they do not name one.
        """
        shown = self._jobs.all
        newest = next((job for job in shown if job.state == RUNNING), shown[0] if shown else None)
        return next((job for job in shown if job.folder.path == self._chosen), newest)

    def restyle(self) -> None:
        """The curve in the theme's colours."""
        if self._plot is not None:
            self._show_job()

    def _tell(self) -> None:
        job = self.current
        now = (job.folder.path, job.state) if job is not None else None
        if now != self._told:
            self._told = now
            self.current_changed.emit()

    def _choose(self, row: int) -> None:
        shown = self._jobs.all
        self._chosen = shown[row].folder.path if 0 <= row < len(shown) else None
        self._log.follows = True
        self._tell()
        self._show_job()

    def _show_job(self) -> None:
        job = self.current
        if job is None:
            return
        self._title.setText(job.name)
        self._progress.setText(progress_text(job))
        self._bar.setRange(0, max(job.total, 1))
        self._bar.setValue(job.done if job.state == RUNNING else job.total if job.state == FINISHED else job.done)
        self._resume.setVisible(job.resumable)
        self._log.show_text(job.tail)
        if job.curves:
            if self._plot is None:
                self._plot = CurvePlot("loss by step")
                self._plot.setAccessibleName("Loss")
                self._lower.addWidget(self._plot, 1)
            stage, curve = list(job.curves.items())[-1]
            self._plot.show_curves({stage: curve}, theme.current().accent)
        if self._plot is not None:
            self._plot.setVisible(bool(job.curves))

    def _place(self) -> None:
        self._list.setFixedWidth(280)
        self._list.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._title.setProperty("role", "heading")
        self._bar.setTextVisible(False)
        self._empty.setProperty("role", "quiet")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        head = QHBoxLayout()
        head.addWidget(self._title)
        head.addWidget(self._progress, 1)
        for button in (self._resume, self._stop, self._kill):
            head.addWidget(button)
        detail = QVBoxLayout()
        detail.addLayout(head)
        detail.addWidget(self._bar)
        self._lower.addWidget(self._log, 1)
        detail.addLayout(self._lower, 1)
        row = QHBoxLayout(self._body)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._list)
        row.addLayout(detail, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.UNIT, theme.UNIT, theme.UNIT, theme.UNIT)
        layout.addWidget(self._empty)
        layout.addWidget(self._body)
        self._body.hide()
