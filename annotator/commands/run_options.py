"""What the command line says to `run`."""

from __future__ import annotations

from dataclasses import dataclass

from annotator.errors import RunError, UnknownNameError

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


def check_device(device: str) -> None:
    """Whether a device is one that there is.

    Raises:
        UnknownNameError: nobody knows such a device.
        RunError: torch can use no GPU here.
    """
    kind = device.partition(":")[0]
    if kind not in DEVICES:
        raise UnknownNameError("device", device, DEVICES)
    if kind == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise RunError("torch finds no GPU that it can use; run with --device cpu, and see `doctor`.")
