"""Data sets of hands and of a second body layout through the real entry point: taken in, refused in one sentence."""

from pathlib import Path

import pytest

from annotator.project import Project
from tests.annotator.test_readers import Json, coco
from tests.annotator.test_readers_3d import freihand, mpi_inf_3dhp
from tests.annotator.test_readers_interhand import interhand
from tests.annotator.test_readers_parts import with_parts
from tests.support.cli import refused, run_main


@pytest.fixture(scope="module")
def taken_in(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project with one data set of each format, and what every import said."""
    folder = tmp_path_factory.mktemp("parts")
    project = folder / "p"
    run_main("new", project)
    people = coco(folder / "coco", with_parts(lambda person: person.update(lefthand_box=[4.0, 6, 0, 11])))
    hands = interhand(folder / "ih")
    words = {
        "coco-wholebody": (people.annotations, "--images", people.images),
        "mpi-inf-3dhp": (mpi_inf_3dhp(folder / "hp").annotations,),
        "freihand": (freihand(folder / "fh", photos=(0, 1)).annotations,),
        "interhand26m": (hands.annotations, "--images", hands.images, "--split", "val"),
    }
    said = {
        name: run_main("import", project, name, *options, "--progress", "none").stdout
        for name, options in words.items()
    }
    return project, said


def test_every_format_is_taken_in_and_says_what_it_has(taken_in: tuple[Path, dict[str, str]]) -> None:
    project, said = taken_in
    assert "Imported 2 of 2 people as 'coco-wholebody' (target)." in said["coco-wholebody"]
    assert "Left out 8/lhand: the box has no area." in said["coco-wholebody"]
    assert "Imported 2 of 2 people as 'mpi-inf-3dhp' (auxiliary)." in said["mpi-inf-3dhp"]
    assert "Imported 2 of 3 hands as 'freihand' (auxiliary)." in said["freihand"]
    assert "Left out 2/rhand: the photo training/rgb/00000002.jpg is not there." in said["freihand"]
    assert "Imported 4 of 4 hands as 'interhand26m' (auxiliary)." in said["interhand26m"]
    parts = {name: dict(info.parts) for name, info in Project.open(project).datasets().items()}
    assert parts == {
        "coco-wholebody": {"body": 2, "lhand": 1, "rhand": 1, "face": 1},
        "mpi-inf-3dhp": {"body": 2},
        "freihand": {"rhand": 2},
        "interhand26m": {"rhand": 2, "lhand": 2},
    }
    assert run_main("relink", project).stdout.strip() == "All photos are there."


def test_what_cannot_be_read_or_run_is_one_sentence(taken_in: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    project, _ = taken_in

    def shorter(files: Json) -> None:
        files["xyz"].pop()

    said = refused("import", project, "freihand", freihand(tmp_path, shorter).annotations, "--name", "other")
    assert "training_xyz.json has 2 hands" in said
    assert "other" not in Project.open(project).datasets()
    fit = ("run", project, "--annotator", "smplifyx")
    assert "has no bodies" in refused(*fit, "--data", "freihand,coco-wholebody")
    assert "name its person, coco-wholebody/7" in refused(*fit, "--samples", "coco-wholebody/7/face")
    assert "has no faces" in refused(*fit, "--parts", "face", "--data", "freihand")
    assert Project.open(project).runs() == []
