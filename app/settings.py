"""Preferences: a dataclass kept as TOML in the user's configuration folder, so that a person can read and copy them."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import tomli_w

from annotator.outside import login_name

THEMES = ("system", "light", "dark")
_RECENT = 8


@dataclass(frozen=True)
class Preferences:
    """What a person chose.

    Attributes:
        theme: system, light or dark.
        reviewer: the name that verdicts carry.
        opacity: of the mesh over the photo, 0 to 1.
        keypoints: whether the labelled points are drawn.
        auto_advance: whether a verdict goes on to the next person.
        recent: projects opened last, newest first.
    """

    theme: str = "system"
    reviewer: str = ""
    opacity: float = 0.85
    keypoints: bool = True
    auto_advance: bool = True
    recent: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The reviewer, or else the user of this machine."""
        return self.reviewer or login_name()

    def with_recent(self, project: Path) -> Preferences:
        """The same with `project` as the newest of the recent ones."""
        path = str(project.resolve())
        return replace(self, recent=(path, *(p for p in self.recent if p != path))[:_RECENT])


def preferences_path() -> Path:
    """Where they are kept."""
    root = os.environ.get("XDG_CONFIG_HOME")
    return (Path(root) if root else Path.home() / ".config") / "neuralannot-desk" / "preferences.toml"


def load_preferences() -> Preferences:
    """What was saved; a damaged file or field counts as not set, for no setting is worth a desk that will not open."""
    try:
        values: dict[str, Any] = tomllib.loads(preferences_path().read_text())
    except (OSError, ValueError):
        return Preferences()
    default = Preferences()
    kept: dict[str, Any] = {}
    for field in fields(Preferences):
        value = values.get(field.name)
        value = tuple(map(str, value)) if field.name == "recent" and isinstance(value, list) else value
        if isinstance(value, type(getattr(default, field.name))):
            kept[field.name] = value
    if kept.get("theme", "system") not in THEMES:
        del kept["theme"]
    return replace(default, **kept)


def save_preferences(preferences: Preferences) -> None:
    """Keeps them; a folder that cannot be written costs the setting, nothing else."""
    path = preferences_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        aside.write_text(tomli_w.dumps(asdict(preferences)))
        aside.replace(path)
    except OSError:
        return
