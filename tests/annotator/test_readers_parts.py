"""Hands and faces of COCO-WholeBody as samples of their own, and data sets of hands beside those of bodies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.commands.choosing import chosen_samples
from annotator.commands.evaluate import evaluate
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.datasets import READERS
from annotator.datasets.source import Source
from annotator.errors import DatasetError, RunError
from annotator.project import Project
from annotator.skeleton import FACE, HAND
from app.dialogs.project import FORMATS
from tests.annotator.test_readers import Json, coco, read
from tests.annotator.test_readers_3d import freihand
from tests.annotator.test_readers_interhand import interhand
from tests.support.desk_project import done

BOXES = {"lefthand": [4.0, 6, 10, 11], "righthand": [20.0, 6, 9, 8], "face": [30.0, 2, 12, 14]}


def with_parts(change: Callable[[Json], Any] = lambda _person: None) -> Callable[[Json], None]:
    """Person 7 has both hands and a face, 8 a left hand; `change` is made to 8."""

    def all_valid(file: Json) -> None:
        for person, valid in zip(file["annotations"], (BOXES, {"lefthand"}), strict=True):
            for name, box in BOXES.items():
                person[f"{name}_valid"] = name in valid
                person[f"{name}_box"] = box if name in valid else [0.0, 0, 0, 0]
                if name not in valid:
                    person[f"{name}_kpts"] = [0.0] * len(person[f"{name}_kpts"])
        change(file["annotations"][1])

    return all_valid


def test_valid_hands_and_faces_are_samples_linked_to_their_person(tmp_path: Path) -> None:
    source = coco(tmp_path, with_parts())
    tables = read("coco-wholebody", source).tables
    assert {part: samples.keys for part, samples in tables.items()} == {
        "body": ["wild/7", "wild/8"],
        "lhand": ["wild/7/lhand", "wild/8/lhand"],
        "rhand": ["wild/7/rhand"],
        "face": ["wild/7/face"],
    }
    file = json.loads(source.annotations.read_text())["annotations"][0]
    for part, name, skeleton in (("lhand", "lefthand", HAND), ("rhand", "righthand", HAND), ("face", "face", FACE)):
        sample = tables[part][0]
        assert (sample.part, sample.skeleton, sample.dataset, sample.annotation_id) == (part, skeleton, "wild", "7")
        assert (sample.box.tolist(), sample.box_drawn, sample.image) == (BOXES[name], True, "1.jpg")
        given = np.array(file[f"{name}_kpts"]).reshape(-1, 3)
        assert np.allclose(sample.keypoints, np.concatenate([given[:, :2], given[:, 2:] > 0], axis=1))
        assert sample.joints is None


def test_points_without_label_are_missing_in_a_hand_too(tmp_path: Path) -> None:
    def change(person: Json) -> None:
        person["lefthand_kpts"][3:6] = [99.0, 99.0, 0.0]
        person["lefthand_kpts"][8] = 0.31  # v may be a fraction

    hand = read("coco-wholebody", coco(tmp_path, with_parts(change))).tables["lhand"][1]
    assert hand.keypoints[1].tolist() == [0, 0, 0]
    assert hand.keypoints[:, 2].tolist() == [1, 0, *[1] * 19]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p.update(lefthand_box=[4.0, 6, 0, 11]), "the box has no area"),
        (lambda p: p.update(lefthand_box=[4.0, float("nan"), 3, 11]), "the box has no area"),
        (lambda p: p.update(lefthand_box=[400.0, 6, 10, 11]), "the box lies outside the photo"),
        (lambda p: p.update(lefthand_kpts=[0.0] * 63), "it has no keypoints"),
    ],
)
def test_a_bad_hand_is_left_out_alone(tmp_path: Path, change: Callable[[Json], Any], reason: str) -> None:
    result = read("coco-wholebody", coco(tmp_path, with_parts(change)))
    assert result.tables["lhand"].keys == ["wild/7/lhand"]
    assert result.tables["body"].keys == ["wild/7", "wild/8"]
    assert [(refusal.id, refusal.reason) for refusal in result.refused] == [("8/lhand", reason)]


def test_the_hands_of_a_person_who_is_left_out_go_with_him(tmp_path: Path) -> None:
    result = read("coco-wholebody", coco(tmp_path, with_parts(lambda person: person.update(iscrowd=1))))
    assert result.tables["lhand"].keys == ["wild/7/lhand"]
    assert [refusal.id for refusal in result.refused] == ["8"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.pop("lefthand_box"), "annotation 8: lefthand_box has 0 numbers, expecting 4"),
        (lambda p: p.update(lefthand_box=[1.0, 2, 3]), "annotation 8: lefthand_box has 3 numbers"),
        (lambda p: p.update(lefthand_kpts=[1.0, 2, 2]), "lefthand_kpts has 3 numbers, expecting 63"),
        (lambda p: p.update(lefthand_valid="yes"), "lefthand_valid"),
    ],
)
def test_a_hand_of_another_structure_refuses_the_file(
    tmp_path: Path, change: Callable[[Json], Any], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read("coco-wholebody", coco(tmp_path, with_parts(change)))


def test_real_coco_has_the_hands_and_faces_that_its_flags_say(real_data: Path) -> None:
    folder = real_data / "coco_wholebody"
    annotations = folder / "annotations" / "coco_wholebody_val_v1.0.json"
    result = read("coco-wholebody", Source(annotations, folder / "images" / "val2017", "coco"))
    assert {part: len(samples) for part, samples in result.tables.items()} == {
        **{"body": 12, "lhand": 5, "rhand": 5},
        "face": 4,
    }
    people = {str(person["id"]): person for person in json.loads(annotations.read_text())["annotations"]}
    bodies = result.tables["body"]
    for part, name, rows in (("lhand", "lefthand", 91), ("rhand", "righthand", 112), ("face", "face", 23)):
        for sample in result.tables[part]:
            assert np.allclose(sample.box, people[sample.annotation_id][f"{name}_box"], atol=1e-3)
            body = bodies[bodies.index_of[f"coco/{sample.annotation_id}"]]
            assert np.array_equal(sample.keypoints, body.keypoints[rows : rows + len(sample.skeleton)])
            middle = (sample.keypoints[:, :2].min(axis=0) + sample.keypoints[:, :2].max(axis=0)) / 2
            assert (sample.box[:2] < middle).all()  # no more: people drew boxes and points apart
            assert (middle < sample.box[:2] + sample.box[2:]).all()


def test_the_report_counts_people_and_says_what_parts_they_have(tmp_path: Path) -> None:
    new(tmp_path / "p")
    source = coco(tmp_path, with_parts(lambda person: person.update(lefthand_box=[4.0, 6, 0, 11])))
    said = done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, images=source.images)).text()
    assert "Imported 2 of 2 people as 'coco-wholebody' (target)." in said
    assert "Of these, 1 left hand, 1 right hand and 1 face are samples of their own." in said
    assert "Left out 8/lhand: the box has no area." in said
    project = Project.open(tmp_path / "p")
    assert project.datasets()["coco-wholebody"].parts == {"body": 2, "lhand": 1, "rhand": 1, "face": 1}
    assert project.samples("coco-wholebody", "face").keys == ["coco-wholebody/7/face"]
    hands = interhand(tmp_path / "ih")
    said = done(import_dataset(tmp_path / "p", "interhand26m", hands.annotations, images=hands.images)).text()
    assert "Imported 4 of 4 hands as 'interhand26m' (auxiliary)." in said
    assert "They are 2 right hands and 2 left hands." in said


def test_a_data_set_of_hands_takes_no_part_where_bodies_are_fitted(tmp_path: Path) -> None:
    path = tmp_path / "p"
    new(path)
    source, hands = coco(tmp_path, with_parts()), freihand(tmp_path / "fh")
    done(import_dataset(path, "coco-wholebody", source.annotations, images=source.images, name="wild"))
    done(import_dataset(path, "freihand", hands.annotations, name="hands"))
    project = Project.open(path)
    assert chosen_samples(project, (), "", need_target=False) == (("wild",), ())
    with pytest.raises(RunError, match="hands has no bodies"):
        chosen_samples(project, ("hands", "wild"), "", need_target=False)
    with pytest.raises(RunError, match="name its person, wild/7"):
        chosen_samples(project, (), "wild/8,wild/7/lhand", need_target=False)
    assert chosen_samples(project, (), "") == (("hands", "wild"), ())  # networks learn hands too
    assert chosen_samples(project, (), "wild/7/lhand") == (("wild",), ("wild/7/lhand",))
    with pytest.raises(RunError, match="no finished neuralannot run"):
        done(evaluate(path))


def test_the_dialog_offers_every_format() -> None:
    assert tuple(READERS) == FORMATS
