"""A run that is stopped, killed and resumed gives the same bytes as one that nobody disturbed; then its next round."""

import shutil
import signal
from pathlib import Path

import pytest

from annotator.bodies.files import BodyModelData
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.reviews import frozen
from annotator.runs import FINISHED, INTERRUPTED, STOPPED
from annotator.verdict import FitKey, Verdict
from tests.support.cli import in_stage, run_main, start_main, wait_for
from tests.support.small_data import quick_recipe, write_crowd, write_lab

PEOPLE, SHARDS = 1040, 3
RUN = "neuralannot-r1"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, body: BodyModelData) -> Path:
    """Folder with `project`, whose one run nobody disturbed, and `fresh`, the same project before that run."""
    folder = tmp_path_factory.mktemp("runs")
    project = folder / "project"
    crowd, lab = write_crowd(folder / "wild", body, PEOPLE), write_lab(folder / "lab", body, 8)
    run_main("new", project)
    run_main("import", project, "coco-wholebody", crowd, "--images", folder / "wild" / "images", "--name", "wild")
    run_main("import", project, "human36m", lab, "--images", folder / "lab" / "images", "--name", "lab")
    shutil.copytree(project, folder / "fresh")
    recipe = quick_recipe(folder, target=30)
    done = run_main("run", project, "--recipe", recipe, "--device", "cpu", "--progress", "json")
    assert '"t": "progress"' in done.stdout
    return folder


def shards(project: Path, run: str = RUN) -> dict[str, bytes]:
    folder = project / "runs" / run / "fits"
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.arrow"))}


def test_stopped_and_killed_runs_end_with_the_same_fits(undisturbed: Path, tmp_path: Path) -> None:
    project, run = tmp_path / "project", tmp_path / "project" / "runs" / RUN
    recipe, log = undisturbed / "quick.toml", tmp_path / "log.txt"
    shutil.copytree(undisturbed / "fresh", project)

    worker = start_main("run", project, "--recipe", recipe, "--device", "cpu", log=log)
    wait_for(in_stage(run, "Training the target network"), worker)
    worker.send_signal(signal.SIGSTOP)  # so that it cannot end while we ask it to
    assert "running" in run_main("jobs", project).stdout
    assert "will save what it has" in run_main("stop", project, RUN).stdout
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(60) == 0, log.read_text()
    assert "goes on with `run PROJECT --resume`" in log.read_text()
    assert Project.open(project).run(RUN).state == STOPPED
    assert "stopped" in run_main("runs", "list", project).stdout
    assert not shards(project).keys() & {"wild/body/00000.arrow"}

    worker = start_main("run", project, "--resume", RUN, "--device", "cpu", log=log)
    wait_for((run / "fits" / "wild" / "body" / "00000.arrow").exists, worker)
    worker.kill()
    worker.wait()
    assert Project.open(project).run(RUN).state == INTERRUPTED
    assert "interrupted" in run_main("jobs", project).stdout
    kept = {path: path.stat().st_mtime_ns for path in (run / "fits" / "wild" / "body").glob("*.arrow")}
    assert 1 <= len(kept) < SHARDS
    assert set(shards(project).items()) < set(shards(undisturbed / "project").items())

    run_main("run", project, "--resume", "--device", "cpu", "--progress", "none")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # what was saved is not done again
    assert shards(project) == shards(undisturbed / "project")
    assert len(shards(project)) == SHARDS + 1
    steps = [event["done"] for event in JobFolder(run).events() if event.get("stage") == "Training the target network"]
    assert steps == sorted(steps)  # training went on where it was
    assert "nothing to resume" in run_main("run", project, "--resume", RUN, code=1).stderr


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_run_as_stop_does(undisturbed: Path, tmp_path: Path, asked: signal.Signals) -> None:
    """What the system sends at its shutdown, and Ctrl+C: a checkpoint, then an end with one sentence."""
    project, log = tmp_path / "project", tmp_path / "log.txt"
    shutil.copytree(undisturbed / "fresh", project)
    worker = start_main("run", project, "--recipe", undisturbed / "quick.toml", "--device", "cpu", log=log)
    wait_for(in_stage(project / "runs" / RUN, "Training the target network"), worker)
    worker.send_signal(asked)
    assert worker.wait(60) == 0, log.read_text()
    assert "goes on with `run PROJECT --resume`" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert Project.open(project).run(RUN).state == STOPPED
    run_main("run", project, "--resume", "--device", "cpu", "--progress", "none")
    assert shards(project) == shards(undisturbed / "project")


