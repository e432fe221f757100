"""The priors of a project: official ones that were imported into its body-model folder, else those that ship."""

from __future__ import annotations

from pathlib import Path

import torch

from annotator.bodies.prior_files import read_prior
from annotator.prior.mixture import GaussianMixture, mixture_of
from annotator.prior.vposer import PosePrior, vposer_of


def default_vposer(root: Path) -> PosePrior:
    """The VPoser of a body-model folder (`Project.body_model_root`), in evaluation mode, without gradients of its own.

    Raises:
        BodyModelError: its file is damaged, or its weights are not exactly those of VPoser.
    """
    file = read_prior(root, "vposer")
    return vposer_of({name: torch.as_tensor(values) for name, values in file.arrays.items()}, file.path)


def default_gmm(root: Path) -> GaussianMixture:
    """The mixture of Gaussians of a body-model folder, over SMPL's 69 body numbers.

    Raises:
        BodyModelError: its file is damaged, or its arrays do not fit together.
    """
    file = read_prior(root, "gmm")
    return mixture_of(file.arrays, file.path)
