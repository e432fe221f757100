"""How long work tells of itself: a generator that yields `Progress` and may be stopped between two of them.

The command line and the desk drive the same generators. To stop one politely, `Stopped` is thrown into it at
its last `yield`; it saves what it has and lets the exception pass.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

_NO_VALUES: Mapping[str, float] = {}


@dataclass(frozen=True)
class Progress:
    """One report of long work.

    Attributes:
        stage: what is being done, in the words of the screen ("Training the target network").
        done: how many of `total` are done in this stage.
        total: 0 where the number is not known beforehand.
        unit: what is counted, plural ("steps", "people", "photos").
        message: a sentence worth keeping in the log; empty for a bare count.
        values: numbers worth a curve, by name ("loss").
    """

    stage: str
    done: int = 0
    total: int = 0
    unit: str = ""
    message: str = ""
    values: Mapping[str, float] = field(default_factory=lambda: _NO_VALUES)


Work = Generator[Progress, None, None]
"""What every command returns."""


class Stopped(Exception):  # noqa: N818  (it is a request, not an error)
    """Thrown into a generator of `Progress` when a person asked it to stop: save, then let it pass."""
