from dataclasses import replace
from pathlib import Path

import pytest

from annotator.errors import RecipeError
from annotator.recipe import (
    BodyRecipe,
    FaceRecipe,
    FittingRecipe,
    HandRecipe,
    Recipe,
    load_recipe,
    parse_recipe,
    shipped_recipes,
)


def test_shipped_recipes_load_and_paper_is_the_papers() -> None:
    assert set(shipped_recipes()) >= {"paper", "demo", "tiny"}
    paper = load_recipe("paper").body
    assert (paper.backbone, paper.weights, paper.input_px, paper.learning_rate) == ("resnet50", "imagenet", 256, 1e-4)
    assert paper.schedule == "plateau"
    assert load_recipe("demo").body.weights == load_recipe("tiny").body.weights == "none"
    assert load_recipe("paper") == Recipe("paper", tables=("body", "hand", "face"))
    assert all(load_recipe(name).tables == ("body", "hand", "face") for name in shipped_recipes())


@pytest.mark.parametrize("name", ["paper", "demo", "tiny"])
def test_a_recipe_written_out_is_read_back(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    (tmp_path / "r.toml").write_text(recipe.text())
    found = load_recipe(str(tmp_path / "r.toml"))
    assert found.tables == (*recipe.tables, "smplifyx")  # which its faces are fitted by
    assert replace(found, tables=recipe.tables) == recipe
    assert found.text() == recipe.text()


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"learningrate": 0.1}, "did you mean 'learning_rate'"),
        ({"batch": 3}, "must be even"),
        ({"batch": "many"}, "should be a whole number"),
        ({"batch": True}, "should be a whole number"),
        ({"learning_rate": -1.0}, "greater than 0"),
        *[({"learning_rate": value}, "greater than 0") for value in (float("nan"), float("inf"))],
        *[({"seed": value}, "a number from 0 on") for value in (-1, 2**64)],
        *[({name: float("nan")}, "a number from 0 on") for name in ("weight_2d", "weight_pose", "plateau_gain")],
        *[({name: -1.0}, "a number from 0 on") for name in ("weight_3d", "weight_shape", "regulariser")],
        *[({"auxiliary": value}, "names no set") for value in ("", " , ")],
        ({"input_px": 100}, "multiple of 32"),
        ({"input_px": 1 << 20}, "and 2048 at most"),
        ({"backbone": "vit"}, "resnet18, resnet34, resnet50"),
        ({"frame": "world"}, "crop, camera"),
        ({"train_precision": "fp16"}, "auto, fp32, tf32, bf16"),
        ({"held_out": 0.9}, "a share from 0 to 0.5"),
    ],
)
def test_a_wrong_field_says_what_it_should_be(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe({"body": table}, "mine")


@pytest.mark.parametrize(
    ("part", "table", "sentence"),
    [
        ("hand", {"hand_pca": 46}, r"\[hand\] hand_pca = 46 must be 1 to 45"),
        ("hand", {"hand_pca": 0}, "1 to 45"),
        ("hand", {"prior": "learnt"}, r"\[hand\] has no field 'prior'"),
        ("body", {"hand_pca": 12}, r"\[body\] has no field 'hand_pca'"),
        ("face", {"method": "smplify-x"}, "choose one of smplifyx, network"),
        ("face", {"auxiliary": "none"}, "has no field 'auxiliary'"),
        ("face", {"batch": 3}, r"\[face\] batch = 3 must be even"),
        ("hand", {"input": "picture"}, "image, pose, image\\+pose"),
        ("body", {"auxiliary_input": "image"}, "image\\+pose, pose"),
        ("body", {"latent": 0}, "should be true or false"),
    ],
)
def test_every_part_has_its_own_fields(part: str, table: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe({"body": {}, part: table}, "mine")


def test_a_recipe_has_the_parts_whose_tables_it_holds_and_is_saved_with_them(tmp_path: Path) -> None:
    mine = parse_recipe({"hand": {"hand_pca": 6}, "face": {"method": "network"}}, "mine")
    assert (mine.tables, mine.hand, mine.face) == (
        ("hand", "face"),
        HandRecipe(hand_pca=6),
        FaceRecipe(method="network"),
    )
    (tmp_path / "r.toml").write_text(mine.text())
    assert load_recipe(str(tmp_path / "r.toml")) == mine
    assert "[body]" not in mine.text()


@pytest.mark.parametrize(
    ("words", "used"),
    [("all", ["h36m", "3dhp"]), ("none", []), ("3dhp", ["3dhp"]), (" h36m , 3dhp", ["h36m", "3dhp"])],
)
def test_auxiliary_sets_are_all_none_or_named(words: str, used: list[str]) -> None:
    recipe = BodyRecipe(auxiliary=words)
    assert [name for name in ("h36m", "3dhp") if recipe.uses(name)] == used


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[bodi]\n", "bodi"), ("x", "not TOML"), ("", r"no table \[body\]"), ("hand = 1", r"write \[hand\]")],
)
def test_a_wrong_file_says_why(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(str(tmp_path / "r.toml"))


def test_a_missing_recipe_lists_those_that_ship() -> None:
    with pytest.raises(RecipeError, match="demo, demo-full, paper, tiny"):
        load_recipe("papre")


def test_whole_numbers_may_stand_for_numbers() -> None:
    assert parse_recipe({"body": {"learning_rate": 1}}, "mine").body == BodyRecipe(learning_rate=1.0)


@pytest.mark.parametrize("annotator", ["smplifyx", "smplify"])
def test_the_table_of_an_annotator_that_optimises_is_read_and_written_out_alone(annotator: str, tmp_path: Path) -> None:
    recipe = parse_recipe({annotator: {"orientations": 1, "focal": 1200}}, "mine")
    assert recipe.tables == (annotator,)
    assert recipe.table(annotator) == FittingRecipe(orientations=1, focal=1200.0)
    assert recipe.part("body") == BodyRecipe()
    (tmp_path / "r.toml").write_text(recipe.text(annotator))
    assert load_recipe(str(tmp_path / "r.toml")) == recipe
    assert "backbone" not in recipe.text(annotator)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"orientation": 1}, r"\[smplifyx\] has no field 'orientation'; did you mean 'orientations'"),
        ({"robust_3d": "huber"}, r"\[smplifyx\] robust_3d = 'huber' is unknown; choose one of geman_mcclure, l1"),
        ({"orientations": 9}, "at most 8"),
        ({"shard": 0}, "greater than 0"),
        ({"focal": float("nan")}, "greater than 0"),
        ({"priors_3d": -0.1}, "0 or more"),
        ({"known_camera": 1}, "true or false"),
    ],
)
def test_a_wrong_field_of_fitting_says_what_it_should_be(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        parse_recipe({"smplifyx": table}, "mine")


def test_a_table_that_is_none_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"write \[smplify\]"):
        parse_recipe({"body": {}, "smplify": 3}, "mine")
