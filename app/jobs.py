"""Long work in the background: the same command line in a process of its own, which the window only watches.

The worker writes lines into its folder; the window tails the file, never a pipe, so a window that was closed finds its
jobs again, and a crash of a worker takes nothing with it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from annotator.errors import storage
from annotator.jobfolder import JobFolder, parsed
from annotator.project import Project
from annotator.runs import FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED

_MAIN = Path(__file__).resolve().parents[1] / "main.py"
_POLL_MS = 400
_STARTING = "starting-{}.log"
"""In `jobs/`, by the worker's process id: what a run says until it has a folder of its own."""
_RATE_SECONDS = 20.0
_LOG_BYTES, _LOG_LINES = 65536, 400
"""Of a log, what is shown of its end."""
_WORDLESS = "The worker ended with code {} before it began and left no word; make sure that the disk has room, then start it again."
_ENDS = {"done": FINISHED, "stopped": STOPPED, "fail": FAILED}


@dataclass
class Job:
    """What the window knows of one job.

    Attributes:
        folder: its traces.
        run: whether it is a run (then it may be resumed).
        message: the sentence it ended with.
        log: what the worker had to say, a sentence each.
        curves: name -> (steps, values), one per stage that reports a loss.
        rate: units a second over the last twenty seconds; 0 while unknown.
    """

    folder: JobFolder
    run: bool
    state: str = RUNNING
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    message: str = ""
    rate: float = 0.0
    started: float = 0.0
    curves: dict[str, tuple[list[float], list[float]]] = field(
        default_factory=dict[str, tuple[list[float], list[float]]]
    )
    log: list[str] = field(default_factory=list[str])
    pid: int = 0
    host: str = ""
    _offset: int = 0
    _recent: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])

    @property
    def elsewhere(self) -> bool:
        """Whether its worker is a process of another machine, with which this one shares the disk."""
        return self.host not in ("", os.uname().nodename)

    @property
    def resumable(self) -> bool:
        """Whether it is a run that ended early."""
        return self.run and self.state in (STOPPED, INTERRUPTED, FAILED)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.path.name

    @property
    def tail(self) -> str:
        """The last lines of its log file; where there is none, the sentences of its events."""
        try:
            with self.folder.log_path.open("rb") as file:
                file.seek(max(file.seek(0, os.SEEK_END) - _LOG_BYTES, 0))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return "\n".join(self.log[-_LOG_LINES:])
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    @property
    def seconds_left(self) -> float | None:
        """Of the stage, at the present rate; None while unknown."""
        return (self.total - self.done) / self.rate if self.rate and self.total else None

    def read(self) -> bool:
        """Takes in what the worker wrote since the last look; True if there was anything new."""
        state = self.state
        for event in self._new_events():
            self._take(event)
        if self.state == RUNNING and not self.folder.alive:
            for event in self._new_events():  # it may have ended between the two looks
                self._take(event)
            self.state = INTERRUPTED if self.state == RUNNING else self.state
        elif self.state == INTERRUPTED and self.folder.alive:
            self.state = RUNNING
        changed = self._changed or state != self.state
        self._changed = False
        return changed

    _changed: bool = True

    def _new_events(self) -> list[dict[str, Any]]:
        path = self.folder.events_path
        if not path.exists() or path.stat().st_size <= self._offset:
            return []
        with path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return parsed(whole)

    def _take(self, event: dict[str, Any]) -> None:
        self._changed = True
        kind = event["t"]
        if kind == "hello":
            self.state, self.pid, self.message = RUNNING, event["pid"], ""
            self.host = event.get("host", "")
            self.started = self.started or event["time"]
        elif kind in _ENDS:
            self.state, self.message, self.rate = _ENDS[kind], event.get("message", ""), 0.0
            if self.message:
                self.log.append(self.message)
        elif kind == "progress":
            self._take_progress(event)

    def _take_progress(self, event: dict[str, Any]) -> None:
        if event["stage"] != self.stage:
            self._recent.clear()
        self.stage, self.unit = event["stage"], event.get("unit", "")
        self.done, self.total = event.get("done", 0), event.get("total", 0)
        if "message" in event:
            self.log.append(event["message"])
        self._recent.append((event["time"], self.done))
        while self._recent[-1][0] - self._recent[0][0] > _RATE_SECONDS and len(self._recent) > 2:
            self._recent.pop(0)
        seconds = self._recent[-1][0] - self._recent[0][0]
        self.rate = (self._recent[-1][1] - self._recent[0][1]) / seconds if seconds > 0.5 else 0.0
        if "loss" in event.get("values", {}):
            steps, values = self.curves.setdefault(self.stage, ([], []))
            while steps and steps[-1] >= self.done:  # a resumed run goes on from its checkpoint, some steps back
                del steps[-1], values[-1]
            steps.append(float(self.done))
            values.append(float(event["values"]["loss"]))


