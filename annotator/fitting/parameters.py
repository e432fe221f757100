"""What a fit varies: the parameters of many people as plain arrays, in the coordinates of the objective.

The body is VPoser's latent (SMPL-X) or axis-angle (SMPL; SMPL-X without VPoser), a hand the coefficients of its first
components. Axis-angle is in radians, `transl` in metres in camera space.

Legend: N people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

HAND_COMPONENTS = 12
"""Components of a hand that are fitted, as published."""
LATENT_WIDTH = 32

FREE: Mapping[str, tuple[str, ...]] = {
    "smplx": (
        *("global_orient", "latent", "body_pose", "betas", "expression"),
        *("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose"),
    ),
    "smpl": ("global_orient", "body_pose", "betas"),
    "mano_right": ("global_orient", "betas", "right_hand_pose"),
    "mano_left": ("global_orient", "betas", "left_hand_pose"),
    "flame": ("global_orient", "betas", "expression", "jaw_pose"),
}
"""What the stages vary, by body model; `transl` too where the problem says so. The others stay where they start."""

_BODY_WIDTH = {"smplx": 63, "smpl": 69}


@dataclass(frozen=True)
class Parameters:
    """Parameters of N people; those that a body model does not have are zeros and never move.

    Attributes:
        global_orient: `(N, 3)`. betas, expression: `(N, 10)`.
        left_hand_pose, right_hand_pose: `(N, 12)` coefficients; zeros are the mean hand.
        jaw_pose, leye_pose, reye_pose, transl: `(N, 3)`.
        latent: `(N, 32)` of VPoser, or None where the body's pose is axis-angle or there is none.
        body_pose: `(N, 63)` or `(N, 69)` axis-angle, or None where it is a latent or there is none.
    """

    global_orient: np.ndarray
    betas: np.ndarray
    expression: np.ndarray
    left_hand_pose: np.ndarray
    right_hand_pose: np.ndarray
    jaw_pose: np.ndarray
    leye_pose: np.ndarray
    reye_pose: np.ndarray
    transl: np.ndarray
    latent: np.ndarray | None = None
    body_pose: np.ndarray | None = None

    @classmethod
    def zeros(cls, count: int, model: str, *, latent: bool = True, dtype: type = np.float64) -> Self:
        """All zeros: the mean pose and shape, at the camera.

        Args:
            model: key of `FREE`.
            latent: whether SMPL-X's body pose is a latent; the other models have none.
        """
        with_latent = latent and "latent" in FREE[model]
        width = 0 if with_latent else _BODY_WIDTH.get(model, 0)

        def array(width: int) -> np.ndarray:
            return np.zeros((count, width), dtype)

        return cls(
            *(array(3), array(10), array(10), array(HAND_COMPONENTS), array(HAND_COMPONENTS)),
            *(array(3), array(3), array(3), array(3)),
            latent=array(LATENT_WIDTH) if with_latent else None,
            body_pose=array(width) if width else None,
        )

    def __len__(self) -> int:
        return len(self.global_orient)

    def items(self) -> dict[str, np.ndarray]:
        """Every array that is there, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in found.items() if values is not None}

    def take(self, rows: np.ndarray | slice) -> Self:
        """Some people, in the order of `rows`."""
        return replace(self, **{name: values[rows] for name, values in self.items().items()})

    def replaced(self, **arrays: np.ndarray) -> Self:
        """With some arrays exchanged."""
        return replace(self, **arrays)

    @classmethod
    def joined(cls, parts: list[Parameters]) -> Parameters:
        """People of all `parts`, one after the other."""
        columns = [part.items() for part in parts]
        return replace(parts[0], **{name: np.concatenate([c[name] for c in columns]) for name in columns[0]})


def free_names(model: str, parameters: Parameters, *, transl: bool) -> tuple[str, ...]:
    """Names of the arrays of `parameters` that a fit varies."""
    names = tuple(name for name in FREE[model] if name in parameters.items())
    return (*names, "transl") if transl else names
