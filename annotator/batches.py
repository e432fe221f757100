"""Which people go into which mini-batch; the one place where left hands become right ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from annotator import ranks
from annotator.camera import VIRTUAL_SIZE
from annotator.errors import RunError

MIRRORED = "lhand"
"""The part whose tables are mirrored: every hand that a network sees is a right one."""


def require_shared(count: int) -> None:
    """Refuses a number of people that the processes of this run cannot share out.

    Raises:
        RunError: `count` cannot be shared out evenly.
    """
    if count % ranks.count():
        raise RunError(
            f"{count} people a step cannot be shared by {ranks.count()} processes; choose a batch in the recipe, or a "
            "number of processes, that divides evenly (the target network's batch has two halves)."
        )


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
        require_shared(count)
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


class Pool:
    """Tables drawn from in proportion to their size, as one stream.

    Args:
        rows: of each table, those that may be drawn.
    """

    def __init__(self, rows: Sequence[np.ndarray], *, seed: int, stream: int) -> None:
        self._rows = rows
        self._ends = np.cumsum([len(some) for some in rows])
        self.size = int(self._ends[-1]) if len(rows) else 0
        self._draws = Draws(np.arange(self.size), seed=seed, stream=stream)

    def take(self, step: int, count: int) -> list[tuple[int, np.ndarray]]:
        """Numbers of tables and rows of each, `count` in all."""
        places = self._draws.take(step, count)
        which = np.searchsorted(self._ends, places, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return [
            (number, some[places[which == number] - starts[number]])
            for number, some in enumerate(self._rows)
            if (which == number).any()
        ]


def mirrored_crops(crops: np.ndarray) -> np.ndarray:
    """`(B, S, S, 3)` crops as their mirrored photos would give them: the axis of the crop's centre stays where it is.

    Pixel i of the mirrored crop is pixel S - i of the crop, since crops begin at a pixel's centre. Pixel S of it was never
    cut; its neighbour stands for it, at the rim of a crop that is wider than the hand.
    """
    out = np.empty_like(crops)
    out[:, :, 1:] = crops[:, :, :0:-1]
    out[:, :, 0] = crops[:, :, -1]
    return out


def mirrored_lessons(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Lessons of left hands (columns of `losses.Targets`) as those of their twins in the mirror."""
    out = dict(columns)
    if "pixels" in out:
        out["pixels"] = out["pixels"].copy()
        out["pixels"][..., 0] = np.float32(VIRTUAL_SIZE) - out["pixels"][..., 0]
    if "joints" in out:
        out["joints"] = out["joints"] * np.array([-1, 1, 1, 1], out["joints"].dtype)
    if "rotations" in out:  # M R M with M = diag(-1, 1, 1)
        signs = np.ones((3, 3), out["rotations"].dtype)
        signs[0, 1:] = signs[1:, 0] = -1
        out["rotations"] = out["rotations"] * signs
    return out
