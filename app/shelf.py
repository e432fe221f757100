"""One data set and one run of it as whole columns: what the list filters and sorts without an object per person.

Columns stay in Arrow or numpy and are looked up there: 260,000 people open, sort and filter in tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from annotator.columns import read_shards, rows_of
from annotator.errors import NeuralAnnotError
from annotator.fit import OK, Fit, Fits
from annotator.runs import BODY_ERRORS, ERRORS, Run, RunInfo
from annotator.sample import Sample, Samples
from annotator.verdict import FitKey, Judgement, Verdict
from app.catalogue import PART

NOT_FITTED, FITTED, FITTING_FAILED = 0, 1, 2
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
    DISAGREEMENT = "most apart"


@dataclass(frozen=True)
class Shelf:
    """The samples of one data set with one run's fits beside them.

    Attributes:
        info: of the run, as it was when the shelf was filled.
        errors: `(2, N)` float32, 2D error in px of the 256 crop and in image px; NaN where unknown.
        body_errors: the same of the body's points alone, which every annotator of people fits.
        fit_rows: `(N,)` int64, row of each sample's fit; -1 where there is none.
        status: `(N,)` int8, 0 not fitted, 1 ok, 2 failed.
        verdicts: `(N,)` int8, 0 none, 1 accepted, 2 rejected, 3 unsure; changed in place.
        damaged_fits, damaged_scores: files that could not be read; what they held is missing above.
        part: of the fits, see `Run.person_part`.
    """

    dataset: str
    samples: Samples
    run: Run | None
    info: RunInfo | None
    fits: Fits | None
    errors: np.ndarray
    body_errors: np.ndarray
    fit_rows: np.ndarray
    status: np.ndarray
    verdicts: np.ndarray
    damaged_fits: tuple[Path, ...] = ()
    damaged_scores: tuple[Path, ...] = ()
    part: str = PART

    @classmethod
    def of(cls, dataset: str, samples: Samples, run: Run | None) -> Shelf:
        """Reads a run's fits and scores of a data set."""
        count, part = len(samples), (run.person_part(dataset) if run is not None else "") or samples.part
        status, errors = np.zeros(count, np.int8), np.full((4, count), np.nan, np.float32)
        fits, damaged = _whole_fits(run, dataset, part) if run is not None else (None, ())
        rows, lost = np.full(count, -1), list[Path]()
        if run is not None and fits is not None:
            rows = rows_of(samples.table["key"], fits.table["key"])
            ok = _column("equal", fits.table["status"], OK)
            status[rows >= 0] = np.where(ok[rows[rows >= 0]], FITTED, FITTING_FAILED)
            for place, name in enumerate((*ERRORS, *(ERRORS if part == samples.part else BODY_ERRORS))):
                path = run.score_path(dataset, part, name)
                try:
                    errors[place] = _scores(samples, path) if path.exists() else np.nan
                except (NeuralAnnotError, KeyError):
                    lost.append(path)
        info, verdicts = run.info if run is not None else None, np.zeros(count, np.int8)
        lacks = damaged, tuple(dict.fromkeys(lost))
        return cls(dataset, samples, run, info, fits, errors[:2], errors[2:], rows, status, verdicts, *lacks, part)

    def sample_key(self, row: int) -> str:
        """Key of the sample of a row."""
        return self.samples.table["key"][row].as_py()

    def key(self, row: int) -> FitKey | None:
        """The fit of a row, or None where there is none."""
        if self.run is None or self.status[row] == NOT_FITTED:
            return None
        return FitKey(self.run.id, self.sample_key(row), self.part)

    def sample(self, row: int) -> Sample:
        """The person of a row."""
        return self.samples[row]

    def fit(self, row: int) -> Fit | None:
        """The fit of a row, or None."""
        return self.fits[int(self.fit_rows[row])] if self.fits is not None and self.fit_rows[row] >= 0 else None

    def boxes_beside(self, row: int) -> np.ndarray:
        """`(K, 4)` boxes of the other people in the photo of a row."""
        photo, boxes = self._photos
        same = np.flatnonzero(photo == photo[row])
        return boxes[same[same != row]]

    def take_verdicts(self, judgements: Mapping[FitKey, Judgement]) -> None:
        """Marks every row with the verdict in force."""
        self.verdicts[:] = 0
        for fit, judgement in judgements.items():
            self.take_verdict(fit, judgement)

    def take_verdict(self, fit: FitKey, judgement: Judgement | None) -> None:
        """Marks one row, if the fit is of this run and data set."""
        if self.run is None or fit.run != self.run.id or fit.part != self.part:
            return
        row = self.samples.index_of.get(fit.sample)
        if row is not None:
            self.verdicts[row] = _CODES[judgement.verdict] if judgement is not None else 0

    def rows(self, show: Show, order: Order, text: str, disagreement: np.ndarray | None = None) -> np.ndarray:
        """Rows that the list shows, in its order.

        Args:
            disagreement: `(N,)` mm, NaN where unknown; without it most apart means worst.
        """
        kept = self._mask(show)
        if text:
            kept &= self._has("key", text) | self._has("image", text)
        if order is Order.FILE:
            return np.flatnonzero(kept)
        if order is Order.DISAGREEMENT and disagreement is not None:
            ranked = _ranked(-disagreement)
        else:
            ranked = self._best_first if order is Order.BEST else self._worst_first
        return ranked[kept[ranked]]

    def counts(self) -> dict[Show, int]:
        """How many people each filter would show."""
        return {show: int(np.count_nonzero(self._mask(show))) for show in Show}

    def _mask(self, show: Show) -> np.ndarray:
        if show is Show.ALL:
            return np.ones(len(self.status), bool)
        if show is Show.FAILED:
            return self.status == FITTING_FAILED
        if show is Show.TO_REVIEW:
            return (self.status == FITTED) & (self.verdicts == 0)
        return self.verdicts == {Show.ACCEPTED: 1, Show.REJECTED: 2, Show.UNSURE: 3}[show]

    def _has(self, column: str, text: str) -> np.ndarray:
        options = pc.MatchSubstringOptions(text, ignore_case=True)
        return _column("match_substring", self.samples.table[column], options=options)

    @cached_property
    def _worst_first(self) -> np.ndarray:
        return _ranked(-self.errors[0])

    @cached_property
    def _best_first(self) -> np.ndarray:
        return _ranked(self.errors[0])

    @cached_property
    def _photos(self) -> tuple[np.ndarray, np.ndarray]:
        """A number for the photo of each row, and the boxes."""
        numbered: Any = self.samples.table["image"].dictionary_encode().unify_dictionaries().combine_chunks()
        return numbered.indices.to_numpy(), self.samples.boxes


def _ranked(errors: np.ndarray) -> np.ndarray:
    return np.argsort(np.where(np.isnan(errors), np.inf, errors), kind="stable")


def _column(function: str, *arguments: object, options: object = None) -> np.ndarray:
    """An Arrow function of a column, as a numpy array."""
    made: Any = pc.call_function(function, list(arguments), options=options)
    return made.to_numpy()


def _scores(samples: Samples, path: Path) -> np.ndarray:
    """`(N,)` float32 of a score's table; NaN where it has no row."""
    table = read_shards([path])
    rows, values = rows_of(samples.table["key"], table["key"]), table["value"].to_numpy().astype(np.float32)
    return np.where(rows >= 0, np.append(values, np.float32(np.nan))[rows], np.float32(np.nan))


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
