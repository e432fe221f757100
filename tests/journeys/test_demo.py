"""The demo: people with known truth, drawn, learnt from and measured. Its claim is that it learns."""

import json
import re
import shutil
import time
from pathlib import Path

from annotator.project import Project
from annotator.runs import FINISHED
from tests.support.cli import refused, run_main, without


def test_the_tiny_demo_learns_more_than_the_mean_pose(tiny_demo: tuple[Path, str]) -> None:
    _, table = tiny_demo
    rows = {
        line.split("  ")[0]: line for line in table.splitlines() if line.startswith(("mean pose", "neuralannot-r1"))
    }
    assert set(rows) >= {"mean pose", "neuralannot-r1"}
    ratio = re.search(r"PA-MPJPE is (\d\.\d+) of the mean-pose predictor's on wild", table)
    assert ratio is not None
    assert float(ratio[1]) <= 0.85


def test_the_whole_demo_runs_without_the_smplx_package(tiny_demo: tuple[Path, str], without_smplx: Path) -> None:
    """It was made in an environment in which that package cannot be imported, and nothing so much as tried."""
    assert Project.open(tiny_demo[0] / "project").runs()
    assert not (without_smplx / "asked").exists()


def test_a_blocked_package_cannot_be_imported(tmp_path: Path) -> None:
    env = without("smplx", tmp_path / "blocked")
    refusal = run_main("bodies", "check", "--progress", "none", code=None, env=env)
    assert refusal.returncode != 0
    assert (tmp_path / "blocked" / "asked").exists()


def test_the_demo_goes_on_where_it_was_and_prints_at_once(tiny_demo: tuple[Path, str]) -> None:
    out, first = tiny_demo
    began = time.monotonic()
    again = run_main("demo", "--size", "tiny", "--no-window", "--out", out, "--progress", "none").stdout
    assert again == first
    assert time.monotonic() - began < 60
    assert len(Project.open(out / "project").runs()) == 1
    assert "holds the tiny demo" in refused("demo", "--size", "small", "--no-window", "--out", out)


def test_the_truth_stays_outside_and_evaluate_opens_it(tiny_demo: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = tiny_demo
    assert not list((out / "project").rglob("*truth*"))
    numbers = tmp_path / "numbers.json"
    run_main("evaluate", out / "project", "--truth", out / "truth", "--json", numbers, "--progress", "none")
    found = {(row["run"], row["dataset"]): row for row in json.loads(numbers.read_text())}
    assert Project.open(out / "project").run("neuralannot-r1").state == FINISHED
    ours, floor = found["neuralannot-r1", "wild"], found["mean pose", "wild"]
    assert ours["people"] == floor["people"]
    assert ours["people"] > 130
    assert ours["pa_mpjpe"] < 0.85 * floor["pa_mpjpe"]
    assert ours["seconds_batch1"] > 0


def test_a_copied_project_works_elsewhere_after_relinking(tiny_demo: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = tiny_demo
    shutil.copytree(out / "project", tmp_path / "p")
    shutil.copytree(out / "data" / "wild" / "images", tmp_path / "photos")
    table = run_main("relink", tmp_path / "p", f"wild={tmp_path / 'photos' / 'train2017'}").stdout
    assert table.strip() == "All photos are there."
