"""How far two fits of one person are apart: both turned into the crop frame, the pelves brought together, or one brought
onto the other by the best similarity, which leaves the difference in pose and shape alone.

Distances in camera space mean nothing between annotators: one puts a person at 24 m, another at 50 m, each through a
camera of its own. The crop frame is the same place in the photo for both (docs/CONVENTIONS.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from annotator.bodies.posing import Posed
from annotator.camera import Camera, Crop, crop_from_camera, crop_of_box
from annotator.fit import Fit
from annotator.metrics import MM, Similarity
from annotator.sample import Sample
from annotator.skeleton import H36M_EVALUATED, HUMAN36M

VERTICES, JOINTS = "vertices", "joints"


@dataclass(frozen=True)
class Placed:
    """A fit in the crop frame, its pelvis at the origin.

    Attributes:
        vertices: `(V, 3)` metres.
        joints: `(14, 3)` the Human3.6M joints of the field's MPJPE.
        body_hash: of the body model; vertices of two fits correspond where it is the same.
    """

    vertices: np.ndarray
    joints: np.ndarray
    body_hash: str


@dataclass(frozen=True)
class Distance:
    """How far two fits are apart.

    Attributes:
        mm: `(V,)` or `(14,)`.
        of: `VERTICES`, or `JOINTS` where the body models differ.
    """

    mm: np.ndarray
    of: str

    @property
    def per_vertex(self) -> bool:
        """Whether there is a number for each vertex, which can be coloured."""
        return self.of == VERTICES

    @property
    def mean(self) -> float:
        """Mean over the points, mm."""
        return float(self.mm.mean())

    @property
    def max(self) -> float:
        """The point that is farthest apart, mm."""
        return float(self.mm.max())


def crop_of_sample(sample: Sample) -> Crop:
    """The crop of a person."""
    return crop_of_box(sample.box, np.array([sample.width, sample.height]), drawn=sample.box_drawn)


def placed(posed: Posed, fit: Fit, crop: Crop) -> Placed:
    """One posed person, `Posed` without batch axes, turned from the fit's camera into the crop frame."""
    camera = Camera(fit.focal.astype(np.float64), fit.princpt.astype(np.float64))
    turn = crop_from_camera(camera, crop).T
    pelvis = posed.joints[0]
    joints = posed.points(HUMAN36M.name)[H36M_EVALUATED]
    return Placed((posed.vertices - pelvis) @ turn, (joints - pelvis) @ turn, posed.body.hash)


def brought_onto(fixed: Placed, moved: Placed) -> Placed:
    """`moved` after the similarity that brings what is compared of the two nearest together; its size is the other's then."""
    of = _compared(moved, fixed)
    similarity = Similarity.of(*(points.astype(np.float64) for points in of))
    return replace(moved, vertices=similarity(moved.vertices), joints=similarity(moved.joints))


def distance(one: Placed, other: Placed) -> Distance:
    """Point by point: vertices of the same body model, else joints."""
    of = VERTICES if one.body_hash == other.body_hash else JOINTS
    a, b = _compared(one, other)
    return Distance(MM * np.linalg.norm(a - b, axis=-1), of)


def _compared(one: Placed, other: Placed) -> tuple[np.ndarray, np.ndarray]:
    same = one.body_hash == other.body_hash
    return (one.vertices, other.vertices) if same else (one.joints, other.joints)
