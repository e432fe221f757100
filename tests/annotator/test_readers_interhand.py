"""InterHand2.6M: a good file, the real one, and every way to spoil one with its sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from annotator.datasets.source import Source
from annotator.errors import DatasetError
from annotator.sample import Sample
from annotator.skeleton import INTERHAND, INTERHAND_HAND
from tests.annotator.test_readers import Json, photo, read
from tests.support.spoiling import NAN, TURN, Change, consistent, extent_box, unchanged, write


def interhand(folder: Path, change: Change = unchanged, *, nested: bool = True) -> Source:
    """Annotations 3 (both hands), 4 (left) and 5 (right) of one capture."""
    rng = np.random.default_rng(2)
    kinds = {3: "interacting", 4: "left", 5: "right"}
    images = [
        {"id": n, "file_name": f"Capture1/{n}.jpg", "width": 334, "height": 512, "capture": 1, "subject": 9}
        | {"seq_name": "s", "camera": "400", "frame_idx": 10 * n}
        for n in kinds
    ]
    frames: Json = {}
    people: list[Json] = []
    for number, kind in kinds.items():
        world = rng.uniform(-80, 80, (42, 3)) + [0, 1000, 0]
        valid = np.ones(42, int)
        if kind != "interacting":
            lacking = slice(0, 21) if kind == "left" else slice(21, 42)
            world[lacking], valid[lacking] = 1.0, 0
        frames[str(10 * number)] = {"world_coord": world.tolist(), "joint_valid": valid[:, None].tolist()}
        flags = valid[:, None] if nested else valid
        people.append({"id": number, "image_id": number, "bbox": [1.0, 2, 3, 4], "joint_valid": flags.tolist()})
        people[-1] |= {"hand_type": kind, "hand_type_valid": 1}
    data: Json = {"images": images, "annotations": people}
    cameras: Json = {
        "1": {
            "campos": {"400": [10.0, 20, 30]},
            "camrot": {"400": TURN},
            "focal": {"400": [1200.0, 1201]},
            "princpt": {"400": [160.0, 250]},
        }
    }
    joints: Json = {"1": frames}
    for image in images:
        photo(folder / "images" / str(image["file_name"]), 334, 512)
    change(data, cameras, joints)
    names = ("data", "camera", "joint_3d")
    write(folder, {f"InterHand2.6M_val_{n}.json": v for n, v in zip(names, (data, cameras, joints), strict=True)})
    return Source(folder, folder / "images", "ih")


@pytest.mark.parametrize("nested", [True, False], ids=["flags in lists", "plain flags"])
def test_good_interhand_files(tmp_path: Path, nested: bool) -> None:
    result = read("interhand26m", interhand(tmp_path, nested=nested))
    right, left = result.tables["rhand"], result.tables["lhand"]
    assert (right.keys, left.keys) == (["ih/3/rhand", "ih/5/rhand"], ["ih/3/lhand", "ih/4/lhand"])
    assert result.refused == ()
    world = json.loads((tmp_path / "InterHand2.6M_val_joint_3d.json").read_text())["1"]["30"]["world_coord"]
    moved = np.array(world) - [10, 20, 30]
    naive = np.stack([moved[:, 0], -moved[:, 2], moved[:, 1]], axis=1) / 1000
    for samples, rows in ((right, slice(0, 21)), (left, slice(21, 42))):
        sample = samples[0]
        assert sample.joints is not None
        assert np.allclose(sample.joints[:, :3], naive[rows], atol=1e-6)
        assert np.allclose(sample.box, extent_box(sample.keypoints[:, :2]), atol=1e-3)
        assert (sample.subject, sample.skeleton, sample.image) == ("9", INTERHAND_HAND, "Capture1/3.jpg")
        consistent(samples)
    assert (left.part, right.part) == ("lhand", "rhand")


def test_joints_that_are_not_valid_are_missing_and_a_hand_without_wrist_is_refused(tmp_path: Path) -> None:
    def change(data: Json, _cameras: Json, joints: Json) -> None:
        data["annotations"][0]["joint_valid"][6] = [0]
        joints["1"]["30"]["world_coord"][6] = [NAN, NAN, NAN]  # nobody asks for it
        data["annotations"][1]["joint_valid"][41] = [0]

    result = read("interhand26m", interhand(tmp_path, change))
    right = result.tables["rhand"][0]
    assert right.joints is not None
    assert np.flatnonzero(right.joints[:, 3] == 0).tolist() == [6]
    assert right.keypoints[6].tolist() == [0, 0, 0]
    consistent(result.tables["rhand"])
    assert [(refusal.id, refusal.reason) for refusal in result.refused] == [("4/lhand", "its wrist is not valid")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _d, _c, j: j["1"]["40"]["world_coord"].__setitem__(30, [NAN, 0, 0]), "not a finite number"),
        (lambda _d, _c, j: j["1"]["40"]["world_coord"].__setitem__(30, [0.0, -900, 0]), "behind the camera"),
        (lambda d, _c, _j: d["annotations"][1].update(joint_valid=[[0]] * 41 + [[1]]), "the box has no area"),
        (lambda d, _c, _j: d["annotations"][1].update(joint_valid=[[0]] * 42), "no joints"),
        (lambda d, _c, _j: d["images"][1].update(file_name="gone.jpg"), "gone.jpg is not there"),
        (lambda d, _c, _j: d["images"][1].update(width=0), "no photo is 0 x 512 px"),
    ],
)
def test_a_bad_hand_of_interhand_is_left_out_and_named(tmp_path: Path, change: Change, reason: str) -> None:
    result = read("interhand26m", interhand(tmp_path, change))
    assert result.tables["lhand"].keys == ["ih/3/lhand"]
    assert result.tables["rhand"].keys == ["ih/3/rhand", "ih/5/rhand"]
    assert [refusal.id for refusal in result.refused] == ["4/lhand"]
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d, _c, _j: d["annotations"][1].update(hand_type="both"), "'both'.*hand_type"),
        (lambda d, _c, _j: d["annotations"][1].update(joint_valid=[[1]] * 21), "joint_valid should be 42 numbers"),
        (lambda d, _c, _j: d["annotations"][1].update(joint_valid=[["1"]] * 42), "joint_valid should be 42 numbers"),
        (lambda d, _c, _j: d["annotations"][1].update(joint_valid=7), "joint_valid should be 42 numbers"),
        (lambda d, _c, _j: d["annotations"][1].update(image_id=77), "image_id 77"),
        (lambda d, _c, _j: d["annotations"][1].update(id=3), "same id"),
        (lambda d, _c, _j: d["images"][1].update(camera="401"), "no camera 401 in capture 1"),
        (lambda d, _c, _j: d["images"][1].update(capture=2), "no camera 400 in capture 2"),
        (lambda _d, c, _j: c["1"]["focal"].pop("400"), "camera 400: camrot, focal or princpt is missing"),
        (lambda _d, c, _j: c["1"]["campos"].update({"400": [1.0, 2]}), "campos 3"),
        (lambda _d, c, _j: c["1"]["camrot"].update({"400": [[0.0] * 3] * 3}), "camrot is no rotation"),
        (lambda _d, _c, j: j["1"].pop("40"), "no joints for capture 1, frame 40"),
        (lambda _d, _c, j: j["1"]["40"]["world_coord"].pop(), "expecting 42 joints of 3 numbers"),
        (lambda _d, _c, j: j["1"]["40"].pop("world_coord"), "world_coord"),
    ],
)
def test_a_bad_interhand_structure_is_refused(tmp_path: Path, change: Change, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence) as caught:
        read("interhand26m", interhand(tmp_path, change))
    assert "InterHand2.6M_val_" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_several_splits_or_none_asks_for_one(tmp_path: Path) -> None:
    source = interhand(tmp_path)
    for kind in ("data", "camera", "joint_3d"):
        text = (tmp_path / f"InterHand2.6M_val_{kind}.json").read_text()
        (tmp_path / f"InterHand2.6M_test_{kind}.json").write_text(text)
    with pytest.raises(DatasetError, match=r"several splits \(test, val\).*--split"):
        read("interhand26m", source)
    samples = read("interhand26m", Source(tmp_path, source.images, "ih", "val")).tables["rhand"]
    assert samples[0].split == "val"
    with pytest.raises(DatasetError, match=r"InterHand2\.6M_train_data\.json"):
        read("interhand26m", Source(tmp_path, source.images, "ih", "train"))
    with pytest.raises(DatasetError, match=r"InterHand2\.6M_\*"):
        read("interhand26m", Source(tmp_path / "images", source.images, "ih"))


def test_real_interhand_joints_fill_their_published_boxes(real_data: Path) -> None:
    folder = real_data / "interhand26m"
    result = read("interhand26m", Source(folder / "annotations" / "train", folder / "images" / "train", "ih"))
    hands: dict[str, list[Sample]] = {}
    for samples in result.tables.values():
        consistent(samples)
        for sample in samples:
            hands.setdefault(sample.annotation_id, []).append(sample)
    data = json.loads((folder / "annotations" / "train" / "InterHand2.6M_train_data.json").read_text())
    kinds = {"interacting": {"rhand", "lhand"}, "left": {"lhand"}, "right": {"rhand"}}
    assert len(data["annotations"]) == 4
    for annotation in data["annotations"]:
        found = hands[str(annotation["id"])]
        assert {sample.part for sample in found} == kinds[annotation["hand_type"]]
        points = np.concatenate([sample.keypoints[sample.keypoints[:, 2] > 0, :2] for sample in found])
        assert np.abs(extent_box(points) - annotation["bbox"]).max() < 0.01
        if len(found) == 1:
            assert np.abs(found[0].box - annotation["bbox"]).max() < 0.01
    assert len(INTERHAND) == 42
