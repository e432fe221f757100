"""`fits`: fits that were made elsewhere are added to a project as a run of their own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from annotator.commands.table import Table, sentences
from annotator.errors import UnknownNameError
from annotator.homecoming import bring_home
from annotator.progress import Progress
from annotator.project import Project

FORMATS = ("run",)


def add_fits(path: Path, format: str, folder: Path) -> Generator[Progress, None, Table]:
    """Makes a run of what `folder` holds. All of it is checked before any of it is there.

    Raises:
        RunError: it cannot be taken; nothing was added.
    """
    if format not in FORMATS:
        raise UnknownNameError("format of fits", format, FORMATS)
    project = Project.open(path)
    run = yield from bring_home(project, folder)
    count = sum(len(fits) for dataset, part in run.fitted if (fits := run.fits(dataset, part)) is not None)
    said = [f"Added {count:,} fits as the run {run.id}."]
    source = run.info.source
    if source and source not in {other.id for other in project.runs()}:
        said.append(f"It learnt from {source}, which this project does not have; a next round needs that run as well.")
    return sentences(*said)
