"""The state that the panels share: project, data set, run, the current person, filter, verdicts. They ask it and listen.

It holds no widget and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PySide6.QtCore import QObject, Signal

from annotator.errors import NeuralAnnotError
from annotator.fit import Fit
from annotator.project import Project
from annotator.runs import Run
from annotator.sample import Sample
from annotator.verdict import REASONS, EventKind, FitKey, Judgement, ReviewEvent, Verdict
from app import damage
from app.access import Access
from app.catalogue import PART, dataset_names, runs_of
from app.messages import Messages
from app.selection import Selection
from app.settings import Preferences, load_preferences, save_preferences
from app.shelf import Order, Shelf, Show
from app.verdicts import Verdicts


class Session(QObject):
    """What the desk is looking at.

    Signals:
        project_changed: another project is open, or none.
        shelf_changed: another data set or run, or new data of them.
        rows_changed: the list's filter or order was applied anew.
        current_changed: another person.
        verdicts_changed: a verdict, an undo, or armed reasons.
        problems_changed: something that the project lacks was found, or is there again.
        preferences_changed: the theme or another preference.
    """

    project_changed = Signal()
    shelf_changed = Signal()
    rows_changed = Signal()
    current_changed = Signal()
    verdicts_changed = Signal()
    problems_changed = Signal()
    preferences_changed = Signal()

    def __init__(self, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.messages = messages
        self.preferences: Preferences = load_preferences()
        self.project: Project | None = None
        self.access: Access | None = None
        self.shelf: Shelf | None = None
        self.selection = Selection()
        self.armed: tuple[str, ...] = ()
        self.verdicts: Verdicts | None = None
        self.lost_people, self.lost_dataset = "", ""

    # -- project -----------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> bool:
        """Opens a project; False (and a message) if it cannot be."""
        try:
            project = Project.open(path.resolve())  # workers have another current folder
            if self.project is not None and self.project.path.resolve() == path.resolve():
                self.close()  # else this window would find the project held by itself
        except (NeuralAnnotError, OSError) as error:
            self.messages.error(str(error))
            return False
        access = Access(project)
        self.close()
        self.project, self.access = project, access
        self.verdicts = Verdicts(project.reviews_path)
        self.change_preferences(self.preferences.with_recent(path))
        self.project_changed.emit()
        self._show_first()
        return True

    def close(self) -> None:
        """Lets go of the project, its log and its lock."""
        if self.verdicts is not None:
            self.verdicts.close()
        if self.access is not None:
            self.access.close()
        self.project, self.verdicts, self.access = None, None, None
        self.shelf, self.lost_people = None, ""
        self.selection.clear()

    @property
    def read_only(self) -> str:
        """Why nothing may be written to the project, as a sentence; empty if this window may."""
        return f"Read-only: {self.access.why_not}." if self.access is not None and self.access.why_not else ""

    @property
    def no_verdicts(self) -> str:
        """Why no verdict may be given, as a sentence; empty if it may."""
        return self.read_only or (self.verdicts.problem if self.verdicts is not None else "")

    def datasets(self) -> list[str]:
        """Names of the data sets that have bodies to look at, target sets first."""
        return dataset_names(self.project)[0]

    def runs(self) -> list[Run]:
        """Runs with fits of the data set that is shown, newest first."""
        return runs_of(self.project, self.shelf.dataset) if self.project is not None and self.shelf is not None else []

    def change_preferences(self, preferences: Preferences) -> None:
        """Takes over and keeps preferences."""
        self.preferences = preferences
        save_preferences(preferences)
        self.preferences_changed.emit()

    # -- what is shown -----------------------------------------------------------------------------------------------

    def show_dataset(self, name: str | None, run_id: str | None = None) -> None:
        """Shows a data set with one of its runs: the named one, or the newest."""
        if self.project is None or name is None:
            self._show_nobody("", "")
            return
        before = self.shelf if self.shelf is not None and self.shelf.dataset == name else None
        try:
            samples = before.samples if before is not None else self.project.samples(name, PART)
        except NeuralAnnotError as error:
            self._show_nobody(damage.of_people(name, error), name)
            return
        runs = runs_of(self.project, name)
        run = next((run for run in runs if run.id == run_id), runs[0] if runs else None)
        self.shelf, self.lost_people = Shelf.of(name, samples, run), ""
        self.shelf.take_verdicts(self.judgements)
        self.selection.arrange(self.shelf)
        if before is None or self.row < 0:
            self.selection.row = self.selection.first
        self._take_reasons()
        self.shelf_changed.emit()
        self.rows_changed.emit()
        self.current_changed.emit()

    def _show_first(self) -> None:
        """Shows the first data set."""
        names, error = dataset_names(self.project)
        if error is not None:
            self._show_nobody(damage.of_people("", error), "")
        else:
            self.show_dataset(names[0] if names else None)

    def _show_nobody(self, lost: str, dataset: str) -> None:
        self.shelf, self.lost_people, self.lost_dataset = None, lost, dataset
        self.selection.clear()
        self.shelf_changed.emit()
        self.current_changed.emit()

    def reload(self) -> None:
        """Reads the data set that is shown anew, because it was imported again."""
        if self.shelf is None or self.project is None:
            self._show_first()
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
        chosen = self.selection
        chosen.show = chosen.show if show is None else show
        chosen.order = chosen.order if order is None else order
        chosen.text = chosen.text if text is None else text
        if self.shelf is None:
            return
        chosen.arrange(self.shelf)
        self.rows_changed.emit()
        if len(chosen.rows) and chosen.place < 0:
            self.go_to_row(chosen.first)

    # -- the current person ------------------------------------------------------------------------------------------

    @property
    def rows(self) -> np.ndarray:
        """Rows of the shelf that the list shows, in its order."""
        return self.selection.rows

    @property
    def row(self) -> int:
        """Row of the current person; -1 for nobody."""
        return self.selection.row

    @property
    def key(self) -> str | None:
        """Key of the current sample."""
        return self.shelf.sample_key(self.row) if self.shelf is not None and self.row >= 0 else None

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
        self.selection.row = row
        self._take_reasons()
        self.current_changed.emit()

    def step(self, by: int) -> bool:
        """Goes `by` places down the list; False at its end."""
        row = self.selection.beside(by)
        if row >= 0:
            self.go_to_row(row)
        return row >= 0

    def next_unreviewed(self) -> bool:
        """The next person in the list whose fit nobody judged, from here round to the start."""
        if self.shelf is None or not len(self.rows):
            return False
        row = self.selection.next_unreviewed(self.shelf)
        if row < 0:
            self.messages.note("Everybody in this list is judged.")
            return False
        self.go_to_row(row)
        return True

    def ahead(self, count: int) -> list[int]:
        """Rows of the next people in the list."""
        return self.selection.ahead(count)

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

    def _take_reasons(self) -> None:
        judgement = self.judgement
        self.armed = judgement.reasons if judgement is not None else ()

    # -- verdicts ----------------------------------------------------------------------------------------------------

    @property
    def judgements(self) -> Mapping[FitKey, Judgement]:
        """The verdict in force of every judged fit."""
        return self.verdicts.in_force if self.verdicts is not None else {}

    def load_reviews(self) -> None:
        """Reads the review log; done after the first photo is on the screen, because the database costs time."""
        if self.verdicts is None:
            return
        self.verdicts.load()
        if self.verdicts.problem:
            self.problems_changed.emit()
        self._take_verdicts()

    def judge(self, verdict: Verdict, reasons: tuple[str, ...] | None = None) -> bool:
        """Stores a verdict with the armed reasons, at once and durably, and goes on; False if nothing was stored."""
        if not self._store(verdict, self.armed if reasons is None else reasons):
            return False
        assert self.verdicts is not None
        self.verdicts.count()
        if self.preferences.auto_advance:
            self.step(1)
        return True

    def toggle_reason(self, digit: int) -> None:
        """Arms or disarms a reason for the current person; on one who is judged it changes what is stored."""
        reason = next((reason for reason in REASONS if reason.digit == digit), None)
        if reason is None or self.fit_key is None or not self._may_judge():
            return
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
        index = self.shelf.samples.index_of
        row = self.verdicts.newest(self.shelf.run.id, index, but=self.key) if self.verdicts is not None else -1
        self.go_to_row(row)
        return row >= 0

    @property
    def pace(self) -> float:
        """Verdicts a minute over the last five minutes."""
        return self.verdicts.pace if self.verdicts is not None else 0.0

    def _may_judge(self) -> bool:
        if not self.read_only:
            self._need_reviews()
        if self.no_verdicts:
            self.messages.warn(self.no_verdicts)
        return not self.no_verdicts

    def _store(self, verdict: Verdict, reasons: tuple[str, ...]) -> bool:
        key = self.fit_key
        if key is None or self.verdicts is None:
            self.messages.warn("This person has no fit to judge in the run that is shown.")
            return False
        if not self._may_judge():
            return False
        event = ReviewEvent(
            EventKind.VERDICT, key, value=verdict.value, reasons=reasons, reviewer=self.preferences.name
        )
        try:
            self.verdicts.append(event)
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            return False
        if self.shelf is not None:
            self.shelf.take_verdict(key, self.judgements.get(key))
        self.verdicts_changed.emit()
        return True

    def _need_reviews(self) -> None:
        if self.verdicts is not None and not self.verdicts.loaded:
            self.load_reviews()

    def _take_verdicts(self) -> None:
        if self.shelf is not None:
            self.shelf.take_verdicts(self.judgements)
        if self.judgement is not None:
            self._take_reasons()
        self.verdicts_changed.emit()

    def _take_back(self, *, undo: bool) -> None:
        if self.verdicts is None or not self._may_judge():
            return
        if self.verdicts.stale:  # somebody else wrote to the log
            self.load_reviews()
        try:
            concerned = self.verdicts.take_back(self.preferences.name, undo=undo)
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            return
        if concerned is None:
            self.messages.note(f"There is nothing to {'undo' if undo else 'redo'}.")
            return
        if concerned.fit is not None:
            if self.shelf is not None:
                self.shelf.take_verdict(concerned.fit, self.judgements.get(concerned.fit))
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
