"""What others wrote - paths, JSON, TOML - read so that whatever is wrong with it is one kind of error.

The standard library has many: a name of 5,000 letters is an `OSError`, a number of 5,000 digits a `ValueError`, ten
thousand brackets a `RecursionError`, half a surrogate pair goes in and cannot be printed or written.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from annotator.errors import ProjectError

T = TypeVar("T")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What data sets, runs and their networks may be called: their names are folders."""


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, with the place.
    """
    return _parsed(json.loads, text)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: it is none, with the place.
    """
    return _parsed(tomllib.loads, text)


def _parsed(parse: Callable[[Any], Any], text: str | bytes) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def built(kind: type[T], values: object) -> T:
    """A dataclass of texts, whole numbers, and tuples and mappings of them, out of what `parse_json` gave.

    Fields that the dataclass does not have are passed over.

    Raises:
        ValueError: a field is missing or has another type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"it should be an object, not {type(values).__name__}")  # noqa: TRY004  (of a file, not of a call)
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.name in values]  # type: ignore[arg-type]  # always a dataclass
    try:
        return kind(**{name: _as(hints[name], values[name], name) for name in known})
    except TypeError as error:
        raise ValueError(str(error)) from error


def _as(hint: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_as(arguments[0], element, place) for element in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _as(arguments[1], element, place) for name, element in value.items()}
    if is_dataclass(hint):
        return built(hint, value)  # type: ignore[arg-type]  # a class, not an object
    if type(value) is origin:
        return value
    raise ValueError(f"'{place}' should be {_WORDS.get(origin, 'an object')}, not {type(value).__name__}")


_WORDS: dict[Any, str] = {str: "a text", int: "a whole number", tuple: "a list"}


def is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that no file can have."""
    return os.path.isfile(path)  # noqa: PTH113  (Path's own raises for a name that is too long)


def is_dir(path: Path) -> bool:
    """Whether a folder is there; False for a name that no folder can have."""
    return os.path.isdir(path)  # noqa: PTH112  (likewise)


def exists(path: Path) -> bool:
    """Whether anything is there, a link that leads nowhere included."""
    return os.path.lexists(path)


def resolved(path: Path) -> Path:
    """The absolute path without links; one that goes round in a circle is left as it is."""
    return Path(os.path.realpath(path))


def safe_join(root: Path, relative: str) -> Path:
    """`root / relative`, refusing a path that would leave `root`.

    Raises:
        ProjectError: `relative` is absolute or climbs out with `..`.
    """
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts:
        raise ProjectError(
            f"The image path '{short(relative)}' leaves its image root {root}; mend the annotation file."
        )
    return root / pure


def short(text: str, limit: int = 80) -> str:
    """A name for a sentence: what cannot be printed is escaped, what is long is cut."""
    cut = text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} letters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def login_name() -> str:
    """Who is at this machine; "somebody" where it does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
