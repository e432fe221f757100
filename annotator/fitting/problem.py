"""The people to fit, as plain arrays: what the objective sees of them, and nothing that a solver would add.

Legend: N people, K points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import sparse

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import CONTOUR_START, PointMap
from annotator.errors import BodyModelError
from annotator.skeleton import COCO_WHOLEBODY, FACE

BODY_GROUP, HAND_GROUP, FACE_GROUP = 0, 1, 2
"""Values of `Problem.group`."""
RHO_PX = 100.0
"""Where the robust function of pixels bends, as published."""
ENOUGH_ANCHORS = 3
GEMAN_MCCLURE, L1 = "geman_mcclure", "l1"


@dataclass(frozen=True)
class Problem:
    """N people with the same points and the same body model.

    Attributes:
        model: name that `load_body_model` takes.
        names: of the K points, in the words of `skeleton.py`.
        pixels: `(N, K, 2)` full-image px; zeros where a point is not labelled.
        confidence: `(N, K)` of the data term; 0 leaves a point out.
        seen: `(N, K)` bool: labelled points, those too that the data term ignores; they start the camera.
        group: `(K,)` 0 body, 1 hand, 2 face.
        focal, center: `(N, 2)` px, the pinhole camera. Zeros where the target is 3D.
        data_weight: `(N,)` 1000 / H in 2D; in 3D the root of the published 10^6. It stands inside the square, and with "l1"
            it multiplies the plain length.
        side_view: `(N,)` bool: a second start, turned by half a turn about the body's y axis, is tried too.
        anchors: rows of the points whose place starts orientation and translation.
        edges: pairs of rows whose mean length in 3D over that in 2D starts the depth.
        outline: rows of the 17 points of the face's outline, which slide with the head's yaw; none if it is not fitted.
        free_translation: whether the stages vary everybody's `transl`; otherwise it keeps what the camera's start gave it,
            but for those whom `moves` names.
        joints: `(N, K, 3)` metres in camera space where the target is 3D (then pixels count for nothing), or None.
        robust: "geman_mcclure" or "l1", of each coordinate of a residual.
        rho: where Geman-McClure bends, in px or metres.
        skeleton: whose points they are, where they lie in the body as that skeleton has them; empty for the published ones.
        penetration: of self-penetration, per square metre of overlap, times the stage's weight; 0 leaves it out. Body models
            without spheres (`spheres.py`) have none.
    """

    model: str
    names: tuple[str, ...]
    pixels: np.ndarray
    confidence: np.ndarray
    seen: np.ndarray
    group: np.ndarray
    focal: np.ndarray
    center: np.ndarray
    data_weight: np.ndarray
    side_view: np.ndarray
    anchors: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    outline: tuple[int, ...] = ()
    free_translation: bool = False
    joints: np.ndarray | None = None
    robust: str = GEMAN_MCCLURE
    rho: float = RHO_PX
    skeleton: str = ""
    penetration: float = 0.0

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def in_3d(self) -> bool:
        """Whether the target is 3D joints."""
        return self.joints is not None

    @property
    def anchor_weights(self) -> np.ndarray:
        """`(N, K)` 1 for the points that start the camera, else 0: the anchors that are seen.

        Where fewer than three are, every seen point of the first group: a person cut off at the waist would otherwise
        keep the orientation that he starts with, head down. Where fewer than three of those are, every seen point: a hand
        or a face in the photo's corner would otherwise leave the body on the camera's axis.
        """
        anchors = np.zeros(len(self.names), bool)
        anchors[list(self.anchors)] = True
        chosen = self.seen
        for some in (self.seen & (self.group == self.group.min()), self.seen & anchors):
            enough = some.sum(axis=1, keepdims=True) >= ENOUGH_ANCHORS
            chosen = np.where(enough, some, chosen)
        return chosen.astype(np.float64)

    @property
    def moves(self) -> np.ndarray:
        """`(N,)` bool: whose translation the stages vary.

        In 2D the camera's start places a whole person once for all; one of whom it sees fewer than three points of the
        body is placed by hands and face, which hang on the pose that the stages are still to find.
        """
        few = (self.seen & (self.group == self.group.min())).sum(axis=1) < ENOUGH_ANCHORS
        return few | self.free_translation

    @property
    def clusters(self) -> np.ndarray:
        """`(K,)` of each point: what it hangs on as one piece, the body, the left hand, the right one or the face."""
        right = np.array([name.startswith("right_hand_") for name in self.names])
        return np.where((self.group == HAND_GROUP) & right, FACE_GROUP + 1, self.group)

    def take(self, rows: np.ndarray | slice) -> Problem:
        """Some people, in the order of `rows`."""
        columns = {name: getattr(self, name) for name in _PER_PERSON}
        return replace(self, **{name: values[rows] for name, values in columns.items() if values is not None})

    def point_map(self, body: BodyModelData) -> PointMap:
        """Where the points lie on a body model; the outline as the frontal face shows it.

        Raises:
            BodyModelError: the body model has no such points.
        """
        if not self.skeleton:
            return published_map(body, self.names)
        if self.skeleton not in body.points:
            raise BodyModelError(
                f"A {body.family} body model has no points {self.skeleton}; it cannot be fitted to them."
            )
        return body.points[self.skeleton]


_PER_PERSON = (*("pixels", "confidence", "seen", "focal", "center", "data_weight", "side_view", "joints"),)
assert set(_PER_PERSON) < {field.name for field in fields(Problem)}


def published_map(body: BodyModelData, names: tuple[str, ...]) -> PointMap:
    """Where the points that the published program fits lie: joints of the model, vertices that the smplx package names, landmarks.

    Raises:
        BodyModelError: there is no point of some name.
    """
    whole, count = body.points[COCO_WHOLEBODY.name], len(body.parents)
    of_joints: list[np.ndarray] = []
    of_vertices: list[sparse.csr_array] = []
    for name in names:
        if name in COCO_WHOLEBODY.index_of:
            row = COCO_WHOLEBODY.index_of[name]
            of_joints.append(whole.joint_weights[row])
            of_vertices.append(whole.vertex_weights[[row]])
        elif name in _JOINTS:
            of_joints.append(np.eye(count, dtype=np.float32)[_JOINTS[name]])
            of_vertices.append(sparse.csr_array((1, len(body.v_template)), dtype=np.float32))
        else:
            raise BodyModelError(f"A body has no point called '{name}'; it cannot be fitted to it.")
    return PointMap(np.stack(of_joints), sparse.csr_array(sparse.vstack(of_vertices)))


_JOINTS = {"neck": 12, "mid_hip": 0}
"""Joints of SMPL and SMPL-X by OpenPose's names for them, beside those that COCO-WholeBody names too."""


def outline_rows(names: tuple[str, ...]) -> tuple[int, ...]:
    """Rows of the face's outline among `names`, in its own order; empty unless all 17 are there."""
    first = CONTOUR_START[FACE.name]
    rows = [names.index(name) for name in FACE.points[first : first + 17] if name in names]
    return tuple(rows) if len(rows) == 17 else ()
