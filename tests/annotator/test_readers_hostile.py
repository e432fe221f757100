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
        (photo_change(file_name=""), "Left out 8: the file name of its photo is empty"),
        (photo_change(file_name="  "), "Left out 8: the file name of its photo is empty"),
        (person_change(num_keypoints=5.5), "its num_keypoints 5.5 is no whole number"),
        (person_change(num_keypoints=float("nan")), "its num_keypoints nan is no whole number"),
        (person_change(iscrowd=0.25), "its iscrowd 0.25 is no whole number"),
        (person_change(face_valid=0.5), "its face_valid 0.5 is no whole number"),
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
    assert (
        reason.removeprefix("Left out 8: ")
        in Project.open(tmp_path / "p").datasets()["coco-wholebody"].refused[0].reason
    )


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


def as_floats(value: Any) -> Any:
    """The same values, every whole number written as a float."""
    if isinstance(value, dict):
        return {name: as_floats(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_floats(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_whole_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    def plain(file: Json) -> None:
        for person in file["annotations"]:
            person |= {"face_valid": 1, "face_box": [4, 5, 30, 40]}

    def floats(file: Json) -> None:
        plain(file)
        file.update(as_floats(file))

    expected, found = (
        read("coco-wholebody", coco(tmp_path / str(n), change)) for n, change in enumerate((plain, floats))
    )
    assert found.refused == ()
    assert {part: table.keys for part, table in found.tables.items()} == {
        "body": ["wild/7", "wild/8"],
        "face": ["wild/7/face", "wild/8/face"],
    }
    for part, table in found.tables.items():
        for ours, theirs in zip(table, expected.tables[part], strict=True):
            assert (ours.image, ours.width, ours.height) == (theirs.image, theirs.width, theirs.height)
            assert ours.keypoints.tolist() == theirs.keypoints.tolist()


def test_whole_numbers_of_human36m_may_be_written_as_floats(tmp_path: Path) -> None:
    def floats(data: Json, camera: Json, joints: Json) -> None:
        for person in data["annotations"]:
            person["keypoints_vis"] = [1] * 16 + [0]
        for file in (data, camera, joints):
            file.update(as_floats(file))

    result = read("human36m", human36m(tmp_path, floats))
    assert (result.tables["body"].keys, result.refused) == (["lab/0", "lab/1"], ())
    sample = result.tables["body"][1]
    assert (sample.subject, sample.keypoints[:, 2].tolist()) == ("S1", [1.0] * 16 + [0.0])


def test_a_visibility_that_is_neither_leaves_its_person_out(tmp_path: Path) -> None:
    source = human36m(tmp_path, lambda data, _c, _j: data["annotations"][1].update(keypoints_vis=[0.5] * 17))
    result = read("human36m", source)
    assert result.tables["body"].keys == ["lab/0"]
    assert [(one.id, one.reason) for one in result.refused] == [("1", "a value of keypoints_vis is neither 0 nor 1")]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (person_change(image_id=2.5), "annotation 8"),
        (person_change(num_keypoints=None), "annotation 8"),
        (person_change(bbox=[float("nan"), "x", 3, 4]), "annotation 8"),
        (person_change(face_box=[1.0, {}]), "annotation 8"),
        (person_change(id="eight"), "annotation eight"),
        (photo_change(width=64.5), "image 2"),
        (lambda file: file["images"][1].pop("height"), "image 2"),
    ],
)
def test_a_wrong_type_names_the_annotation_or_the_image(
    tmp_path: Path, change: Callable[[Json], None], place: str
) -> None:
    with pytest.raises(DatasetError, match=rf"coco\.json, {place} does not have the layout expected"):
        read("coco-wholebody", coco(tmp_path, change))


def test_an_entry_without_an_id_is_told_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"coco\.json does not have .*annotations\[1\]"):
        read("coco-wholebody", coco(tmp_path, lambda file: file["annotations"][1].pop("id")))


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
