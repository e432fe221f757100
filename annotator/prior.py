"""The low-dimensional pose space of the target network: a VPoser of v1's architecture (facts 3.1), loaded or trained here.

Layers carry the official names, so that an official checkpoint loads strictly; the decoder alone is used by networks.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annotator.progress import Progress
from annotator.rotations import axis_angle_to_matrix

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
        columns = self.bodyprior_dec_out(x).view(-1, 21, 3, 2)
        a = functional.normalize(columns[..., 0], dim=-1, eps=1e-6)
        b = functional.normalize(columns[..., 1] - (a * columns[..., 1]).sum(-1, keepdim=True) * a, dim=-1, eps=1e-6)
        return torch.stack([a, b, torch.linalg.cross(a, b)], dim=-1)


def train_prior(poses: np.ndarray, *, steps: int, seed: int) -> Generator[Progress, None, VPoser]:
    """A VPoser of `(N, 63)` axis-angle poses: L1 on rotation matrices and the KL divergence to N(0, I); Adam, cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 11])
    prior = VPoser(dropout=0.0)
    data = torch.as_tensor(poses, dtype=torch.float32)
    target = axis_angle_to_matrix(data.view(-1, 21, 3))
    optimiser = torch.optim.Adam(prior.parameters(), lr=2e-3, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        rows = torch.as_tensor(rng.integers(len(data), size=min(256, len(data))))
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
