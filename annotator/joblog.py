"""`log.txt` of a job: what its worker had to say and how far it was, whoever started it.

The window starts a worker whose stdout and stderr go to a file: to the log itself, or to `jobs/starting-*.log` while a run
has no folder yet. Such a file is taken in when the work begins, and both streams lead to the log from then on. So no line
is there twice, and nothing stays behind when the window was closed meanwhile.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from annotator.errors import storage
from annotator.progress import Lines, Progress

_STARTING = "starting-*.log"
_STALE_SECONDS = 3600
_STDOUT, _STDERR = 1, 2


class JobLog:
    """The log of the job in `folder`, which is below `runs` or `jobs` of a project."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.txt"
        self._streamed = _take_in(self._path)
        self._lines = Lines(self.say)

    def say(self, line: str) -> None:
        """Writes a line with its time (UTC)."""
        with storage(self._path), self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}  {line}\n")

    def show(self, progress: Progress) -> None:
        """Writes messages, and how far the work is whenever that is worth a line."""
        self._lines.show(progress)

    def end(self, words: str) -> None:
        """Writes how it ended, unless whoever drives the worker tells that on a stream that leads here."""
        if words and not self._streamed:
            self.say(words)


def _take_in(log: Path) -> bool:
    """Whether stderr leads to `log`, perhaps because it does so from now on; old beginnings that failed are removed."""
    stream = os.fstat(_STDERR)
    for file in (log.absolute().parent.parent.parent / "jobs").glob(_STARTING):
        with suppress(OSError):  # another worker takes it in, or it may not be removed
            if os.path.samestat(file.stat(), stream):
                _lead_to(log, file, stream)
            elif time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()
    with suppress(OSError):
        return os.path.samestat(log.stat(), os.fstat(_STDERR))
    return False


def _lead_to(log: Path, beginning: Path, stream: os.stat_result) -> None:
    for buffered in (sys.stdout, sys.stderr):
        buffered.flush()
    with log.open("ab") as whole:
        whole.write(beginning.read_bytes())
        whole.flush()
        for number in (_STDOUT, _STDERR):
            if os.path.samestat(os.fstat(number), stream):
                os.dup2(whole.fileno(), number)
    beginning.unlink()
