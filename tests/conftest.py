"""What all tests share. Tests that need real annotation files find them by NEURALANNOT_REAL_DATA (default ../shared/data)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.progress import Progress, Work
from tests.support.desk_project import make_desk_project

with contextlib.suppress(ImportError):
    # triton's LLVM must be loaded before Mesa's (annotator/apart.py); tests are the one place where both share a process.
    import triton  # noqa: F401

# Threads that wait without spinning: where others use the machine too, networks of a few steps are four times as quick.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _quiet_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the settings of whoever runs it."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        os.environ[name] = str(home / name)
    os.environ["OMP_NUM_THREADS"] = "2"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real samples in the official layouts; tests that need it say so when it is absent."""
    path = Path(os.environ.get("NEURALANNOT_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not (path / "coco_wholebody").is_dir():
        pytest.skip(f"no real data at {path}; set NEURALANNOT_REAL_DATA to run this test")
    return path


@pytest.fixture(scope="session")
def body() -> BodyModelData:
    """The open body."""
    return load_body_model(default_root(), "smplx")


@pytest.fixture(scope="session")
def _desk_template(tmp_path_factory: pytest.TempPathFactory, body: BodyModelData) -> Path:
    return make_desk_project(tmp_path_factory.mktemp("desk"), body)


@pytest.fixture
def desk_project(_desk_template: Path, tmp_path: Path) -> Path:
    """A project of its own with twelve people and two finished runs; see `tests/support/desk_project.py`."""
    import shutil

    target = tmp_path / "project"
    shutil.copytree(_desk_template / "project", target)
    return target


@pytest.fixture
def finish() -> Callable[[Work], list[Progress]]:
    """Runs a generator of progress to its end and returns its reports."""

    def run(work: Work) -> list[Progress]:
        return list(work)

    return run
