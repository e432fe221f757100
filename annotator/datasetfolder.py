"""One data set's folder in a project. It is written aside and swapped in: a reader always finds the old one or the new one.

datasets/<name>/         the data set
datasets/.<name>.new/    one that is being written, or was when its import was killed
datasets/.<name>.old/    the one that is being replaced; it counts while there is no other
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from annotator.errors import ProjectError
from annotator.outside import built, parse_json

_FILE = "dataset.json"


@dataclass(frozen=True)
class Refusal:
    """A person that an import left out.

    Attributes:
        photo: the name of his, where it is left out because that is not there.
    """

    id: str
    reason: str
    photo: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` holds.

    Attributes:
        role: "target" (2D only) or "auxiliary" (with GT 3D pose).
        sources: absolute path and sha256 of every file that was read.
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


def dataset_names(root: Path) -> list[str]:
    """Names of the data sets below `root`."""
    names: set[str] = set()
    for path in root.glob(f"*/{_FILE}"):
        name = path.parent.name
        if not name.startswith("."):
            names.add(name)
        elif name.endswith(".old"):
            names.add(name[1 : -len(".old")])
    return sorted(names)


def dataset_folder(root: Path, name: str) -> Path:
    """Where the data set lies at this moment."""
    folder, old = root / name, _old(root, name)
    gone = not folder.exists() and old.exists()
    return old if gone and not folder.exists() else folder  # it may have been swapped between the two looks


def read_info(folder: Path) -> DatasetInfo:
    """What an import noted.

    Raises:
        ProjectError: it cannot be read.
    """
    try:
        return built(DatasetInfo, parse_json((folder / _FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise ProjectError(f"{folder / _FILE} is damaged; import the data set again.") from error


def replace_dataset(root: Path, info: DatasetInfo, write: Callable[[Path], None]) -> None:
    """Puts a new data set in the place of the old one, or leaves the old one; the caller holds the imports' lock.

    Args:
        write: fills the folder that it is given.
    """
    folder, old, aside = root / info.name, _old(root, info.name), root / f".{info.name}.new"
    if old.exists() and not folder.exists():  # an import was killed between the two renames below
        old.rename(folder)
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        write(aside)
        (aside / _FILE).write_text(json.dumps(asdict(info), indent=2) + "\n")
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _old(root: Path, name: str) -> Path:
    return root / f".{name}.old"
