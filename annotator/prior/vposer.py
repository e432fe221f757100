"""The low-dimensional pose space of the target network: VPoser, versions 1 and 2, and its training here.

Layers carry the official names, so that official checkpoints load strictly. What is trained here is of version 1's
architecture; the two versions' latents are not interchangeable.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annotator.errors import BodyModelError
from annotator.prior.linear import l2_energy
from annotator.progress import Progress
from annotator.rotations import axis_angle_to_matrix, sixd_to_matrix

LATENT = 32
_WIDTH = 512
_SLOPE = 0.2
_KL_WEIGHT = 2e-3
_REPORT_EVERY = 25


class VPoser(nn.Module):
    """Variational autoencoder of 21 body rotations; z = 0 is the mean pose, not the zero pose.

    Args:
        dropout: the official networks train with 0.1; with the few poses of a demo none works better.
    """

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.bodyprior_enc_bn1 = nn.BatchNorm1d(63)
        self.bodyprior_enc_fc1 = nn.Linear(63, _WIDTH)
        self.bodyprior_enc_bn2 = nn.BatchNorm1d(_WIDTH)
        self.bodyprior_enc_fc2 = nn.Linear(_WIDTH, _WIDTH)
        self.bodyprior_enc_mu = nn.Linear(_WIDTH, LATENT)
        self.bodyprior_enc_logvar = nn.Linear(_WIDTH, LATENT)
        self.dropout = nn.Dropout(p=dropout)
        self.bodyprior_dec_fc1 = nn.Linear(LATENT, _WIDTH)
        self.bodyprior_dec_fc2 = nn.Linear(_WIDTH, _WIDTH)
        self.bodyprior_dec_out = nn.Linear(_WIDTH, 21 * 6)
        with torch.no_grad():  # from a random start some joints would end half a turn away, where L1 has no slope
            self.bodyprior_dec_out.bias.copy_(torch.tensor([1.0, 0, 0, 1.0, 0, 0] * 21))

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 63)` axis-angle -> mean and standard deviation of z, `(B, 32)` each."""
        x = functional.leaky_relu(self.bodyprior_enc_fc1(self.bodyprior_enc_bn1(pose)), _SLOPE)
        x = self.dropout(self.bodyprior_enc_bn2(x))
        x = functional.leaky_relu(self.bodyprior_enc_fc2(x), _SLOPE)
        return self.bodyprior_enc_mu(x), functional.softplus(self.bodyprior_enc_logvar(x))

    def decode(self, z: Tensor) -> Tensor:
        """`(B, 32)` -> `(B, 21, 3, 3)` rotations; the 6 numbers are interleaved columns, as in v1."""
        x = functional.leaky_relu(self.bodyprior_dec_fc1(z), _SLOPE)
        x = functional.leaky_relu(self.bodyprior_dec_fc2(self.dropout(x)), _SLOPE)
        return _interleaved_to_matrix(self.bodyprior_dec_out(x))

    def energy(self, z: Tensor) -> Tensor:
        """`(B,)` squared length of the latent; some 32 for natural poses."""
        return l2_energy(z)


class VPoserV2(nn.Module):
    """Version 2: another slope, one more layer without activation between, batch norm before the first layer as in v1."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder_net = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(63),
            nn.Linear(63, _WIDTH),
            nn.LeakyReLU(),
            nn.BatchNorm1d(_WIDTH),
            nn.Dropout(0.1),
            nn.Linear(_WIDTH, _WIDTH),
            nn.Linear(_WIDTH, _WIDTH),
            _NormalHead(),
        )
        self.decoder_net = nn.Sequential(
            nn.Linear(LATENT, _WIDTH),
            nn.LeakyReLU(),
            nn.Dropout(0.1),
            nn.Linear(_WIDTH, _WIDTH),
            nn.LeakyReLU(),
            nn.Linear(_WIDTH, 21 * 6),
        )

    def encode(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, 63)` axis-angle -> mean and standard deviation of z, `(B, 32)` each."""
        return self.encoder_net(pose)

    def decode(self, z: Tensor) -> Tensor:
        """`(B, 32)` -> `(B, 21, 3, 3)` rotations."""
        return _interleaved_to_matrix(self.decoder_net(z))

    def energy(self, z: Tensor) -> Tensor:
        """`(B,)` squared length of the latent."""
        return l2_energy(z)


