"""Plain arrays by name in npz files: read without executing anything, written so that reading costs nothing.

Our own files are not compressed, and every array in them begins at a multiple of 64 bytes, so a big one is mapped
instead of read: a person is posed before most of a file has left the disk, and processes share one copy. Blend shapes
lie component by component (Fortran order), because who uses ten of 400 then touches only those ten.
"""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from scipy import sparse

from annotator.errors import BodyModelError
from annotator.wholefile import whole_file

_ROUND = 1e-6
_ROWS = 512
_MAPPED_BYTES = 1 << 20
_PICKLED_BYTES = 1 << 26
"""As much of a pickle is looked into; a few bytes can claim to unpack to more than any memory."""
MOST_BYTES = 1 << 31
"""Of a file's arrays in memory: eight times those of the largest body model. A small file can claim to unpack to any number."""
_ZIP = b"PK"
"""How an npz begins."""
_ALIGNMENT = 64
_PADDING_ID = 0xD935
_LOCAL_HEADER = 30
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


UNREADABLE = (
    *(ValueError, TypeError, OSError, EOFError, KeyError, IndexError, struct.error, zipfile.BadZipFile, zlib.error),
    *(MemoryError, OverflowError),  # a header that claims more than any memory holds
    *(SyntaxError, TokenError, RuntimeError),  # a header that is no text of numpy's; a password; an unknown compression
)
"""What reading a damaged or hostile npz or npy raises."""


def in_a_line(error: Exception) -> str:
    """What an error says, as part of a sentence."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def content_hash(arrays: Mapping[str, Any]) -> str:
    """sha256 over names, shapes and contents rounded to a micrometre; text entries do not count."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        values = arrays[key].toarray() if sparse.issparse(arrays[key]) else np.asarray(arrays[key])
        if values.dtype.kind in "US":
            continue
        digest.update(f"{key}{values.shape}".encode())
        for part in _parts(values):
            rounded = np.rint(part / _ROUND).astype(np.int64) if part.dtype.kind == "f" else part.astype(np.int64)
            digest.update(np.ascontiguousarray(rounded).data)
    return digest.hexdigest()[:16]


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """A few rows at a time, which stay in the processor's cache."""
    if values.ndim == 0:
        return [values]
    return [values[start : start + _ROWS] for start in range(0, len(values), _ROWS)]


def read_arrays(path: Path, *, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The plain arrays of an npz; nothing in it is executed. Arrays of objects, which some official files hold, are left out.

    Args:
        left_out: arrays that are not read.

    Raises:
        BodyModelError: there is no such file, or it is damaged.
    """
    try:
        with path.open("rb") as handle:
            if handle.read(len(_ZIP)) != _ZIP:
                raise TypeError("it is no npz")
            handle.seek(0)
            file = np.load(handle, allow_pickle=False)
            wanted = [key for key in _arrays_in(file.zip) if key not in left_out and not _of_objects(file, key)]
            if sum(file.zip.getinfo(f"{key}.npy").file_size for key in wanted) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES >> 30} GiB of arrays")
            mapped = _mapped(handle, file, wanted) if "hash" in wanted else {}
            return {key: mapped[key] if key in mapped else file[key] for key in wanted}
    except FileNotFoundError as error:
        raise BodyModelError(f"There is no body model {path}; put the file there or give another folder.") from error
    except UNREADABLE as error:
        raise BodyModelError(f"{path} cannot be read as plain arrays ({in_a_line(error)}); fetch it again.") from error


def names_in(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an npz, without reading them; none if it is no npz."""
    try:
        with zipfile.ZipFile(path) as file:
            return tuple(_arrays_in(file))
    except (OSError, ValueError, zipfile.BadZipFile):
        return ()


def objects_in(path: Path) -> tuple[str, ...]:
    """Names of an npz's arrays of objects, which other readers would unpickle."""
    with np.load(path, allow_pickle=False) as file:
        return tuple(key for key in _arrays_in(file.zip) if _of_objects(file, key))


def pickled_in(path: Path, key: str) -> bytes:
    """The pickle, not read, that an npz holds as its array of objects `key`."""
    with zipfile.ZipFile(path) as file, file.open(f"{key}.npy") as entry:
        _header(entry)
        return entry.read(_PICKLED_BYTES)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes an npz that can be mapped, whole or not at all; equal arrays give equal bytes.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    with whole_file(path) as handle, zipfile.ZipFile(handle, "w") as file:
        for key, values in arrays.items():
            _write(file, handle.tell(), f"{key}.npy", np.asarray(values))


def by_component(values: np.ndarray) -> np.ndarray:
    """The same blend shapes as float32 with each component in one piece."""
    return np.asfortranarray(values, dtype=np.float32)


def in_order(values: np.ndarray) -> np.ndarray:
    """The bytes of an array as numpy stores them: by columns if it lies so in memory, else by rows."""
    by_columns = values.flags.f_contiguous and not values.flags.c_contiguous
    return (values.T if by_columns else np.ascontiguousarray(values)).reshape(-1).view(np.uint8)


def _write(file: zipfile.ZipFile, offset: int, name: str, values: np.ndarray) -> None:
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    used = offset + _LOCAL_HEADER + len(name) + 4
    info.extra = struct.pack("<HH", _PADDING_ID, -used % _ALIGNMENT) + bytes(-used % _ALIGNMENT)
    head = io.BytesIO()
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(values))
    with file.open(info, "w") as entry:
        entry.write(head.getvalue())
        entry.write(in_order(values).data if values.size else b"")


def _arrays_in(archive: zipfile.ZipFile) -> list[str]:
    """Names of the arrays; other files, which a download may have beside them, are none."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _of_objects(file: Any, key: str) -> bool:
    with file.zip.open(f"{key}.npy") as entry:
        return _header(entry)[2].hasobject


def _header(entry: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(entry)
    return npy.read_array_header_1_0(entry) if version == (1, 0) else npy.read_array_header_2_0(entry)


def _mapped(handle: BinaryIO, file: Any, keys: list[str]) -> dict[str, np.ndarray]:
    """Big arrays as views of the file; not those that are compressed or badly placed."""
    view = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    mapped: dict[str, np.ndarray] = {}
    for key in keys:
        info = file.zip.getinfo(f"{key}.npy")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size < _MAPPED_BYTES:
            continue
        handle.seek(info.header_offset)
        names = struct.unpack("<HH", handle.read(_LOCAL_HEADER)[-4:])
        handle.seek(info.header_offset + _LOCAL_HEADER + sum(names))
        shape, fortran, dtype = _header(handle)
        if dtype.itemsize and handle.tell() % dtype.itemsize == 0:
            values = np.frombuffer(view, dtype, math.prod(shape), handle.tell())
            mapped[key] = values.reshape(shape, order="F" if fortran else "C")
    return mapped
