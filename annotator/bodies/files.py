"""Body-model files, read without executing anything, as plain arrays.

A folder is laid out as `smplx.create` takes it: `smplx/SMPLX_NEUTRAL.npz`, `smpl/SMPL_NEUTRAL.pkl` (that package's
SMPL opens nothing else), `mano/MANO_RIGHT.npz` and `MANO_LEFT.npz`, `flame/FLAME_NEUTRAL.npz` with its two embeddings.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from scipy import sparse

import resources
from annotator.bodies.pickles import read_object_npy, read_pickle
from annotator.bodies.points import Landmarks, PointMap, model_points, vertices_needed
from annotator.errors import BodyModelError, UnknownNameError

_ROUND = 1e-6
_FACE_KEYS = ("lmk_faces_idx", "lmk_bary_coords")
_CONTOUR_KEYS = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")
_NUMBERS = ("head_top", "smplx_vertices")
_SPARSE_POSEDIRS = ("posedirs_data", "posedirs_indices", "posedirs_indptr")


@dataclass(frozen=True)
class Layout:
    """What the smplx package wants of a model.

    Attributes:
        family: folder, and key of `fit.PARAMETERS`. title: what people call it.
        stem: file name, with `{gender}`. suffixes: those that the package opens, ours first.
        joints: kinematic joints. side: of a single hand, else empty.
        components: of shape and expression. keys: arrays beyond those that every family has.
    """

    family: str
    title: str
    stem: str
    joints: int
    components: int
    keys: tuple[str, ...] = ()
    side: str = ""
    suffixes: tuple[str, ...] = (".npz", ".pkl")


_COMMON_KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
_SMPLX_HANDS = ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr")
_HAND = ("hands_mean", "hands_components")
LAYOUTS: dict[str, Layout] = {
    "smplx": Layout("smplx", "SMPL-X", "SMPLX_{gender}", 55, 20, (*_SMPLX_HANDS, *_FACE_KEYS, *_CONTOUR_KEYS)),
    "smpl": Layout("smpl", "SMPL", "SMPL_{gender}", 24, 10, suffixes=(".pkl",)),
    "mano_right": Layout("mano", "MANO", "MANO_RIGHT", 16, 10, _HAND, "right"),
    "mano_left": Layout("mano", "MANO", "MANO_LEFT", 16, 10, _HAND, "left"),
    "flame": Layout("flame", "FLAME", "FLAME_{gender}", 5, 20, _FACE_KEYS),
}
"""Every model that can be read, by the name that `load_body_model` takes."""


@dataclass(frozen=True)
class BodyModelData:
    """A body model as arrays: y up, facing +z, the person's left at +x, metres.

    Attributes:
        family: smplx, smpl, mano or flame. side: left or right for a single hand, else empty.
        hash: of the arrays' rounded contents, so that equal builds have equal hashes.
        v_template: `(V, 3)` float32. faces: `(F, 3)` int32.
        shapedirs, exprdirs: `(V, 3, 10)` float32 per standard deviation; `(V, 3, 0)` where there are no expressions.
        posedirs: `(9 (J - 1), 3 V)` sparse float32: `(R - I)` flattened times it moves the vertices.
        joint_regressor: `(J, V)` sparse, from vertices after shape and expression.
        parents: `(J,)` int32, -1 at the root. weights: `(V, J)` sparse, as many non-zeros as the file has.
        hand_mean: `(45,)` by side. hand_components: `(45, 45)` rows by side.
        landmarks: of the face, where there is one.
        smplx_vertices: `(V,)` the same vertices in SMPL-X of the same source; None where the file does not say.
        points: named point sets by skeleton.
    """

    family: str
    side: str
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
    landmarks: Landmarks | None
    smplx_vertices: np.ndarray | None
    points: Mapping[str, PointMap]


def default_root() -> Path:
    """The folder of the open body that ships with the program."""
    return resources.path("open_body")


def model_path(root: Path, name: str, gender: str = "neutral") -> Path:
    """Where the file of a model lies below `root`; where it would, if it is not there.

    Raises:
        UnknownNameError: there is no such model.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("body model", name, LAYOUTS)
    layout = LAYOUTS[name]
    stem = root / layout.family / layout.stem.format(gender=gender.upper())
    paths = [stem.with_suffix(suffix) for suffix in layout.suffixes]
    return next((path for path in paths if path.exists()), paths[0])


