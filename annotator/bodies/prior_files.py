"""Where pose priors lie beside body models, and their reading and writing as plain arrays. No torch.

A body-model folder may hold `prior/vposer.npz` and `prior/gmm.npz`: official ones that were imported, or those that ship
with the open body. What does not lie there is taken from the open body, so every project has both. `annotator/prior/` makes
networks of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotator.bodies.files import content_hash, default_root, read_arrays
from annotator.bodies.written import TEXTS, Texts, write_named
from annotator.errors import BodyModelError, UnknownNameError, storage

PRIOR_FOLDER = "prior"
PRIORS = {"vposer": "VPoser", "gmm": "Gaussian mixture"}
"""Every prior that a folder may hold, with what people call it."""


@dataclass(frozen=True)
class PriorFile:
    """A prior as it lies on disk.

    Attributes:
        name: what the file calls itself. provenance: where it says it comes from.
        hash: of its arrays, as it states it.
        arrays: the weights of a VPoser by their official names; `means`, `covars`, `weights` of a mixture.
    """

    path: Path
    name: str
    provenance: str
    hash: str
    arrays: Mapping[str, np.ndarray]


def prior_path(root: Path, kind: str) -> Path:
    """Where the prior `kind` (vposer or gmm) of a body-model folder lies, or would.

    Raises:
        UnknownNameError: there is no such prior.
    """
    if kind not in PRIORS:
        raise UnknownNameError("pose prior", kind, PRIORS)
    return root / PRIOR_FOLDER / f"{kind}.npz"


def read_prior(root: Path, kind: str) -> PriorFile:
    """The prior `kind` of a body-model folder; the one that ships where the folder has none. Nothing in it is executed.

    Raises:
        BodyModelError: it cannot be read, states no hash, or was changed since.
    """
    path = prior_path(root, kind)
    if not path.exists():
        path = prior_path(default_root(), kind)
    content = read_arrays(path)
    arrays = {key: values for key, values in content.items() if key not in TEXTS}
    texts = {key: str(content[key]) for key in TEXTS if key in content}
    if "hash" not in texts:
        raise BodyModelError(f"{path} states no content hash; import the {PRIORS[kind]} with `bodies import`.")
    if any(values.dtype.kind not in "biuf" for values in arrays.values()) or content_hash(arrays) != texts["hash"]:
        raise BodyModelError(
            f"{path} is damaged: its contents do not have the hash {texts['hash']}; put it back, or delete it to use the "
            "one that ships."
        )
    return PriorFile(path, texts.get("name", path.stem), texts.get("provenance", ""), texts["hash"], arrays)


def write_prior(root: Path, kind: str, arrays: Mapping[str, np.ndarray], texts: Texts) -> str:
    """Writes a prior into a body-model folder and returns its content hash."""
    return write_named(prior_path(root, kind), arrays, texts)


def copy_priors(root: Path, target: Path) -> None:
    """Puts the priors of a body-model folder, or those that ship, into another: what a project begins with it keeps."""
    for kind in PRIORS:
        prior = read_prior(root, kind)
        path = prior_path(target, kind)
        with storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(prior.path, path)
