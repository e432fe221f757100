"""Readers of annotation files, one file per format. Each turns an official layout into `Samples`, or refuses it.

A bad person (no keypoints, a number that is not finite, a box without area, a photo that is not there) is refused,
counted and named; a bad structure (not JSON, cut in half, a missing key, an unknown category) refuses the file.
"""

from __future__ import annotations

from annotator.datasets.coco_wholebody import read_coco_wholebody
from annotator.datasets.freihand import read_freihand
from annotator.datasets.human36m import read_human36m
from annotator.datasets.interhand26m import read_interhand26m
from annotator.datasets.mpi_inf_3dhp import read_mpi_inf_3dhp
from annotator.datasets.source import Reader, ReadResult, Source
from annotator.errors import UnknownNameError

READERS: dict[str, Reader] = {
    "coco-wholebody": read_coco_wholebody,
    "human36m": read_human36m,
    "mpi-inf-3dhp": read_mpi_inf_3dhp,
    "freihand": read_freihand,
    "interhand26m": read_interhand26m,
}


def reader_of(name: str) -> Reader:
    """The reader of a format.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in READERS:
        raise UnknownNameError("data set format", name, READERS)
    return READERS[name]


__all__ = ["READERS", "ReadResult", "Reader", "Source", "reader_of"]