def load_body_model(root: Path, name: str, gender: str = "neutral") -> BodyModelData:
    """Reads one model: smplx, smpl, mano_right, mano_left or flame.

    Raises:
        BodyModelError: it is missing, damaged, needs code to be executed, or lacks an array.
    """
    arrays = read_model(root, name, gender, dense_posedirs=False)
    return _model(arrays, LAYOUTS[name], model_path(root, name, gender))


def read_model(root: Path, name: str, gender: str = "neutral", *, dense_posedirs: bool = True) -> dict[str, Any]:
    """Every array of a model, those of FLAME's embeddings too; nothing is executed.

    Args:
        dense_posedirs: False leaves `posedirs` unread where the file also has it sparse, which is ten times quicker.
    """
    path = model_path(root, name, gender)
    arrays = _read_pickled(path) if path.suffix == ".pkl" else read_arrays(path, sparse_only=not dense_posedirs)
    if name == "flame":
        arrays |= _embeddings(path.parent)
    return arrays


def read_arrays(path: Path, *, sparse_only: bool = False) -> dict[str, Any]:
    """The plain arrays of an npz; nothing in it is executed. Arrays of objects, which some official files hold, are left out."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            left_out = "posedirs" if sparse_only and _SPARSE_POSEDIRS[0] in file.files else ""
            return {key: file[key] for key in file.files if key != left_out and not _of_objects(file, key)}
    except FileNotFoundError as error:
        raise BodyModelError(f"There is no body model {path}; put the file there or give another folder.") from error
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BodyModelError(f"{path} cannot be read as plain arrays ({error}); fetch it again.") from error


def _holds_objects(path: Path) -> bool:
    if path.suffix != ".npz":
        return False
    with np.load(path, allow_pickle=False) as file:
        return any(_of_objects(file, key) for key in file.files)


def _of_objects(file: Any, key: str) -> bool:
    with file.zip.open(f"{key}.npy") as entry:
        header = npy.read_array_header_1_0 if npy.read_magic(entry) == (1, 0) else npy.read_array_header_2_0
        return header(entry)[2].hasobject


def content_hash(arrays: Mapping[str, Any]) -> str:
    """sha256 over names, shapes and contents rounded to a micrometre; text entries do not count."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        values = arrays[key].toarray() if sparse.issparse(arrays[key]) else arrays[key]
        if values.dtype.kind in "US":
            continue
        rounded = np.rint(values / _ROUND).astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64)
        digest.update(f"{key}{values.shape}".encode())
        digest.update(np.ascontiguousarray(rounded).tobytes())
    return digest.hexdigest()[:16]


def verified(root: Path, name: str, gender: str = "neutral") -> bool:
    """Whether this program wrote a model and its contents are still those of the hash it states.

    A file that also holds arrays of objects is never ours: other readers would run what is in them.

    Raises:
        BodyModelError: it states a hash, and its contents have another.
    """
    arrays = read_model(root, name, gender)
    if "hash" not in arrays or _holds_objects(model_path(root, name, gender)):
        return False
    if content_hash(arrays) != str(arrays["hash"]):
        path = model_path(root, name, gender)
        raise BodyModelError(
            f"{path} is damaged: its contents do not have the hash {arrays['hash']}; fetch or build it again."
        )
    return True


