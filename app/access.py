"""Whether this window may write to the project that is open, and if not, why."""

from __future__ import annotations

import errno
import os

from annotator.errors import StorageError
from annotator.project import Project

_REASONS = {
    errno.EROFS: "its disk is read-only; mount it for writing",
    errno.EACCES: "you may not write in its folder; ask for the right to",
    errno.EPERM: "you may not write in its folder; ask for the right to",
    errno.ENOSPC: "its disk is full; make room",
    errno.EDQUOT: "its disk quota is used up; make room",
    errno.ENOLCK: "its disk keeps no locks",
}


class Access:
    """Holds the project's lock while it can have it; a project that may only be read is read.

    Attributes:
        why_not: why nothing may be written, as a clause; empty if this window may write.
    """

    def __init__(self, project: Project) -> None:
        self._lock = project.desk_lock()
        self._held = False
        try:
            holder = self._lock.__enter__()
        except (StorageError, OSError) as error:
            self.why_not = f"{_reason(error)} ({project.path})"
            return
        self._held = True
        self.why_not = f"{holder} has this project open; close it there" if holder else _forbidden(project)

    def close(self) -> None:
        """Lets go of the lock."""
        if self._held:
            self._held = False
            self._lock.__exit__(None, None, None)


def _forbidden(project: Project) -> str:
    """What the disk forbids although the lock could be had: the folder, or the review log in it."""
    if not os.access(project.path, os.W_OK):
        return f"you may not write in its folder ({project.path})"
    log = project.reviews_path
    return f"you may not write {log}" if log.exists() and not os.access(log, os.W_OK) else ""


def _reason(error: Exception) -> str:
    cause = error if isinstance(error, OSError) else error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return _REASONS.get(number or 0, f"its folder cannot be written ({os.strerror(number) if number else error})")
