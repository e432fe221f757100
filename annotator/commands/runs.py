"""`runs`, `jobs`, `stop`: what was run, what is running, what it takes on disk."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from annotator.commands.choosing import chain_of
from annotator.commands.table import Table, bytes_text, duration_text, sentences
from annotator.errors import ProjectError, RunError
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.runs import INTERRUPTED, Run

DAMAGED = "damaged"
"""What stands in the column of states for a run or job whose files cannot be read."""


def list_runs(path: Path) -> Table:
    """All runs, oldest first, with their state and number of fits; those that cannot be read come last, with the reason."""
    project = Project.open(path)
    rows: list[tuple[str, ...]] = []
    damaged = project.damaged_runs()
    runs = project.runs()
    for run in runs:
        try:
            rows.append(_row(run))
        except ProjectError as error:  # its fits
            damaged.append((run, str(error)))
    rows += [(run.id, "", "", "", DAMAGED, "", "") for run, _ in damaged]
    columns = ("run", "annotator", "round", "recipe", "state", "fits", "created (UTC)")
    notes = [] if rows else ["No runs yet; start one with `run`."]
    notes += _how_to_resume(path, runs)
    return Table("", columns, tuple(rows), (*notes, *(why for _, why in damaged)))


def _row(run: Run) -> tuple[str, ...]:
    info = run.info
    count = sum(len(fits) for dataset, part in run.fitted if (fits := run.fits(dataset, part)) is not None)
    return (
        run.id,
        info.annotator,
        str(info.round),
        info.recipe,
        run.state,
        f"{count:,}",
        info.created[:16].replace("T", " "),
    )


def run_sizes(path: Path, ids: tuple[str, ...] = ()) -> Table:
    """What runs take on disk, by what is in them."""
    project = Project.open(path)
    runs = [project.run(run_id) for run_id in ids] if ids else project.runs()
    rows = tuple(
        (run.id, bytes_text(_folder_size(run, "fits")), bytes_text(_folder_size(run, "networks")), bytes_text(run.size))
        for run in runs
    )
    return Table("", ("run", "fits", "networks", "all"), rows)


def _folder_size(run: Run, name: str) -> int:
    return sum(file.stat().st_size for file in (run.path / name).rglob("*") if file.is_file())


def remove_runs(path: Path, ids: tuple[str, ...]) -> Table:
    """Deletes runs; verdicts about their fits stay in the review log.

    Raises:
        RunError: one of them does not exist or is being worked on; then none is deleted.
    """
    if not ids:
        raise RunError("Name the runs to remove; `runs list` shows them.")
    project = Project.open(path)
    runs = [project.run(run_id) for run_id in dict.fromkeys(ids)]
    if busy := [run.id for run in runs if run.job.alive]:
        raise RunError(f"{', '.join(busy)} is still being worked on; stop it first with `stop`. Nothing was removed.")
    needed = {
        run.id: found for run in project.runs() if run.id not in ids and (found := _from(project, run) & set(ids))
    }
    if at_work := [run_id for run_id in needed if project.run(run_id).job.alive]:
        raise RunError(
            f"{at_work[0]} needs {min(needed[at_work[0]])} and is being worked on; wait for it, or stop it first with `stop`. "
            "Nothing was removed."
        )
    freed = sum(run.size for run in runs)
    for run in runs:
        run.remove()
    notes = [
        f"{run_id} came from {min(found)}: it keeps its fits, but a next round needs both, and so does --resume if it is not "
        "finished."
        for run_id, found in needed.items()
    ]
    return sentences(f"Removed {', '.join(ids)}; {bytes_text(freed)} are free again.", *notes)


def _from(project: Project, run: Run) -> set[str]:
    """Ids of the runs from which one came, up to the first that was removed before."""
    found: set[str] = set()
    with suppress(RunError):
        found.update(other.id for other in chain_of(project, run.info.source))
    return found


def list_jobs(path: Path) -> Table:
    """Every run and every long command that the desk started: how far it is."""
    project = Project.open(path)
    damaged = project.damaged_runs()
    runs = project.runs()
    rows: list[tuple[str, ...]] = []
    notes = [why for _, why in damaged]
    states = {run.path: run.state for run in runs}
    for job in [*(run.job for run in (*runs, *(run for run, _ in damaged))), *project.jobs()]:
        try:
            rows.append(_job_row(job, states.get(job.path, INTERRUPTED)))
        except ProjectError as error:
            rows.append((job.path.name, DAMAGED, "", "", ""))
            notes.append(str(error))
    notes += _how_to_resume(path, runs)
    columns = ("job", "state", "stage", "done", "last word")
    return Table("", columns, tuple(rows), tuple(notes if rows else ["No jobs yet."]))


def _how_to_resume(path: Path, runs: list[Run]) -> list[str]:
    return [
        f"{run.id} was interrupted; what it saved is kept: go on with `run {path} --resume {run.id}`."
        for run in runs
        if run.state == INTERRUPTED
    ]


def _job_row(job: JobFolder, unworked: str) -> tuple[str, ...]:
    """A job's row; `unworked` is the state of one that no worker has told of."""
    events = job.events()
    last = next((event for event in reversed(events) if event["t"] == "progress"), {})
    ending = events[-1]["t"] if events else ""
    state = (
        "running"
        if job.alive
        else {"done": "finished", "stopped": "stopped", "fail": "failed", "": unworked}.get(ending, INTERRUPTED)
    )
    done = f"{last.get('done', 0):,} of {last['total']:,} {last.get('unit', '')}" if last.get("total") else ""
    ago = duration_text(datetime.now(UTC).timestamp() - events[-1]["time"]) + " ago" if events else ""
    return (job.path.name, state, str(last.get("stage", "")), done.strip(), ago)


def stop(path: Path, run_id: str) -> Table:
    """Asks a run (or a job of the desk) to save what it has and end.

    Raises:
        RunError: there is none of that name, or nobody works on it.
    """
    project = Project.open(path)
    job = next((job for job in project.jobs() if job.path.name == run_id), None) or project.run(run_id).job
    if not job.alive:
        raise RunError(f"{run_id} is not being worked on; there is nothing to stop.")
    job.ask_to_stop()
    return sentences(f"{run_id} will save what it has and end; resume it with `run {path} --resume {run_id}`.")
