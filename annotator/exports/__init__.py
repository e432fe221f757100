"""Writers of files that the field's training code loads unchanged, one file per format."""

from __future__ import annotations

from annotator.errors import UnknownNameError
from annotator.exports.neuralannot import write_neuralannot
from annotator.exports.smplifyx import write_smplifyx
from annotator.exports.writing import Writer

WRITERS: dict[str, Writer] = {"neuralannot": write_neuralannot, "smplifyx": write_smplifyx}


def writer_of(name: str) -> Writer:
    """The writer of a format.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in WRITERS:
        raise UnknownNameError("export format", name, WRITERS)
    return WRITERS[name]


__all__ = ["WRITERS", "Writer", "writer_of"]
