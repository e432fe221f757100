"""The smplx package as the yardstick: agreement tests, `bodies check`, reference arms of benchmarks. The one file that imports it.

Its licence is non-commercial and nothing on the product's path needs it. It opens files with pickle allowed, so it
is only ever given files that we wrote, and `read_arrays` has proved first that they hold plain arrays.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

from annotator.bodies.files import model_path, read_arrays


def create(root: Path, family: str, **options: Any) -> Any:
    """`smplx.create` on the file of `family` below `root`.

    Hand pose is axis-angle without the mean, as everywhere in the house, unless `options` say otherwise.
    """
    import smplx

    read_arrays(model_path(root, family))
    defaults: dict[str, Any] = {
        "use_pca": False,
        "flat_hand_mean": False,
        "num_betas": 10,
        "num_expression_coeffs": 10,
        "ext": "npz",
    }
    with contextlib.redirect_stdout(io.StringIO()):
        return smplx.create(str(root), model_type=family, **{**defaults, **options})
