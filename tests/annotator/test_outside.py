"""What others wrote: every way in which it is wrong is a ValueError with a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from annotator.outside import built, exists, is_dir, is_file, is_text, parse_json, parse_toml, resolved, short

DEEP = 100_000


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP + "]" * DEEP,
        '{"a":' * DEEP + "1" + "}" * DEEP,
        "1" * 5000,
        '{"a": ',
        b"\x80\x02\xff",
        "",
        b"\xff\xfe[\0",
    ],
    ids=["deep list", "deep object", "many digits", "cut", "binary", "empty", "half utf-16"],
)
def test_no_json_is_a_value_error_of_one_line(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["a = " + "[" * DEEP, "a = " + "1" * 5000, "a = ", "a", "[a]\n[a]"])
def test_no_toml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text)


@dataclass(frozen=True)
class Pet:
    name: str


@dataclass(frozen=True)
class Farm:
    name: str
    size: int = 1
    pets: tuple[Pet, ...] = ()
    words: Mapping[str, str] = ()  # type: ignore[assignment]


def test_a_dataclass_is_built_and_unknown_fields_are_passed_over() -> None:
    values = {"name": "x", "pets": [{"name": "cat"}], "words": {"a": "b"}, "new": 3}
    assert built(Farm, values) == Farm("x", 1, (Pet("cat"),), {"a": "b"})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "should be an object"),
        ({}, "name"),
        ({"name": 3}, "'name' should be a text, not int"),
        ({"name": "x", "size": True}, "'size' should be a whole number, not bool"),
        ({"name": "x", "size": 1.0}, "not float"),
        ({"name": "x", "pets": "cat"}, "'pets' should be a list"),
        ({"name": "x", "pets": [3]}, "should be an object"),
        ({"name": "x", "words": {"a": 1}}, "'words' should be a text"),
        ({"name": None}, "not NoneType"),
    ],
)
def test_an_unlike_field_is_named(values: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        built(Farm, values)


def test_names_that_nothing_can_have_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for path in (tmp_path / ("x" * 5000), tmp_path / "a\0b", tmp_path / "\ud800", tmp_path / "round"):
        assert not is_file(path)
        assert not is_dir(path)
    assert exists(tmp_path / "round")
    assert not exists(tmp_path / ("x" * 5000))
    assert resolved(tmp_path / "round").name == "round"


def test_a_name_in_a_sentence_is_short_and_printable() -> None:
    assert short("photo 1.jpg") == "photo 1.jpg"
    assert short("a\ud800\nb") == "a\\ud800\\nb"
    assert short("x" * 5000) == "x" * 80 + "... (5,000 letters)"
    short("é \ud83d\ude00 ok").encode()
    assert is_text("é")
    assert not is_text("a\udcff")
