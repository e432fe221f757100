"""The family of errors that a person can meet and mend. Each message is one sentence: what, where, what to do.

NeuralAnnotError
    ProjectError            the project folder: not there, newer than the program, damaged, held by another window
    DatasetError            an annotation file whose structure is wrong; nothing was imported
    ImageError              a photo that is missing or cannot be decoded
    BodyModelError          body-model files: missing, damaged, unsafe, of another family
    RecipeError             a recipe with an unknown field or a value out of range
    RunError                a run that cannot start, go on, or be found
    ReviewError             the review log or a list of verdicts
    StorageError            a full or read-only disk
    UnknownNameError        a name that is not in a registry: the message lists those that are

Everything else that is raised is a mistake of ours and deserves its traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path


class NeuralAnnotError(Exception):
    """A mistake or lack that a person can mend; `str(error)` is the sentence to show."""


class ProjectError(NeuralAnnotError):
    """The project folder is missing, damaged, newer than this program, or held by another window."""


class DatasetError(NeuralAnnotError):
    """An annotation file has the wrong structure; the import was refused as a whole."""


class ImageError(NeuralAnnotError):
    """A photo is missing or cannot be decoded."""


class BodyModelError(NeuralAnnotError):
    """Body-model files are missing, damaged, unsafe or of another family."""


class RecipeError(NeuralAnnotError):
    """A recipe has an unknown field, a wrong type or a value out of range."""


class RunError(NeuralAnnotError):
    """A run cannot start, go on or be found."""


class ReviewError(NeuralAnnotError):
    """The review log or a list of verdicts cannot be read."""


class StorageError(NeuralAnnotError):
    """The disk is full or may not be written."""


class UnknownNameError(NeuralAnnotError):
    """A name is not in a registry."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no {kind} called '{name}'; choose one of {', '.join(sorted(known))}.")


AGAIN = "run the same command again"
"""What the sentence of a `StorageError` ends with; a run says instead how it is resumed."""
_STORAGE_ERRNOS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing there is not allowed",
    errno.EPERM: "writing there is not allowed",
    errno.EFBIG: "the file would be larger than is allowed there",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "there is a folder of that name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "its folder is not there",
    errno.ELOOP: "its links go round in a circle",
}


@contextmanager
def storage(path: Path) -> Generator[None, None, None]:
    """Turns the operating system's refusal to write at `path` into a `StorageError` with one sentence."""
    try:
        yield
    except OSError as error:
        why = _STORAGE_ERRNOS.get(error.errno or _errno_in(error))
        if why is None:
            raise
        raise StorageError(
            f"Could not write {path}: {why}; make room or choose another place, then {AGAIN}."
        ) from error


def _errno_in(error: OSError) -> int:
    """The first number in the text of an error that has none of its own: `shutil.copytree` gathers errors as texts."""
    found = re.search(r"\[Errno (\d+)\]", str(error))
    return int(found[1]) if found else 0
