"""Official downloads -> plain files of our own: what a file is is read from its content, and nothing in it is executed.

`prior` checkpoints are torch files; they are read by `annotator/prior/`, which `annotator/commands/import_bodies.py` calls.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.files import arrays_of
from annotator.bodies.layouts import (
    BOTH_HANDS,
    COMMON_KEYS,
    CONTOUR_KEYS,
    FACE_KEYS,
    LAYOUTS,
    MODEL_KEYS,
    ONE_HAND,
    STATIC_EMBEDDING,
    Layout,
    model_path,
    require_shapes,
)
from annotator.bodies.pickles import read_object_npy, read_pickle
from annotator.bodies.regressors import regressor_in
from annotator.bodies.stored import UNREADABLE, objects_in, pickled_in, read_arrays
from annotator.bodies.written import TEXTS, Texts, write_model
from annotator.errors import BodyModelError, storage

SUFFIXES = (".pkl", ".npz", ".npy")
"""Files that may be a body model, landmarks of FLAME, a mixture of Gaussians or a joint regressor."""
_BY_JOINTS = {layout.joints: name for name, layout in LAYOUTS.items() if not layout.side}
_HAND_JOINTS, _WRIST, _MIDDLE, _FACE_POINTS = 16, 0, 4, 51
IMPORTED = "imported from "
"""How the provenance of an official file begins; that of the open body does not."""
LENT = "; hands: "
"""Stands in an SMPL-H's provenance before where its hands are from."""
MENDED = "; mended: "
"""Stands in a file's provenance before what was changed in it."""
HANDS = ("mano_left", "mano_right")
_LANDMARKS, _MIXTURE = ("lmk_face_idx", "lmk_b_coords"), ("means", "covars", "weights")
_WANTED = ((("v_template",), MODEL_KEYS), (_LANDMARKS, _LANDMARKS), (_MIXTURE, _MIXTURE))
"""By which entries a file is known as a model, landmarks or a mixture, and what is read of it then."""
_INDICES = ("f", "kintree_table", FACE_KEYS[0], CONTOUR_KEYS[0])
_SAME_SIGN = 1.0
"""Summed |left x - right x| of the shape blend rows below which the left hand has the right one's sign (smplx, issue 48)."""
_HASHED_BYTES = 1 << 26
"""How many bytes are hashed at a time."""
_GENDERS = ((r"neutral", "neutral"), (r"female|_f_", "female"), (r"male|_m_", "male"))


@dataclass(frozen=True)
class Found:
    """One model in the files that were given.

    Attributes:
        name: of `LAYOUTS`. gender: neutral, female or male. arrays: what is kept of it. digest: sha256 of its file.
        mended: what was changed in it, for the record in its file. hands: where an SMPL-H has its hands from, for the same.
        texts: of a file that this program wrote before.
    """

    name: str
    gender: str
    path: Path
    digest: Future[str]
    arrays: dict[str, Any]
    mended: str = ""
    hands: str = ""
    texts: Texts | None = None

    @property
    def origin(self) -> str:
        """Which file it was before this program wrote or changed it."""
        if self.texts is not None:
            return self.texts.provenance.partition(MENDED)[0]
        return f"{IMPORTED}{self.path.name}, sha256 {self.digest.result()}"


@dataclass
class Haul:
    """Everything that was recognised, and for each other file why it was passed over.

    Attributes:
        embeddings: FLAME's landmarks, by SMPL-X's names for them. mixture: arrays of the Gaussian mixture, and their file.
        regressors: `(K, V)` rows, and their file. own_networks: what this program wrote and is none of these, a VPoser.
    """

    models: list[Found] = field(default_factory=list["Found"])
    embeddings: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    mixture: tuple[dict[str, np.ndarray], Path] | None = None
    regressors: list[tuple[np.ndarray, Path]] = field(default_factory=list[tuple[np.ndarray, Path]])
    own_networks: list[tuple[dict[str, np.ndarray], Path]] = field(
        default_factory=list[tuple[dict[str, np.ndarray], Path]]
    )
    passed_over: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])


