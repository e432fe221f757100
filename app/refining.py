"""Refining one fit: whose network is tuned on the current person, and the words of the run that does it.

EFT tunes a trained target network on one person's 2D pose (`annotator/annotators/eft.py`). It is a job like any other, and
the refined fit is one of a run of its own.
"""

from __future__ import annotations

from annotator.annotators import LEARNS
from annotator.commands.run_eft import EFT, network_run
from annotator.errors import NeuralAnnotError
from annotator.project import TARGET
from annotator.runs import Run
from app.session import Session

_NO_NETWORK = "There is no trained target network to tune; start a run of NeuralAnnot first (Ctrl+R)."
_NO_2D = "People with GT 3D have nothing to be tuned on; choose a target data set."


def why_not(session: Session) -> str:
    """Why the current fit cannot be refined, as a sentence; empty if it can or nobody is shown."""
    if session.project is None or session.shelf is None:
        return ""
    try:
        if session.project.datasets()[session.shelf.dataset].role != TARGET:
            return _NO_2D
    except (NeuralAnnotError, KeyError):
        return ""  # the desk tells of the damage itself
    return "" if _network(session) is not None else _NO_NETWORK


def words(session: Session) -> list[str]:
    """Options of the command `run` that refines the current person's fit; none if it cannot be."""
    network = _network(session)
    if network is None or session.key is None:
        return []
    return ["--annotator", EFT, "--from", network.id, "--samples", session.key]


def _network(session: Session) -> Run | None:
    """The run that is shown if it has a network, the one that it tuned, or else the newest that has one."""
    assert session.project is not None
    shown = session.judged_shelf.run if session.judged_shelf is not None else None
    finished = [run.id for run in reversed(session.project.runs()) if run.info.annotator == LEARNS]
    for source in (shown.id, shown.info.source, *finished) if shown is not None else finished:
        try:
            if source:
                return network_run(session.project, source)
        except NeuralAnnotError:
            continue  # that one has none
    return None
