"""Samples and fits as tables on disk."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from annotator.columns import read_shards, write_shard
from annotator.errors import ProjectError
from annotator.fit import FitHeader, Fits
from annotator.sample import Sample, Samples
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M, SKELETONS

HEADER = FitHeader("smplx", "body", "0123456789abcdef")


def sample(number: int, **changes: object) -> Sample:
    rng = np.random.default_rng(number)
    values: dict[str, object] = {
        "key": f"wild/{number}",
        "part": "body",
        "root": "wild",
        "image": f"a/{number}.jpg",
        "width": 640,
        "height": 480,
        "box": rng.random(4).astype(np.float32),
        "keypoints": rng.random((133, 3)).astype(np.float32),
        "skeleton": COCO_WHOLEBODY,
    }
    return Sample(**{**values, **changes})  # type: ignore[arg-type]


def test_samples_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    k = np.array([[900, 0, 320], [0, 910, 240], [0, 0, 1]], np.float32)
    joints = np.random.default_rng(9).random((17, 4)).astype(np.float32)
    given = [
        sample(n, intrinsics=k, joints=joints + n, joint_skeleton=HUMAN36M, subject="S1", split="train")
        for n in range(3)
    ]
    table = Samples.read(Samples.of(given).write(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["samples-body-00000.arrow"]
    for before, after in zip(given, table, strict=True):
        assert after.key == before.key
        assert after.skeleton is COCO_WHOLEBODY
        assert after.joint_skeleton is HUMAN36M
        for name in ("box", "keypoints", "joints", "intrinsics"):
            assert np.array_equal(getattr(after, name), getattr(before, name))
        assert (after.subject, after.split, after.dataset) == ("S1", "train", "wild")
    assert np.array_equal(table.keypoints[1], given[1].keypoints)


def test_samples_without_3d_have_none(tmp_path: Path) -> None:
    table = Samples.read(Samples.of([sample(0), sample(1)]).write(tmp_path))
    assert table.joints is None
    assert table[0].joints is None
    assert table[0].intrinsics is None
    assert not table.intrinsics.any()


def test_mixed_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="one kind"):
        Samples.of([sample(0), sample(1, box_drawn=False)])


def fits(count: int, **options: object) -> Fits:
    rng = np.random.default_rng(1)
    return Fits.of(
        HEADER,
        [f"wild/{n}" for n in range(count)],
        {"body_pose": rng.random((count, 63)), "betas": rng.random((count, 10))},
        focal=np.full((count, 2), 900.0),
        princpt=np.full((count, 2), 320.0),
        transl=np.full((count, 3), 2.0),
        **options,  # type: ignore[arg-type]
    )


def test_fits_come_back_from_disk_as_they_were(tmp_path: Path) -> None:
    before = fits(4)
    before.write(tmp_path / "0.arrow")
    after = Fits.read([tmp_path / "0.arrow"])
    assert after.header == HEADER
    assert np.array_equal(after.column("body_pose"), before.column("body_pose"))
    assert after[2].parameters["jaw_pose"].tolist() == [0, 0, 0]
    assert after[2].transl.tolist() == [2, 2, 2]


def test_the_same_fits_make_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        fits(4).write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_fit_holds_zeros_and_its_reason() -> None:
    table = fits(2, reasons=["", "no photo"])
    assert table.ok.tolist() == [True, False]
    failed = table[1]
    assert failed.reason == "no photo"
    assert not any(values.any() for values in failed.parameters.values())
    assert not failed.transl.any()


def test_nan_never_enters_a_table() -> None:
    bad = np.full((1, 63), np.nan)
    camera = {"focal": np.ones((1, 2)), "princpt": np.ones((1, 2)), "transl": np.ones((1, 3))}
    with pytest.raises(ValueError, match="not finite"):
        Fits.of(HEADER, ["a/1"], {"body_pose": bad}, **camera)
    assert not Fits.of(HEADER, ["a/1"], {"body_pose": bad}, **camera, reasons=["it diverged"]).column("body_pose").any()


def test_wrong_names_and_widths_are_refused() -> None:
    camera = {"focal": np.ones((1, 2)), "princpt": np.ones((1, 2)), "transl": np.ones((1, 3))}
    with pytest.raises(ValueError, match="pose2"):
        Fits.of(HEADER, ["a/1"], {"pose2": np.zeros((1, 3))}, **camera)
    with pytest.raises(ValueError, match="betas has shape"):
        Fits.of(HEADER, ["a/1"], {"betas": np.zeros((1, 300))}, **camera)


def test_columns_of_the_annotator_are_kept(tmp_path: Path) -> None:
    fits(2, extra={"smplifyx.objective": np.array([1.5, 2.5], np.float32)}).write(tmp_path / "x")
    assert Fits.read([tmp_path / "x"])[1].extra == {"smplifyx.objective": 2.5}


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_skeletons_are_consistent(skeleton) -> None:
    assert len(set(skeleton.points)) == len(skeleton)
    assert all(0 <= a < len(skeleton) > b >= 0 for a, b in skeleton.edges)
    for left, right in skeleton.pairs:
        assert (skeleton.sides[left], skeleton.sides[right]) == (-1, 1)


def test_coco_order_is_the_files() -> None:
    assert len(COCO_WHOLEBODY) == 133
    assert COCO_WHOLEBODY.points[:3] == ("nose", "left_eye", "right_eye")
    assert COCO_WHOLEBODY.points[17] == "left_big_toe"
    assert COCO_WHOLEBODY.points[91].startswith("left_hand_")
    assert COCO_WHOLEBODY.points[112].startswith("right_hand_")


@pytest.mark.parametrize("offsets", [(0, 2, 1 << 20), (0, -4, 3), (5, 1, 3)])
def test_texts_that_end_elsewhere_than_they_say_are_refused(offsets: tuple[int, ...], tmp_path: Path) -> None:
    """Reading them would crash, or show what else lies in memory."""
    write_shard(tmp_path / "t.arrow", pa.table({"key": ["abcde", "fghijkl"]}))
    whole = (tmp_path / "t.arrow").read_bytes()
    ends, wrong = (np.array(places, np.int32).tobytes() for places in ((0, 5, 12), offsets))
    assert whole.count(ends) == 1
    (tmp_path / "t.arrow").write_bytes(whole.replace(ends, wrong))
    with pytest.raises(ProjectError, match=r"t.arrow is not a whole table"):
        read_shards([tmp_path / "t.arrow"])
