"""The two priors that are linear algebra alone: the hand's principal components, and the plain squared length.

Legend: B people.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class HandPca(nn.Module):
    """The first rows of a body model's hand components; coefficients are offsets from its mean hand.

    Args:
        components: `(45, 45)` rows, most important first (they need not be of unit length).
        count: how many are used; SMPLify-X uses 12.
    """

    components: Tensor
    inverse: Tensor

    def __init__(self, components: Tensor, count: int = 12) -> None:
        super().__init__()
        self.register_buffer("components", components[:count].clone())
        self.register_buffer("inverse", torch.linalg.pinv(self.components))

    def encode(self, pose: Tensor) -> Tensor:
        """`(B, 45)` axis-angle without the mean -> the `(B, count)` coefficients nearest to it."""
        return pose @ self.inverse

    def decode(self, coefficients: Tensor) -> Tensor:
        """`(B, count)` -> `(B, 45)` axis-angle without the mean."""
        return coefficients @ self.components

    def energy(self, coefficients: Tensor) -> Tensor:
        """`(B,)` squared length of the decoded pose: what SMPLify-X penalises."""
        return l2_energy(self.decode(coefficients))


def l2_energy(pose: Tensor) -> Tensor:
    """`(B, D)` -> `(B,)` squared length."""
    return (pose**2).sum(dim=-1)
