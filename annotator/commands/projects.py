"""`new` and `relink`: the project folder itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from annotator.bodies.files import default_root, load_body_model, verified
from annotator.bodies.prior_files import copy_priors
from annotator.commands.table import Table
from annotator.errors import BodyModelError, storage
from annotator.project import BodyModelSource, Project, require_free

FAMILIES = {"smplx": ("smplx",), "smpl": ("smpl",), "mano": ("mano_right", "mano_left"), "flame": ("flame",)}
"""Folders of the smplx layout and the models in each."""


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
    if not root.is_dir():
        raise BodyModelError(
            f"There is no body-model folder {root}; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    hashes = {
        family: "-".join(load_body_model(root, model).hash for model in models)
        for family, models in FAMILIES.items()
        if (root / family).is_dir()
    }
    if body_models is not None:
        for family in hashes:
            for model in FAMILIES[family]:
                verified(root, model)
    if "smplx" not in hashes:
        raise BodyModelError(
            f"{root} has no smplx/ folder with SMPL-X files; give the folder that `smplx.create` takes."
        )
    target = path / "body_models" if copy else root
    if copy:
        with storage(path):
            for family in hashes:
                shutil.copytree(root / family, target / family, dirs_exist_ok=True)
            copy_priors(root, target)
    return Project.create(path, {family: BodyModelSource(target, digest) for family, digest in hashes.items()})


def relink(path: Path, changes: dict[str, Path]) -> Table:
    """Says where image roots (or `body_models`) lie now, and lists the photos that are still missing."""
    project = Project.open(path)
    for name, folder in changes.items():
        project.relink(name, folder)
    missing = project.missing_photos()
    rows = tuple((root, str(len(images)), images[0]) for root, images in missing.items())
    note = "All photos are there." if not rows else "Say where they are with `relink PROJECT ROOT=PATH`."
    return Table("Missing photos" if rows else "", ("root", "missing", "first"), rows, (note,))
