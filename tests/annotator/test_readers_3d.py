"""MPI-INF-3DHP and FreiHAND: a good file, the real one, and every way to spoil one with its sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.datasets import mpi_inf_3dhp as mpi_inf_3dhp_module
from annotator.datasets.rows import JOINTS_BOX
from annotator.datasets.source import Source
from annotator.errors import DatasetError
from annotator.images import read_image
from annotator.skeleton import HAND, MPI_INF_3DHP
from tests.annotator.test_readers import Json, photo, read
from tests.support.spoiling import INF, NAN, TURN, Change, consistent, extent_box, files_of, unchanged, write

# -- MPI-INF-3DHP --------------------------------------------------------------------------------------------------------


def mpi_inf_3dhp(folder: Path, change: Change = unchanged) -> Source:
    """Three people of S2 Seq1: frames 0 and 3, which are read, and 4, which is not."""
    rng = np.random.default_rng(0)
    images = [
        {"id": n, "file_name": f"img_{frame}.jpg", "width": 64, "height": 48, "subject_idx": 2, "seq_idx": 1}
        | {"cam_idx": 5, "frame_idx": frame}
        for n, frame in enumerate((0, 3, 4))
    ]
    data: Json = {
        "images": images,
        "annotations": [{"id": n, "image_id": n, "bbox": [5.0, 5, 20, 30]} for n in range(3)],
    }
    camera = {"R": TURN, "t": [100.0, 200, 4000], "focal": [50.0, 51], "princpt": [32.0, 24]}
    cameras: Json = {"2": {"1": {"5": camera}}}
    joints: Json = {"2": {"1": {str(n): rng.uniform(-800, 800, (17, 3)).tolist() for n in (0, 3, 4)}}}
    for image in images:
        photo(folder / "images_1k" / "S2" / "Seq1" / "imageSequence" / str(image["file_name"]))
    change(data, cameras, joints)
    names = ("1k", "camera_1k", "joint_3d")
    write(folder, {f"MPI-INF-3DHP_{n}.json": v for n, v in zip(names, (data, cameras, joints), strict=True)})
    return Source(folder, folder, "hp")


def test_a_good_mpi_inf_3dhp_folder_in_camera_metres(tmp_path: Path) -> None:
    source = mpi_inf_3dhp(tmp_path)
    result = read("mpi-inf-3dhp", source)
    samples = result.tables["body"]
    assert samples.keys == ["hp/0", "hp/1"]  # frame 4 lies between every third
    assert any("1 annotations between" in note for note in result.notes)
    assert len(files_of(result)) == 3
    world = np.array(json.loads((tmp_path / "MPI-INF-3DHP_joint_3d.json").read_text())["2"]["1"]["3"])
    naive = np.stack([world[:, 0] + 100, -world[:, 2] + 200, world[:, 1] + 4000], axis=1) / 1000
    sample = samples[1]
    assert sample.joints is not None
    assert np.allclose(sample.joints[:, :3], naive, atol=1e-6)
    assert sample.image == "images_1k/S2/Seq1/imageSequence/img_3.jpg"
    assert (sample.subject, sample.box_drawn, sample.skeleton, sample.joint_skeleton) == (
        *("S2", False),
        *(MPI_INF_3DHP, MPI_INF_3DHP),
    )
    consistent(samples)


def test_the_folder_of_the_photos_may_be_named_itself(tmp_path: Path) -> None:
    source = mpi_inf_3dhp(tmp_path)
    samples = read("mpi-inf-3dhp", Source(tmp_path, source.images / "images_1k", "hp")).tables["body"]
    assert samples[0].image == "S2/Seq1/imageSequence/img_0.jpg"


def test_bad_people_of_mpi_inf_3dhp_are_left_out_and_named(tmp_path: Path) -> None:
    def change(data: Json, _cameras: Json, joints: Json) -> None:
        data["images"] += [{**data["images"][0], "id": n, "frame_idx": 3 * n} for n in (3, 4, 5, 6)]
        data["annotations"] += [{"id": n, "image_id": n, "bbox": [5.0, 5, 20, 30]} for n in (3, 4, 5, 6)]
        frames = joints["2"]["1"]
        frames |= {str(3 * n): [list(row) for row in frames["0"]] for n in (3, 4, 5, 6)}
        frames["9"][2] = [NAN, 0, 0]
        frames["12"][2] = [0.0, -9000, 0]
        data["annotations"][5]["bbox"] = [5.0, 5, 0, 30]
        data["images"][6]["file_name"] = "gone.jpg"

    result = read("mpi-inf-3dhp", mpi_inf_3dhp(tmp_path, change))
    assert result.tables["body"].keys == ["hp/0", "hp/1"]
    reasons = {refusal.id: refusal.reason for refusal in result.refused}
    assert "not a finite number" in reasons["3"]
    assert "behind the camera" in reasons["4"]
    assert "no area" in reasons["5"]
    assert "gone.jpg is not there" in reasons["6"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda data, _c, _j: data["images"][1].update(subject_idx=7), "no camera 5 of subject 7, sequence 1"),
        (lambda data, _c, _j: data["images"][1].update(cam_idx=3), "no camera 3 of subject 2, sequence 1"),
        (lambda _d, _c, joints: joints["2"]["1"].pop("3"), "no joints for subject 2, sequence 1, frame 3"),
        (lambda _d, _c, joints: joints["2"]["1"]["3"].pop(), "17 joints of 3 numbers"),
        (lambda _d, cameras, _j: cameras["2"]["1"]["5"].update(t=[1.0]), "expecting R 3x3, t 3, focal 2"),
        (lambda _d, cameras, _j: cameras["2"]["1"]["5"].update(focal=[0.0, 1]), "focal greater than 0"),
        (lambda _d, cameras, _j: cameras["2"]["1"]["5"].update(R=[[0.0] * 3] * 3), "R is no rotation"),
        (lambda _d, cameras, _j: cameras["2"]["1"]["5"].pop("princpt"), "princpt"),
        (lambda data, _c, _j: data["annotations"][1].update(image_id=9), "image_id 9"),
        (lambda data, _c, _j: data["annotations"][1].update(id=0), "same id"),
        (lambda data, _c, _j: data["annotations"][1].update(bbox=[1.0, 2]), "bbox has 2 numbers"),
        (lambda data, _c, _j: data["images"][1].pop("frame_idx"), "frame_idx"),
    ],
)
def test_a_bad_mpi_inf_3dhp_structure_is_refused(tmp_path: Path, change: Change, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence) as caught:
        read("mpi-inf-3dhp", mpi_inf_3dhp(tmp_path, change))
    assert "MPI-INF-3DHP_" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["1k", "camera_1k", "joint_3d"])
def test_a_file_of_mpi_inf_3dhp_that_is_cut_or_missing_is_named(tmp_path: Path, name: str) -> None:
    source = mpi_inf_3dhp(tmp_path)
    path = tmp_path / f"MPI-INF-3DHP_{name}.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DatasetError, match=path.name):
        read("mpi-inf-3dhp", source)
    path.unlink()
    with pytest.raises(DatasetError, match=path.name):
        read("mpi-inf-3dhp", source)


def test_real_mpi_inf_3dhp_fills_its_published_boxes(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boxes are 1.2 times the extent of the published 2D, which the 3D misses by at most 1.07 px."""
    folder = real_data / "mpi_inf_3dhp"
    assert read("mpi-inf-3dhp", Source(folder, folder, "hp")).tables["body"].keys == ["hp/0"]  # 2164 is no third frame
    monkeypatch.setattr(mpi_inf_3dhp_module, "FRAME_STEP", 1)
    samples = read("mpi-inf-3dhp", Source(folder, folder, "hp")).tables["body"]
    assert samples.keys == ["hp/0", "hp/1"]
    assert [sample.subject for sample in samples] == ["S4", "S8"]
    consistent(samples)
    for sample in samples:
        assert np.abs(extent_box(sample.keypoints[:, :2]) - sample.box).max() < 1.07 * 2 * JOINTS_BOX


