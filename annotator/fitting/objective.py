"""The published objective of SMPLify-X, term by term: what every solver minimises and every comparison evaluates.

Pavlakos et al., CVPR 2019; weights in `stages.py`; what differs from the published program, and why, in
`docs/smplifyx.md`. Every term gives one number a person, so people never mix. It is differentiable and runs in float32
and float64.

Legend: N people, K points, D = 2 pixels or 3 metres.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData
from annotator.fitting.parameters import HAND_COMPONENTS
from annotator.fitting.problem import FACE_GROUP, HAND_GROUP, L1, Problem
from annotator.fitting.sphere_term import SphereCentres
from annotator.fitting.stages import Stage
from annotator.prior import GaussianMixture, HandPca, PosePrior, l2_energy
from annotator.rotations import matrix_to_axis_angle

DEPTH_WEIGHT = 100.0
"""Of the depth guess while the camera is started; inside the square, per metre."""
BENDING_ANGLES = ((52, 1.0), (55, -1.0), (9, -1.0), (12, -1.0))
"""Left and right elbow about y, left and right knee about x: index into `body_pose` and the sign of the wrong way."""

BodyPrior = PosePrior | GaussianMixture | None
"""Of the body's pose: VPoser of the latent, a mixture or, for None, the plain squared length of axis-angle."""
Variables = Mapping[str, Tensor]
"""The arrays of `Parameters` as tensors."""


# -- terms -----------------------------------------------------------------------------------------------------------------


def geman_mcclure(residual: Tensor, rho: float) -> Tensor:
    """rho^2 r^2 / (r^2 + rho^2): r^2 near zero, never more than rho^2."""
    squared = residual**2
    return rho**2 * squared / (squared + rho**2)


def points_term(residual: Tensor, weight: Tensor, data_weight: Tensor, *, robust: str, rho: float) -> Tensor:
    """How far the points are from where they were seen: squares of weighted residuals, or with L1 their plain lengths.

    Args:
        residual: `(N, K, D)` px or metres.
        weight: `(N, K)` of each point times its confidence; it multiplies the residual.
        data_weight: `(N,)`; it multiplies the residual.

    Returns:
        `(N,)`.
    """
    distance = residual.abs() if robust == L1 else geman_mcclure(residual, rho)
    kept = torch.where(weight[..., None] > 0, distance, torch.zeros_like(distance))
    power = 1 if robust == L1 else 2
    return data_weight**power * (weight[..., None] ** power * kept).sum(dim=(-1, -2))


def bending_term(body_pose: Tensor) -> Tensor:
    """`(N, 63 or 69)` axis-angle -> `(N,)`: exp(angle)^2 of elbows and knees, large where they bend the wrong way."""
    return torch.stack([torch.exp(2 * sign * body_pose[:, index]) for index, sign in BENDING_ANGLES], dim=-1).sum(-1)


def weighted_square(values: Tensor, weight: float | tuple[float, ...]) -> Tensor:
    """`(N, D)` -> `(N,)` squared length of weight times values."""
    return l2_energy(values * torch.as_tensor(weight, dtype=values.dtype, device=values.device))


def project(points: Tensor, focal: Tensor, center: Tensor) -> Tensor:
    """`(N, K, 3)` in camera space -> `(N, K, 2)` px of a pinhole; `focal` and `center` are `(N, 2)`."""
    return points[..., :2] / points[..., 2:] * focal[:, None] + center[:, None]


# -- from the coordinates of a fit to those of a body model ---------------------------------------------------------------------


class Decoder(nn.Module):
    """Latent and hand coefficients -> axis-angle by the smplx package's names.

    Args:
        body: whose hand components are used.
        prior: VPoser decodes the latent; other priors have none. It is copied, so that its own precision stays what it is.
    """

    def __init__(self, body: BodyModelData, prior: BodyPrior) -> None:
        super().__init__()
        self.prior = deepcopy(prior)
        sides = sorted(body.hand_components)
        self.hands = nn.ModuleDict(
            {side: HandPca(torch.as_tensor(body.hand_components[side]), HAND_COMPONENTS) for side in sides}
        )
        self.lone_hand = body.side
        self.names = _DECODED[body.family]

    def forward(self, variables: Variables) -> dict[str, Tensor]:
        """`(N, d)` each; what the family lacks is left out."""
        decoded = {name: variables[name] for name in self.names if name in variables}
        if "latent" in variables:
            assert self.prior is not None
            assert not isinstance(self.prior, GaussianMixture)
            decoded["body_pose"] = matrix_to_axis_angle(self.prior.decode(variables["latent"])).flatten(1)
        for side in self.hands:
            hand = cast("HandPca", self.hands[side])
            decoded["hand_pose" if self.lone_hand else f"{side}_hand_pose"] = hand.decode(
                variables[f"{side}_hand_pose"]
            )
        return decoded


_ALWAYS = ("global_orient", "betas", "transl")
_DECODED = {
    "smplx": (*_ALWAYS, "body_pose", "expression", "jaw_pose", "leye_pose", "reye_pose"),
    "smpl": (*_ALWAYS, "body_pose"),
    "mano": _ALWAYS,
    "flame": (*_ALWAYS, "expression", "jaw_pose"),
}


