"""The project folder, format 1: body models, data sets, runs, reviews. The only code that knows its layout.

`runs.py` holds the layout inside one run's folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

import tomli_w

from annotator.errors import ProjectError, RunError, storage
from annotator.jobfolder import JobFolder
from annotator.runs import FINISHED, Run, RunInfo, write_text
from annotator.sample import Sample, Samples

FORMAT = 1
TARGET, AUXILIARY = "target", "auxiliary"
_RESERVED = (TARGET, "prior")
"""Folders of networks that belong to no data set."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Refusal:
    """A person that an import left out."""

    id: str
    reason: str


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` holds.

    Attributes:
        role: "target" (2D only) or "auxiliary" (with GT 3D pose).
        sources: path and sha256 of every file that was read.
        parts: number of samples per part.
        refused: the people left out, with the reason.
    """

    name: str
    reader: str
    role: str
    image_root: str
    sources: Mapping[str, str]
    parts: Mapping[str, int]
    refused: tuple[Refusal, ...] = ()
    imported: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class BodyModelSource:
    """Where a project's body-model files lie, and the content hash they had when they were taken in."""

    folder: Path
    hash: str


class Project:
    """An open project. Reading is always safe; every write is whole or absent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        values = _read_settings(path)
        self._settings = values

    @classmethod
    def create(cls, path: Path, body_models: Mapping[str, BodyModelSource]) -> Self:
        """A new, empty project at `path`.

        Args:
            body_models: by family. A folder inside `path` is stored relative to it.

        Raises:
            ProjectError: the folder exists and is not empty.
        """
        require_free(path, but="body_models")
        with storage(path):
            for name in ("datasets", "runs", "jobs", "cache"):
                (path / name).mkdir(parents=True, exist_ok=True)
        families = {f: {"folder": _stored(path, s.folder), "hash": s.hash} for f, s in body_models.items()}
        write_text(path / "project.toml", tomli_w.dumps({"format": FORMAT, "body_models": families, "image_roots": {}}))
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The project at `path`.

        Raises:
            ProjectError: there is none, it is damaged, or a newer program made it.
        """
        return cls(path)

    # -- settings ----------------------------------------------------------------------------------------------------

    @property
    def body_models(self) -> dict[str, BodyModelSource]:
        """Body-model files by family; `folder` is what `smplx.create` and `load_body_model` take."""
        found: dict[str, Any] = self._settings.get("body_models", {})
        return {f: BodyModelSource((self.path / v["folder"]).resolve(), v["hash"]) for f, v in found.items()}

    def body_model_root(self, family: str) -> Path:
        """The folder with the files of `family`.

        Raises:
            ProjectError: the project has none, or its folder is gone.
        """
        source = self.body_models.get(family)
        if source is None:
            raise ProjectError(
                f"The project {self.path} has no {family} body model; make one with `new --body-models FOLDER`."
            )
        if not source.folder.is_dir():
            raise ProjectError(
                f"The body-model folder {source.folder} is missing; put it back, or say where it is now with "
                f"`relink {self.path} body_models=PATH`."
            )
        return source.folder

    @property
    def image_roots(self) -> dict[str, Path]:
        """Folders of photos by name."""
        roots: dict[str, str] = self._settings.get("image_roots", {})
        return {name: (self.path / folder).resolve() for name, folder in roots.items()}

    def relink(self, name: str, folder: Path) -> None:
        """Says that the image root `name` (or all body models, for `body_models`) now lies at `folder`.

        Raises:
            ProjectError: there is no such root, or no such folder.
        """
        if not folder.is_dir():
            raise ProjectError(f"There is no folder {folder}; nothing was changed.")
        settings = json.loads(json.dumps(self._settings))
        if name == "body_models":
            for source in settings["body_models"].values():
                source["folder"] = _stored(self.path, folder)
        elif name in settings["image_roots"]:
            settings["image_roots"][name] = _stored(self.path, folder)
        else:
            known = ", ".join([*settings["image_roots"], "body_models"])
            raise ProjectError(f"The project has no image root called '{name}'; it has {known}.")
        self._write_settings(settings)

    def _write_settings(self, settings: dict[str, Any]) -> None:
        write_text(self.path / "project.toml", tomli_w.dumps(settings))
        self._settings = settings

    # -- data sets ---------------------------------------------------------------------------------------------------

    def datasets(self) -> dict[str, DatasetInfo]:
        """All data sets by name."""
        found = sorted((self.path / "datasets").glob("*/dataset.json"))
        # a dot marks what a killed import left behind
        return {path.parent.name: _read_dataset(path) for path in found if not path.parent.name.startswith(".")}

    def samples(self, dataset: str, part: str) -> Samples:
        """The samples of one data set and part, memory-mapped.

        Raises:
            ProjectError: there are none.
        """
        shards = sorted((self.path / "datasets" / dataset).glob(f"samples-{part}-*.arrow"))
        if not shards:
            raise ProjectError(f"The project has no {part} samples in a data set called '{dataset}'; import it first.")
        return Samples.read(shards)

    def add(self, info: DatasetInfo, tables: Mapping[str, Samples], image_folder: Path) -> None:
        """Takes a data set in: written aside and renamed, all or nothing. One of the same name is replaced.

        Raises:
            ProjectError: the name cannot be a folder's or is a reserved one.
        """
        if not _NAME.fullmatch(info.name) or info.name in _RESERVED:
            raise ProjectError(
                f"A data set cannot be called '{info.name}'; use lower-case letters, digits, '-', '_', '.', and "
                f"neither of {', '.join(_RESERVED)}."
            )
        folder = self.path / "datasets" / info.name
        aside, old = folder.with_name(f".{info.name}.new"), folder.with_name(f".{info.name}.old")
        with FileLock(self.path / "datasets" / ".lock"), storage(folder):
            if old.exists() and not folder.exists():  # killed between the two renames below
                old.rename(folder)
            for leftover in (aside, old):
                shutil.rmtree(leftover, ignore_errors=True)
            try:
                aside.mkdir(parents=True)
                for samples in tables.values():
                    samples.write(aside)
                (aside / "dataset.json").write_text(json.dumps(asdict(info), indent=2) + "\n")
                if folder.exists():
                    folder.rename(old)
                aside.rename(folder)
                shutil.rmtree(old, ignore_errors=True)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            settings = _read_settings(self.path)
            settings.setdefault("image_roots", {})[info.image_root] = _stored(self.path, image_folder)
            self._write_settings(settings)

    def photo_path(self, sample: Sample) -> Path:
        """Where the sample's photo should lie; it may be missing."""
        return safe_join(self.image_roots.get(sample.root, self.path / sample.root), sample.image)

    def missing_photos(self) -> dict[str, list[str]]:
        """Photos that are not there, by image root."""
        missing: dict[str, list[str]] = {}
        for name, info in self.datasets().items():
            images: set[tuple[str, str]] = set()
            for part in info.parts:
                table = self.samples(name, part).table
                images |= set(zip(table["root"].to_pylist(), table["image"].to_pylist(), strict=True))
            for root, image in sorted(images):
                if not safe_join(self.image_roots[root], image).is_file():
                    missing.setdefault(root, []).append(image)
        return missing

    # -- runs --------------------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        found = [Run(path.parent) for path in (self.path / "runs").glob("*/run.json")]
        return sorted(found, key=lambda run: (run.info.created, run.id))

    def run(self, run_id: str) -> Run:
        """One run.

        Raises:
            RunError: there is none of that id; the sentence lists those that are.
        """
        run = Run(self.path / "runs" / run_id)
        if not _NAME.fullmatch(run_id) or not (run.path / "run.json").exists():
            known = ", ".join(r.id for r in self.runs()) or "none yet"
            raise RunError(f"The project has no run called '{run_id}'; its runs are: {known}.")
        return run

    def new_run(self, info: RunInfo) -> Run:
        """A new run folder; a number is added to `info.id` if that name is taken."""
        with storage(self.path / "runs"):
            for number in range(1, 10_000):
                run_id = info.id if number == 1 else f"{info.id}-{number}"
                folder = self.path / "runs" / run_id
                try:
                    folder.mkdir(parents=True)
                except FileExistsError:
                    continue
                run = Run(folder)
                run.write_info(replace(info, id=run_id))
                return run
        raise RunError(f"There are already 10,000 runs called {info.id}.")

    def newest_run(self, annotator: str, *, round: int | None = None, state: str = FINISHED) -> Run | None:
        """The newest run of `annotator` (and of `round`) in `state`, or None."""
        for run in reversed(self.runs()):
            info = run.info
            if info.annotator == annotator and run.state == state and round in (None, info.round):
                return run
        return None

    # -- places ------------------------------------------------------------------------------------------------------

    @property
    def reviews_path(self) -> Path:
        """The review log's database."""
        return self.path / "reviews.sqlite"

    @property
    def cache(self) -> Path:
        """Crops, thumbnails: whatever may be deleted."""
        return self.path / "cache"

    def jobs(self) -> list[JobFolder]:
        """Long commands other than runs that were started from the window, oldest first."""
        return [JobFolder(path) for path in sorted((self.path / "jobs").glob("*")) if path.is_dir()]

    @contextmanager
    def desk_lock(self) -> Generator[str, None, None]:
        """Held by the one window that may write; yields "" if we hold it, else who does."""
        with storage(self.path / "desk.lock"):
            opened = (self.path / "desk.lock").open("a+")
        with opened as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                yield handle.read().strip() or "another window"
                return
            handle.truncate(0)
            handle.write(f"{os.environ.get('USER', 'somebody')} (process {os.getpid()} on {os.uname().nodename})")
            handle.flush()
            yield ""
            handle.truncate(0)


class FileLock:
    """An exclusive lock on a file, waited for: imports take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        with storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._path.open("wb")
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()


def require_free(path: Path, *, but: str = "") -> None:
    """Refuses a place for a new project that holds something already.

    Raises:
        ProjectError: it is a file, or a folder with anything but `but` in it.
    """
    if path.exists() and (not path.is_dir() or any({p.name for p in path.iterdir()} - {but})):
        raise ProjectError(f"{path} already exists and is not empty; choose another folder for the new project.")


def safe_join(root: Path, relative: str) -> Path:
    """`root / relative`, refusing a path that would leave `root`.

    Raises:
        ProjectError: `relative` is absolute or climbs out with `..`.
    """
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts:
        raise ProjectError(f"The image path '{relative}' leaves its image root {root}; mend the annotation file.")
    return root / pure


def file_hash(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(project: Path, folder: Path) -> str:
    folder = folder.resolve()
    inside = folder.is_relative_to(project.resolve())
    return str(folder.relative_to(project.resolve())) if inside else str(folder)


def _read_settings(path: Path) -> dict[str, Any]:
    file = path / "project.toml"
    try:
        settings = tomllib.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(f"{path} is not a project (it has no project.toml); make one with `new {path}`.") from error
    except OSError as error:
        raise ProjectError(f"{file} cannot be read ({error.strerror}); check its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} is damaged ({error}); mend it or restore it from a backup.") from error
    found = settings.get("format")
    if not isinstance(found, int):
        raise ProjectError(f"{file} does not say its format; it is not a project of this program.")
    if found > FORMAT:
        raise ProjectError(
            f"{path} was made by a newer version (format {found}, this program knows {FORMAT}); update the program."
        )
    return settings


def _read_dataset(path: Path) -> DatasetInfo:
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        refused: Sequence[dict[str, str]] = values.pop("refused", ())
        return DatasetInfo(**values, refused=tuple(Refusal(**r) for r in refused))
    except (OSError, ValueError, TypeError) as error:
        raise ProjectError(f"{path} is damaged; import the data set again.") from error
