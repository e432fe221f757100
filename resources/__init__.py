"""Files that ship with the program: the open body, recipes, poses, icons. `path(name)` finds one."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def path(name: str) -> Path:
    """Where the resource `name` (relative, with `/`) lies."""
    return _FOLDER / name
