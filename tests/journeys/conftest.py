"""The one demo of the whole suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import run_main, without


@pytest.fixture(scope="session")
def without_smplx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the module that stands where the smplx package would; `asked` lies in it once somebody imported that."""
    return tmp_path_factory.mktemp("blocked")


@pytest.fixture(scope="session")
def tiny_demo(tmp_path_factory: pytest.TempPathFactory, without_smplx: Path) -> tuple[Path, str]:
    """Folder of the tiny demo, made where the smplx package cannot be imported, and the table that it printed."""
    out, env = tmp_path_factory.mktemp("demo") / "out", without("smplx", without_smplx)
    done = run_main("demo", "--size", "tiny", "--no-window", "--out", out, timeout=1200, env=env)
    return out, done.stdout
