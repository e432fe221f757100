"""Where compiled code comes from: numba where it is there, plain Python where it is not or `NUMBA_DISABLE_JIT=1` says so.

Kernels are written so that both give the same fits; plain Python is hundreds of times slower. Only entries are kept on
disk, with everything that they call inside them; numba itself would notice a change in the entry's own file alone, so
an entry names the modules that it calls and is compiled anew when any of them changes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

try:
    import numba
except ImportError:  # pragma: no cover - the other arm of a machine without numba
    numba = None

_Function = TypeVar("_Function", bound=Callable[..., Any])

AVAILABLE = numba is not None and not numba.config.DISABLE_JIT  # pyright: ignore[reportAttributeAccessIssue]
"""Whether kernels are compiled."""
_FLAGS = {"contract", "reassoc", "nsz", "arcp"}
"""Arithmetic may be regrouped and fused; numbers that are no numbers stay so."""


def compiled(function: _Function) -> _Function:
    """A function that kernels call."""
    if not AVAILABLE:
        return function
    return numba.njit(fastmath=_FLAGS, error_model="numpy")(function)  # pyright: ignore[reportOptionalMemberAccess]


def part(function: _Function) -> _Function:
    """A function that one kernel calls at one place: it is compiled as part of that, which halves the compiler's time."""
    if not AVAILABLE:
        return function
    return numba.njit(fastmath=_FLAGS, error_model="numpy", inline="always")(function)  # pyright: ignore[reportOptionalMemberAccess]


def entry(*modules: ModuleType) -> Callable[[_Function], _Function]:
    """A function that Python calls, without the interpreter's lock; kept on disk until one of `modules` changes."""

    def wrap(function: _Function) -> _Function:
        if not AVAILABLE:
            return function
        made: Any = numba.njit(fastmath=_FLAGS, error_model="numpy", nogil=True, cache=True)(function)  # pyright: ignore[reportOptionalMemberAccess]
        text = "".join(inspect.getsource(module) for module in modules)
        kept = made._cache._cache_file  # noqa: SLF001 - numba has no public way to say what code depends on
        kept._source_stamp = (kept._source_stamp, hashlib.sha256(text.encode()).hexdigest())  # noqa: SLF001
        return made

    return wrap
