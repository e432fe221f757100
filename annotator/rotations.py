"""Rotations in torch: 6D, axis-angle, matrix. Thin, on roma, which is imported on first use because it is slow to import.

Any leading batch shape; radians.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sixd_to_matrix(sixd: Tensor) -> Tensor:
    """`(..., 6)` -> `(..., 3, 3)`: Gram-Schmidt on two 3-vectors, the first two columns (Zhou et al., the paper's [40]).

    Undefined where the two are parallel or zero; lengths are bounded from below so that gradients stay finite.
    """
    first, second = sixd[..., :3], sixd[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1, eps=1e-6)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1, eps=1e-6)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def matrix_to_sixd(matrix: Tensor) -> Tensor:
    """`(..., 3, 3)` -> `(..., 6)`: the first two columns."""
    return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)


def axis_angle_to_matrix(vectors: Tensor) -> Tensor:
    """`(..., 3)` -> `(..., 3, 3)`; exact and smooth at zero."""
    import roma

    return roma.rotvec_to_rotmat(vectors)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """`(..., 3, 3)` -> `(..., 3)` with angles in 0..pi; at pi the sign of the axis is arbitrary."""
    import roma

    return roma.rotmat_to_rotvec(matrix)
