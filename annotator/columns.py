"""Arrow columns of numbers as numpy arrays, and tables written in shards that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from annotator.errors import ProjectError
from annotator.wholefile import whole_file

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def number_list(length: int) -> pa.DataType:
    """The type of a column that holds `length` float32 numbers a row."""
    return pa.list_(pa.float32(), length)


def to_column(values: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """`(N, ...)` numbers -> a fixed-size-list column; rows where `present` is False become null."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(len(values), -1)
    mask = None if present is None else pa.array(~present)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1], mask=mask)


def to_numpy(column: pa.ChunkedArray, shape: tuple[int, ...]) -> FloatArray:
    """A fixed-size-list column -> `(N, *shape)` float32; without a copy when it is one chunk. Null rows are zeros."""
    width = int(np.prod(shape))
    parts: list[np.ndarray] = []
    for chunk in column.chunks:
        if chunk.null_count == len(chunk):  # Arrow keeps no numbers for these
            parts.append(np.zeros((len(chunk), *shape), np.float32))
            continue
        values = chunk.values.slice(chunk.offset * width, len(chunk) * width).to_numpy(zero_copy_only=True)
        rows = values.reshape(len(chunk), *shape)
        if chunk.null_count:
            rows = np.where(np.asarray(chunk.is_valid()).reshape(-1, *([1] * len(shape))), rows, np.float32(0))
        parts.append(rows)
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros((0, *shape), np.float32)


def rows_of(keys: pa.ChunkedArray, of: pa.ChunkedArray) -> IntArray:
    """`(N,)` where in `of` each of `keys` stands; -1 where it does not."""
    if keys.equals(of):  # the common case: in the same order
        return np.arange(len(keys))
    found: Any = pc.call_function("index_in", [keys], options=pc.SetLookupOptions(of))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def write_shard(path: Path, table: pa.Table) -> None:
    """Writes `table` aside and renames it to `path`, so that a reader never meets half a shard."""
    with whole_file(path) as file, ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_shards(paths: Sequence[Path]) -> pa.Table:
    """The rows of all shards, memory-mapped, in the order given.

    Raises:
        ProjectError: a shard is cut short or not ours.
    """
    tables: list[pa.Table] = []
    for path in paths:
        try:
            table = ipc.open_file(pa.memory_map(str(path))).read_all()
            table.validate(full=True)  # a text that ends elsewhere than it says would crash whoever reads it
            tables.append(table)
        except (pa.ArrowInvalid, OSError) as error:
            raise ProjectError(
                f"{path} is not a whole table; remove it and run the command that makes it again."
            ) from error
    return pa.concat_tables(tables)
