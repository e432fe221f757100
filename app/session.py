"""The state that the panels share: where the desk is, what it is compared with, and what was judged. They ask and listen.

It holds no widget and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PySide6.QtCore import QObject

from annotator.errors import NeuralAnnotError
from annotator.verdict import REASONS, EventKind, FitKey, Judgement, Preferred, ReviewEvent, Verdict
from app.comparison import Side
from app.messages import Messages
from app.pair import Pair
from app.shelf import FITTED, Shelf

_NO_FIT = "This person has no fit to judge in the run that is shown."
_EMPTY = "Nobody is in the list, so there is nobody to go on to; clear the search or choose another filter."
_NO_PAIR = "Both runs need a fit of this person that did not fail."


class Session(Pair):
    """What the desk is looking at, and what is said of it."""

    def __init__(self, messages: Messages, parent: QObject | None = None) -> None:
        super().__init__(messages, parent)
        self.armed: tuple[str, ...] = ()
        self.unseen: dict[Side, str] = {}
        self.comparison.look_changed.connect(self._arm_anew)

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
        lost = not self.verdicts.saved
        try:
            self.verdicts.append(event)
        except NeuralAnnotError as error:
            self.messages.error(str(error))
            self.verdicts_changed.emit()
            return False
        if lost:
            self.messages.note("Verdicts are saved again.")
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