def take(path: Path, haul: Haul) -> None:
    """Reads one file, and puts it where it belongs.

    Raises:
        BodyModelError: it cannot be read safely, or it is a body model, landmarks or a mixture whose arrays do not fit.
    """
    digest, content = _digest(path), _content(path)
    if (rows := regressor_in(content)) is not None:
        haul.regressors.append((rows, path))
    elif not isinstance(content, Mapping):
        haul.passed_over.append((path, "an array without a name that is no joint regressor"))
    elif "v_template" in content:
        haul.models.append(_model(content, path, digest))
    elif set(_LANDMARKS) <= set(content):
        if found := _landmarks(content, path):
            haul.embeddings |= found
        else:
            haul.passed_over.append((path, f"landmarks that are not FLAME's {_FACE_POINTS} or its contour"))
    elif set(_MIXTURE) <= set(content):
        haul.mixture = {name: _plain(content[name], name, path, np.float64) for name in _MIXTURE}, path
    elif set(TEXTS) <= set(content):
        haul.own_networks.append(({key: values for key, values in content.items() if key not in TEXTS}, path))
    else:
        haul.passed_over.append(
            (path, "neither a body model, nor landmarks, nor a mixture of Gaussians, nor a regressor")
        )


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
    title = LAYOUTS[found.name].title
    texts = found.texts or Texts(
        name=f"{title} {found.gender} of {found.path.name}",
        licence=f"that of {title}, as its owners give it; not for sharing",
        provenance=found.origin,
    )
    if found.hands:
        texts = replace(texts, provenance=f"{texts.provenance}{LENT}{found.hands}")
    if found.mended:
        texts = replace(texts, provenance=f"{texts.provenance}{MENDED}{found.mended}")
    return write_model(target, found.name, found.gender, arrays, texts)


def write_loose(
    write: Callable[[Mapping[str, np.ndarray], Texts], str], arrays: Mapping[str, np.ndarray], path: Path
) -> str:
    """Writes arrays that are no model, with what there is to say of the file `path` from which they come."""
    texts = Texts(
        path.name, "that of its owners; not for sharing", f"{IMPORTED}{path.name}, sha256 {_digest(path).result()}"
    )
    return write(arrays, texts)


def mend_left_hand(models: list[Found], target: Path) -> str:
    """Turns the sign of the left hand's shape along x where it is the right hand's; says what was done.

    The official left hand has it wrong (smplx, issue 48). It is seen by comparing with the right hand, whichever of the two
    comes first: a left hand that lies in `target` since an earlier import joins `models` if it has to be turned. Turned, it
    differs from the right hand, so that it is never turned twice.
    """
    hands = {found.name: found for found in models if found.name in HANDS}
    if not hands:
        return ""
    for name in HANDS:
        if name not in hands and (path := model_path(target, name)).exists():
            hands[name] = stored_hand(path)
    left, right = (hands.get(name) for name in HANDS)
    if left is None:
        return ""
    if right is None:
        return (
            "The left hand's shape was not checked for the wrong sign, because the right hand is not there; importing that "
            "one checks both."
        )
    if left.arrays["shapedirs"].shape[0] != right.arrays["shapedirs"].shape[0]:
        return (
            "The left hand's shape was not checked for the wrong sign, because the right hand has another number of "
            "vertices; import both hands of one model."
        )
    if not _same_sign(left.arrays["shapedirs"], right.arrays["shapedirs"]):
        return ""
    shapes = left.arrays["shapedirs"]
    turned = left.arrays | {"shapedirs": shapes * np.array([-1, 1, 1], shapes.dtype)[:, None]}
    models[:] = [found for found in models if found is not left]
    models.append(replace(left, arrays=turned, mended="the sign of its shape along x was turned (smplx, issue 48)"))
    return "The left hand's shape had the right hand's sign along x; it was turned (smplx, issue 48)."


def stored_hand(path: Path) -> Found:
    """A hand of an earlier import, with what its file says about itself."""
    haul = Haul()
    take(path, haul)
    return haul.models[0]


def _same_sign(left: np.ndarray, right: np.ndarray) -> bool:
    count = min(left.shape[2], right.shape[2])
    return float(np.abs(left[:, 0, :count] - right[:, 0, :count]).sum()) < _SAME_SIGN


def _content(path: Path) -> Mapping[str, Any] | np.ndarray | None:
    """Arrays by name, or the one array without a name, or None: something else."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        content = read_arrays(path)
        _refuse_objects(path, content)
        return content
    if suffix == ".npy" and (numbers := _numbers(path)) is not None:
        return numbers
    found = read_object_npy(path) if suffix == ".npy" else read_pickle(path)
    if sparse.issparse(found):
        return found.toarray()
    if not isinstance(found, dict):
        return found if isinstance(found, np.ndarray) else None
    return arrays_of(found, path) if "v_template" in found else found


def _refuse_objects(path: Path, content: Mapping[str, Any]) -> None:
    """Objects where an array that is wanted belongs; others, which official files hold too, are passed by.

    Raises:
        BodyModelError: there are some. It says what they ask for, which the reader of pickles sees without doing it.
    """
    objects = objects_in(path)
    names = {*content, *objects}
    wanted = {key for marks, keys in _WANTED if set(marks) <= names for key in keys}
    wrong = next((key for key in objects if key in wanted), None)
    if wrong is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "array.pkl"
        with storage(alone):
            alone.write_bytes(pickled_in(path, wrong))
        try:
            read_pickle(alone)
        except BodyModelError as error:
            raise BodyModelError(str(error).replace(str(alone), f"{path} (its array {wrong})")) from error
    raise BodyModelError(f"{path} holds objects where the array {wrong} belongs; fetch it again.")


def _numbers(path: Path) -> np.ndarray | None:
    """An npy file that is a plain array."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE:
        return None  # an object, or damaged: what is wrong is said by whoever reads it next


