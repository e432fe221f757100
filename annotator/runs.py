"""A run's folder: one execution of an annotator, with its recipe, networks, fits, scores and traces."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from annotator.columns import read_shards, write_shard
from annotator.errors import ProjectError, RunError, StorageError, storage
from annotator.fit import Fits
from annotator.jobfolder import JobFolder
from annotator.outside import built, is_text, parse_json
from annotator.wholefile import whole_file

RUNNING, STOPPED, FAILED, FINISHED, INTERRUPTED = "running", "stopped", "failed", "finished", "interrupted"
ERRORS = ("error_2d_crop", "error_2d")
"""Names of the scores that the desk sorts by: 2D error in px of the 256 crop and of the photo."""
BODY_ERRORS = ("error_2d_crop_body", "error_2d_body")
"""The same of a whole person's body alone, by which he is compared with fits of bodies."""
ADDED = "added"
"""Option of a run that was not made here: the folder that it came from."""
SAMPLES = "samples of "
"""Before a data set's name: the word for its samples among the `grounds` of a run."""
_IDS = ".ids"
_MOST_NUMBERS = 10_000
_DAY_SECONDS = 86400.0


@dataclass(frozen=True)
class RunInfo:
    """What `run.json` holds.

    Attributes:
        source: the run that `--from` named; empty for none. It is called `from` in the file.
        source_created: when that one was made, by which it is known again on a machine that calls it otherwise.
        datasets: names of the data sets it annotates or learns from.
        recipe: its name; empty where another program made the fits.
        samples: keys of the samples that `--samples` named; empty for all of those data sets.
        parts: parts it makes fits of.
        grounds: digests of what it stands on, when it began, by the words for it: samples, body models, prior, recipe.
        state: running, stopped, failed or finished, as last written; `Run.state` knows whether it is still true.
    """

    id: str
    annotator: str
    recipe: str
    round: int = 1
    source: str = ""
    source_created: str = ""
    datasets: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("body",)
    grounds: Mapping[str, str] = field(default_factory=dict[str, str])
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
        file = self.path / "run.json"
        try:
            values = parse_json(file.read_bytes())
            if isinstance(values, dict) and "from" in values:
                values["source"] = values.pop("from")
            return built(RunInfo, values)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ProjectError(
                f"{file} cannot be read ({why}); put it back from a copy, or remove the run with `runs remove`."
            ) from error

    def write_info(self, info: RunInfo) -> None:
        """Replaces `run.json` at once."""
        values = {"from" if name == "source" else name: value for name, value in asdict(info).items()}
        write_text(self.path / "run.json", json.dumps(values, indent=2) + "\n")

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

    def person_part(self, dataset: str) -> str:
        """The part of which the fits are that stand for a data set's people: whole ones where the run has joined them
        all, else bodies; empty for none. It is what the desk shows and reviewers judge, and what an export holds.
        """
        whole, bodies = (len(self.shards(dataset, part)) for part in ("whole", "body"))
        return "whole" if whole and whole >= bodies else "body" if bodies else ""

    def shards(self, dataset: str, part: str) -> list[Path]:
        """Shards of fits written so far, in order."""
        return sorted(self.fits_folder(dataset, part).glob("[0-9]*.arrow"))

    def fits(self, dataset: str, part: str) -> Fits | None:
        """All fits of one data set and part, memory-mapped; None where there are none yet."""
        shards = self.shards(dataset, part)
        try:
            return Fits.read(shards) if shards else None
        except (KeyError, ValueError) as error:  # whole tables, but not of fits
            raise ProjectError(
                f"{shards[0].parent} holds no fits that can be read; remove the run with `runs remove`."
            ) from error

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
        """Deletes the folder; what is left by a deletion that was cut short is no run any more.

        Raises:
            RunError: a worker is busy in it.
        """
        if self.job.alive:
            raise RunError(f"The run {self.id} is still being worked on; stop it first with `stop`.")
        with storage(self.path):
            note_id(self.path)  # it may be older than that list
            (self.path / "run.json").unlink(missing_ok=True)
            shutil.rmtree(self.path)


def is_abandoned(folder: Path) -> bool:
    """Whether nobody here works in a folder and nothing below it was written for a day (on whichever machine)."""
    if not folder.is_dir() or folder.is_symlink() or JobFolder(folder).alive:
        return False
    try:
        times = [folder.stat().st_mtime, *(path.stat().st_mtime for path in folder.rglob("*"))]
    except OSError:  # somebody works there
        return False
    return time.time() - max(times) > _DAY_SECONDS


def ids_given(runs: Path) -> set[str]:
    """Every id that a run in this folder ever had: verdicts and later runs name their run by it, so none is given twice."""
    path = runs / _IDS
    return set(path.read_text(errors="replace").split()) if path.exists() else set()


def unused_id(runs: Path, wanted: str) -> str:
    """`wanted`, or with a number where a run in this folder has that id or ever had it."""
    before = ids_given(runs)
    for number in range(1, _MOST_NUMBERS):
        run_id = wanted if number == 1 else f"{wanted}-{number}"
        if run_id not in before and not (runs / run_id).exists():
            return run_id
    raise RunError(f"There are already {_MOST_NUMBERS:,} runs called {wanted}.")


def note_id(run: Path) -> None:
    """Notes that the id of this run folder is given."""
    with (run.parent / _IDS).open("a") as file:
        file.write(f"{run.name}\n")


def write_text(path: Path, text: str) -> None:
    """Replaces a small file at once: a reader sees the old text or the new one.

    Raises:
        StorageError: it cannot be written, or it holds half a surrogate pair (a file's name that is not UTF-8 does).
    """
    if not is_text(text):
        raise StorageError(f"Could not write {path}: a name in it is not UTF-8; rename that file or folder.")
    with whole_file(path, parents=False) as file:
        file.write(text.encode())