PosePrior = VPoser | VPoserV2
"""What the target network can decode its latent with."""


def vposer_of(weights: Mapping[str, Tensor], file: Path) -> PosePrior:
    """The network whose weights these are, of version 1 or 2 by their names, in evaluation mode and without gradients of its own.

    Raises:
        BodyModelError: they are not exactly those of VPoser; the sentence names `file` and the first that is wrong.
    """
    network = VPoserV2() if any(name.startswith("encoder_net.") for name in weights) else VPoser()
    wanted = network.state_dict()
    if wrong := sorted(set(wanted) ^ set(weights)):
        what = "lacks" if wrong[0] in wanted else "has the unknown entry"
        raise BodyModelError(f"{file} is not a VPoser checkpoint: it {what} '{wrong[0]}'; fetch it again.")
    for name, value in weights.items():
        if value.shape != wanted[name].shape:
            raise BodyModelError(
                f"{file} is not a VPoser checkpoint: '{name}' has shape {tuple(value.shape)}, "
                f"expecting {tuple(wanted[name].shape)}."
            )
        if not _is_plain(value, wanted[name]) or not torch.isfinite(value).all():
            raise BodyModelError(f"{file} holds numbers in '{name}' that are not finite or not plain; fetch it again.")
    network.load_state_dict(dict(weights))
    return network.eval().requires_grad_(False)


def _is_plain(value: Tensor, wanted: Tensor) -> bool:
    """Whether the numbers are there, one after the other, and of the kind that belongs there: fractions, or a count."""
    stored = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
    return stored and not value.is_complex() and value.is_floating_point() == wanted.is_floating_point()


class _NormalHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mu = nn.Linear(_WIDTH, LATENT)
        self.logvar = nn.Linear(_WIDTH, LATENT)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu(x), functional.softplus(self.logvar(x))


def _interleaved_to_matrix(sixd: Tensor) -> Tensor:
    """`(B, 126)` -> `(B, 21, 3, 3)`: the official networks lay the two columns out as 3 rows of 2."""
    columns = sixd.view(-1, 21, 3, 2)
    return sixd_to_matrix(torch.cat([columns[..., 0], columns[..., 1]], dim=-1))


def train_prior(poses: np.ndarray, *, steps: int, seed: int, batch: int = 256) -> Generator[Progress, None, VPoser]:
    """A VPoser of `(N, 63)` axis-angle poses: L1 on rotation matrices and the KL divergence to N(0, I); Adam, cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 11])
    prior = VPoser(dropout=0.0)
    data = torch.as_tensor(poses, dtype=torch.float32)
    target = axis_angle_to_matrix(data.view(-1, 21, 3))
    optimiser = torch.optim.Adam(prior.parameters(), lr=2e-3, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        rows = torch.as_tensor(rng.integers(len(data), size=min(batch, len(data))))
        mean, deviation = prior.encode(data[rows])
        decoded = prior.decode(mean + deviation * torch.randn_like(deviation))
        distance = (decoded - target[rows]).abs().mean()
        divergence = 0.5 * (mean**2 + deviation**2 - 1 - 2 * deviation.clamp_min(1e-6).log()).sum(-1).mean()
        loss = 4 * distance + _KL_WEIGHT * divergence
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % _REPORT_EVERY == 0 or step == steps:
            yield Progress("Training the pose prior", step, steps, "steps", values={"loss": float(loss.detach())})
    return prior.eval()