def _landmarks(content: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """FLAME's static or dynamic landmarks, by SMPL-X's names for them; none of another set (mediapipe's has 105)."""
    faces = _plain(content["lmk_face_idx"], FACE_KEYS[0], path)
    weights = _plain(content["lmk_b_coords"], "lmk_b_coords", path)
    keys = {(_FACE_POINTS,): FACE_KEYS, (79, 17): CONTOUR_KEYS}.get(faces.shape)
    if keys is None and faces.ndim == 1 and weights.shape == (*faces.shape, 3):
        return {}
    if keys is None or weights.shape != (*faces.shape, 3):
        raise BodyModelError(
            f"{path} has landmarks of shapes {faces.shape} and {weights.shape}, where FLAME's are 51 (or 79 x 17) triangles "
            "with three weights each; fetch it again."
        )
    return {keys[0]: faces, keys[1]: weights.astype(np.float32)}


def _model(content: Mapping[str, Any], path: Path, digest: Future[str]) -> Found:
    shape = getattr(content.get("weights"), "shape", ())
    joints = shape[1] if len(shape) == 2 else 0
    name = "mano_right" if joints == _HAND_JOINTS else _BY_JOINTS.get(joints)
    if name is None:
        what = f"has {joints} joints" if joints else "has no skinning weights (vertices x joints)"
        raise BodyModelError(f"{path} {what}, as no body model that is known here; it was not imported.")
    layout = LAYOUTS[name]
    hands = ONE_HAND if layout.side else BOTH_HANDS if "hands_meanl" in layout.keys else ()
    faces = (*FACE_KEYS, *CONTOUR_KEYS) if name == "smplx" else ()
    kept = {key: _plain(content[key], key, path) for key in (*COMMON_KEYS, *hands, *faces) if key in content}
    require_shapes(kept | _stand_ins(layout, kept), layout, path)
    kept["posedirs"] = kept["posedirs"].reshape(-1, 3, layout.features)
    kept["kintree_table"] = kept["kintree_table"].astype(np.int64)
    kept["kintree_table"][0, 0] = -1
    if layout.side:
        name = _side(kept, path)
    says = {key: str(content[key]) for key in TEXTS if key in content}
    texts = Texts(says["name"], says["licence"], says["provenance"]) if len(says) == len(TEXTS) else None
    return Found(name, "neutral" if layout.side else _gender(path), path, digest, kept, texts=texts)


def _stand_ins(layout: Layout, kept: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What lies in files of its own, while the rest is checked: FLAME's landmarks, the hands of an SMPL-H without any."""
    if layout.family == "flame":
        return {FACE_KEYS[0]: np.zeros(51, np.int64), FACE_KEYS[1]: np.zeros((51, 3), np.float32)}
    if layout.family == "smplh" and not set(BOTH_HANDS) & set(kept):
        shapes = {"mean": (45,), "components": (45, 45)}
        return {key: np.zeros(shapes[key[len("hands_") : -1]], np.float32) for key in BOTH_HANDS}
    return {}


def _plain(values: Any, key: str, path: Path, kind: type[np.floating[Any]] = np.float32) -> np.ndarray:
    """An array of finite numbers: integers as they are (indices as int64), others as `kind`."""
    try:
        dense = np.asarray(values.toarray() if sparse.issparse(values) else values)
    except ValueError as error:  # lists of unequal length
        raise BodyModelError(f"{path} has no array {key} of one shape; fetch it again.") from error
    if dense.dtype.kind not in "biuf":
        raise BodyModelError(f"{path} holds {dense.dtype} where the numbers {key} belong; fetch it again.")
    if dense.dtype.kind == "f":
        with np.errstate(over="ignore"):
            dense = dense.astype(kind)
    if not np.isfinite(dense).all():
        raise BodyModelError(f"{path} holds numbers that are not finite, in {key}; fetch it again.")
    if key in _INDICES and dense.dtype.kind == "f":
        if not (dense == np.rint(dense)).all():
            raise BodyModelError(f"{path} has fractions where {key} counts; fetch it again.")
        dense = dense.astype(np.int64)
    return dense


def _side(content: Mapping[str, Any], path: Path) -> str:
    """Which hand it is: at rest the fingers of a right hand point to -x."""
    joints = content["J_regressor"] @ content["v_template"].astype(np.float64)
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


def _digest(path: Path) -> Future[str]:
    """sha256 of a file, taken by a thread of its own while the file is read."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="sha256")
    digest = thread.submit(_sha256, path)
    thread.shutdown(wait=False)
    return digest


def _sha256(path: Path) -> str:
    """Taken of many bytes at a time: between two times the thread waits for the interpreter, which a long string occupies."""
    digest, held = hashlib.sha256(), memoryview(bytearray(min(path.stat().st_size, _HASHED_BYTES)))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(held):
            digest.update(held[:count])
    return digest.hexdigest()
