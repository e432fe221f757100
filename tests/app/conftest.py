"""Windows for the tests of the desk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import save_preferences
from tests.support.desk_project import every_photo
from tests.support.window import REVIEWER, Desk, close_desk, make_desk, wait_until


@pytest.fixture(autouse=True)
def _fresh_settings() -> None:
    """Every test begins with the preferences of a new user, whose name is ann."""
    save_preferences(REVIEWER)
    logging.getLogger("neuralannot.desk").setLevel(logging.CRITICAL)


@pytest.fixture
def open_desk(qapp: Any) -> Iterator[Callable[..., Desk]]:
    """Opens windows of one's own, on a project or on none, and waits until they are drawn; closes them at the end."""
    desks: list[Desk] = []

    def make(project: Path | None = None) -> Desk:
        desk = make_desk()
        desks.append(desk)
        if project is not None:
            desk.open(project)
            desk.settle()
        return desk

    yield make
    for desk in desks:
        close_desk(desk)


@pytest.fixture(scope="session")
def _one_window(qapp: Any) -> Iterator[Desk]:
    desk = make_desk()
    yield desk
    close_desk(desk)


@pytest.fixture
def every_photo_is_there(desk_project: Path) -> Iterator[None]:
    """Nobody of the finished project lacks his photo."""
    with every_photo(desk_project):
        yield


@pytest.fixture
def desk(_one_window: Desk, desk_project: Path) -> Iterator[Desk]:
    """The window that most tests share, on a finished project of twelve people of their own."""
    _one_window.reset()
    _one_window.open(desk_project)
    yield _one_window
    wait_until(lambda: _one_window.window.tasks.settled)  # the project's folder goes after this
