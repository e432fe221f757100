"""The documents are true of the code: links, paths, commands and their options, recipe fields, keys, words."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

import main
from annotator.datasets import READERS
from annotator.eftrecipe import EftRecipe
from annotator.exports import WRITERS
from annotator.fittingrecipe import FittingRecipe
from annotator.recipe import (
    PART_TABLES,
    BodyRecipe,
    PartRecipe,
    load_recipe,
    shipped_recipes,
)
from annotator.runs import Run
from annotator.verdict import REASONS
from app.actions import ACTIONS, HELD
from app.demo.data import SIZES

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
PICTURES = {"desk-demo.png", "desk-empty.png", "desk-running.png", "desk-bad-fit.png", "desk-compare.png"}
WORDS = (
    *("sample", "target", "auxiliary", "annotator", "fit", "run", "round", "verdict", "preference", "disagreement"),
    *("reviewer", "part", "recipe", "body model", "open body", "crop frame"),
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return BLOCK.sub("", page.read_text())


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of a language, "" for those without one."""
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


def table(page: Path, heading: str) -> list[list[str]]:
    """Cells of the rows of the first table after a heading, without the table's own head."""
    text = page.read_text().split(f"{heading}\n", 1)[1]
    lines = re.search(r"((?:^\|.*\n)+)", text, re.MULTILINE)
    assert lines is not None, f"{page} has no table after {heading}"
    return [[cell.strip() for cell in line.strip("|\n ").split(" | ")] for line in lines[1].splitlines()[2:]]


def by_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Every file that git knows or would take in, and every folder of one."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    there = [file for file in files if file and (ROOT / file).exists()]
    return {str(path) for file in there for path in (Path(file), *Path(file).parents)}


def links(page: Path) -> list[str]:
    """Relative links of a page, as paths from the root."""
    found = [link for link in LINK.findall(prose(page)) if "://" not in link]
    return [str((page.parent / link).resolve().relative_to(ROOT)) for link in found]


@pytest.mark.parametrize("page", PAGES, ids=by_id)
def test_every_link_leads_to_a_file(page: Path, tracked: set[str]) -> None:
    pictures = {f"docs/pictures/{name}" for name in PICTURES}
    assert set(links(page)) - tracked - pictures == set()


def test_the_read_me_shows_its_pictures_and_they_are_there() -> None:
    shown = {Path(link).name for link in links(ROOT / "README.md") if link.endswith(".png")}
    assert shown == PICTURES
    assert PICTURES - {file.name for file in (DOCS / "pictures").glob("*.png")} == set()


