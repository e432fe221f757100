"""How much two runs disagree about each person: one number, for sorting. Worked out in chunks and kept in `P/cache/between`.

The number is the mean distance of the body's joints but the pelvis, in the crop frame, pelvis-aligned (or after the best
similarity, of the joints of the run that comes second by name onto those of the first), in mm. It needs
no mesh, so 260,000 people take minutes and not hours; the distance of the meshes is shown for one person at a time (`comparing.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator.bodies.files import BodyModelData
from annotator.bodies.joints import BODY_JOINTS, BodyJoints
from annotator.camera import Camera, Crop, crop_from_camera, crop_of_box
from annotator.columns import read_shards, rows_of, write_shard
from annotator.errors import NeuralAnnotError
from annotator.fit import FAILED, Fits
from annotator.metrics import MM, similarity_align
from annotator.project import Project
from annotator.runs import Run
from annotator.sample import Samples

CHUNK = 512
FAMILIES = ("smplx", "smplh", "smpl")
"""Families that have the joints of the body."""
_NEEDED = ("global_orient", "body_pose", "betas")


@dataclass(frozen=True)
class Side:
    """One of the two runs: its fits of the part that is compared, and their body model."""

    run: Run
    part: str
    fits: Fits
    body: BodyModelData


def disagreements(
    samples: Samples, one: Side, other: Side, *, similarity: bool = False
) -> Iterator[tuple[slice, np.ndarray]]:
    """For a chunk of samples after the other, its rows and `(n,)` float32 mm; NaN where one of the two has no fit."""
    one, other = sorted((one, other), key=_name)  # the number is the same whichever of them is on the left
    posers = BodyJoints(one.body), BodyJoints(other.body)
    keys = samples.table["key"]
    found = [rows_of(keys, side.fits.table["key"]) for side in (one, other)]
    boxes, sizes = samples.boxes, samples.sizes
    for start in range(0, len(samples), CHUNK):
        rows = slice(start, min(start + CHUNK, len(samples)))
        values = np.full(rows.stop - rows.start, np.nan, np.float32)
        both = np.flatnonzero((found[0][rows] >= 0) & (found[1][rows] >= 0))
        if len(both):
            crop = crop_of_box(boxes[rows][both], sizes[rows][both], drawn=samples.box_drawn)
            sides = zip((one, other), posers, found, strict=True)
            a, b = (_joints(side, poser, of[rows][both], crop) for side, poser, of in sides)
            whole = np.isfinite(a).all(axis=(1, 2)) & np.isfinite(b).all(axis=(1, 2))
            if similarity:
                b[whole] = similarity_align(b[whole], a[whole])
            values[both] = MM * np.linalg.norm(a - b, axis=-1)[:, 1:].mean(axis=1)
        yield rows, values


def _joints(side: Side, poser: BodyJoints, rows: np.ndarray, crop: Crop) -> np.ndarray:
    """`(n, 22, 3)` in the crop frame, pelvis-aligned; NaN where the fit failed."""
    some = Fits(side.fits.table.take(pa.array(rows)))
    camera = Camera(some.column("focal").astype(np.float64), some.column("princpt").astype(np.float64))
    failed = np.array([status == FAILED for status in some.table["status"].to_pylist()], bool)
    camera.focal[failed] = 1.0  # zeros, as all numbers of a failed fit
    turns = crop_from_camera(camera, crop)
    joints = poser.pose({name: some.column(name) for name in _NEEDED})
    joints[failed] = np.nan
    return np.einsum("nab,njb->nja", turns, joints)[:, :BODY_JOINTS]


def disagreement_path(project: Project, dataset: str, one: Side, other: Side, *, similarity: bool = False) -> Path:
    """Where the numbers of two runs are kept, whichever of them is on the left."""
    names = sorted(_name(side) for side in (one, other))
    return project.cache / "between" / dataset / f"{'~'.join(names)}{'~similarity' if similarity else ''}.arrow"


def _name(side: Side) -> str:
    return f"{side.run.id}.{side.part}"


def kept_disagreements(path: Path, samples: Samples, one: Side, other: Side) -> np.ndarray | None:
    """`(N,)` float32 mm as they were kept; None where they were not, or belong to other fits or other people."""
    try:
        table = read_shards([path]) if path.exists() else None
    except NeuralAnnotError:  # cut short; it is made again
        return None
    if table is None or (table.schema.metadata or {}).get(b"of") != _stamp(samples, one, other).encode():
        return None
    values: np.ndarray = table["mm"].to_numpy()
    return values if len(values) == len(samples) else None


def keep_disagreements(path: Path, samples: Samples, one: Side, other: Side, values: np.ndarray) -> None:
    """Keeps `(N,)` mm, in the order of the samples.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    columns = {"key": samples.table["key"], "mm": pa.array(values, pa.float32())}
    write_shard(path, pa.table(columns).replace_schema_metadata({"of": _stamp(samples, one, other)}))


def _stamp(samples: Samples, one: Side, other: Side) -> str:
    """What changes when the people or the fits do: fits are never rewritten, but a run that goes on has more of them."""
    box = "drawn" if samples.box_drawn else "joints"
    sides = sorted(_side_stamp(side) for side in (one, other))
    boxes = float(np.asarray(samples.boxes, np.float64).sum())
    return " ".join([f"{len(samples)} {box} {boxes:.3f}", *sides])


def _side_stamp(side: Side) -> str:
    info = side.run.info
    return f"{side.run.id} {info.created} {side.part} {len(side.fits)} {side.fits.header.body_hash}"
