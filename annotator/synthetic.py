"""People with known truth: plausible poses, shapes and hands, drawn from authored archetypes with joint limits. No drawing.

Every draw takes a generator, so the same seed gives the same people everywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

import resources
from annotator.bodies.points import SMPLX_JOINTS

BODY_JOINTS = tuple(name for name, index in SMPLX_JOINTS.items() if 1 <= index <= 21)
_BETA_LIMIT = 3.0

_LIMITS: Mapping[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "hip": ((-125, 35), (-45, 45), (-20, 50)),
    "knee": ((0, 140), (-8, 8), (-4, 4)),
    "ankle": ((-28, 45), (-15, 15), (-15, 15)),
    "foot": ((-10, 25), (0, 0), (0, 0)),
    "spine1": ((-18, 35), (-18, 18), (-15, 15)),
    "spine2": ((-15, 30), (-32, 32), (-18, 18)),
    "spine3": ((-12, 22), (-16, 16), (-12, 12)),
    "neck": ((-32, 32), (-32, 32), (-18, 18)),
    "head": ((-28, 32), (-40, 40), (-18, 18)),
    "collar": ((-8, 8), (-12, 12), (-8, 14)),
    "shoulder": ((-95, 55), (-105, 40), (-80, 88)),
    "elbow": ((-15, 15), (-145, 2), (-90, 90)),
    "wrist": ((-35, 35), (-25, 25), (-50, 50)),
}
"""Degrees [x, y, z] of the left side and the midline; the right side mirrors y and z."""

_SPREAD: Mapping[str, tuple[float, float, float]] = {
    "hip": (11, 6, 5),
    "knee": (12, 0, 0),
    "ankle": (7, 4, 4),
    "foot": (4, 0, 0),
    "spine1": (5, 4, 3),
    "spine2": (4, 7, 3),
    "spine3": (4, 4, 3),
    "neck": (7, 8, 4),
    "head": (8, 12, 5),
    "collar": (2, 3, 3),
    "shoulder": (15, 14, 14),
    "elbow": (4, 18, 10),
    "wrist": (10, 8, 14),
}
"""Standard deviations in degrees of what is added to an archetype."""


def sample_body_poses(rng: np.random.Generator, count: int) -> np.ndarray:
    """`(count, 63)` float32 axis-angle of SMPL-X's `body_pose`, inside the joint limits."""
    return sample_poses(rng, count)[0]


def sample_poses(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Poses and the tilt of the whole person that belongs to each.

    An archetype (at times blended with another) is scaled, perturbed joint by joint, mirrored half of the time, and
    clipped to the joint limits.

    Returns:
        `(count, 63)` axis-angle and `(count, 3)` axis-angle of the tilt, float32.
    """
    angles, roots = _archetypes()
    first, second = rng.integers(len(angles), size=(2, count))
    blend = np.where(rng.random(count) < 0.35, rng.beta(2, 2, count), 0.0)[:, None, None]
    mixed = (1 - blend) * angles[first] + blend * angles[second]
    tilt = ((1 - blend) * roots[first][:, None] + blend * roots[second][:, None])[:, 0]
    mixed = mixed * rng.uniform(0.8, 1.12, (count, 1, 1)) + rng.normal(size=mixed.shape) * _spreads()
    mixed = mirrored(mixed, rng.random(count) < 0.5)
    low, high = limits()
    clipped = np.clip(mixed, low, high)
    tilt = tilt + rng.normal(size=tilt.shape) * np.array([5.0, 0.0, 3.0])
    pose = _to_axis_angle(clipped.reshape(-1, 3)).reshape(count, 63)
    return pose.astype(np.float32), _to_axis_angle(tilt).astype(np.float32)


def sample_betas(rng: np.random.Generator, count: int) -> np.ndarray:
    """`(count, 10)` float32 shape components of adults, in standard deviations, within 3."""
    return np.clip(rng.normal(size=(count, 10)), -_BETA_LIMIT, _BETA_LIMIT).astype(np.float32)


def sample_hands(rng: np.random.Generator, count: int, components: np.ndarray, spread: float = 0.45) -> np.ndarray:
    """`(count, 45)` float32 offsets from the mean hand along the first six `(45, 45)` components, radians."""
    return (rng.normal(size=(count, 6)) * spread * np.array([1, 0.5, 0.4, 0.3, 0.2, 0.2]) @ components[:6]).astype(
        np.float32
    )


def mirrored(angles: np.ndarray, which: np.ndarray) -> np.ndarray:
    """`(N, 21, 3)` authored angles with the rows `which` seen in a mirror: sides swapped, y and z negated."""
    other = [BODY_JOINTS.index(_other_side(name)) for name in BODY_JOINTS]
    flipped = angles[:, other] * np.array([1.0, -1.0, -1.0])
    return np.where(which[:, None, None], flipped, angles)


def limits() -> tuple[np.ndarray, np.ndarray]:
    """`(21, 3)` least and greatest authored angle of every body joint, degrees."""
    low, high = np.zeros((21, 3)), np.zeros((21, 3))
    for row, name in enumerate(BODY_JOINTS):
        bounds = np.array(_LIMITS[_kind(name)], float)
        if name.startswith("right_"):
            bounds = np.stack([bounds[0], -bounds[1][::-1], -bounds[2][::-1]])
        low[row], high[row] = bounds[:, 0], bounds[:, 1]
    return low, high


def archetype_names() -> tuple[str, ...]:
    """Names of the authored poses."""
    return tuple(_read())


@cache
def _archetypes() -> tuple[np.ndarray, np.ndarray]:
    poses = _read()
    angles, roots = np.zeros((len(poses), 21, 3)), np.zeros((len(poses), 3))
    for row, joints in enumerate(poses.values()):
        for name, values in joints.items():
            if name == "root":
                roots[row] = values
            else:
                angles[row, BODY_JOINTS.index(name)] = values
    return angles, roots


@cache
def _read() -> dict[str, dict[str, list[float]]]:
    return tomllib.loads(resources.path("poses/archetypes.toml").read_text())


def _spreads() -> np.ndarray:
    return np.array([_SPREAD[_kind(name)] for name in BODY_JOINTS])


def _kind(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def _other_side(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    return "left_" + name.removeprefix("right_") if name.startswith("right_") else name


def _to_axis_angle(degrees: np.ndarray) -> np.ndarray:
    return Rotation.from_euler("zxy", degrees[:, [2, 0, 1]], degrees=True).as_rotvec()
