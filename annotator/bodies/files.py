"""Body models as arrays, read from files without executing anything.

A folder is laid out as `smplx.create` takes it: `smplx/SMPLX_NEUTRAL.npz`, `smplh/SMPLH_MALE.npz`, `smpl/SMPL_NEUTRAL.pkl`
(that package's SMPL opens nothing else), `mano/MANO_RIGHT.npz` and `MANO_LEFT.npz`, `flame/FLAME_NEUTRAL.npz` with its
two embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.layouts import (
    CONTOUR_KEYS,
    DYNAMIC_EMBEDDING,
    FACE_KEYS,
    LAYOUTS,
    MODEL_KEYS,
    OPEN_BODY,
    SPARSE_POSEDIRS,
    STATIC_EMBEDDING,
    Layout,
    default_root,
    layout_of,
    model_path,
    require_shapes,
)
from annotator.bodies.pickle_writer import write_pickle
from annotator.bodies.pickles import read_object_npy, read_pickle
from annotator.bodies.points import Landmarks, PointMap, model_points, regressed
from annotator.bodies.regressors import regressors_in
from annotator.bodies.stored import by_component, content_hash, names_in, objects_in, read_arrays
from annotator.errors import BodyModelError
from annotator.wholefile import whole_file

__all__ = [
    "LAYOUTS",
    "OPEN_BODY",
    "BodyModelData",
    "content_hash",
    "default_root",
    "load_body_model",
    "model_path",
    "read_arrays",
    "read_model",
    "verified",
]


@dataclass(frozen=True)
class BodyModelData:
    """A body model as arrays: y up, facing +z, the person's left at +x, metres.

    Attributes:
        family: smplx, smplh, smpl, mano or flame. side: left or right for a single hand, else empty.
        provenance: where the file says it comes from. hash: of the arrays' rounded contents, so that equal builds have equal hashes.
        v_template: `(V, 3)` float32. faces: `(F, 3)` int32.
        shapedirs, exprdirs: `(V, 3, 10)` float32 per standard deviation, or as many components as were asked for;
            `(V, 3, 0)` in families without expressions, zeros where only the file has none.
        file_components: how many of shape and of expression the file has.
        posedirs: float32: `(R - I)` flattened times it moves the vertices. Sparse `(9 (J - 1), 3 V)` where the file has it
            sparse, else `(9 (J - 1), V, 3)`, a view of the file.
        joint_regressor: `(J, V)` sparse, from vertices after shape and expression.
        parents: `(J,)` int32, -1 at the root. weights: `(V, J)` sparse, as many non-zeros as the file has.
        hand_mean: `(45,)` by side. hand_components: `(45, 45)` rows by side.
        landmarks: of the face, where there is one.
        smplx_vertices: `(V,)` the same vertices in SMPL-X of the same source; None where the file does not say.
        points: named point sets by skeleton, and by the name of an imported regressor.
    """

    family: str
    side: str
    name: str
    provenance: str
    hash: str
    v_template: np.ndarray
    faces: np.ndarray
    shapedirs: np.ndarray
    exprdirs: np.ndarray
    file_components: tuple[int, int]
    posedirs: sparse.csr_array | np.ndarray
    joint_regressor: sparse.csr_array
    parents: np.ndarray
    weights: sparse.csr_array
    hand_mean: Mapping[str, np.ndarray]
    hand_components: Mapping[str, np.ndarray]
    landmarks: Landmarks | None
    smplx_vertices: np.ndarray | None
    points: Mapping[str, PointMap]


def load_body_model(
    root: Path, name: str, gender: str = "neutral", *, betas: int = 10, expressions: int = 10
) -> BodyModelData:
    """Reads one model: smplx, smplh, smpl, mano_right, mano_left or flame.

    Args:
        gender: neutral, female or male.
        betas, expressions: how many components to take. Fits here have 10 of each.

    Raises:
        BodyModelError: it is missing, damaged, needs code to be executed, or lacks an array or component.
    """
    arrays = read_model(root, name, gender, dense_posedirs=False)
    layout, path = layout_of(name), model_path(root, name, gender)
    require_shapes(arrays, layout, path)
    return _model(arrays, layout, path, betas=betas, expressions=expressions if layout.expressions else 0)


def read_model(root: Path, name: str, gender: str = "neutral", *, dense_posedirs: bool = True) -> dict[str, Any]:
    """Every array of a model, those of FLAME's embeddings too; nothing is executed.

    Args:
        dense_posedirs: False leaves `posedirs` unread where the file also has it sparse, which is ten times quicker.
    """
    path = model_path(root, name, gender)
    arrays = read_pickled(path) if path.suffix == ".pkl" else _read_npz(path, dense_posedirs=dense_posedirs)
    if name == "flame":
        arrays |= _embeddings(path.parent)
    return arrays


def verified(root: Path, name: str, gender: str = "neutral") -> bool:
    """Whether this program wrote a model and its contents are still those of the hash it states.

    Raises:
        BodyModelError: it states a hash, and its contents have another.
    """
    return own_arrays(root, name, gender) is not None


def own_arrays(root: Path, name: str, gender: str = "neutral") -> dict[str, Any] | None:
    """Every array of a model that is `verified`; None of another.

    A file that also holds objects is never ours: other readers would run what is in them.

    Raises:
        BodyModelError: as `verified`.
    """
    arrays, path = read_model(root, name, gender), model_path(root, name, gender)
    if "hash" not in arrays or _holds_more(path):
        return None
    if content_hash(arrays) != str(arrays["hash"]):
        raise BodyModelError(
            f"{path} is damaged: its contents do not have the hash {arrays['hash']}; fetch or build it again."
        )
    return arrays


def read_pickled(path: Path) -> dict[str, Any]:
    """The arrays by name of a pickle; texts and numbers become arrays of one.

    Raises:
        BodyModelError: it is damaged, holds no arrays by name, or names code.
    """
    return arrays_of(read_pickle(path), path)


def arrays_of(content: object, path: Path) -> dict[str, Any]:
    """The arrays by name of what the pickle `path` held; what else an official file holds, and nobody needs, is left out.

    Raises:
        BodyModelError: it holds no arrays by name, or something else where a model's array belongs.
    """
    if not isinstance(content, dict):
        raise BodyModelError(f"{path} does not hold arrays by name; fetch it again.")
    arrays = {key: values for key, value in content.items() if (values := _array(value)) is not None}
    if wrong := sorted((MODEL_KEYS & set(content)) - set(arrays)):
        raise BodyModelError(
            f"{path} holds something else where its arrays belong ({', '.join(wrong)}); fetch it again."
        )
    return arrays


def _array(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return np.asarray(value)
    return value if isinstance(value, np.ndarray) or sparse.issparse(value) else None


def _holds_more(path: Path) -> bool:
    """Whether a model's file holds anything beside arrays, texts and numbers, which other readers would make objects of."""
    if path.suffix == ".npz":
        return bool(objects_in(path))
    content = read_pickle(path)
    return not isinstance(content, dict) or any(_array(value) is None for value in content.values())


