"""The published schedule of SMPLify-X: the weights of every stage, one row a stage, as in its settings files.

A weight stands *inside* the square of its term unless its line says otherwise. Hands and faces that are fitted alone take
stages 2, 3 and 4 of the whole body, their points at weight 1 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

_BENDING = 3.17


@dataclass(frozen=True)
class Stage:
    """Weights of one stage.

    Attributes:
        body_prior: of the body pose's prior (the latent's length, the mixture's energy, or the pose's length).
        shape, expression: of betas and of expression.
        hand_prior: of the 45 axis-angle numbers of each hand, without the mean.
        jaw: of the jaw's axis-angle numbers, per axis.
        hand_points, face_points: of the keypoints of hands and face; those of the body weigh 1.
        penetration: of self-penetration, where it is on; not squared.
    """

    body_prior: float
    shape: float
    expression: float
    hand_prior: float
    jaw: tuple[float, float, float]
    hand_points: float
    face_points: float
    penetration: float = 0.0

    @property
    def bending(self) -> float:
        """Of knees and elbows bent the wrong way; not squared."""
        return _BENDING * self.body_prior

    def with_priors(self, factor: float) -> Stage:
        """The same stage with the weight of every prior times `factor`."""
        x, y, z = self.jaw
        return replace(
            self,
            body_prior=factor * self.body_prior,
            shape=factor * self.shape,
            expression=factor * self.expression,
            hand_prior=factor * self.hand_prior,
            jaw=(factor * x, factor * y, factor * z),
        )


WHOLE_BODY: tuple[Stage, ...] = (
    # body, shape, expression, hand, jaw x y z | hand points, face points, penetration
    Stage(404.0, 100.0, 100.0, 404.0, (4040.0, 40400.0, 40400.0), 0.0, 0.0, 0.0),
    Stage(404.0, 50.0, 50.0, 404.0, (4040.0, 40400.0, 40400.0), 0.0, 0.0, 0.0),
    Stage(57.4, 10.0, 10.0, 57.4, (574.0, 5740.0, 5740.0), 0.0, 0.0, 0.0),
    Stage(4.78, 5.0, 5.0, 4.78, (47.8, 478.0, 478.0), 0.1, 0.0, 0.01),
    Stage(4.78, 5.0, 5.0, 4.78, (47.8, 478.0, 478.0), 2.0, 2.0, 1.0),
)
"""SMPL-X from a whole body's keypoints."""

SMPL: tuple[Stage, ...] = (
    Stage(404.0, 100.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0, 0.0),
    Stage(404.0, 50.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0, 0.0),
    Stage(57.4, 10.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0, 0.01),
    Stage(4.78, 5.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0, 1.0),
)
"""SMPL from the body's keypoints."""

HAND: tuple[Stage, ...] = tuple(replace(stage, hand_points=1.0) for stage in WHOLE_BODY[2:])
"""MANO from the 21 points of one hand."""

FACE: tuple[Stage, ...] = tuple(replace(stage, face_points=1.0) for stage in WHOLE_BODY[2:])
"""FLAME from the 68 points of one face."""

SCHEDULES: Mapping[str, tuple[Stage, ...]] = {
    "smplx": WHOLE_BODY,
    "smpl": SMPL,
    "mano_right": HAND,
    "mano_left": HAND,
    "flame": FACE,
}
"""The schedule of each body model, by the name that `load_body_model` takes."""
