"""`reviews`: lists of verdicts into the review log without a window, and what was judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from annotator.commands.choosing import covering_run
from annotator.commands.table import Table, counted, sentences
from annotator.commands.verdict_lists import Line, read_list
from annotator.errors import RunError
from annotator.outside import short
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.verdict import EventKind, FitKey, Preferred, ReviewEvent, Verdict, in_force, preferences_in_force

_NAMED = 20
_OF_PERSONS = {"whole": "body", "body": "whole"}
"""Parts that stand for a person, each with the other word for it."""


def import_reviews(path: Path, file: Path) -> Table:
    """Appends the verdicts of a CSV or JSON list, or of a plain list of ids (= reject), as one transaction.

    A line whose sample or run the project does not have, and an id alone that several data sets have, is counted and
    named; a line that cannot be understood refuses the file as a whole.

    Raises:
        ReviewError: the file cannot be read, or a line of it cannot be understood.
    """
    project = Project.open(path)
    fits = _FitFinder(project)
    events: list[ReviewEvent] = []
    for line in read_list(file):
        fit = fits.find(line)
        if fit is not None:
            events.append(_event(line, fit, file))
    if events:
        ReviewLog(project.reviews_path).append(*events)
    return sentences(f"Took in {counted(len(events), 'verdict')} from {file}.", *fits.left_out())


class _FitFinder:
    """Finds the fit that a line speaks of, and keeps what it could not find."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[str, dict[str, list[FitKey]] | None] = {}
        self._samples: list[str] = []
        self._runs: list[str] = []
        self._several: dict[str, list[str]] = {}

    def find(self, line: Line) -> FitKey | None:
        """The fit; a person's is the one that the desk shows, whether the line says `body` or `whole`."""
        run_id = line.run or self._default
        if run_id not in self._known:
            self._known[run_id] = self._read(run_id)
        known = self._known[run_id]
        if known is None:
            self._runs.append(run_id)
            return None
        found = [fit for fit in known.get(line.sample, ()) if line.part in ("", fit.part, _OF_PERSONS.get(fit.part))]
        samples = sorted({fit.sample for fit in found})
        if len(samples) > 1:
            self._several[line.sample] = samples
            return None
        if not found:
            self._samples.append(line.sample)
            return None
        return found[0]

    def left_out(self) -> Iterable[str]:
        """A sentence for every kind of line that was left out."""
        if self._samples:
            yield f"Not in the project's runs: {counted(len(self._samples), 'id')}: {_some(self._samples)}."
        if self._runs:
            yield f"Naming runs that the project does not have: {counted(len(self._runs), 'line')}: {_some(self._runs)}."
        if self._several:
            words = [f"{short(bare)} ({', '.join(samples)})" for bare, samples in self._several.items()]
            yield f"In several data sets: {counted(len(words), 'id')}; write the whole key: {_some(words, limit=400)}."

    @cached_property
    def _default(self) -> str:
        return covering_run(self._project).id

    def _read(self, run_id: str) -> dict[str, list[FitKey]] | None:
        """Fits by their sample's key and by what follows the data set in it; None where there is no such run."""
        try:
            run = self._project.run(run_id)
        except RunError:
            return None
        found: dict[str, list[FitKey]] = {}
        for dataset, part in run.fitted:
            if part in _OF_PERSONS and part != run.person_part(dataset):
                continue
            fits = run.fits(dataset, part)
            for key in fits.keys if fits is not None else ():
                for name in (key, key.partition("/")[2]):
                    found.setdefault(name, []).append(FitKey(run_id, key, part))
        return found


def _some(words: list[str], limit: int = 80) -> str:
    named = ", ".join(short(word, limit) for word in dict.fromkeys(words[:_NAMED]))
    return f"{named} ..." if len(words) > _NAMED else named


def _event(line: Line, fit: FitKey, file: Path) -> ReviewEvent:
    reviewer = line.reviewer or f"list {short(file.name)}"
    event = ReviewEvent(EventKind.VERDICT, fit, value=line.verdict.value, reasons=line.reasons, reviewer=reviewer)
    return replace(event, note=line.note, time=line.time or event.time)


def summary(path: Path) -> Table:
    """How many fits of each run were judged, how, and for which reasons; which of two runs was found better, how often."""
    events = ReviewLog(Project.open(path).reviews_path).events()
    judgements = list(in_force(events).values())
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
    compared = _comparisons(events)
    notes = ["No verdicts yet."] if not rows and not compared else []
    if reasons:
        notes.append(
            "Reasons of rejection: " + ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) + "."
        )
    notes += compared
    return Table("", ("run", "part", "accept", "reject", "unsure", "rejected"), rows, tuple(notes))


def _comparisons(events: list[ReviewEvent]) -> list[str]:
    """A sentence for every two runs that were compared."""
    counts: dict[tuple[FitKey, FitKey], Counter[Preferred]] = {}
    for (one, other), preference in preferences_in_force(events).items():
        runs = replace(one, sample=""), replace(other, sample="")
        counts.setdefault(runs, Counter())[preference.seen_from(one)] += 1
    return [
        f"{one.run} ({one.part}) against {other.run} ({other.part}): better {count[Preferred.LEFT]:,}, "
        f"worse {count[Preferred.RIGHT]:,}, ties {count[Preferred.TIE]:,}."
        for (one, other), count in sorted(counts.items())
    ]
