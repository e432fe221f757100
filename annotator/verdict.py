"""What reviewers say of fits, as immutable records. `reviews.py` keeps them; nothing here touches a disk."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What a reviewer said of a fit."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNSURE = "unsure"


class EventKind(StrEnum):
    """What a line of the review log records."""

    VERDICT = "verdict"
    PREFERENCE = "preference"
    NOTE = "note"
    UNDO = "undo"


@dataclass(frozen=True)
class Reason:
    """Why a fit fails: a stable id for files, a word for the screen, the digit that arms it."""

    id: str
    title: str
    digit: int


REASONS: tuple[Reason, ...] = (
    Reason("depth", "Depth", 1),
    Reason("pose", "Pose", 2),
    Reason("left-right", "Left-right", 3),
    Reason("hands", "Hands", 4),
    Reason("orientation", "Facing", 5),
    Reason("shape", "Shape", 6),
    Reason("truncation", "Cut off", 7),
    Reason("misplaced", "Misplaced", 8),
    Reason("wrong-person", "Wrong person", 9),
)
"""The default vocabulary, in the order of the digit keys."""


@dataclass(frozen=True, order=True)
class FitKey:
    """Names one fit: the run that made it, its sample and its part."""

    run: str
    sample: str
    part: str


@dataclass(frozen=True)
class ReviewEvent:
    """One line of the append-only review log.

    Attributes:
        fit: the fit judged; for a preference the left one. None for an undo.
        other: the right fit of a preference.
        value: a `Verdict`, or `left|right|tie` for a preference; empty otherwise.
        reasons: ids of `REASONS` or words of an imported list.
        undone: id of the event that an undo takes back.
    """

    kind: EventKind
    fit: FitKey | None = None
    other: FitKey | None = None
    value: str = ""
    reasons: tuple[str, ...] = ()
    note: str = ""
    reviewer: str = ""
    undone: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Judgement:
    """The verdict in force for a fit."""

    fit: FitKey
    verdict: Verdict
    reasons: tuple[str, ...]
    note: str
    reviewer: str
    time: datetime
    event: str


def in_force(events: list[ReviewEvent]) -> dict[FitKey, Judgement]:
    """The newest verdict of each fit that was not undone, whoever gave it.

    Newest means given last, by its `time`: a list or log of an earlier day that is taken in today does not overrule what
    was said since. Of two that say the same time the one that was written later counts.

    Args:
        events: in the order in which they were written. An undo may itself be undone (that is a redo).
    """
    undone = undone_ids(events)
    judgements: dict[FitKey, Judgement] = {}
    for event in sorted(events, key=lambda event: event.time):
        if event.kind is EventKind.VERDICT and event.fit is not None and event.id not in undone:
            judgements[event.fit] = Judgement(
                event.fit, Verdict(event.value), event.reasons, event.note, event.reviewer, event.time, event.id
            )
    return judgements


def undone_ids(events: list[ReviewEvent]) -> set[str]:
    """Ids of all events that an undo still in force takes back."""
    undone: set[str] = set()
    for event in reversed(events):
        if event.kind is EventKind.UNDO and event.id not in undone:
            undone.add(event.undone)
    return undone
