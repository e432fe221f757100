"""Keeps None, True and False alive under PySide6 6.12 on Python 3.11.

That release counts on constants being immortal, which they are from Python 3.12 on: under 3.11 every Qt call that returns
nothing takes a reference from None, and every signal one from True, until the interpreter aborts ("deallocating None")
after some hundred key presses. Giving them references that nobody can use up is what 3.12 does too.
"""

from __future__ import annotations

import ctypes
import sys

_ENDLESS = 1 << 40


def keep_constants() -> None:
    """Makes the constants as good as immortal; does nothing where they are already, or have been made so."""
    if sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return
    for constant in (None, True, False):
        count = ctypes.c_ssize_t.from_address(id(constant))
        if count.value < _ENDLESS:
            count.value += _ENDLESS
