"""`new` and `relink`: the project folder itself."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from annotator.bodies.files import default_root, load_body_model, verified
from annotator.bodies.layouts import GENDERS, model_path, models_in
from annotator.bodies.prior_files import copy_priors
from annotator.bodies.regressors import FOLDER as REGRESSORS
from annotator.commands.table import Table
from annotator.errors import BodyModelError, storage
from annotator.outside import exists, is_dir, short
from annotator.project import Project, require_free
from annotator.projectfile import BodyModelSource
from annotator.wholefile import ignore_halves

FAMILIES = {
    "smplx": ("smplx",),
    "smplh": ("smplh",),
    "smpl": ("smpl",),
    "mano": ("mano_right", "mano_left"),
    "flame": ("flame",),
}
"""Folders of the smplx layout and the models in each."""
_LISTED = 20
"""How many missing photos of a root are named."""


def new(path: Path, *, body_models: Path | None = None, copy: bool = True) -> Project:
    """Makes a project with the body models of `body_models` (default: the open body) and its pose priors, or those that ship.

    Args:
        copy: False leaves licensed files where they are and only notes their folder and hash.

    Raises:
        BodyModelError: the folder holds no body model that can be read.
        ProjectError: `path` is not empty.
    """
    require_free(path)
    root = body_models or default_root()
    if not is_dir(root):
        raise BodyModelError(
            f"There is no body-model folder {short(str(root))}; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    hashes = families_in(root)
    if body_models is not None:
        for model in models_in(root):
            verified(root, *model)
    target = path / "body_models" if copy else root
    with _whole_or_absent(path):
        if copy:
            with storage(path):
                for folder in filter(lambda name: is_dir(root / name), (*hashes, REGRESSORS)):
                    shutil.copytree(root / folder, target / folder, dirs_exist_ok=True, ignore=ignore_halves)
                copy_priors(root, target)
        return Project.create(path, {family: BodyModelSource(target, digest) for family, digest in hashes.items()})


def families_in(root: Path) -> dict[str, str]:
    """Every family of a body-model folder with the hash of what a project fits: the neutral body, where there is one.

    Raises:
        BodyModelError: the folder has no neutral SMPL-X, or a model in it cannot be read.
    """
    found: dict[str, str] = {}
    there = models_in(root)
    for family, names in FAMILIES.items():
        if is_dir(root / family):
            genders = [gender for name, gender in there if name == names[0]]
            if family == "smplx" and genders and GENDERS[0] not in genders:
                raise BodyModelError(
                    f"{root} has SMPL-X only as {' and '.join(genders)}, and a project fits the neutral one; put "
                    f"{model_path(root, 'smplx').name} beside it."
                )
            chosen = GENDERS[:1] if GENDERS[0] in genders or not genders else genders
            found[family] = "-".join(load_body_model(root, name, gender).hash for name in names for gender in chosen)
    if "smplx" not in found:
        raise BodyModelError(
            f"{root} has no smplx/ folder with SMPL-X files; give the folder that `smplx.create` takes."
        )
    return found


def is_project(folder: Path) -> bool:
    """Whether a folder is that of a project."""
    return exists(folder / "project.toml")


@contextmanager
def _whole_or_absent(path: Path) -> Generator[None, None, None]:
    """Takes away what the block made in `path`, which is empty or absent, if it ends badly; what was there before stays."""
    was_there = exists(path)
    parents = [parent for parent in path.absolute().parents if not exists(parent)]
    try:
        yield
    except BaseException:
        if was_there:
            for name in ("body_models", "datasets", "runs", "jobs", "cache"):
                shutil.rmtree(path / name, ignore_errors=True)
        else:
            shutil.rmtree(path, ignore_errors=True)
        for parent in parents:  # the nearest first
            with suppress(OSError):
                parent.rmdir()
        raise


def relink(path: Path, changes: dict[str, Path]) -> Table:
    """Says where image roots (or `body_models`) lie now, and lists the photos that are still missing.

    Raises:
        BodyModelError: the new folder of the body models holds none that can be read, or others than the fits belong to.
        ProjectError: there is no such root, or no such folder. Nothing is changed then.
    """
    project = Project.open(path)
    models = changes.get("body_models")
    found = families_in(models) if models is not None and is_dir(models) else {}
    if found:
        _require_same(project, found)
    project.relink(changes, found)
    missing = project.missing_photos()
    rows = tuple(row for root, images in missing.items() for row in _rows_of(root, images))
    note = "All photos are there." if not rows else "Say where they are with `relink PROJECT ROOT=PATH`."
    return Table(
        "Missing photos" if rows else "", ("root", "missing", "photo"), rows, (note, *_without_models(project))
    )


def _require_same(project: Project, found: Mapping[str, str]) -> None:
    tables = [run.fits(*of) for run in project.runs() for of in run.fitted]
    fitted = {fits.header.family for fits in tables if fits is not None}
    for family, digest in found.items():
        source = project.body_models.get(family)
        if source is not None and source.hash != digest and (family in fitted or project.damaged_runs()):
            raise BodyModelError(
                f"The {family} body model in that folder is another one ({digest}) than the fits of {project.path} belong to "
                f"({source.hash}), so nothing was changed; make a new project for it with `new PROJECT --body-models FOLDER`."
            )


def _without_models(project: Project) -> list[str]:
    """A sentence for each folder of body models that is gone."""
    gone: dict[Path, list[str]] = {}
    for family, source in project.body_models.items():
        if not is_dir(source.folder):
            gone.setdefault(source.folder, []).append(family)
    return [
        f"The body models {', '.join(families)} are missing: there is no folder {folder}; say where they are with `relink "
        f"{project.path} body_models=PATH`."
        for folder, families in gone.items()
    ]


def _rows_of(root: str, images: list[str]) -> list[tuple[str, str, str]]:
    """The photos of a root that are missing, a row each, up to `_LISTED`."""
    more = len(images) - _LISTED
    names = [*images[:_LISTED], *([f"and {more:,} more"] if more > 0 else [])]
    return [(root, f"{len(images):,}", names[0]), *(("", "", name) for name in names[1:])]
