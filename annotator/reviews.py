"""The append-only review log: every verdict is on disk before the next key is pressed, and nothing is ever overwritten.

SQLAlchemy Core on SQLite, imported on first use: the desk shows its first photo before. Undo appends an
event that takes another back, so it works across samples and restarts, and two logs can be merged by event id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from annotator.columns import read_shards, write_shard
from annotator.errors import ReviewError, storage
from annotator.outside import parse_json
from annotator.verdict import EventKind, FitKey, Judgement, Preferred, ReviewEvent, Verdict, in_force, undone_ids

if TYPE_CHECKING:
    import sqlalchemy as sa

_FIELDS = (
    *("id", "kind", "run", "sample", "part", "other_run", "other_sample", "other_part"),
    *("value", "reasons", "note", "reviewer", "time", "undone"),
)

_PATIENCE_SECONDS = 1.0
"""How long a verdict waits for another program that writes to the log; a window stands still meanwhile."""
_VALUES = {EventKind.VERDICT: Verdict, EventKind.PREFERENCE: Preferred}
"""The words that these kinds of events may say."""


class ReviewLog:
    """The log at one path. Only the desk and the `reviews` commands write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open_engine: sa.Engine | None = None

    def append(self, *events: ReviewEvent) -> None:
        """Writes `events` in one durable transaction.

        Raises:
            ReviewError: the database cannot be written; nothing of this call is in it then.
        """
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with storage(self.path), self._engine().begin() as connection:
                connection.execute(self._table().insert(), [_to_row(event) for event in events])
        except SQLAlchemyError as error:
            advice = "close the other program that uses it" if _locked(error) else "free the disk"
            raise ReviewError(
                f"The verdict was not saved in {self.path} ({_cause(error)}); {advice} and repeat it."
            ) from error

    def events(self) -> list[ReviewEvent]:
        """All events in the order in which they were written."""
        if not self.path.exists():
            return []
        import sqlalchemy as sa
        from sqlalchemy.exc import SQLAlchemyError

        table = self._table()
        try:
            with self._engine().connect() as connection:
                return [
                    _of_row(dict(row)) for row in connection.execute(sa.select(table).order_by(table.c.n)).mappings()
                ]
        except SQLAlchemyError as error:
            advice = (
                "wait for the program that writes to it, and try again"
                if _locked(error)
                else "restore it from a backup"
            )
            raise ReviewError(f"The review log {self.path} cannot be read ({_cause(error)}); {advice}.") from error
        except (ValueError, TypeError) as error:  # a row that this program did not write
            raise ReviewError(
                f"The review log {self.path} holds an event that has no meaning ({error}); restore it from a backup."
            ) from error

    def judgements(self) -> dict[FitKey, Judgement]:
        """The verdict in force of every judged fit."""
        return in_force(self.events())

    def close(self) -> None:
        """Lets go of the database file."""
        if self._open_engine is not None:
            self._open_engine.dispose()
            self._open_engine = None

    def _table(self) -> sa.Table:
        import sqlalchemy as sa

        text = [sa.Column(name, sa.String, nullable=False, unique=name == "id") for name in _FIELDS]
        return sa.Table("events", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True), *text)

    def _engine(self) -> sa.Engine:
        if self._open_engine is None:
            import sqlalchemy as sa
            from sqlalchemy import event

            engine = sa.create_engine(
                sa.URL.create("sqlite", database=str(self.path)), connect_args={"timeout": _PATIENCE_SECONDS}
            )
            event.listen(engine, "connect", _durable)
            self._table().metadata.create_all(engine)
            self._open_engine = engine
        return self._open_engine


def undo_event(
    events: Sequence[ReviewEvent], reviewer: str, *, undone: AbstractSet[str] | None = None
) -> ReviewEvent | None:
    """The event that takes back the reviewer's newest verdict, preference or note still in force; None if there is none.

    Args:
        undone: what `undone_ids` gives for the events, where that is known.
    """
    undone = undone_ids(events) if undone is None else undone
    for event in reversed(events):
        if event.kind is not EventKind.UNDO and event.reviewer == reviewer and event.id not in undone:
            return ReviewEvent(EventKind.UNDO, undone=event.id, reviewer=reviewer)
    return None


def redo_event(
    events: Sequence[ReviewEvent], reviewer: str, *, undone: AbstractSet[str] | None = None
) -> ReviewEvent | None:
    """The event that takes back the reviewer's newest undo, unless he has judged since; None if there is nothing to redo."""
    undone = undone_ids(events) if undone is None else undone
    for event in reversed(events):
        if event.reviewer != reviewer or event.id in undone:
            continue
        if event.kind is not EventKind.UNDO:
            return None
        target = next((e for e in reversed(events) if e.id == event.undone), None)
        if target is not None and target.kind is not EventKind.UNDO:
            return ReviewEvent(EventKind.UNDO, undone=event.id, reviewer=reviewer)
    return None


def freeze(judgements: Iterable[Judgement], path: Path) -> None:
    """Writes the verdicts in force beside a run, so that a resume learns from the same ones."""
    rows = list(judgements)
    columns = {
        "run": [j.fit.run for j in rows],
        "sample": [j.fit.sample for j in rows],
        "part": [j.fit.part for j in rows],
        "verdict": [j.verdict.value for j in rows],
    }
    write_shard(path, pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))


def frozen(path: Path) -> dict[FitKey, Verdict]:
    """What `freeze` wrote."""
    table = read_shards([path])
    rows = zip(*(table[name].to_pylist() for name in ("run", "sample", "part", "verdict")), strict=True)
    return {FitKey(run, sample, part): Verdict(verdict) for run, sample, part, verdict in rows}


def _durable(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_mode=TRUNCATE")  # WAL is unsafe on network file systems


def _to_row(event: ReviewEvent) -> dict[str, str]:
    fit, other = event.fit or FitKey("", "", ""), event.other or FitKey("", "", "")
    return {
        "id": event.id,
        "kind": event.kind.value,
        "run": fit.run,
        "sample": fit.sample,
        "part": fit.part,
        "other_run": other.run,
        "other_sample": other.sample,
        "other_part": other.part,
        "value": event.value,
        "reasons": json.dumps(list(event.reasons)),
        "note": event.note,
        "reviewer": event.reviewer,
        "time": event.time.astimezone(UTC).isoformat(),
        "undone": event.undone,
    }


def _of_row(row: dict[str, Any]) -> ReviewEvent:
    fit = FitKey(row["run"], row["sample"], row["part"]) if row["sample"] else None
    other = FitKey(row["other_run"], row["other_sample"], row["other_part"]) if row["other_sample"] else None
    kind = EventKind(row["kind"])
    return ReviewEvent(
        kind,
        fit,
        other,
        _VALUES[kind](row["value"]).value if kind in _VALUES else row["value"],
        tuple(map(str, parse_json(row["reasons"]))),
        row["note"],
        row["reviewer"],
        row["undone"],
        row["id"],
        datetime.fromisoformat(row["time"]).astimezone(UTC),
    )


def _cause(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _locked(error: Exception) -> bool:
    """Whether another program has the database for itself at this moment."""
    return "locked" in _cause(error)