def path_like(words: str, top: set[str]) -> bool:
    """Whether words in code type name a file of this repository by its path from the root."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", words) is not None and words.split("/", maxsplit=1)[0] in top


def test_a_path_is_told_from_other_code() -> None:
    top = {"annotator", "main.py", ".ci"}
    assert path_like("annotator/camera.py", top)
    assert path_like("main.py", top)
    assert path_like(".ci/run", top)
    assert not path_like("P/reviews.sqlite", top)
    assert not path_like("frame", top)


@pytest.mark.parametrize("page", PAGES, ids=by_id)
def test_every_path_in_code_type_exists(page: Path, tracked: set[str]) -> None:
    top = {name for name in tracked if "/" not in name}
    named = {words.rstrip("/") for words in CODE.findall(prose(page)) if path_like(words, top)}
    assert named - tracked - {f"docs/pictures/{name}" for name in PICTURES} == set()


def test_architecture_names_paths_at_all(tracked: set[str]) -> None:
    top = {name for name in tracked if "/" not in name}
    assert sum(path_like(words, top) for words in CODE.findall(prose(DOCS / "ARCHITECTURE.md"))) > 40


def tree() -> list[str]:
    """Paths of the tree in the read-me."""
    body = next(body for body in blocks(ROOT / "README.md", "") if body.startswith("main.py"))
    folder, paths = "", list[str]()
    for line in body.splitlines():
        if not line.strip():
            continue
        name, words = line.split(maxsplit=1)
        assert words, f"{name} has no phrase"
        inside = line.startswith("  ")
        folder = folder if inside else name
        paths.append((folder + name if inside else name).rstrip("/"))
    return paths


def test_the_tree_is_the_repository(tracked: set[str]) -> None:
    paths = tree()
    assert set(paths) - tracked == set()
    beside = {".", ".gitignore", "README.md"}
    assert {name for name in tracked if "/" not in name} - set(paths) - beside == set()
    for package in ("annotator", "viewers", "app"):
        inside = {name for name in tracked if Path(name).parent == Path(package) and not name.endswith("__init__.py")}
        assert inside - set(paths) == set()


# -- commands --------------------------------------------------------------------------------------------------------------


@cache
def help_of(*words: str) -> str:
    out = io.StringIO()
    main.app.help_print(list(words), console=Console(file=out, width=200))
    return out.getvalue()


def commands(text: str) -> set[str]:
    """Names in the box of commands of a help."""
    return set(re.findall(r"^│ ([a-z]+)\s{2,}", text, re.MULTILINE)) - {"help"}


TOP = commands(help_of())
GROUPS = {name: commands(help_of(name)) for name in ("runs", "reviews", "bodies")}


def test_help_lists_the_commands() -> None:
    assert {"new", "import", "run", "demo", "doctor"} <= TOP
    assert GROUPS["bodies"] >= {"path", "check"}


def shown(page: Path) -> list[list[str]]:
    """Words after `main.py` of every command that a page shows, in blocks and in running text."""
    text = "\n".join(blocks(page, "sh"))
    inline = [words for words in CODE.findall(prose(page)) if words.startswith("python main.py ")]
    lines = [*(line for line in text.splitlines() if line.startswith("python main.py ")), *inline]
    return [shlex.split(line, comments=True)[2:] for line in lines]


def wrong_with(words: list[str]) -> str:
    """What is wrong with a command line; "" if nothing."""
    if words[0] == "P" or words[0] in {"COMMAND", "PROJECT"}:  # the desk on a project; any command
        return ""
    if words[0] not in TOP:
        return f"no command {words[0]}"
    name = words[:1]
    if words[0] in GROUPS:
        if words[1] not in GROUPS[words[0]]:
            return f"no command {words[0]} {words[1]}"
        name = words[:2]
    known = set(re.findall(r"--[a-z][a-z-]*", help_of(*name)))
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"{' '.join(name)} has no option {', '.join(unknown)}" if unknown else ""


def test_a_wrong_command_is_found() -> None:
    assert wrong_with(["queue", "P"])
    assert wrong_with(["reviews", "export", "P"])
    assert wrong_with(["run", "P", "--people", "x"])
    assert not wrong_with(["run", "P", "--resume"])
    assert not wrong_with(["P"])


@pytest.mark.parametrize("page", PAGES, ids=by_id)
def test_every_command_shown_exists(page: Path) -> None:
    assert [problem for words in shown(page) if (problem := wrong_with(words))] == []


def test_the_guide_shows_every_command() -> None:
    lines = shown(DOCS / "guide.md")
    assert TOP - {words[0] for words in lines} == set()
    for group, names in GROUPS.items():
        assert names - {words[1] for words in lines if words[0] == group} == set()


def test_make_targets_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z]+)", "\n".join(blocks(page, "sh")))}
    named |= {name for page in PAGES for name in re.findall(r"`make ([a-z]+)", prose(page))}
    assert {"demo", "test"} <= named <= targets


# -- tables ----------------------------------------------------------------------------------------------------------------


def unquoted(cell: str) -> str:
    return cell.strip("`")


def test_every_recipe_field_is_documented_with_its_default() -> None:
    rows = table(DOCS / "guide.md", "### Recipes")
    documented = {unquoted(row[0]): unquoted(row[1]).strip('"') for row in rows}
    assert documented == {field.name: str(field.default).lower() for field in fields(BodyRecipe)}
    assert all(len(row[2]) > 10 for row in rows)


def test_what_hands_and_faces_have_otherwise_is_documented() -> None:
    """Fields of one table alone, those with another default there, and those that it lacks."""
    rows = table(DOCS / "guide.md", "#### Hands and faces")
    documented = {(unquoted(row[0]), unquoted(row[1])): unquoted(row[2]).strip('"') for row in rows}
    common = {field.name: field.default for field in fields(PartRecipe)}
    wanted: dict[tuple[str, str], str] = {}
    for name in ("hand", "face"):
        kind = PART_TABLES[name]
        own = {field.name: field.default for field in fields(kind) if common.get(field.name) != field.default}
        wanted |= {(name, field): str(default).lower() for field, default in own.items()}
        wanted |= {(name, field): "-" for field in kind.unused}
    assert documented == wanted


def test_every_field_of_the_tables_of_fitting_is_documented_with_its_default() -> None:
    rows = table(DOCS / "guide.md", "### The tables of SMPLify-X and SMPLify")
    documented = {unquoted(row[0]): unquoted(row[1]).strip('"') for row in rows}
    assert documented == {field.name: str(field.default).lower() for field in fields(FittingRecipe)}


def test_every_field_of_eft_is_documented_with_its_default() -> None:
    documented = {unquoted(row[0]): unquoted(row[1]).strip('"') for row in table(DOCS / "guide.md", "### EFT")}
    defaults = {field.name: field.default for field in fields(EftRecipe)}
    assert {name: type(defaults[name])(value) for name, value in documented.items()} == defaults


def test_the_recipes_that_ship_are_named() -> None:
    text = (DOCS / "guide.md").read_text()
    assert [name for name in shipped_recipes() if f"`{name}`" not in text] == []
    assert load_recipe("paper").body == BodyRecipe()


def test_the_keys_of_the_guide_are_those_of_the_desk() -> None:
    documented = {unquoted(row[0]): row[1] for row in table(DOCS / "guide.md", "### Keys")}
    assert documented.pop("1` to `9")
    assert documented.pop("Shift+1` to `Shift+9")
    single = [row for row in ACTIONS if row.keys and not row.id.startswith(("reason_", "reject_for_"))]
    assert documented == {**{row.keys[0]: row.title.rstrip("…") for row in single}, **dict(HELD)}
    assert [reason.digit for reason in REASONS] == list(range(1, 10))


def test_the_keys_of_the_read_me_are_keys_of_the_desk() -> None:
    known = {key for row in ACTIONS for key in row.keys} | {key for key, _ in HELD}
    named = {key for row in table(ROOT / "README.md", "## Keys") for key in CODE.findall(row[0])}
    assert len(named) > 15
    assert named - known == set()


def test_the_reasons_of_the_guide_are_those_of_the_desk() -> None:
    sentence = "The nine reasons: " + ", ".join(reason.title.lower() for reason in REASONS) + "."
    assert sentence in (DOCS / "guide.md").read_text()


def test_the_formats_of_the_guide_are_those_that_are_read_and_written() -> None:
    assert {unquoted(row[0]) for row in table(DOCS / "guide.md", "## Import data sets")} == set(READERS)
    exported = [words[2] for words in shown(DOCS / "guide.md") if words[0] == "export"]
    assert set(exported) == set(WRITERS)


def test_the_sizes_of_the_demo_are_true() -> None:
    rows = table(DOCS / "guide.md", "## The demo")
    stated = {unquoted(row[0]): tuple(int(cell.replace(",", "")) for cell in row[1:3]) for row in rows}
    assert stated == SIZES


def test_the_names_on_disk_are_true(tmp_path: Path) -> None:
    run = Run(tmp_path)
    text = next(body for body in blocks(DOCS / "guide.md", "") if body.startswith("P/project.toml"))
    for path in (run.recipe_path, run.verdicts_path, run.job.events_path, run.job.log_path, run.job.stop_path):
        assert path.name in text


def test_the_glossary_has_its_words() -> None:
    rows = table(DOCS / "GLOSSARY.md", "# Glossary")
    assert [row[0] for row in rows] == list(WORDS)
    assert all(len(row[1]) > 5 for row in rows)


# -- decisions and licences ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_says_what_else_there_was_and_what_follows(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert [h for h in headings if h not in {"Why", "Measured"}] == ["Decision", "Options and why not", "Consequences"]
    assert by_id(page) in links(DOCS / "decisions" / "README.md")
    assert page.read_text().startswith(f"# {page.name[:4]} ")


def test_the_first_words_on_licences_are_about_smplx() -> None:
    read_me = (ROOT / "README.md").read_text().split("## Licences\n", 1)[1].strip().splitlines()
    assert "smplx" in read_me[0]
    assert "non-commercial" in " ".join(read_me[:2])
    notice = (ROOT / "NOTICE").read_text().split("Licences that differ from ours:", 1)[1].strip().splitlines()
    assert "smplx" in notice[0]
    assert "NON-COMMERCIAL" in notice[0]


@pytest.mark.parametrize("name", ["smplx", "SMPL-X", "MANO", "FLAME", "anny", "MakeHuman", "Mika Suominen", "Phosphor"])
def test_the_notice_names_it(name: str) -> None:
    assert name in (ROOT / "NOTICE").read_text()


def test_lines_are_short() -> None:
    long = [
        f"{by_id(page)}: {line[:60]}"
        for page in PAGES
        for line in prose(page).splitlines()
        if len(line) > 120 and not line.startswith(("|", "!["))
    ]
    assert long == []
