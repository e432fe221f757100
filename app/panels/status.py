"""The bottom line: what runs, what was judged, the last message and what it offers."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from app import theme
from app.jobs import Jobs
from app.panels.jobs import progress_text
from app.session import Session
from app.shelf import FITTED

_NOTE_MS = 6000


class StatusPanel(QWidget):
    """One line that never moves.

    Signals:
        jobs_clicked: somebody wants to see the jobs.
        offered: the run whose fits somebody wants to see.
    """

    jobs_clicked = Signal()
    offered = Signal(str)

    def __init__(self, session: Session, jobs: Jobs, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._jobs = session, jobs
        self._work, self._message, self._judged = QPushButton(), QLabel(), QLabel()
        self._bar, self._offer = QProgressBar(), QPushButton("Show its fits")
        self._run, self._level = "", "note"
        self._fade = QTimer(self)
        self._fade.setSingleShot(True)
        self._fade.timeout.connect(self._message.clear)
        self._place()
        jobs.changed.connect(self.refresh)
        for signal in (
            session.verdicts_changed,
            session.shelf_changed,
            session.project_changed,
            session.problems_changed,
            session.comparison.changed,
        ):
            signal.connect(self.refresh)
        session.current_changed.connect(self._move_on)
        self._work.clicked.connect(self.jobs_clicked)
        self._offer.clicked.connect(self._take_offer)

    def say(self, level: str, sentence: str) -> None:
        """Shows a message; notes fade, warnings stay until another person is shown, errors until the next message."""
        self._level = level
        self._message.setText(sentence)
        self._message.setToolTip(sentence)
        self.restyle()
        self._offer.hide()
        self._fade.stop()
        if level == "note":
            self._fade.start(_NOTE_MS)

    def restyle(self) -> None:
        """The message in the theme's colours."""
        look = theme.current()
        color = {"note": look.quiet, "warning": look.unsure, "error": look.reject}[self._level]
        self._message.setStyleSheet(f"color: {color};")

    def _move_on(self) -> None:
        """A warning was about what was shown before."""
        if self._level == "warning":
            self.forget()

    def forget(self) -> None:
        """Takes away what was said: it was about another project."""
        self._fade.stop()
        self._message.clear()
        self._message.setToolTip("")
        self._offer.hide()

    def offer(self, sentence: str, run_id: str) -> None:
        """Says that a run is finished, with a button that shows its fits."""
        self.say("note", sentence)
        self._fade.stop()
        self._run = run_id
        self._offer.show()

    def refresh(self) -> None:
        """The work and the counts as they are now."""
        running = self._jobs.running
        self._work.setVisible(bool(running))
        self._bar.setVisible(bool(running))
        if running:
            job = running[0]
            more = f"   and {len(running) - 1} more" if len(running) > 1 else ""
            self._work.setText(progress_text(job) + more)
            self._bar.setRange(0, max(job.total, 1))
            self._bar.setValue(job.done)
        self._judged.setText(self._judged_text())

    def _judged_text(self) -> str:
        shelf = self._session.shelf
        if shelf is None or shelf.run is None:
            return ""
        verdicts = self._session.verdicts
        if verdicts is None or not verdicts.loaded:
            return ""
        if verdicts.problem:
            return "verdicts off"
        right, pace = self._session.comparison.right, self._session.pace
        if right is not None:
            both = int(((shelf.status == FITTED) & (right.status == FITTED)).sum())
            words = f"compared {len(self._session.compared_rows()):,} of {both:,}"
        else:
            judged, fitted = int((shelf.verdicts > 0).sum()), int((shelf.status == FITTED).sum())
            words = f"judged {judged:,} of {fitted:,}"
        if pace:
            words += f"    {pace:.0f}/min"
        return words + (
            "    read-only" if self._session.read_only else "    saved" if verdicts.saved else "    not saved"
        )

    def _take_offer(self) -> None:
        self._offer.hide()
        self._message.clear()
        self.offered.emit(self._run)

    def _place(self) -> None:
        self._work.setProperty("flat", True)
        self._work.setToolTip("Show the jobs (J)")
        self._bar.setFixedWidth(160)
        self._bar.setTextVisible(False)
        self._judged.setProperty("role", "quiet")
        self._judged.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for button in (self._work, self._offer):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for widget in (self._work, self._bar, self._offer):
            widget.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 6)
        layout.setSpacing(theme.UNIT)
        layout.addWidget(self._bar)
        layout.addWidget(self._work)
        layout.addWidget(self._message, 1)
        layout.addWidget(self._offer)
        layout.addWidget(self._judged)
        self.setMinimumHeight(32)
