"""Windows for the tests of the desk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import Preferences, preferences_path
from tests.support.window import Desk, close_desk, make_desk


@pytest.fixture(autouse=True)
def _fresh_settings() -> None:
    """Every test begins with the preferences of a new user, whose name is ann."""
    from app.settings import save_preferences

    preferences_path().unlink(missing_ok=True)
    save_preferences(Preferences(reviewer="ann"))
    logging.getLogger("neuralannot.desk").setLevel(logging.CRITICAL)


@pytest.fixture
def open_desk(qtbot: Any) -> Iterator[Callable[[Path | None], Desk]]:
    """Opens windows, on a project or on none; closes them at the end."""
    desks: list[Desk] = []

    def make(project: Path | None = None) -> Desk:
        desk = make_desk(qtbot)
        desks.append(desk)
        if project is not None:
            desk.open(project)
        return desk

    yield make
    for desk in desks:
        close_desk(desk)


@pytest.fixture
def desk(open_desk: Callable[[Path | None], Desk], desk_project: Path) -> Desk:
    """A window on the finished project of twelve people."""
    return open_desk(desk_project)
