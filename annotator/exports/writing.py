"""What every export writer is given, and the writing of a file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from annotator.bodies.files import BodyModelData
from annotator.errors import storage
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


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO, None, None]:
    """A file that is renamed to `path` when the block ends well and vanishes when it does not."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
