"""The project folder, format 1: body models, data sets, runs, reviews. The only code that knows its layout.

`projectfile.py` holds the layout of `project.toml`, `datasetfolder.py` and `runs.py` that inside one data set's and one
run's folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from annotator.datasetfolder import DatasetInfo, dataset_folder, dataset_names, read_info, replace_dataset
from annotator.errors import ProjectError, RunError, StorageError, storage
from annotator.filelock import FileLock
from annotator.jobfolder import JobFolder
from annotator.outside import NAME, exists, is_dir, is_file, login_name, resolved, safe_join, short
from annotator.projectfile import CACHE_GB, BodyModelSource, new_settings, read_settings, stored, write_settings
from annotator.runs import FINISHED, Run, RunInfo, is_abandoned, note_id, unused_id
from annotator.sample import Sample, Samples
from annotator.wholefile import own_word

TARGET, AUXILIARY = "target", "auxiliary"
_BODY_MODELS = "body_models"
_ASIDE = ".aside"
_RESERVED = (TARGET, "prior", "all", "none", _BODY_MODELS)
"""Folders of networks that belong to no data set, and what `relink` calls the body models."""


def require_dataset_name(name: str) -> None:
    """Refuses a name that a data set cannot have.

    Raises:
        ProjectError: it cannot be a folder's or is a reserved one.
    """
    if not NAME.fullmatch(name) or name in _RESERVED:
        raise ProjectError(
            f"A data set cannot be called '{short(name)}'; use lower-case letters, digits, '-', '_', '.', and none of "
            f"{', '.join(_RESERVED)}."
        )


class Project:
    """An open project. Reading is always safe; every write is whole or absent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._settings = read_settings(path)

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
        write_settings(path, new_settings(path, dict(body_models)))
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
        found: dict[str, Any] = self._settings["body_models"]
        return {f: BodyModelSource(resolved(self.path / v["folder"]), v["hash"]) for f, v in found.items()}

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
        if not is_dir(source.folder):
            raise ProjectError(
                f"The body-model folder {source.folder} is missing; put it back, or say where it is now with "
                f"`relink {self.path} body_models=PATH`."
            )
        return source.folder

    @property
    def image_roots(self) -> dict[str, Path]:
        """Folders of photos by name."""
        return {name: resolved(self.path / folder) for name, folder in self._settings["image_roots"].items()}

    @property
    def cache_bytes(self) -> float:
        """How large the cache may grow: `cache_gb` of `project.toml`, in bytes."""
        return float(self._settings.get("cache_gb", CACHE_GB)) * 1e9

    def relink(self, changes: Mapping[str, Path], body_hashes: Mapping[str, str] | None = None) -> None:
        """Says where image roots (or the body models, for `body_models`) now lie: all of them, or none.

        Args:
            body_hashes: families in the new folder of the body models, with their hashes; others stay where they are.

        Raises:
            ProjectError: there is no such root, or no such folder.
        """
        with self._changed_settings() as settings:
            for name, folder in changes.items():
                if not is_dir(folder):
                    raise ProjectError(f"There is no folder {short(str(folder))}; nothing was changed.")
                if name == _BODY_MODELS:
                    place = stored(self.path, folder)
                    for family, digest in (body_hashes or {}).items():
                        settings["body_models"][family] = {"folder": place, "hash": digest}
                elif name in settings["image_roots"]:
                    settings["image_roots"][name] = stored(self.path, folder)
                else:
                    known = ", ".join([*settings["image_roots"], _BODY_MODELS])
                    raise ProjectError(
                        f"The project has no image root called '{short(name)}'; it has {known}. Nothing was changed."
                    )

    def set_body_models(self, body_models: Mapping[str, BodyModelSource]) -> None:
        """Notes body models that now lie in the project; other families stay as they are."""
        with self._changed_settings() as settings:
            settings["body_models"].update(new_settings(self.path, dict(body_models))["body_models"])

    @contextmanager
    def _changed_settings(self) -> Generator[dict[str, Any], None, None]:
        """The settings as they lie on the disk now; what the block makes of them is written when it ends well."""
        with self.datasets_held():
            settings = read_settings(self.path)
            yield settings
            self._write_settings(settings)

    def _write_settings(self, settings: dict[str, Any]) -> None:
        write_settings(self.path, settings)
        self._settings = settings

    # -- data sets ---------------------------------------------------------------------------------------------------

    def datasets(self) -> dict[str, DatasetInfo]:
        """All data sets by name."""
        root = self.path / "datasets"
        return {name: read_info(dataset_folder(root, name)) for name in dataset_names(root)}

    def samples(self, dataset: str, part: str) -> Samples:
        """The samples of one data set and part, memory-mapped.

        Raises:
            ProjectError: there are none, or a table is damaged.
        """
        folder = dataset_folder(self.path / "datasets", dataset)
        shards = sorted(folder.glob(f"samples-{part}-*.arrow"))
        if not shards:
            raise ProjectError(f"The project has no {part} samples in a data set called '{dataset}'; import it first.")
        try:
            return Samples.read(shards)
        except (KeyError, ValueError) as error:  # whole tables, but not of samples
            raise ProjectError(f"{folder} holds no samples that can be read; import the data set again.") from error

    def table_digests(self, datasets: Sequence[str]) -> dict[str, str]:
        """Of each data set the sha256 of its role and sample tables: equal imports give equal ones, wherever the photos lie."""
        found: dict[str, str] = {}
        for name in datasets:
            folder = dataset_folder(self.path / "datasets", name)
            digest = hashlib.sha256(read_info(folder).role.encode())
            for shard in sorted(folder.glob("samples-*.arrow")):
                digest.update(bytes.fromhex(file_hash(shard)))
            found[name] = digest.hexdigest()
        return found

    @contextmanager
    def datasets_held(self) -> Generator[None, None, None]:
        """While the block runs nobody else changes the data sets or the settings."""
        with FileLock(self.path / "datasets" / ".lock"):
            yield

    def require_idle(self, dataset: str) -> None:
        """Refuses to touch a data set that a run works on: it goes on with the samples it began with, or not at all.

        Raises:
            ProjectError: one does.
        """
        busy = [run.id for run in self.runs() if run.job.alive and dataset in run.info.datasets]
        if busy:
            raise ProjectError(
                f"The run {busy[0]} is working on {dataset}; stop it first, wait for it, or import under another name."
            )

    def add(self, info: DatasetInfo, tables: Mapping[str, Samples], image_folder: Path) -> None:
        """Takes a data set in: written aside and renamed, all or nothing. One of the same name is replaced.

        Raises:
            ProjectError: the name cannot be a folder's or is a reserved one, or a run works on the data set of that name.
        """
        require_dataset_name(info.name)

        def write(folder: Path) -> None:
            for samples in tables.values():
                samples.write(folder)
            self.require_idle(info.name)  # a run may have begun meanwhile

        root = self.path / "datasets"
        with self.datasets_held(), storage(root / info.name):
            self.require_idle(info.name)
            settings = read_settings(self.path)
            roots: dict[str, str] = settings["image_roots"]
            is_new = info.image_root not in roots
            before, roots[info.image_root] = roots.get(info.image_root), stored(self.path, image_folder)
            if is_new:  # first, so that there is never a data set whose photos lie nowhere
                self._write_settings(settings)
            try:
                replace_dataset(root, info, write)
            except BaseException:
                if is_new and not dataset_folder(root, info.name).exists():
                    del roots[info.image_root]
                    with suppress(StorageError):
                        self._write_settings(settings)
                raise
            if before != roots[info.image_root] and not is_new:
                self._write_settings(settings)
            self._settings = settings

    def photo_path(self, sample: Sample) -> Path:
        """Where the sample's photo should lie; it may be missing."""
        return safe_join(self.image_roots.get(sample.root, self.path / sample.root), sample.image)

    def photos(self, dataset: str) -> dict[tuple[str, str], Path]:
        """Where each photo of a data set should lie, by image root and the path below it."""
        images: set[tuple[str, str]] = set()
        for part in self.datasets()[dataset].parts:
            table = self.samples(dataset, part).table
            images |= set(zip(table["root"].to_pylist(), table["image"].to_pylist(), strict=True))
        roots = self.image_roots
        return {(root, image): safe_join(roots.get(root, self.path / root), image) for root, image in sorted(images)}

    def missing_photos(self) -> dict[str, list[str]]:
        """Photos that are not there, by image root."""
        missing: dict[str, list[str]] = {}
        for name in self.datasets():
            for (root, image), path in self.photos(name).items():
                if not is_file(path):
                    missing.setdefault(root, []).append(image)
        return missing

    # -- runs --------------------------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs whose `run.json` can be read, oldest first; `damaged_runs` has the others."""
        found: list[tuple[str, str, Run]] = []
        for run in self._run_folders():
            with suppress(ProjectError):
                found.append((run.info.created, run.id, run))
        return [run for _, _, run in sorted(found, key=lambda row: row[:2])]

    def damaged_runs(self) -> list[tuple[Run, str]]:
        """Runs whose `run.json` cannot be read, and why."""
        found: list[tuple[Run, str]] = []
        for run in self._run_folders():
            try:
                run.info  # noqa: B018  (reading it is the test)
            except ProjectError as error:
                found.append((run, str(error)))
        return found

    def _run_folders(self) -> list[Run]:
        return [Run(path) for path in sorted((self.path / "runs").glob("*")) if path.is_dir() and path.name[0] != "."]

    def run(self, run_id: str) -> Run:
        """One run; its `run.json` may be damaged.

        Raises:
            RunError: there is none of that id; the sentence lists those that are.
        """
        if not NAME.fullmatch(run_id) or not is_dir(self.path / "runs" / run_id):
            known = ", ".join(r.id for r in self.runs()) or "none yet"
            raise RunError(f"The project has no run called '{short(run_id)}'; its runs are: {known}.")
        return Run(self.path / "runs" / run_id)

    def new_run(self, info: RunInfo, fill: Callable[[Run], None] | None = None) -> Run:
        """A new run folder; a number is added to `info.id` if a run has that name, or ever had: verdicts know runs by it.

        Args:
            fill: writes what belongs to the run from its beginning. There is no run before all of that is written.
        """
        with self.run_aside(info) as aside:
            if fill is not None:
                fill(aside)
            return self.place_run(aside, info)

    @contextmanager
    def run_aside(self, info: RunInfo) -> Generator[Run, None, None]:
        """A folder that nobody takes for a run, to be filled and placed; what is not placed is removed, and what a process
        that was killed has left so after a day.
        """
        runs = self.path / "runs"
        aside = Run(runs / f".{info.id}.{own_word()}{_ASIDE}")
        with ExitStack() as stack:
            with FileLock(runs / ".lock"):
                for left in filter(is_abandoned, runs.glob(f".*{_ASIDE}")):
                    shutil.rmtree(left, ignore_errors=True)
                stack.callback(shutil.rmtree, aside.path, ignore_errors=True)
                stack.enter_context(aside.job.working())
            yield aside

    def place_run(self, aside: Run, info: RunInfo) -> Run:
        """Makes a folder that was filled aside a run, in one step."""
        runs = self.path / "runs"
        while True:
            home = runs / unused_id(runs, info.id)
            aside.write_info(replace(info, id=home.name))
            with storage(home):
                note_id(home)
                try:
                    aside.path.rename(home)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                        raise
                    continue  # another process was faster
            return Run(home)

    def newest_run(self, annotator: str, *, round: int | None = None, state: str = FINISHED) -> Run | None:
        """The newest run of `annotator` (and of `round`) in `state`, or None."""
        known = ((run, run.info) for run in reversed(self.runs()) if run.state == state)
        return next((run for run, info in known if info.annotator == annotator and round in (None, info.round)), None)

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
            handle.write(f"{login_name()} (process {os.getpid()} on {os.uname().nodename})")
            handle.flush()
            yield ""
            handle.truncate(0)


def require_free(path: Path, *, but: str = "") -> None:
    """Refuses a place for a new project that holds something already.

    Raises:
        ProjectError: it is a file, or a folder with anything but `but` in it.
    """
    with storage(path):
        taken = exists(path) and (not is_dir(path) or any({p.name for p in path.iterdir()} - {but}))
    if taken:
        raise ProjectError(f"{path} already exists and is not empty; choose another folder for the new project.")


def file_hash(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
