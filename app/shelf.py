"""One data set and one run of it as whole columns: what the list filters and sorts without an object per person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from annotator.errors import NeuralAnnotError
from annotator.fit import Fit, Fits
from annotator.runs import Run
from annotator.sample import Sample, Samples
from annotator.verdict import FitKey, Judgement, Verdict

ERROR_CROP, ERROR_IMAGE = "error_2d_crop", "error_2d"
_NOT_FITTED, _OK, _FAILED = 0, 1, 2
_CODES = {Verdict.ACCEPT: 1, Verdict.REJECT: 2, Verdict.UNSURE: 3}


class Show(StrEnum):
    """Which people the list shows."""

    ALL = "all"
    TO_REVIEW = "to review"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNSURE = "unsure"
    FAILED = "failed"


class Order(StrEnum):
    """How the list is sorted."""

    WORST = "worst first"
    BEST = "best first"
    FILE = "file order"


@dataclass(frozen=True)
class Shelf:
    """The samples of one data set with one run's fits beside them.

    Attributes:
        errors: `(2, N)` float32, 2D error in px of the 256 crop and in image px; NaN where unknown.
        status: `(N,)` int8, 0 not fitted, 1 ok, 2 failed.
        verdicts: `(N,)` int8, 0 none, 1 accepted, 2 rejected, 3 unsure; changed in place.
        damaged_fits, damaged_scores: files that could not be read; what they held is missing above.
    """

    dataset: str
    samples: Samples
    run: Run | None
    fits: Fits | None
    errors: np.ndarray
    status: np.ndarray
    verdicts: np.ndarray
    damaged_fits: tuple[Path, ...] = ()
    damaged_scores: tuple[Path, ...] = ()

    @classmethod
    def of(cls, dataset: str, samples: Samples, run: Run | None) -> Shelf:
        """Reads a run's fits and scores of a data set."""
        count = len(samples)
        status, errors = np.zeros(count, np.int8), np.full((2, count), np.nan, np.float32)
        fits, damaged = _whole_fits(run, dataset, samples.part) if run is not None else (None, ())
        lost: list[Path] = []
        if run is not None and fits is not None:
            rows = _rows_of(samples, fits.keys)
            known = rows >= 0
            status[rows[known]] = np.where(fits.ok, _OK, _FAILED)[known]
            for place, name in enumerate((ERROR_CROP, ERROR_IMAGE)):
                try:
                    scores = run.score(dataset, samples.part, name) or {}
                except NeuralAnnotError:
                    lost.append(run.score_path(dataset, samples.part, name))
                    continue
                of = _rows_of(samples, list(scores))
                values = np.fromiter(scores.values(), np.float32, len(scores))
                errors[place, of[of >= 0]] = values[of >= 0]
        return cls(dataset, samples, run, fits, errors, status, np.zeros(count, np.int8), damaged, tuple(lost))

    def key(self, row: int) -> FitKey | None:
        """The fit of a row, or None where there is none."""
        if self.run is None or self.status[row] == _NOT_FITTED:
            return None
        return FitKey(self.run.id, self.samples.keys[row], self.samples.part)

    def sample(self, row: int) -> Sample:
        """The person of a row."""
        return self.samples[row]

    def fit(self, row: int) -> Fit | None:
        """The fit of a row, or None."""
        if self.fits is None or self.status[row] == _NOT_FITTED:
            return None
        return self.fits[self.fits.index_of[self.samples.keys[row]]]

    def take_verdicts(self, judgements: Mapping[FitKey, Judgement]) -> None:
        """Marks every row with the verdict in force."""
        self.verdicts[:] = 0
        for fit, judgement in judgements.items():
            self.take_verdict(fit, judgement)

    def take_verdict(self, fit: FitKey, judgement: Judgement | None) -> None:
        """Marks one row, if the fit is of this run and data set."""
        if self.run is None or fit.run != self.run.id or fit.part != self.samples.part:
            return
        row = self.samples.index_of.get(fit.sample)
        if row is not None:
            self.verdicts[row] = _CODES[judgement.verdict] if judgement is not None else 0

    def rows(self, show: Show, order: Order, text: str) -> np.ndarray:
        """Rows that the list shows, in its order."""
        kept = self._mask(show)
        if text:
            wanted = text.lower()
            images = self.samples.table["image"].to_pylist()
            kept &= np.fromiter(
                (
                    wanted in key.lower() or wanted in image.lower()
                    for key, image in zip(self.samples.keys, images, strict=True)
                ),
                bool,
                len(self.samples),
            )
        rows = np.flatnonzero(kept)
        if order is Order.FILE:
            return rows
        errors = self.errors[0, rows]
        ranked = -errors if order is Order.WORST else errors
        return rows[np.argsort(np.where(np.isnan(ranked), np.inf, ranked), kind="stable")]

    def counts(self) -> dict[Show, int]:
        """How many people each filter would show."""
        return {show: int(self._mask(show).sum()) for show in Show}

    def _mask(self, show: Show) -> np.ndarray:
        if show is Show.ALL:
            return np.ones(len(self.status), bool)
        if show is Show.FAILED:
            return self.status == _FAILED
        if show is Show.TO_REVIEW:
            return (self.status == _OK) & (self.verdicts == 0)
        return self.verdicts == {Show.ACCEPTED: 1, Show.REJECTED: 2, Show.UNSURE: 3}[show]


def _whole_fits(run: Run, dataset: str, part: str) -> tuple[Fits | None, tuple[Path, ...]]:
    """The fits of all tables that can be read, and the tables that cannot."""
    whole: list[Path] = []
    damaged: list[Path] = []
    for path in run.shards(dataset, part):
        try:
            Fits.read([path])
        except (NeuralAnnotError, KeyError):  # cut short, or a table of something else
            damaged.append(path)
        else:
            whole.append(path)
    return (Fits.read(whole) if whole else None), tuple(damaged)


def _rows_of(samples: Samples, keys: list[str]) -> np.ndarray:
    if keys == samples.keys:  # the common case: fits in the order of their samples
        return np.arange(len(keys))
    return np.fromiter((samples.index_of.get(key, -1) for key in keys), np.int64, len(keys))
