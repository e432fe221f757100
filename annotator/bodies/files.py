"""Body-model files, read without executing anything (house 4.2), as plain arrays.

A folder is laid out as `smplx.create` takes it: `smplx/SMPLX_NEUTRAL.npz`, `smpl/`, `mano/`, `flame/`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

import resources
from annotator.bodies.points import Landmarks, PointMap, smplx_points
from annotator.errors import BodyModelError

_ROUND = 1e-6
_SMPLX_KEYS = (
    *("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights"),
    *("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr", "lmk_faces_idx", "lmk_bary_coords"),
    *("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords"),
)


@dataclass(frozen=True)
class BodyModelData:
    """A body model as arrays: y up, facing +z, the person's left at +x, metres.

    Attributes:
        hash: of the arrays' rounded contents, so that equal builds have equal hashes.
        v_template: `(V, 3)` float32. faces: `(F, 3)` int32.
        shapedirs, exprdirs: `(V, 3, 10)` float32 per standard deviation.
        posedirs: `(9 (J - 1), 3 V)` sparse float32: `(R - I)` flattened times it moves the vertices.
        joint_regressor: `(J, V)` sparse, from vertices after shape and expression.
        parents: `(J,)` int32, -1 at the root. weights: `(V, J)` sparse, as many non-zeros as the file has.
        hand_mean: `(45,)` by side. hand_components: `(45, 45)` rows by side.
        points: named point sets by skeleton.
    """

    family: str
    name: str
    hash: str
    v_template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    exprdirs: np.ndarray
    posedirs: sparse.csr_array
    joint_regressor: sparse.csr_array
    parents: np.ndarray
    weights: sparse.csr_array
    hand_mean: Mapping[str, np.ndarray]
    hand_components: Mapping[str, np.ndarray]
    landmarks: Landmarks
    points: Mapping[str, PointMap]


def default_root() -> Path:
    """The folder of the open body that ships with the program."""
    return resources.path("open_body")


def model_path(root: Path, family: str, gender: str = "neutral") -> Path:
    """Where the file of a family lies below `root`."""
    return root / family / f"{family.upper()}_{gender.upper()}.npz"


def load_body_model(root: Path, family: str, gender: str = "neutral") -> BodyModelData:
    """Reads one model.

    Raises:
        BodyModelError: it is missing, damaged, needs code to be executed, or lacks an array.
    """
    if family != "smplx":
        raise BodyModelError(f"This program reads SMPL-X body models; it does not read {family} yet.")
    path = model_path(root, family, gender)
    arrays = read_arrays(path)
    if missing := [key for key in _SMPLX_KEYS if key not in arrays]:
        raise BodyModelError(f"{path} lacks {', '.join(missing)}; it is not an SMPL-X model file, fetch it again.")
    return _smplx(arrays, path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The plain arrays of an npz; nothing in it is executed."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise BodyModelError(f"There is no body model {path}; put the file there or give another folder.") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BodyModelError(f"{path} cannot be read as plain arrays ({error}); fetch it again.") from error


def content_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, shapes and contents rounded to a micrometre; text entries do not count."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        values = arrays[key]
        if values.dtype.kind in "US":
            continue
        rounded = np.rint(values / _ROUND).astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64)
        digest.update(f"{key}{values.shape}".encode())
        digest.update(np.ascontiguousarray(rounded).tobytes())
    return digest.hexdigest()[:16]


def _smplx(arrays: dict[str, np.ndarray], path: Path) -> BodyModelData:
    v_template = arrays["v_template"].astype(np.float32)
    vertices, joints = len(v_template), arrays["weights"].shape[1]
    shapedirs = arrays["shapedirs"].astype(np.float32)
    split = 300 if shapedirs.shape[2] >= 400 else 10  # the smplx package's rule (facts 2.2)
    if joints != 55 or shapedirs.shape[:2] != (vertices, 3) or arrays["posedirs"].shape != (vertices, 3, 9 * 54):
        raise BodyModelError(f"{path} does not have SMPL-X's shapes (55 joints, posedirs V x 3 x 486); fetch it again.")
    faces = arrays["f"].astype(np.int32)
    landmarks = Landmarks(
        faces,
        arrays["lmk_faces_idx"].astype(np.int64),
        arrays["lmk_bary_coords"].astype(np.float32),
        arrays["dynamic_lmk_faces_idx"].astype(np.int64),
        arrays["dynamic_lmk_bary_coords"].astype(np.float32),
    )
    head_top = int(arrays["head_top"]) if "head_top" in arrays else int(v_template[:, 1].argmax())
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    return BodyModelData(
        family="smplx",
        name=str(arrays["name"]) if "name" in arrays else path.stem,
        hash=str(arrays["hash"]) if "hash" in arrays else content_hash(arrays),
        v_template=v_template,
        faces=faces,
        shapedirs=np.ascontiguousarray(shapedirs[:, :, :10]),
        exprdirs=np.ascontiguousarray(shapedirs[:, :, split : split + 10]),
        posedirs=_posedirs(arrays["posedirs"], vertices),
        joint_regressor=sparse.csr_array(arrays["J_regressor"].astype(np.float32)),
        parents=parents.astype(np.int32),
        weights=sparse.csr_array(arrays["weights"].astype(np.float32)),
        hand_mean={"left": arrays["hands_meanl"].astype(np.float32), "right": arrays["hands_meanr"].astype(np.float32)},
        hand_components={
            "left": arrays["hands_componentsl"].astype(np.float32),
            "right": arrays["hands_componentsr"].astype(np.float32),
        },
        landmarks=landmarks,
        points=smplx_points(joints, vertices, landmarks, head_top),
    )


def _posedirs(values: np.ndarray, vertices: int) -> sparse.csr_array:
    if not values.any():
        return sparse.csr_array((values.shape[-1], 3 * vertices), dtype=np.float32)
    return sparse.csr_array(values.reshape(3 * vertices, -1).T.astype(np.float32))
