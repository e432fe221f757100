"""Self-penetration of many people in torch: what `kernels_spheres.py` does for one. All pairs are looked at, those that are
apart with weight zero, so that nobody's numbers depend on whose spheres touch.

Legend: N people, S spheres, Q pairs, B joints of the pose of P numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.kernels_spheres import NEAREST_SQUARED
from annotator.fitting.torch_chain import Posed, Rates, rotated
from annotator.fitting.torch_groups import Overlaps


def overlap_value(overlaps: Overlaps, posed: Posed) -> Tensor:
    """`(N,)` float64 weighted sum of squared overlaps."""
    depth, _ = _depths(overlaps, _centres(overlaps, posed)[0].double())
    return overlaps.weight * depth.square().sum(dim=1)


def add_overlaps(overlaps: Overlaps, posed: Posed, rates: Rates, matrix: Tensor, gradient: Tensor, own: slice) -> None:
    """Adds gradient and curvature (as of least squares).

    Args:
        own: the places of shape and pose, one after the other, among the unknowns.
    """
    centres, arms = _centres(overlaps, posed)
    depth, towards = _depths(overlaps, centres)
    rows = (depth > 0)[..., None] * _rates(overlaps, posed, rates, arms, towards)
    gradient[:, own] -= 2 * overlaps.weight * (depth[..., None] * rows).sum(dim=1)
    matrix[:, own, own] += 2 * overlaps.weight * (rows.transpose(1, 2) @ rows)


def _centres(overlaps: Overlaps, posed: Posed) -> tuple[Tensor, Tensor]:
    """`(N, S, 3)` centres, and the levers as they are turned."""
    start, end = posed.place[:, overlaps.joint], posed.place[:, overlaps.child]
    arms = rotated(posed.turn[:, overlaps.joint], overlaps.lever)
    return start + overlaps.share[:, None] * (end - start) + arms, arms


def _depths(overlaps: Overlaps, centres: Tensor) -> tuple[Tensor, Tensor]:
    """`(N, Q)` metres by which pairs overlap, 0 where they are apart, and `(N, Q, 3)` from the second towards the first."""
    away = centres[:, overlaps.one] - centres[:, overlaps.other]
    distance = (away.square().sum(dim=-1) + NEAREST_SQUARED).sqrt()
    return (overlaps.reach.to(distance.dtype) - distance).clamp(min=0), away / distance[..., None]


def _rates(overlaps: Overlaps, posed: Posed, rates: Rates, arms: Tensor, towards: Tensor) -> Tensor:
    """`(N, Q, 20 + P)` how fast the first of each pair leaves the second, by shape and pose."""
    share = overlaps.share[:, None]
    by_shape = (1 - share) * rates.shape[:, overlaps.joint] + share * rates.shape[:, overlaps.child]
    apart = (by_shape[:, overlaps.one] - by_shape[:, overlaps.other]).unflatten(2, (3, at.SHAPES))
    shape = (towards[:, :, None] @ apart).squeeze(2)
    levers = _levers(overlaps, posed, arms)
    turns = torch.linalg.cross(
        levers[:, overlaps.one] - levers[:, overlaps.other], towards[:, :, None].expand(-1, -1, levers.shape[2], -1)
    )
    return torch.cat([shape, turns.flatten(2) @ rates.pose_world.flatten(1, 2)], dim=2)


def _levers(overlaps: Overlaps, posed: Posed, arms: Tensor) -> Tensor:
    """`(N, S, B, 3)` what each joint's angular velocity is crossed with to give its part of a centre's velocity."""
    about = posed.place[:, None, overlaps.pose_joints]
    share, joint, child = (
        overlaps.share[:, None, None],
        overlaps.joint_turned[..., None],
        overlaps.child_turned[..., None],
    )
    start = posed.place[:, overlaps.joint, None] - about
    end = posed.place[:, overlaps.child, None] - about
    return joint * ((1 - share) * start + arms[:, :, None]) + child * share * end
