"""The folder in which a long command leaves its traces: `events.jsonl`, `log.txt` (`joblog.py`), `lock`, `stop`.

The worker appends JSON lines; whoever watches tails the file, so a window that was closed finds its jobs again.
A job lives as long as its worker holds the `lock`: the kernel frees it even on `kill -9`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from annotator.errors import NeuralAnnotError, ProjectError, RunError, StorageError, storage
from annotator.joblog import JobLog
from annotator.outside import parse_json
from annotator.progress import Progress, Stopped, Work

_QUIET_SECONDS = 0.2
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 10, 0.05


@dataclass(frozen=True)
class JobFolder:
    """The traces of one long command, for its worker and for those who watch it."""

    path: Path

    @property
    def events_path(self) -> Path:
        """One JSON object a line: `v`, `t` (hello, progress, done, fail, stopped), `time` and the fields of `Progress`."""
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        """What the worker said, and how far it was from time to time."""
        return self.path / "log.txt"

    @property
    def stop_path(self) -> Path:
        """Exists once somebody asked the worker to stop."""
        return self.path / "stop"

    def ask_to_stop(self) -> None:
        """The worker saves what it has and ends at its next report of progress."""
        with storage(self.stop_path):
            self.stop_path.touch()

    @property
    def alive(self) -> bool:
        """Whether a worker holds the lock."""
        try:
            with (self.path / "lock").open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # there is none, or none that can be one
            return False
        return False

    @contextmanager
    def working(self) -> Generator[None, None, None]:
        """Holds the lock while the block runs.

        Raises:
            RunError: another worker holds it.
        """
        with storage(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / "lock").open("wb")
        with handle:
            if not _locked(handle):
                raise RunError(f"Another worker is busy in {self.path}; wait for it or stop it first.")
            with storage(self.stop_path):
                self.stop_path.unlink(missing_ok=True)
            yield

    def events(self) -> list[dict[str, Any]]:
        """All whole lines written so far, oldest first.

        Raises:
            ProjectError: the file is there and cannot be read.
        """
        try:
            return parsed(self.events_path.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ProjectError(
                f"{self.events_path} cannot be read ({error.strerror}); mend its permissions or remove it."
            ) from error

    def append(self, kind: str, **fields: object) -> None:
        """Writes one line at once."""
        line = json.dumps({"v": 1, "t": kind, "time": time.time(), **fields}, separators=(",", ":"))
        with storage(self.events_path), self.events_path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else "\n" + line  # a killed worker left half a line
            file.write(line.encode() + b"\n")

    def record(
        self, work: Work, *, on_end: Callable[[str, str], None] | None = None, outcome: Callable[[], str] = str
    ) -> Work:
        """Passes `work` on and keeps its reports in the folder; a `stop` file is turned into `Stopped`.

        Args:
            outcome: asked at the end of work that went well for the sentence that belongs to it.
            on_end: called with the state (finished, stopped, failed) and the sentence that belongs to it.
        """
        with self.working():
            log = JobLog(self.path)
            self.append("hello", pid=os.getpid(), host=os.uname().nodename)
            log.say(f"Begun by process {os.getpid()} on {os.uname().nodename}.")
            state, message, words = "failed", "The worker ended unexpectedly.", ""
            try:
                yield from self._watched(work, log)
                state, message = "finished", outcome()
                words = f"Finished. {message}".rstrip()
            except (Stopped, GeneratorExit):  # the latter: whoever drove this worker is gone
                state, message = "stopped", "Stopped; it can be resumed."
                raise
            except NeuralAnnotError as error:
                message = str(error)
                raise
            except BaseException as error:
                message, words = f"{type(error).__name__}: {error}", traceback.format_exc().rstrip()
                raise
            finally:
                self._end(log, state, message, words or message, on_end)

    def _end(
        self, log: JobLog, state: str, message: str, words: str, on_end: Callable[[str, str], None] | None
    ) -> None:
        """Notes how the work ended wherever the disk has room for it; a full disk does not hide why it ended so.

        Raises:
            StorageError: it went well, and that could not be noted.
        """
        kind = {"finished": "done", "stopped": "stopped"}.get(state, "fail")
        notes = [partial(self.append, kind, message=message), partial(log.end, words)]
        refused: StorageError | None = None
        for note in notes if on_end is None else [*notes, partial(on_end, state, message)]:
            try:
                note()
            except StorageError as error:
                refused = refused or error
        if refused is not None and state == "finished":
            raise refused

    def _watched(self, work: Work, log: JobLog) -> Work:
        last_time, last_stage = 0.0, ""
        for progress in work:
            now = time.monotonic()
            worth = (
                progress.message or progress.values or progress.stage != last_stage or progress.done >= progress.total
            )
            with _ended_by_a_full_disk(work):
                log.show(progress)
                if worth or now - last_time >= _QUIET_SECONDS:
                    self.append("progress", **as_event(progress))
                    last_time, last_stage = now, progress.stage
            if self.stop_path.exists():
                yield from _stop(work)
            try:
                yield progress
            except Stopped:
                yield from _stop(work)


def _locked(handle: BinaryIO) -> bool:
    """Takes the lock; tries for a moment, because whoever asks whether a worker is `alive` holds it for an instant."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def parsed(data: bytes) -> list[dict[str, Any]]:
    """The events of whole lines; what a killed worker or a full disk left half written, and what is no event, is passed over."""
    return [event for event in parsed_lines(data) if _is_event(event)]


def parsed_lines(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of whole lines; what is none is passed over."""
    found: list[dict[str, Any]] = []
    for line in data.split(b"\n")[:-1]:
        with suppress(ValueError):
            value: Any = parse_json(line)
            if isinstance(value, dict):
                found.append(value)
    return found


_FIELDS: dict[str, tuple[type, ...]] = {
    "t": (str,),
    "time": (int, float),
    "pid": (int,),
    "host": (str,),
    "stage": (str,),
    "done": (int,),
    "total": (int,),
    "unit": (str,),
    "message": (str,),
    "values": (dict,),
}
_NEEDED = {"hello": ("pid",), "progress": ("stage",)}


def _is_event(event: dict[str, Any]) -> bool:
    """Whether it has what every line has, and every field the type that those who read it count on."""
    needed = {"t", "time", *_NEEDED.get(str(event.get("t")), ())}
    typed = all(type(event[name]) in kinds for name, kinds in _FIELDS.items() if name in event)
    return needed <= set(event) and typed and all(type(v) in (int, float) for v in event.get("values", {}).values())


def as_event(progress: Progress) -> dict[str, object]:
    """The fields of a report, as `events.jsonl` and `--progress json` hold them; empty ones are left out."""
    fields = {
        "stage": progress.stage,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit,
        "message": progress.message,
        "values": dict(progress.values),
    }
    return {name: value for name, value in fields.items() if value not in ("", {})}


@contextmanager
def _ended_by_a_full_disk(work: Work) -> Generator[None, None, None]:
    """Ends the work where the block cannot write; that it cannot save what it has either is the same full disk."""
    try:
        yield
    except StorageError:
        with suppress(StorageError):
            work.close()
        raise


def _stop(work: Work) -> Work:
    # The worker may still report while it saves; it must end by letting `Stopped` pass.
    work.throw(Stopped())
    yield from work
    raise Stopped
