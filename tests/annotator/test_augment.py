"""Augmentation: what a crop teaches moves with what it shows, and depends on seed, step and person alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.annotators.neuralannot import crops_tensor, lesson_rows
from annotator.augment import Changes, drawn_changes
from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.camera import VIRTUAL_SIZE, Camera, Crop, crop_from_camera
from annotator.crops import Crops
from annotator.errors import RecipeError
from annotator.part import HANDS
from annotator.recipe import BodyRecipe, HandRecipe, load_recipe
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M
from annotator.supervision import Lessons
from annotator.synthetic import sample_body_poses
from annotator.taught import BODY_POINTS, TaughtPoints

SIZE = 128
ALL = BodyRecipe(augment_scale=0.25, augment_rotation=30, augment_translation=0.1, augment_flip=0.5, seed=3)
ONE_BY_ONE = (
    BodyRecipe(augment_scale=0.25),
    BodyRecipe(augment_rotation=30),
    BodyRecipe(augment_translation=0.1),
    BodyRecipe(augment_flip=1.0),
)


def where(count: int) -> tuple[list[str], Crop, Camera]:
    """People anywhere in a photo of 1000 x 800 px whose camera is known."""
    rng = np.random.default_rng(5)
    crop = Crop(rng.uniform([100, 100], [900, 700], (count, 2)), rng.uniform(150, 400, count))
    camera = Camera(np.full((count, 2), 1100.0), np.tile([510.0, 395.0], (count, 1)))
    return [f"wild/{number}" for number in range(count)], crop, camera


def changes(recipe: BodyRecipe | HandRecipe, count: int, step: int = 7) -> Changes:
    keys, crop, camera = where(count)
    return drawn_changes(recipe, keys, step, crop, camera)


def dots(pixels: np.ndarray) -> np.ndarray:
    """`(B, S, S, 3)` crops, each with a soft white dot at its point, `(B, 2)` px of 256."""
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    away = ((grid - pixels[:, None, None] * (SIZE / VIRTUAL_SIZE)) ** 2).sum(axis=-1)
    return np.repeat((250 * np.exp(-away / 8)).astype(np.uint8)[..., None], 3, axis=-1)


def centers(crops: np.ndarray) -> np.ndarray:
    """`(B, 2)` px of 256 of what is bright in them."""
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1)
    weight = crops[..., :1].astype(float)
    return (grid * weight).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)) * (VIRTUAL_SIZE / SIZE)


def lessons(pixels: np.ndarray, count: int, points: TaughtPoints = BODY_POINTS) -> dict[str, np.ndarray]:
    return {
        "pixels": pixels.astype(np.float32),
        "joints": np.ones((count, points.joint_count, 4), np.float32),
        "rotations": np.tile(np.eye(3, dtype=np.float32), (count, points.part.rotations, 1, 1)),
    }


@pytest.mark.parametrize("recipe", [*ONE_BY_ONE, ALL], ids=["scale", "rotation", "translation", "flip", "all"])
def test_keypoints_still_lie_on_what_the_crop_shows(recipe: BodyRecipe) -> None:
    rows = BODY_POINTS.rows(COCO_WHOLEBODY)
    count = len(rows)
    twin = {row: place for place, row in enumerate(rows.tolist())}
    pixels = np.zeros((count, BODY_POINTS.count, 3))
    shown = np.random.default_rng(1).uniform(90, 166, (count, 2))
    columns = BODY_POINTS.columns(COCO_WHOLEBODY)
    pixels[np.arange(count), columns.start + np.arange(count)] = np.c_[shown, np.ones(count)]
    drawn = changes(recipe, count)
    moved = centers(drawn.of_crops(dots(shown)))
    taught = drawn.of_lessons(BODY_POINTS, lessons(pixels, count))["pixels"][:, columns]
    assert np.abs(moved - shown).max() > 5
    for place, row in enumerate(rows.tolist()):
        name = twin[int(COCO_WHOLEBODY.mirror[row])] if drawn.flip[place] else place
        assert taught[place, :, 2].tolist() == np.eye(count)[name].tolist()  # the label has the name of the other side
        assert np.abs(taught[place, name, :2] - moved[place]).max() < 0.6


def test_left_hands_are_changed_before_they_become_right_ones() -> None:
    recipe = HandRecipe(augment_scale=0.25, augment_rotation=30, augment_translation=0.1)
    points, count = TaughtPoints.of(HANDS, ()), 5
    shown = np.random.default_rng(2).uniform(90, 166, (count, 2))
    pixels = np.concatenate([np.repeat(shown[:, None], points.count, axis=1), np.ones((count, points.count, 1))], -1)
    drawn, every = changes(recipe, count), np.arange(count)
    crops = Crops([""] * count, lambda rows: dots(shown)[rows])
    seen = crops_tensor(crops, every, torch.device("cpu"), "lhand", drawn).permute(0, 2, 3, 1).numpy()
    given = lessons(pixels, count, points)
    taught = Lessons(
        crop=where(count)[1],
        turn=np.tile(np.eye(3), (count, 1, 1)),
        roots=np.zeros((count, 3)),
        betas=np.zeros((count, 10)),
        imitate=np.ones(count),
        regularise=np.ones(count),
        **given,
    )
    columns = lesson_rows(taught, every, ("pixels", "joints", "rotations"), "lhand", partial(drawn.of_lessons, points))
    assert np.abs(columns["pixels"][:, 0, :2] - centers(seen)).max() < 0.6


def test_3d_turns_with_the_crop() -> None:
    """The ray through the changed crop's centre is +z of its frame, and what is beside it there is beside it in 3D."""
    count = 40
    _, crop, camera = where(count)
    drawn = changes(replace(ALL, augment_flip=0.0), count)
    inverse = np.linalg.inv(drawn.affine[:, :, :2])

    def ray(changed: np.ndarray) -> np.ndarray:
        """Through a pixel of the changed crop, in its frame; its depth is 1."""
        px = np.einsum("bij,bj->bi", inverse, changed - drawn.affine[:, :, 2])
        photo = crop.origin + px * (crop.side / VIRTUAL_SIZE)[:, None]
        seen = np.concatenate([(photo - camera.princpt) / camera.focal, np.ones((count, 1))], axis=1)
        found = np.einsum("bij,bj->bi", drawn.turn @ crop_from_camera(camera, crop), seen)
        return found / found[:, 2:]

    center = np.full((count, 2), VIRTUAL_SIZE / 2)
    assert np.abs(ray(center)[:, :2]).max() < 1e-9
    for step in ([1.0, 0.0], [0.0, 1.0]):
        beside = ray(center + step)[:, :2]
        along = beside / np.linalg.norm(beside, axis=1, keepdims=True)
        assert (along @ step > 0.999).all()


