"""The one demo of the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import run_main


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of the tiny demo and the table that it printed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = run_main("demo", "--size", "tiny", "--no-window", "--out", out, timeout=1200)
    return out, done.stdout
