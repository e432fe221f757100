"""Sentences for damaged files of a project: which file, what still works, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from annotator.runs import FINISHED, Run


def of_people(dataset: str, error: Exception) -> str:
    """For a data set whose people, or whose list of data sets, cannot be read."""
    name = dataset or "the data set"
    return (
        f"{_what(error)}. Import {name} again under the same name, or put the file back from a backup. Fits and verdicts "
        "belong to the people's ids, so they are kept and find their people again."
    )


def of_fits(run: Run, damaged: Sequence[Path], *, nobody: bool, others: Sequence[str]) -> str:
    """For tables of fits.

    Args:
        nobody: whether no fit of the run is left.
        others: ids of the runs of the same data set that can be shown.
    """
    people = f"everybody is shown without a fit of {run.id}" if nobody else f"some fits of {run.id} are not shown"
    rest = f" {others[0]} still works: press Tab." if others else " People and verdicts are not touched."
    unfinished = run.state != FINISHED
    again = (
        f"remove that file and resume {run.id} under Jobs (J)" if unfinished else "make fits anew with a run (Ctrl+R)"
    )
    return f"{_files(damaged)} cannot be read, so {people}.{rest} Put the file back from a backup, or {again}."


def of_scores(damaged: Sequence[Path]) -> str:
    """For scores: the fits are there, their 2D error is not."""
    return (
        f"{_files(damaged)} cannot be read, so the 2D error is unknown; the fits still work. Put it back from a backup."
    )


def of_run(sentence: str) -> str:
    """For a run's own file: the other runs are there."""
    return f"{_what(sentence)}, so that run is not shown; the other runs still work. Put the file back from a backup."


def of_log(path: Path) -> str:
    """For the review log."""
    return (
        f"The review log {path} cannot be read, so verdicts are off and nothing in it was changed; put it back from a "
        "backup and open the project again."
    )


def _what(error: Exception | str) -> str:
    """The half of an error's sentence that says what is wrong; what to do is said here, for this window."""
    return str(error).partition(";")[0].rstrip(".")


def _files(damaged: Sequence[Path]) -> str:
    more = len(damaged) - 1
    return f"{damaged[0]}{f' (and {more} more like it)' if more else ''}"
