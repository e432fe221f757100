"""Where the desk is: the project that is open, the data set and run that are shown, the list and the current person.

`session.py` adds what is said of the fits. It holds no widget and draws nothing.
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
from annotator.verdict import FitKey, Judgement
from app import damage
from app.access import Access
from app.catalogue import PART, dataset_names, runs_of
from app.messages import Messages
from app.selection import Selection
from app.settings import Preferences, load_preferences, save_preferences
from app.shelf import Order, Shelf, Show
from app.verdicts import Verdicts


class Place(QObject):
    """What the desk is looking at.

    Signals:
        project_changed: another project is open, or none.
        shelf_changed: another data set or run, or new data of them.
        rows_changed: the list's filter or order was applied anew.
        current_changed: another person.
        problems_changed: something that the project lacks was found, or is there again.
        preferences_changed: the theme or another preference.
    """

    project_changed = Signal()
    shelf_changed = Signal()
    rows_changed = Signal()
    current_changed = Signal()
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
        self.verdicts: Verdicts | None = None
        self.lost_people, self.lost_dataset = "", ""
        self.undrawable = ""
        """Why no fit of the project can be drawn, as a sentence; a fit that nobody sees cannot be judged."""

    def _shelf_came(self) -> None:
        """Another shelf is there; nobody was told yet."""

    def _person_came(self) -> None:
        """Another person is current; nobody was told yet."""

    @property
    def judgements(self) -> Mapping[FitKey, Judgement]:
        """The verdict in force of every judged fit."""
        return self.verdicts.in_force if self.verdicts is not None else {}

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
        self.shelf, self.lost_people, self.undrawable = None, "", ""
        self.selection.clear()
        self._shelf_came()

    @property
    def read_only(self) -> str:
        """Why nothing may be written to the project, as a sentence; empty if this window may."""
        return f"Read-only: {self.access.why_not}." if self.access is not None and self.access.why_not else ""

    @property
    def no_verdicts(self) -> str:
        """Why no verdict may be given, as a sentence; empty if it may."""
        return self.read_only or (self.verdicts.problem if self.verdicts is not None else "") or self.undrawable

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
        self._shelf_came()
        self.selection.arrange(self.shelf)
        if before is None or self.row < 0:
            self.selection.row = self.selection.first
        self._person_came()
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
        self._shelf_came()
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

    def go_to_row(self, row: int) -> None:
        """Makes a person current."""
        if self.shelf is None or row == self.row or not 0 <= row < len(self.shelf.samples):
            return
        self.selection.row = row
        self._person_came()
        self.current_changed.emit()

    def step(self, by: int) -> bool:
        """Goes `by` places down the list; False at its end."""
        row = self.selection.beside(by)
        if row >= 0:
            self.go_to_row(row)
        return row >= 0

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
