"""Crops: cut once, cut again when they are no longer true, the same pixels with and without the cache."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from annotator import crops as module
from annotator.camera import crop_of_box
from annotator.crops import Crops, cached_crops, decoded_crops
from annotator.errors import StorageError
from annotator.images import read_image
from annotator.project import Project
from annotator.sample import Samples
from tests.support.desk_project import COUNT, CUT_ROW, MISSING_ROW, done

SIZE = 64
EVERYBODY = np.arange(COUNT)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 5)


@pytest.fixture
def project(desk_project: Path, tmp_path: Path) -> Project:
    """With photos of its own, which a test may change."""
    project = Project.open(desk_project)
    shutil.copytree(project.image_roots["wild"], tmp_path / "photos")
    project.relink({"wild": tmp_path / "photos"})
    return Project.open(desk_project)


def cached(project: Project, samples: Samples | None = None) -> Crops:
    return done(cached_crops(project, samples or project.samples("wild", "body"), "wild", SIZE))


def pages(project: Project) -> list[Path]:
    return sorted((project.cache / "crops" / f"wild-body-{SIZE}").iterdir())


def stamps(project: Project) -> list[int]:
    return [path.stat().st_ino for path in pages(project)]  # a page that is written again is another file


def refused(crops: Crops) -> list[int]:
    return [row for row, reason in enumerate(crops.reasons) if reason]


def test_crops_are_those_of_decoding_and_cutting_each_photo(project: Project) -> None:
    samples = project.samples("wild", "body")
    crops = cached(project)
    assert refused(crops) == [MISSING_ROW, CUT_ROW]
    assert "missing" in crops.reasons[MISSING_ROW]
    assert "cut short" in crops.reasons[CUT_ROW]
    assert not crops.take(np.array([CUT_ROW])).any()
    for row in crops.usable:
        sample = samples[int(row)]
        crop = crop_of_box(sample.box.astype(float), np.array([sample.width, sample.height]), drawn=True)
        wanted = crop.cut(read_image(project.photo_path(sample)), SIZE)
        assert np.array_equal(crops.take(np.array([row]))[0], wanted)


def test_without_the_cache_the_pixels_are_the_same_and_nothing_is_written(project: Project) -> None:
    without = done(decoded_crops(project, project.samples("wild", "body"), SIZE))
    assert not (project.cache / "crops").exists()
    crops = cached(project)
    rows = np.array([9, 2, 2, CUT_ROW, 0, 11])
    assert np.array_equal(without.take(rows), crops.take(rows))
    assert list(without.reasons) == list(crops.reasons)


def test_what_is_true_is_not_cut_again(project: Project) -> None:
    before, there = cached(project).take(EVERYBODY), stamps(project)
    assert len(there) == 3
    assert np.array_equal(cached(project).take(EVERYBODY), before)
    assert stamps(project) == there


def test_a_photo_of_another_size_on_disk_is_cut_again_and_only_its_page_is_written(project: Project) -> None:
    before, there = cached(project).take(EVERYBODY), stamps(project)
    other = project.photo_path(project.samples("wild", "body")[6])
    path = project.photo_path(project.samples("wild", "body")[8])
    path.write_bytes(other.read_bytes())
    after = cached(project).take(EVERYBODY)
    assert not np.array_equal(after[8], before[8])
    assert np.array_equal(np.delete(after, 8, 0), np.delete(before, 8, 0))
    assert [a == b for a, b in zip(stamps(project), there, strict=True)] == [True, False, True]


def test_a_photo_that_comes_back_is_cut(project: Project) -> None:
    cached(project)
    samples = project.samples("wild", "body")
    project.photo_path(samples[MISSING_ROW]).write_bytes(project.photo_path(samples[0]).read_bytes())
    assert refused(cached(project)) == [CUT_ROW]


def test_a_photo_that_was_not_yet_whole_is_cut_when_it_is(project: Project) -> None:
    """As where room for a copy is taken before its bytes come: the byte count says nothing."""
    samples = project.samples("wild", "body")
    path = project.photo_path(samples[8])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    assert refused(cached(project)) == [MISSING_ROW, CUT_ROW, 8]
    there = stamps(project)
    assert refused(cached(project)) == [MISSING_ROW, CUT_ROW, 8]
    assert stamps(project) == there  # nothing is written for what still fails
    path.write_bytes(whole)
    again = cached(project)
    assert refused(again) == [MISSING_ROW, CUT_ROW]
    assert again.take(np.array([8])).any()


def test_once_cached_the_photos_need_not_come_along(project: Project, tmp_path: Path) -> None:
    before = cached(project).take(EVERYBODY)
    (tmp_path / "empty").mkdir()
    project.relink({"wild": tmp_path / "empty"})
    again = cached(Project.open(project.path))
    assert np.array_equal(again.take(EVERYBODY), before)
    assert refused(again) == [MISSING_ROW, CUT_ROW]


def test_people_who_moved_in_the_table_are_not_cut_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cached(project).take(EVERYBODY)
    samples = project.samples("wild", "body")
    order = [11, 10, 4, 0, 9]
    moved = Samples.of([samples[row] for row in order])
    monkeypatch.setattr(module, "read_image", lambda path: pytest.fail(f"{path} was decoded again"))
    assert np.array_equal(cached(project, moved).take(np.arange(len(order))), before[order])
    assert len(pages(project)) == 1  # pages of the longer table are gone


def test_a_killed_build_loses_at_most_its_page(project: Project) -> None:
    work = cached_crops(project, project.samples("wild", "body"), "wild", SIZE)
    next(work)  # the estimate
    write, written = module.write_shard, []

    def write_two(path: Path, table: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, table)  # type: ignore[arg-type]

    module.write_shard = write_two
    try:
        with pytest.raises(KeyboardInterrupt):
            done(work)
    finally:
        module.write_shard = write
    there = stamps(project)
    assert len(there) == 2
    cached(project)
    assert stamps(project)[:2] == there


@pytest.mark.parametrize("damage", [b"", b"not a table", None], ids=["empty", "noise", "cut"])
def test_a_damaged_page_is_cut_again(project: Project, damage: bytes | None) -> None:
    before = cached(project).take(EVERYBODY)
    page = pages(project)[1]
    page.write_bytes(page.read_bytes()[:-500] if damage is None else damage)
    assert np.array_equal(cached(project).take(EVERYBODY), before)


def test_a_cache_that_will_be_larger_than_its_limit_says_so(project: Project, tmp_path: Path) -> None:
    work = cached_crops(project, project.samples("wild", "body"), "wild", SIZE)
    assert "limit" not in next(work).message
    work.close()
    settings = project.path / "project.toml"
    settings.write_text("cache_gb = 0.0001\n" + settings.read_text())
    small = Project.open(project.path)
    assert small.cache_bytes == 1e5
    said = next(cached_crops(small, small.samples("wild", "body"), "wild", SIZE)).message
    assert (
        "With what the cache holds that is beyond its limit of 0.1 MB: what was used longest ago is removed once no run needs it"
        in said
    )


CHANGES: dict[str, dict[str, Any]] = {
    "key": {"key": "wild/999"},
    "box": {"box": np.array([1.0, 2.0, 30.0, 40.0], np.float32)},
    "width": {"width": 41},
    "height": {"height": 42},
    "image": {"image": "elsewhere.jpg"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_crop_is_known_by_all_that_it_is_cut_from(project: Project, change: str) -> None:
    """Only the page of the person who changed is written anew."""
    samples = project.samples("wild", "body")
    cached(project)
    before = stamps(project)
    cached(project, Samples.of([replace(samples[0], **CHANGES[change]), *list(samples)[1:]]))
    assert [old == new for old, new in zip(before, stamps(project), strict=True)] == [
        False,
        *[True] * (len(before) - 1),
    ]


def test_boxes_that_were_drawn_are_cut_anew_where_they_came_from_joints(project: Project) -> None:
    samples = project.samples("wild", "body")
    cached(project)
    before = stamps(project)
    cached(project, Samples.of([replace(sample, box_drawn=not samples.box_drawn) for sample in samples]))
    assert not set(before) & set(stamps(project))


def test_people_of_a_photo_whose_size_was_corrected_are_cut_again(project: Project) -> None:
    """A drawn box is clipped to the photo as annotated: with that the crop moves."""
    samples = project.samples("wild", "body")
    assert samples.box_drawn
    narrow = Samples.of([replace(sample, width=int(sample.box[0] + sample.box[2] / 2)) for sample in samples])
    wrong = cached(project, narrow).take(np.arange(COUNT))
    right = cached(project, samples).take(np.arange(COUNT))
    assert np.array_equal(right, done(decoded_crops(project, samples, SIZE)).take(np.arange(COUNT)))
    assert not np.array_equal(right, wrong)


def test_a_page_that_goes_while_crops_are_opened_is_never_passed_over(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everybody after it would be given the crops of others."""
    write = module.write_shard

    def written_and_removed(path: Path, table: pa.Table) -> None:
        write(path, table)
        if path.name == "00001.arrow":
            path.unlink()

    monkeypatch.setattr(module, "write_shard", written_and_removed)
    with pytest.raises(StorageError, match="were removed while they were being read; run the same command again"):
        cached(project)
    monkeypatch.undo()
    assert len(cached(project).reasons) == COUNT


