"""Two runs side by side: which one is on the right, and what follows from it for the list."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, Signal

from annotator.fit import Fit
from annotator.verdict import FitKey, Preferred, pair_of
from app.comparison import Comparison, comparable, default_pair
from app.messages import Messages
from app.place import Place
from app.shelf import Order, Shelf


class Pair(Place):
    """Where the desk is, with another run of the same data set on the right if one is wanted.

    Signals:
        verdicts_changed: a verdict, a preference, an undo, armed reasons, or what they are said of.
    """

    verdicts_changed = Signal()

    def __init__(self, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(messages, parent)
        self.comparison = Comparison(self)

    def compare(self, *, on: bool) -> None:
        """Puts another run beside the one that is shown, or takes it away."""
        if not on:
            self._put_right(None)
        elif self.shelf is not None and self.shelf.run is not None and not self.comparison.on:
            pair = default_pair(self.runs(), self.shelf.run)
            if pair is None:
                self.messages.note("There is no other run of this data set to compare with.")
                self.comparison.changed.emit()
            else:
                self._show_pair(*(run.id for run in pair))

    def show_right(self, run_id: str) -> None:
        """Shows another run on the right; if it is the one on the left, the two change sides."""
        if self.shelf is not None and self.shelf.run is not None:
            if run_id == self.shelf.run.id:
                self.swap()
            else:
                self._put_right(self._shelf_of(run_id))

    def show_run(self, run_id: str) -> None:
        """Shows another run of the same data set, at the same person."""
        right = self.comparison.right
        if right is not None and right.run is not None and right.run.id == run_id:
            self.swap()
        else:
            super().show_run(run_id)

    def swap(self) -> None:
        """The two runs change sides."""
        left, right = self.shelf, self.comparison.right
        if left is not None and left.run is not None and right is not None and right.run is not None:
            self._show_pair(right.run.id, left.run.id)

    def next_run(self) -> None:
        """Goes round the runs of this data set but the one on the right."""
        right = self.comparison.right
        beside = right.run.id if right is not None and right.run is not None else ""
        ids = [run.id for run in self.runs() if run.id != beside]
        if len(ids) > 1 and self.shelf is not None and self.shelf.run is not None:
            self.show_run(ids[(ids.index(self.shelf.run.id) + 1) % len(ids)])

    @property
    def right_fit(self) -> Fit | None:
        """The current person's fit on the right."""
        right = self.comparison.right
        return right.fit(self.row) if right is not None and self.row >= 0 else None

    @property
    def pair(self) -> tuple[FitKey, FitKey] | None:
        """The current person's two fits, left and right, where there are two to compare."""
        left, right = self.shelf, self.comparison.right
        if left is None or right is None or self.row < 0 or not comparable(left, right, self.row):
            return None
        one, other = left.key(self.row), right.key(self.row)
        return (one, other) if one is not None and other is not None else None

    def preference_of(self, row: int) -> Preferred | None:
        """Which of the two fits of a person was found better, as the sides are now."""
        left, right = self.shelf, self.comparison.right
        one = left.key(row) if left is not None else None
        other = right.key(row) if right is not None else None
        if one is None or other is None or self.verdicts is None:
            return None
        found = self.verdicts.preferences.get(pair_of(one, other))
        return found.seen_from(one) if found is not None else None

    def take_disagreement(self, values: np.ndarray, measured: int) -> None:
        """More people are measured; the list is sorted anew when all are, not before, so that nothing jumps."""
        self.comparison.take_disagreement(values, measured)
        self.selection.disagreement = values
        if self.selection.order is Order.DISAGREEMENT and not self.comparison.unfinished:
            self.arrange()

    @property
    def shelves(self) -> list[Shelf]:
        """The runs that are shown, from left to right."""
        return [shelf for shelf in (self.shelf, self.comparison.right) if shelf is not None]

    def compared_rows(self) -> set[int]:
        """Rows of the people whose two fits were compared."""
        left, right = self.shelf, self.comparison.right
        if left is None or right is None or left.run is None or right.run is None or self.verdicts is None:
            return set()
        runs, index = {left.run.id, right.run.id}, left.samples.index_of
        found = (fit.sample for fit, other in self.verdicts.preferences if {fit.run, other.run} == runs)
        return {index[sample] for sample in found if sample in index}

    def _show_pair(self, left: str, right: str) -> None:
        if self.shelf is None or self.shelf.run is None:
            return
        shelf = self._shelf_of(right)
        if self.shelf.run.id == left:
            self._put_right(shelf)
            return
        self.comparison.put_right(shelf)
        self.show_dataset(self.shelf.dataset, left)
        self.comparison.changed.emit()

    def _put_right(self, shelf: Shelf | None) -> None:
        self.comparison.put_right(shelf)
        if self._sort_as_known():
            self.arrange()
        self._person_came()
        self.comparison.changed.emit()
        self.verdicts_changed.emit()

    def _shelf_of(self, run_id: str) -> Shelf | None:
        """Another run's fits of the people who are shown."""
        run = next((run for run in self.runs() if run.id == run_id), None)
        if self.shelf is None or run is None:
            return None
        shelf = Shelf.of(self.shelf.dataset, self.shelf.samples, run)
        shelf.take_verdicts(self.judgements)
        return shelf

    def _shelf_came(self) -> None:
        """The run on the right goes on with the new one, as far as there is one for it."""
        shelf, right = self.shelf, self.comparison.right
        if right is None or right.run is None:
            return
        if shelf is None or shelf.run is None:
            self.comparison.put_right(None)
        elif right.samples is not shelf.samples:
            pair = default_pair(self.runs(), shelf.run)
            wanted = {run.id for run in self.runs()} - {shelf.run.id}
            others = [right.run.id] if right.run.id in wanted else [run.id for run in pair or () if run.id in wanted]
            self.comparison.put_right(self._shelf_of(others[0]) if others else None)
        else:
            right.take_verdicts(self.judgements)
            self.comparison.forget_disagreement()
        self._sort_as_known()

    def _sort_as_known(self) -> bool:
        """By disagreement as far as it is known, by 2D error where nothing is compared; whether the order is another."""
        chosen = self.selection
        chosen.disagreement = self.comparison.disagreement
        stale = chosen.order is Order.DISAGREEMENT and not self.comparison.on
        chosen.order = Order.WORST if stale else chosen.order
        return stale
