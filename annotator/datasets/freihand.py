"""FreiHAND's raw layout: right hands, 21 joints in metres in camera space, photos of 224 px.

`training_K.json` and `training_xyz.json` are read; where `training_scale.json` is there it must have as many entries.
Photos are `training/rgb/<number>.jpg`. Photo `i + k n` shows hand `i` of `n` before background `k` (green screen, homogenised,
sampled, automatic): versions of which there is no photo at all are not missed. `training_verts.json` and
`training_mano.json` are left alone, for a sample has no place for a mesh (the vertices are 1.5 GB of text).
With `--split evaluation` the same files called `evaluation_...` are read.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from annotator.camera import Camera
from annotator.datasets.rows import Photo, Rows, tables_of
from annotator.datasets.source import People, ReadResult, Source, read_json
from annotator.errors import DatasetError
from annotator.outside import is_dir, is_file
from annotator.progress import Progress
from annotator.skeleton import HAND

SIZE = (224, 224)
VERSIONS = 4
_STAGE = "Reading hands"
_REPORT_EVERY = 500


def read_freihand(source: Source) -> Generator[Progress, None, ReadResult]:
    """Right-hand samples with GT 3D: `(21, 4)` joints in metres in camera space, their projection as keypoints, K.

    A key's id is the photo's number. The files name no box: it is 1.2 times the extent of the joints.

    Args:
        source: `annotations` is the folder of `training_K.json`; `images` the folder that holds `training/rgb`.

    Raises:
        DatasetError: a file is missing, their structure is wrong, or they differ in length.
    """
    folder = source.annotations
    if not is_dir(folder):
        raise DatasetError(f"{folder} is no folder; give the folder that holds training_K.json.")
    stem = "evaluation" if source.split == "evaluation" else "training"
    yield Progress(_STAGE, message=f"Reading {folder / stem}_xyz.json")
    paths = [folder / f"{stem}_{kind}.json" for kind in ("K", "xyz")]
    matrices, hands = (_arrays(path, shape) for path, shape in zip(paths, ((3, 3), (len(HAND), 3)), strict=True))
    counts = [len(matrices), len(hands)]
    scales = folder / f"{stem}_scale.json"
    if is_file(scales):
        paths.append(scales)
        counts.append(len(read_json(scales, list[float])))
    for path, count in zip(paths, counts, strict=True):
        if count != counts[0]:
            raise DatasetError(f"{path} has {count:,} hands and {paths[0]} has {counts[0]:,}; fetch both files again.")
    rows = Rows(People(source), "rhand", HAND, box_drawn=False, joint_skeleton=HAND)
    numbers = _numbers(source.images / stem / "rgb", len(hands))
    for done, number in enumerate(numbers):
        matrix, joints = matrices[number % len(hands)], hands[number % len(hands)]
        name = f"{number}/rhand"
        if _is_pinhole(matrix):
            rows.add_3d(name, Photo(f"{stem}/rgb/{number:08d}.jpg", SIZE), joints, Camera.of_matrix(matrix))
        else:
            rows.refuse(name, "its K is not that of a pinhole camera")
        if done % _REPORT_EVERY == 0:
            yield Progress(_STAGE, done, len(numbers), "hands")
    yield Progress(_STAGE, len(numbers), len(numbers), "hands")
    return ReadResult(tables_of(rows), tuple(rows.people.refused), tuple(paths))


def _arrays(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """`(N, *shape)` float64."""
    values = read_json(path, list[list[list[float]]])
    for number, rows in enumerate(values):
        if [len(row) for row in rows] != [shape[1]] * shape[0]:
            raise DatasetError(f"{path}, entry {number}: expecting {shape[0]} x {shape[1]} numbers; mend the file.")
    return np.array(values, np.float64).reshape(len(values), *shape)


def _numbers(photos: Path, count: int) -> list[int]:
    """Numbers of the photos to read: the first version, and every other one that has a photo."""
    there = {path.stem for path in photos.iterdir()} if is_dir(photos) else set[str]()
    versions = [range(k * count, (k + 1) * count) for k in range(VERSIONS)]
    return [
        n for k, version in enumerate(versions) if k == 0 or any(f"{n:08d}" in there for n in version) for n in version
    ]


def _is_pinhole(matrix: np.ndarray) -> bool:
    zeros = matrix[[0, 1, 2, 2], [1, 0, 0, 1]]
    return bool(
        np.isfinite(matrix).all() and not zeros.any() and matrix[2, 2] == 1 and min(matrix[0, 0], matrix[1, 1]) > 0
    )
