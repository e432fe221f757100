"""Small matrix products that stay in registers: `C += X Y`, the one operation that the solver's time goes into.

numba's own loops reach a third of the processor's arithmetic here and BLAS calls cost more than they compute, so a tile
of C is written directly in LLVM's vector instructions: as many rows and columns as registers hold, one pass over the
depth. No compiler but numba's is needed. Without numba the same products are numpy's.

Arrays are C-contiguous and addressed by the number of their first element, so a tile may lie anywhere in them; what it
is added to may lie elsewhere in C, which saves copies:

    C[c0 + i ldc + j] = C[d0 + i ldc + j] + sum over k of X[x0 + k xk + i xi] Y[y0 + k ldy + j]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from annotator.fitting.compiled import AVAILABLE, compiled

Tile = Callable[..., None]


def _plain_tile(rows: int, columns: int, sign: float) -> Tile:
    """The same in numpy."""

    def tile(
        c: np.ndarray,
        c0: int,
        d0: int,
        ldc: int,
        x: np.ndarray,
        x0: int,
        xk: int,
        xi: int,
        y: np.ndarray,
        y0: int,
        ldy: int,
        depth: int,
    ) -> None:
        if depth <= 0:
            return
        size = c.itemsize
        strided = np.lib.stride_tricks.as_strided
        into, base = (strided(c.reshape(-1)[at:], (rows, columns), (ldc * size, size)) for at in (c0, d0))
        left = strided(x.reshape(-1)[x0:], (depth, rows), (xk * size, xi * size))
        into[:] = base + sign * (left.T @ strided(y.reshape(-1)[y0:], (depth, columns), (ldy * size, size)))

    return tile


def _vector_tile(rows: int, columns: int, sign: float) -> Any:  # noqa: C901  (instructions, one after the other)
    """The tile as LLVM instructions; `columns` is a multiple of 8."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    word, lane = ir.IntType(64), ir.IntType(32)

    def fill(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (c, c0, d0, ldc, x, x0, xk, xi, y, y0, ldy, depth) = args
        element = signature.args[0].dtype
        scalar, size = context.get_value_type(element), element.bitwidth // 8
        lanes = 8 if size == 4 else 4
        vector, count = ir.VectorType(scalar, lanes), columns // lanes
        nothing = ir.Constant(vector, [0.0] * lanes)

        def pointer(kind: Any, array: Any) -> Any:
            return context.make_array(kind)(context, builder, array).data

        def number(value: int) -> Any:
            return ir.Constant(word, value)

        def vector_at(base: Any, offset: Any, step: int) -> Any:
            place = builder.gep(base, [builder.add(offset, number(step * lanes))])
            return builder.bitcast(place, vector.as_pointer())

        def spread(value: Any) -> Any:
            single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(lane, 0))
            zeros = ir.Constant(ir.VectorType(lane, lanes), [0] * lanes)
            return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

        into, left, right = (pointer(signature.args[i], a) for i, a in ((0, c), (4, x), (8, y)))
        before = builder.block
        loop, after = builder.append_basic_block("tile"), builder.append_basic_block("tiled")
        builder.cbranch(builder.icmp_signed(">", depth, number(0)), loop, after)
        builder.position_at_end(loop)
        step = builder.phi(word)
        step.add_incoming(number(0), before)
        sums = [[builder.phi(vector) for _ in range(count)] for _ in range(rows)]
        at_right = builder.add(y0, builder.mul(step, ldy))
        at_left = builder.add(x0, builder.mul(step, xk))
        values = [builder.load(vector_at(right, at_right, v), align=size) for v in range(count)]
        more: list[list[Any]] = []
        for row in range(rows):
            factor = spread(builder.load(builder.gep(left, [builder.add(at_left, builder.mul(xi, number(row)))])))
            products = [builder.fmul(factor, value, flags=("contract",)) for value in values]
            more.append([builder.fadd(p, s, flags=("contract",)) for p, s in zip(products, sums[row], strict=True)])
        following = builder.add(step, number(1))
        step.add_incoming(following, loop)
        for row in range(rows):
            for v in range(count):
                sums[row][v].add_incoming(nothing, before)
                sums[row][v].add_incoming(more[row][v], loop)
        done = builder.append_basic_block("stored")
        builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
        builder.position_at_end(done)
        for row in range(rows):
            below = builder.mul(ldc, number(row))
            for v in range(count):
                old = builder.load(vector_at(into, builder.add(d0, below), v), align=size)
                new = builder.fadd(old, more[row][v]) if sign > 0 else builder.fsub(old, more[row][v])
                builder.store(new, vector_at(into, builder.add(c0, below), v), align=size)
        builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    @intrinsic
    def tile(
        _context: Any, c: Any, _c0: Any, _d0: Any, _ldc: Any,
        x: Any, _x0: Any, _xk: Any, _xi: Any, y: Any, _y0: Any, _ldy: Any, _depth: Any,
    ) -> Any:  # fmt: skip
        n = types.int64
        return types.void(c, n, n, n, x, n, n, n, y, n, n, n), fill

    return tile


