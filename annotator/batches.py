"""Which people go into which mini-batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from annotator import ranks
from annotator.errors import RunError


class Draws:
    """Which rows go into which mini-batch: each epoch is a fresh permutation, and step s depends on nothing but s.

    Args:
        rows: the rows that may be drawn. stream: tells the auxiliary half from the target half.
    """

    def __init__(self, rows: np.ndarray, *, seed: int, stream: int) -> None:
        self._rows, self._seed, self._stream = rows, seed, stream
        self._epoch, self._order = -1, rows

    def take(self, step: int, count: int) -> np.ndarray:
        """`(count,)` rows of step `step`, which counts from 0; of several processes each takes its share of them.

        Raises:
            RunError: `count` cannot be shared out evenly.
        """
        if count % ranks.count():
            raise RunError(
                f"{count} people a step cannot be shared by {ranks.count()} processes; choose a batch in the recipe, or a "
                "number of processes, that divides evenly (the target network's batch has two halves)."
            )
        places = np.arange(step * count + ranks.number(), (step + 1) * count, ranks.count())
        return np.array([self._at(int(place)) for place in places], np.int64)

    def _at(self, place: int) -> int:
        epoch, offset = divmod(place, len(self._rows))
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, 23, self._stream, epoch])
            self._epoch, self._order = epoch, rng.permutation(self._rows)
        return int(self._order[offset])


def held_out(keys: Sequence[str], rows: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Which of `rows` no network is taught: about `share` of them, each by its key alone, and never all of them."""
    if share <= 0:
        return rows[:0]
    bound = int(share * 2**32)
    digests = (hashlib.sha256(f"{seed}|{keys[row]}".encode()).digest() for row in rows.tolist())
    held = np.array([int.from_bytes(digest[:4], "big") < bound for digest in digests], bool)
    return rows[held] if not held.all() else rows[:0]