# -- FreiHAND ------------------------------------------------------------------------------------------------------------


def freihand(folder: Path, change: Change = unchanged, *, photos: tuple[int, ...] = (0, 1, 2)) -> Source:
    rng = np.random.default_rng(1)
    files: dict[str, Any] = {
        "K": [[[400.0, 0, 112], [0, 401.0, 112], [0, 0, 1]] for _ in range(3)],
        "xyz": (rng.uniform(-0.08, 0.08, (3, 21, 3)) + [0, 0, 0.7]).tolist(),
        "scale": [0.03, 0.03, 0.03],
    }
    for number in photos:
        photo(folder / "training" / "rgb" / f"{number:08d}.jpg", 224, 224)
    change(files)
    write(folder, {f"training_{name}.json": values for name, values in files.items()})
    return Source(folder, folder, "fh")


def test_good_freihand_files(tmp_path: Path) -> None:
    source = freihand(tmp_path)
    result = read("freihand", source)
    assert set(result.tables) == {"rhand"}
    samples = result.tables["rhand"]
    assert samples.keys == ["fh/0/rhand", "fh/1/rhand", "fh/2/rhand"]
    sample = samples[1]
    assert (sample.part, sample.annotation_id, sample.image) == ("rhand", "1", "training/rgb/00000001.jpg")
    assert (sample.width, sample.height, sample.box_drawn, sample.skeleton) == (224, 224, False, HAND)
    assert sample.joints is not None
    assert np.allclose(sample.joints[:, :3], json.loads((tmp_path / "training_xyz.json").read_text())[1], atol=1e-6)
    assert np.allclose(sample.box, extent_box(sample.keypoints[:, :2]), atol=1e-3)
    consistent(samples)
    assert files_of(result) == {"training_K.json", "training_xyz.json", "training_scale.json"}