def _read_npz(path: Path, *, dense_posedirs: bool) -> dict[str, Any]:
    has_sparse = not dense_posedirs and SPARSE_POSEDIRS[0] in names_in(path)
    return read_arrays(path, left_out=("posedirs",) if has_sparse else ())


def _embeddings(folder: Path) -> dict[str, Any]:
    """FLAME's landmarks by SMPL-X's names for them; the contour's file is optional, as in the smplx package."""
    paths: list[tuple[Path, tuple[str, str], Callable[[Path], Any]]] = [
        (folder / STATIC_EMBEDDING, FACE_KEYS, read_pickle)
    ]
    if (contour := folder / DYNAMIC_EMBEDDING).exists():
        paths.append((contour, CONTOUR_KEYS, read_object_npy))
    arrays: dict[str, Any] = {}
    for path, keys, read in paths:
        content = read(path)
        if not isinstance(content, dict) or not {"lmk_face_idx", "lmk_b_coords"} <= set(content):
            raise BodyModelError(f"{path} lacks lmk_face_idx or lmk_b_coords; fetch it again.")
        arrays |= {keys[0]: np.asarray(content["lmk_face_idx"]), keys[1]: np.asarray(content["lmk_b_coords"])}
    return arrays


def write_embeddings(arrays: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Writes FLAME's landmarks to the files where the smplx package looks for them; the rest of `arrays` is returned."""
    static, dynamic = (
        {"lmk_face_idx": arrays[keys[0]], "lmk_b_coords": arrays[keys[1]]} if keys[0] in arrays else {}
        for keys in (FACE_KEYS, CONTOUR_KEYS)
    )
    write_pickle(folder / STATIC_EMBEDDING, static)
    if dynamic:
        with whole_file(folder / DYNAMIC_EMBEDDING) as file:
            np.save(file, np.array(dynamic, dtype=object), allow_pickle=True)
    return {key: values for key, values in arrays.items() if "lmk" not in key}


def _model(arrays: dict[str, Any], layout: Layout, path: Path, *, betas: int, expressions: int) -> BodyModelData:
    v_template = arrays["v_template"].astype(np.float32)
    parents = arrays["kintree_table"][0].astype(np.int64)
    parents[0] = -1
    landmarks = _landmarks(arrays) if FACE_KEYS[0] in layout.keys else None
    head_top = int(arrays["head_top"]) if "head_top" in arrays else int(v_template[:, 1].argmax())
    components = arrays["shapedirs"].shape[2]
    of_shape, of_expression = layout.split(components)
    return BodyModelData(
        family=layout.family,
        side=layout.side,
        name=str(arrays["name"]) if "name" in arrays else path.stem,
        provenance=str(arrays.get("provenance", "")),
        hash=str(arrays["hash"]) if "hash" in arrays else content_hash(arrays),
        v_template=v_template,
        faces=arrays["f"].astype(np.int32),
        shapedirs=_components(arrays, of_shape, betas, path, "shape"),
        exprdirs=_components(arrays, of_expression, expressions, path, "expression"),
        file_components=layout.counts(components),
        posedirs=_posedirs(arrays, layout, path),
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
        )
        | {
            name: regressed(rows, layout.joints)
            for name, rows in regressors_in(path.parents[1]).items()
            if rows.shape[1] == len(v_template)
        },
    )


