"""Which people go into which mini-batch; the one place where left hands become right ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from annotator.camera import VIRTUAL_SIZE

MIRRORED = "lhand"
"""The part whose tables are mirrored: every hand that a network sees is a right one."""


class Draws:
    """Which rows go into which mini-batch: each epoch is a fresh permutation, and step s depends on nothing but s.

    Args:
        rows: the rows that may be drawn. stream: tells the auxiliary half from the target half.
    """

    def __init__(self, rows: np.ndarray, *, seed: int, stream: int) -> None:
        self._rows, self._seed, self._stream = rows, seed, stream
        self._epoch, self._order = -1, rows

    def take(self, step: int, count: int) -> np.ndarray:
        """`(count,)` rows of step `step`, which counts from 0."""
        places = np.arange(step * count, (step + 1) * count)
        return np.array([self._at(int(place)) for place in places], np.int64)

    def _at(self, place: int) -> int:
        epoch, offset = divmod(place, len(self._rows))
        if epoch != self._epoch:
            rng = np.random.default_rng([self._seed, 23, self._stream, epoch])
            self._epoch, self._order = epoch, rng.permutation(self._rows)
        return int(self._order[offset])


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
