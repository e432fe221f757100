"""The camera's start for many people at once, in torch: what `kernels_camera.py` does for one.

Legend: N starts, K points.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from annotator.fitting import layout as at
from annotator.fitting.kernels_camera import DEPTH_WEIGHT, UNKNOWNS
from annotator.fitting.torch_chain import rotated
from annotator.fitting.torch_system import turned_root

_NEAREST = 1e-3


@dataclass(frozen=True)
class CameraProblems:
    """N starts of the camera; a state is a translation (3) and the nine numbers of the root's rotation.

    Attributes:
        points: `(K, 3)` of the mean pose, relative to the root joint. root: `(3,)`.
        weight: `(N, K)` of the points that count. depth: `(N,)` metres.
        focal, center: `(N, 2)`. scale: `(N,)` data weight. target: `(N, K, 2)` px.
    """

    points: Tensor
    root: Tensor
    weight: Tensor
    depth: Tensor
    focal: Tensor
    center: Tensor
    scale: Tensor
    target: Tensor

    @classmethod
    def of(cls, points: Tensor, root: Tensor, weight: Tensor, depth: Tensor, people: Tensor) -> CameraProblems:
        """From rows of `make_people`."""
        return cls(
            *(points, root, weight, depth),
            people[:, at.FOCAL : at.FOCAL + 2],
            people[:, at.CENTER : at.CENTER + 2],
            people[:, at.DATA_WEIGHT],
            people[:, at.TARGETS :].reshape(len(people), -1, 4)[..., :2],
        )

    def take(self, rows: Tensor) -> CameraProblems:
        """Some of them."""
        shared = ("points", "root")
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return CameraProblems(**{name: values if name in shared else values[rows] for name, values in columns.items()})

    def centred(self, turns: Tensor) -> Tensor:
        """`(N, 12)` states at the guessed depth that bring the mean of the points over that of their targets."""
        turned = self._turned(turns) + self.root
        depth = (turned[..., 2:] + self.depth[:, None, None]).clamp_min(_NEAREST)
        away = depth * (self.target - self.center[:, None]) / self.focal[:, None] - turned[..., :2]
        counted = (self.weight > 0).to(turns.dtype)
        share = counted / counted.sum(dim=1, keepdim=True).clamp_min(1.0)
        move = (share[..., None] * away).sum(dim=1)
        return torch.cat([move, self.depth[:, None], turns], dim=1)

    def evaluate(self, states: Tensor) -> Tensor:
        """`(N,)` float64 value of the camera's objective."""
        points = self._turned(states[:, 3:]) + self.root + states[:, None, :3]
        residual = self._residual(points).double()
        data = self.scale.double() ** 2 * (residual**2).sum(dim=(1, 2))
        away = DEPTH_WEIGHT * (states[:, 2].double() - self.depth.double())
        behind = ((points[..., 2] < _NEAREST) & (self.weight > 0)).any(dim=1)
        return torch.where(behind, torch.inf, data + away**2)

    def linearise(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """`(N, 6, 6)` Gauss-Newton curvature and `(N, 6)` gradient."""
        away = self._turned(states[:, 3:])
        points = away + self.root + states[:, None, :3]
        counted = (self.weight > 0)[..., None]
        scale = torch.where(counted, self.scale[:, None, None] * self.focal[:, None] / points[..., 2:], 0.0)
        along = torch.where(counted, -scale * points[..., :2] / points[..., 2:], 0.0)
        direction = torch.cat([torch.diag_embed(scale), along[..., None]], dim=3)
        turning = torch.linalg.cross(away[:, :, None].expand_as(direction), direction, dim=3)
        rows = torch.cat([turning, direction], dim=3).reshape(len(states), -1, UNKNOWNS)
        residual = (self.scale[:, None, None] * self._residual(points)).flatten(1)
        matrix = 2 * rows.transpose(1, 2) @ rows
        gradient = 2 * (rows.transpose(1, 2) @ residual[..., None]).squeeze(2)
        gradient[:, 5] += 2 * DEPTH_WEIGHT**2 * (states[:, 2] - self.depth)
        matrix[:, 5, 5] += 2 * DEPTH_WEIGHT**2
        return matrix, gradient

    def retract(self, states: Tensor, steps: Tensor) -> Tensor:
        """The states after `(N, 6)` steps: an angular velocity in camera space, then a translation."""
        return torch.cat([states[:, :3] + steps[:, 3:], turned_root(states[:, 3:], steps[:, :3])], dim=1)

    def _turned(self, turns: Tensor) -> Tensor:
        """`(N, K, 3)` the points, turned about the root."""
        return rotated(turns.reshape(-1, 1, 3, 3), self.points)

    def _residual(self, points: Tensor) -> Tensor:
        """`(N, K, 2)` px; zeros where a point does not count."""
        away = points[..., :2] / points[..., 2:] * self.focal[:, None] + self.center[:, None] - self.target
        return torch.where((self.weight > 0)[..., None], away, 0.0)
