"""The state that the panels share: where the desk is, what was judged, and what it is compared with. They ask and listen.

It holds no widget and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QObject, Signal

from annotator.errors import NeuralAnnotError
from annotator.fit import Fit
from annotator.verdict import REASONS, EventKind, FitKey, Judgement, Preferred, ReviewEvent, Verdict, pair_of
from app.comparison import Comparison, Side, comparable, default_pair
from app.messages import Messages
from app.place import Place
from app.shelf import FITTED, Order, Shelf

_NO_FIT = "This person has no fit to judge in the run that is shown."
_EMPTY = "Nobody is in the list, so there is nobody to go on to; clear the search or choose another filter."
_NO_PAIR = "Both runs need a fit of this person that did not fail."


class Session(Place):
    """What the desk is looking at, and what is said of it.

    Signals:
        verdicts_changed: a verdict, a preference, an undo, or armed reasons.
    """

    verdicts_changed = Signal()

    def __init__(self, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(messages, parent)
        self.armed: tuple[str, ...] = ()
        self.unseen: dict[Side, str] = {}
        self.comparison = Comparison(self)
        self.comparison.look_changed.connect(self._arm_anew)

    # -- two runs ----------------------------------------------------------------------------------------------------

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

    # -- the fit that is judged --------------------------------------------------------------------------------------

    @property
    def judged_shelf(self) -> Shelf | None:
        """The run whose fits A, R and U judge."""
        right = self.comparison.right
        return right if right is not None and self.comparison.armed is Side.RIGHT else self.shelf

    @property
    def fit_key(self) -> FitKey | None:
        """Names the current person's fit in that run."""
        shelf = self.judged_shelf
        return shelf.key(self.row) if shelf is not None and self.row >= 0 else None

    @property
    def judgement(self) -> Judgement | None:
        """The verdict in force for it."""
        key = self.fit_key
        return self.judgements.get(key) if key is not None else None

    def next_unreviewed(self) -> bool:
        """The next person in the list whose fit nobody judged, or whose two nobody compared, round to the start."""
        if self.shelf is None or not len(self.rows):
            return False
        row = self.selection.next_open(self._open_rows())
        if row < 0:
            done = "compared" if self.comparison.on else "judged"
            self.messages.note(f"Everybody in this list is {done}.")
            return False
        self.go_to_row(row)
        return True

    def _open_rows(self) -> np.ndarray:
        """`(N,)` bool: who is still to be judged."""
        left, right = self.shelf, self.comparison.right
        assert left is not None
        if right is None:
            return (left.status == FITTED) & (left.verdicts == 0)
        still = (left.status == FITTED) & (right.status == FITTED)
        still[list(self.compared_rows())] = False
        return still

    def compared_rows(self) -> set[int]:
        """Rows of the people whose two fits were compared."""
        left, right = self.shelf, self.comparison.right
        if left is None or right is None or left.run is None or right.run is None or self.verdicts is None:
            return set()
        runs, index = {left.run.id, right.run.id}, left.samples.index_of
        found = (fit.sample for fit, other in self.verdicts.preferences if {fit.run, other.run} == runs)
        return {index[sample] for sample in found if sample in index}

    def _person_came(self) -> None:
        judgement = self.judgement
        self.armed = judgement.reasons if judgement is not None else ()

    def _arm_anew(self) -> None:
        self._person_came()
        self.verdicts_changed.emit()

    @property
    def nothing_to_judge(self) -> str:
        """Why the current person's fit cannot be judged although others can, as a sentence; empty if it can."""
        if not len(self.rows):
            return _EMPTY
        return self.unseen.get(self.comparison.armed, "") if self.fit_key is not None else _NO_FIT

    @property
    def nothing_to_prefer(self) -> str:
        """Why it cannot be said which of the two is better, as a sentence; empty if it can."""
        if not len(self.rows):
            return _EMPTY
        return next(filter(None, self.unseen.values()), "") if self.pair is not None else _NO_PAIR

    def see(self, lacks: Mapping[Side, str]) -> None:
        """Photo and mesh are on the screen, or a sentence says why not, for each side: nobody judges what he cannot see."""
        if lacks != self.unseen:
            self.unseen = dict(lacks)
            self.verdicts_changed.emit()

    def can_take_back(self, *, undo: bool) -> bool:
        """Whether this reviewer has something to undo, or to redo."""
        return self.verdicts is not None and self.verdicts.can_take_back(self.preferences.name, undo=undo)

    # -- verdicts ----------------------------------------------------------------------------------------------------

    def load_reviews(self) -> None:
        """Reads the review log; done after the first photo is on the screen, because the database costs time."""
        if self.verdicts is None:
            return
        self.verdicts.load()
        if self.verdicts.problem:
            self.problems_changed.emit()
        for shelf in self.shelves:
            shelf.take_verdicts(self.judgements)
        if self.judgement is not None:
            self._person_came()
        self.verdicts_changed.emit()

    def judge(self, verdict: Verdict, reasons: tuple[str, ...] | None = None) -> bool:
        """Stores a verdict with the armed reasons, at once and durably, and goes on; False if nothing was stored."""
        if not self._store(verdict, self.armed if reasons is None else reasons):
            return False
        self._go_on()
        return True

    def prefer(self, value: Preferred) -> bool:
        """Stores which of the two fits is better, at once and durably, and goes on; False if nothing was stored."""
        pair = self.pair
        if pair is None or self.nothing_to_prefer:
            self.messages.warn(self.nothing_to_prefer)
            return False
        said = ReviewEvent(EventKind.PREFERENCE, *pair, value=value.value, reviewer=self.preferences.name)
        if not self._may_judge() or not self._append(said):
            return False
        self.verdicts_changed.emit()
        self._go_on()
        return True

    def toggle_reason(self, digit: int) -> None:
        """Arms or disarms a reason for the current person; on one who is judged it changes what is stored."""
        reason = next((reason for reason in REASONS if reason.digit == digit), None)
        if reason is None or self.nothing_to_judge or not self._may_judge():
            return
        before, judgement = self.armed, self.judgement
        has = reason.id in before
        self.armed = tuple(r for r in before if r != reason.id) if has else (*before, reason.id)
        if judgement is not None and not self._store(judgement.verdict, self.armed):
            self.armed = before
        self.verdicts_changed.emit()

    def undo(self) -> None:
        """Takes back this reviewer's newest verdict or preference, wherever it was, and goes there."""
        self._take_back(undo=True)

    def redo(self) -> None:
        """Takes back the newest undo."""
        self._take_back(undo=False)

    def back_to_last_judged(self) -> bool:
        """Goes to the person who was judged last."""
        shelf = self.judged_shelf
        if shelf is None or shelf.run is None or self.verdicts is None:
            return False
        row = self.verdicts.newest(shelf.run.id, shelf.samples.index_of, but=self.key)
        self.go_to_row(row)
        return row >= 0

    @property
    def pace(self) -> float:
        """Verdicts a minute over the last five minutes."""
        return self.verdicts.pace if self.verdicts is not None else 0.0

    @property
    def shelves(self) -> list[Shelf]:
        """The runs that are shown, from left to right."""
        return [shelf for shelf in (self.shelf, self.comparison.right) if shelf is not None]

    def _go_on(self) -> None:
        assert self.verdicts is not None
        self.verdicts.count()
        if self.preferences.auto_advance and not self.step(1):
            self.messages.note("That was the last one in the list.")

    def _may_judge(self) -> bool:
        if not self.read_only and self.verdicts is not None and not self.verdicts.loaded:
            self.load_reviews()
        if self.no_verdicts:
            self.messages.warn(self.no_verdicts)
        return not self.no_verdicts

    def _append(self, event: ReviewEvent) -> bool:
        if self.verdicts is None:
            return False
        try:
            self.verdicts.append(event)
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            self.verdicts_changed.emit()
            return False
        return True

    def _store(self, verdict: Verdict, reasons: tuple[str, ...]) -> bool:
        key = self.fit_key
        if key is None or self.nothing_to_judge:
            self.messages.warn(self.nothing_to_judge)
            return False
        said = ReviewEvent(EventKind.VERDICT, key, value=verdict.value, reasons=reasons, reviewer=self.preferences.name)
        if not self._may_judge() or not self._append(said):
            return False
        self._mark(key)
        self.verdicts_changed.emit()
        return True

    def _mark(self, fit: FitKey) -> None:
        for shelf in self.shelves:
            shelf.take_verdict(fit, self.judgements.get(fit))

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
            self._mark(concerned.fit)
            self._go_to_fit(concerned.fit, concerned.other)
        self.verdicts_changed.emit()

    def _go_to_fit(self, fit: FitKey, other: FitKey | None) -> None:
        """Shows a fit, on the side where its run is already; for a preference, its two fits."""
        if self.shelf is None:
            return
        dataset = fit.sample.split("/", 1)[0]
        shown = [shelf.run.id for shelf in self.shelves if shelf.run is not None]
        if dataset != self.shelf.dataset or fit.run not in shown:
            self.show_dataset(dataset, fit.run)
            shown = [fit.run]
        if other is not None and other.run not in shown:
            self.show_right(other.run)
        elif other is None and len(shown) == 2:
            self.comparison.arm(Side.LEFT if shown[0] == fit.run else Side.RIGHT)
        self.go_to_row(self._row_of(fit.sample))
        self._person_came()

    def _row_of(self, sample: str) -> int:
        return self.shelf.samples.index_of.get(sample, -1) if self.shelf is not None else -1
