"""Official downloads -> plain files of our own: what a file is is read from its content, and nothing in it is executed.

`prior` checkpoints are torch files; they are read by `annotator/prior/`, which `annotator/commands/bodies.py` calls.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.files import arrays_of, read_model, write_embeddings
from annotator.bodies.layouts import (
    BOTH_HANDS,
    COMMON_KEYS,
    CONTOUR_KEYS,
    FACE_KEYS,
    LAYOUTS,
    ONE_HAND,
    STATIC_EMBEDDING,
    Layout,
    model_path,
    require_shapes,
)
from annotator.bodies.pickles import read_object_npy, read_pickle, write_pickle
from annotator.bodies.stored import content_hash, read_arrays, write_arrays
from annotator.errors import BodyModelError, storage

SUFFIXES = (".pkl", ".npz", ".npy")
"""Files that may be a body model, landmarks of FLAME or a mixture of Gaussians."""
_BY_JOINTS = {layout.joints: name for name, layout in LAYOUTS.items() if not layout.side}
_HAND_JOINTS, _WRIST, _MIDDLE = 16, 0, 4
_SAME_SIGN = 1.0
"""Summed |left x + right x| of the shape blend rows below which the left hand has the right one's sign (smplx, issue 48)."""
_GENDERS = ((r"female|_f_", "female"), (r"male|_m_", "male"))


@dataclass(frozen=True)
class Found:
    """One model in the files that were given.

    Attributes:
        name: of `LAYOUTS`. gender: neutral, female or male. arrays: what is kept of it.
    """

    name: str
    gender: str
    path: Path
    arrays: dict[str, Any]


@dataclass
class Haul:
    """Everything that was recognised, and for each other file why it was passed over.

    Attributes:
        embeddings: FLAME's landmarks, by SMPL-X's names for them. mixture: arrays of the Gaussian mixture, and their file.
    """

    models: list[Found] = field(default_factory=list["Found"])
    embeddings: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    mixture: tuple[dict[str, np.ndarray], Path] | None = None
    passed_over: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])


def take(path: Path, haul: Haul) -> None:
    """Reads one file, and puts it where it belongs.

    Raises:
        BodyModelError: it cannot be read safely, or it is a body model whose arrays do not fit together.
    """
    content = _content(path)
    if content is None:
        haul.passed_over.append((path, "an array without a name"))
    elif "v_template" in content:
        haul.models.append(_model(content, path))
    elif {"lmk_face_idx", "lmk_b_coords"} <= set(content):
        faces, weights = np.asarray(content["lmk_face_idx"]), np.asarray(content["lmk_b_coords"])
        keys = FACE_KEYS if faces.ndim == 1 else CONTOUR_KEYS
        haul.embeddings |= {keys[0]: faces.astype(np.int64), keys[1]: weights.astype(np.float32)}
    elif {"means", "covars", "weights"} <= set(content):
        names = ("means", "covars", "weights")
        haul.mixture = {name: np.asarray(content[name], np.float64) for name in names}, path
    else:
        haul.passed_over.append((path, "neither a body model, nor landmarks, nor a mixture of Gaussians"))


