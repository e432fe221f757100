"""Files that are there whole or not at all: written aside, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from annotator.errors import storage

_HALVES = ".*.half"
ignore_halves = shutil.ignore_patterns(_HALVES)
"""For `shutil.copytree`."""


@contextmanager
def whole_file(path: Path, *, parents: bool = True) -> Generator[BinaryIO, None, None]:
    """What is written becomes the file `path` when the block ends well; when it does not, what lay there stays.

    Args:
        parents: whether folders that are missing are made.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    aside = path.with_name(f".{path.name}.{own_word()}.half")
    with storage(path):
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                yield file
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def own_word() -> str:
    """A word that no other process has, on whichever machine of those that share a disk."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def remove_halves(folder: Path) -> None:
    """Removes what processes that were killed while they wrote have left below `folder`; nobody may write there now."""
    for half in folder.rglob(_HALVES):
        half.unlink(missing_ok=True)