def _components(arrays: Mapping[str, Any], columns: slice, count: int, path: Path, of: str) -> np.ndarray:
    """`(V, 3, count)` float32, each component in one piece."""
    found = arrays["shapedirs"][:, :, columns]
    if of == "expression" and found.shape[2] == 0:
        return by_component(np.zeros((*found.shape[:2], count)))
    if found.shape[2] < count:
        raise BodyModelError(f"{path} has {found.shape[2]} components of {of}, fewer than the {count} asked for.")
    taken = by_component(found[:, :, :count])
    if not np.isfinite(taken).all():
        raise BodyModelError(f"{path} holds numbers that are not finite; fetch it again.")
    return taken


def _landmarks(arrays: Mapping[str, Any]) -> Landmarks:
    contour_faces = arrays.get(CONTOUR_KEYS[0], np.zeros((0, 17)))
    contour_bary = arrays.get(CONTOUR_KEYS[1], np.zeros((0, 17, 3)))
    return Landmarks(
        arrays["f"].astype(np.int32),
        arrays[FACE_KEYS[0]].astype(np.int64),
        arrays[FACE_KEYS[1]].astype(np.float32),
        contour_faces.astype(np.int64),
        contour_bary.astype(np.float32),
    )


def _by_side(arrays: Mapping[str, Any], key: str, side: str) -> dict[str, np.ndarray]:
    keys = {side: key} if side else {"left": f"{key}l", "right": f"{key}r"}
    return {s: arrays[k].astype(np.float32) for s, k in keys.items() if k in arrays}


def _posedirs(arrays: Mapping[str, Any], layout: Layout, path: Path) -> sparse.csr_array | np.ndarray:
    shape = (layout.features, 3 * len(arrays["v_template"]))
    if SPARSE_POSEDIRS[0] not in arrays:
        found = arrays["posedirs"]
        if sparse.issparse(found):
            return sparse.csr_array(found, dtype=np.float32).T.tocsr()
        return found.reshape(-1, 3, shape[0]).astype(np.float32, copy=False).transpose(2, 0, 1)
    try:
        matrix = sparse.csr_array(tuple(arrays[key] for key in SPARSE_POSEDIRS), shape=shape, dtype=np.float32)
        matrix.check_format(full_check=True)
    except (KeyError, ValueError) as error:
        raise BodyModelError(
            f"{path} has sparse posedirs that do not fit together ({error}); fetch it again."
        ) from error
    return matrix