def test_changed_rotations_pose_the_changed_joints(body: BodyModelData) -> None:
    count = 12
    rng = np.random.default_rng(4)
    vectors = np.concatenate([rng.normal(0, 1, (count, 3)), sample_body_poses(rng, count).reshape(count, -1)], axis=1)
    columns = BODY_POINTS.joint_columns(HUMAN36M)

    def joints(rotations: np.ndarray) -> np.ndarray:
        from scipy.spatial.transform import Rotation

        flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(count, -1)
        posed = Poser(body).pose({"global_orient": flat[:, :3], "body_pose": flat[:, 3:]}).points(HUMAN36M.name)
        return posed - posed[:, :1]

    given = lessons(np.zeros((count, BODY_POINTS.count, 3)), count)
    given["rotations"] = axis_angle_to_matrix(vectors.reshape(count, -1, 3))
    given["joints"] = np.zeros((count, BODY_POINTS.joint_count, 4))
    given["joints"][:, columns] = np.concatenate([joints(given["rotations"]), np.ones((count, 17, 1))], axis=-1)
    drawn = changes(ALL, count)
    assert 0 < drawn.flip.sum() < count
    taught = drawn.of_lessons(BODY_POINTS, given)
    away = np.linalg.norm(taught["joints"][:, columns, :3] - joints(taught["rotations"]), axis=-1)
    assert away[~drawn.flip].max() < 1e-5
    assert away[drawn.flip].max() < 0.004  # the open body's two sides are not quite alike
    assert np.linalg.norm(taught["joints"] - given["joints"], axis=-1).max() > 0.1


def test_changes_depend_on_seed_step_and_person_alone() -> None:
    keys, crop, camera = where(6)
    whole = drawn_changes(ALL, keys, 7, crop, camera)
    some = [4, 1]
    fewer = drawn_changes(
        ALL,
        [keys[row] for row in some],
        7,
        Crop(crop.center[some], crop.side[some]),
        Camera(camera.focal[some], camera.princpt[some]),
    )
    for one, other in ((fewer.affine, whole.affine), (fewer.turn, whole.turn), (fewer.flip, whole.flip)):
        assert np.array_equal(one, other[some])
    for recipe, step in ((ALL, 8), (replace(ALL, seed=4), 7)):
        assert not np.allclose(drawn_changes(recipe, keys, step, crop, camera).affine, whole.affine)
    bounds = changes(replace(ALL, augment_colour=0.2), 500)
    size = np.sqrt(np.linalg.det(bounds.affine[:, :, :2]))
    angle = np.rad2deg(np.arctan2(bounds.affine[:, 1, 0], bounds.affine[:, 0, 0]))
    for values, low, high in ((size, 0.75, 1.25), (angle, -30, 30), (bounds.gain, 0.8, 1.2)):
        assert low <= values.min() < low + 0.03 * (high - low)
        assert high - 0.03 * (high - low) < values.max() <= high
    assert 0.4 < bounds.flip.mean() < 0.6


def test_colour_changes_nothing_but_colour() -> None:
    drawn = changes(BodyRecipe(augment_colour=0.4), 8)
    crops = np.full((8, 32, 32, 3), 100, np.uint8)
    changed = drawn.of_crops(crops)
    assert np.abs(changed - 100 * drawn.gain[:, None, None]).max() <= 0.5
    assert len(np.unique(changed.reshape(-1, 3), axis=0)) == 8
    pixels = np.random.default_rng(0).uniform(0, 256, (8, BODY_POINTS.count, 3))
    given = lessons(pixels, 8)
    taught = drawn.of_lessons(BODY_POINTS, given)
    assert all(np.allclose(taught[name], given[name], atol=1e-4) for name in given)


def test_nothing_is_augmented_by_default_and_hands_are_not_flipped(tmp_path: Path) -> None:
    assert not any(load_recipe(name).part(part).augments for name in ("paper", "demo") for part in ("body", "hand"))
    assert BodyRecipe(augment_flip=0.5).augments
    path = tmp_path / "hands.toml"
    path.write_text("[hand]\naugment_flip = 0.5\n")
    with pytest.raises(RecipeError, match="augment_flip"):
        load_recipe(str(path))
    path.write_text("[body]\naugment_scale = 0.9\n")
    with pytest.raises(RecipeError, match=r"augment_scale = 0.9 must be a number from 0 to 0.5"):
        load_recipe(str(path))
