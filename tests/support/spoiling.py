"""What tests of readers share: files to spoil, and what holds of every sample that was read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from annotator.camera import Camera
from annotator.datasets.rows import JOINTS_BOX
from annotator.sample import Samples

Change = Callable[..., Any]
TURN = [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]
NAN = float("nan")
INF = float("inf")


def unchanged(*_files: Any) -> None:
    """Spoils nothing."""


def write(folder: Path, files: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))


def files_of(result: Any) -> set[str]:
    return {path.name for path in result.files}


def consistent(samples: Samples) -> None:
    """Every sample's joints seen by its K are its keypoints, where both are known."""
    for sample in samples:
        assert sample.joints is not None
        assert sample.intrinsics is not None
        known = sample.joints[:, 3] > 0
        seen = Camera.of_matrix(sample.intrinsics).project(sample.joints[known, :3])
        assert np.allclose(seen, sample.keypoints[known, :2], atol=0.01)
        assert (sample.joints[~known] == 0).all()
        assert (sample.keypoints[~known] == 0).all()


def extent_box(points: np.ndarray) -> np.ndarray:
    """x, y, w, h of 1.2 times the extent of `(N, 2)` points, said in another way than the readers do."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low - 0.1 * (high - low), JOINTS_BOX * (high - low)])
