"""A body's pose between the numbers that a fit varies and the rotations of its joints: arrays for `kernels_pose.py`."""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import nn

from annotator.fitting.kernels_pose import Encoder
from annotator.prior import VPoser, VPoserV2

SLOPES = {VPoser: 0.2, VPoserV2: 0.01}
"""Of negative numbers behind the layers."""

_Layer = tuple[np.ndarray, np.ndarray]


def encoder_of(prior: VPoser | VPoserV2, dtype: type) -> Encoder:
    """What `encode_poses` takes. Version 2 has no rectifier behind its second layer, and a layer more, which joins the last."""
    slope = SLOPES[type(prior)]
    if isinstance(prior, VPoser):
        first = _after(_norm(prior.bodyprior_enc_bn1), linear(prior.bodyprior_enc_fc1))
        second = _after(_norm(prior.bodyprior_enc_bn2), linear(prior.bodyprior_enc_fc2))
        third, slopes = linear(prior.bodyprior_enc_mu), (slope, slope)
    else:
        net = prior.encoder_net
        first = _after(_norm(net[1]), linear(net[2]))
        second = _after(_norm(net[4]), linear(net[6]))
        third, slopes = _after(linear(net[7]), linear(net[8].mu)), (slope, 1.0)
    layers = [array for weight, bias in (first, second, third) for array in (weight.T, bias)]
    return Encoder(*(np.ascontiguousarray(array, dtype) for array in (*layers, np.array(slopes))))


def rotations_of(outputs: np.ndarray) -> np.ndarray:
    """`(..., 126)` outputs of VPoser's decoder -> `(..., 21, 3, 3)`: interleaved columns, made a frame by Gram-Schmidt."""
    six = outputs.astype(np.float64).reshape(*outputs.shape[:-1], 21, 3, 2)
    x = six[..., 0] / np.linalg.norm(six[..., 0], axis=-1, keepdims=True)
    y = six[..., 1] - (x * six[..., 1]).sum(-1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def axis_angles_of(rotations: np.ndarray) -> np.ndarray:
    """`(..., B, 3, 3)` -> `(..., 3 B)`; zeros for what is no rotation."""
    from scipy.spatial.transform import Rotation

    sound = np.isfinite(rotations).all(axis=(-2, -1), keepdims=True)
    flat = np.where(sound, rotations, np.eye(3)).reshape(-1, 3, 3)
    return Rotation.from_matrix(flat).as_rotvec().reshape(*rotations.shape[:-3], -1)


def linear(layer: object) -> _Layer:
    """Weight and bias of a layer, float64."""
    layer = cast("nn.Linear", layer)
    return np.asarray(layer.weight.detach(), np.float64), np.asarray(layer.bias.detach(), np.float64)


def _norm(layer: object) -> _Layer:
    """A batch norm that learns no more, as a layer."""
    layer = cast("nn.BatchNorm1d", layer)
    mean, variance = (np.asarray(array, np.float64) for array in (layer.running_mean, layer.running_var))
    weight, bias = linear(layer)
    scale = weight / np.sqrt(variance + layer.eps)
    return np.diag(scale), bias - mean * scale


def _after(first: _Layer, second: _Layer) -> _Layer:
    """One layer that does what two do, one after the other."""
    return second[0] @ first[0], second[0] @ first[1] + second[1]
