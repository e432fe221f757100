"""The project folder: refusals in one sentence, nothing lost."""

import errno
import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.bodies.files import default_root, load_body_model, read_arrays
from annotator.bodies.layouts import model_path
from annotator.bodies.stored import write_arrays
from annotator.bodies.written import TEXTS
from annotator.commands.evaluate import evaluate
from annotator.commands.export import export
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new, relink
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.datasetfolder import DatasetInfo
from annotator.errors import (
    BodyModelError,
    NeuralAnnotError,
    ProjectError,
    RunError,
    StorageError,
    storage,
)
from annotator.fit import FitHeader, Fits
from annotator.jobfolder import JobFolder
from annotator.outside import safe_join
from annotator.progress import Progress, Stopped
from annotator.project import Project
from annotator.projectfile import BodyModelSource
from annotator.runs import INTERRUPTED, RUNNING, RunInfo, write_text
from annotator.sample import Samples
from tests.support.desk_project import MISSING_ROW


def test_a_new_project_has_the_open_body_inside(tmp_path: Path) -> None:
    project = new(tmp_path / "p")
    assert project.body_model_root("smplx").is_relative_to(tmp_path / "p")
    assert json.loads(json.dumps(project.body_models["smplx"].hash))
    assert Project.open(tmp_path / "p").datasets() == {}


def test_a_folder_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "thesis.txt").write_text("x")
    with pytest.raises(ProjectError, match="not empty"):
        new(tmp_path / "p")
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["thesis.txt"]


def test_a_missing_body_model_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(NeuralAnnotError, match="nowhere"):
        new(tmp_path / "p", body_models=tmp_path / "nowhere")
    assert not (tmp_path / "p" / "project.toml").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("format = 2\n", "newer version"),
        ("format = [", "damaged"),
        ("[body_models]\n", "does not say its format"),
    ],
)
def test_a_project_that_cannot_be_read_says_why(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "project.toml").write_text(text)
    with pytest.raises(ProjectError, match=sentence):
        Project.open(tmp_path)
    assert (tmp_path / "project.toml").read_text() == text


def test_a_folder_that_is_no_project_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="not a project"):
        Project.open(tmp_path)


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/passwd", "a/../../x.jpg", "..\\x.jpg"])
def test_image_paths_cannot_leave_their_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(ProjectError, match="leaves its image root"):
        safe_join(tmp_path, path)


def test_the_second_window_learns_who_holds_the_project(desk_project: Path) -> None:
    with Project.open(desk_project).desk_lock() as first, Project.open(desk_project).desk_lock() as second:
        assert first == ""
        assert f"process {os.getpid()}" in second
    with Project.open(desk_project).desk_lock() as third:
        assert third == ""


