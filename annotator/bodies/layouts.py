"""What the smplx package wants of a body model: where its file lies, what arrays it holds, and of which shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import resources
from annotator.bodies.points import vertices_needed
from annotator.errors import BodyModelError, UnknownNameError

FACE_KEYS = ("lmk_faces_idx", "lmk_bary_coords")
CONTOUR_KEYS = ("dynamic_lmk_faces_idx", "dynamic_lmk_bary_coords")
SPARSE_POSEDIRS = ("posedirs_data", "posedirs_indices", "posedirs_indptr")
COMMON_KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
BOTH_HANDS = ("hands_meanl", "hands_meanr", "hands_componentsl", "hands_componentsr")
ONE_HAND = ("hands_mean", "hands_components")
GENDERS = ("neutral", "female", "male")
STATIC_EMBEDDING, DYNAMIC_EMBEDDING = "flame_static_embedding.pkl", "flame_dynamic_embedding.npy"
SHAPES_OF_LARGE, LARGE = 300, 400
"""A file with at least 400 components has 300 of shape, then those of expression."""
SHAPES_OF_SMALL, SMALL = 10, 20
"""One with 20 has 10 of shape, then those of expression; one with fewer, or with 300, has shape alone."""
_NUMBERS = ("head_top", "smplx_vertices")
MODEL_KEYS = frozenset(
    (*COMMON_KEYS, *BOTH_HANDS, *ONE_HAND, *FACE_KEYS, *CONTOUR_KEYS, *SPARSE_POSEDIRS, *_NUMBERS, "name", "hash")
)
"""Every entry of a model's file that is read here; official files hold others, of any kind, that nobody needs."""


@dataclass(frozen=True)
class Layout:
    """What the smplx package wants of a model.

    Attributes:
        family: folder, and key of `fit.PARAMETERS`. title: what people call it.
        stem: file name, with `{gender}` if there are several. suffixes: those that the package opens, ours first.
        joints: kinematic joints. side: of a single hand, else empty.
        expressions: whether components of expression follow those of shape.
        keys: arrays beyond those that every family has.
    """

    family: str
    title: str
    stem: str
    joints: int
    expressions: bool = False
    keys: tuple[str, ...] = ()
    side: str = ""
    suffixes: tuple[str, ...] = (".npz", ".pkl")

    @property
    def features(self) -> int:
        """Numbers in the pose feature: nine of every joint but the root."""
        return 9 * (self.joints - 1)

    def split(self, components: int) -> tuple[slice, slice]:
        """Which of a file's components are of shape and which of expression.

        The smplx package's rule, except that it takes components of shape for expression where a file has no expression.
        """
        if not self.expressions or components < SMALL or SHAPES_OF_LARGE <= components < LARGE:
            return slice(0, components), slice(0, 0)
        if components >= LARGE:
            return slice(0, SHAPES_OF_LARGE), slice(SHAPES_OF_LARGE, components)
        return slice(0, SHAPES_OF_SMALL), slice(SHAPES_OF_SMALL, SMALL)

    def counts(self, components: int) -> tuple[int, int]:
        """How many components of shape and of expression a file with so many has."""
        of_shape, of_expression = (part.stop - part.start for part in self.split(components))
        return of_shape, of_expression


LAYOUTS: dict[str, Layout] = {
    "smplx": Layout("smplx", "SMPL-X", "SMPLX_{gender}", 55, True, (*BOTH_HANDS, *FACE_KEYS)),
    "smplh": Layout("smplh", "SMPL-H", "SMPLH_{gender}", 52, False, BOTH_HANDS),
    "smpl": Layout("smpl", "SMPL", "SMPL_{gender}", 24, suffixes=(".pkl",)),
    "mano_right": Layout("mano", "MANO", "MANO_RIGHT", 16, False, ONE_HAND, "right"),
    "mano_left": Layout("mano", "MANO", "MANO_LEFT", 16, False, ONE_HAND, "left"),
    "flame": Layout("flame", "FLAME", "FLAME_{gender}", 5, True, FACE_KEYS),
}
"""Every model that can be read, by the name that `load_body_model` takes."""

OPEN_BODY = ("smplx", "smpl", "mano_right", "mano_left", "flame")
"""The models that ship; SMPL-H comes from official files alone."""


def default_root() -> Path:
    """The folder of the open body that ships with the program."""
    return resources.path("open_body")


def layout_of(name: str) -> Layout:
    """What the smplx package wants of a model.

    Raises:
        UnknownNameError: there is no such model.
    """
    if name not in LAYOUTS:
        raise UnknownNameError("body model", name, LAYOUTS)
    return LAYOUTS[name]