def test_the_size_is_told_before_and_too_little_room_is_one_sentence(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(cached_crops(project, project.samples("wild", "body"), "wild", SIZE))
    assert "12 crops of 64 px" in first.message
    assert "0.1 MB" in first.message  # 12 * 64 * 64 * 3 bytes
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: SimpleNamespace(free=147_455))
    with pytest.raises(StorageError, match="crop_cache = false"):
        next(cached_crops(project, project.samples("wild", "body"), "wild", SIZE))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: SimpleNamespace(free=147_456))
    next(cached_crops(project, project.samples("wild", "body"), "wild", SIZE))


def test_one_size_is_no_other(project: Project) -> None:
    cached(project)
    small = done(cached_crops(project, project.samples("wild", "body"), "wild", 32))
    assert small.take(EVERYBODY).shape == (COUNT, 32, 32, 3)
    assert sorted(path.name for path in (project.cache / "crops").iterdir()) == ["wild-body-32", "wild-body-64"]


def test_some_people_have_pages_of_their_own_filled_from_those_of_all(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, there = cached(project).take(EVERYBODY), stamps(project)
    rows = [8, 1, 4]
    some = project.samples("wild", "body").take(rows)
    monkeypatch.setattr(module, "read_image", lambda path: pytest.fail(f"{path} was decoded again"))
    crops = done(cached_crops(project, some, "wild", SIZE, some=True))
    assert np.array_equal(crops.take(np.arange(3)), before[rows])
    assert stamps(project) == there
