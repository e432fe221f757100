"""The evaluator on the CPU in float32: loops compiled by numba around two matrix products, with gradients written by hand.

`body_model.py` takes this way where it may and its plain way elsewhere; both give the same numbers. A gradient of a gradient is
asked of the plain way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

Plain = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


@cache
def kernels() -> ModuleType | None:
    """The compiled loops; None where numba is not installed."""
    try:
        from annotator.bodies import kernels as found
    except ImportError:
        return None
    return found


def usable(*inputs: Tensor | None) -> bool:
    """Whether tensors can be handed to the loops: float32 on the CPU, and nobody transforms the computation."""
    return (
        kernels() is not None
        and all(value is None or (value.dtype is torch.float32 and value.device.type == "cpu") for value in inputs)
        and not torch._C._are_functorch_transforms_active()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        and all(value is None or torch.autograd.forward_ad.unpack_dual(value).tangent is None for value in inputs)
    )


def loops() -> Any:
    """The compiled loops, where `usable` said that they are there."""
    return kernels()


def array(values: Tensor) -> np.ndarray:
    """The same memory, or a copy where it does not lie in one piece."""
    return values.detach().contiguous().numpy()


def matrices(values: Tensor) -> np.ndarray:
    """`(..., 3, 3)` as an array `(..., 9)`."""
    return array(values.flatten(-2))


@dataclass(frozen=True)
class Rows:
    """A sparse matrix by rows, as the loops take it."""

    starts: np.ndarray
    columns: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, matrix: Any) -> Rows:
        """From any dense or sparse matrix; every non-zero counts."""
        rows = sparse.csr_array(matrix, dtype=np.float32)
        return cls(rows.indptr.astype(np.int32), rows.indices.astype(np.int32), rows.data)

    def __iter__(self) -> Any:
        return iter((self.starts, self.columns, self.weights))


@dataclass(frozen=True)
class CompiledBody:
    """A body model's arrays in the order of the loops.

    Attributes:
        parents: `(J,)` int32. joint_template: `(3 J,)`. joint_shapes: `(S, 3 J)`.
        template: `(3 U,)`. blend: `(S + 9 (J - 1), 3 U)` components, then pose correctives.
        skin: of `(U, J)` skinning weights. of_joints, of_vertices: of points `(K, J)` and `(K, U)`.
        plain: `(B, J, 3, 3)` rotations and `(B, S)` shape -> what `posed` gives, by torch alone.
    """

    parents: np.ndarray
    joint_template: Tensor
    joint_shapes: Tensor
    template: Tensor
    blend: Tensor
    skin: Rows
    of_joints: Rows
    of_vertices: Rows
    plain: Plain

    def posed(self, local: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`(B, J, 3, 3)` local rotations and `(B, <= S)` shape -> joints, global rotations, points, vertices evaluated."""
        joints, turned, points, vertices = _Posed.apply(local, self.padded(shape), self)  # pyright: ignore[reportGeneralTypeIssues]
        return joints, turned, points, vertices

    def padded(self, shape: Tensor) -> Tensor:
        """`(B, <= S)` -> `(B, S)`: components that are not given are zeros."""
        lacking = len(self.joint_shapes) - shape.shape[1]
        return functional.pad(shape, (0, lacking)) if lacking else shape

    def joints(self, local: Tensor, shape: Tensor) -> Chained:
        """Everything of the joints alone, without a record for gradients."""
        people, joints, first = len(local), len(self.parents), shape.shape[1]
        rest = torch.addmm(self.joint_template, shape, self.joint_shapes).view(people, joints, 3)
        turned, placed = torch.empty_like(local, memory_format=torch.contiguous_format), torch.empty_like(rest)
        transforms, inputs = local.new_empty(people, joints, 12), local.new_empty(people, first + 9 * (joints - 1))
        inputs[:, :first] = shape
        made = (matrices(turned), *map(array, (placed, transforms, inputs)))
        loops().chain(matrices(local), array(rest), self.parents, *made, first)
        return Chained(rest, turned, placed, transforms, inputs)

    def points(self, placed: Tensor, vertices: Tensor) -> Tensor:
        """`(B, J, 3)` joints and `(B, U, 3)` vertices -> `(B, K, 3)` points."""
        points = placed.new_zeros(len(placed), len(self.of_joints.starts) - 1, 3)
        loops().gather(array(placed), *self.of_joints, array(points))
        loops().gather(array(vertices), *self.of_vertices, array(points))
        return points