class ModelPoints(nn.Module):
    """The points of a problem on our own evaluation of the body model; only the vertices that they need are posed."""

    rows: Tensor

    def __init__(self, body: BodyModelData, problem: Problem) -> None:
        super().__init__()
        self.body = BodyModel(body, [problem.point_map(body)], contour=bool(problem.outline))
        self.register_buffer("rows", torch.as_tensor(problem.outline, dtype=torch.long), persistent=False)

    def forward(self, parameters: Variables) -> Tensor:
        """`(N, K, 3)` metres in camera space."""
        posed = self.body(parameters)
        if posed.contour is None:
            return posed.points
        return posed.points.index_copy(1, self.rows, posed.contour)


# -- the sum ---------------------------------------------------------------------------------------------------------------


class Objective(nn.Module):
    """The objective of N people.

    Args:
        problem: the people.
        place: parameters by the smplx package's names, `(N, d)` axis-angle -> `(N, K, 3)` points in camera space;
            `ModelPoints`, or the smplx package's in the reference mode.
        decoder: of the same body model, with the prior of the body's pose.
        spheres: of the same body model, where the problem asks for self-penetration.
    """

    pixels: Tensor
    joints: Tensor
    confidence: Tensor
    anchor_weight: Tensor
    focal: Tensor
    center: Tensor
    data_weight: Tensor
    is_hand: Tensor
    is_face: Tensor

    def __init__(
        self, problem: Problem, place: nn.Module, decoder: Decoder, spheres: SphereCentres | None = None
    ) -> None:
        super().__init__()
        self.place, self.decoder = place, decoder
        self.spheres, self.penetration = spheres, problem.penetration
        self.in_3d, self.robust, self.rho = problem.in_3d, problem.robust, problem.rho
        arrays = {
            "pixels": problem.pixels,
            "joints": problem.joints if problem.joints is not None else problem.pixels[..., :0],
            "confidence": problem.confidence,
            "anchor_weight": problem.anchor_weights,
            "focal": problem.focal,
            "center": problem.center,
            "data_weight": problem.data_weight,
            "is_hand": problem.group == HAND_GROUP,
            "is_face": problem.group == FACE_GROUP,
        }
        for name, values in arrays.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float64), persistent=False)

    def terms(self, variables: Variables, stage: Stage) -> dict[str, Tensor]:
        """`(N,)` of every term, weighted; they add up to the objective.

        Args:
            variables: `(N, d)` each, as `Parameters` has them.
        """
        decoded = self.decoder(variables)
        terms = {"points": self.points(decoded, stage), **self._of_body(variables, decoded, stage)}
        terms["shape"] = weighted_square(variables["betas"], stage.shape)
        if "expression" in decoded:
            terms["expression"] = weighted_square(variables["expression"], stage.expression)
        for name in ("left_hand_pose", "right_hand_pose", "hand_pose"):
            if name in decoded:
                terms[name.removesuffix("_pose")] = weighted_square(decoded[name], stage.hand_prior)
        if "jaw_pose" in decoded:
            terms["jaw"] = weighted_square(decoded["jaw_pose"], stage.jaw)
        if self.spheres is not None:
            terms["penetration"] = self.penetration * stage.penetration * self.spheres.term(decoded)
        return terms

    def forward(self, variables: Variables, stage: Stage) -> Tensor:
        """`(N,)` the objective."""
        return torch.stack(list(self.terms(variables, stage).values())).sum(dim=0)

    def points(self, decoded: Variables, stage: Stage) -> Tensor:
        """`(N,)` the data term."""
        weight = self.confidence * (1 + self.is_hand * (stage.hand_points - 1) + self.is_face * (stage.face_points - 1))
        residual = self._residual(self.place(decoded))
        return points_term(residual, weight, self.data_weight, robust=self.robust, rho=self.rho)

    def camera(self, variables: Variables, depth: Tensor) -> Tensor:
        """`(N,)` what starts translation and orientation in 2D: plain squares of the anchors, and the guess of the depth.

        Args:
            depth: `(N,)` the guess, metres.
        """
        residual = self._residual(self.place(self.decoder(variables)))
        kept = torch.where(self.anchor_weight[..., None] > 0, residual**2, torch.zeros_like(residual))
        data = self.data_weight**2 * kept.sum(dim=(-1, -2))
        return data + (DEPTH_WEIGHT * (variables["transl"][:, 2] - depth)) ** 2

    def _residual(self, points: Tensor) -> Tensor:
        return points - self.joints if self.in_3d else project(points, self.focal, self.center) - self.pixels

    def _of_body(self, variables: Variables, decoded: Variables, stage: Stage) -> dict[str, Tensor]:
        if "body_pose" not in decoded:
            return {}
        prior = self.decoder.prior
        if "latent" in variables:
            energy = l2_energy(variables["latent"])
        elif isinstance(prior, GaussianMixture):
            energy = prior.energy(decoded["body_pose"])
        else:
            energy = l2_energy(decoded["body_pose"])
        return {
            "body_prior": stage.body_prior**2 * energy,
            "bending": stage.bending * bending_term(decoded["body_pose"]),
        }
