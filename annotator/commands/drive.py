"""Drives a command: shows its progress as a bar, as JSON lines or not at all, and stops it politely on SIGTERM or Ctrl+C."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self, TypeVar

from annotator.commands.table import Table
from annotator.jobfolder import JobFolder, as_event
from annotator.progress import Lines, Progress, Stopped
from annotator.ranks import following

if TYPE_CHECKING:
    from rich.progress import TaskID

T = TypeVar("T")
Display = Callable[[Progress], None]
Said = Generator[Progress, None, Table | None] | Table
"""What a command gives: work that ends with what there is to say, or that at once."""


class Show(StrEnum):
    """How progress is shown."""

    BAR = "bar"
    JSON = "json"
    NONE = "none"


def tell(said: Said, show: Show, *, job: Path | None = None) -> int:
    """Drives what a command gave and prints what it has to say; the exit status.

    Args:
        job: folder that keeps the traces of a command that the desk started.
    """
    table = said if isinstance(said, Table) else drive(said, show, job=job)
    say(table, show)
    return 1 if table is not None and table.lack else 0


def say(table: Table | None, show: Show) -> None:
    """Prints a table; where stdout is for JSON lines alone, a person reads it on stderr."""
    if table is None:
        return
    print(table.text(), file=sys.stderr if show is Show.JSON else sys.stdout)
    if table.lack:
        print(table.lack, file=sys.stderr)


def drive(work: Generator[Progress, None, T], show: Show, *, job: Path | None = None) -> T | None:
    """Runs `work` to its end and returns what it returns; None if it was asked to stop.

    Args:
        job: folder that keeps the traces of a command that the desk started.
    """
    result: list[T] = []
    recorded = _returning(work, result)
    steps = JobFolder(job).record(recorded, outcome=lambda: _outcome(result[0])) if job is not None else recorded
    with _stop_signals() as asked, _display(show) as display:
        try:
            for progress in steps:
                display(progress)
                if asked:
                    steps.throw(Stopped())
        except Stopped:
            if following():
                return None
            print(
                "Stopped. A run keeps what it saved and goes on with `run PROJECT --resume`; other commands begin anew.",
                file=sys.stderr,
            )
            return None
    return result[0]


def _outcome(said: object) -> str:
    """The first sentence of what a command has to say."""
    return said.notes[0] if isinstance(said, Table) and said.notes and not said.rows else ""


def _returning(work: Generator[Progress, None, T], result: list[T]) -> Generator[Progress, None, None]:
    result.append((yield from work))


@contextmanager
def _stop_signals() -> Generator[list[int], None, None]:
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt  # the second Ctrl+C means it
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _display(show: Show) -> Generator[Display, None, None]:
    if following():  # one of several processes speaks for all
        yield lambda _progress: None
    elif show is Show.JSON:
        yield _print_json
    elif show is Show.NONE:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _Bars() as bars:
            yield bars.show
    else:
        yield Lines(lambda line: print(line, file=sys.stderr, flush=True)).show


def _print_json(progress: Progress) -> None:
    print(json.dumps({"v": 1, "t": "progress", **as_event(progress)}), flush=True)


class _Bars:
    """Progress on a terminal: one bar per stage with rate and time left (rich)."""

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[values]}", style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        if progress.message:
            self._bars.print(progress.message, style="dim", highlight=False)
        if not progress.total:
            return
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(
                progress.stage, total=progress.total, unit=progress.unit, rate="", values=""
            )
        task_id = self._tasks[progress.stage]
        speed = next((task.speed for task in self._bars.tasks if task.id == task_id), None)
        self._bars.update(task_id, completed=progress.done, total=progress.total)
        self._bars.update(task_id, rate=f"{speed:,.0f}/s" if speed else "", values=_loss(progress))


def _loss(progress: Progress) -> str:
    return f"loss {progress.values['loss']:.3f}" if "loss" in progress.values else ""
