"""What reviewers say of fits, as immutable records. `reviews.py` keeps them; nothing here touches a disk."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class Verdict(StrEnum):
    """What a reviewer said of a fit."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNSURE = "unsure"


class Preferred(StrEnum):
    """Which of two fits of one person a reviewer finds better."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"

    @property
    def mirrored(self) -> Preferred:
        """The same said with the two sides exchanged."""
        return {Preferred.LEFT: Preferred.RIGHT, Preferred.RIGHT: Preferred.LEFT}.get(self, self)


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
        value: a `Verdict`, or a `Preferred` for a preference; empty otherwise.
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


@dataclass(frozen=True)
class Preference:
    """Which of two fits of one person is better, as it is in force."""

    left: FitKey
    right: FitKey
    value: Preferred
    reviewer: str
    time: datetime
    event: str

    def seen_from(self, left: FitKey) -> Preferred:
        """The value with `left` on the left."""
        return self.value if left == self.left else self.value.mirrored


Pair = tuple[FitKey, FitKey]


def pair_of(one: FitKey, other: FitKey) -> Pair:
    """Names two fits, whichever of them was shown on the left."""
    return (one, other) if one <= other else (other, one)


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


def preferences_in_force(events: list[ReviewEvent]) -> dict[Pair, Preference]:
    """The newest preference of each two fits that was not undone, whoever gave it and whichever was on the left."""
    undone = undone_ids(events)
    found: dict[Pair, Preference] = {}
    for event in sorted(events, key=lambda event: event.time):
        if event.kind is not EventKind.PREFERENCE or event.id in undone or event.fit is None or event.other is None:
            continue
        found[pair_of(event.fit, event.other)] = Preference(
            event.fit, event.other, Preferred(event.value), event.reviewer, event.time, event.id
        )
    return found


def undone_ids(events: Sequence[ReviewEvent]) -> set[str]:
    """Ids of all events that an undo still in force takes back."""
    undone: set[str] = set()
    for event in reversed(events):
        if event.kind is EventKind.UNDO and event.id not in undone:
            undone.add(event.undone)
    return undone
