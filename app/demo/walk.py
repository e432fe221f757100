"""The demo from start to end: data, project, import, run, table. Each step that is done is not done again."""

from __future__ import annotations

from collections.abc import Collection, Generator
from pathlib import Path

from annotator.apart import apart
from annotator.commands.evaluate import evaluate
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.commands.table import Table
from annotator.errors import ProjectError, storage
from annotator.progress import Progress
from annotator.project import AUXILIARY, TARGET, Project
from annotator.runs import FINISHED
from app.demo.data import MORE, SIZES, write_data
from app.demo.writing import LAB, WILD
from app.demo.writing_auxiliary import HANDS, STUDIO

_RECIPES = {"tiny": "tiny", "small": "demo", "full": "demo-full"}


def demo(out: Path, size: str) -> Generator[Progress, None, Table]:
    """Walks the whole path in `out` and returns the table of the mean-pose predictor against NeuralAnnot.

    Raises:
        ProjectError: `out` holds a demo of another size.
    """
    path = yield from demo_project(out, size)
    runs = Project.open(path).runs()
    if not runs:
        yield from apart(run, path, RunOptions(recipe=_RECIPES[size], parts=("body",)))
    elif runs[0].state != FINISHED:
        yield from apart(run, path, RunOptions(resume=runs[0].id))
    first = Project.open(path).runs()[0].id
    return (yield from evaluate(path, run_ids=[first], truth=out / "truth"))


def demo_project(out: Path, size: str) -> Generator[Progress, None, Path]:
    """Draws the demo's people and imports them into `out/project`, as far as that is not done; returns that path.

    Raises:
        ProjectError: `out` holds a demo of another size.
    """
    _check_size(out, size)
    yield from apart(write_data, out, size)  # apart: see there why drawing and training share no process
    path = out / "project"
    if not (path / "project.toml").exists():
        new(path)
    project = Project.open(path)
    known = project.datasets()
    if LAB not in known:
        folder = out / "data" / LAB
        yield from import_dataset(
            path, "human36m", folder / "annotations", images=folder / "images", role=AUXILIARY, name=LAB
        )
    if WILD not in known:
        folder = out / "data" / WILD
        file = folder / "annotations" / "coco_wholebody_train_v1.0.json"
        yield from import_dataset(
            path, "coco-wholebody", file, images=folder / "images" / "train2017", role=TARGET, name=WILD
        )
    if size in MORE:
        yield from import_more(path, out, known)
    return path


def import_more(path: Path, out: Path, known: Collection[str]) -> Generator[Progress, None, None]:
    """Takes in the second body set and the hands, but those of them that are `known`."""
    for name, layout in ((STUDIO, "mpi-inf-3dhp"), (HANDS, "freihand")):
        if name not in known:
            yield from import_dataset(path, layout, out / "data" / name, role=AUXILIARY, name=name)


def _check_size(out: Path, size: str) -> None:
    marker = out / "size.txt"
    if marker.exists() and marker.read_text() != size:
        raise ProjectError(
            f"{out} holds the {marker.read_text()} demo; choose another folder with --out for the {size} one."
        )
    if size in SIZES:
        with storage(out):
            out.mkdir(parents=True, exist_ok=True)
            marker.write_text(size)
