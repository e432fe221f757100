"""The demo's second body set and its hands: drawn, written in the official layouts, read back; the truth lies apart."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.bodies.files import default_root, load_body_model
from annotator.bodies.posing import Poser
from annotator.camera import Camera
from annotator.commands.projects import new
from annotator.datasets import Source, reader_of
from annotator.fit import Fits
from annotator.images import read_image
from annotator.project import AUXILIARY, Project
from annotator.sample import Samples
from app.demo import walk
from app.demo.data import MORE, SIZES, write_hands, write_studio
from tests.support.desk_project import done

COUNT = 9


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    done(write_studio(out, COUNT, scale=0.75))
    done(write_hands(out, COUNT))
    return out


def read(out: Path, format: str, name: str) -> dict[str, Samples]:
    result = done(reader_of(format)(Source(out / "data" / name, out / "data" / name, name)))
    assert result.refused == ()
    return result.tables


@pytest.mark.parametrize(
    ("format", "name", "part", "model"),
    [("mpi-inf-3dhp", "studio", "body", "smplx"), ("freihand", "hands", "rhand", "mano_right")],
)
def test_what_is_written_is_read_back_and_agrees_with_the_truth(
    drawn: Path, format: str, name: str, part: str, model: str
) -> None:
    tables = read(drawn, format, name)
    assert set(tables) == {part}
    samples = tables[part]
    assert len(samples) == COUNT
    true = Fits.read([drawn / "truth" / name / f"{part}.arrow"])
    body = load_body_model(default_root(), model)
    assert (true.header.body_hash, true.header.part, true.keys) == (body.hash, part, samples.keys)
    for sample, fit in zip(samples, true, strict=True):
        posed = Poser(body).pose({**{k: v[None] for k, v in fit.parameters.items()}, "transl": fit.transl[None]})
        points = posed.points(sample.skeleton.name)[0]
        assert sample.joints is not None
        assert np.abs(points - sample.joints[:, :3]).max() < 1e-4
        seen = Camera(fit.focal.astype(float), fit.princpt.astype(float)).project(points.astype(float))
        assert np.abs(seen - sample.keypoints[:, :2]).max() < 0.1


def test_people_stand_before_a_green_screen_and_hands_are_where_the_joints_say(drawn: Path) -> None:
    for sample in read(drawn, "mpi-inf-3dhp", "studio")["body"]:
        photo = read_image(drawn / "data" / "studio" / sample.image).astype(int)
        assert photo.shape == (240, 240, 3)
        screen = (photo[..., 1] - photo[..., 0] > 25) & (photo[..., 1] - photo[..., 2] > 25)
        assert screen.mean() > 0.7
        u, v = np.round(sample.keypoints[sample.skeleton.indices("neck", "head"), :2]).astype(int).T
        assert not screen[v, u].all()
    moved: list[float] = []
    for sample in read(drawn, "freihand", "hands")["rhand"]:
        photo = read_image(drawn / "data" / "hands" / sample.image).astype(float)
        assert photo.shape == (224, 224, 3)
        u, v = np.clip(np.round(sample.keypoints[:, :2]).astype(int), 0, 223).T
        hue = photo / photo.sum(axis=2, keepdims=True)  # skin differs in light, little in hue
        moved.append(float(hue[v, u].std(axis=0).max() / hue.reshape(-1, 3).std(axis=0).max()))
    assert np.median(moved) < 0.7


def test_no_file_of_the_data_tells_the_truth(drawn: Path) -> None:
    names = {path.name for path in (drawn / "data").rglob("*.json")}
    assert names == {
        *(f"MPI-INF-3DHP_{kind}.json" for kind in ("1k", "camera_1k", "joint_3d")),
        *(f"training_{kind}.json" for kind in ("K", "xyz", "scale")),
    }


def test_photos_that_are_there_are_not_drawn_again(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> np.ndarray:
        raise AssertionError("drawn again")

    monkeypatch.setattr("app.demo.drawing.Photographer.photo", refuse)
    done(write_hands(drawn, COUNT))
    done(write_studio(drawn, COUNT, scale=0.75))


def test_only_the_full_demo_draws_them_and_takes_them_in(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(MORE) == {"full"}
    assert set(SIZES) == {"tiny", "small", "full"}
    new(tmp_path / "p")
    done(walk.import_more(tmp_path / "p", drawn, ()))
    project = Project.open(tmp_path / "p")
    infos = project.datasets()
    assert {name: (info.role, dict(info.parts)) for name, info in infos.items()} == {
        "studio": (AUXILIARY, {"body": COUNT}),
        "hands": (AUXILIARY, {"rhand": COUNT}),
    }

    def nothing(*_: Any, **_options: Any) -> Generator[Any, None, None]:
        raise AssertionError("imported again")
        yield

    monkeypatch.setattr(walk, "import_dataset", nothing)
    done(walk.import_more(tmp_path / "p", drawn, project.datasets()))
