"""A run's folder: one execution of an annotator, with its recipe, networks, fits, scores and traces."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from annotator.columns import read_shards, write_shard
from annotator.errors import ProjectError, RunError, storage
from annotator.fit import Fits
from annotator.jobfolder import JobFolder

RUNNING, STOPPED, FAILED, FINISHED, INTERRUPTED = "running", "stopped", "failed", "finished", "interrupted"


@dataclass(frozen=True)
class RunInfo:
    """What `run.json` holds.

    Attributes:
        source: the run that `--from` named; empty for none.
        datasets: names of the data sets it annotates or learns from.
        parts: parts it makes fits of.
        state: running, stopped, failed or finished, as last written; `Run.state` knows whether it is still true.
    """

    id: str
    annotator: str
    recipe: str
    round: int = 1
    source: str = ""
    datasets: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("body",)
    state: str = RUNNING
    message: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    machine: Mapping[str, str] = field(default_factory=dict[str, str])
    options: Mapping[str, str] = field(default_factory=dict[str, str])


class Run:
    """One run's folder. Fits in it are written once; scores about them may be rewritten."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job = JobFolder(path)

    @property
    def id(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def info(self) -> RunInfo:
        """Reads `run.json`.

        Raises:
            ProjectError: it is missing or damaged.
        """
        try:
            values: dict[str, Any] = json.loads((self.path / "run.json").read_text())
            values.update(datasets=tuple(values["datasets"]), parts=tuple(values["parts"]))
            return RunInfo(**values)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ProjectError(
                f"{self.path / 'run.json'} cannot be read; remove the folder with `runs remove`."
            ) from error

    def write_info(self, info: RunInfo) -> None:
        """Replaces `run.json` at once."""
        write_text(self.path / "run.json", json.dumps(asdict(info), indent=2) + "\n")

    def set_state(self, state: str, message: str = "") -> None:
        """Records how the run stands."""
        self.write_info(replace(self.info, state=state, message=message))

    @property
    def state(self) -> str:
        """Like `info.state`, but "interrupted" where it says running and nobody works on it."""
        state = self.info.state
        return INTERRUPTED if state == RUNNING and not self.job.alive else state

    @property
    def recipe_path(self) -> Path:
        """The recipe as it was used."""
        return self.path / "recipe.toml"

    def network_folder(self, part: str, dataset: str) -> Path:
        """Checkpoints of one network; `dataset` is `target` for the target network."""
        return self.path / "networks" / f"{part}-{dataset}"

    def fits_folder(self, dataset: str, part: str) -> Path:
        """Where the shards of fits of one data set and part lie."""
        return self.path / "fits" / dataset / part

    def shard_path(self, dataset: str, part: str, number: int) -> Path:
        """Path of one shard of fits."""
        return self.fits_folder(dataset, part) / f"{number:05d}.arrow"

    def shards(self, dataset: str, part: str) -> list[Path]:
        """Shards of fits written so far, in order."""
        return sorted(self.fits_folder(dataset, part).glob("[0-9]*.arrow"))

    def fits(self, dataset: str, part: str) -> Fits | None:
        """All fits of one data set and part, memory-mapped; None where there are none yet."""
        shards = self.shards(dataset, part)
        return Fits.read(shards) if shards else None

    @property
    def fitted(self) -> list[tuple[str, str]]:
        """(data set, part) pairs that have fits."""
        folders = sorted((self.path / "fits").glob("*/*"))
        return [(folder.parent.name, folder.name) for folder in folders if any(folder.glob("[0-9]*.arrow"))]

    def score_path(self, dataset: str, part: str, score: str) -> Path:
        """Where a score about fits is kept."""
        return self.path / "scores" / dataset / part / f"{score}.arrow"

    def write_score(self, dataset: str, part: str, score: str, keys: Sequence[str], values: Sequence[float]) -> None:
        """Replaces a score: one number per sample key; NaN where it has no meaning."""
        table = pa.table({"key": pa.array(list(keys), pa.string()), "value": pa.array(list(values), pa.float32())})
        write_shard(self.score_path(dataset, part, score), table)

    def score(self, dataset: str, part: str, score: str) -> dict[str, float] | None:
        """A score by sample key, or None where it was not computed."""
        path = self.score_path(dataset, part, score)
        if not path.exists():
            return None
        table = read_shards([path])
        return dict(zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True))

    @property
    def verdicts_path(self) -> Path:
        """The verdicts in force when the run started, frozen."""
        return self.path / "verdicts.arrow"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def remove(self) -> None:
        """Deletes the folder.

        Raises:
            RunError: a worker is busy in it.
        """
        if self.job.alive:
            raise RunError(f"The run {self.id} is still being worked on; stop it first with `stop`.")
        shutil.rmtree(self.path)


def write_text(path: Path, text: str) -> None:
    """Replaces a small file at once: a reader sees the old text or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with storage(path):
        try:
            aside.write_text(text)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