def _read_pickled(path: Path) -> dict[str, Any]:
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise BodyModelError(f"{path} does not hold arrays by name; fetch it again.")
    arrays = {key: np.asarray(v) if isinstance(v, str | int | float) else v for key, v in content.items()}
    if wrong := [key for key, v in arrays.items() if not (isinstance(v, np.ndarray) or sparse.issparse(v))]:
        raise BodyModelError(f"{path} holds more than arrays ({', '.join(wrong)}); fetch it again.")
    return arrays


def _embeddings(folder: Path) -> dict[str, Any]:
    """FLAME's landmarks by SMPL-X's names for them; the contour's file is optional, as in the smplx package."""
    paths: list[tuple[Path, tuple[str, str], Callable[[Path], Any]]] = [
        (folder / "flame_static_embedding.pkl", _FACE_KEYS, read_pickle)
    ]
    if (contour := folder / "flame_dynamic_embedding.npy").exists():
        paths.append((contour, _CONTOUR_KEYS, read_object_npy))
    arrays: dict[str, Any] = {}
    for path, keys, read in paths:
        content = read(path)
        if not isinstance(content, dict) or not {"lmk_face_idx", "lmk_b_coords"} <= set(content):
            raise BodyModelError(f"{path} lacks lmk_face_idx or lmk_b_coords; fetch it again.")
        arrays |= {keys[0]: np.asarray(content["lmk_face_idx"]), keys[1]: np.asarray(content["lmk_b_coords"])}
    return arrays


def _model(arrays: dict[str, Any], layout: Layout, path: Path) -> BodyModelData:
    _require_shapes(arrays, layout, path)
    v_template = arrays["v_template"].astype(np.float32)
    shapedirs = arrays["shapedirs"].astype(np.float32)
    split = 300 if shapedirs.shape[2] >= 400 else 10  # the smplx package's rule
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    landmarks = _landmarks(arrays) if _FACE_KEYS[0] in layout.keys else None
    head_top = int(arrays["head_top"]) if "head_top" in arrays else int(v_template[:, 1].argmax())
    return BodyModelData(
        family=layout.family,
        side=layout.side,
        name=str(arrays["name"]) if "name" in arrays else path.stem,
        hash=str(arrays["hash"]) if "hash" in arrays else content_hash(arrays),
        v_template=v_template,
        faces=arrays["f"].astype(np.int32),
        shapedirs=np.ascontiguousarray(shapedirs[:, :, :10]),
        exprdirs=np.ascontiguousarray(shapedirs[:, :, split : split + layout.components - 10]),
        posedirs=_posedirs(arrays, path),
        joint_regressor=sparse.csr_array(arrays["J_regressor"].astype(np.float32)),
        parents=parents.astype(np.int32),
        weights=sparse.csr_array(arrays["weights"].astype(np.float32)),
        hand_mean=_by_side(arrays, "hands_mean", layout.side),
        hand_components=_by_side(arrays, "hands_components", layout.side),
        landmarks=landmarks,
        smplx_vertices=arrays["smplx_vertices"].astype(np.int32) if "smplx_vertices" in arrays else None,
        points=model_points(
            layout.family,
            len(v_template),
            landmarks=landmarks,
            head_top=head_top,
            rest_joints=np.asarray(arrays["J_regressor"] @ v_template),
        ),
    )


