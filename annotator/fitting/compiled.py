"""Where compiled code comes from: numba where it is there, plain Python where it is not or `NUMBA_DISABLE_JIT=1` says so.

Kernels are written so that both give the same fits; plain Python is hundreds of times slower. Only entries are kept on
disk, with everything that they call inside them; numba itself would notice a change in the entry's own file alone, so
an entry names the modules that it calls and is compiled anew when any of them changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
from collections.abc import Callable, Generator
from types import ModuleType
from typing import Any, TypeVar, cast

try:
    import numba
except ImportError:  # pragma: no cover - the other arm of a machine without numba
    numba = None

_Function = TypeVar("_Function", bound=Callable[..., Any])

AVAILABLE = numba is not None and not numba.config.DISABLE_JIT  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
"""Whether kernels are compiled."""
_FLAGS = {"contract", "reassoc", "nsz", "arcp"}
"""Arithmetic may be regrouped and fused; numbers that are no numbers stay so."""


def compiled(function: _Function) -> _Function:
    """A function that kernels call."""
    if not AVAILABLE:
        return function
    assert numba is not None
    return cast("_Function", numba.njit(fastmath=_FLAGS, error_model="numpy")(function))


def part(function: _Function) -> _Function:
    """A function that one kernel calls at one place: it is compiled as part of that, which halves the compiler's time."""
    if not AVAILABLE:
        return function
    assert numba is not None
    return cast("_Function", numba.njit(fastmath=_FLAGS, error_model="numpy", inline="always")(function))


def entry(*modules: ModuleType) -> Callable[[_Function], _Function]:
    """A function that Python calls, without the interpreter's lock; kept on disk until one of `modules` changes."""

    def wrap(function: _Function) -> _Function:
        return cast("_Function", _Entry(function, modules)) if AVAILABLE else function

    return wrap


class _Entry:
    """Compiles a function, and everything that it calls, for the types that it is first called with."""

    def __init__(self, function: Callable[..., Any], modules: tuple[ModuleType, ...]) -> None:
        assert numba is not None
        self._made: Any = numba.njit(fastmath=_FLAGS, error_model="numpy", nogil=True, cache=True)(function)
        text = "".join(inspect.getsource(module) for module in (*modules, sys.modules[__name__]))
        kept = self._made._cache._cache_file  # noqa: SLF001 - numba has no public way to say what code depends on
        kept._source_stamp = (kept._source_stamp, hashlib.sha256(text.encode()).hexdigest())  # noqa: SLF001
        self._known: set[Any] = set()

    def __call__(self, *args: Any) -> Any:
        assert numba is not None
        kinds = tuple(numba.typeof(arg) for arg in args)
        if kinds not in self._known:
            with _plain_indices():
                self._made.compile(kinds)
            self._known.add(kinds)
        return self._made(*args)


@contextlib.contextmanager
def _plain_indices() -> Generator[None]:
    """While an entry is compiled, an index below zero does not count from the end: no kernel has one, and testing every
    index takes a third of their time. numba has no switch for it, so the function that writes the test is exchanged, under
    the lock that keeps everybody else from compiling.
    """
    from numba.core.compiler_lock import global_compiler_lock
    from numba.np import arrayobj

    with global_compiler_lock:
        name, before = "fix_integer_index", getattr(arrayobj, "fix_integer_index", None)
        if before is not None:
            setattr(arrayobj, name, _as_it_is)
        try:
            yield
        finally:
            if before is not None:
                setattr(arrayobj, name, before)


def _as_it_is(context: Any, builder: Any, kind: Any, index: Any, _size: Any) -> Any:
    """An index as a machine word."""
    word = numba.types.intp  # pyright: ignore[reportOptionalMemberAccess]
    return index if kind == word else context.cast(builder, index, kind, word)
