"""The verdicts of the project that is open: the log they are kept in, those in force, and how quickly they come."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from annotator.errors import NeuralAnnotError
from annotator.reviews import ReviewLog, redo_event, undo_event
from annotator.verdict import (
    EventKind,
    FitKey,
    Judgement,
    Pair,
    Preference,
    ReviewEvent,
    in_force,
    pair_of,
    preferences_in_force,
    undone_ids,
)
from app import damage

_PACE_SECONDS = 300.0


class Verdicts:
    """Reads the log when it is first wanted, because the database costs time, and keeps in step with it.

    Attributes:
        in_force: the verdict in force of every judged fit.
        preferences: the preference in force of every two fits that were compared.
        problem: why the log cannot be read, as a sentence; then nothing is written to it either.
        saved: whether what was given last is in the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log: ReviewLog | None = None
        self._judged_at: list[float] = []
        self._events: list[ReviewEvent] = []
        self._about: defaultdict[FitKey, list[ReviewEvent]] = defaultdict(list)
        self._undos: list[ReviewEvent] = []
        self._seen = (0, 0)
        self.in_force: dict[FitKey, Judgement] = {}
        self.preferences: dict[Pair, Preference] = {}
        self.problem, self.saved = "", True

    @property
    def loaded(self) -> bool:
        """Whether the log was looked at."""
        return self._log is not None

    @property
    def stale(self) -> bool:
        """Whether somebody else has written to the log since: a list of verdicts was imported."""
        return self._seen != _stamp(self._path)

    def load(self) -> None:
        """Reads the log, or finds out that it cannot be read."""
        stamp = _stamp(self._path)
        try:
            events = self._opened().events()
            self.in_force = in_force(events)
            self.preferences = preferences_in_force(events)
        except (NeuralAnnotError, ValueError, TypeError):  # no database, or one with words that nobody here wrote
            events, self.in_force, self.preferences = [], {}, {}
            self.problem = damage.of_log(self._path)
        self._seen = stamp
        self._events = []
        self._about.clear()
        self._undos = []
        for event in events:
            self._note(event)

    def append(self, event: ReviewEvent) -> None:
        """Stores an event, at once and durably.

        Raises:
            NeuralAnnotError: it was not stored.
        """
        known = self._about.get(event.fit, ()) if event.fit is not None else self._undos
        earlier = max((one.time for one in known), default=None)
        if (
            earlier is not None and earlier >= event.time
        ):  # a clock was set back, or one was ahead where a list came from
            event = replace(event, time=earlier + timedelta(microseconds=1))
        stale, self.saved = self.stale, False
        self._opened().append(event)
        self.saved = True
        self._note(event)
        if not stale:
            self._seen = _stamp(self._path)
        self._find_again(event)

    def take_back(self, reviewer: str, *, undo: bool) -> ReviewEvent | None:
        """Stores what takes back the reviewer's newest verdict, or his newest undo.

        Returns:
            The event that is in force no longer, or again; None if there is nothing to take back.

        Raises:
            NeuralAnnotError: it was not stored.
        """
        event = self._taking_back(reviewer, undo=undo)
        if event is None:
            return None
        self.append(event)
        by_id = {known.id: known for known in self._events}
        concerned = by_id[event.undone]
        concerned = by_id.get(concerned.undone, concerned)
        self._find_again(concerned)
        return concerned

    def can_take_back(self, reviewer: str, *, undo: bool) -> bool:
        """Whether `take_back` would find something."""
        return self._taking_back(reviewer, undo=undo) is not None

    def _taking_back(self, reviewer: str, *, undo: bool) -> ReviewEvent | None:
        return (undo_event if undo else redo_event)(self._events, reviewer, undone=undone_ids(self._undos))

    def newest(self, run: str, rows: Mapping[str, int], *, but: str | None) -> int:
        """The row, of those that `rows` has by sample key, whose fit of a run was judged last; -1 if none was."""
        mine = (j for j in self.in_force.values() if j.fit.run == run and j.fit.sample != but and j.fit.sample in rows)
        newest = max(mine, key=lambda judgement: judgement.time, default=None)
        return rows[newest.fit.sample] if newest is not None else -1

    def _find_again(self, event: ReviewEvent) -> None:
        """What is in force of that which an event speaks of."""
        if event.fit is not None and event.other is not None:
            self._find_preference(pair_of(event.fit, event.other))
        elif event.fit is not None:
            self._find_in_force(event.fit)

    def _find_preference(self, pair: Pair) -> None:
        preference = preferences_in_force([*self._about[pair[0]], *self._undos]).get(pair)
        if preference is None:
            self.preferences.pop(pair, None)
        else:
            self.preferences[pair] = preference

    def _find_in_force(self, fit: FitKey) -> None:
        """The verdict in force for one fit, from the events that bear on it."""
        judgement = in_force([*self._about[fit], *self._undos]).get(fit)
        if judgement is None:
            self.in_force.pop(fit, None)
        else:
            self.in_force[fit] = judgement

    def _note(self, event: ReviewEvent) -> None:
        """Keeps an event, and under the fits that it speaks of, so that a verdict costs the same after many."""
        self._events.append(event)
        if event.kind is EventKind.UNDO:
            self._undos.append(event)
        for fit in (event.fit, event.other):
            if fit is not None:
                self._about[fit].append(event)

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


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when somebody writes to a file."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
