"""What every export writer is given, and the writing of a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from annotator.bodies.files import BodyModelData
from annotator.fit import Fits
from annotator.progress import Progress
from annotator.sample import Samples


@dataclass(frozen=True)
class ExportTable:
    """Fits of one data set that go into an export, and which rows of them.

    Attributes:
        samples: of the data set. body: the model of the fits' family.
    """

    dataset: str
    fits: Fits
    rows: list[int]
    samples: Samples
    body: BodyModelData


Writer = Callable[[list[ExportTable], Path], Generator[Progress, None, int]]
"""Writes the rows to the path and returns how many entries it wrote."""
