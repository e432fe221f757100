"""Pose priors: what is plausible, as a latent space, as an energy, or both.

| prior | encode | decode | energy |
|---|---|---|---|
| `VPoser`, `VPoserV2` (21 body rotations) | yes | yes | of the latent, |z|^2 |
| `HandPca` (45 numbers of a hand) | yes | yes | of the coefficients |
| `GaussianMixture` (69 numbers of SMPL's body) | no | no | of the pose |
| `l2_energy` | no | no | of any pose |

`default_vposer` and `default_gmm` are those of a project: imported official ones, else the ones that ship.
"""

from annotator.prior.checkpoints import load_mixture, load_vposer
from annotator.prior.defaults import default_gmm, default_vposer
from annotator.prior.linear import HandPca, l2_energy
from annotator.prior.mixture import GaussianMixture, fit_mixture
from annotator.prior.vposer import LATENT, PosePrior, VPoser, VPoserV2, train_prior

__all__ = [
    "LATENT",
    "GaussianMixture",
    "HandPca",
    "PosePrior",
    "VPoser",
    "VPoserV2",
    "default_gmm",
    "default_vposer",
    "fit_mixture",
    "l2_energy",
    "load_mixture",
    "load_vposer",
    "train_prior",
]
