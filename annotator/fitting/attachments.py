"""Points of a body model as sums over its joints: what their vertices, triangles and skinning weights come to.

A vertex moves as the sum over joints of w (G (v - p0) + p), where a joint at rest at p0 is turned by G and lies at p. So a
point is a sum of attachments G a + w p with levers a = (sum of weighted v) - w p0, linear in shape and pose correctives.

Legend: K points, A attachments, J joints, S = 20 betas and expression, F = 9 (J - 1) numbers of the pose feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import PointMap
from annotator.fitting.layout import SHAPES


@dataclass(frozen=True)
class Attachments:
    """Attachments of points, one point after the other.

    Attributes:
        first: `(K + 1,)`. joint: `(A,)`. weight: `(A,)` w. solid: `(A,)` whether there is a lever.
        lever, lever_shapes, lever_features: `(A, 3)`, `(A, 3, S)`, `(A, 3, F)`.
    """

    first: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    solid: np.ndarray
    lever: np.ndarray
    lever_shapes: np.ndarray
    lever_features: np.ndarray

    def __len__(self) -> int:
        return len(self.joint)

    def of_point(self, point: int) -> slice:
        """The attachments of a point."""
        return slice(self.first[point], self.first[point + 1])

    def take(self, points: np.ndarray) -> Attachments:
        """Those of some points, in that order."""
        first = self.first.tolist()
        rows = [np.arange(first[p], first[p + 1]) for p in points.tolist()]
        taken = np.concatenate([np.zeros(0, int), *rows]).astype(int)
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        columns = (self.joint, self.weight, self.solid, self.lever, self.lever_shapes, self.lever_features)
        return Attachments(starts, *(column[taken] for column in columns))

    def folded(self, tree: np.ndarray, onto: np.ndarray, bones: np.ndarray, bone_shapes: np.ndarray) -> Attachments:
        """The same with joints that nothing turns taken as parts of what they hang on.

        Args:
            tree: `(J,)` joints by depth, deepest first. onto: `(J,)` what a joint that nothing turns hangs on, -1 for others.
            bones, bone_shapes: `(J, 3)` and `(J, 3, S)` from there to the joint, at rest.
        """
        joint, lever, shapes, solid = self.joint.copy(), self.lever.copy(), self.lever_shapes.copy(), self.solid.copy()
        for j in tree[onto[tree] >= 0].tolist():
            rows = joint == j
            lever[rows] += self.weight[rows, None] * bones[j]
            shapes[rows] += self.weight[rows, None, None] * bone_shapes[j]
            joint[rows], solid[rows] = onto[j], True
        point = np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))
        pairs, to = np.unique(np.stack([point, joint]), axis=1, return_inverse=True)
        to = to.ravel()

        def summed(values: np.ndarray) -> np.ndarray:
            out = np.zeros((pairs.shape[1], *values.shape[1:]))
            np.add.at(out, to, values)
            return out

        return Attachments(
            np.searchsorted(pairs[0], np.arange(len(self.first))).astype(np.int64),
            pairs[1].astype(np.int64),
            summed(self.weight),
            summed(solid.astype(np.float64)) > 0,
            summed(lever),
            summed(shapes),
            summed(self.lever_features),
        )

    def bends(self) -> np.ndarray:
        """`(A, J)` bool: joints whose rotation changes an attachment."""
        blocks = (self.lever_features != 0).reshape(len(self), 3, -1, 9).any(axis=(1, 3))
        return np.concatenate([np.zeros((len(self), 1), bool), blocks], axis=1)


def attach(body: BodyModelData, points: PointMap) -> Attachments:
    """The attachments of a point map."""
    on_vertices = sparse.csr_array(points.vertex_weights)
    used = np.unique(on_vertices.indices)
    skin = body.weights[used].toarray().astype(np.float64)
    shares = np.asarray(sparse.csr_array(on_vertices[:, used]).todense(), np.float64)
    by_vertex = shares @ skin
    touched = (shares != 0).astype(np.float64) @ (skin != 0) > 0
    point, joint = np.nonzero(touched | (points.joint_weights != 0))
    vertex_share = by_vertex[point, joint]
    blend = shares[point] * skin.T[joint]
    template, shapes = body.v_template[used].astype(np.float64), flat_shapes(body)[used]
    columns = (3 * used[:, None] + np.arange(3)).ravel()
    correctives = np.asarray(sparse.csr_array(body.posedirs[:, columns]).todense(), np.float64).reshape(
        -1, len(used), 3
    )
    joint_template, joint_shapes = rest_joints(body)
    features = np.moveaxis(np.tensordot(blend, correctives, (1, 1)), 1, 2)
    return Attachments(
        first=np.searchsorted(point, np.arange(len(shares) + 1)).astype(np.int64),
        joint=joint.astype(np.int64),
        weight=vertex_share + points.joint_weights[point, joint],
        solid=touched[point, joint],
        lever=blend @ template - vertex_share[:, None] * joint_template[joint],
        lever_shapes=_twenty((blend @ shapes).reshape(len(joint), 3, -1))
        - vertex_share[:, None, None] * joint_shapes[joint],
        lever_features=features,
    )


def rest_joints(body: BodyModelData) -> tuple[np.ndarray, np.ndarray]:
    """Joints of the mean shape `(J, 3)` and how they move with shape `(J, 3, S)`."""
    regressor = body.joint_regressor.astype(np.float64)
    shapes = (regressor @ flat_shapes(body)).reshape(len(body.parents), 3, -1)
    return regressor @ body.v_template.astype(np.float64), _twenty(shapes)


def flat_shapes(body: BodyModelData) -> np.ndarray:
    """`(V, 3 S)` betas, then expression, as many as the model has."""
    shapes = np.concatenate([body.shapedirs, body.exprdirs], axis=2).astype(np.float64)
    return shapes.reshape(len(shapes), -1)


def _twenty(shapes: np.ndarray) -> np.ndarray:
    """`(..., S)`; a model without expression has zeros there."""
    return np.concatenate([shapes, np.zeros((*shapes.shape[:-1], SHAPES - shapes.shape[-1]))], axis=-1)
