"""Bodies of COCO-WholeBody and Human3.6M: a good file, and every way to spoil one with the sentence that follows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotator.camera import Camera
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.datasets import reader_of
from annotator.datasets.source import ReadResult, Source
from annotator.errors import DatasetError, NeuralAnnotError, UnknownNameError
from annotator.project import Project
from annotator.sample import Samples
from tests.support.desk_project import done

Json = dict[str, Any]
COUNTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


def photo(path: Path, width: int = 64, height: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 99, np.uint8))


def coco_person(number: int, image: int) -> Json:
    person: Json = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [4.0, 5, 30, 40]}
    for name, count in COUNTS.items():
        person[name] = [value for k in range(count) for value in (10.0 + k % 30, 8.0 + k % 40, 2)]
    return {**person, "num_keypoints": 17}


def coco(folder: Path, change: Callable[[Json], None] = lambda _file: None) -> Source:
    for name in ("1.jpg", "2.jpg"):
        photo(folder / "images" / name)
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in (1, 2)]
    file: Json = {
        "images": images,
        "annotations": [coco_person(7, 1), coco_person(8, 2)],
        "categories": [{"id": 1, "name": "person"}],
    }
    change(file)
    path = folder / "coco.json"
    path.write_text(json.dumps(file))
    return Source(path, folder / "images", "wild")


def read(name: str, source: Source) -> ReadResult:
    return done(reader_of(name)(source))


def test_a_good_coco_file(tmp_path: Path) -> None:
    result = read("coco-wholebody", coco(tmp_path))
    samples = result.tables["body"]
    assert samples.keys == ["wild/7", "wild/8"]
    assert result.refused == ()
    first = samples[0]
    assert (first.image, first.width, first.height, first.box.tolist()) == ("1.jpg", 64, 48, [4, 5, 30, 40])
    assert first.keypoints[5].tolist() == [15, 13, 1]  # v = 2 becomes confidence 1
    assert first.joints is None


def person_change(**values: Any) -> Callable[[Json], None]:
    def change(file: Json) -> None:
        file["annotations"][1].update(values)

    return change


NAN_POINT = coco_person(8, 2)["keypoints"][:-3] + [float("nan"), 3.0, 2]
INF_POINT = coco_person(8, 2)["keypoints"][:-3] + [float("inf"), 3.0, 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (person_change(keypoints=[0.0] * 51, num_keypoints=0), "no body keypoints"),
        (person_change(keypoints=NAN_POINT), "not a finite number"),
        (person_change(keypoints=INF_POINT), "not a finite number"),
        (person_change(bbox=[4.0, 5, 0, 40]), "no area"),
        (person_change(bbox=[4.0, 5, -3, 40]), "no area"),
        (person_change(iscrowd=1), "crowd"),
        (lambda file: file["images"][1].update(file_name="3.jpg"), "photo"),
    ],
    ids=["no keypoints", "NaN", "infinite", "no area", "negative", "crowd", "no photo"],
)
def test_a_bad_person_is_left_out_and_named(tmp_path: Path, change: Callable[[Json], None], reason: str) -> None:
    result = read("coco-wholebody", coco(tmp_path, change))
    assert result.tables["body"].keys == ["wild/7"]
    assert [refusal.id for refusal in result.refused] == ["8"]
    assert reason in result.refused[0].reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (person_change(category_id=3), "category 3 is unknown"),
        (person_change(image_id=77), "image_id 77"),
        (person_change(keypoints=[1.0, 2, 2]), "keypoints has 3 numbers, expecting 51"),
        (person_change(bbox=[1.0, 2, 3]), "bbox has 3 numbers"),
        (person_change(id=7), "same id"),
        (person_change(bbox="box"), "bbox"),
        (lambda file: file["annotations"][1].pop("face_kpts"), "face_kpts"),
        (lambda file: file.pop("images"), "images"),
    ],
)
def test_a_bad_structure_refuses_the_file_with_its_place(
    tmp_path: Path, change: Callable[[Json], None], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence) as caught:
        read("coco-wholebody", coco(tmp_path, change))
    assert "coco.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda text: text[: len(text) // 2], lambda _text: "", lambda _text: "[1, 2]"])
def test_json_cut_in_half_names_the_file(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    source = coco(tmp_path)
    source.annotations.write_text(spoil(source.annotations.read_text()))
    with pytest.raises(DatasetError, match=r"coco\.json"):
        read("coco-wholebody", source)


def test_bytes_that_are_no_text_name_the_file(tmp_path: Path) -> None:
    source = coco(tmp_path)
    source.annotations.write_bytes(b"\x80\x02\xff" * 40)
    with pytest.raises(DatasetError, match=r"coco\.json"):
        read("coco-wholebody", source)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere\.json"):
        read("coco-wholebody", Source(tmp_path / "nowhere.json", tmp_path, "wild"))


def test_a_path_that_climbs_out_is_refused(tmp_path: Path) -> None:
    def change(file: Json) -> None:
        file["images"][1]["file_name"] = "../../secret.jpg"

    with pytest.raises(NeuralAnnotError, match=r"\.json: The image path '../../secret.jpg' leaves its image root"):
        read("coco-wholebody", coco(tmp_path, change))


def test_an_unknown_format_lists_those_that_are() -> None:
    with pytest.raises(UnknownNameError, match="coco-wholebody, freihand, human36m, interhand26m, mpi-inf-3dhp"):
        reader_of("coco")


def test_a_refused_import_changes_nothing(tmp_path: Path) -> None:
    new(tmp_path / "p")
    source = coco(tmp_path, person_change(category_id=3))
    with pytest.raises(DatasetError):
        done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, images=source.images))
    assert Project.open(tmp_path / "p").datasets() == {}
    assert Project.open(tmp_path / "p").image_roots == {}


def test_importing_again_keeps_the_keys(tmp_path: Path) -> None:
    new(tmp_path / "p")
    source = coco(tmp_path)
    for _ in range(2):
        done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, images=source.images, name="wild"))
    assert Project.open(tmp_path / "p").samples("wild", "body").keys == ["wild/7", "wild/8"]


def test_2d_alone_cannot_be_auxiliary(tmp_path: Path) -> None:
    new(tmp_path / "p")
    source = coco(tmp_path)
    with pytest.raises(DatasetError, match="no 3D joints"):
        done(
            import_dataset(tmp_path / "p", "coco-wholebody", source.annotations, images=source.images, role="auxiliary")
        )


def human36m(folder: Path, change: Callable[[Json, Json, Json], None] = lambda *_: None) -> Source:
    rng = np.random.default_rng(0)
    names = [f"s_01_act_02_subact_01_ca_01/s_01_act_02_subact_01_ca_01_{frame + 1:06d}.jpg" for frame in (0, 5, 6)]
    images = [
        {"id": n, "file_name": name, "width": 64, "height": 48, "subject": 1}
        | {"action_idx": 2, "subaction_idx": 1, "cam_idx": 1, "frame_idx": frame, "action_name": "Directions"}
        for n, (name, frame) in enumerate(zip(names, (0, 5, 6), strict=True))
    ]
    data: Json = {
        "images": images,
        "annotations": [{"id": n, "image_id": n, "bbox": [5.0, 5, 20, 30]} for n in range(3)],
    }
    turn = [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]
    camera: Json = {"1": {"R": turn, "t": [100.0, 200, 4000], "f": [50.0, 51], "c": [32.0, 24]}}
    frames = {str(frame): rng.uniform(-800, 800, (17, 3)).tolist() for frame in (0, 5, 6)}
    joints: Json = {"2": {"1": frames}}
    for name in names:
        photo(folder / "images" / name)
    change(data, camera, joints)
    for kind, values in (("data", data), ("camera", camera), ("joint_3d", joints)):
        (folder / f"Human36M_subject1_{kind}.json").write_text(json.dumps(values))
    return Source(folder, folder / "images", "lab")


def test_a_good_human36m_folder_in_camera_metres(tmp_path: Path) -> None:
    source = human36m(tmp_path)
    result = read("human36m", source)
    samples = result.tables["body"]
    assert samples.keys == ["lab/0", "lab/1"]  # frame 6 lies between every fifth
    assert any("1 annotations between" in note for note in result.notes)
    world = np.array(json.loads((tmp_path / "Human36M_subject1_joint_3d.json").read_text())["2"]["1"]["5"])
    naive = np.stack([world[:, 0] + 100, -world[:, 2] + 200, world[:, 1] + 4000], axis=1) / 1000
    sample = samples[1]
    assert sample.joints is not None
    assert sample.intrinsics is not None
    assert np.allclose(sample.joints[:, :3], naive, atol=1e-6)
    assert np.allclose(sample.intrinsics, [[50, 0, 32], [0, 51, 24], [0, 0, 1]])
    pixels = Camera(np.array([50.0, 51]), np.array([32.0, 24])).project(naive)
    assert np.allclose(sample.keypoints[:, :2], pixels, atol=1e-3)
    assert (sample.subject, sample.box_drawn) == ("S1", False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _data, camera, _joints: camera.pop("1"), "no camera 1"),
        (lambda _data, camera, _joints: camera["1"].update(t=[1.0]), "R 3x3, t 3"),
        (lambda _data, _camera, joints: joints["2"]["1"].pop("5"), "frame 5"),
        (lambda _data, _camera, joints: joints["2"]["1"].update({"5": [[1.0, 2, 3]] * 16}), "17 joints of 3"),
        (lambda data, _camera, _joints: data["annotations"][1].update(image_id=9), "image_id 9"),
        (lambda data, _camera, _joints: data["annotations"][1].pop("bbox"), "bbox"),
    ],
)
def test_a_bad_human36m_structure_is_refused(tmp_path: Path, change: Callable[..., None], sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read("human36m", human36m(tmp_path, change))


def test_people_behind_the_camera_or_with_nan_are_left_out(tmp_path: Path) -> None:
    def change(_data: Json, _camera: Json, joints: Json) -> None:
        joints["2"]["1"]["0"][3] = [0.0, -9000, 0]
        joints["2"]["1"]["5"][3] = [float("nan"), 0, 0]

    result = read("human36m", human36m(tmp_path, change))
    assert {refusal.id for refusal in result.refused} == {"0", "1"}
    assert result.tables == {}


def test_a_folder_without_subjects_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Human36M_subject"):
        read("human36m", Source(tmp_path, tmp_path, "lab"))


def test_a_missing_third_file_is_named(tmp_path: Path) -> None:
    source = human36m(tmp_path)
    (tmp_path / "Human36M_subject1_camera.json").unlink()
    with pytest.raises(DatasetError, match="subject1_camera"):
        read("human36m", source)


def test_real_coco_gives_twelve_of_fourteen_and_names_two(real_data: Path) -> None:
    folder = real_data / "coco_wholebody"
    annotations = folder / "annotations" / "coco_wholebody_val_v1.0.json"
    result = read("coco-wholebody", Source(annotations, folder / "images" / "val2017", "coco"))
    assert len(result.tables["body"]) == 12
    assert {refusal.id for refusal in result.refused} == {"1202706", "508900"}


# Joints that the spin file's 24 and Human3.6M's 17 both name: hips, knees, ankles, neck, shoulders, elbows, wrists.
SPIN_ROWS = {"right_ankle": 0, "right_knee": 1, "right_hip": 2, "left_hip": 3, "left_knee": 4, "left_ankle": 5}
SPIN_ROWS |= {
    "right_wrist": 6,
    "right_elbow": 7,
    "right_shoulder": 8,
    "left_shoulder": 9,
    "left_elbow": 10,
    "left_wrist": 11,
}
SPIN_ROWS |= {"neck": 12}


def spin_misses(samples: Samples, real_data: Path) -> np.ndarray:
    """Distances in px between our projected joints and `part` of the spin file, for every joint that both name."""
    spin = np.load(real_data / "spin" / "dataset_extras" / "h36m_train.npz", allow_pickle=False)
    subjects = [str(name).rpartition("/")[2].partition("_")[0] for name in spin["imgname"]]
    misses: list[np.ndarray] = []
    for sample in samples:
        part = spin["part"][subjects.index(str(sample.subject))]
        for name, place in SPIN_ROWS.items():
            ours = sample.keypoints[sample.skeleton.index_of[name], :2]
            misses.append(np.linalg.norm(part[place, :2] - ours))
    return np.array(misses)


def test_real_human36m_projects_onto_what_spin_extracted(real_data: Path) -> None:
    folder = real_data / "human36m"
    samples = read("human36m", Source(folder / "annotations", folder / "images", "h36m")).tables["body"]
    misses = spin_misses(samples, real_data)
    assert misses.shape == (52,)  # four people, thirteen joints
    assert misses.mean() < 1.5
    assert misses.max() < 4


def test_photos_beside_the_annotations_are_the_default(tmp_path: Path) -> None:
    new(tmp_path / "p")
    source = coco(tmp_path)
    for path in source.images.iterdir():
        shutil.copy(path, tmp_path)
    table = done(import_dataset(tmp_path / "p", "coco-wholebody", source.annotations))
    assert "Imported 2 of 2" in table.text()
    assert list(Project.open(tmp_path / "p").datasets()) == ["coco-wholebody"]
