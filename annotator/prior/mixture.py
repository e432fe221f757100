"""The mixture of eight Gaussians over SMPL's body pose: SMPLify's prior, read from a file or fitted here.

Legend: B people, K components, D = 69 numbers of `body_pose`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from annotator.errors import BodyModelError

COMPONENTS = 8
_ITERATIONS = 200
_GAIN = 1e-6
_RIDGE = 1e-4


class GaussianMixture(nn.Module):
    """Negative log-likelihood of the one component that explains a pose best.

    The constant of the component that has the smallest determinant is left out, as SMPLify does, so values compare with
    published weights.
    """

    means: Tensor
    whitening: Tensor
    constants: Tensor

    def __init__(self, means: np.ndarray, covariances: np.ndarray, weights: np.ndarray) -> None:
        super().__init__()
        precisions = np.linalg.inv(covariances)
        factors = np.linalg.cholesky((precisions + np.swapaxes(precisions, -1, -2)) / 2)
        log_roots = 0.5 * np.linalg.slogdet(covariances)[1]
        log_weights = np.log(weights) - means.shape[1] / 2 * math.log(2 * math.pi) - (log_roots - log_roots.min())
        self.register_buffer("means", torch.as_tensor(means, dtype=torch.float32))
        self.register_buffer("whitening", torch.as_tensor(factors, dtype=torch.float32))
        self.register_buffer("constants", torch.as_tensor(-log_weights, dtype=torch.float32))

    def energy(self, pose: Tensor) -> Tensor:
        """`(B, D)` axis-angle -> `(B,)`. SMPL-X's 63 numbers do as well: SMPL's two hand joints then count as straight."""
        short = self.means.shape[1] - pose.shape[1]
        if short < 0:
            raise ValueError(f"a pose of {pose.shape[1]} numbers, expecting at most {self.means.shape[1]}")
        pose = functional.pad(pose, (0, short))
        whitened = torch.einsum("bkd,kde->bke", pose[:, None] - self.means, self.whitening)
        return (0.5 * (whitened**2).sum(dim=-1) + self.constants).amin(dim=-1)


def mixture_of(content: Any, file: Path) -> GaussianMixture:
    """The mixture of `means`, `covars` and `weights`.

    Raises:
        BodyModelError: they are lacking or do not fit together; the sentence names `file`.
    """
    try:
        means, covariances, weights = (np.asarray(content[name], np.float64) for name in ("means", "covars", "weights"))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BodyModelError(f"{file} is not a Gaussian mixture (means, covars, weights); fetch it again.") from error
    count, width = means.shape if means.ndim == 2 else (0, 0)
    if not count or covariances.shape != (count, width, width) or weights.shape != (count,):
        raise BodyModelError(f"{file} is not a Gaussian mixture: its shapes do not fit together; fetch it again.")
    if not all(np.isfinite(values).all() for values in (means, covariances, weights)) or (weights <= 0).any():
        raise BodyModelError(
            f"{file} is not a Gaussian mixture: it holds numbers that are not finite, or weights that are not positive; fetch "
            "it again."
        )
    try:
        return GaussianMixture(means, covariances, weights)
    except np.linalg.LinAlgError as error:
        raise BodyModelError(
            f"{file} is not a Gaussian mixture: a covariance cannot be inverted; fetch it again."
        ) from error


def fit_mixture(poses: np.ndarray, *, seed: int, components: int = COMPONENTS) -> dict[str, np.ndarray]:
    """Means `(K, D)`, covariances `(K, D, D)` and weights `(K,)` of `(N, D)` poses, by expectation maximisation.

    Starts from poses far from each other (k-means++ seeding) and adds a small ridge to every covariance, so that joints
    that never move (SMPL's hands) keep a finite likelihood.
    """
    rng = np.random.default_rng([seed, 17])
    centres = _spread_out(poses, components, rng)
    shares = np.eye(components)[((poses[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)]
    means, covariances, weights = _moments(poses, shares)
    before = -math.inf
    for _ in range(_ITERATIONS):
        log_joint = _log_densities(poses, means, covariances) + np.log(weights)
        log_total = np.logaddexp.reduce(log_joint, axis=1)
        means, covariances, weights = _moments(poses, np.exp(log_joint - log_total[:, None]))
        likelihood = float(log_total.mean())
        if likelihood - before < _GAIN * abs(likelihood):
            break
        before = likelihood
    order = np.argsort(weights)[::-1]
    return {"means": means[order], "covars": covariances[order], "weights": weights[order]}


def _moments(poses: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, covariances and weights of components, given `(N, K)` how much each has of every pose."""
    masses = shares.sum(axis=0)
    means = shares.T @ poses / masses[:, None]
    covariances = np.tile(_RIDGE * np.eye(poses.shape[1]), (len(masses), 1, 1))
    for k, mean in enumerate(means):
        centred = poses - mean
        covariances[k] += (shares[:, k, None] * centred).T @ centred / masses[k]
    return means, covariances, masses / len(poses)


def _spread_out(poses: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [poses[rng.integers(len(poses))]]
    while len(chosen) < count:
        distance = np.min([((poses - pose) ** 2).sum(axis=1) for pose in chosen], axis=0)
        chosen.append(poses[rng.choice(len(poses), p=distance / distance.sum())])
    return np.stack(chosen)


def _log_densities(poses: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    columns: list[np.ndarray] = []
    for mean, covariance in zip(means, covariances, strict=True):
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, (poses - mean).T)
        log_root = np.log(np.diag(factor)).sum()
        columns.append(-0.5 * (whitened**2).sum(axis=0) - log_root - poses.shape[1] / 2 * math.log(2 * math.pi))
    return np.stack(columns, axis=1)
