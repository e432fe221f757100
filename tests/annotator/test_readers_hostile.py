"""Annotation files that cannot be true, or that somebody made to hurt: bad people by name, bad structure by sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.datasets.source import LARGEST_PHOTO
from annotator.errors import DatasetError
from annotator.project import Project
from tests.annotator.test_readers import Json, coco, coco_person, human36m, person_change, read
from tests.support.desk_project import done

FAR_POINT = coco_person(8, 2)["keypoints"][:-3] + [1e30, 3.0, 2]
HUGE_POINT = coco_person(8, 2)["keypoints"][:-3] + [1e300, 3.0, 2]  # more than float32 holds


def photo_change(**values: Any) -> Callable[[Json], None]:
    def change(file: Json) -> None:
        file["images"][1].update(values)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (photo_change(width=0), "no photo is 0 x 48 px"),
        (photo_change(height=-5), "no photo is 64 x -5 px"),
        (photo_change(width=10**12), "no photo is 1,000,000,000,000 x 48 px"),
        (photo_change(height=LARGEST_PHOTO + 1), "no photo is 64 x 65,536 px"),
        (person_change(bbox=[64.0, 5, 30, 40]), "the box lies outside the photo"),
        (person_change(bbox=[4.0, 48, 30, 40]), "the box lies outside the photo"),
        (person_change(bbox=[-30.0, 5, 30, 40]), "the box lies outside the photo"),
        (person_change(bbox=[4.0, -41, 30, 40]), "the box lies outside the photo"),
        (person_change(bbox=[4.0, 5, 1e30, 40]), "a coordinate lies far outside the photo"),
        (person_change(bbox=[-1e30, 5, 1e30, 40]), "the box lies outside the photo"),
        (person_change(bbox=[4.0, 5, 1e300, 40]), "a coordinate lies far outside the photo"),
        (person_change(keypoints=FAR_POINT), "a coordinate lies far outside the photo"),
        (person_change(keypoints=HUGE_POINT), "a coordinate lies far outside the photo"),
        (photo_change(file_name="x" * 5000), "x... (5,000 letters) is not there"),
        (photo_change(file_name="a\ud800.jpg"), "the photo a\\ud800.jpg is not there"),
        (photo_change(file_name="a\0b.jpg"), "the photo a\\x00b.jpg is not there"),
        (photo_change(file_name=""), "the photo  is not there"),
    ],
)
def test_geometry_and_names_that_cannot_be_are_refused_by_name(
    tmp_path: Path, change: Callable[[Json], None], reason: str
) -> None:
    source = coco(tmp_path, change)
    new(tmp_path / "p")
    table = done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, images=source.images))
    assert Project.open(tmp_path / "p").samples("coco-wholebody", "body").keys == ["coco-wholebody/7"]
    line = next(line for line in table.text().splitlines() if line.startswith("Left out 8: "))
    assert reason in line
    line.encode()
    assert len(line) < 200
    assert reason in Project.open(tmp_path / "p").datasets()["coco-wholebody"].refused[0].reason


@pytest.mark.parametrize(
    "change",
    [
        person_change(bbox=[63.0, 47, 30, 40]),  # a corner of it is in the photo
        person_change(bbox=[-29.5, 5, 30, 40]),
        person_change(keypoints=coco_person(8, 2)["keypoints"][:-3] + [-70.0, 100.0, 2]),  # a little outside
        photo_change(width=LARGEST_PHOTO),
    ],
)
def test_what_may_be_true_is_taken_in(tmp_path: Path, change: Callable[[Json], None]) -> None:
    assert len(read("coco-wholebody", coco(tmp_path, change)).tables["body"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        '{"images": ' + "[" * 100_000 + "]" * 100_000 + ', "annotations": [], "categories": []}',
        '{"other": ' + "[" * 100_000 + "]" * 100_000 + ', "images": [], "annotations": [], "categories": []}',
        '{"images": [{"id": ' + "1" * 5000 + "}]}",
        '{"images": [], "annotations": [NaN, ' + "1" * 5000 + "]}",
    ],
    ids=["deep", "deep beside", "many digits", "many digits beside NaN"],
)
def test_json_that_breaks_parsers_is_one_sentence(tmp_path: Path, text: str) -> None:
    source = coco(tmp_path)
    source.annotations.write_text(text)
    with pytest.raises(DatasetError, match=r"coco\.json") as caught:
        read("coco-wholebody", source)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _d, c, _j: c["1"].update(f=[0.0, 50.0]), "f greater than 0"),
        (lambda _d, c, _j: c["1"].update(f=[-50.0, 50.0]), "f greater than 0"),
        (lambda _d, c, _j: c["1"].update(t=[float("nan"), 0.0, 4000.0]), "should be finite"),
        (lambda _d, c, _j: c["1"].update(R=[[0.0] * 3] * 3), "R is no rotation"),
        (lambda _d, c, _j: c["1"].update(R=[[1.0, 0, 0], [0, 1, 0], [0, 0, -1]]), "R is no rotation"),
        (lambda d, _c, _j: d["annotations"][0].update(keypoints_vis=[True] * 16), "keypoints_vis has 16 values"),
    ],
)
def test_a_human36m_camera_that_cannot_be_refuses_the_file(
    tmp_path: Path, change: Callable[..., None], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read("human36m", human36m(tmp_path, change))


@pytest.mark.parametrize(
    ("joint", "reason"),
    [
        ([0.0, 1e30, 0.0], "more than 1,000 m away"),
        ([0.0, 1e308, 0.0], "m away"),
        ([1e9, 0.0, 0.0], "m away"),
        ([900_000.0, 0.0, 0.0], "a coordinate lies far outside the photo"),
    ],
)
def test_joints_at_the_end_of_the_world_are_refused_without_a_warning(
    tmp_path: Path, joint: list[float], reason: str
) -> None:
    result = read("human36m", human36m(tmp_path, lambda _d, _c, joints: joints["2"]["1"]["5"].__setitem__(3, joint)))
    assert result.tables["body"].keys == ["lab/0"]
    assert reason in result.refused[0].reason


def test_the_sources_are_written_down_with_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = coco(tmp_path)
    new(tmp_path / "p")
    (tmp_path / "link.json").symlink_to(source.annotations)
    monkeypatch.chdir(tmp_path)
    done(import_dataset(Path("p"), "coco-wholebody", Path("link.json"), images=Path("images")))
    file = json.loads((tmp_path / "p" / "datasets" / "coco-wholebody" / "dataset.json").read_text())
    assert list(file["sources"]) == [str(source.annotations.resolve())]
    assert Project.open(Path("p")).image_roots["coco-wholebody"] == source.images.resolve()


def test_a_split_or_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    source = coco(tmp_path)
    new(tmp_path / "p")
    for options in ({"split": "train\udcff"}, {"images": tmp_path / ("x" * 5000)}, {"images": tmp_path / "a\0b"}):
        with pytest.raises(DatasetError):
            done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, **options))  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="cannot be read"):
        done(import_dataset(tmp_path / "p", "coco-wholebody", tmp_path / ("x" * 5000), images=source.images))
