"""Pickles of plain arrays, read without executing anything.

A pickle is a small program that may call whatever can be imported. Here the few names by which numpy and scipy store
arrays stand for inert collectors of ours, arrays are made from the bytes collected, and every other name is refused.
chumpy's arrays, which old official files hold, are read the same way, without chumpy.
Not even numpy's own reconstruction runs: given a forged state, that can write outside its memory.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from scipy import sparse

from annotator.bodies.machine import Collector, Machine
from annotator.bodies.stored import MOST_BYTES, UNREADABLE, in_a_line
from annotator.errors import BodyModelError
from annotator.outside import short

_PLAIN_KINDS = "biufcSU"
_BIG_BYTES = 1 << 20
"""Arrays from this size on are not copied more often than need be; those read are views that nobody can change."""
_MOST_ENTRIES = 20_000_000
"""How many numbers and letters a list may unfold to: one that holds itself shared many times over would fill any memory."""
_MOST_DENSE = 1 << 26
"""Numbers that a sparse matrix may have with its zeros; those of body models have at most a quarter."""
_DAMAGED = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(ImportError, MemoryError, OverflowError, RecursionError, SyntaxError),
)


def read_pickle(path: Path) -> Any:
    """The dicts, lists, texts, numbers and arrays of a pickle. Arrays of objects come as flat lists of what is in them.

    Raises:
        BodyModelError: the file is missing or damaged, or names anything but numpy and scipy arrays.
    """
    return _unpickled(_bytes_of(path), path)


def read_object_npy(path: Path) -> Any:
    """The one object of a 0-d object array in an npy file, which `np.save` stores as a pickle.

    Raises:
        BodyModelError: as `read_pickle`.
    """
    stream = io.BytesIO(_bytes_of(path))
    try:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(stream)
    except UNREADABLE as error:
        raise BodyModelError(f"{path} is not an npy file ({in_a_line(error)}); fetch it again.") from error
    if shape != () or dtype != np.dtype(object):
        raise BodyModelError(f"{path} does not hold one object but {dtype} of shape {shape}; fetch it again.")
    return _unpickled(stream.read(), path)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BodyModelError(f"There is no body model {path}; put the file there or give another folder.") from error
    except OSError as error:
        raise BodyModelError(f"{path} cannot be read ({error}).") from error


def _unpickled(data: bytes, path: Path) -> Any:
    try:
        return _Unfolding().of(_Reader(data, path).load())
    except _DAMAGED as error:
        raise BodyModelError(f"{path} cannot be read as plain arrays ({in_a_line(error)}); fetch it again.") from error


class _Inert:
    """What stands for a class or function in a pickle: it can be called as that would be, and cannot be changed."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("a pickle may not change what it names")


