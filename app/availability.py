"""What the actions need and the desk has not got just now, with the sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping

from annotator.runs import RUNNING as STATE_RUNNING
from app import refining
from app.actions import (
    COMPARING,
    DATASETS,
    JUDGING,
    KILLABLE,
    NETWORK,
    OTHER_RUN,
    PEOPLE,
    PROJECT,
    REDOABLE,
    RESUMABLE,
    RUNNING,
    RUNS,
    UNDOABLE,
    WRITING,
)
from app.jobs import Job
from app.session import Session


def lacks(session: Session, job: Job | None) -> dict[str, str]:
    """Need -> sentence, for the needs that are not met.

    Args:
        job: the one that the drawer shows.
    """
    runs = session.runs()
    running = "" if job is not None and job.state == STATE_RUNNING else "Nothing is running."
    killable = f"It runs on {job.host}: stop it, or kill it there." if job is not None and job.elsewhere else ""
    found = {
        PROJECT: "" if session.project is not None else "Open a project first (Ctrl+O).",
        PEOPLE: "" if session.shelf is not None else "There is nobody to look at.",
        WRITING: session.read_only,
        JUDGING: session.no_verdicts,
        DATASETS: "" if session.datasets() else "Import a data set first (Ctrl+I).",
        RUNS: "" if runs else "There are no fits yet; start a run first (Ctrl+R).",
        OTHER_RUN: "" if len(runs) > 1 else "There is no other run of this data set.",
        RUNNING: running,
        KILLABLE: running or killable,
        RESUMABLE: "" if job is not None and job.resumable else "There is no run to resume.",
        NETWORK: refining.why_not(session),
        COMPARING: "" if session.comparison.on else "Compare two runs first (C).",
    }
    return _unmet(found) | lacks_of_verdicts(session)


def lacks_of_verdicts(session: Session) -> dict[str, str]:
    """Those that every verdict may change; they look at no disk, because keys wait for them."""
    return _unmet(
        {
            UNDOABLE: "" if session.can_take_back(undo=True) else "You have not judged anything yet.",
            REDOABLE: "" if session.can_take_back(undo=False) else "Nothing was undone.",
        }
    )


def _unmet(found: Mapping[str, str]) -> dict[str, str]:
    return {need: sentence for need, sentence in found.items() if sentence}
