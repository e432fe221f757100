"""Pickles of plain arrays, written so that every numpy reads them."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from annotator.bodies.stored import in_order
from annotator.wholefile import whole_file

_BIG_BYTES = 1 << 20
"""Arrays from this size on are left out while the rest is pickled, and put in after."""
_PIECE = 1 << 16
"""How many bytes are turned into text at a time."""


def write_pickle(path: Path, content: Mapping[str, Any]) -> None:
    """Writes arrays (numpy's, scipy's csc) by name as a protocol-2 pickle, whole or not at all.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    stream = io.BytesIO()
    pickler = _Writer(stream, protocol=2)
    pickler.dump(dict(content))
    data = stream.getvalue()
    # Today's private module names are unknown to older releases; these public ones load everywhere.
    for new, old in (
        (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"),
        (b"cscipy.sparse._csc\n", b"cscipy.sparse\n"),
    ):
        data = data.replace(new, old, 1)  # a name is written once, then referred to
    with whole_file(path) as file:
        for mark, values in pickler.left_out.items():
            before, data = data.split(_text_head(len(mark)) + mark, 1)
            file.write(before)
            _write_text(file, values)
        file.write(data)


class _Writer(pickle.Pickler):
    """Leaves the contents of big arrays out, of which it would hold four copies, and puts marks where they belong.

    Attributes:
        left_out: by mark, in the order of the marks.
    """

    def __init__(self, stream: io.BytesIO, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.left_out: dict[bytes, np.ndarray] = {}

    def reducer_override(self, value: Any, /) -> Any:
        """As numpy stores an array, but for the contents of a big one."""
        if type(value) is not np.ndarray or value.nbytes < _BIG_BYTES or value.dtype.hasobject:
            return NotImplemented
        mark = os.urandom(16).hex().encode()
        self.left_out[mark] = value
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        make, arguments, (version, *_) = np.empty(0).__reduce__()
        return make, arguments, (version, value.shape, value.dtype, fortran, mark)


def _text_head(size: int) -> bytes:
    """What stands before a text of so many bytes; protocol 2 has bytes as a text of as many letters."""
    return b"X" + struct.pack("<I", size)


def _write_text(file: BinaryIO, values: np.ndarray) -> None:
    """The contents of an array, a few at a time; letters beyond the first 128 take two bytes."""
    contents = in_order(values)
    file.write(_text_head(contents.size + int(np.count_nonzero(contents.view(np.int8) < 0))))
    pieces = (contents[start : start + _PIECE] for start in range(0, contents.size, _PIECE))
    file.writelines(str(piece.data, "latin1").encode() for piece in pieces)
