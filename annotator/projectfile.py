"""`project.toml`: format, body models, image roots, the size of the cache. Read with suspicion, for people edit it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from annotator.errors import ProjectError
from annotator.outside import is_text, parse_toml, resolved, short
from annotator.runs import write_text

FORMAT = 1
CACHE_GB = 100.0
"""Where `project.toml` says nothing: crops of 256 px of half a million people."""


@dataclass(frozen=True)
class BodyModelSource:
    """Where a project's body-model files lie, and the content hash they had when they were taken in."""

    folder: Path
    hash: str


def new_settings(project: Path, body_models: dict[str, BodyModelSource]) -> dict[str, Any]:
    """What a new project's file holds."""
    families = {f: {"folder": stored(project, s.folder), "hash": s.hash} for f, s in body_models.items()}
    return {"format": FORMAT, "body_models": families, "image_roots": {}}


def write_settings(project: Path, settings: dict[str, Any]) -> None:
    """Replaces the file at once."""
    write_text(project / "project.toml", tomli_w.dumps(settings))


def read_settings(project: Path) -> dict[str, Any]:
    """The settings, with tables `body_models` (family -> folder, hash) and `image_roots` (name -> path).

    Raises:
        ProjectError: there is no project, it is damaged, or a newer program made it.
    """
    file = project / "project.toml"
    try:
        settings = parse_toml(file.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(
            f"{project} is not a project (it has no project.toml); make one with `new {project}`."
        ) from error
    except OSError as error:
        raise ProjectError(f"{file} cannot be read ({error.strerror}); check its permissions.") from error
    except ValueError as error:
        raise ProjectError(f"{file} is damaged ({error}); mend it or restore it from a backup.") from error
    found = settings.get("format")
    if type(found) is not int or found < 1:
        raise ProjectError(f"{file} does not say its format; it is not a project of this program.")
    if found > FORMAT:
        raise ProjectError(
            f"{project} was made by a newer version (format {found}, this program knows {FORMAT}); update the program."
        )
    return _checked(file, settings)


def _checked(file: Path, settings: dict[str, Any]) -> dict[str, Any]:
    def refuse(name: str, wanted: str) -> ProjectError:
        return ProjectError(f"{file} is damaged: {name} should be {wanted}; mend it or restore it from a backup.")

    for name in ("body_models", "image_roots"):
        if not isinstance(settings.setdefault(name, {}), dict):
            raise refuse(name, "a table")
    for family, source in settings["body_models"].items():
        if not isinstance(source, dict) or not all(_is_path(source.get(key)) for key in ("folder", "hash")):
            raise refuse(f"body_models.{family}", "a table with the texts folder and hash")
    for name, folder in settings["image_roots"].items():
        if not _is_path(folder):
            raise refuse(f"image_roots.{name}", "the path of a folder")
    size = settings.get("cache_gb", CACHE_GB)
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 <= size < 1e9:
        raise refuse("cache_gb", "a number of gigabytes")
    return settings


def _is_path(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def stored(project: Path, folder: Path) -> str:
    """How a folder is written down: relative where it lies in the project.

    Raises:
        ProjectError: its name is no text.
    """
    folder, home = resolved(folder), resolved(project)
    text = str(folder.relative_to(home) if folder.is_relative_to(home) else folder)
    if not is_text(text):
        raise ProjectError(f"The name of the folder {short(text)} is not UTF-8; rename it.")
    return text
