"""What the actions need and the desk has not got just now, with the sentence that says why."""

from __future__ import annotations

from app import refining
from app.actions import COMPARING, DATASETS, JUDGING, NETWORK, OTHER_RUN, PEOPLE, PROJECT, RUNS, WRITING
from app.session import Session


def lacks(session: Session) -> dict[str, str]:
    """Need -> sentence, for the needs that are not met."""
    runs = session.runs()
    found = {
        PROJECT: "" if session.project is not None else "Open a project first (Ctrl+O).",
        PEOPLE: "" if session.shelf is not None else "There is nobody to look at.",
        WRITING: session.read_only,
        JUDGING: session.no_verdicts,
        DATASETS: "" if session.datasets() else "Import a data set first (Ctrl+I).",
        RUNS: "" if runs else "There are no fits yet; start a run first (Ctrl+R).",
        OTHER_RUN: "" if len(runs) > 1 else "There is no other run of this data set.",
        NETWORK: refining.why_not(session),
        COMPARING: "" if session.comparison.on else "Compare two runs first (C).",
    }
    return {need: sentence for need, sentence in found.items() if sentence}
