"""Whether a pose prior does what it is for; `bodies check` prints the sentence."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from annotator.errors import BodyModelError
from annotator.prior.mixture import GaussianMixture
from annotator.prior.vposer import LATENT, PosePrior
from annotator.rotations import axis_angle_to_matrix
from annotator.synthetic import sample_body_poses

_POSES = 64
_NOT_ORTHONORMAL = 1e-4
_OFF = 0.5
"""Radians (standard deviation) by which a pose is moved to be less likely."""


def vposer_test(prior: PosePrior) -> str:
    """How far authored poses are after encoding and decoding.

    Raises:
        BodyModelError: what it decodes are no rotations.
    """
    poses = torch.as_tensor(sample_body_poses(np.random.default_rng(0), _POSES), dtype=torch.float32)
    with torch.no_grad():
        mean, _ = prior.encode(poses)
        decoded = prior.decode(torch.cat([mean, torch.zeros(1, LATENT)]))
        wanted = axis_angle_to_matrix(poses.view(-1, 21, 3))
        error = (decoded @ decoded.mT - torch.eye(3)).abs().max()
        if not error <= _NOT_ORTHONORMAL:  # not a number is no rotation either
            raise BodyModelError(
                "The VPoser does not decode to rotations; import it again, or delete it to use what ships."
            )
        return f"poses return within {_degrees(decoded[:-1], wanted):.1f} deg"


def mixture_test(mixture: GaussianMixture) -> str:
    """How many of its means are likelier than poses some way off.

    Raises:
        BodyModelError: an energy is not finite, or a mean is less likely.
    """
    means = mixture.means
    with torch.no_grad():
        moved = means + _OFF * torch.randn(means.shape, generator=torch.Generator().manual_seed(0))
        at, off = mixture.energy(means), mixture.energy(moved)
    if not (torch.isfinite(at).all() and (at < off).all()):
        raise BodyModelError(
            "The mixture finds its own means unlikely; import it again, or delete it to use what ships."
        )
    return f"its {len(means)} means beat poses {_OFF} rad off"


def _degrees(found: Tensor, wanted: Tensor) -> float:
    cosine = ((found.mT @ wanted).diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return float(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean())