class _Dtype(Collector):
    """A dtype as numpy pickles it: its code, then its byte order."""

    def __init__(self, code: str, *_: Any) -> None:
        self._code, self._order = _text(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = _text(state[1])

    def made(self) -> np.dtype:
        dtype = np.dtype(self._code)
        if dtype.kind in _PLAIN_KINDS:
            return dtype.newbyteorder(">") if self._order == ">" else dtype
        if dtype == np.dtype(object):
            return dtype
        raise ValueError(f"arrays of {dtype} are not plain")


class _Array(Collector):
    """An array as numpy pickles it: an empty one that is then given its shape, dtype and bytes."""

    def __init__(self, *_: Any) -> None:
        self._stored: tuple[Any, _Dtype, Any, str] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        self._stored = data, dtype, shape, "F" if fortran else "C"

    @classmethod
    def of(cls, data: Any, dtype: _Dtype, shape: Any, order: str) -> _Array:
        """One that is whole from the start."""
        array = cls()
        array._stored = data, dtype, shape, order
        return array

    def made(self, unfolding: _Unfolding) -> Any:
        if self._stored is None:
            return None
        data, dtype, shape, order = self._stored
        kind = dtype.made()
        if kind == np.dtype(object):
            return unfolding.of(_objects(data, shape))
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise TypeError("an array whose contents are no bytes")
        unfolding.spend(len(data))
        return _array(data, kind, shape, order)


class _Sparse(Collector):
    """A scipy sparse matrix by columns; scipy's own class would trust indices that point outside."""

    kind = sparse.csc_matrix

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._state = {_text(key): value for key, value in state.items()}

    def made(self, unfolding: _Unfolding) -> Any:
        parts = [unfolding.numbers(self._state[key]) for key in ("data", "indices", "indptr")]
        shape = self._state.get("_shape", self._state.get("shape"))
        matrix = self.kind(tuple(parts), shape=shape)
        rows, columns = matrix.get_shape()
        if rows * columns > _MOST_DENSE:
            raise ValueError(f"a matrix of {rows:,} x {columns:,}")
        unfolding.spend(rows * columns * matrix.dtype.itemsize)  # with its zeros, as it will be read
        matrix.check_format(full_check=True)
        return matrix


class _SparseRows(_Sparse):
    """A scipy sparse matrix by rows."""

    kind = sparse.csr_matrix


class _Chumpy(Collector):
    """An array of the chumpy package, which old official files hold and which today's Python cannot import."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._state = {_text(key): value for key, value in state.items()}

    def made(self, unfolding: _Unfolding) -> np.ndarray:
        return unfolding.numbers(self._state["x"])


class _ChumpySelect(_Chumpy):
    """Some entries of another array, in another shape."""

    def made(self, unfolding: _Unfolding) -> np.ndarray:
        values, places = (unfolding.numbers(self._state[key]) for key in ("a", "idxs"))
        unfolding.spend(values.itemsize * places.size)
        return values.ravel()[places].reshape(unfolding.of(self._state["preferred_shape"]))


def _reconstructed(kind: Any, *_: Any) -> Any:
    """How the oldest pickles make an object of a class before they give it its state."""
    if kind not in (_Sparse, _SparseRows, _Chumpy, _ChumpySelect):
        raise TypeError("it makes an object of a class that holds no data")
    return kind()


def _objects(data: Any, shape: Any) -> Any:
    """What is in an array of objects: a flat list, or the one that there is."""
    if not isinstance(data, list) or math.prod(shape) != len(data):
        raise ValueError("an array of objects that does not hold as many as it says")
    return data if shape else data[0]


def _array(data: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    raw = data.encode("latin1") if isinstance(data, str) else bytes(data)
    values = np.frombuffer(raw, dtype).reshape(shape, order=order)
    found = values.astype(dtype.newbyteorder("="), order="C", copy=values.nbytes < _BIG_BYTES)
    found.flags.writeable = values.nbytes < _BIG_BYTES
    return found


def _encoded(text: Any, encoding: str) -> Any:
    """Bytes stored as letters stay letters, which arrays take: one text could be asked for a thousand times."""
    if encoding != "latin1" or not isinstance(text, str):
        raise ValueError(f"bytes stored as {encoding}")
    return text


def _listed(items: Any = ()) -> list[Any]:
    """What stands for a set: nothing of it is hashed. Every array of chumpy carries one, which nobody needs."""
    if not isinstance(items, list | tuple):
        raise TypeError("a set of what is no list")
    return list(items)


def _named(items: Any = ()) -> dict[Any, Any]:
    """What stands for an ordered dict; items come with it or after it."""
    return {_text(key): value for key, value in _listed(items)}


_BUILTINS = ("__builtin__", "builtins")
_DTYPE = _Inert(_Dtype)
_ARRAY = _Inert(_Array)
_SCALAR = _Inert(lambda dtype, data: _Array.of(data, dtype, (), "C"))
_BUFFER = _Inert(_Array.of)
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _Inert(_encoded),
    **{(builtins, "bytes"): _Inert(lambda: b"") for builtins in _BUILTINS},  # of empty arrays
    **{(builtins, kind): _Inert(_listed) for builtins in _BUILTINS for kind in ("set", "frozenset")},
    ("collections", "OrderedDict"): _Inert(_named),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _ARRAY for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _SCALAR for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _BUFFER for core in ("core", "_core")},
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy.reordering", "Select"): _ChumpySelect,
    **{(registry, "_reconstructor"): _Inert(_reconstructed) for registry in ("copy_reg", "copyreg")},
    **{(builtins, "object"): _Inert(lambda: None) for builtins in _BUILTINS},
    **{(f"scipy.sparse{module}", "csc_matrix"): _Sparse for module in ("", ".csc", "._csc")},
    **{(f"scipy.sparse{module}", "csr_matrix"): _SparseRows for module in ("", ".csr", "._csr")},
}


class _Reader(Machine):
    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(data)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise BodyModelError(
                f"{self._path} asks for {short(f'{module}.{name}')}, which is not plain data, so it was not read; give a file "
                "that holds arrays only."
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise BodyModelError(f"{self._path} refers to data outside itself, so it was not read; fetch it again.")


class _Unfolding:
    """Replaces collectors by what they collected; what is stored once and shared is made once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._entries: dict[int, int] = {}
        self._texts: set[int] = set()
        self._left = MOST_BYTES

    def spend(self, count: int) -> None:
        """So many bytes more of arrays are about to be made."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"more than {MOST_BYTES >> 30} GiB of arrays")

    def numbers(self, value: Any) -> np.ndarray:
        """The array of what is an array, a sparse one, or a list of numbers or lists of them."""
        found = self.of(value)
        if isinstance(found, list):
            if id(found) in self._texts:
                raise TypeError("an array of texts where numbers belong")
            self.spend(8 * self._entries[id(found)])
        return np.asarray(found)

    def of(self, value: Any) -> Any:
        """Plain data, of which nothing unfolds without end."""
        if not isinstance(
            value, bytes | dict | list | tuple | set | frozenset | _Array | _Sparse | _Chumpy | _Inert | _Dtype | type
        ):
            return value
        if id(value) in self._made:
            if self._made[id(value)] is self:
                raise ValueError("it contains itself")
            return self._made[id(value)]
        self._made[id(value)] = self
        self._made[id(value)] = made = self._plain(value)
        return made

    def _plain(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.decode("latin1")
        if isinstance(value, _Array | _Sparse | _Chumpy):
            return value.made(self)
        if isinstance(value, dict):
            return {_key(key): self.of(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            items = [self.of(item) for item in value]
            self._entries[id(items)] = 1 + sum(self._size(item) for item in items)
            if any(isinstance(item, str) or id(item) in self._texts for item in items):
                self._texts.add(id(items))
            if self._entries[id(items)] > _MOST_ENTRIES:
                raise ValueError(f"a list of more than {_MOST_ENTRIES} entries")
            return items
        raise TypeError("it stores a class or function instead of data")

    def _size(self, item: Any) -> int:
        if isinstance(item, list):
            return self._entries[id(item)]
        return 1 + (item.size if isinstance(item, np.ndarray) else len(item) if isinstance(item, str | bytes) else 0)


def _key(key: Any) -> str:
    return _text(key)


def _text(value: Any) -> str:
    """A text of today, or a string of Python 2; numbers may be names too."""
    if not isinstance(value, str | bytes | int | float | None):
        raise TypeError("it has a name that is no text")
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
