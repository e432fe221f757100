"""Joint regressors of data sets and of other programs: points as fixed mixtures of a model's vertices.

Official ones are bare matrices (`J_regressor_h36m.npy`, `J_regressor_extra.npy`, `SMPLX_to_J14.pkl`, InterHand2.6M's). An
imported one lies in `regressors/<name>.npz` of a body-model folder, and every model there that has as many vertices has its
points under that name (`BodyModelData.points`), in the rows' own order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.stored import content_hash, read_arrays
from annotator.errors import BodyModelError

FOLDER = "regressors"
_OFF_ONE = 1e-2
"""Rows sum to one; those of the official Human3.6M regressor miss it by 4e-4."""
_LEAST_VERTICES, _MOST_POINTS = 500, 500


def regressor_in(content: Mapping[str, Any] | np.ndarray | None) -> np.ndarray | None:
    """The `(K, V)` float32 rows of a file that holds nothing but a regressor, bare or under one name; else None."""
    if isinstance(content, Mapping):
        if "v_template" in content:
            return None
        found: list[Any] = [values for values in content.values() if len(getattr(values, "shape", ())) == 2]
        if len(found) != 1 or found[0].shape[0] > _MOST_POINTS:
            return None
        content = found[0].toarray() if sparse.issparse(found[0]) else found[0]
    if not isinstance(content, np.ndarray) or content.dtype.kind != "f" or content.ndim != 2:
        return None
    points, vertices = content.shape
    if not 0 < points <= _MOST_POINTS or vertices < _LEAST_VERTICES:
        return None
    rows = np.asarray(content, np.float32)
    return rows if np.isfinite(rows).all() and (np.abs(rows.sum(axis=1) - 1) < _OFF_ONE).all() else None


def regressor_path(root: Path, name: str) -> Path:
    """Where the regressor `name` of a body-model folder lies, or would."""
    return root / FOLDER / f"{name}.npz"


def regressors_in(root: Path) -> dict[str, np.ndarray]:
    """`(K, V)` rows of every regressor of a body-model folder, by name.

    Raises:
        BodyModelError: one cannot be read, is none, or was changed since it was imported.
    """
    return {path.stem: _rows(path) for path in sorted((root / FOLDER).glob("*.npz"))}


def provenance(root: Path, name: str) -> str:
    """Where the regressor `name` of a body-model folder came from, as its file says."""
    return str(read_arrays(regressor_path(root, name), left_out=("rows",)).get("provenance", ""))


def _rows(path: Path) -> np.ndarray:
    content = read_arrays(path)
    rows = regressor_in({key: values for key, values in content.items() if key == "rows"})
    if rows is None or "hash" not in content or content_hash({"rows": rows}) != str(content["hash"]):
        raise BodyModelError(
            f"{path} is no joint regressor with the hash that it states; delete it, or import it again."
        )
    return rows
