"""Rotations of single joints and their rates: how fast each turns, as an angular velocity in the frame of its parent.

Matrices are nine numbers of an array, by rows, from `start` on; rates are three rows of eight.
"""

from __future__ import annotations

import math

import numpy as np

from annotator.fitting.compiled import compiled

_SMALL = 1e-6
"""Squared angle below which series take the place of quotients; their next term is below float64's last digit."""


@compiled
def to_rotation(x: float, y: float, z: float, out: np.ndarray, start: int) -> None:
    """Axis-angle to a matrix."""
    squared = x * x + y * y + z * z
    if squared < _SMALL:
        a, b = 1.0 - squared / 6.0, 0.5 - squared / 24.0
    else:
        angle = math.sqrt(squared)
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / squared
    out[start] = 1.0 - b * (y * y + z * z)
    out[start + 1] = b * x * y - a * z
    out[start + 2] = b * x * z + a * y
    out[start + 3] = b * x * y + a * z
    out[start + 4] = 1.0 - b * (x * x + z * z)
    out[start + 5] = b * y * z - a * x
    out[start + 6] = b * x * z - a * y
    out[start + 7] = b * y * z + a * x
    out[start + 8] = 1.0 - b * (x * x + y * y)


@compiled
def left_jacobian(x: float, y: float, z: float, out: np.ndarray, start: int) -> None:
    """Angular velocity per change of an axis-angle; three of the eight columns are filled."""
    squared = x * x + y * y + z * z
    if squared < _SMALL:
        a, b = 0.5 - squared / 24.0, 1.0 / 6.0 - squared / 120.0
    else:
        angle = math.sqrt(squared)
        a, b = (1.0 - math.cos(angle)) / squared, (angle - math.sin(angle)) / (squared * angle)
    out[start] = 1.0 - b * (y * y + z * z)
    out[start + 1] = b * x * y - a * z
    out[start + 2] = b * x * z + a * y
    out[start + 8] = b * x * y + a * z
    out[start + 9] = 1.0 - b * (x * x + z * z)
    out[start + 10] = b * y * z - a * x
    out[start + 16] = b * x * z - a * y
    out[start + 17] = b * y * z + a * x
    out[start + 18] = 1.0 - b * (x * x + y * y)


@compiled
def axis_angle(r: np.ndarray, start: int) -> tuple[float, float, float]:
    """The axis-angle of a matrix, of at most half a turn, by way of the quaternion's largest number."""
    a, b, c = float(r[start]), float(r[start + 4]), float(r[start + 8])
    x = float(r[start + 7]) - float(r[start + 5])
    y = float(r[start + 2]) - float(r[start + 6])
    z = float(r[start + 3]) - float(r[start + 1])
    if a + b + c > 0.0:
        w = 1.0 + a + b + c
    else:
        xy, xz = float(r[start + 1]) + float(r[start + 3]), float(r[start + 2]) + float(r[start + 6])
        yz = float(r[start + 5]) + float(r[start + 7])
        if a >= b and a >= c:
            w, x, y, z = x, 1.0 + a - b - c, xy, xz
        elif b >= c:
            w, x, y, z = y, xy, 1.0 + b - a - c, yz
        else:
            w, x, y, z = z, xz, yz, 1.0 + c - a - b
    if w < 0.0:
        w, x, y, z = -w, -x, -y, -z
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 / w if sine < 1e-9 * w else 2.0 * math.atan2(sine, w) / sine
    return x * scale, y * scale, z * scale


@compiled
def inverse_left_jacobian_row(x: float, y: float, z: float, axis: int) -> tuple[float, float, float]:
    """Change of one number of an axis-angle per angular velocity."""
    squared = x * x + y * y + z * z
    if squared < _SMALL:
        b = 1.0 / 12.0 + squared / 720.0
    else:
        half = 0.5 * math.sqrt(squared)
        b = (1.0 - half * math.cos(half) / math.sin(half)) / squared
    if axis == 0:
        return 1.0 - b * (y * y + z * z), 0.5 * z + b * x * y, -0.5 * y + b * x * z
    if axis == 1:
        return -0.5 * z + b * x * y, 1.0 - b * (x * x + z * z), 0.5 * x + b * y * z
    return 0.5 * y + b * x * z, -0.5 * x + b * y * z, 1.0 - b * (x * x + y * y)


@compiled
def to_frame(six: np.ndarray, start: int, out: np.ndarray, to: int, rates: int) -> None:
    """Six numbers, columns interleaved as in VPoser, to a matrix at `out[to:]` by Gram-Schmidt.

    And at `out[rates:]` its angular velocity per change of the six: the first column b1 turns as b1 x da1 / |a1|, and
    about b1 the frame turns as the second column moves towards the third.
    """
    ax, ay, az = float(six[start]), float(six[start + 2]), float(six[start + 4])
    bx, by, bz = float(six[start + 1]), float(six[start + 3]), float(six[start + 5])
    long = 1.0 / max(math.sqrt(ax * ax + ay * ay + az * az), 1e-12)
    ax, ay, az = ax * long, ay * long, az * long
    along = ax * bx + ay * by + az * bz
    bx, by, bz = bx - along * ax, by - along * ay, bz - along * az
    across = 1.0 / max(math.sqrt(bx * bx + by * by + bz * bz), 1e-12)
    bx, by, bz = bx * across, by * across, bz * across
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    out[to], out[to + 1], out[to + 2] = ax, bx, cx
    out[to + 3], out[to + 4], out[to + 5] = ay, by, cy
    out[to + 6], out[to + 7], out[to + 8] = az, bz, cz
    turned = along * across * long
    out[rates], out[rates + 1] = -turned * ax * cx, across * ax * cx
    out[rates + 2], out[rates + 3] = -turned * ax * cy - az * long, across * ax * cy
    out[rates + 4], out[rates + 5] = -turned * ax * cz + ay * long, across * ax * cz
    out[rates + 8], out[rates + 9] = -turned * ay * cx + az * long, across * ay * cx
    out[rates + 10], out[rates + 11] = -turned * ay * cy, across * ay * cy
    out[rates + 12], out[rates + 13] = -turned * ay * cz - ax * long, across * ay * cz
    out[rates + 16], out[rates + 17] = -turned * az * cx - ay * long, across * az * cx
    out[rates + 18], out[rates + 19] = -turned * az * cy + ax * long, across * az * cy
    out[rates + 20], out[rates + 21] = -turned * az * cz, across * az * cz
