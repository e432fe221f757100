"""Full meshes on the CPU without gradients: shape and pose blend shapes in blocks of vertices, each skinned while it is hot.

The product of a block runs through oneDNN, which is three times quicker than MKL where MKL does not know the processor. The
skinning loop visits only the weights that a vertex has, for some of the people in each thread.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from annotator.bodies.compiled import CompiledBody, Rows, array, loops

_BLOCK = 1024
"""Vertices of a block: for 256 people 3 MB, which a processor's last cache holds."""
_FEW = 1 << 16
"""Vertices below which more than one thread is not worth its start."""


@dataclass(frozen=True)
class Block:
    """Some vertices: `blend` `(3 U, S + 9 (J - 1))` and `template` `(3 U,)`, in oneDNN's layout where there is one."""

    start: int
    blend: Tensor
    template: Tensor
    skin: Rows

    def rest(self, inputs: Tensor, plain: Tensor) -> Tensor:
        """`(B, 3 U)` vertices before skinning, of inputs in oneDNN's layout and in the plain one."""
        if not self.blend.is_mkldnn:
            return functional.linear(plain, self.blend, self.template)
        product: Tensor = torch.ops.aten.mkldnn_linear(inputs, self.blend, self.template)
        return product.to_dense()


class QuickMesh:
    """A body model's arrays in the order that makes many full meshes quick."""

    def __init__(self, body: CompiledBody) -> None:
        self._body = body
        self._vertices = len(body.template) // 3
        through_onednn = torch.backends.mkldnn.is_available()
        self._blocks: list[Block] = []
        for start in range(0, self._vertices, _BLOCK):
            columns = slice(3 * start, 3 * min(start + _BLOCK, self._vertices))
            blend, template = body.blend[:, columns].T.contiguous(), body.template[columns].contiguous()
            if through_onednn:
                blend, template = blend.to_mkldnn(), template.to_mkldnn()
            self._blocks.append(Block(start, blend, template, _some_rows(body.skin, start, start + _BLOCK)))

    def posed(self, local: Tensor, shape: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `CompiledBody.posed` gives, without a record for gradients."""
        chained = self._body.joints(local, self._body.padded(shape))
        vertices = self._skinned(chained.inputs, array(chained.transforms))
        return chained.placed, chained.turned, self._body.points(chained.placed, vertices), vertices

    def _skinned(self, inputs: Tensor, transforms: np.ndarray) -> Tensor:
        posed = torch.empty(len(inputs), self._vertices, 3)
        packed = inputs.to_mkldnn() if self._blocks[0].blend.is_mkldnn else inputs
        for block in self._blocks:
            rest = block.rest(packed, inputs).numpy()
            _skin(rest.reshape(len(inputs), rest.shape[1] // 3, 3), transforms, block, posed.numpy())
        return posed


def _some_rows(rows: Rows, start: int, stop: int) -> Rows:
    starts = rows.starts[start : stop + 1]
    entries = slice(starts[0], starts[-1])
    return Rows(starts - starts[0], rows.columns[entries], rows.weights[entries])


def _skin(rest: np.ndarray, transforms: np.ndarray, block: Block, out: np.ndarray) -> None:
    def some(people: slice) -> None:
        loops().skin(rest[people], transforms[people], *block.skin, out[people], block.start)

    threads = torch.get_num_threads() if rest.shape[0] * rest.shape[1] >= _FEW else 1
    if threads == 1:
        some(slice(None))
        return
    share = -(-len(rest) // threads)
    list(_pool(threads, os.getpid()).map(some, [slice(k * share, (k + 1) * share) for k in range(threads)]))


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Threads of this process: one that was forked has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="skinning")
