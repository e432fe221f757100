"""The stack machine that a pickle runs on: Python's own, with what a forged pickle could abuse taken out.

It is the one written in Python, because its steps can be watched: the compiled one hashes whatever a dict or set is keyed
by (a tuple nested in itself takes for ever, one nested deep crashes) and makes room for the highest number by which a
pickle remembers something.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

_SHORT = 1 << 12
"""Lines up to this size are copied; of longer ones, contents of arrays, there is a view."""
_KEYS = str | bytes | int | float | None


class Collector:
    """What may be given a state by a pickle."""

    def __setstate__(self, state: Any) -> None:
        raise NotImplementedError


class Lines(io.BytesIO):
    """A pickle as a stream whose long lines are views: those of a text pickle, in which an array is one line."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._data, self._view = data, memoryview(data)

    def readline(self, size: int | None = -1, /) -> Any:
        """Up to the next line feed, and with it."""
        start = self.tell()
        end = self._data.find(b"\n", start) + 1 or len(self._data)
        self.seek(end)
        return self._data[start:end] if end - start < _SHORT else self._view[start:end]


class Machine(pickle._Unpickler):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    """Runs one pickle. Python 2's strings stay bytes: contents of arrays, which are not worth decoding.

    Whoever derives from it says in `find_class` and `persistent_load` what a pickle may ask for.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, data: bytes) -> None:
        super().__init__(Lines(data), encoding="bytes")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _fill(self.stack[-1], items)

    def _dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        _fill(self.stack[-1], items)

    def _add_items(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise TypeError("entries of what is no set")
        self.stack[-1].update(_named(items))

    def _frozen_set(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(_named(items)))

    def _byte_array(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    def _build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Collector):
            raise TypeError("a pickle may not change what it names")
        self.stack[-1].__setstate__(state)

    dispatch: ClassVar[dict[int, Any]] = pickle._Unpickler.dispatch | {  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dict,
        pickle.ADDITEMS[0]: _add_items,
        pickle.FROZENSET[0]: _frozen_set,
        pickle.BYTEARRAY8[0]: _byte_array,
        pickle.BUILD[0]: _build,
    }


def _fill(target: Any, items: list[Any]) -> None:
    """Keys and values in turn; a key of another kind than texts and numbers might never be hashed."""
    if not isinstance(target, dict):
        raise TypeError("entries of what is no dict")
    target.update(zip(_named(items[::2]), items[1::2], strict=True))


def _named(items: Iterable[Any]) -> list[Any]:
    found = list(items)
    if not all(isinstance(item, _KEYS) for item in found):
        raise TypeError("it has a name that is no text")
    return found