def model_path(root: Path, name: str, gender: str = "neutral") -> Path:
    """Where the file of a model lies below `root`; where it would, if it is not there.

    Raises:
        UnknownNameError: there is no such model.
    """
    layout = layout_of(name)
    stem = root / layout.family / layout.stem.format(gender=gender.upper())
    paths = [stem.with_suffix(suffix) for suffix in layout.suffixes]
    return next((path for path in paths if path.exists()), paths[0])


def models_in(root: Path) -> list[tuple[str, str]]:
    """Name and gender of every model below `root`; hands have no gender and count as neutral."""
    return [
        (name, gender)
        for name, layout in LAYOUTS.items()
        for gender in (GENDERS if "{gender}" in layout.stem else GENDERS[:1])
        if model_path(root, name, gender).exists()
    ]


def require_shapes(arrays: Mapping[str, Any], layout: Layout, path: Path) -> None:
    """Refuses arrays that are not a model of `layout`.

    Raises:
        BodyModelError: an array is missing, has another shape, holds text, is not finite or points outside of the others.
    """
    wanted = [*COMMON_KEYS, *layout.keys]
    if SPARSE_POSEDIRS[0] in arrays:
        wanted.remove("posedirs")
    if CONTOUR_KEYS[0] in arrays or CONTOUR_KEYS[1] in arrays:  # old files have no outline of the face
        wanted += CONTOUR_KEYS
    missing = [key for key in wanted if key not in arrays]
    if layout.family == "smplh" and missing == list(BOTH_HANDS):
        raise BodyModelError(
            f"{path} holds no hands, as its owners ship it; put {LAYOUTS['mano_left'].stem} and "
            f"{LAYOUTS['mano_right'].stem} beside it and take all three in with `bodies import`."
        )
    if missing:
        raise BodyModelError(
            f"{path} lacks {', '.join(missing)} as plain arrays; it is not an {layout.title} model file, fetch it again."
        )
    count = (*arrays["v_template"].shape, 0)[0]
    shapes = _shapes(count, layout)
    wrong = [
        k for k in (*wanted, *CONTOUR_KEYS) if k in arrays and arrays[k].shape not in shapes.get(k, [arrays[k].shape])
    ]
    wrong += [key for key, fits in _open_shapes(arrays, count).items() if not fits]
    wrong += [key for key in wanted if arrays[key].dtype.kind not in "biuf"]
    if wrong or count < vertices_needed(layout.family):
        found = (
            f"{key} is {' x '.join(map(str, arrays[key].shape)) or 'one'} {arrays[key].dtype}" for key in wrong[:1]
        )
        raise BodyModelError(
            f"{path} does not have {layout.title}'s shapes ({layout.joints} joints, posedirs V x 3 x {layout.features}): "
            f"{next(found, f'it has {count} vertices')}; fetch it again."
        )
    if not np.isfinite(arrays["v_template"]).all():
        raise BodyModelError(f"{path} holds numbers that are not finite; fetch it again.")
    above = arrays["kintree_table"][0, 1:].astype(np.int64)
    bounds = [(arrays["f"], count), (above, np.arange(1, layout.joints))]
    bounds += [(arrays[key], len(arrays["f"])) for key in (FACE_KEYS[0], CONTOUR_KEYS[0]) if key in arrays]
    bounds += [(arrays[key], 1 << 31 if key == "smplx_vertices" else count) for key in _NUMBERS if key in arrays]
    if any((values < 0).any() or (values >= end).any() for values, end in bounds):
        raise BodyModelError(f"{path} has triangles, joints or landmarks that point outside of it; fetch it again.")


def _open_shapes(arrays: Mapping[str, Any], count: int) -> dict[str, bool]:
    """Whether arrays of which one axis is as long as the file has it fit."""
    faces, components = arrays["f"].shape, arrays["shapedirs"].shape
    return {
        "f": len(faces) == 2 and faces[1] == 3,
        "shapedirs": len(components) == 3 and components[:2] == (count, 3) and components[2] >= SHAPES_OF_SMALL,
    }


def _shapes(count: int, layout: Layout) -> dict[str, list[tuple[int, ...]]]:
    """What shapes each array may have; `posedirs` of a pickle may be a matrix, since sparse ones have two axes."""
    hands = {f"hands_mean{s}": [(45,)] for s in ("", "l", "r")}
    return hands | {
        **{f"hands_components{s}": [(45, 45)] for s in ("", "l", "r")},
        "v_template": [(count, 3)],
        "weights": [(count, layout.joints)],
        "J_regressor": [(layout.joints, count)],
        "kintree_table": [(2, layout.joints)],
        "posedirs": [(count, 3, layout.features), (3 * count, layout.features)],
        **{FACE_KEYS[0]: [(51,)], FACE_KEYS[1]: [(51, 3)]},
        **{CONTOUR_KEYS[0]: [(79, 17)], CONTOUR_KEYS[1]: [(79, 17, 3)]},
    }
