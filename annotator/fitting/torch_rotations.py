"""Rotations of many joints at once and their rates, in torch: what `kernels_rotations.py` does for one.

A rate is an angular velocity in the frame of the joint's parent. Sums are made in float64, because quotients of small
angles lose half of float32's digits; what comes out has the type of what went in.

Legend: any leading shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SMALL = 1e-6
"""Squared angle below which series take the place of quotients; their next term is below float64's last digit."""


def to_rotation(vectors: Tensor) -> Tensor:
    """`(..., 3)` axis-angle -> `(..., 3, 3)`."""
    wide, squared, angle, tiny = _angles(vectors)
    a = torch.where(tiny, 1 - squared / 6, torch.sin(angle) / angle)
    b = torch.where(tiny, 0.5 - squared / 24, (1 - torch.cos(angle)) / (angle * angle))
    return _from_series(wide, squared, a, b).to(vectors.dtype)


def left_jacobian(vectors: Tensor) -> Tensor:
    """`(..., 3, 3)` angular velocity per change of an axis-angle `(..., 3)`."""
    wide, squared, angle, tiny = _angles(vectors)
    a = torch.where(tiny, 0.5 - squared / 24, (1 - torch.cos(angle)) / (angle * angle))
    b = torch.where(tiny, 1 / 6 - squared / 120, (angle - torch.sin(angle)) / angle**3)
    return _from_series(wide, squared, a, b).to(vectors.dtype)


def inverse_left_jacobian(vectors: Tensor) -> Tensor:
    """`(..., 3, 3)` change of an axis-angle `(..., 3)` per angular velocity."""
    wide, squared, angle, tiny = _angles(vectors)
    half = 0.5 * angle
    b = torch.where(tiny, 1 / 12 + squared / 720, (1 - half * torch.cos(half) / torch.sin(half)) / (angle * angle))
    return _from_series(wide, squared, torch.full_like(squared, -0.5), b).to(vectors.dtype)


def spin(vectors: Tensor) -> Tensor:
    """`(..., 3)` w -> `(..., 3, 3)` the matrix that takes x to w cross x."""
    x, y, z = vectors.unbind(-1)
    none = torch.zeros_like(x)
    return torch.stack([none, -z, y, z, none, -x, -y, x, none], dim=-1).unflatten(-1, (3, 3))


def axis_angle(matrices: Tensor) -> Tensor:
    """`(..., 3, 3)` -> `(..., 3)` of at most half a turn, by way of the quaternion's largest number."""
    m = matrices.double()
    a, b, c = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    x, y, z = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    candidates = torch.stack(
        [
            torch.stack([1 + a + b + c, x, y, z], dim=-1),
            torch.stack([x, 1 + a - b - c, xy, xz], dim=-1),
            torch.stack([y, xy, 1 + b - a - c, yz], dim=-1),
            torch.stack([z, xz, yz, 1 + c - a - b], dim=-1),
        ],
        dim=-2,
    )
    largest = torch.stack([a + b + c, a, b, c], dim=-1).argmax(dim=-1)
    chosen = candidates.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4)).squeeze(-2)
    chosen = torch.where(chosen[..., :1] < 0, -chosen, chosen)
    w, along = chosen[..., 0], chosen[..., 1:]
    sine = along.norm(dim=-1)
    tiny = sine < 1e-9 * w
    scale = torch.where(tiny, 2 / w, 2 * torch.atan2(sine, w) / torch.where(tiny, torch.ones_like(sine), sine))
    return (along * scale[..., None]).to(matrices.dtype)


def to_frame(six: Tensor) -> tuple[Tensor, Tensor]:
    """`(..., 6)` numbers, columns interleaved as in VPoser -> `(..., 3, 3)` by Gram-Schmidt, and its rates.

    Returns:
        The frames, and `(..., 3, 6)` angular velocity per change of the six: the first column b1 turns as
        b1 x da1 / |a1|, and about b1 the frame turns as the second column moves towards the third.
    """
    a1, a2 = six[..., 0::2].double(), six[..., 1::2].double()
    long = 1 / a1.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    b1 = a1 * long
    along = (b1 * a2).sum(-1, keepdim=True)
    b2 = a2 - along * b1
    across = 1 / b2.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    b2 = b2 * across
    b3 = torch.linalg.cross(b1, b2)
    rolled = b1[..., :, None] * b3[..., None, :]
    by_first = spin(b1) * long[..., None] - rolled * (along * across * long)[..., None]
    rates = torch.stack([by_first, rolled * across[..., None]], dim=-1).flatten(-2)
    return torch.stack([b1, b2, b3], dim=-1).to(six.dtype), rates.to(six.dtype)


def straightened(matrices: Tensor) -> Tensor:
    """`(..., 3, 3)` nearly rotations -> rotations, by Gram-Schmidt on the rows: products of hundreds drift off."""
    first = matrices[..., 0, :]
    first = first / first.norm(dim=-1, keepdim=True)
    second = matrices[..., 1, :]
    second = second - (first * second).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def _angles(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The vectors, their squared lengths, their lengths (1 where tiny) and where they are tiny; float64."""
    wide = vectors.double()
    squared = (wide * wide).sum(-1)
    tiny = squared < _SMALL
    return wide, squared, torch.where(tiny, torch.ones_like(squared), squared).sqrt(), tiny


def _from_series(vectors: Tensor, squared: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """I + a W + b W W, where W is the matrix of `spin`."""
    outer = vectors[..., :, None] * vectors[..., None, :]
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return eye * (1 - b * squared)[..., None, None] + b[..., None, None] * outer + a[..., None, None] * spin(vectors)
