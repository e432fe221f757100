"""The state that the panels share: project, data set, run, the current person, filter, verdicts. They ask it and listen.

It holds no widget and draws nothing.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal

from annotator.errors import NeuralAnnotError
from annotator.fit import Fit
from annotator.project import TARGET, Project
from annotator.reviews import ReviewLog, redo_event, undo_event
from annotator.runs import Run
from annotator.sample import Sample
from annotator.verdict import REASONS, EventKind, FitKey, Judgement, ReviewEvent, Verdict
from app.messages import Messages
from app.settings import Preferences, load_preferences, save_preferences
from app.shelf import Order, Shelf, Show

_PACE_SECONDS = 300.0


class Session(QObject):
    """What the desk is looking at.

    Signals:
        project_changed: another project is open, or none.
        shelf_changed: another data set or run, or new data of them.
        rows_changed: the list's filter or order was applied anew.
        current_changed: another person.
        verdicts_changed: a verdict, an undo, or armed reasons.
        preferences_changed: the theme or another preference.
    """

    project_changed = Signal()
    shelf_changed = Signal()
    rows_changed = Signal()
    current_changed = Signal()
    verdicts_changed = Signal()
    preferences_changed = Signal()

    def __init__(self, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.messages = messages
        self.preferences: Preferences = load_preferences()
        self.project: Project | None = None
        self.held_by = ""
        self.shelf: Shelf | None = None
        self.rows = np.zeros(0, np.int64)
        self.row = -1
        self.show, self.order, self.text = Show.ALL, Order.WORST, ""
        self.armed: tuple[str, ...] = ()
        self.judgements: dict[FitKey, Judgement] = {}
        self._log: ReviewLog | None = None
        self._lock: AbstractContextManager[str] | None = None
        self._judged_at: list[float] = []

    # -- project -----------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> bool:
        """Opens a project; False (and a message) if it cannot be."""
        try:
            project = Project.open(path.resolve())  # workers have another current folder
            if self.project is not None and self.project.path.resolve() == path.resolve():
                self.close()  # else this window would find the project held by itself
            lock = project.desk_lock()
            held_by = lock.__enter__()
        except (NeuralAnnotError, OSError) as error:
            self.messages.error(str(error))
            return False
        self.close()
        self.project, self._lock, self.held_by = project, lock, held_by
        self.change_preferences(self.preferences.with_recent(path))
        self.project_changed.emit()
        try:
            datasets = self.datasets()
            self.show_dataset(datasets[0] if datasets else None)
        except NeuralAnnotError as error:  # one damaged table or run does not close the rest
            self.messages.error(str(error))
        return True

    def close(self) -> None:
        """Lets go of the project, its log and its lock."""
        if self._log is not None:
            self._log.close()
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
        self.project, self._log, self._lock, self.held_by = None, None, None, ""
        self.shelf, self.row, self.rows, self.judgements = None, -1, np.zeros(0, np.int64), {}

    @property
    def read_only(self) -> bool:
        """Whether another window holds the project."""
        return bool(self.held_by)

    def datasets(self) -> list[str]:
        """Names of the data sets that have bodies to look at, target sets first."""
        if self.project is None:
            return []
        infos = [info for info in self.project.datasets().values() if "body" in info.parts]
        return [info.name for info in sorted(infos, key=lambda info: (info.role != TARGET, info.name))]

    def runs(self) -> list[Run]:
        """Runs with fits of the data set that is shown, newest first."""
        if self.project is None or self.shelf is None:
            return []
        wanted = (self.shelf.dataset, self.shelf.samples.part)
        return [run for run in reversed(self.project.runs()) if run.shards(*wanted)]

    def change_preferences(self, preferences: Preferences) -> None:
        """Takes over and keeps preferences."""
        self.preferences = preferences
        save_preferences(preferences)
        self.preferences_changed.emit()

    # -- what is shown -----------------------------------------------------------------------------------------------

    def show_dataset(self, name: str | None, run_id: str | None = None) -> None:
        """Shows a data set with one of its runs: the named one, or the newest."""
        if self.project is None or name is None:
            self.shelf, self.row, self.rows = None, -1, np.zeros(0, np.int64)
            self.shelf_changed.emit()
            self.current_changed.emit()
            return
        key = self.key if self.shelf is not None and self.shelf.dataset == name else None
        samples = self.shelf.samples if key and self.shelf else self.project.samples(name, "body")
        runs = [run for run in reversed(self.project.runs()) if run.shards(name, "body")]
        run = next((run for run in runs if run.id == run_id), runs[0] if runs else None)
        self.shelf = Shelf.of(name, samples, run)
        self.shelf.take_verdicts(self.judgements)
        self.rows = self.shelf.rows(self.show, self.order, self.text)
        self.row = samples.index_of[key] if key else int(self.rows[0]) if len(self.rows) else -1
        self._take_reasons()
        self.shelf_changed.emit()
        self.rows_changed.emit()
        self.current_changed.emit()

    def reload(self) -> None:
        """Reads the data set that is shown anew, because it was imported again."""
        if self.shelf is None or self.project is None:
            datasets = self.datasets()
            self.show_dataset(datasets[0] if datasets else None)
            return
        key, name, run = self.key, self.shelf.dataset, self.shelf.run
        self.shelf = None
        self.show_dataset(name, run.id if run is not None else None)
        if key is not None and self.shelf is not None:
            self.go_to_row(self.shelf.samples.index_of.get(key, self.row))

    def show_run(self, run_id: str) -> None:
        """Shows another run of the same data set, at the same person."""
        if self.shelf is not None:
            self.show_dataset(self.shelf.dataset, run_id)

    def next_run(self) -> None:
        """Goes round the runs of this data set."""
        ids = [run.id for run in self.runs()]
        if len(ids) > 1 and self.shelf is not None and self.shelf.run is not None:
            self.show_run(ids[(ids.index(self.shelf.run.id) + 1) % len(ids)])

    def arrange(self, *, show: Show | None = None, order: Order | None = None, text: str | None = None) -> None:
        """Applies a filter, an order or a search; the current person stays current where the list has him."""
        self.show = self.show if show is None else show
        self.order = self.order if order is None else order
        self.text = self.text if text is None else text
        if self.shelf is None:
            return
        self.rows = self.shelf.rows(self.show, self.order, self.text)
        self.rows_changed.emit()
        if len(self.rows) and self.row not in self.rows:
            self.go_to_row(int(self.rows[0]))

    # -- the current person ------------------------------------------------------------------------------------------

    @property
    def key(self) -> str | None:
        """Key of the current sample."""
        return self.shelf.samples.keys[self.row] if self.shelf is not None and self.row >= 0 else None

    @property
    def sample(self) -> Sample | None:
        """The current person."""
        return self.shelf.sample(self.row) if self.shelf is not None and self.row >= 0 else None

    @property
    def fit(self) -> Fit | None:
        """His fit in the run that is shown."""
        return self.shelf.fit(self.row) if self.shelf is not None and self.row >= 0 else None

    @property
    def fit_key(self) -> FitKey | None:
        """Names that fit."""
        return self.shelf.key(self.row) if self.shelf is not None and self.row >= 0 else None

    @property
    def judgement(self) -> Judgement | None:
        """The verdict in force for it."""
        key = self.fit_key
        return self.judgements.get(key) if key is not None else None

    def go_to_row(self, row: int) -> None:
        """Makes a person current."""
        if self.shelf is None or row == self.row or not 0 <= row < len(self.shelf.samples):
            return
        self.row = row
        self._take_reasons()
        self.current_changed.emit()

    def step(self, by: int) -> bool:
        """Goes `by` places down the list; False at its end."""
        place = self._place()
        target = min(max(place + by, 0), len(self.rows) - 1)
        if not len(self.rows) or target == place:
            return False
        self.go_to_row(int(self.rows[target]))
        return True

    def next_unreviewed(self) -> bool:
        """The next person in the list whose fit nobody judged, from here round to the start."""
        if self.shelf is None or not len(self.rows):
            return False
        turned = np.roll(self.rows, -(self._place() + 1))
        open_rows = turned[(self.shelf.verdicts[turned] == 0) & (self.shelf.status[turned] == 1)]
        if not len(open_rows):
            self.messages.note("Everybody in this list is judged.")
            return False
        self.go_to_row(int(open_rows[0]))
        return True

    def ahead(self, count: int) -> list[int]:
        """Rows of the next people in the list."""
        place = self._place()
        return [int(row) for row in self.rows[place + 1 : place + 1 + count]] if place >= 0 else []

    def go_to_id(self, text: str) -> bool:
        """Goes to the person whose key or annotation id is `text`."""
        if self.shelf is None:
            return False
        index = self.shelf.samples.index_of
        row = index.get(text, index.get(f"{self.shelf.dataset}/{text}", -1))
        if row < 0:
            self.messages.warn(f"There is nobody called '{text}' in {self.shelf.dataset}; give an annotation id.")
            return False
        self.go_to_row(row)
        return True

    def _place(self) -> int:
        found = np.flatnonzero(self.rows == self.row)
        return int(found[0]) if len(found) else -1

    def _take_reasons(self) -> None:
        judgement = self.judgement
        self.armed = judgement.reasons if judgement is not None else ()

    # -- verdicts ----------------------------------------------------------------------------------------------------

    def load_reviews(self) -> None:
        """Reads the review log; done after the first photo is on the screen, because the database costs time."""
        if self.project is None:
            return
        if self._log is None:
            self._log = ReviewLog(self.project.reviews_path)
        try:
            self.judgements = self._log.judgements()
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            return
        if self.shelf is not None:
            self.shelf.take_verdicts(self.judgements)
        if self.judgement is not None:
            self._take_reasons()
        self.verdicts_changed.emit()

    def judge(self, verdict: Verdict, reasons: tuple[str, ...] | None = None) -> bool:
        """Stores a verdict with the armed reasons, at once and durably, and goes on; False if nothing was stored."""
        if not self._store(verdict, self.armed if reasons is None else reasons):
            return False
        self._judged_at.append(time.monotonic())
        if self.preferences.auto_advance:
            self.step(1)
        return True

    def toggle_reason(self, digit: int) -> None:
        """Arms or disarms a reason for the current person; on one who is judged it changes what is stored."""
        reason = next((reason for reason in REASONS if reason.digit == digit), None)
        if reason is None or self.fit_key is None or not self._may_write():
            return
        self._need_reviews()
        has = reason.id in self.armed
        self.armed = tuple(r for r in self.armed if r != reason.id) if has else (*self.armed, reason.id)
        judgement = self.judgement
        if judgement is not None:
            self._store(judgement.verdict, self.armed)
        else:
            self.verdicts_changed.emit()

    def undo(self) -> None:
        """Takes back this reviewer's newest verdict, wherever it was, and goes there."""
        self._take_back(undo=True)

    def redo(self) -> None:
        """Takes back the newest undo."""
        self._take_back(undo=False)

    def back_to_last_judged(self) -> bool:
        """Goes to the person who was judged last."""
        if self.shelf is None or self.shelf.run is None:
            return False
        mine = [j for j in self.judgements.values() if j.fit.run == self.shelf.run.id and j.fit.sample != self.key]
        rows = [(j.time, self.shelf.samples.index_of.get(j.fit.sample, -1)) for j in mine]
        rows = [(when, row) for when, row in rows if row >= 0]
        if not rows:
            return False
        self.go_to_row(max(rows)[1])
        return True

    @property
    def pace(self) -> float:
        """Verdicts a minute over the last five minutes."""
        now = time.monotonic()
        recent = [moment for moment in self._judged_at if now - moment < _PACE_SECONDS]
        return 60 * (len(recent) - 1) / max(recent[-1] - recent[0], 1.0) if len(recent) > 1 else 0.0

    def _may_write(self) -> bool:
        if self.read_only:
            self.messages.warn(f"This window is read-only: {self.held_by} has the project open.")
        return not self.read_only

    def _store(self, verdict: Verdict, reasons: tuple[str, ...]) -> bool:
        key = self.fit_key
        if key is None:
            self.messages.warn("This person has no fit to judge in the run that is shown.")
            return False
        event = ReviewEvent(
            EventKind.VERDICT, key, value=verdict.value, reasons=reasons, reviewer=self.preferences.name
        )
        return self._may_write() and self._append(event)

    def _append(self, event: ReviewEvent) -> bool:
        self._need_reviews()
        assert self._log is not None
        try:
            self._log.append(event)
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            return False
        if event.kind is EventKind.VERDICT and event.fit is not None:
            verdict = Verdict(event.value)
            judgement = Judgement(event.fit, verdict, event.reasons, event.note, event.reviewer, event.time, event.id)
            self.judgements[event.fit] = judgement
            self._mark(event.fit)
        self.verdicts_changed.emit()
        return True

    def _need_reviews(self) -> None:
        if self._log is None:
            self.load_reviews()

    def _mark(self, fit: FitKey) -> None:
        if self.shelf is not None:
            self.shelf.take_verdict(fit, self.judgements.get(fit))

    def _take_back(self, *, undo: bool) -> None:
        if self.project is None or not self._may_write():
            return
        self._need_reviews()
        assert self._log is not None
        try:
            events = self._log.events()
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            return
        event = (undo_event if undo else redo_event)(events, self.preferences.name)
        if event is None:
            self.messages.note(f"There is nothing to {'undo' if undo else 'redo'}.")
            return
        if not self._append(event):
            return
        by_id = {known.id: known for known in events}
        concerned = by_id[event.undone]
        concerned = by_id.get(concerned.undone, concerned)
        self.load_reviews()
        if concerned.fit is not None:
            self._go_to_fit(concerned.fit)
        self.verdicts_changed.emit()

    def _go_to_fit(self, fit: FitKey) -> None:
        if self.shelf is None:
            return
        dataset = fit.sample.split("/", 1)[0]
        if dataset != self.shelf.dataset or (self.shelf.run is not None and self.shelf.run.id != fit.run):
            self.show_dataset(dataset, fit.run)
        row = self.shelf.samples.index_of.get(fit.sample, -1)
        self.go_to_row(row)
        self._take_reasons()
