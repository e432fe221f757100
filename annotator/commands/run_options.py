"""What the command line says to `run`."""

from __future__ import annotations

from dataclasses import dataclass

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RunOptions:
    """What the command line says; None where it says nothing, so that a resumed run can tell what contradicts it.

    Attributes:
        annotator: default neuralannot. recipe: default paper. round: default 1.
        data: data sets to use; empty = all of the project.
        samples: keys with commas, or a file with one a line; empty = all samples of those data sets.
        source: the run that `--from` names.
        resume: id of the run to go on with; "" = none, "newest" = the newest that is not finished.
    """

    annotator: str | None = None
    data: tuple[str, ...] = ()
    samples: str = ""
    parts: tuple[str, ...] = ()
    recipe: str | None = None
    round: int | None = None
    source: str = ""
    resume: str = ""
    device: str = "auto"