def complete(found: Found, embeddings: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Every array of one model, FLAME's landmarks too.

    Raises:
        BodyModelError: a FLAME without its landmarks, or arrays that are not those of its family.
    """
    arrays = dict(found.arrays)
    if found.name == "flame":
        if FACE_KEYS[0] not in embeddings:
            raise BodyModelError(f"{found.path} is FLAME without {STATIC_EMBEDDING}; put that file beside it.")
        arrays |= embeddings
    require_shapes(arrays, LAYOUTS[found.name], found.path)
    return arrays


def write(found: Found, arrays: dict[str, Any], target: Path) -> str:
    """Writes the arrays that `complete` gave where the smplx package looks for them below `target`; returns their hash.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    layout, digest = LAYOUTS[found.name], content_hash(arrays)
    texts = {
        "name": f"{layout.title} {found.gender} of {found.path.name}",
        "licence": f"that of {layout.title}, as its owners give it; not for sharing",
        "provenance": f"imported from {found.path.name}, sha256 {_sha256(found.path)}",
        "hash": digest,
    }
    suffix = layout.suffixes[0]
    path = model_path(target, found.name, found.gender).with_suffix(suffix)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if found.name == "flame":
        arrays = write_embeddings(arrays, path.parent)
    if suffix == ".pkl":
        write_pickle(path, arrays | texts)
    else:
        write_arrays(path, arrays | {key: np.array(text) for key, text in texts.items()})
    return digest


def mend_left_hand(models: list[Found], target: Path) -> str:
    """Turns the sign of the left hand's shape along x where it is the right hand's; says what was done.

    The official left hand has it wrong (smplx, issue 48). It is seen by comparing with the right hand, from the same import
    or from one before into `target`.
    """
    left = next((found for found in models if found.name == "mano_left"), None)
    if left is None:
        return ""
    right = next((found.arrays for found in models if found.name == "mano_right"), None)
    if right is None and model_path(target, "mano_right").exists():
        right = read_model(target, "mano_right")
    if right is None:
        return "The left hand's shape was not checked for the wrong sign, because the right hand is not there."
    ours, theirs = left.arrays["shapedirs"], np.asarray(right["shapedirs"])
    if ours.shape != theirs.shape or float(np.abs(ours[:, 0] - theirs[:, 0]).sum()) >= _SAME_SIGN:
        return ""
    left.arrays["shapedirs"] = ours * np.array([-1, 1, 1], ours.dtype)[:, None]
    return "The left hand's shape had the right hand's sign along x; it was turned (smplx, issue 48)."


def _content(path: Path) -> Mapping[str, Any] | None:
    if path.suffix == ".npz":
        return read_arrays(path)
    if path.suffix == ".npy" and _holds_numbers(path):
        return None
    found = read_object_npy(path) if path.suffix == ".npy" else read_pickle(path)
    if not isinstance(found, dict):
        return None
    return arrays_of(found, path) if "v_template" in found else found


def _holds_numbers(path: Path) -> bool:
    """Whether an npy file is a plain array: a regressor, say."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).dtype != object
    except (OSError, ValueError, EOFError):
        return False  # what is wrong is said by whoever reads it next


def _model(content: Mapping[str, Any], path: Path) -> Found:
    if missing := [key for key in COMMON_KEYS if key not in content]:
        raise BodyModelError(f"{path} lacks {', '.join(missing)}; fetch it again.")
    joints = content["weights"].shape[-1]
    name = _side(content, path) if joints == _HAND_JOINTS else _BY_JOINTS.get(joints)
    if name is None:
        raise BodyModelError(f"{path} has {joints} joints, as no body model that is known here; it was not imported.")
    layout = LAYOUTS[name]
    hands = ONE_HAND if layout.side else BOTH_HANDS if "hands_meanl" in layout.keys else ()
    faces = (*FACE_KEYS, *CONTOUR_KEYS) if name == "smplx" else ()
    kept = {key: _plain(content[key]) for key in (*COMMON_KEYS, *hands, *faces) if key in content}
    kept["posedirs"] = kept["posedirs"].reshape(-1, 3, layout.features)
    kept["kintree_table"] = kept["kintree_table"].astype(np.int64)
    kept["kintree_table"][0, 0] = -1
    require_shapes(kept | _no_landmarks(layout), layout, path)
    return Found(name, "neutral" if layout.side else _gender(path), path, kept)


def _no_landmarks(layout: Layout) -> dict[str, np.ndarray]:
    """Stands in for FLAME's landmarks, which lie in files of their own, while the rest is checked."""
    if layout.family != "flame":
        return {}
    return {FACE_KEYS[0]: np.zeros(51, np.int64), FACE_KEYS[1]: np.zeros((51, 3), np.float32)}


def _plain(values: Any) -> np.ndarray:
    dense = np.asarray(values.toarray() if sparse.issparse(values) else values)
    return dense.astype(np.float32) if dense.dtype.kind == "f" else dense


def _side(content: Mapping[str, Any], path: Path) -> str:
    """Which hand it is: at rest the fingers of a right hand point to -x."""
    regressor = content["J_regressor"]
    joints = regressor @ np.asarray(content["v_template"], np.float64)
    side = "right" if joints[_MIDDLE, 0] < joints[_WRIST, 0] else "left"
    other = "left" if side == "right" else "right"
    if other in path.name.lower():
        raise BodyModelError(
            f"{path} is a {side} hand by its shape and a {other} one by its name; give it its own name."
        )
    return f"mano_{side}"


def _gender(path: Path) -> str:
    """By the words of its name, or of its folder's: official files say it nowhere else."""
    for text in (path.stem.lower(), path.parent.name.lower()):
        for pattern, gender in _GENDERS:
            if re.search(pattern, text):
                return gender
    return "neutral"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
