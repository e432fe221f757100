"""The structure of `MSCOCO_train_SMPLX_all_NeuralAnnot.json`, as released: annotation id -> parameters and camera.

Numbers are float lists; `trans` is the smplx package's `transl`; hand pose is without the mean; the camera is in
full-image pixels. What a fit does not have (hands and face of a body-only fit) is zeros with its `valid` flag false.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec

from annotator.errors import RunError
from annotator.exports.writing import ExportTable
from annotator.fit import Fit
from annotator.progress import Progress
from annotator.wholefile import whole_file

_NAMES = {
    "root_pose": "global_orient",
    "body_pose": "body_pose",
    "shape": "betas",
    "lhand_pose": "left_hand_pose",
    "rhand_pose": "right_hand_pose",
    "jaw_pose": "jaw_pose",
    "expr": "expression",
}
_REPORT_EVERY = 1000


def write_neuralannot(tables: list[ExportTable], path: Path) -> Generator[Progress, None, int]:
    """Writes one JSON object with an entry per fit, streaming, so that 260,000 of them need no memory.

    Raises:
        RunError: fits of another family than SMPL-X, or two data sets that share an annotation id.
    """
    total = sum(len(table.rows) for table in tables)
    seen: dict[str, str] = {}
    with whole_file(path) as file:
        file.write(b"{")
        for table in tables:
            if table.fits.header.family != "smplx":
                raise RunError(
                    f"The neuralannot export holds SMPL-X fits; those of {table.dataset} are {table.fits.header.family}."
                )
            whole = table.fits.header.part == "whole"
            for row in table.rows:
                fit = table.fits[row]
                annotation_id = fit.key.split("/")[1]
                if annotation_id in seen:
                    other = seen[annotation_id]
                    raise RunError(
                        f"{other} and {table.dataset} both have an annotation {annotation_id}, and entries are named by it "
                        f"alone; export them one by one, with --data {other} and with --data {table.dataset}."
                    )
                separator = b",\n" if seen else b"\n"
                seen[annotation_id] = table.dataset
                file.write(
                    separator + msgspec.json.encode(annotation_id) + b": " + msgspec.json.encode(_entry(fit, whole))
                )
                if len(seen) % _REPORT_EVERY == 0:
                    yield Progress("Exporting", len(seen), total, "people")
        file.write(b"\n}\n")
    yield Progress("Exporting", total, total, "people")
    return total


def _entry(fit: Fit, whole: bool) -> dict[str, dict[str, object]]:
    parameters: dict[str, object] = {theirs: fit.parameters[ours].tolist() for theirs, ours in _NAMES.items()}
    parameters["trans"] = fit.transl.tolist()
    for flag in ("lhand_valid", "rhand_valid", "face_valid"):
        parameters[flag] = whole and bool(fit.extra.get(f"integration.{flag}", True))
    return {"smplx_param": parameters, "cam_param": {"focal": fit.focal.tolist(), "princpt": fit.princpt.tolist()}}