def _require_shapes(arrays: Mapping[str, Any], layout: Layout, path: Path) -> None:
    wanted = [*_COMMON_KEYS, *layout.keys]
    if _SPARSE_POSEDIRS[0] in arrays:
        wanted.remove("posedirs")
    if missing := [key for key in wanted if key not in arrays]:
        raise BodyModelError(
            f"{path} lacks {', '.join(missing)} as plain arrays; it is not an {layout.title} model file, fetch it again."
        )
    count, features = len(arrays["v_template"]), 9 * (layout.joints - 1)
    shapes = _shapes(count, layout)
    wrong = [
        k for k in (*wanted, *_CONTOUR_KEYS) if k in arrays and arrays[k].shape not in shapes.get(k, [arrays[k].shape])
    ]
    short = arrays["shapedirs"].ndim != 3 or arrays["shapedirs"].shape[2] < layout.components
    text = [key for key in wanted if arrays[key].dtype.kind not in "biuf"]
    if wrong or short or text or count < vertices_needed(layout.family):
        raise BodyModelError(
            f"{path} does not have {layout.title}'s shapes ({layout.joints} joints, posedirs V x 3 x {features}); "
            "fetch it again."
        )
    if not all(np.isfinite(arrays[key]).all() for key in ("v_template", "shapedirs")):
        raise BodyModelError(f"{path} holds numbers that are not finite; fetch it again.")
    above = arrays["kintree_table"][0, 1:]
    bounds = [(arrays["f"], count), (above, np.arange(1, layout.joints))]
    bounds += [(arrays[key], len(arrays["f"])) for key in (_FACE_KEYS[0], _CONTOUR_KEYS[0]) if key in arrays]
    bounds += [(arrays[key], 1 << 31 if key == "smplx_vertices" else count) for key in _NUMBERS if key in arrays]
    if any((values < 0).any() or (values >= end).any() for values, end in bounds):
        raise BodyModelError(f"{path} has triangles, joints or landmarks that point outside of it; fetch it again.")


def _shapes(count: int, layout: Layout) -> dict[str, list[tuple[int, ...]]]:
    """What shapes each array may have; `posedirs` of a pickle may be a matrix, since sparse ones have two axes."""
    joints, features = layout.joints, 9 * (layout.joints - 1)
    hands = {f"hands_mean{s}": [(45,)] for s in ("", "l", "r")}
    return hands | {
        **{f"hands_components{s}": [(45, 45)] for s in ("", "l", "r")},
        "v_template": [(count, 3)],
        "weights": [(count, joints)],
        "J_regressor": [(joints, count)],
        "kintree_table": [(2, joints)],
        "posedirs": [(count, 3, features), (3 * count, features)],
        **{_FACE_KEYS[0]: [(51,)], _FACE_KEYS[1]: [(51, 3)]},
        **{_CONTOUR_KEYS[0]: [(79, 17)], _CONTOUR_KEYS[1]: [(79, 17, 3)]},
    }


def _landmarks(arrays: Mapping[str, Any]) -> Landmarks:
    contour_faces = arrays.get(_CONTOUR_KEYS[0], np.zeros((0, 17)))
    contour_bary = arrays.get(_CONTOUR_KEYS[1], np.zeros((0, 17, 3)))
    return Landmarks(
        arrays["f"].astype(np.int32),
        arrays[_FACE_KEYS[0]].astype(np.int64),
        arrays[_FACE_KEYS[1]].astype(np.float32),
        contour_faces.astype(np.int64),
        contour_bary.astype(np.float32),
    )


def _by_side(arrays: Mapping[str, Any], key: str, side: str) -> dict[str, np.ndarray]:
    keys = {side: key} if side else {"left": f"{key}l", "right": f"{key}r"}
    return {s: arrays[k].astype(np.float32) for s, k in keys.items() if k in arrays}


def _posedirs(arrays: Mapping[str, Any], path: Path) -> sparse.csr_array:
    vertices, joints = arrays["weights"].shape
    shape = (9 * (joints - 1), 3 * vertices)
    if _SPARSE_POSEDIRS[0] not in arrays:
        return _transposed(arrays["posedirs"], shape)
    try:
        matrix = sparse.csr_array(tuple(arrays[key] for key in _SPARSE_POSEDIRS), shape=shape, dtype=np.float32)
        matrix.check_format(full_check=True)
    except (KeyError, ValueError) as error:
        raise BodyModelError(
            f"{path} has sparse posedirs that do not fit together ({error}); fetch it again."
        ) from error
    return matrix


def _transposed(values: Any, shape: tuple[int, int]) -> sparse.csr_array:
    flat = values if sparse.issparse(values) else values.reshape(shape[1], shape[0])
    return sparse.csr_array(flat, dtype=np.float32).T.tocsr()
