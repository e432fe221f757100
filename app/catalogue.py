"""The data sets and runs of a project as far as they can be read: one damaged file does not take the others with it."""

from __future__ import annotations

from contextlib import suppress

from annotator.errors import NeuralAnnotError
from annotator.project import TARGET, Project
from annotator.runs import Run

PART = "body"


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
    return [run for run in reversed(readable_runs(project)[0]) if run.shards(dataset, PART)]


def readable_runs(project: Project) -> tuple[list[Run], NeuralAnnotError | None]:
    """All runs that can be read, oldest first, and what is wrong with one that cannot."""
    try:
        return project.runs(), None
    except NeuralAnnotError as error:
        found: list[tuple[str, str, Run]] = []
        for folder in (project.path / "runs").iterdir():
            with suppress(NeuralAnnotError):
                run = Run(folder)
                found.append((run.info.created, run.id, run))
        return [run for *_, run in sorted(found, key=lambda row: row[:2])], error