def test_moved_photos_are_found_after_relinking(
    desk_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.open(desk_project)
    assert len(project.missing_photos()["wild"]) == 1
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    assert len(project.missing_photos()) == 1
    table = relink(desk_project, {"wild": moved})
    assert len(Project.open(desk_project).missing_photos()["wild"]) == 12
    assert len(table.rows) == 12  # every photo is named
    assert table.rows[0][:2] == ("wild", "12")
    many = [f"{number}.jpg" for number in range(1500)]
    monkeypatch.setattr(Project, "missing_photos", lambda _self: {"wild": many})
    rows = relink(desk_project, {}).rows
    assert [row[2] for row in rows] == [*many[:20], "and 1,480 more"]
    assert rows[0][1] == "1,500"
    monkeypatch.undo()
    with pytest.raises(ProjectError, match="no image root called 'tame'"):
        Project.open(desk_project).relink({"tame": moved})


def test_missing_photos_are_named(desk_project: Path) -> None:
    project = Project.open(desk_project)
    sample = project.samples("wild", "body")[MISSING_ROW]
    assert project.missing_photos() == {"wild": [sample.image]}


def test_a_data_set_cannot_be_called_target(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    for name in ("prior", "target", "all", "none", "../x", "A B"):
        with pytest.raises(ProjectError, match="cannot be called"):
            project.add(DatasetInfo(name, "x", "target", name, {}, {"body": 1}), {"body": samples}, desk_project)
        with pytest.raises(ProjectError, match="cannot be called"):  # before a file is read
            next(import_dataset(desk_project, "coco-wholebody", tmp_path / "none.json", images=tmp_path, name=name))


def test_an_import_that_breaks_leaves_the_old_one(desk_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    info = project.datasets()["wild"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(samples), "write", full)
    with pytest.raises(StorageError, match="disk is full"):
        project.add(info, {"body": samples}, project.image_roots["wild"])
    monkeypatch.undo()
    assert len(Project.open(desk_project).samples("wild", "body")) == 12
    assert [p.name for p in (desk_project / "datasets").iterdir() if not p.name.startswith(".lock")] == ["wild"]


def test_a_full_disk_is_one_sentence_and_other_errors_stay(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk is full"), storage(tmp_path):
        raise OSError(28, "No space left on device")
    with pytest.raises(ProcessLookupError), storage(tmp_path):
        raise ProcessLookupError(3, "No such process")


def test_a_real_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full refuses every byte, as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    target = tmp_path / "x.json"
    target.write_text("old")
    monkeypatch.setattr("annotator.wholefile.own_word", lambda: "own")
    (tmp_path / ".x.json.own.half").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="disk is full"):
        write_text(target, "new")
    assert target.read_text() == "old"


def test_a_data_set_that_a_run_works_on_is_not_replaced(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    busy = project.new_run(RunInfo("neuralannot-r2", "neuralannot", "tiny", datasets=("wild",)))
    samples, info = project.samples("wild", "body"), project.datasets()["wild"]
    with busy.job.working():
        with pytest.raises(ProjectError, match=r"neuralannot-r2 is working on wild; stop it first"):
            project.add(info, {"body": samples}, project.image_roots["wild"])
        with pytest.raises(ProjectError, match="is working on wild"):  # before a file is read
            next(import_dataset(desk_project, "coco-wholebody", tmp_path / "none.json", images=tmp_path, name="wild"))
        project.add(replace(info, name="tame"), {"body": samples}, project.image_roots["wild"])
    project.add(info, {"body": samples}, project.image_roots["wild"])


def test_what_an_import_wrote_meanwhile_is_kept_by_a_relink(desk_project: Path, tmp_path: Path) -> None:
    """Both change project.toml; whoever comes later begins with what lies there then."""
    early, late = Project.open(desk_project), Project.open(desk_project)
    samples, info = early.samples("wild", "body"), early.datasets()["wild"]
    late.add(replace(info, name="tame", image_root="tame"), {"body": samples}, tmp_path)
    early.relink({"wild": tmp_path})
    early.set_body_models({"flame": BodyModelSource(desk_project / "body_models", "new")})
    found = Project.open(desk_project)
    assert found.image_roots["tame"] == found.image_roots["wild"] == tmp_path
    assert found.body_models["flame"].hash == "new"
    assert found.body_models["smplx"] == late.body_models["smplx"]


def test_relinking_changes_everything_or_nothing(desk_project: Path, tmp_path: Path) -> None:
    before = (desk_project / "project.toml").read_bytes()
    for changes, said in (
        ({"wild": tmp_path, "body_models": tmp_path / "nowhere"}, "no folder"),
        ({"wild": tmp_path, "tame": tmp_path}, "Nothing was changed"),
        ({"wild": tmp_path, "body_models": tmp_path}, "no smplx/ folder"),
    ):
        with pytest.raises(NeuralAnnotError, match=said):
            relink(desk_project, changes)
        assert (desk_project / "project.toml").read_bytes() == before


def test_running_without_a_worker_is_interrupted(desk_project: Path) -> None:
    run = Project.open(desk_project).run("neuralannot-r1")
    run.set_state(RUNNING)
    assert run.state == INTERRUPTED
    with run.job.working():
        assert run.state == RUNNING


def test_a_half_written_shard_is_not_seen(desk_project: Path) -> None:
    run = Project.open(desk_project).run("neuralannot-r1")
    folder = run.fits_folder("wild", "body")
    (folder / ".00001.arrow.123").write_bytes(b"half")
    fits = run.fits("wild", "body")
    assert fits is not None
    assert len(fits) == 12


def test_scores_are_rewritten_and_fits_are_not_touched(desk_project: Path) -> None:
    run = Project.open(desk_project).run("smplifyx-r1")
    before = run.shard_path("wild", "body", 0).read_bytes()
    run.write_score("wild", "body", "mine", ["wild/100"], [2.5])
    assert run.score("wild", "body", "mine") == {"wild/100": 2.5}
    assert run.score("wild", "body", "other") is None
    assert run.shard_path("wild", "body", 0).read_bytes() == before


def test_true_fits_have_no_2d_error(desk_project: Path) -> None:
    run = Project.open(desk_project).run("smplifyx-r1")
    errors = run.score("wild", "body", "error_2d_crop")
    assert errors is not None
    assert max(errors.values()) < 0.05  # labels are rounded to a hundredth of a px
    noisy = Project.open(desk_project).run("neuralannot-r1").score("wild", "body", "error_2d_crop")
    assert noisy is not None
    assert np.nanmin(list(noisy.values())) > 1
    assert np.isnan(noisy["wild/103"])


def job(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path / "job")


def test_a_job_writes_down_what_it_reports(tmp_path: Path) -> None:
    def work():
        yield Progress("Counting", 1, 3, "sheep", values={"loss": 0.5})
        yield Progress("Counting", 3, 3, "sheep", message="All there.")

    ends: list[tuple[str, str]] = []
    list(job(tmp_path).record(work(), on_end=lambda *end: ends.append(end)))
    kinds = [event["t"] for event in job(tmp_path).events()]
    assert kinds == ["hello", "progress", "progress", "done"]
    assert job(tmp_path).events()[1]["values"] == {"loss": 0.5}
    assert ends == [("finished", "")]


def test_two_workers_do_not_share_a_folder(tmp_path: Path) -> None:
    with job(tmp_path).working():
        assert job(tmp_path).alive
        with pytest.raises(RunError, match="Another worker"), job(tmp_path).working():
            pass
    assert not job(tmp_path).alive


def test_the_stop_file_stops_politely(tmp_path: Path) -> None:
    saved: list[bool] = []

    def work():
        try:
            for step in range(100):
                if step == 3:
                    job(tmp_path).ask_to_stop()
                yield Progress("Working", step, 100, "steps")
        except Stopped:
            saved.append(True)
            raise

    with pytest.raises(Stopped):
        list(job(tmp_path).record(work()))
    assert saved == [True]
    assert job(tmp_path).events()[-1]["t"] == "stopped"


def test_a_half_written_line_is_left_out(tmp_path: Path) -> None:
    job(tmp_path).path.mkdir()
    job(tmp_path).append("hello", pid=1)
    with job(tmp_path).events_path.open("a") as file:
        file.write('{"t": "prog')
    assert [event["t"] for event in job(tmp_path).events()] == ["hello"]


def test_events_can_be_read_while_they_are_written(tmp_path: Path) -> None:
    folder = job(tmp_path)
    folder.path.mkdir()
    writer = threading.Thread(target=lambda: [folder.append("progress", stage="Counting", n=n) for n in range(300)])
    writer.start()
    while writer.is_alive():
        seen = [event["n"] for event in folder.events()]
        assert seen == list(range(len(seen)))
    writer.join()
    assert len(folder.events()) == 300


def test_a_header_survives(tmp_path: Path) -> None:
    header = FitHeader("smplx", "body", "abc", "smplx", True)
    camera = {"focal": np.ones((1, 2)), "princpt": np.ones((1, 2)), "transl": np.ones((1, 3))}
    Fits.of(header, ["a/1"], {}, **camera).write(tmp_path / "x")
    assert Fits.read([tmp_path / "x"]).header == header


def test_half_a_line_of_events_costs_that_line_alone(tmp_path: Path) -> None:
    job = JobFolder(tmp_path)
    job.append("hello", pid=1)
    with job.events_path.open("ab") as file:
        file.write(b'{"v":1,"t":"prog')  # killed here
    job.append("hello", pid=2)
    assert [event["pid"] for event in job.events()] == [1, 2]


def larger(folder: Path) -> Path:
    """Makes the body in a folder of body models a fifth larger, in a file that says nothing of itself."""
    path = model_path(folder, "smplx")
    arrays = {name: values for name, values in read_arrays(path).items() if name not in TEXTS}
    write_arrays(path, arrays | {"v_template": 1.2 * arrays["v_template"]})
    return folder


def test_fits_stay_with_the_body_model_that_they_belong_to(desk_project: Path, tmp_path: Path) -> None:
    own = desk_project / "body_models"
    other = larger(shutil.copytree(own, tmp_path / "other"))
    before = (desk_project / "project.toml").read_text()
    with pytest.raises(BodyModelError, match=r"is another one .* nothing was changed; make a new project"):
        relink(desk_project, {"body_models": other})
    assert (desk_project / "project.toml").read_text() == before
    larger(own)  # behind the program's back
    for work in (
        evaluate(desk_project, run_ids=("neuralannot-r1",)),
        export(desk_project, "neuralannot", tmp_path / "out.json", run_id="neuralannot-r1"),
        run(desk_project, RunOptions(recipe="tiny", round=2, source="neuralannot-r1")),
    ):
        with pytest.raises(BodyModelError, match="fits of neuralannot-r1 belong to another smplx body model"):
            list(work)
    assert not (tmp_path / "out.json").exists()


def test_a_project_without_runs_may_change_its_body_models(tmp_path: Path) -> None:
    shutil.copytree(default_root(), tmp_path / "models")
    new(tmp_path / "p", body_models=tmp_path / "models", copy=False)
    other = larger(shutil.copytree(tmp_path / "models", tmp_path / "other"))
    shutil.rmtree(tmp_path / "models")
    shutil.rmtree(other / "flame")
    said = relink(tmp_path / "p", {"body_models": other}).text()
    assert "flame are missing: there is no folder" in said
    found = Project.open(tmp_path / "p").body_models
    assert found["smplx"] == BodyModelSource(other, load_body_model(other, "smplx").hash)
    assert found["flame"].folder == tmp_path / "models"


def test_an_import_that_fails_leaves_no_image_root(
    desk_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, before = Project.open(desk_project), (desk_project / "project.toml").read_text()
    samples = project.samples("wild", "body")

    def full(_samples: Samples, _folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Samples, "write", full)
    info = DatasetInfo("more", "coco-wholebody", "target", "more", {}, {"body": len(samples)})
    with pytest.raises(StorageError, match="disk is full"):
        project.add(info, {"body": samples}, tmp_path)
    assert (desk_project / "project.toml").read_text() == before
    assert "more" not in project.datasets()
