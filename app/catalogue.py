"""The data sets and runs of a project as far as they can be read: one damaged file does not take the others with it."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.errors import NeuralAnnotError
from annotator.project import TARGET, Project
from annotator.runs import Run

PART = "body"
_REFINES = "eft"


def dataset_names(project: Project | None) -> tuple[list[str], NeuralAnnotError | None]:
    """Names of the data sets that have bodies to look at, target sets first; what is wrong if their list is damaged."""
    try:
        known = project.datasets() if project is not None else {}
    except NeuralAnnotError as error:
        return [], error
    infos = [info for info in known.values() if PART in info.parts]
    return [info.name for info in sorted(infos, key=lambda info: (info.role != TARGET, info.name))], None


def refined(run: Run) -> bool:
    """Whether a run refined one fit of another."""
    return run.info.annotator == _REFINES and len(run.info.samples) == 1


def under_their_source(runs: Sequence[Run]) -> list[Run]:
    """Runs in the same order, but those that refined one fit come after the run whose network they tuned, if it is there."""
    known = {run.id for run in runs}
    below: dict[str, list[Run]] = {}
    for run in runs:
        if refined(run):
            below.setdefault(run.info.source, []).append(run)
    out = [one for run in runs if not refined(run) for one in (run, *below.get(run.id, ()))]
    return out + [one for source, some in below.items() if source not in known for one in some]


def runs_of(project: Project, dataset: str) -> list[Run]:
    """Runs with fits of a data set, newest first, but those that refined one fit under the run that it is of."""
    return under_their_source([run for run in reversed(project.runs()) if run.person_part(dataset)])
