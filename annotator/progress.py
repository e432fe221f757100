"""How long work tells of itself: a generator that yields `Progress` and may be stopped between two of them.

The command line and the desk drive the same generators. To stop one politely, `Stopped` is thrown into it at
its last `yield`; it saves what it has and lets the exception pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

_LINE_SECONDS = 10.0
_NO_VALUES: Mapping[str, float] = {}


@dataclass(frozen=True)
class Progress:
    """One report of long work.

    Attributes:
        stage: what is being done, in the words of the screen ("Training the target network").
        done: how many of `total` are done in this stage.
        total: 0 where the number is not known beforehand.
        unit: what is counted, plural ("steps", "people", "photos").
        message: a sentence worth keeping in the log; empty for a bare count.
        values: numbers worth a curve, by name ("loss").
    """

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    message: str = ""
    values: Mapping[str, float] = field(default_factory=lambda: _NO_VALUES)


Work = Generator[Progress, None, None]
"""What every command returns."""


class Stopped(Exception):  # noqa: N818  (it is a request, not an error)
    """Thrown into a generator of `Progress` when a person asked it to stop: save, then let it pass."""


class Lines:
    """Progress as lines of text: messages, and a line when a stage ends or ten seconds have passed."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._stage, self._began, self._last = "", 0.0, 0.0

    def show(self, progress: Progress) -> None:
        """Writes what is worth a line."""
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._began, self._last = progress.stage, now, 0.0
        if progress.message:
            self._write(progress.message)
        ended = progress.total > 0 and progress.done >= progress.total
        if progress.total and (ended or now - self._last >= _LINE_SECONDS):
            self._last = now
            self._write(_line(progress, now - self._began))


def _line(progress: Progress, seconds: float) -> str:
    rate = progress.done / seconds if seconds > 0.5 else 0.0
    text = f"{progress.stage}: {progress.done:,} of {progress.total:,} {progress.unit}".rstrip()
    if "loss" in progress.values:
        text += f", loss {progress.values['loss']:.3f}"
    if rate and progress.done < progress.total:
        return f"{text}, {rate:,.1f}/s, {duration_text((progress.total - progress.done) / rate)} left"
    return f"{text}, {duration_text(seconds)}"


def duration_text(seconds: float) -> str:
    """A duration for people: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