@dataclass(frozen=True)
class Chained:
    """Joints at `rest` and `placed` `(B, J, 3)`, `turned` `(B, J, 3, 3)`, `transforms` `(B, J, 12)`, `inputs` of the blend."""

    rest: Tensor
    turned: Tensor
    placed: Tensor
    transforms: Tensor
    inputs: Tensor


def axis_angle_to_matrix(vectors: Tensor, plain: Callable[[Tensor], Tensor]) -> Tensor:
    """`(..., 3)` -> `(..., 3, 3)`; `plain` does the same by torch alone."""
    return _Turned.apply(vectors, plain)  # pyright: ignore[reportReturnType]


class _Turned(Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, plain: Callable[[Tensor], Tensor]) -> Tensor:
        made = vectors.new_empty(*vectors.shape, 3)
        loops().to_matrices(array(vectors).reshape(-1, 3), matrices(made).reshape(-1, 9))
        ctx.save_for_backward(vectors)
        ctx.plain = plain
        return made

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (vectors,), (grad,) = ctx.saved_tensors, grad_outputs
        if torch.is_grad_enabled():
            return *torch.autograd.grad(ctx.plain(vectors), vectors, grad, create_graph=True), None
        of_vectors = torch.empty_like(vectors, memory_format=torch.contiguous_format)
        given = (array(vectors).reshape(-1, 3), matrices(grad).reshape(-1, 9))
        loops().to_matrices_backward(*given, array(of_vectors).reshape(-1, 3))
        return of_vectors, None


class _Posed(Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, shape: Tensor, body: CompiledBody) -> tuple[Tensor, ...]:
        chained = body.joints(local, shape)
        rest = torch.addmm(body.template, chained.inputs, body.blend).view(len(local), len(body.template) // 3, 3)
        vertices = torch.empty_like(rest)
        loops().skin(array(rest), array(chained.transforms), *body.skin, array(vertices), 0)
        points = body.points(chained.placed, vertices)
        ctx.save_for_backward(local, shape, chained.rest, chained.turned, chained.transforms, rest)
        ctx.body = body
        ctx.set_materialize_grads(False)
        return chained.placed, chained.turned, points, vertices

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        local, shape, rest_joints, turned, transforms, rest = ctx.saved_tensors
        body: CompiledBody = ctx.body
        if torch.is_grad_enabled():
            return *_by_the_plain_way(body.plain, local, shape, grad_outputs), None
        of_points = grad_outputs[2]
        of_joints, of_turned, of_vertices = (
            torch.zeros_like(like) if grad is None else grad.clone(memory_format=torch.contiguous_format)
            for grad, like in zip((*grad_outputs[:2], grad_outputs[3]), (rest_joints, turned, rest), strict=True)
        )
        if of_points is not None:
            loops().gather_backward(array(of_points), *body.of_joints, array(of_joints))
            loops().gather_backward(array(of_points), *body.of_vertices, array(of_vertices))
        of_transforms, of_rest = torch.zeros_like(transforms), torch.empty_like(rest)
        made = (of_vertices, of_rest, of_transforms)
        loops().skin_backward(array(rest), array(transforms), *body.skin, *map(array, made))
        with torch.autocast("cpu", enabled=False):
            of_inputs = of_rest.flatten(1) @ body.blend.T
        of_local, of_rest_joints, first = torch.empty_like(turned), torch.empty_like(rest_joints), shape.shape[1]
        given = (matrices(local), array(rest_joints), body.parents, matrices(turned), matrices(of_turned))
        grads = (*map(array, (of_joints, of_transforms, of_inputs)), first)
        loops().chain_backward(*given, *grads, matrices(of_local), array(of_rest_joints))
        with torch.autocast("cpu", enabled=False):
            of_shape = torch.addmm(of_inputs[:, :first], of_rest_joints.flatten(1), body.joint_shapes.T)
        return of_local, of_shape, None


def _by_the_plain_way(plain: Plain, local: Tensor, shape: Tensor, grads: tuple[Any, ...]) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again."""
    asked = [values.requires_grad for values in (local, shape)]
    with torch.autocast(local.device.type, enabled=False):
        outputs = plain(local, shape)
        wanted = [(out, grad) for out, grad in zip(outputs, grads, strict=True) if grad is not None]
        inputs = [values for values, needs in zip((local, shape), asked, strict=True) if needs]
        found = iter(
            torch.autograd.grad(
                [out for out, _ in wanted], inputs, [grad for _, grad in wanted], create_graph=True, allow_unused=True
            )
        )
    return tuple(next(found) if needs else None for needs in asked)
