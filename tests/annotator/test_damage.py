"""Files of a project that were damaged by hand or by a disk: one sentence each, and what is whole goes on working."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from annotator.bodies.files import default_root
from annotator.columns import write_shard
from annotator.commands.projects import new, relink
from annotator.commands.runs import list_jobs, list_runs, remove_runs, run_sizes
from annotator.errors import NeuralAnnotError, ProjectError, RecipeError, ReviewError, StorageError
from annotator.jobfolder import JobFolder
from annotator.project import Project
from annotator.recipe import load_recipe, read_recipe
from annotator.reviews import ReviewLog
from annotator.runs import RunInfo, write_text
from annotator.verdict import EventKind, FitKey, ReviewEvent

DEEP = "[" * 100_000
MODELS = '[body_models.smplx]\nfolder = "b"\nhash = "x"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("format = 0\n", "does not say its format"),
        ("format = true\n", "does not say its format"),
        ('format = "1"\n', "does not say its format"),
        ("format = 1.0\n", "does not say its format"),
        ("format = 1\nbody_models = 3\n", "body_models should be a table"),
        (
            "format = 1\n[body_models]\nsmplx = 3\n",
            "body_models.smplx should be a table with the texts folder and hash",
        ),
        ("format = 1\n[body_models.smplx]\nfolder = 3\n", "body_models.smplx should be"),
        ('format = 1\n[image_roots]\nwild = ["x"]\n', "image_roots.wild should be the path of a folder"),
        ('format = 1\n[image_roots]\nwild = "a\\u0000b"\n', "image_roots.wild should be"),
        ("format = 1\nimage_roots = []\n", "image_roots should be a table"),
        ("format = 1\ncache_gb = true\n", "cache_gb should be a number of gigabytes"),
        ("format = 1\ncache_gb = nan\n", "cache_gb should be"),
        (f"format = {DEEP}", "is damaged"),
        (f"format = {'1' * 5000}", "is damaged"),
    ],
)
def test_a_project_file_with_a_wrong_type_names_it(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "project.toml").write_text(text)
    with pytest.raises(ProjectError, match=sentence.replace(".", r"\.")) as caught:
        Project.open(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "project.toml").read_text() == text


def test_binary_and_missing_tables(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_bytes(b"\x80\x02\xff")
    with pytest.raises(ProjectError, match="is damaged"):
        Project.open(tmp_path)
    (tmp_path / "project.toml").write_text(f"format = 1\n{MODELS}")
    project = Project.open(tmp_path)
    assert project.image_roots == {}
    assert project.missing_photos() == {}
    with pytest.raises(ProjectError, match="no image root called 'wild'; it has body_models"):
        project.relink({"wild": tmp_path})
    assert "All photos" in relink(tmp_path, {"body_models": default_root()}).text()


RUN_JSON = (
    b"",
    b"\x80\x02\xff",
    b'{"id": "neuralannot-r1"',
    b"[]",
    DEEP.encode(),
    b'{"id": "x", "annotator": "neuralannot", "recipe": "tiny", "created": 5}',
    b'{"id": "x", "annotator": 3, "recipe": "tiny"}',
    b'{"id": "x", "recipe": "tiny"}',
    b'{"id": "x", "annotator": "neuralannot", "recipe": "tiny", "datasets": "wild"}',
)


@pytest.mark.parametrize("data", RUN_JSON, ids=range(len(RUN_JSON)))
def test_one_damaged_run_is_listed_as_damaged_beside_the_others(desk_project: Path, data: bytes) -> None:
    file = desk_project / "runs" / "neuralannot-r1" / "run.json"
    file.write_bytes(data)
    project = Project.open(desk_project)
    assert [run.id for run in project.runs()] == ["smplifyx-r1"]
    for text in (list_runs(desk_project).text(), list_jobs(desk_project).text()):
        lines = text.splitlines()
        assert any(line.startswith("smplifyx-r1") and "damaged" not in line for line in lines)
        assert f"{file} cannot be read (" in text
        assert "remove the run with `runs remove`." in text
    row = next(line for line in list_runs(desk_project).text().splitlines() if line.startswith("neuralannot-r1"))
    assert "damaged" in row
    with pytest.raises(ProjectError, match="cannot be read"):
        project.run("neuralannot-r1").info  # noqa: B018
    assert "Removed neuralannot-r1" in remove_runs(desk_project, ("neuralannot-r1",)).text()  # as the sentence says
    assert Project.open(desk_project).damaged_runs() == []


def test_a_run_without_its_file_is_damaged_and_can_be_removed(desk_project: Path) -> None:
    (desk_project / "runs" / "neuralannot-r1" / "run.json").unlink()
    assert "damaged" in list_runs(desk_project).text()
    remove_runs(desk_project, ("neuralannot-r1",))
    assert not (desk_project / "runs" / "neuralannot-r1").exists()


@pytest.mark.parametrize("whole", [False, True])
def test_fits_that_cannot_be_read_damage_their_run_alone(desk_project: Path, whole: bool) -> None:
    shard = Project.open(desk_project).run("neuralannot-r1").shard_path("wild", "body", 0)
    if whole:
        write_shard(shard, pa.table({"x": [1]}))  # a table, but not of fits
    else:
        shard.write_bytes(b"no table")
    text = list_runs(desk_project).text()
    assert next(line for line in text.splitlines() if line.startswith("neuralannot-r1")).count("damaged") == 1
    assert next(line for line in text.splitlines() if line.startswith("smplifyx-r1")).count("finished") == 1
    assert "neuralannot-r1" in run_sizes(desk_project).text()


def test_samples_that_are_none_say_so(desk_project: Path) -> None:
    write_shard(desk_project / "datasets" / "wild" / "samples-body-00000.arrow", pa.table({"x": [1]}))
    with pytest.raises(ProjectError, match="holds no samples that can be read; import the data set again"):
        Project.open(desk_project).samples("wild", "body")


@pytest.mark.parametrize("text", ["", "[]", DEEP, '{"name": 3}', '{"refused": [1]}'])
def test_a_damaged_data_set_says_so(desk_project: Path, text: str) -> None:
    (desk_project / "datasets" / "wild" / "dataset.json").write_text(text)
    with pytest.raises(ProjectError, match="import the data set again"):
        Project.open(desk_project).datasets()


EVENTS = b"""{"v":1,"t":"hello","time":1.0,"pid":7}
\x80\x02\xff binary
{"t":"progress","time":2.0}
{"t":"progress","time":"late","stage":"x"}
{"t":"progress","time":2.0,"stage":"x","done":"many"}
{"t":"progress","time":2.0,"stage":"x","values":{"loss":"low"}}
{"t":["progress"],"time":2.0}
{"t":"hello","time":2.0}
[1,2]
null
"""


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    whole = b'{"v":1,"t":"progress","time":3.0,"stage":"Counting","done":1,"total":2,"values":{"loss":0.5}}\n'
    (tmp_path / "events.jsonl").write_bytes(EVENTS + DEEP.encode() + b"\n" + whole)
    assert [event["t"] for event in JobFolder(tmp_path).events()] == ["hello", "progress"]


def test_events_that_cannot_be_read_damage_their_job_alone(desk_project: Path) -> None:
    (desk_project / "runs" / "neuralannot-r1" / "events.jsonl").mkdir()
    (desk_project / "runs" / "smplifyx-r1" / "events.jsonl").write_bytes(b"\x80\x02\xff" * 100)
    job = desk_project / "jobs" / "20250101-000000-import"
    job.mkdir(parents=True)
    JobFolder(job).append("hello", pid=1)
    text = list_jobs(desk_project).text()
    states = {line.split()[0]: line.split()[1] for line in text.splitlines() if line[:1].isalnum()}
    assert states["neuralannot-r1"] == "damaged"
    assert states["smplifyx-r1"] == "finished"  # as its run.json says
    assert states[job.name] == "interrupted"
    assert "neuralannot-r1/events.jsonl cannot be read (Is a directory)" in text


def test_a_lock_that_is_none_means_that_nobody_works(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    assert not JobFolder(tmp_path).alive


def test_a_run_says_from_which_it_learnt_by_the_name_of_the_option(desk_project: Path) -> None:
    run = Project.open(desk_project).new_run(RunInfo("neuralannot-r2", "neuralannot", "tiny", 2, "neuralannot-r1"))
    file = json.loads((run.path / "run.json").read_text())
    assert file["from"] == "neuralannot-r1"
    assert "source" not in file
    assert run.info.source == "neuralannot-r1"


def test_a_read_only_project_keeps_its_runs(desk_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StorageError, match="the disk is read-only"):
        remove_runs(desk_project, ("neuralannot-r1",))
    monkeypatch.undo()
    assert "finished" in list_runs(desk_project).text()


def test_a_name_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not UTF-8"):
        write_text(tmp_path / "x.toml", "name = '\udcff'")
    assert list(tmp_path.iterdir()) == []
    folder = tmp_path / os.fsdecode(b"photos-\xff")
    folder.mkdir()
    project = new(tmp_path / "p")
    with pytest.raises(ProjectError, match=r"photos-\\udcff is not UTF-8"):
        project.relink({"body_models": folder})


def test_a_review_log_with_events_of_others_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    log = ReviewLog(path)
    log.append(ReviewEvent(EventKind.VERDICT, FitKey("r", "a/1", "body"), value="accept"))
    log.close()
    for column, value in (("value", "maybe"), ("kind", "applause"), ("reasons", DEEP), ("time", "noon")):
        shutil.copy(path, tmp_path / "copy.sqlite")
        with sqlite3.connect(tmp_path / "copy.sqlite") as connection:
            connection.execute(f"update events set {column} = ?", (value,))
        connection.close()
        with pytest.raises(ReviewError, match="has no meaning"):
            ReviewLog(tmp_path / "copy.sqlite").judgements()


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no recipe"):
        load_recipe("x" * 5000)
    for data in (b"\x80\xff", b"a = " + DEEP.encode(), b"a = " + b"1" * 5000):
        (tmp_path / "r.toml").write_bytes(data)
        with pytest.raises(RecipeError, match="is not TOML"):
            load_recipe(str(tmp_path / "r.toml"))
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path, "x")


# -- new -------------------------------------------------------------------------------------------------------------------


def test_a_new_project_in_a_place_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for path in (tmp_path / "round", tmp_path / "round" / "p", tmp_path / ("x" * 5000), tmp_path / ("x" * 300)):
        with pytest.raises(NeuralAnnotError) as caught:
            new(path)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["round"]


@pytest.mark.parametrize("there", [False, True], ids=["absent", "empty folder"])
def test_a_project_that_cannot_be_made_whole_is_taken_away_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    place = tmp_path / "a" / "b" / "p"
    if there:
        place.mkdir(parents=True)
    copy, copied = shutil.copytree, list[Path]()

    def until_full(source: Path, target: Path, **options: bool) -> Path:
        if len(copied) == 2:
            raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])
        copied.append(target)
        return copy(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "copytree", until_full)
    with pytest.raises(StorageError, match="the disk is full"):
        new(place)
    assert len(copied) == 2
    assert place.exists() is there
    assert list(tmp_path.iterdir()) == ([tmp_path / "a"] if there else [])
    assert not there or list(place.iterdir()) == []