_make: Callable[[int, int, float], Any] = _vector_tile if AVAILABLE else _plain_tile
_tile_4x16, _tile_4x8 = _make(4, 16, 1.0), _make(4, 8, 1.0)
_less_4x16, _less_4x8 = _make(4, 16, -1.0), _make(4, 8, -1.0)
_row_64, _row_8 = _make(1, 64, 1.0), _make(1, 8, 1.0)
_tile_3x32, _tile_3x8 = _make(3, 32, 1.0), _make(3, 8, 1.0)
tile_3x24, tile_3x16 = _make(3, 24, 1.0), _make(3, 16, 1.0)
"""Three rows, of shape or of an articulation."""


@compiled
def zero(c: np.ndarray, c0: int, count: int) -> None:
    """Zeros from `c0` on."""
    for i in range(c0, c0 + count):
        c[i] = 0


@compiled
def copy(c: np.ndarray, c0: int, x: np.ndarray, x0: int, count: int) -> None:
    """Numbers from `x0` on to `c0`."""
    for i in range(count):
        c[c0 + i] = x[x0 + i]


@compiled
def add_product(
    c: np.ndarray, c0: int, ldc: int, x: np.ndarray, x0: int, xk: int, xi: int, y: np.ndarray, y0: int, ldy: int,
    rows: int, columns: int, depth: int,
) -> None:  # fmt: skip
    """C += X Y; `rows` counts in fours, `columns` in eights."""
    for i in range(0, rows, 4):
        j, to, left = 0, c0 + i * ldc, x0 + i * xi
        while j + 16 <= columns:
            _tile_4x16(c, to + j, to + j, ldc, x, left, xk, xi, y, y0 + j, ldy, depth)
            j += 16
        if j < columns:
            _tile_4x8(c, to + j, to + j, ldc, x, left, xk, xi, y, y0 + j, ldy, depth)


@compiled
def add_gram(
    c: np.ndarray, c0: int, ldc: int, x: np.ndarray, x0: int, ldx: int, start: int, columns: int, depth: int
) -> None:
    """The upper part of C += X' X for the columns from `start` (a multiple of 8) on; some of what is below may be touched."""
    for i in range(start, columns, 4):
        j, to = i // 8 * 8, c0 + i * ldc
        while j + 16 <= columns:
            _tile_4x16(c, to + j, to + j, ldc, x, x0 + i, ldx, 1, x, x0 + j, ldx, depth)
            j += 16
        if j < columns:
            _tile_4x8(c, to + j, to + j, ldc, x, x0 + i, ldx, 1, x, x0 + j, ldx, depth)


@compiled
def subtract_gram(c: np.ndarray, ldc: int, first: int, last: int, columns: int, panel: int) -> None:
    """C -= P' P for rows `first` to `last` and columns on to `columns`, with the eight rows of C from `panel` on as P."""
    for i in range(first, last, 4):
        j, to, left = i // 8 * 8, i * ldc, panel * ldc
        while j + 16 <= columns:
            _less_4x16(c, to + j, to + j, ldc, c, left + i, ldc, 1, c, left + j, ldc, 8)
            j += 16
        if j < columns:
            _less_4x8(c, to + j, to + j, ldc, c, left + i, ldc, 1, c, left + j, ldc, 8)


@compiled
def add_row(
    c: np.ndarray, c0: int, x: np.ndarray, x0: int, xk: int, y: np.ndarray, y0: int, ldy: int, columns: int, depth: int
) -> None:
    """One row of C += x Y; `columns` counts in eights."""
    j = 0
    while j + 64 <= columns:
        _row_64(c, c0 + j, c0 + j, 0, x, x0, xk, 0, y, y0 + j, ldy, depth)
        j += 64
    while j < columns:
        _row_8(c, c0 + j, c0 + j, 0, x, x0, xk, 0, y, y0 + j, ldy, depth)
        j += 8


@compiled
def three_rows(
    c: np.ndarray, c0: int, d0: int, ldc: int, x: np.ndarray, x0: int, xk: int, xi: int, y: np.ndarray, y0: int, ldy: int,
    columns: int, depth: int,
) -> None:  # fmt: skip
    """Three rows of C = D + X Y; `columns` counts in eights."""
    j = 0
    while j + 32 <= columns:
        _tile_3x32(c, c0 + j, d0 + j, ldc, x, x0, xk, xi, y, y0 + j, ldy, depth)
        j += 32
    while j < columns:
        _tile_3x8(c, c0 + j, d0 + j, ldc, x, x0, xk, xi, y, y0 + j, ldy, depth)
        j += 8
