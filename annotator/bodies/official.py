"""The smplx package as the yardstick: agreement tests, `bodies check`, reference arms of benchmarks. The one file that imports it.

Its licence is non-commercial and nothing on the product's path needs it. It opens files with pickle allowed, so it
never opens a file that lies somewhere: of a model that this program wrote it is given a copy, written a moment before
from the arrays that were read as plain data and have the hash they state.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

from annotator.bodies.files import LAYOUTS, model_path, own_arrays
from annotator.bodies.layouts import SHAPES_OF_SMALL
from annotator.bodies.written import TEXTS, Texts, write_model
from annotator.errors import BodyModelError


def create(root: Path, name: str, gender: str = "neutral", **options: Any) -> Any:
    """`smplx.create` on a model below `root`, by the names of `load_body_model`.

    Hand pose is axis-angle without the mean, as everywhere here, unless `options` say otherwise.

    Raises:
        BodyModelError: this program did not write the file, or it was changed since.
    """
    import smplx

    path = model_path(root, name, gender)
    arrays, layout = own_arrays(root, name, gender), LAYOUTS[name]
    if arrays is None:
        raise BodyModelError(
            f"{path} states no content hash, so it was not handed to the smplx package; import it first."
        )
    after_shape = arrays["shapedirs"].shape[2] - SHAPES_OF_SMALL
    defaults: dict[str, Any] = {
        "use_pca": False,
        "flat_hand_mean": False,
        "gender": gender,
        "num_betas": 10,
        "num_expression_coeffs": max(0, min(10, after_shape)),  # it fails if asked for more than lie there
        "is_rhand": layout.side == "right",
    }
    plain = {key: values for key, values in arrays.items() if key not in TEXTS}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        write_model(Path(folder), name, gender, plain, Texts("a copy", "", ""))
        ext = model_path(Path(folder), name, gender).suffix.removeprefix(".")
        return smplx.create(folder, model_type=layout.family, **{**defaults, "ext": ext, **options})
