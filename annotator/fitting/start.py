"""Where a fit starts: the depth guess of the published camera stage in 2D, a rigid alignment in 3D. The pose is the prior's mean.

In 2D the camera stage then moves translation and orientation to the minimum of `Objective.camera`; how is a solver's business.

Legend: N people, K points.
"""

from __future__ import annotations

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.fitting.parameters import Parameters
from annotator.fitting.problem import Problem

_LEAST_PX = 1.0
_TURNED = {"flame": (np.pi, 0.0, 0.0)}
"""Orientations before the camera stage, axis-angle; none for the others, as published: a face is upright and looks this way."""


def depth_guess(problem: Problem, rest: np.ndarray) -> np.ndarray:
    """`(N,)` metres: focal length times the mean length of the edges in 3D over that in the photo.

    Edges with an end that is not seen are left out of both means. Where none is left, the spread of the seen points of the
    body, of each hand and of the face, each about its own mean, takes their place; where each has but one, that of them all:
    how far a hand is from the other says nothing of the depth.

    Args:
        rest: `(K, 3)` the points of the mean pose and shape.
    """
    first, second = np.array(problem.edges, np.int64).reshape(-1, 2).T
    whole = (problem.seen[:, first] & problem.seen[:, second]).astype(np.float64)
    in_photo = np.linalg.norm(problem.pixels[:, first] - problem.pixels[:, second], axis=-1)
    in_body = np.linalg.norm(rest[first] - rest[second], axis=-1)
    long_3d, long_2d = (whole * in_body).sum(axis=1), (whole * in_photo).sum(axis=1)
    none = whole.sum(axis=1) == 0
    spread_3d, spread_2d = _spreads(problem, rest)
    long_3d, long_2d = np.where(none, spread_3d, long_3d), np.where(none, spread_2d, long_2d)
    return problem.focal.mean(axis=1) * long_3d / np.maximum(long_2d, _LEAST_PX)


def _spreads(problem: Problem, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(N,)` metres and px: how far the seen points of a cluster are from their mean, all clusters together."""
    placed = np.broadcast_to(rest, (len(problem), *rest.shape))
    whole = problem.seen.astype(np.float64)
    apart = [whole * (problem.clusters == cluster) for cluster in np.unique(problem.clusters)]
    found = [sum(_spread(points, weight) for weight in apart) for points in (placed, problem.pixels)]
    alone = np.max([weight.sum(axis=1) for weight in apart], axis=0) < 2
    return (
        np.where(alone, _spread(placed, whole), found[0]),
        np.where(alone, _spread(problem.pixels, whole), found[1]),
    )


def mean_points(problem: Problem, body: BodyModelData, prior: object) -> tuple[np.ndarray, np.ndarray]:
    """The mean pose and shape at the origin: `(K, 3)` points and the `(3,)` root joint about which it turns, metres."""
    import torch

    from annotator.fitting.objective import Decoder, ModelPoints

    zeros = Parameters.zeros(1, problem.model, latent=hasattr(prior, "decode"))
    variables = {name: torch.as_tensor(values) for name, values in zeros.items().items()}
    place = ModelPoints(body, problem).double()
    decoder = Decoder(body, prior).double()  # type: ignore[arg-type]
    with torch.no_grad():
        parameters = decoder(variables)
        return place(parameters)[0].numpy(), place.body(parameters).joints[0, 0].numpy()


def first_guess(problem: Problem, body: BodyModelData, prior: object) -> Parameters:
    """The mean pose and shape, placed: in 2D at the guessed depth on the camera's axis, in 3D on the anchors."""
    rest, root = mean_points(problem, body, prior)
    guess = Parameters.zeros(len(problem), problem.model, latent=hasattr(prior, "decode"))
    if problem.joints is None:
        depth = depth_guess(problem, rest)
        orient = np.tile(_TURNED.get(problem.model, (0.0, 0.0, 0.0)), (len(problem), 1))
        return guess.replaced(
            global_orient=orient, transl=np.stack([np.zeros_like(depth), np.zeros_like(depth), depth], axis=1)
        )
    orient, transl = rigid(rest, problem.joints, problem.anchor_weights, root)
    return guess.replaced(global_orient=orient, transl=transl)


def rigid(
    points: np.ndarray, targets: np.ndarray, weight: np.ndarray, root: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rotation and translation that bring one set of points nearest to each person's targets, by SVD; never a reflection.

    Args:
        points: `(K, 3)`. targets: `(N, K, 3)`. weight: `(N, K)`; with no weight at all nothing is turned or moved.
        root: `(3,)` the joint about which the body turns.

    Returns:
        `(N, 3)` axis-angle and `(N, 3)` translation, metres.
    """
    from scipy.spatial.transform import Rotation

    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    from_mean, to_mean = share @ points, np.einsum("nk,nkc->nc", share, targets)
    a, b = points - from_mean[:, None], targets - to_mean[:, None]
    u, _, vt = np.linalg.svd(np.einsum("nk,nka,nkb->nab", share, a, b))
    u[:, :, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[:, None]
    turn = np.swapaxes(u @ vt, -1, -2)
    moved = to_mean - np.einsum("nab,nb->na", turn, from_mean - root) - root
    placed = weight.sum(axis=1, keepdims=True) > 0
    return Rotation.from_matrix(turn).as_rotvec() * placed, moved * placed


def _spread(points: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`(N,)` root mean square distance of weighted points from their mean."""
    share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    mean = np.einsum("nk,nkc->nc", share, points)
    return np.sqrt((share * ((points - mean[:, None]) ** 2).sum(axis=-1)).sum(axis=1))
