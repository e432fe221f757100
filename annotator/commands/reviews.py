"""`reviews`: lists of verdicts in and out of the review log without a window."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotator.commands.choosing import covering_run
from annotator.commands.table import Table
from annotator.errors import ReviewError
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.verdict import EventKind, FitKey, ReviewEvent, Verdict

_NAMED = 20
_FIELDS = {"sample", "verdict", "run", "part", "reasons", "reviewer", "note", "time"}


@dataclass(frozen=True)
class _Line:
    place: str
    values: dict[str, str]


def import_reviews(path: Path, file: Path) -> Table:
    """Appends the verdicts of a CSV or JSON list, or of a plain list of ids (= reject), as one transaction.

    Unknown ids are counted and named; a line that cannot be understood refuses the file as a whole.

    Raises:
        ReviewError: a verdict or a field is unknown, or the file cannot be read.
    """
    project = Project.open(path)
    fits = _FitFinder(project)
    events: list[ReviewEvent] = []
    unknown: list[str] = []
    for line in _lines(file):
        sample = line.values["sample"]
        fit = fits.find(sample, line.values.get("run", ""), line.values.get("part", ""))
        if fit is None:
            unknown.append(sample)
        else:
            events.append(_event(line, fit))
    if events:
        ReviewLog(project.reviews_path).append(*events)
    notes = [f"Took in {len(events):,} verdicts from {file}."]
    if unknown:
        notes.append(
            f"{len(unknown):,} ids are not in the project's runs: {', '.join(unknown[:_NAMED])}{' ...' if len(unknown) > _NAMED else ''}."
        )
    return Table("", (), (), tuple(notes))


class _FitFinder:
    """Finds the fit that a line speaks of; `sample` may be the whole key or the annotation id alone."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, dict[str, dict[str, str]]] = {}

    def find(self, sample: str, run_id: str, part: str) -> FitKey | None:
        run_id = run_id or self._default
        if run_id not in self._known:
            self._known[run_id] = self._read(run_id)
        parts = self._known[run_id]
        for name in [part] if part else sorted(parts, key=lambda p: p != "whole"):
            key = parts.get(name, {}).get(sample)
            if key is not None:
                return FitKey(run_id, key, name)
        return None

    @property
    def _default(self) -> str:
        return covering_run(self._project).id

    def _read(self, run_id: str) -> dict[str, dict[str, str]]:
        run = self._project.run(run_id)
        found: dict[str, dict[str, str]] = {}
        for dataset, part in run.fitted:
            fits = run.fits(dataset, part)
            for key in fits.keys if fits is not None else ():
                names = found.setdefault(part, {})
                names[key] = key
                names.setdefault(key.split("/")[1], key)
        return found


def _event(line: _Line, fit: FitKey) -> ReviewEvent:
    values = line.values
    verdict = values.get("verdict") or Verdict.REJECT.value
    if verdict not in set(Verdict):
        raise ReviewError(
            f"{line.place}: the verdict '{verdict}' is unknown; use accept, reject or unsure. Nothing was taken in."
        )
    try:
        time = datetime.fromisoformat(values["time"]) if values.get("time") else datetime.now(UTC)
    except ValueError as error:
        raise ReviewError(
            f"{line.place}: the time '{values['time']}' is not in ISO form; nothing was taken in."
        ) from error
    return ReviewEvent(
        EventKind.VERDICT,
        fit,
        value=verdict,
        reasons=tuple(reason.strip() for reason in values.get("reasons", "").split(";") if reason.strip()),
        note=values.get("note", ""),
        reviewer=values.get("reviewer") or f"list {line.place.split(':')[0].rsplit('/', 1)[-1]}",
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
    )


def _lines(file: Path) -> list[_Line]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ReviewError(f"The list {file} cannot be read; give a CSV, JSON or plain text file.") from error
    if file.suffix.lower() == ".json":
        return _json_lines(file, text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "sample" in [cell.strip() for cell in first.split(",")]:
        return _csv_lines(file, text)
    ids = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [_Line(f"{file}:{number}", {"sample": name}) for number, name in ids if name and not name.startswith("#")]


def _csv_lines(file: Path, text: str) -> list[_Line]:
    rows = csv.DictReader(text.splitlines(), skipinitialspace=True)
    return [_checked(f"{file}:{rows.line_num}", dict(row)) for row in rows]


def _json_lines(file: Path, text: str) -> list[_Line]:
    try:
        rows: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ReviewError(f"{file} is not whole JSON (line {error.lineno}); nothing was taken in.") from error
    if not isinstance(rows, list):
        raise ReviewError(f"{file} should hold a list; nothing was taken in.")
    return [_json_line(f"{file}:entry {number}", row) for number, row in enumerate(rows, 1)]


def _json_line(place: str, row: Any) -> _Line:
    if isinstance(row, str | int):
        return _Line(place, {"sample": str(row)})
    if not isinstance(row, dict):
        raise ReviewError(f"{place} should be an id or an object with 'sample' and 'verdict'; nothing was taken in.")
    values: dict[str, Any] = row
    reasons = values.get("reasons", "")
    joined = ";".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)
    return _checked(place, {**{name: str(value) for name, value in values.items()}, "reasons": joined})


def _checked(place: str, values: dict[str, str]) -> _Line:
    if unknown := set(values) - _FIELDS:
        raise ReviewError(
            f"{place}: unknown field {', '.join(map(str, sorted(unknown, key=str)))}; use {', '.join(sorted(_FIELDS))}."
        )
    if not values.get("verdict"):
        raise ReviewError(f"{place}: it gives no verdict; use accept, reject or unsure. Nothing was taken in.")
    if not values.get("sample"):
        raise ReviewError(f"{place}: it names no sample; nothing was taken in.")
    return _Line(place, {name: value or "" for name, value in values.items()})


def summary(path: Path) -> Table:
    """How many fits of each run were judged, how, and for which reasons."""
    judgements = list(ReviewLog(Project.open(path).reviews_path).judgements().values())
    counts: dict[tuple[str, str], Counter[str]] = {}
    for judgement in judgements:
        counts.setdefault((judgement.fit.run, judgement.fit.part), Counter())[judgement.verdict.value] += 1
    rows = tuple(
        (run, part, *(str(count[verdict.value]) for verdict in Verdict), f"{count['reject'] / sum(count.values()):.0%}")
        for (run, part), count in sorted(counts.items())
    )
    reasons = Counter(
        reason for judgement in judgements if judgement.verdict is Verdict.REJECT for reason in judgement.reasons
    )
    notes = ["No verdicts yet."] if not rows else []
    if reasons:
        notes.append(
            "Reasons of rejection: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) + "."
        )
    return Table("", ("run", "part", "accept", "reject", "unsure", "rejected"), rows, tuple(notes))
