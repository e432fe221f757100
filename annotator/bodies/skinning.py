"""Full meshes of many people on the CPU without gradients: blend shapes in blocks of vertices, each skinned while it is hot.

Shape, pose and template are one product whose rows are coordinates and whose columns are people, so that the skinning loop
works on people side by side and visits only the weights that a vertex has. The product runs through oneDNN, which is three
times quicker than MKL where MKL does not know the processor. Threads share blocks, not a product: none waits for another
before it skins, and none finds the workers of a product still spinning on its core.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.compiled import CompiledBody, Rows, array, loops

MANY = 24
"""People from which on this way is the quickest: fewer leave most lanes of a tile empty."""
_BLOCK = 1 << 17
"""Vertices of a block, counted for everybody: 1.5 MB, so that a processor's last cache holds those of several threads."""
_FEW = 1 << 14
"""Vertices, counted for everybody, below which one more thread is not worth its start."""
_LEAST = 4
"""Weights of a vertex that the loop takes at once."""


class QuickMesh:
    """A body model's arrays in the order that makes many full meshes quick."""

    def __init__(self, body: CompiledBody) -> None:
        self._body = body
        self._blend = torch.cat([body.blend, body.template[None]]).T.contiguous()
        self._skin = _padded(body.skin)

    def posed(self, local: Tensor, shape: Tensor, transl: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `CompiledBody.posed` gives, moved by `transl` `(B, 3)` metres, without a record for gradients."""
        chained = self._body.joints(local, self._body.padded(shape))
        moved = local.new_zeros(len(local), 3) if transl is None else transl
        joints = chained.placed + moved[:, None]
        tiles = np.zeros((-(-len(local) // loops().LANES), len(self._body.parents), 12 * loops().LANES), np.float32)
        loops().tile(array(chained.transforms), array(moved), tiles)
        vertices = self._skinned(torch.cat([chained.inputs, local.new_ones(len(local), 1)], dim=1), tiles)
        return joints, chained.turned, self._body.points(joints, vertices), vertices

    def _skinned(self, inputs: Tensor, tiles: np.ndarray) -> Tensor:
        """`(B, V, 3)` of inputs `(B, S + 9 (J - 1) + 1)`, the last of which is one and stands for the template."""
        count, people = len(self._skin.starts) - 1, len(inputs)
        posed, threads = inputs.new_empty(people, count, 3), torch.get_num_threads()
        if count * people < 2 * _FEW:
            threads = 1
        cuts = _cuts(count, people, threads)

        def some(start: int, end: int) -> None:
            rest = _product(self._blend[3 * start : 3 * end], inputs).numpy()
            starts = self._skin.starts[start : end + 1]
            loops().skin_tiles(rest, tiles, starts, self._skin.columns, self._skin.weights, posed.numpy(), start)

        run = map if threads == 1 else _pool(threads, os.getpid()).map
        for _ in run(some, cuts[:-1], cuts[1:]):
            pass
        return posed


def _cuts(count: int, people: int, threads: int) -> list[int]:
    """Where blocks of vertices begin, and where the last one ends: as many for one thread as for another."""
    least = min(threads, count * people // _FEW)
    blocks = max(-(-count * people // _BLOCK), least, 1)
    if blocks > threads:
        blocks = -(-blocks // threads) * threads
    return np.linspace(0, count, min(blocks, count) + 1).astype(int).tolist()


def _product(rows: Tensor, inputs: Tensor) -> Tensor:
    """`(n, K)` times the transpose of `(B, K)`."""
    if torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(rows, inputs, None, "none", [], "")  # noqa: SLF001
    return rows @ inputs.T


def _padded(rows: Rows) -> Rows:
    """The same weights, with zeros of joint 0 behind those of a vertex that has fewer than four."""
    counts = np.diff(rows.starts)
    starts = np.concatenate([[0], np.cumsum(np.maximum(counts, _LEAST))]).astype(np.int32)
    places = np.arange(len(rows.columns)) + np.repeat(starts[:-1] - rows.starts[:-1], counts)
    columns, weights = np.zeros(starts[-1], np.int32), np.zeros(starts[-1], np.float32)
    columns[places], weights[places] = rows.columns, rows.weights
    return Rows(starts, columns, weights)


@cache
def _pool(threads: int, _process: int) -> ThreadPoolExecutor:
    """Threads of this process, in each of which torch uses no others: one that was forked has none of its parent's."""
    started = Barrier(threads + 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="skinning", initializer=_alone)
    for _ in range(threads):
        pool.submit(started.wait)
    started.wait()
    torch.set_num_threads(threads)  # which each of them has set for threads that are yet to come, too
    return pool


def _alone() -> None:
    torch.get_num_threads()  # after which torch does not change this thread's number again
    torch.set_num_threads(1)