def test_other_backgrounds_are_read_where_there_are_photos_of_them(tmp_path: Path) -> None:
    result = read("freihand", freihand(tmp_path, photos=(0, 1, 2, 6, 8)))  # version 2 but for one photo; no 1, no 3
    samples = result.tables["rhand"]
    assert [sample.annotation_id for sample in samples] == ["0", "1", "2", "6", "8"]
    assert np.array_equal(samples[3].keypoints, samples[0].keypoints)
    assert [(refusal.id, "is not there" in refusal.reason) for refusal in result.refused] == [("7/rhand", True)]


def test_freihand_needs_neither_scale_nor_photos_of_all(tmp_path: Path) -> None:
    result = read("freihand", freihand(tmp_path, lambda files: files.pop("scale"), photos=(0, 2)))
    assert result.tables["rhand"].keys == ["fh/0/rhand", "fh/2/rhand"]
    assert [refusal.id for refusal in result.refused] == ["1/rhand"]


def test_the_evaluation_files_are_read_with_their_split(tmp_path: Path) -> None:
    freihand(tmp_path)
    for name in ("K", "xyz"):
        (tmp_path / f"training_{name}.json").rename(tmp_path / f"evaluation_{name}.json")
    (tmp_path / "training").rename(tmp_path / "evaluation")
    sample = read("freihand", Source(tmp_path, tmp_path, "fh", "evaluation")).tables["rhand"][0]
    assert (sample.image, sample.split) == ("evaluation/rgb/00000000.jpg", "evaluation")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f["xyz"][1].__setitem__(4, [NAN, 0, 1]), "not a finite number"),
        (lambda f: f["xyz"][1].__setitem__(4, [0.0, 0, INF]), "a joint is not a finite number"),
        (lambda f: f["xyz"][1].__setitem__(4, [0.0, 0, -INF]), "a joint is not a finite number"),
        (lambda f: f["xyz"][1].__setitem__(4, [0.0, 0, -1]), "behind the camera"),
        (lambda f: f["xyz"][1].__setitem__(4, [0.0, 0, 2000]), "more than 1,000 m away"),
        (lambda f: f["xyz"].__setitem__(1, [[0.0, 0, 1]] * 21), "the box has no area"),
        (lambda f: f["xyz"].__setitem__(1, [[4 + 0.01 * k, 0.01 * k, 1] for k in range(21)]), "outside the photo"),
        (lambda f: f["K"].__setitem__(1, [[NAN, 0, 112], [0, 400, 112], [0, 0, 1]]), "pinhole"),
        (lambda f: f["K"].__setitem__(1, [[400, 3, 112], [0, 400, 112], [0, 0, 1]]), "pinhole"),
        (lambda f: f["K"].__setitem__(1, [[0, 0, 112], [0, 400, 112], [0, 0, 1]]), "pinhole"),
    ],
)
def test_a_bad_hand_of_freihand_is_left_out_and_named(tmp_path: Path, change: Change, reason: str) -> None:
    result = read("freihand", freihand(tmp_path, change))
    assert result.tables["rhand"].keys == ["fh/0/rhand", "fh/2/rhand"]
    assert [refusal.id for refusal in result.refused] == ["1/rhand"]
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f["xyz"].pop(), r"training_xyz\.json has 2 hands and .*training_K\.json has 3"),
        (lambda f: f["scale"].pop(), r"training_scale\.json has 2 hands"),
        (lambda f: f["xyz"][1].pop(), r"training_xyz\.json, entry 1: expecting 21 x 3 numbers"),
        (lambda f: f["xyz"][1][3].pop(), r"training_xyz\.json, entry 1: expecting 21 x 3 numbers"),
        (lambda f: f["K"][2].pop(), r"training_K\.json, entry 2: expecting 3 x 3 numbers"),
        (lambda f: f.update(K={"0": 1}), r"training_K\.json"),
        (lambda f: f.pop("xyz"), r"training_xyz\.json"),
    ],
)
def test_a_bad_freihand_structure_is_refused(tmp_path: Path, change: Change, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read("freihand", freihand(tmp_path, change))


def test_cut_freihand_json_is_named(tmp_path: Path) -> None:
    source = freihand(tmp_path)
    path = tmp_path / "training_xyz.json"
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"training_xyz\.json is not whole JSON"):
        read("freihand", source)


