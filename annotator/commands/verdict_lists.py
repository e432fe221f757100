"""Lists of verdicts as people write them: CSV, JSON, or one id a line (= reject). Whatever is wrong refuses the list."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from annotator.errors import ReviewError
from annotator.outside import is_text, parse_json, short
from annotator.verdict import Verdict

_FIELDS = ("sample", "verdict", "run", "part", "reasons", "reviewer", "note", "time")
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class Line:
    """One verdict of a list.

    Attributes:
        sample: a sample's key, or its annotation id alone.
        run, part: empty where the list does not say.
        time: when it was given, UTC; None where the list does not say.
    """

    sample: str
    verdict: Verdict
    run: str = ""
    part: str = ""
    reasons: tuple[str, ...] = ()
    reviewer: str = ""
    note: str = ""
    time: datetime | None = None


def read_list(file: Path) -> list[Line]:
    """The verdicts of a list.

    Raises:
        ReviewError: it cannot be read, or a line cannot be understood; the sentence names the line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ReviewError(
            f"The list {short(str(file))} cannot be read; give a CSV, JSON or plain text file."
        ) from error
    if file.suffix.lower() == ".json":
        return _json_lines(file, text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "sample" in [cell.strip() for cell in first[:1000].split(",")]:
        return _csv_lines(file, text)
    ids = [line.strip() for line in text.splitlines()]
    return [Line(name, Verdict.REJECT) for name in ids if name and not name.startswith("#")]


def _csv_lines(file: Path, text: str) -> list[Line]:
    rows = csv.DictReader(io.StringIO(text.lstrip(), newline=""), skipinitialspace=True)
    lines: list[Line] = []
    try:
        for row in rows:
            values: dict[Any, Any] = {name.strip() if name else None: value for name, value in row.items()}
            lines.append(_line(f"{file}:{rows.line_num}", values))
    except csv.Error as error:
        raise ReviewError(f"{file}:{rows.line_num}: this is no CSV ({error}); nothing was taken in.") from error
    return lines


def _json_lines(file: Path, text: str) -> list[Line]:
    try:
        rows: Any = parse_json(text)
    except ValueError as error:
        raise ReviewError(f"{file} is not whole JSON ({error}); nothing was taken in.") from error
    if not isinstance(rows, list):
        raise ReviewError(f"{file} should hold a list; nothing was taken in.")
    return [_json_line(f"{file}:entry {number}", row) for number, row in enumerate(rows, 1)]


def _json_line(place: str, row: Any) -> Line:
    if type(row) in (str, int):
        return _line(place, {"sample": row, "verdict": Verdict.REJECT.value})
    if not isinstance(row, dict):
        raise ReviewError(f"{place} should be an id or an object with 'sample' and 'verdict'; nothing was taken in.")
    values: dict[Any, Any] = row
    reasons = values.get("reasons")
    return _line(place, {**values, "reasons": ";".join(map(str, reasons))} if isinstance(reasons, list) else values)


def _line(place: str, given: dict[Any, Any]) -> Line:
    """Checks what a row says; a field that is empty or null is absent."""
    if unknown := [str(name) for name in given if name not in _FIELDS]:
        raise ReviewError(f"{place}: unknown field {short(unknown[0])}; use {', '.join(_FIELDS)}.")
    values: dict[str, str] = {}
    for name, value in given.items():
        if type(value) not in (str, int, float, type(None)) or not is_text(str(value)):
            raise ReviewError(f"{place}: {name} is no text that can be kept; nothing was taken in.")
        if value is not None and str(value).strip():
            values[name] = str(value).strip()
    if "verdict" not in values:
        raise ReviewError(f"{place}: it gives no verdict; use accept, reject or unsure. Nothing was taken in.")
    if "sample" not in values:
        raise ReviewError(f"{place}: it names no sample; nothing was taken in.")
    if values["verdict"] not in set(Verdict):
        raise ReviewError(
            f"{place}: the verdict '{short(values['verdict'])}' is unknown; use accept, reject or unsure. Nothing was "
            "taken in."
        )
    return Line(
        sample=values["sample"],
        verdict=Verdict(values["verdict"]),
        run=values.get("run", ""),
        part=values.get("part", ""),
        reasons=tuple(word.strip() for word in values.get("reasons", "").split(";") if word.strip()),
        reviewer=values.get("reviewer", ""),
        note=values.get("note", ""),
        time=_time(place, values["time"]) if "time" in values else None,
    )


def _time(place: str, text: str) -> datetime:
    """A time in UTC. One in the future would outlast every verdict given from now on, so there is none."""
    try:
        time = datetime.fromisoformat(text)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ReviewError(f"{place}: the time '{short(text)}' is not in ISO form; nothing was taken in.") from error
    now = datetime.now(UTC)
    if time > now + _CLOCKS_DIFFER:
        raise ReviewError(
            f"{place}: the time '{short(text)}' lies in the future (one without a zone is taken as UTC); nothing was taken "
            "in."
        )
    return min(time, now)
