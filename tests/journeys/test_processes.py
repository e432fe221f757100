"""Several processes on one run, as torchrun starts them: the same fits, the same losses, one log; stopped, killed, resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from annotator.bodies.files import BodyModelData
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.runs import FINISHED, STOPPED
from tests.support.cli import MAIN, ONE_THREAD, ROOT, in_stage, run_main, wait_for
from tests.support.small_data import quick_recipe, write_crowd, write_lab

RUN = "neuralannot-r1"
TWIN = ROOT / "tests" / "support" / "twin_training.py"
TARGET_STEPS = 60
PATIENCE = 600
"""Seconds: three processes that import torch where others use the machine too."""


def together(count: int, *words: object) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    return [*torchrun, *map(str, words)]


def start(count: int, *words: object, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            together(count, MAIN[1], *words), stdout=file, stderr=file, cwd=ROOT, env=ONE_THREAD, start_new_session=True
        )


def workers(leader: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of what torchrun started, the leader of the run first."""
    children = Path(f"/proc/{leader.pid}/task/{leader.pid}/children").read_text().split()
    found: dict[int, int] = {}
    for child in map(int, children):
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        rank = next((word for word in environment if word.startswith(b"RANK=")), None)
        if rank is not None:
            found[int(rank[5:])] = child
    return [found[rank] for rank in sorted(found)]


def shards(project: Path) -> dict[str, bytes]:
    folder = project / "runs" / RUN / "fits"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.arrow"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, body: BodyModelData) -> Path:
    """Folder with `project`, 1,040 people after a run by one process."""
    folder = tmp_path_factory.mktemp("processes")
    project = folder / "project"
    crowd, lab = write_crowd(folder / "wild", body, 1040), write_lab(folder / "lab", body, 8)
    run_main("new", project)
    run_main("import", project, "coco-wholebody", crowd, "--images", folder / "wild" / "images", "--name", "wild")
    run_main("import", project, "human36m", lab, "--images", folder / "lab" / "images", "--name", "lab")
    recipe = quick_recipe(folder)
    run_main("run", project, "--recipe", recipe, "--device", "cpu", "--progress", "none")
    return folder


@pytest.fixture
def few(tmp_path: Path, body: BodyModelData) -> Path:
    """A project of two dozen people without a run, beside its recipe `quick.toml`."""
    project = tmp_path / "project"
    crowd, lab = write_crowd(tmp_path / "wild", body, 24), write_lab(tmp_path / "lab", body, 8)
    run_main("new", project)
    run_main("import", project, "coco-wholebody", crowd, "--images", tmp_path / "wild" / "images", "--name", "wild")
    run_main("import", project, "human36m", lab, "--images", tmp_path / "lab" / "images", "--name", "lab")
    quick_recipe(tmp_path, target=TARGET_STEPS)
    return project


@pytest.mark.parametrize("how", ["own statistics", "frozen"])
def test_two_processes_take_the_steps_of_one(tmp_path: Path, how: str) -> None:
    """House rule: the losses of the first twenty steps agree to 1e-5."""
    found: list[dict[str, list[float]]] = []
    for number, words in enumerate((together(2, TWIN), [sys.executable, str(TWIN)])):
        out = tmp_path / f"{number}.json"
        subprocess.run(
            [*words, str(out), how.split(maxsplit=1)[0]], check=True, cwd=ROOT, env=ONE_THREAD, capture_output=True
        )
        found.append(json.loads(out.read_text()))
    two, one = found
    assert (two["processes"], one["processes"]) == (2, 1)
    assert len(two["losses"]) == 20
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert len(set(two["losses"])) == 20


@pytest.mark.parametrize("count", [2, 3])
def test_fits_are_the_same_bytes_on_any_number_of_processes(made: Path, tmp_path: Path, count: int) -> None:
    project = tmp_path / "project"
    shutil.copytree(made / "project", project)
    run = Project.open(project).run(RUN)
    shutil.rmtree(run.path / "fits" / "wild")
    run.set_state(STOPPED)
    process = start(
        count, "run", project, "--resume", RUN, "--device", "cpu", "--progress", "none", log=tmp_path / "log"
    )
    assert process.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert shards(project) == shards(made / "project")
    assert run.info.machine["processes"] == str(count)
    assert run.state == FINISHED


def test_a_run_of_two_processes_is_stopped_killed_and_resumed(few: Path, tmp_path: Path) -> None:
    project, log = few, tmp_path / "log.txt"
    run = project / "runs" / RUN
    words = ("--device", "cpu", "--progress", "none")

    process = start(2, "run", project, "--recipe", tmp_path / "quick.toml", *words, log=log)
    wait_for(in_stage(run, "Training the target network"), process, PATIENCE)
    run_main("stop", project, RUN)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert Project.open(project).run(RUN).state == STOPPED
    assert log.read_text().count("goes on with `run PROJECT --resume`") == 1  # one of them speaks
    steps = json.loads((run / "networks" / "body-target" / "losses.jsonl").read_text().splitlines()[-1])["step"]
    assert 0 < steps <= TARGET_STEPS

    process = start(2, "run", project, "--resume", RUN, *words, log=log)
    said = len(JobFolder(run).events())
    wait_for(lambda: len(JobFolder(run).events()) > said + 1, process, PATIENCE)
    os.kill(workers(process)[1], signal.SIGKILL)
    assert process.wait(PATIENCE) != 0
    assert "Another process of this run has ended" in log.read_text()
    assert "--resume" in Project.open(project).run(RUN).info.message

    process = start(2, "run", project, "--resume", RUN, *words, log=log)
    assert process.wait(PATIENCE) == 0, log.read_text()
    assert Project.open(project).run(RUN).state == FINISHED
    assert shards(project).keys() == {"lab/body/00000.arrow", "wild/body/00000.arrow"}
    hello = [event for event in JobFolder(run).events() if event["t"] == "hello"]
    assert len(hello) == 3  # one log, whoever else worked


def test_a_refusal_is_said_once_and_leaves_no_run(few: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = start(2, "run", few, "--recipe", "papre", "--progress", "none", log=log)
    assert process.wait(PATIENCE) == 1
    assert log.read_text().count("There is no recipe 'papre'") == 1
    assert Project.open(few).runs() == []