def test_real_freihand_hands_lie_on_the_hands(real_data: Path) -> None:
    """Five right hands; their tips are mesh vertices, and the pixels at the joints are not green screen."""
    folder = real_data / "freihand"
    samples = read("freihand", Source(folder, folder, "fh")).tables["rhand"]
    assert [sample.annotation_id for sample in samples] == ["0", "1", "2", "3", "4"]
    consistent(samples)
    vertices = np.array(json.loads((folder / "training_verts.json").read_text()))
    for sample, mesh in zip(samples, vertices, strict=True):
        assert sample.joints is not None
        for finger, vertex in zip(
            ("thumb4", "index4", "middle4", "ring4", "pinky4"), (744, 333, 444, 555, 672), strict=True
        ):
            assert np.abs(sample.joints[HAND.index_of[finger], :3] - mesh[vertex]).max() < 1e-6
        if sample.annotation_id in "014":  # the others hang before something else, or are as dark as it is
            image = read_image(folder / sample.image).astype(int)
            screen = image[..., 1] - image[..., [0, 2]].max(axis=2) > 5
            u, v = np.clip(np.round(sample.keypoints[:, :2]).astype(int), 0, 223).T
            assert screen[v, u].mean() < 0.06, sample.key
            assert screen.mean() > 0.3
