"""What a person can do wrong, through the real entry point: one sentence, exit 1, no traceback, and nothing saved is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.verdict import EventKind, FitKey, ReviewEvent
from tests.annotator.test_readers import COUNTS, coco
from tests.support.cli import refused, run_main
from tests.support.small_data import quick_recipe

Json = dict[str, Any]


@pytest.fixture
def saved(desk_project: Path) -> Path:
    """A project with runs and a verdict; whatever a test does, they are still there afterwards."""
    log = ReviewLog(Project.open(desk_project).reviews_path)
    log.append(ReviewEvent(EventKind.VERDICT, FitKey("neuralannot-r1", "wild/100", "body"), value="reject"))
    log.close()
    return desk_project


def everything(project: Path) -> dict[str, bytes]:
    """All that is kept, but for caches and locks."""
    files = (path for path in sorted(project.rglob("*")) if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(project)): path.read_bytes() for path in files if "cache" not in path.parts}


def half(text: str) -> str:
    return text[: len(text) // 2]


STRUCTURE: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("cut in half", half, "is not whole JSON"),
    ("another format", lambda _text: '{"people": []}', "does not have the layout expected"),
    ("unknown category", lambda text: text.replace('"category_id": 1', '"category_id": 7', 1), "category"),
)


@pytest.mark.parametrize(("spoil", "sentence"), [row[1:] for row in STRUCTURE], ids=[row[0] for row in STRUCTURE])
def test_a_bad_structure_refuses_the_file_and_leaves_the_project(
    saved: Path, tmp_path: Path, spoil: Callable[[str], str], sentence: str
) -> None:
    source = coco(tmp_path)
    source.annotations.write_text(spoil(source.annotations.read_text()))
    before = everything(saved)
    said = refused("import", saved, "coco-wholebody", source.annotations, "--images", source.images, "--name", "more")
    assert sentence in said
    assert str(source.annotations) in said
    assert everything(saved) == before


def test_bad_people_are_left_out_counted_and_named(tmp_path: Path, saved: Path) -> None:
    def spoil(file: Json) -> None:
        good = file["annotations"][0]
        file["images"].append({"id": 9, "file_name": "absent.jpg", "width": 64, "height": 48})
        file["annotations"] += [
            {**good, "id": 21, "keypoints": [float("nan"), *good["keypoints"][1:]]},
            {**good, "id": 22, "bbox": [1.0, 2.0, 0.0, 9.0]},
            {**good, "id": 23, "image_id": 9},
            {**good, "id": 24, "num_keypoints": 0, **{name: [0.0] * 3 * count for name, count in COUNTS.items()}},
        ]

    source = coco(tmp_path, spoil)
    words = ("import", saved, "coco-wholebody", source.annotations, "--images", source.images, "--name", "more")
    report = run_main(*words, "--progress", "none").stdout
    assert "Imported 2 of 6 people as 'more' (target)." in report
    for number, reason in ((21, "finite"), (22, "no area"), (23, "absent.jpg is not there"), (24, "keypoint")):
        line = next(line for line in report.splitlines() if line.startswith(f"Left out {number}: "))
        assert reason in line
    assert len(Project.open(saved).samples("more", "body")) == 2


def test_a_file_in_which_nobody_is_good_is_refused(tmp_path: Path, saved: Path) -> None:
    source = coco(tmp_path)
    shutil.rmtree(source.images)
    source.images.mkdir()
    before = everything(saved)
    said = refused("import", saved, "coco-wholebody", source.annotations, "--images", source.images, "--name", "more")
    assert "nothing was imported" in said
    assert f"2 because the photo is not in {source.images}" in said
    assert said.rstrip().endswith("nothing was imported; say where the photos are with --images.")
    assert everything(saved) == before


def test_a_file_name_of_five_thousand_letters_costs_one_person(tmp_path: Path, saved: Path) -> None:
    source = coco(tmp_path, lambda file: file["images"][1].update(file_name="x" * 5000))
    words = ("import", saved, "coco-wholebody", source.annotations, "--images", source.images, "--name", "more")
    assert "Left out 8: the photo xxx" in run_main(*words, "--progress", "none").stdout


def newer(project: Path) -> None:
    file = project / "project.toml"
    file.write_text(file.read_text().replace("format = 1", "format = 2"))


@pytest.mark.parametrize(
    "words", [("runs", "list"), ("jobs",), ("reviews", "summary"), ("evaluate",), ("relink",), ("run",)]
)
def test_a_project_from_a_newer_version_is_left_alone(saved: Path, words: tuple[str, ...]) -> None:
    newer(saved)
    before = everything(saved)
    said = refused(*words, saved)
    assert "was made by a newer version (format 2, this program knows 1); update the program." in said
    assert everything(saved) == before


def test_a_missing_body_model_folder_says_how_to_relink_it(saved: Path, tmp_path: Path) -> None:
    (saved / "body_models").rename(tmp_path / "moved")
    recipe = quick_recipe(tmp_path)
    said = refused("run", saved, "--recipe", recipe)
    assert "is missing; put it back, or say where it is now with" in said
    assert len(Project.open(saved).runs()) == 2
    assert "All photos" not in run_main("relink", saved, f"body_models={tmp_path / 'moved'}").stdout
    assert "neuralannot-r1" in run_main("evaluate", saved, "--progress", "none").stdout


REFUSED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("no project", ("runs", "list", "{tmp}"), "is not a project (it has no project.toml); make one with"),
    ("a file as project", ("jobs", "{tmp}/file"), "is not a project"),
    ("a project in a file", ("new", "{tmp}/file/sub"), "a file stands where a folder is needed"),
    ("a place that is taken", ("new", "{project}"), "already exists and is not empty"),
    ("no body models", ("new", "{tmp}/p", "--body-models", "{tmp}/none"), "There is no body-model folder"),
    ("wrong format", ("import", "{project}", "coco", "{tmp}/file"), "There is no data set format called 'coco'"),
    ("no annotations", ("import", "{project}", "coco-wholebody", "{tmp}/none.json"), "cannot be read"),
    ("wrong name", ("stop", "{project}", "r9"), "its runs are: neuralannot-r1, smplifyx-r1."),
    ("nobody works", ("stop", "{project}", "neuralannot-r1"), "is not being worked on"),
    ("wrong recipe", ("run", "{project}", "--recipe", "fast"), "There is no recipe 'fast'"),
    ("wrong device", ("run", "{project}", "--device", "tpu"), "There is no device called 'tpu'"),
    ("wrong round", ("run", "{project}", "--round", "0", "--recipe", "tiny"), "There is no round 0"),
    ("a name too long", ("new", "{tmp}/" + "x" * 5000), "the name is too long"),
    ("annotations too long", ("import", "{project}", "coco-wholebody", "x" * 5000), "cannot be read"),
    (
        "truth too long",
        ("evaluate", "{project}", "--truth", "{tmp}/" + "x" * 5000),
        "leads nowhere: File name too long",
    ),
    ("unknown sample", ("run", "{project}", "--samples", "wild/1", "--recipe", "tiny"), "no samples called wild/1;"),
    ("no round", ("run", "{project}", "--from", "smplifyx-r1", "--recipe", "tiny"), "learns from no earlier run"),
    ("unknown set", ("export", "{project}", "neuralannot", "{tmp}/o", "--data", "zoo"), "no data set called 'zoo'"),
    ("wrong annotator", ("run", "{project}", "--annotator", "magic"), "There is no annotator called 'magic'"),
    (
        "unlike source",
        ("run", "{project}", "--round", "2", "--from", "smplifyx-r1", "--recipe", "tiny"),
        "smplifyx run",
    ),
    ("export to a folder", ("export", "{project}", "neuralannot", "{tmp}"), "there is a folder of that name"),
    ("no such root", ("relink", "{project}", "tame={tmp}"), "no image root called 'tame'"),
    ("wrong verdict list", ("reviews", "import", "{project}", "{tmp}/none.csv"), "cannot be read"),
    ("nothing to remove", ("runs", "remove", "{project}"), "Name the runs to remove"),
    ("wrong demo size", ("demo", "--size", "huge", "--out", "{tmp}/d", "--no-window"), "There is no demo size"),
    ("demo into a file", ("demo", "--size", "tiny", "--out", "{tmp}/file", "--no-window"), "a file stands where"),
)


@pytest.mark.parametrize(("words", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_mistake_is_one_sentence(saved: Path, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "file").write_text("x")
    before = everything(saved)
    said = refused(*(word.format(tmp=tmp_path, project=saved) for word in words))
    assert sentence in said
    assert everything(saved) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "requires an argument"),
        (("relink", "P", "wild"), "'wild' should have the form NAME=PATH"),
        (
            ("export", "P", "neuralannot", "o", "--verdict", "good"),
            "--verdict should be one of not-rejected, accepted, all",
        ),
        (("jobs", "--x"), "--x"),
        (("runs",), "remove"),
        (("runs", "sizes"), "There is no command 'runs sizes'"),
    ],
)
def test_wrong_usage_says_what_is_wrong_and_ends_with_2(words: tuple[str, ...], said: str) -> None:
    done = run_main(*words, code=2)
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_goes_on_past_photos_that_are_missing_or_cut_and_counts_them(saved: Path, tmp_path: Path) -> None:
    done = run_main("run", saved, "--recipe", quick_recipe(tmp_path), "--device", "cpu")
    assert (
        "2 of 12 fits failed; the window's filter Failed shows the people among them with the reasons." in done.stdout
    )
    run = Project.open(saved).run("neuralannot-r1-2")
    fits = run.fits("wild", "body")
    assert fits is not None
    reasons = [fit.reason for fit in fits if fit.reason]
    assert len(reasons) == 2
    assert sum("is missing" in reason for reason in reasons) == 1
    assert sum("is cut short" in reason for reason in reasons) == 1
    export = run_main("export", saved, "neuralannot", tmp_path / "o.json", "--run", run.id, "--progress", "none").stdout
    assert "Left out 2: the fit failed." in export
    assert len(json.loads((tmp_path / "o.json").read_text())) == 10


def test_photos_that_moved_are_found_again_after_relinking(saved: Path, tmp_path: Path) -> None:
    images = Project.open(saved).image_roots["wild"]
    shutil.copytree(images, tmp_path / "moved")
    (tmp_path / "empty").mkdir()
    assert "12" in run_main("relink", saved, f"wild={tmp_path / 'empty'}").stdout
    table = run_main("relink", saved, f"wild={tmp_path / 'moved'}").stdout
    assert "wild        1" in table  # the one that was missing before
    assert Project.open(saved).image_roots["wild"] == tmp_path / "moved"
