"""Whom the list shows, in which order, and who of them is current: arrays of row numbers, no object per person."""

from __future__ import annotations

import numpy as np

from app.shelf import Order, Shelf, Show


class Selection:
    """Rows of one shelf.

    Attributes:
        show, order, text: filter, order and search of the list.
        rows: `(M,)` int64, rows of the shelf that pass them, in that order.
        row: the current person; -1 for nobody. He stays current while the list does not have him.
        disagreement: `(N,)` mm of two runs that are compared, as far as it is known; None for nothing.
    """

    def __init__(self) -> None:
        self.show, self.order, self.text = Show.ALL, Order.WORST, ""
        self.rows = np.zeros(0, np.int64)
        self.row = -1
        self.disagreement: np.ndarray | None = None

    def clear(self) -> None:
        """Nobody; filter, order and search stay."""
        self.rows, self.row = np.zeros(0, np.int64), -1

    def arrange(self, shelf: Shelf) -> None:
        """Applies filter, order and search anew."""
        self.rows = shelf.rows(self.show, self.order, self.text, self.disagreement)

    @property
    def first(self) -> int:
        """The first row; -1 if there is none."""
        return int(self.rows[0]) if len(self.rows) else -1

    @property
    def place(self) -> int:
        """Where in the list the current person is; -1 if it does not have him."""
        found = np.flatnonzero(self.rows == self.row)
        return int(found[0]) if len(found) else -1

    def beside(self, by: int) -> int:
        """The row `by` places down the list, or the last one before its end; -1 if that is the current one."""
        place = self.place
        target = min(max(place + by, 0), len(self.rows) - 1)
        return int(self.rows[target]) if len(self.rows) and target != place else -1

    def next_open(self, still: np.ndarray) -> int:
        """The next row that is still to be judged, from here round to the start; -1 if there is none.

        Args:
            still: `(N,)` bool.
        """
        turned = np.roll(self.rows, -(self.place + 1))
        found = turned[still[turned]]
        return int(found[0]) if len(found) else -1

    def ahead(self, count: int) -> list[int]:
        """Rows of the next people."""
        place = self.place
        return [int(row) for row in self.rows[place + 1 : place + 1 + count]] if place >= 0 else []
