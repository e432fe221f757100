"""The data sets and runs of a project as far as they can be read: one damaged file does not take the others with it."""

from __future__ import annotations

from annotator.errors import NeuralAnnotError
from annotator.project import TARGET, Project
from annotator.runs import Run

PART = "body"
_WHOLE = "whole"


def dataset_names(project: Project | None) -> tuple[list[str], NeuralAnnotError | None]:
    """Names of the data sets that have bodies to look at, target sets first; what is wrong if their list is damaged."""
    try:
        known = project.datasets() if project is not None else {}
    except NeuralAnnotError as error:
        return [], error
    infos = [info for info in known.values() if PART in info.parts]
    return [info.name for info in sorted(infos, key=lambda info: (info.role != TARGET, info.name))], None


def runs_of(project: Project, dataset: str) -> list[Run]:
    """Runs with fits of a data set, newest first."""
    return [run for run in reversed(project.runs()) if fits_part(run, dataset)]


def fits_part(run: Run, dataset: str) -> str:
    """The part of which a run has fits of a data set's people: bodies, else whole people; empty for none."""
    return next((part for part in (PART, _WHOLE) if run.shards(dataset, part)), "")
