"""A lock that processes of one machine wait for."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Self

from annotator.errors import StorageError, storage


class FileLock:
    """An exclusive lock on a file, waited for: whoever changes the same things takes turns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        with storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._path.open("wb")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        except OSError as error:
            self._handle.close()
            raise StorageError(
                f"{self._path} cannot be locked ({error.strerror}); use a disk that has locks."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()
