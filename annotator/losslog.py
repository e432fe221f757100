"""The loss curves of one network: a JSON object a line, and TensorBoard's files where a recipe wants them.

A line has `step`, `learning_rate`, `train` (terms of the loss of that step, by name, and `loss`, their sum) and, where
people are held out, now and then `held_out` (the same terms on them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotator.errors import storage
from annotator.jobfolder import parsed_lines
from annotator.runs import write_text

Terms = Mapping[str, float]


class LossLog:
    """The curves of the network in `folder`.

    Args:
        writes: False for a process that lets another one write.

    Attributes:
        lack: what a person should know about TensorBoard; empty if there is nothing to say.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False, writes: bool = True) -> None:
        self._folder, self._path, self._writes = folder, folder / "losses.jsonl", writes
        self._writer, self.lack = _tensorboard(folder) if tensorboard and writes else (None, "")

    def begin(self, step: int) -> None:
        """Forgets what was written after `step`: a resumed training does those steps again."""
        if self._writes and self._path.exists():
            lines = parsed_lines(self._path.read_bytes())
            kept = [line for line in lines if isinstance(line.get("step"), int) and line["step"] <= step]
            write_text(self._path, "".join(_line(line) for line in kept))

    def add(self, step: int, learning_rate: float, train: Terms, held_out: Terms | None = None) -> None:
        """Writes one line at once."""
        if not self._writes:
            return
        line: dict[str, Any] = {"step": step, "learning_rate": learning_rate, "train": dict(train)}
        if held_out is not None:
            line["held_out"] = dict(held_out)
        with storage(self._path):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(line))
        if self._writer is not None:
            for kind in ("train", "held_out"):
                for name, value in line.get(kind, {}).items():
                    self._writer.add_scalar(f"{kind}/{name}", value, step)

    def end(self) -> None:
        """Closes what is open."""
        if self._writer is not None:
            self._writer.close()


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":")) + "\n"


def _tensorboard(folder: Path) -> tuple[Any, str]:
    """A writer of TensorBoard's files, or None and the sentence that says why there is none."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None, (
            "The recipe asks for TensorBoard, which is not installed (pip install tensorboard); "
            "the loss curves are in losses.jsonl beside the weights."
        )
    return SummaryWriter(str(folder / "tensorboard")), ""
