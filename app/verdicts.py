"""The verdicts of the project that is open: the log they are kept in, those in force, and how quickly they come."""

from __future__ import annotations

import time
from pathlib import Path

from annotator.errors import NeuralAnnotError
from annotator.reviews import ReviewLog, redo_event, undo_event
from annotator.verdict import EventKind, FitKey, Judgement, ReviewEvent, Verdict
from app import damage

_PACE_SECONDS = 300.0


class Verdicts:
    """Reads the log when it is first wanted, because the database costs time, and keeps in step with it.

    Attributes:
        in_force: the verdict in force of every judged fit.
        problem: why the log cannot be read, as a sentence; then nothing is written to it either.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log: ReviewLog | None = None
        self._judged_at: list[float] = []
        self.in_force: dict[FitKey, Judgement] = {}
        self.problem = ""

    @property
    def loaded(self) -> bool:
        """Whether the log was looked at."""
        return self._log is not None

    def load(self) -> None:
        """Reads the log, or finds out that it cannot be read."""
        try:
            self.in_force = self._opened().judgements()
        except (NeuralAnnotError, ValueError, TypeError):  # no database, or one with words that nobody here wrote
            self.in_force, self.problem = {}, damage.of_log(self._path)

    def append(self, event: ReviewEvent) -> None:
        """Stores an event, at once and durably.

        Raises:
            NeuralAnnotError: it was not stored.
        """
        self._opened().append(event)
        if event.kind is EventKind.VERDICT and event.fit is not None:
            self.in_force[event.fit] = Judgement(
                event.fit, Verdict(event.value), event.reasons, event.note, event.reviewer, event.time, event.id
            )

    def take_back(self, reviewer: str, *, undo: bool) -> ReviewEvent | None:
        """Stores what takes back the reviewer's newest verdict, or his newest undo.

        Returns:
            The event that is in force no longer, or again; None if there is nothing to take back.

        Raises:
            NeuralAnnotError: it was not stored.
        """
        events = self._opened().events()
        event = (undo_event if undo else redo_event)(events, reviewer)
        if event is None:
            return None
        self.append(event)
        self.load()
        by_id = {known.id: known for known in events}
        concerned = by_id[event.undone]
        return by_id.get(concerned.undone, concerned)

    def newest_first(self, run: str) -> list[Judgement]:
        """The verdicts in force on a run's fits."""
        mine = (judgement for judgement in self.in_force.values() if judgement.fit.run == run)
        return sorted(mine, key=lambda judgement: judgement.time, reverse=True)

    def count(self) -> None:
        """A fit was judged just now."""
        self._judged_at.append(time.monotonic())

    @property
    def pace(self) -> float:
        """Fits judged a minute over the last five minutes."""
        now = time.monotonic()
        recent = [moment for moment in self._judged_at if now - moment < _PACE_SECONDS]
        return 60 * (len(recent) - 1) / max(recent[-1] - recent[0], 1.0) if len(recent) > 1 else 0.0

    def close(self) -> None:
        """Lets go of the database file."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _opened(self) -> ReviewLog:
        if self._log is None:
            self._log = ReviewLog(self._path)
        return self._log