def test_the_next_round_learns_from_the_verdicts_that_were_in_force_at_its_start(undisturbed: Path) -> None:
    project = undisturbed / "project"
    verdicts = undisturbed / "verdicts.csv"
    verdicts.write_text(
        "sample,verdict,reasons\nwild/100,reject,depth\n101,reject,\nwild/102,accept,\n999999,reject,\n"
    )
    done = run_main("reviews", "import", project, verdicts)
    assert "Took in 3 verdicts" in done.stdout
    assert "Not in the project's runs: 1 id: 999999." in done.stdout
    assert "Reasons of rejection: depth 1." in run_main("reviews", "summary", project).stdout

    recipe = undisturbed / "quick.toml"
    run_main("run", project, "--round", 2, "--recipe", recipe, "--device", "cpu", "--progress", "none")
    second = Project.open(project).run("neuralannot-r2")
    assert (second.state, second.info.round, second.info.source) == (FINISHED, 2, RUN)
    assert frozen(second.verdicts_path) == {
        FitKey(RUN, "wild/100", "body"): Verdict.REJECT,
        FitKey(RUN, "wild/101", "body"): Verdict.REJECT,
        FitKey(RUN, "wild/102", "body"): Verdict.ACCEPT,
    }
    assert second.fitted == [("wild", "body")]  # the auxiliary fits are those of the first run
    assert not second.network_folder("body", "lab").exists()
    trained = {event.get("stage") for event in second.job.events()}
    assert "Training the target network" in trained
    assert not any(str(stage).startswith("Training the auxiliary") for stage in trained)

    third = project / "runs" / "neuralannot-r2-2"  # the same once more; its reviewer thinks again while it is stopped
    log = undisturbed / "third.txt"
    worker = start_main("run", project, "--round", 2, "--recipe", recipe, "--device", "cpu", log=log)
    wait_for(in_stage(third, "Training the target network"), worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0, log.read_text()
    everybody = "".join(f"wild/{100 + n},{RUN},reject,depth\n" for n in range(PEOPLE))
    verdicts.write_text(f"sample,run,verdict,reasons\n{everybody}")
    run_main("reviews", "import", project, verdicts)
    run_main("run", project, "--resume", third.name, "--device", "cpu", "--progress", "none")
    assert shards(project, third.name) == shards(project, "neuralannot-r2") != {}
    run_main("runs", "remove", project, third.name)

    table = run_main("evaluate", project, "--run", RUN, "--run", "neuralannot-r2", "--progress", "none").stdout
    assert table.count("neuralannot-r2") >= 1
    sizes = run_main("runs", "size", project).stdout
    assert "neuralannot-r2" in sizes
    assert "MB" in sizes
    assert "Removed neuralannot-r2" in run_main("runs", "remove", project, "neuralannot-r2").stdout
    assert "neuralannot-r2" not in run_main("runs", "list", project).stdout
    assert f"depth {PEOPLE}." in run_main("reviews", "summary", project).stdout.replace(
        ",", ""
    )  # verdicts outlive the runs


def test_a_later_round_says_what_it_cannot_learn_from(undisturbed: Path, body: BodyModelData, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(undisturbed / "project", project, ignore=shutil.ignore_patterns("cache"))
    lab = write_lab(tmp_path / "more", body, 4)
    run_main("import", project, "human36m", lab, "--images", tmp_path / "more" / "images", "--name", "more")
    recipe = undisturbed / "quick.toml"
    said = run_main("run", project, "--round", 2, "--recipe", recipe, code=1).stderr
    assert (
        said.strip()
        .splitlines()[-1]
        .startswith(
            "A later round reuses the auxiliary fits of neuralannot-r1, and not every body sample of more has one;"
        )
    )
    assert "learns from a neuralannot run of round 2" in (
        run_main("run", project, "--round", 3, "--from", RUN, "--recipe", recipe, code=1).stderr
    )
    assert "there is none; run that first" in run_main("run", project, "--round", 4, "--recipe", recipe, code=1).stderr
    assert [run.id for run in Project.open(project).runs()] == [RUN]  # no folder was made