class Jobs(QObject):
    """Starts, watches and stops the jobs of the open project.

    Signals:
        changed: some job moved, began or ended.
        ended: a job has ended that was not over when the project was first looked at.
        refused: a worker ended before it began; the sentence it left.
    """

    changed = Signal()
    ended = Signal(Job)
    refused = Signal(str)

    def __init__(self, parent: QObject | None = None, *, main: Path = _MAIN) -> None:
        super().__init__(parent)
        self._main = main
        self._project: Project | None = None
        self._jobs: dict[Path, Job] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._codes: dict[str, int] = {}
        self._known = False
        self._sweeps = False
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self.look)

    def watch(self, project: Project | None, *, sweep: bool = True) -> None:
        """Watches the jobs of a project; those that ran while no window was open are found again.

        Args:
            sweep: whether this window may tidy up what workers left that another window started.
        """
        self._project, self._sweeps, self._known = project, sweep, False
        self._jobs.clear()
        if project is None:
            self._timer.stop()
        else:
            self._timer.start()
            self.look()

    @property
    def all(self) -> list[Job]:
        """Every job, newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.started, reverse=True)

    @property
    def running(self) -> list[Job]:
        """Those that are being worked on."""
        return [job for job in self.all if job.state == RUNNING]

    def start_run(self, words: Sequence[str]) -> None:
        """Starts `run PROJECT words...` detached; its folder appears among the runs.

        Raises:
            StorageError: the disk is full or may not be written; nothing was started.
        """
        assert self._project is not None
        log = self._project.path / "jobs" / f"starting-{time.time_ns()}.log"
        process = self._launch(["run", str(self._project.path), *words], log)
        log.replace(log.with_name(_STARTING.format(process.pid)))

    def start_command(self, name: str, words: Sequence[str]) -> None:
        """Starts another long command (import, export) with a job folder of its own.

        Raises:
            StorageError: the disk is full or may not be written; nothing was started.
        """
        assert self._project is not None
        folder = self._project.path / "jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
        self._launch([*words, "--job", str(folder)], folder / "log.txt")

    def stop(self, job: Job) -> None:
        """Asks the worker to save what it has and end."""
        job.folder.ask_to_stop()

    def cancel(self, job: Job) -> None:
        """Kills the worker and whatever it started; what it saved stays. One on another machine lives on."""
        if job.folder.alive and job.pid and not job.elsewhere:
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(os.getpgid(job.pid), signal.SIGKILL)

    def look(self) -> None:
        """One look at all folders."""
        if self._project is None:
            return
        before = {path: job.state for path, job in self._jobs.items()}
        for folder, is_run in self._folders():
            if folder.path not in self._jobs:
                self._jobs[folder.path] = Job(folder, is_run)
        moved = [job for job in self._jobs.values() if job.read()]
        self._reap()
        unseen = RUNNING if self._known else ""  # one that was quick may begin and end between two looks
        self._known = True
        for job in moved:
            if before.get(job.folder.path, unseen) == RUNNING and job.state != RUNNING:
                self.ended.emit(job)
        if moved:
            self.changed.emit()

    def _folders(self) -> list[tuple[JobFolder, bool]]:
        assert self._project is not None
        runs = [(JobFolder(path.parent), True) for path in (self._project.path / "runs").glob("[!.]*/events.jsonl")]
        others = [(job, False) for job in self._project.jobs() if job.events_path.exists()]
        gone = [path for path in self._jobs if not path.exists()]
        for path in gone:
            del self._jobs[path]
        return [*runs, *others]

    def _launch(self, words: list[str], log: Path) -> subprocess.Popen[bytes]:
        with storage(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            _require_room(log)
        with log.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the worker keeps it with the file, as long as it lives
            process = subprocess.Popen(
                [sys.executable, str(self._main), *words, "--progress", "none"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=self._main.parent,
            )
        self._started.append(process)
        return process

    def _reap(self) -> None:
        """Moves the logs of runs that have begun into their folders, and tells of workers that ended before they began."""
        for process in self._started:
            if process.poll() is not None:
                self._codes[str(process.pid)] = process.returncode
        self._started = [process for process in self._started if process.returncode is None]
        assert self._project is not None
        for log in sorted((self._project.path / "jobs").glob(_STARTING.format("*"))) if self._sweeps else ():
            with suppress(OSError):  # another window was quicker, or the disk is full: the next look is soon
                self._settle(log)

    def _settle(self, log: Path) -> None:
        pid, written = log.stem.rpartition("-")[2], _is_written(log)
        jobs = (job for job in self._jobs.values() if job.run and str(job.pid) == pid and not job.elsewhere)
        job = next((job for job in jobs if job.state == RUNNING or not written), None)
        if job is not None:
            if job.folder.log_path.exists():
                job.folder.log_path.replace(job.folder.path / f"log-{time.time_ns()}.txt")
            log.replace(job.folder.log_path)
        elif not written:
            lines, code = log.read_text(errors="replace").strip().splitlines(), self._codes.get(pid, 0)
            log.unlink()
            if lines or code:
                self.refused.emit(lines[-1] if lines else _WORDLESS.format(code))


def _require_room(log: Path) -> None:
    """A worker on a full disk has nowhere to say so; whoever starts it sees it here."""
    with log.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.write(b"\n")
        file.truncate(size)


def _is_written(log: Path) -> bool:
    """Whether the worker that writes this log lives."""
    with log.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
