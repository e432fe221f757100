"""What may import what (docs/ARCHITECTURE.md). Each rule is first shown to bite on a snippet that breaks it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.bodies.files import BodyModelData
from tests.support.small_data import quick_recipe, write_crowd, write_lab

ROOT = Path(__file__).resolve().parents[1]
OURS = {"annotator", "viewers", "app", "resources", "main"}
MAY_IMPORT = {
    "main.py": {"app", "annotator", "resources"},
    "app": {"app", "annotator", "viewers", "resources"},
    "annotator": {"annotator", "resources"},
    "viewers": {"viewers"},
    "resources": {"resources"},
}
NEVER = {
    "annotator": {"PySide6", "qtpy", "pyqtgraph", "vtkmodules", "pyvista", "pyvistaqt", "qtawesome"},
    "viewers": {"torch", "torchvision", "smplx", "roma"},
    "app": {"torch", "torchvision", "smplx", "roma"},
}
ONLY = {"smplx": {"annotator/bodies/official.py"}, "anny": {"annotator/bodies/open_body/source.py"}}


def imports_of(source: str) -> set[str]:
    """First words of every absolute import, wherever it stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0] if not node.level else "a relative import")
    return found


def violations(path: str, source: str) -> list[str]:
    """Sentences about what a file imports and may not."""
    package = path.split("/", maxsplit=1)[0]
    found = imports_of(source)
    wrong = [f"{path} imports {name}" for name in sorted(found & OURS - MAY_IMPORT[package])]
    wrong += [f"{path} imports {name}" for name in sorted(found & NEVER.get(package, set()))]
    wrong += [f"{path} imports {name}" for name, places in ONLY.items() if name in found and path not in places]
    if "a relative import" in found:
        wrong.append(f"{path} has a relative import")
    return wrong


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("annotator/x.py", "from PySide6.QtCore import QObject"),
        ("annotator/x.py", "def f():\n    import vtkmodules.all"),
        ("annotator/x.py", "import viewers.scene"),
        ("annotator/x.py", "import smplx"),
        ("viewers/x.py", "from annotator.sample import Sample"),
        ("viewers/x.py", "import torch"),
        ("app/x.py", "import torch.nn as nn"),
        ("app/x.py", "from . import session"),
        ("resources/x.py", "import annotator"),
        ("annotator/bodies/open_body/build.py", "import anny"),
    ],
)
def test_each_rule_bites(path: str, source: str) -> None:
    assert violations(path, source)


def test_nobody_imports_what_he_may_not() -> None:
    files = [
        ROOT / "main.py",
        *(file for name in ("annotator", "app", "viewers", "resources") for file in (ROOT / name).rglob("*.py")),
    ]
    assert len(files) > 60
    wrong = [line for file in files for line in violations(str(file.relative_to(ROOT)), file.read_text())]
    assert wrong == []


def test_the_package_of_the_desk_imports_nothing() -> None:
    assert imports_of((ROOT / "app" / "__init__.py").read_text()) == set()


def loaded_after(code: str, *names: str) -> set[str]:
    """Which of `names` are loaded in a fresh process after `code`."""
    script = f"import sys\n{code}\nprint(' '.join(n for n in {names!r} if n in sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(out.stdout.split())


def test_loaded_after_sees_what_is_loaded() -> None:
    assert loaded_after("import json", "json", "torch") == {"json"}


@pytest.mark.parametrize(
    "module",
    ["sample", "fit", "verdict", "camera", "skeleton", "images", "project", "reviews", "errors", "metrics", "recipe"],
)
def test_what_we_know_needs_neither_torch_nor_a_database(module: str) -> None:
    assert loaded_after(f"import annotator.{module}", "torch", "sqlalchemy", "PySide6", "vtkmodules", "smplx") == set()


BLOCK = """
import importlib.abc
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked!r}:
            raise ImportError(name + ' is blocked')
sys.meta_path.insert(0, Block())
"""


def run_blocked(blocked: tuple[str, ...], words: list[str]) -> subprocess.CompletedProcess[str]:
    script = f"import sys\n{BLOCK.format(blocked=set(blocked))}\nimport main\nsys.exit(main.main({words!r}))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)


WINDOW = ("PySide6", "qtpy", "qtawesome", "pyqtgraph", "vtkmodules", "pyvista")


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["bodies", "path"], ["doctor"]])
def test_light_commands_need_no_window_library_and_no_torch(words: list[str]) -> None:
    done = run_blocked((*WINDOW, "torch", "smplx", "sqlalchemy"), words)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or words == ["doctor"], done.stderr


def test_a_project_is_made_and_filled_without_window_and_torch(tmp_path: Path, desk_project: Path) -> None:
    blocked = (*WINDOW, "torch", "smplx")
    assert run_blocked(blocked, ["new", str(tmp_path / "p")]).returncode == 0
    for words in (["runs", "list"], ["jobs"], ["reviews", "summary"], ["evaluate"]):
        done = run_blocked(blocked, [*words, str(desk_project)])
        assert done.returncode == 0, (words, done.stderr)


def test_a_run_needs_no_window_no_smplx_no_anny_no_database_and_no_photos(tmp_path: Path, body: BodyModelData) -> None:
    """What a GPU machine has: torch and a project folder with its crops."""
    project, recipe = tmp_path / "project", quick_recipe(tmp_path, auxiliary=2, target=2)
    crowd, lab = write_crowd(tmp_path / "wild", body, 6), write_lab(tmp_path / "lab", body, 4)
    blocked = (*WINDOW, "pyvistaqt", "smplx", "anny", "sqlalchemy", "numba")
    words = ["run", str(project), "--recipe", str(recipe), "--device", "cpu", "--progress", "none"]
    for command in (
        ["new", str(project)],
        [
            "import",
            str(project),
            "coco-wholebody",
            str(crowd),
            "--images",
            str(tmp_path / "wild/images"),
            "--name",
            "wild",
        ],
        ["import", str(project), "human36m", str(lab), "--images", str(tmp_path / "lab/images"), "--name", "lab"],
        words,
    ):
        done = run_blocked(blocked, command)
        assert done.returncode == 0, (command, done.stderr)
    shutil.rmtree(tmp_path / "wild")
    shutil.rmtree(tmp_path / "lab")
    done = run_blocked(blocked, words)
    assert done.returncode == 0, done.stderr
    shards = [project / "runs" / run / "fits/wild/body/00000.arrow" for run in ("neuralannot-r1", "neuralannot-r1-2")]
    assert shards[0].read_bytes() == shards[1].read_bytes()


HOSTS = re.compile(r"https?://(?!www\.apache\.org|creativecommons\.org|www\.w3\.org|arxiv\.org|github\.com)")


def test_no_committed_file_names_a_host_that_serves_packages() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()
    names = [name for name in listed if (ROOT / name).suffix in {".py", ".toml", ".lock", ".sh", ".md", ""}]
    assert len(names) > 80
    assert HOSTS.search("see https:" + "//some.registry.example/simple")
    named = [
        name for name in names if (ROOT / name).is_file() and HOSTS.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []
